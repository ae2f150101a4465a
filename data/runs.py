"""Runs of versions: claimed, written under their token, taken back after a crash.

Every function takes a connection, so that a caller composes them into one transaction. A status is moved only here and
in data.jobs, by an UPDATE that names the statuses it may come from; what it returns says who got the move.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Connection, Dialect, Row, bindparam, func, literal, select, text, update
from sqlalchemy.dialects.sqlite import insert

from data.records import Error, JsonValue
from data.states import OPEN, Status, StepStatus, sources
from data.tables import dump_json, payloads, revisions, steps, to_micros, versions

NEW_EVENT, RERUN = 0, -10
"""Priorities: reruns go behind new events."""

POISON_AFTER = 3
"""How often a version's process may die without the version getting further before it is given up."""


def error_columns(error: Error | None) -> dict[str, Any]:
    """Return an error as the columns of `versions` hold it."""
    return {
        "error_message": error and error.message,
        "error_kind": error and error.kind,
        "error_step": error and error.step,
        "error_status": error and error.status,
        "error_group": error and error.group,
    }


@dataclass(frozen=True, slots=True)
class Token:
    """Who holds a running version: every later write of the run carries it."""

    version_id: int
    attempt: int
    owner: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """A version that this process may now run."""

    token: Token
    job_id: int
    number: int
    recipe_id: int
    revision_id: int
    mode: str
    started_at: dt.datetime
    event: JsonValue
    event_stored: bool
    warnings: tuple[str, ...]
    """What the version was warned of before this run."""


def waiting_recipes(connection: Connection) -> list[int]:
    """Return the recipes that have queued versions, by a hop from one to the next in the index."""
    found: list[int] = []
    last = -1
    while True:
        row = connection.execute(_NEXT_WAITING, {"last": last}).first()
        if row is None:
            return found
        last = row.recipe_id
        found.append(last)


_QUEUED = text("status = 'queued'")
_NEXT_WAITING = (
    select(versions.c.recipe_id)
    .where(_QUEUED, versions.c.recipe_id > bindparam("last"))
    .order_by(versions.c.recipe_id)
    .limit(1)
)


def claim(
    connection: Connection, recipe_id: int, limit: int, *, serial: bool, owner: str, now: dt.datetime
) -> list[Claimed]:
    """Move the recipe's next queued versions to running and return them; one without a revision gets the latest.

    `serial`: at most one version of the recipe may run; the store holds that by a unique index.
    """
    moved = {
        "recipe": recipe_id, "limit": limit, "me": owner, "key": f"recipe:{recipe_id}" if serial else None, "now": now,
    }
    rows = connection.execute(_CLAIM, moved).all()
    if not rows:
        return []
    events = dict(connection.execute(_EVENTS, {"ids": [row.job_id for row in rows]}).all())
    claimed = [_claimed(row, row.event or events.get(row.job_id), owner) for row in rows]
    return sorted(claimed, key=lambda one: one.token.version_id)


# Statements of the hot path are built once: building one costs more than running it.
_LATEST_REVISION = select(func.max(revisions.c.id)).where(revisions.c.recipe_id == bindparam("recipe"))
_queue = versions.alias("queue")
_NEXT_QUEUED = (
    select(_queue.c.id)
    .where(text("queue.status = 'queued'"), _queue.c.recipe_id == bindparam("recipe"))
    .order_by(_queue.c.priority.desc(), _queue.c.id)
    .limit(bindparam("limit"))
)
_CLAIM = (
    update(versions)
    .where(
        versions.c.id.in_(_NEXT_QUEUED),
        versions.c.status.in_(sources(Status.RUNNING)),
    )
    .values(
        status=Status.RUNNING.value,
        owner=bindparam("me"),
        serial_key=bindparam("key"),
        revision_id=func.coalesce(versions.c.revision_id, _LATEST_REVISION.scalar_subquery()),
        started_at=func.coalesce(versions.c.started_at, bindparam("now", type_=versions.c.started_at.type)),
    )
    .returning(
        versions.c.id, versions.c.attempt, versions.c.job_id, versions.c.number, versions.c.recipe_id,
        versions.c.revision_id, versions.c.mode, versions.c.started_at, versions.c.event, versions.c.warnings,
    )
)
_EVENTS = select(payloads.c.job_id, payloads.c.event).where(payloads.c.job_id.in_(bindparam("ids", expanding=True)))


