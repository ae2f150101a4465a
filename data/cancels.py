"""Cancellations: a version that has not ended is ended, or, while a writing step acts, asked to end.

The store is the judge of the race with the run: a step's start is durable before it acts, so a version without the
record of a writing step under way writes nothing outside, and once its token is gone it begins nothing more. A run
that was asked is ended by its next write (data.runs.record).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Connection, and_, literal, or_, select, type_coerce, update

from data.encoding import to_micros
from data.job_records import Error
from data.states import OPEN, Status, StepStatus, sources
from data.tables import LATEST, calls, error_columns, steps, versions


@dataclass(frozen=True, slots=True)
class Became:
    """What a cancellation found of a job, and made of it."""

    job_id: int
    number: int
    """Its latest version's."""
    status: Status
    """That version's, now."""
    error: str | None
    ended: bool
    """Whether this cancellation has ended it; one that is still running has been asked to end."""
    goes_on: tuple[int, ...]
    """The jobs that it had called, and that go on."""


def canceled(by: str) -> Error:
    """Return what a canceled version has as its error: it belongs to no group, since nothing failed."""
    return Error(f"canceled by {by}", "canceled")


def cancel(
    connection: Connection, job_ids: Sequence[int], by: str, now: dt.datetime, *, number: int | None = None
) -> list[Became]:
    """Cancel the latest versions of these jobs and return what became of each that there is, by id.

    `number`: only if that is the latest. A version that runs is ended at once too, unless a writing step of it is
    under way: then it is asked to, and whoever asked first stays named.
    """
    chosen = [versions.c.job_id.in_(job_ids), LATEST]
    wanted = [*chosen, *([versions.c.number == number] if number is not None else [])]
    acting = select(literal(1)).where(steps.c.version_id == versions.c.id, _WRITES)
    # queued, running, in_doubt -> canceled
    ended = connection.execute(
        update(versions)
        .where(
            *wanted, versions.c.status.in_(sources(Status.CANCELED)),
            or_(versions.c.status != Status.RUNNING, ~acting.exists()),
        )
        .values(_ended(now) | error_columns(canceled(by)) | {"canceled_by": by, "canceled_at": now})
        .returning(versions.c.id)
    ).scalars().all()
    close_steps(connection, ended, now)
    left = _called_open(connection, ended)
    connection.execute(
        update(versions)
        .where(*wanted, versions.c.status == Status.RUNNING, versions.c.canceled_at.is_(None))
        .values(canceled_by=by, canceled_at=now)
    )
    found = connection.execute(
        select(versions.c.id, versions.c.job_id, versions.c.number, versions.c.status, versions.c.error_message)
        .where(*chosen)
        .order_by(versions.c.job_id)
    )
    return [
        Became(row.job_id, row.number, Status(row.status), row.error_message, row.id in ended, left.get(row.id, ()))
        for row in found
    ]


def no_begins(rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return rows of step records without those of steps that would act from now on: their version was asked to end."""
    return [row for row in rows if row[_STATUS] != StepStatus.RUNNING or row[_ACTION] is None]


_STATUS, _ACTION = (steps.c.keys().index(name) for name in ("status", "action"))


def see_ended(connection: Connection, version_id: int, settled: Status | None) -> None:
    """End a version that was asked to, now that its run has something to say; `settled` is how, if that was its end."""
    now = dt.datetime.now(dt.UTC)
    if settled is None:
        end(connection, version_id, now)
    elif settled is Status.CANCELED:
        close_steps(connection, [version_id], now)


def end(connection: Connection, version_id: int, now: dt.datetime) -> Status:
    """End a running version that was asked to, and return how: in doubt where a writing step has no end."""
    doubted = connection.execute(
        update(steps).where(steps.c.version_id == version_id, _WRITES).values(status=StepStatus.IN_DOUBT)
    ).rowcount
    running = update(versions).where(versions.c.id == version_id, versions.c.status == Status.RUNNING)
    if doubted:
        # running -> in_doubt
        connection.execute(running.values(status=Status.IN_DOUBT, owner=None, serial_key=None))
        return Status.IN_DOUBT
    by = connection.execute(select(versions.c.canceled_by).where(versions.c.id == version_id)).scalar_one()
    # running -> canceled
    connection.execute(running.values(_ended(now) | error_columns(canceled(by))))
    close_steps(connection, [version_id], now)
    return Status.CANCELED


def close_steps(connection: Connection, version_ids: Collection[int], now: dt.datetime) -> None:
    """End the step records of canceled versions that are under way; of a write among them nobody knows, nor will."""
    of_them = steps.c.version_id.in_(version_ids)
    connection.execute(update(steps).where(of_them, _WRITES).values(status=StepStatus.IN_DOUBT))
    connection.execute(
        update(steps)
        .where(of_them, steps.c.status == StepStatus.RUNNING)
        .values(status=StepStatus.CANCELED, duration_ms=_since(steps.c.started_at, now))
    )


_WRITES = and_(
    steps.c.status == StepStatus.RUNNING, steps.c.on_doubt.is_not(None), steps.c.effect != "reads"
)


def _ended(now: dt.datetime) -> dict[str, Any]:
    return {
        "status": Status.CANCELED, "owner": None, "serial_key": None, "finished_at": now,
        "duration_ms": _since(versions.c.started_at, now),
    }


def _since(moment: Any, now: dt.datetime) -> Any:
    """Return the milliseconds since a moment of the row, rounded; null where it has none."""
    return (literal(to_micros(now) + 500, BigInteger) - type_coerce(moment, BigInteger)) // 1000


def _called_open(connection: Connection, version_ids: Sequence[int]) -> dict[int, tuple[int, ...]]:
    """Return, by version, the jobs that it has called and that go on; each is told in the version's warnings too."""
    rows = connection.execute(
        select(calls.c.parent_version_id, calls.c.path, versions.c.job_id)
        .join(versions, versions.c.id == calls.c.child_version_id)
        .where(calls.c.parent_version_id.in_(version_ids), versions.c.status.in_(OPEN))
    )
    told: dict[int, tuple[int, ...]] = {}
    for parent, path, job_id in rows.all():
        told[parent] = (*told.get(parent, ()), job_id)
        known = connection.execute(select(versions.c.warnings).where(versions.c.id == parent)).scalar()
        warnings = [*(known or ()), f"{path}: job {job_id}, which it called, goes on"]
        connection.execute(update(versions).where(versions.c.id == parent).values(warnings=warnings))
    return told
