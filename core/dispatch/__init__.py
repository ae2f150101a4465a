"""The ways to get a queued version to a worker; one file each."""
