"""Stand-in apps of the demo and the tests; never for real data."""