def _claimed(row: Row[Any], event: str | None, owner: str) -> Claimed:
    return Claimed(
        token=Token(row.id, row.attempt, owner),
        job_id=row.job_id,
        number=row.number,
        recipe_id=row.recipe_id,
        revision_id=row.revision_id,
        mode=row.mode,
        started_at=row.started_at,
        event=None if event is None else json.loads(event),
        event_stored=event is not None,
        warnings=tuple(row.warnings or ()),
    )


@dataclass(frozen=True, slots=True)
class StepWrite:
    """A step record as a run writes it; input and output are JSON text, or None for nothing."""

    path: str
    ordinal: int
    step_id: str
    status: StepStatus
    attempts: int
    action: str | None = None
    effect: str | None = None
    on_doubt: str | None = None
    branch: str | None = None
    index: tuple[int, ...] = ()
    input: str | None = None
    output: str | None = None
    error: Error | None = None
    started_at: dt.datetime | None = None
    duration_ms: int | None = None
    resolved_by: str | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """How a run of a version settled: an end, or in doubt."""

    status: Status
    finished_at: dt.datetime
    duration_ms: int
    error: Error | None = None
    report: JsonValue = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    """What a run writes at once: step records, and how it settled, if it has."""

    token: Token
    records: Sequence[StepWrite]
    settled: Settled | None = None


_step_insert = insert(steps).values({column.name: bindparam(column.name) for column in steps.c})
_STEP_UPSERT = _step_insert.on_conflict_do_update(
    index_elements=["version_id", "path"],
    set_={
        name: _step_insert.excluded[name]
        for name in (
            "status", "attempts", "effect", "on_doubt", "branch", "input", "output", "error", "started_at",
            "duration_ms", "resolved_by",
        )
    },
)  # fmt: skip


def record(connection: Connection, progress: Sequence[Progress]) -> set[int]:
    """Write what runs have to say and return the version ids of those whose token was taken over: nothing is written.

    The fence is one query for all of them; it holds until the transaction ends, because only one may write.
    """
    tokens: set[Token] = set()
    for owner in {one.token.owner for one in progress}:
        tokens.update(Token(*row, owner) for row in connection.execute(_HOLDING, {"owner": owner}))
    held = [one for one in progress if one.token in tokens]
    begun = [_step_row(one.token.version_id, step) for one in held for step in one.records]
    _write_many(connection, _STEP_UPSERT, begun)
    ends = [_settled_row(one.token.version_id, one.settled) for one in held if one.settled is not None]
    _write_many(connection, _SETTLE, ends)
    return {one.token.version_id for one in progress} - {one.token.version_id for one in held}


_HOLDING = select(versions.c.id, versions.c.attempt).where(
    text("status = 'running'"), versions.c.owner == bindparam("owner")
)


def _write_many(connection: Connection, statement: Any, rows: list[dict[str, Any]]) -> None:
    """Run a statement for each row; the rows hold what the driver takes, so that it gets them as they are."""
    if rows:
        sql, names, fixed = _compiled(connection.dialect, statement)
        connection.exec_driver_sql(sql, [tuple([row.get(name, fixed[name]) for name in names]) for row in rows])


@cache
def _compiled(dialect: Dialect, statement: Any) -> tuple[str, list[str], dict[str, Any]]:
    compiled = statement.compile(dialect=dialect)
    return compiled.string, compiled.positiontup, compiled.params


def _step_row(version_id: int, written: StepWrite) -> dict[str, Any]:
    error = written.error
    return {
        "version_id": version_id,
        "path": written.path,
        "ordinal": written.ordinal,
        "step_id": written.step_id,
        "action": written.action,
        "effect": written.effect,
        "on_doubt": written.on_doubt,
        "status": written.status.value,
        "branch": written.branch,
        "index": dump_json(written.index) if written.index else None,
        "attempts": written.attempts,
        "input": written.input,
        "output": written.output,
        "error": error and dump_json(_step_error(error)),
        "started_at": written.started_at and to_micros(written.started_at),
        "duration_ms": written.duration_ms,
        "resolved_by": written.resolved_by,
    }


def _step_error(error: Error) -> dict[str, Any]:
    return {"message": error.message, "kind": error.kind, "status": error.status}


def _settled_row(version_id: int, settled: Settled) -> dict[str, Any]:
    # running -> succeeded, failed, canceled, in_doubt, queued; the fence has just seen it running
    ended = settled.status not in OPEN
    return {
        "version": version_id,
        "to": settled.status.value,
        "more": 1 if settled.status is Status.QUEUED else 0,
        "finished": to_micros(settled.finished_at) if ended else None,
        "duration": settled.duration_ms if ended else None,
        "report_": dump_json(settled.report) if settled.report else None,
        "warnings_": dump_json(settled.warnings) if settled.warnings else None,
        **{f"{name}_": value for name, value in error_columns(settled.error).items()},
    }


