"""Bulk reruns: a frozen list of jobs, queued a chunk a transaction, let go a few at a time, counted to the job.

The versions of a batch are its queue: they are there from the start, at the lowest priority, and wait until the engine
lets them go. Whoever works on a batch, the one who asked or an engine, works on what the store says is left: both may
do it at once, and either may die.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, and_, exists, func, or_, select, tuple_, update

from data.job_records import Refusal
from data.jobs import error_of
from data.records import Batch, BatchCounts, BatchJob
from data.runs import BULK
from data.states import BATCH_MOVES, OPEN, BatchStatus, Status
from data.tables import KEPT, LATEST, batch_jobs, batches, jobs, versions

_QUEUED = versions.c.status == Status.QUEUED.value
_ACTIVE = versions.c.status.in_([Status.QUEUED.value, Status.RUNNING.value])


@dataclass(frozen=True, slots=True)
class Wanted:
    """A job on the list of a batch: the version that it gets, and the revision which that runs."""

    job_id: int
    number: int
    revision_id: int


def create(
    connection: Connection, asked: dict[str, Any], wanted: Iterable[Wanted], refused: Iterable[Refusal],
    now: dt.datetime,
) -> int:
    """Store a batch with its whole list and return its id; `asked` are columns of `batches`. Nothing is queued yet."""
    made = connection.execute(
        batches.insert().values(status=BatchStatus.RUNNING, requested_at=now, resumed_at=now, **asked)
    )
    batch_id = made.inserted_primary_key[0]
    rows = [
        {"batch_id": batch_id, "job_id": one.job_id, "number": one.number, "revision_id": one.revision_id}
        for one in wanted
    ]
    connection.execute(batch_jobs.insert(), rows)
    _refuse(connection, batch_id, refused)
    return batch_id


def _refuse(connection: Connection, batch_id: int, refused: Iterable[Refusal]) -> None:
    # A job that does not exist has no place on a list of jobs.
    rows = [
        {"batch_id": batch_id, "job_id": one.id, "code": one.code, "message": one.message}
        for one in refused if one.code != "no_such_job"
    ]
    if rows:
        connection.execute(batch_jobs.insert(), rows)


# Queued


def queue_next(connection: Connection, batch_id: int, limit: int) -> tuple[list[int], bool]:
    """Queue the next versions of a batch's list; return the jobs that had moved meanwhile, and whether more are left.

    Those that had moved are still to be refused, in this transaction (`refuse_late`).
    """
    batch = connection.execute(select(batches).where(batches.c.id == batch_id)).one()
    if batch.whole:
        return [], False
    listed = connection.execute(
        select(batch_jobs.c.job_id, batch_jobs.c.number, batch_jobs.c.revision_id)
        .where(
            batch_jobs.c.batch_id == batch_id, batch_jobs.c.code.is_(None), batch_jobs.c.job_id > (batch.queued_to or 0)
        )
        .order_by(batch_jobs.c.job_id)
        .limit(limit)
    ).all()
    more = len(listed) == limit
    moved = _take_over(connection, listed) if listed else {}
    rows = [_version(batch, one, moved[one.job_id]) for one in listed if one.job_id in moved]
    if rows:
        connection.execute(versions.insert(), rows)
    connection.execute(
        update(batches)
        .where(batches.c.id == batch_id)
        .values(queued_to=listed[-1].job_id if more else None, whole=not more)
    )
    return [one.job_id for one in listed if one.job_id not in moved], more


def _take_over(connection: Connection, listed: Sequence[Row[Any]]) -> dict[int, Row[Any]]:
    """Make place for the next version of each job whose latest is still the one that was looked at, and has ended."""
    before = [(one.job_id, one.number - 1) for one in listed]
    rows = connection.execute(
        update(versions)
        .where(
            tuple_(versions.c.job_id, versions.c.number).in_(before), LATEST, KEPT, versions.c.status.not_in(OPEN)
        )
        .values(latest=False)
        .returning(versions.c.job_id, versions.c.recipe_id, versions.c.event)
    )
    return {row.job_id: row for row in rows}


def _version(batch: Row[Any], listed: Row[Any], before: Row[Any]) -> dict[str, Any]:
    return {
        "job_id": listed.job_id, "recipe_id": before.recipe_id, "number": listed.number, "latest": True,
        "status": Status.QUEUED, "revision_id": listed.revision_id, "mode": batch.mode,
        "requested_by": batch.requested_by, "requested_at": batch.requested_at, "note": batch.note, "priority": BULK,
        "attempt": 1, "event": before.event, "batch_id": batch.id, "waits": True,
    }


def refuse_late(connection: Connection, batch_id: int, refused: Iterable[Refusal]) -> None:
    """Note why jobs of the list were not queued after all."""
    for one in refused:
        connection.execute(
            update(batch_jobs)
            .where(batch_jobs.c.batch_id == batch_id, batch_jobs.c.job_id == one.id)
            .values(code=one.code, message=one.message)
        )


# Let go


def recipes_waiting(connection: Connection, batch_id: int) -> dict[int, int]:
    """Return the recipes of which versions wait, each with how many that were let go nobody has claimed yet."""
    waiting = connection.execute(
        select(versions.c.recipe_id).where(versions.c.batch_id == batch_id, _QUEUED, versions.c.waits.is_(True))
        .distinct()
    ).scalars()
    unclaimed = connection.execute(
        select(versions.c.recipe_id, func.count())
        .where(versions.c.batch_id == batch_id, _QUEUED, versions.c.waits.is_(False))
        .group_by(versions.c.recipe_id)
    )
    gone = {row[0]: row[1] for row in unclaimed}
    return {recipe_id: gone.get(recipe_id, 0) for recipe_id in waiting}


class Listed(NamedTuple):
    """A version of a batch, in the order in which the events came, and what its event tells of."""

    job_id: int
    version_id: int
    object_key: str | None


def waiting_after(connection: Connection, batch_id: int, recipe_id: int, job_id: int, limit: int) -> list[Listed]:
    """Return the next versions of a recipe that wait, of jobs after this one."""
    rows = connection.execute(
        select(versions.c.job_id, versions.c.id, jobs.c.object_key)
        .join(jobs, jobs.c.id == versions.c.job_id)
        .where(*_waits(batch_id), versions.c.recipe_id == recipe_id, versions.c.job_id > job_id)
        .order_by(versions.c.job_id)
        .limit(limit)
    )
    return [Listed(*row) for row in rows]


def waiting_of_object(connection: Connection, batch_id: int, recipe_id: int, object_key: str) -> Listed | None:
    """Return the first version that waits of the jobs of an object."""
    row = connection.execute(
        select(jobs.c.id, versions.c.id, jobs.c.object_key)
        .join(versions, versions.c.job_id == jobs.c.id)
        .where(
            jobs.c.recipe_id == recipe_id, jobs.c.object_key == object_key, jobs.c.object_key.is_not(None), LATEST,
            *_waits(batch_id),
        )
        .order_by(jobs.c.id)
        .limit(1)
    ).first()
    return None if row is None else Listed(*row)


def gone(connection: Connection, batch_id: int) -> list[tuple[int, Listed]]:
    """Return the versions that were let go and have not ended, each with its recipe."""
    rows = connection.execute(
        select(versions.c.recipe_id, versions.c.job_id, versions.c.id, jobs.c.object_key)
        .join(jobs, jobs.c.id == versions.c.job_id)
        .where(versions.c.batch_id == batch_id, _ACTIVE, versions.c.waits.is_(False))
    )
    return [(row[0], Listed(*row[1:])) for row in rows]


def _waits(batch_id: int) -> list[Any]:
    return [versions.c.batch_id == batch_id, _QUEUED, versions.c.waits.is_(True)]


def let_go(connection: Connection, batch_id: int, version_ids: Sequence[int]) -> None:
    """Let engines claim these versions of a batch that runs; of one that was paused meanwhile, nothing goes."""
    runs = exists().where(batches.c.id == batch_id, batches.c.status == BatchStatus.RUNNING.value)
    connection.execute(update(versions).where(versions.c.id.in_(version_ids), _QUEUED, runs).values(waits=False))


def _hold_back(connection: Connection, batch_id: int) -> None:
    connection.execute(
        update(versions).where(versions.c.batch_id == batch_id, _QUEUED, versions.c.waits.is_(False)).values(waits=True)
    )


# Moved


def _move(connection: Connection, batch_id: int, to: BatchStatus, **values: Any) -> bool:
    sources = [status.value for status, moves in BATCH_MOVES.items() if to in moves]
    moved = connection.execute(
        update(batches).where(batches.c.id == batch_id, batches.c.status.in_(sources)).values(status=to, **values)
    )
    return bool(moved.rowcount)


def pause(connection: Connection, batch_id: int, reason: str) -> bool:
    """Let nothing more go; what runs ends. False where the batch does not run."""
    # running -> paused
    paused = _move(connection, batch_id, BatchStatus.PAUSED, reason=reason)
    if paused:
        _hold_back(connection, batch_id)
    return paused


def resume(connection: Connection, batch_id: int, now: dt.datetime) -> bool:
    """Go on: a canary has been looked at, and what failed so far counts no more. False where it is not paused."""
    # paused -> running
    return _move(connection, batch_id, BatchStatus.RUNNING, reason=None, canary=None, resumed_at=now)


def cancel(connection: Connection, batch_id: int, by: str) -> bool:
    """Begin to cancel what has not begun (`cancel_next` does it); what runs ends. False where the batch has ended."""
    # running, paused -> canceled
    canceled = _move(connection, batch_id, BatchStatus.CANCELED, reason=None, canceled_by=by)
    if canceled:
        _hold_back(connection, batch_id)
        connection.execute(
            update(batch_jobs)
            .where(
                batch_jobs.c.batch_id == batch_id, batch_jobs.c.code.is_(None),
                batch_jobs.c.job_id > select(func.coalesce(batches.c.queued_to, 0)).where(
                    batches.c.id == batch_id, batches.c.whole.is_(False)).scalar_subquery(),
            )
            .values(code="canceled", message=f"the batch was canceled by {by} before the job was queued")
        )
        connection.execute(update(batches).where(batches.c.id == batch_id).values(whole=True, queued_to=None))
    return canceled


def cancel_next(connection: Connection, batch_id: int, by: str, limit: int, now: dt.datetime) -> bool:
    """Cancel queued versions of a batch; return whether more are left."""
    some = select(versions.c.id).where(versions.c.batch_id == batch_id, _QUEUED).limit(limit)
    # queued -> canceled
    canceled = connection.execute(
        update(versions)
        .where(versions.c.id.in_(some), _QUEUED)
        .values(
            status=Status.CANCELED, canceled_by=by, canceled_at=now, finished_at=now,
            error_kind="canceled", error_message=f"canceled by {by} with batch {batch_id}",
        )
    ).rowcount
    return canceled == limit


def finish(connection: Connection, batch_id: int, now: dt.datetime) -> bool:
    """Note that nothing of a batch is queued or runs any more; False where something does."""
    active = exists().where(versions.c.batch_id == batch_id, _ACTIVE)
    ended = connection.execute(
        update(batches)
        .where(
            batches.c.id == batch_id, batches.c.whole.is_(True), batches.c.finished_at.is_(None),
            batches.c.status != BatchStatus.PAUSED.value, ~active,
        )
        .values(finished_at=now)
    ).rowcount
    if ended:
        # running -> done; one that was canceled stays that
        _move(connection, batch_id, BatchStatus.DONE)
    return bool(ended)


def set_rate(connection: Connection, batch_id: int, rate: float | None) -> bool:
    """Have at most so many jobs a second begin, None for as many as can; False where the batch has ended."""
    open_ = and_(batches.c.id == batch_id, batches.c.finished_at.is_(None))
    return bool(connection.execute(update(batches).where(open_).values(rate=rate)).rowcount)


# Read


def any_under_way(connection: Connection) -> bool:
    """Return whether an engine has something to do for a batch: one runs, or is being canceled."""
    return connection.execute(
        select(batches.c.id).where(_OPEN, batches.c.status != BatchStatus.PAUSED.value).limit(1)
    ).first() is not None


_OPEN = batches.c.finished_at.is_(None)


def open_ids(connection: Connection) -> dict[int, str]:
    """Return the batches that have not ended, in the order in which they were asked for, each with its own order."""
    rows = connection.execute(select(batches.c.id, batches.c.order).where(_OPEN).order_by(batches.c.id))
    return {row[0]: row[1] for row in rows}


def any_gone(connection: Connection, batch_id: int) -> bool:
    """Return whether a version that a batch has let go has not ended yet; cheap, however many jobs it has."""
    gone = select(versions.c.id).where(versions.c.batch_id == batch_id, _ACTIVE, versions.c.waits.is_(False))
    return connection.execute(gone.limit(1)).first() is not None


def all_ids(connection: Connection, limit: int | None = None) -> list[int]:
    """Return the batches, newest first."""
    return list(connection.execute(select(batches.c.id).order_by(batches.c.id.desc()).limit(limit)).scalars())


def batch(connection: Connection, batch_id: int) -> Batch | None:
    """Return a batch as it stands, None if there is none."""
    row = connection.execute(select(batches).where(batches.c.id == batch_id)).first()
    if row is None:
        return None
    return Batch(
        row.id, BatchStatus(row.status), row.reason, row.canceled_by, row.requested_by, row.requested_at, row.note,
        row.plan, row.mode, row.order, row.rate, row.canary, row.stop_failures, row.stop_share, row.whole,
        row.resumed_at, row.finished_at, counts(connection, batch_id),
    )  # fmt: skip


def counts(connection: Connection, batch_id: int) -> BatchCounts:
    """Return how the jobs of a batch stand."""
    listed, refused = connection.execute(
        select(func.count(), func.count(batch_jobs.c.code)).where(batch_jobs.c.batch_id == batch_id)
    ).one()
    by: dict[Status, int] = {}
    held = 0
    rows = connection.execute(
        select(versions.c.status, versions.c.waits, func.count())
        .where(versions.c.batch_id == batch_id)
        .group_by(versions.c.status, versions.c.waits)
    )
    for status, waits, count in rows:
        if status == Status.QUEUED and waits:
            held = count
        else:
            by[Status(status)] = by.get(Status(status), 0) + count
    unqueued = listed - refused - held - sum(by.values())
    return BatchCounts(
        listed, refused, held + unqueued, *(by.get(status, 0) for status in (
            Status.QUEUED, Status.RUNNING, Status.SUCCEEDED, Status.FAILED, Status.CANCELED, Status.IN_DOUBT))
    )


def since_resumed(connection: Connection, batch: Batch) -> tuple[int, int, str | None]:
    """Return how many versions of a batch ended since it was last resumed, how many of them failed, and one's error
    group that nothing had before it was."""
    ended = (versions.c.batch_id == batch.id, versions.c.finished_at >= batch.resumed_at)
    number = connection.execute(
        select(func.count()).where(*ended, versions.c.status.in_([Status.SUCCEEDED.value, Status.FAILED.value]))
    ).scalar_one()
    failed = connection.execute(
        select(versions.c.error_group, func.count())
        .where(*ended, versions.c.status == Status.FAILED.value)
        .group_by(versions.c.error_group)
    ).all()
    new = next((group for group, _ in failed if group is not None and _is_new(connection, group, batch)), None)
    return number, sum(count for _, count in failed), new


def _is_new(connection: Connection, group: str, batch: Batch) -> bool:
    before = select(versions.c.id).where(
        versions.c.error_group == group, versions.c.error_group.is_not(None),
        or_(versions.c.batch_id.is_distinct_from(batch.id), versions.c.finished_at < batch.resumed_at),
    )
    return connection.execute(before.limit(1)).first() is None


def jobs_of(connection: Connection, batch_id: int, after: int, limit: int) -> list[BatchJob]:
    """Return what became of the jobs of a batch with an id above `after`, in order, at most `limit`."""
    rows = connection.execute(
        select(batch_jobs.c.job_id, batch_jobs.c.code, batch_jobs.c.message, versions)
        .join(
            versions,
            (versions.c.job_id == batch_jobs.c.job_id) & (versions.c.number == batch_jobs.c.number)
            & (versions.c.batch_id == batch_jobs.c.batch_id),
            isouter=True,
        )
        .where(batch_jobs.c.batch_id == batch_id, batch_jobs.c.job_id > after)
        .order_by(batch_jobs.c.job_id)
        .limit(limit)
    )
    return [_batch_job(row) for row in rows]


def _batch_job(row: Row[Any]) -> BatchJob:
    refusal = None if row.code is None else Refusal(row.job_id, row.code, row.message)
    status = None if row.status is None else Status(row.status)
    return BatchJob(row.job_id, row.number, status, error_of(row), refusal)


def refusals(connection: Connection, batch_id: int) -> list[Refusal]:
    """Return who of a batch was refused, and why."""
    rows = connection.execute(
        select(batch_jobs.c.job_id, batch_jobs.c.code, batch_jobs.c.message)
        .where(batch_jobs.c.batch_id == batch_id, batch_jobs.c.code.is_not(None))
        .order_by(batch_jobs.c.job_id)
    )
    return [Refusal(*row) for row in rows]


def failed_ids(connection: Connection, batch_id: int) -> list[int]:
    """Return the jobs whose version of this batch failed and is still their latest."""
    return list(
        connection.execute(
            select(versions.c.job_id)
            .where(versions.c.batch_id == batch_id, LATEST, versions.c.status == Status.FAILED.value)
            .order_by(versions.c.job_id)
        ).scalars()
    )
