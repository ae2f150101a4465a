"""Bulk reruns that remember what is done to them, for the tests of screens alone."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator
from typing import Any

from data.job_records import Error, Refusal
from data.records import Batch, BatchCounts, BatchJob
from data.states import BatchStatus, Status

ASKED = dt.datetime(2026, 5, 4, 10, 11, 12, tzinfo=dt.UTC)
COUNTS = BatchCounts(500, 20, 300, 8, 2, 150, 15, 0, 5)


def batch(number: int, status: BatchStatus, counts: BatchCounts = COUNTS, **more: Any) -> Batch:
    """Return a batch that was asked for long ago."""
    facts: dict[str, Any] = {
        "reason": None, "canceled_by": None, "requested_by": "ops@10.0.0.3", "requested_at": ASKED,
        "note": "after the \x1b[2J[red]outage", "plan": "d1", "mode": "start", "order": "key", "rate": None,
        "canary": None, "stop_failures": 50, "stop_share": None, "whole": True, "resumed_at": ASKED,
        "finished_at": None,
    }
    return Batch(id=number, status=status, counts=counts, **(facts | more))


def paused_and_done() -> dict[int, Batch]:
    """Return two batches: 8 is paused, 7 is done."""
    ended = BatchCounts(3, 0, 0, 0, 0, 3, 0, 0, 0)
    return {
        8: batch(8, BatchStatus.PAUSED, reason="15 of 60 failed, 15 are enough to stop"),
        7: batch(7, BatchStatus.DONE, ended, finished_at=ASKED, note=None),
    }


class StubBatches:
    """The batches that a test puts into `known`, newest first."""

    def __init__(self) -> None:
        self.known: dict[int, Batch] = {}
        self.asked: list[tuple[Any, ...]] = []

    def all(self, limit: int | None = None) -> list[Batch]:
        return list(self.known.values())

    def get(self, number: int) -> Batch:
        return self.known[number]

    def jobs(self, number: int) -> Iterator[BatchJob]:
        yield BatchJob(811, 2, Status.SUCCEEDED, None, None)
        yield BatchJob(812, 2, Status.FAILED, Error("422: name is \x1b]0;taken", "http"), None)
        yield BatchJob(813, None, None, None, Refusal(813, "trigger_expired", "its trigger data was removed"))
        yield BatchJob(814, 2, Status.IN_DOUBT, None, None)
        yield BatchJob(815, 2, Status.QUEUED, None, None)

    def failed(self, number: int) -> tuple[int, ...]:
        return (812,)

    def resume(self, number: int, *, by: str) -> Batch:
        return self._moved("resume", number, BatchStatus.RUNNING)

    def pause(self, number: int, *, by: str) -> Batch:
        return self._moved("pause", number, BatchStatus.PAUSED)

    def cancel(self, number: int, *, by: str) -> Batch:
        return self._moved("cancel", number, BatchStatus.CANCELED)

    def set_rate(self, number: int, per_second: float | None, *, by: str) -> Batch:
        self.asked.append(("rate", number, per_second))
        self.known[number] = dataclasses.replace(self.known[number], rate=per_second)
        return self.known[number]

    def _moved(self, verb: str, number: int, to: BatchStatus) -> Batch:
        self.asked.append((verb, number))
        self.known[number] = dataclasses.replace(self.known[number], status=to, reason=None)
        return self.known[number]
