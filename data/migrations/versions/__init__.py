"""One revision a file, never changed after a release."""
