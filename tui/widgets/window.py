"""The rows of a report that are at hand, and reads of more in threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from data.job_records import Job

if TYPE_CHECKING:
    from core.automation import Report

P = ParamSpec("P")
T = TypeVar("T")

UNPLACED = 1 << 40
"""Stands for the position of a row while its place in the report is being looked up."""


def running(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
    """Return what `call` will return, from a thread; its error is known even if nobody waits for it any more."""
    future = asyncio.ensure_future(asyncio.to_thread(call, *args, **kwargs))
    future.add_done_callback(lambda done: done.cancelled() or done.exception())
    return future


@dataclass(slots=True)
class Window:
    """The rows at hand: neighbours in the order, the first of them at position `first`."""

    report: Report | None
    rows: list[Job]
    first: int = 0
    last: bool = False
    """Whether the report's last row is at hand."""

    @property
    def end(self) -> int:
        """The position behind the last row."""
        return self.first + len(self.rows)

    @property
    def placed(self) -> bool:
        """Whether positions count from the report's first row, or only from `UNPLACED`."""
        return self.first < UNPLACED // 2

    def at(self, position: int) -> Job | None:
        """Return the job at a position, None if it is not at hand."""
        return self.rows[position - self.first] if self.first <= position < self.end else None

    def find(self, job_id: int) -> int | None:
        """Return a job's position, None if it is not at hand."""
        return next((self.first + at for at, job in enumerate(self.rows) if job.id == job_id), None)
