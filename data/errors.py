"""The base of every error with a sentence for the user, and the store's own error."""

from __future__ import annotations


class JobdeckError(Exception):
    """The base of every error with a sentence for the user."""


class StoreError(JobdeckError):
    """The database cannot be used; the text says why and what to do."""
