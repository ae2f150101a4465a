"""Retention's work on the store: jobs held, and the data of those whose time is over removed, a batch a transaction.

Of a purged job stay its id, event key, status, times and place in the report, its versions (who asked for them and why,
the kind, step and group of their errors) and its links to called jobs. Its event, step records, report columns,
warnings, rehearsals and the messages of its errors go; its title, which was made of the event, becomes the event's key.
The keys of events stay as they are: an old event never becomes a new one.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    bindparam,
    case,
    delete,
    func,
    literal_column,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.sqlite import insert

from data.encoding import EPOCH, from_micros, to_micros
from data.job_records import Hold
from data.states import Status
from data.tables import (
    KEPT,
    LATEST,
    calls,
    holds,
    jobs,
    meta,
    payloads,
    rehearsals,
    steps,
    versions,
)

BATCH = 50
"""Jobs looked at in one transaction: other writers wait so long, and what it changes fits into SQLite's cache."""

REMOVED = "removed by retention"
"""What stands for the message of an error: it quoted the data."""


class Place(NamedTuple):
    """Where a walk over due jobs stands."""

    finished_at: dt.datetime
    job_id: int


START = Place(EPOCH, 0)


@dataclass(frozen=True, slots=True)
class Due:
    """Jobs of a recipe whose latest version has this status and ended before a moment."""

    recipe_id: int
    status: Status
    before: dt.datetime


@dataclass(frozen=True, slots=True)
class Batch:
    """What one look at due jobs came to."""

    jobs: int
    """Whose data was removed, or would be."""
    bytes: int
    """Of events, step data, report columns, rehearsals and messages."""
    waiting: int
    """Called by jobs that still have their data: these may call them again, and rely on what they did."""
    next: Place | None
    """Where to go on; None where nothing more is due."""


def look(connection: Connection, due: Due, after: Place) -> Batch:
    """Return what `remove` would do from a place on."""
    found = _found(connection, due, after)
    return Batch(len(found.ids), _size(connection, found.ids), found.waiting, found.next)


def remove(connection: Connection, due: Due, after: Place, now: dt.datetime, rule: str) -> Batch:
    """Remove the data of the next due jobs after a place; the jobs remember when and by which rule."""
    found = _found(connection, due, after)
    size = _size(connection, found.ids)
    if found.ids:
        for statement in _REMOVE:
            connection.execute(statement, {"ids": found.ids, "now": now, "rule": rule})
        _remember(connection, _REMOVED_AT, now)
    return Batch(len(found.ids), size, found.waiting, found.next)


class _Found(NamedTuple):
    ids: list[int]
    waiting: int
    next: Place | None


def _found(connection: Connection, due: Due, after: Place) -> _Found:
    rows = connection.execute(
        _DUE,
        {
            "recipe": due.recipe_id, "status": due.status.value, "before": to_micros(due.before),
            "at": to_micros(after.finished_at), "id": after.job_id, "most": BATCH,
        },
    ).all()
    ids = [row.job_id for row in rows]
    kept = set(connection.execute(_HELD, {"ids": ids}).scalars()) if ids else set()
    waiting = set(connection.execute(_CALLED, {"ids": ids}).scalars()) - kept if ids else set()
    place = Place(from_micros(rows[-1].finished), ids[-1]) if len(rows) == BATCH else None
    return _Found([id for id in ids if id not in kept | waiting], len(waiting), place)


def _size(connection: Connection, ids: Collection[int]) -> int:
    return sum(connection.execute(statement, {"ids": ids}).scalar_one() for statement in _SIZES) if ids else 0


