"""Writes the jobs of a report to a file as the command line would, a part at a time, and can be stopped."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from data.job_records import Job
from tui.output import JOB_FIELDS, WRITERS, job_json

FOLDER = "exports"
FORMATS = {".csv": "csv", ".jsonl": "jsonl", ".json": "json"}
TOLD_EVERY = 0.5
"""Seconds between two words on how far it is."""
PART = ".part"


class Abandoned(Exception):
    """The writing was stopped."""


class Export:
    """One file being written; `write` runs in a thread."""

    def __init__(self, path: Path, told: Callable[[int], None]) -> None:
        """`told` is called now and then, from the writing thread, with the number of jobs written so far."""
        self.path = path
        self.written = 0
        self._told = told
        self._stopped = False

    def stop(self) -> None:
        """Give it up; what was written so far goes."""
        self._stopped = True

    def write(self, jobs: Iterable[Job]) -> None:
        """Write the jobs; the file is there only once it is whole. Raises OSError, Abandoned, what `jobs` raises."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_name(self.path.name + PART)
        try:
            with part.open("w", encoding="utf-8", newline="") as file:
                WRITERS[FORMATS[self.path.suffix.lower()]](map(job_json, self._passed(jobs)), JOB_FIELDS, file)
            part.replace(self.path)
        finally:
            part.unlink(missing_ok=True)

    def _passed(self, jobs: Iterable[Job]) -> Iterator[Job]:
        tell_at = time.monotonic() + TOLD_EVERY
        for job in jobs:
            if self._stopped:
                raise Abandoned
            yield job
            self.written += 1
            if time.monotonic() >= tell_at:
                self._told(self.written)
                tell_at = time.monotonic() + TOLD_EVERY


def suggested(now: dt.datetime | None = None) -> str:
    """Return the name that a new file gets unless another is typed."""
    return f"{FOLDER}/jobs-{(now or dt.datetime.now()):%Y%m%d-%H%M%S}.csv"


def path_of(typed: str, workspace: Path) -> Path:
    """Return the file that was named, in the workspace unless it is absolute; raises ValueError with what is wrong."""
    path = workspace / Path(typed.strip()).expanduser()
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"the name says the format: end it in {', '.join(FORMATS)}")
    if path.is_dir():
        raise ValueError(f"{path} is a folder")
    return path