_SETTLE = (
    update(versions)
    .where(versions.c.id == bindparam("version"), versions.c.status == Status.RUNNING)
    .values(
        status=bindparam("to"), attempt=versions.c.attempt + bindparam("more"), owner=None, serial_key=None,
        finished_at=bindparam("finished"), duration_ms=bindparam("duration"), report=bindparam("report_"),
        warnings=bindparam("warnings_"),
        **{name: bindparam(f"{name}_") for name in error_columns(None)},
    )
)  # fmt: skip


# Crashes


def recover(connection: Connection, living: str, now: dt.datetime) -> dict[Status, int]:
    """Take back every running version that the boot `living` does not own: its process is dead.

    Steps under way whose policy is `hold` become in doubt, and their version with them; the others go on as the next
    attempt. Return how many versions were queued again, put in doubt, or given up.
    """
    told: dict[Status, int] = {}
    dead = connection.execute(
        select(versions).where(versions.c.status == Status.RUNNING, versions.c.owner.is_distinct_from(living))
    ).all()
    for version in dead:
        status = _take_back(connection, version, now)
        told[status] = told.get(status, 0) + 1
    return told


def take_back(connection: Connection, token: Token, now: dt.datetime) -> None:
    """Take a running version back from a run that broke off, as `recover` does; nothing if the token is gone."""
    row = connection.execute(
        select(versions).where(
            versions.c.id == token.version_id, versions.c.attempt == token.attempt,
            versions.c.status == Status.RUNNING,
        )
    ).first()
    if row is not None:
        _take_back(connection, row, now)


def _take_back(connection: Connection, version: Row[Any], now: dt.datetime) -> Status:
    under_way = steps.c.version_id == version.id, steps.c.status == StepStatus.RUNNING
    acting = connection.execute(select(steps.c.path).where(*under_way, steps.c.on_doubt.is_not(None))).first()
    connection.execute(
        update(steps).where(*under_way, steps.c.on_doubt == "skip").values(status=StepStatus.SKIPPED, output="null")
    )
    held = connection.execute(
        update(steps).where(*under_way, steps.c.on_doubt == "hold").values(status=StepStatus.IN_DOUBT)
    ).rowcount
    ended = connection.execute(
        select(func.count()).where(steps.c.version_id == version.id, steps.c.status != StepStatus.RUNNING)
    ).scalar_one()
    if acting is None:
        # It waited, for a retry or for a child: whatever killed the process, it was not this version.
        recoveries = version.recoveries
    else:
        recoveries = version.recoveries + 1 if ended == version.progress else 1
    values: dict[str, Any] = {"attempt": version.attempt + 1, "owner": None, "serial_key": None}
    if held:
        status = Status.IN_DOUBT
    elif recoveries >= POISON_AFTER:
        status = Status.FAILED
        error = Error(f"its process died {recoveries} times at the same step; it is not tried again", "poison")
        values |= error_columns(error) | {"finished_at": now, "duration_ms": None}
        connection.execute(update(steps).where(*under_way).values(status=StepStatus.FAILED, error=_step_error(error)))
    else:
        status = Status.QUEUED
    connection.execute(
        update(versions)
        .where(versions.c.id == version.id, versions.c.status.in_(sources(status)))
        .values(status=status, recoveries=recoveries, progress=ended, **values)
    )
    return status


def settle_doubt(
    connection: Connection, version_id: int, path: str, *, happened: bool, output: JsonValue, by: str
) -> bool:
    """Settle a step in doubt: it succeeded with `output`, or it is to be done again. False if it is not in doubt.

    With the last such step settled, the version is queued again as its next attempt.
    """
    values: dict[str, Any] = {"resolved_by": by}
    if happened:
        values |= {"status": StepStatus.SUCCEEDED, "output": dump_json(output), "error": None}
    else:
        values |= {"status": StepStatus.NOT_REACHED, "output": None, "error": None}
    moved = connection.execute(
        update(steps)
        .where(steps.c.version_id == version_id, steps.c.path == path, steps.c.status == StepStatus.IN_DOUBT)
        .values(values)
    ).rowcount
    if not moved:
        return False
    left = select(literal(1)).where(steps.c.version_id == version_id, steps.c.status == StepStatus.IN_DOUBT)
    # in_doubt -> queued
    connection.execute(
        update(versions)
        .where(versions.c.id == version_id, versions.c.status == Status.IN_DOUBT, ~left.exists())
        .values(status=Status.QUEUED, attempt=versions.c.attempt + 1, **error_columns(None))
    )
    return True
