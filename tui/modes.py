"""How a version was rerun where it was not through the whole latest revision: in words, and as a mark in a row."""

from __future__ import annotations

from core.text import safe
from data.job_records import Job

MARKS = {"original": "=", "failed": "~"}
"""Before the count of versions: at the revision that version 1 ran; only from the failed step."""
_WORDS = {"first": "", "start": "rerun", "original": "original revision", "failed": "from failed step"}


def mode_words(mode: str) -> str:
    """Return a version's mode in words, nothing for a first version."""
    return _WORDS.get(mode, safe(mode))


def mode_cell(job: Job) -> str:
    """Return how the latest version was rerun, for a cell of the report; nothing for the whole latest revision."""
    return mode_words(job.mode) if job.mode in MARKS else ""


def counted(job: Job) -> str:
    """Return how many versions a job has, marked where the latest is not one of the whole latest revision."""
    return f"{MARKS.get(job.mode, '')}{job.versions}"
