"""What recipes can use: one file for each connector, its actions and triggers declared with their inputs and effect."""