# A plain number beside the column's microseconds: the row value is compared as the index has it.
_FINISHED: ColumnElement[int] = literal_column("versions.finished_at")
_DUE = (
    select(_FINISHED.label("finished"), versions.c.job_id)
    .where(
        LATEST, KEPT, versions.c.recipe_id == bindparam("recipe"), versions.c.status == bindparam("status"),
        _FINISHED < bindparam("before"),  # noqa: SIM300 - the column is what is compared
        tuple_(_FINISHED, versions.c.job_id) > tuple_(bindparam("at"), bindparam("id")),
    )
    .order_by(_FINISHED, versions.c.job_id)
    .limit(bindparam("most"))
)
_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_HELD = select(holds.c.job_id).where(holds.c.job_id.in_(_IDS))
_child, _parent = versions.alias("child"), versions.alias("parent")
_CALLED = (
    select(_child.c.job_id)
    .join(calls, calls.c.child_version_id == _child.c.id)
    .join(_parent, _parent.c.id == calls.c.parent_version_id)
    .where(_child.c.job_id.in_(_IDS), _parent.c.expired.is_(False))
)
_OF_THEM = versions.c.job_id.in_(_IDS)
_VERSION_IDS = select(versions.c.id).where(_OF_THEM)


def _lengths(*columns: Any) -> Any:
    return func.coalesce(func.sum(sum(func.coalesce(func.length(column), 0) for column in columns)), 0)


def _text(name: str) -> Any:
    # As the text that is stored, not as the document that it says.
    return literal_column(name)


_SIZES = (
    select(_lengths(payloads.c.event)).where(payloads.c.job_id.in_(_IDS)),
    select(_lengths(steps.c.input, steps.c.output, _text("steps.error"))).where(steps.c.version_id.in_(_VERSION_IDS)),
    select(
        _lengths(versions.c.event, _text("versions.report"), _text("versions.warnings"), versions.c.error_message)
    ).where(_OF_THEM),
    select(_lengths(_text("rehearsals.content"))).where(rehearsals.c.job_id.in_(_IDS)),
)
_REMOVE = (
    delete(rehearsals).where(rehearsals.c.job_id.in_(_IDS)),
    delete(steps).where(steps.c.version_id.in_(_VERSION_IDS)),
    delete(payloads).where(payloads.c.job_id.in_(_IDS)),
    update(versions).where(_OF_THEM).values(
        expired=True, event=None, report=None, warnings=None,
        error_message=case((versions.c.error_message.is_not(None), REMOVED)),
    ),
    update(jobs).where(jobs.c.id.in_(_IDS)).values(
        title=jobs.c.event_key, trigger_expired_at=bindparam("now", type_=jobs.c.trigger_expired_at.type),
        trigger_expired_by=bindparam("rule"),
    ),
)


# Holds


def hold(connection: Connection, job_id: int, held: Hold) -> bool:
    """Keep a job's data past its retention; False if its data is gone, or somebody holds it already."""
    kept = select(versions.c.id).where(versions.c.job_id == job_id, LATEST, KEPT)
    if connection.execute(kept).first() is None:
        return False
    made = connection.execute(
        insert(holds)
        .values(job_id=job_id, reason=held.reason, held_by=held.by, held_at=held.at)
        .on_conflict_do_nothing()
    )
    return bool(made.rowcount)


def release(connection: Connection, job_id: int) -> bool:
    """Let retention have a job's data again; False if nobody holds it."""
    return bool(connection.execute(delete(holds).where(holds.c.job_id == job_id)).rowcount)


# Runs

_COMPLETED, _REMOVED_AT = "purge.completed_at", "purge.removed_at"


def completed_at(connection: Connection) -> dt.datetime | None:
    """Return when retention was last applied to every job."""
    return _remembered(connection, _COMPLETED)


def removed_at(connection: Connection) -> dt.datetime | None:
    """Return when data was last removed: until the write-ahead log is emptied, it is still in there."""
    return _remembered(connection, _REMOVED_AT)


def remember_completed(connection: Connection, now: dt.datetime) -> None:
    """Remember that retention was applied to every job."""
    _remember(connection, _COMPLETED, now)


def _remembered(connection: Connection, key: str) -> dt.datetime | None:
    value = connection.execute(select(meta.c.value).where(meta.c.key == key)).scalar()
    return None if value is None else from_micros(int(value))


def _remember(connection: Connection, key: str, now: dt.datetime) -> None:
    statement = insert(meta).values(key=key, value=str(to_micros(now)))
    replaced = {"value": statement.excluded.value}
    connection.execute(statement.on_conflict_do_update(index_elements=["key"], set_=replaced))
