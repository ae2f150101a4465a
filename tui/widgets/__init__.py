"""Widgets that are not in Textual or are too costly there."""
