"""The terminal: screens, widgets and the command line over core.automation."""
