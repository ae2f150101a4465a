"""Statuses of versions, steps and batches, and the tables of the moves that a version and a batch may make."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """Status of a version, and so of its job while it is the latest."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    IN_DOUBT = "in_doubt"


class StepStatus(StrEnum):
    """Status of a step record; `not_reached` is told of declared steps that have no record, or one set back."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    HANDLED = "handled"
    SKIPPED = "skipped"
    REUSED = "reused"
    IN_DOUBT = "in_doubt"
    CANCELED = "canceled"
    NOT_REACHED = "not_reached"


class BatchStatus(StrEnum):
    """Status of a bulk rerun."""

    RUNNING = "running"
    PAUSED = "paused"
    CANCELED = "canceled"
    DONE = "done"


BATCH_MOVES: dict[BatchStatus, frozenset[BatchStatus]] = {
    # running -> paused (by an operator, a canary or too many failures), canceled, done
    BatchStatus.RUNNING: frozenset({BatchStatus.PAUSED, BatchStatus.CANCELED, BatchStatus.DONE}),
    # paused -> running (resumed), canceled
    BatchStatus.PAUSED: frozenset({BatchStatus.RUNNING, BatchStatus.CANCELED}),
    BatchStatus.CANCELED: frozenset(),
    BatchStatus.DONE: frozenset(),
}

MOVES: dict[Status, frozenset[Status]] = {
    # queued -> running (claimed), canceled (by an operator)
    Status.QUEUED: frozenset({Status.RUNNING, Status.CANCELED}),
    # running -> queued (its process died and it goes on), in_doubt, or an end
    Status.RUNNING: frozenset({Status.QUEUED, Status.IN_DOUBT, Status.SUCCEEDED, Status.FAILED, Status.CANCELED}),
    # in_doubt -> queued (resolved), canceled
    Status.IN_DOUBT: frozenset({Status.QUEUED, Status.CANCELED}),
    Status.SUCCEEDED: frozenset(),
    Status.FAILED: frozenset(),
    Status.CANCELED: frozenset(),
}

OPEN = frozenset(status for status, moves in MOVES.items() if moves)
"""The statuses of a version that has not ended; at most one version of a job has one."""

ENDED = frozenset(MOVES) - OPEN

REPLAYED = frozenset({StepStatus.SUCCEEDED, StepStatus.HANDLED, StepStatus.SKIPPED, StepStatus.REUSED})
"""Step statuses that a later attempt of the same version takes over instead of acting again."""


def sources(target: Status) -> frozenset[Status]:
    """Return the statuses from which a version may move to `target`: the guard of its UPDATE."""
    return frozenset(status for status, moves in MOVES.items() if target in moves)
