"""Runs of versions: claimed, written under their token, taken back after a crash.

Every function takes a connection, so that a caller composes them into one transaction. A status is moved only here, in
data.jobs and in data.cancels, by an UPDATE that names the statuses it may come from; what it returns says
who got the move.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain
from typing import Any, NamedTuple

from sqlalchemy import Connection, Dialect, Row, bindparam, func, literal, literal_column, or_, select, text, update
from sqlalchemy.dialects.sqlite import insert

from data import cancels
from data.encoding import dump_json, from_micros, to_micros
from data.job_records import Error, JsonValue
from data.records import StepRecord
from data.states import OPEN, Status, StepStatus, sources
from data.tables import error_columns, revisions, steps, versions

TEST, NEW_EVENT, RERUN, BULK = 10, 0, -10, -50
"""Priorities: reruns go behind new events, bulk ones behind single ones; tests before all: somebody waits."""

MOST_STEPS_AT_ONCE = 64

POISON = "poison"
"""The kind of the error of a version that is given up, and the group of all such errors."""

POISON_AFTER = 3
"""How often a version's process may die without the version getting further before it is given up."""


class Token(NamedTuple):
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
    event_text: str | None
    """Its trigger event as JSON, None where it is no longer stored."""
    warnings: tuple[str, ...]
    """What the version was warned of before this run."""

    @property
    def event(self) -> JsonValue:
        """The trigger event; read by the thread that runs it, not by the one that all others wait for."""
        return None if self.event_text is None else json.loads(self.event_text)


def waiting_recipes(connection: Connection) -> list[tuple[int, int]]:
    """Return (priority, recipe) of the recipes that have queued versions, the most urgent first.

    By a hop from one recipe to the next in the index, where its most urgent version stands first.
    """
    found: list[tuple[int, int]] = []
    last = -1
    while True:
        row = connection.execute(_NEXT_WAITING, {"last": last}).first()
        if row is None:
            return sorted(found, reverse=True)
        last = row.recipe_id
        found.append((row.priority, last))


def any_queued(connection: Connection) -> bool:
    """Return whether a version could be claimed; those that their batch has not let go yet cannot."""
    return connection.execute(_ANY_QUEUED).first() is not None


_QUEUED = text("status = 'queued' AND waits IS 0")
_ANY_QUEUED = select(versions.c.id).where(_QUEUED).limit(1)
_NEXT_WAITING = (
    select(versions.c.recipe_id, versions.c.priority)
    .where(_QUEUED, versions.c.recipe_id > bindparam("last"))
    .order_by(versions.c.recipe_id, versions.c.priority.desc())
    .limit(1)
)


def claim(
    connection: Connection, recipe_id: int, limit: int, *, least: int, serial: bool, owner: str, now: dt.datetime
) -> list[Claimed]:
    """Move the recipe's next queued versions to running and return them; one without a revision gets the latest.

    `least`: none of a lower priority. `serial`: at most one version of the recipe may run; the store holds that by a
    unique index.
    """
    moved = {
        "recipe": recipe_id, "limit": limit, "least": least, "me": owner,
        "key": f"recipe:{recipe_id}" if serial else None, "now": to_micros(now),
    }
    claimed = [_claimed(row, owner) for row in _run(connection, _CLAIM, moved)]
    return sorted(claimed, key=lambda one: one.token.version_id)


def claim_one(connection: Connection, version_id: int, *, owner: str, now: dt.datetime) -> Claimed | None:
    """Move one queued version to running, whatever its recipe's turn, and return it; None where it is not queued."""
    recipe = connection.execute(select(versions.c.recipe_id).where(versions.c.id == version_id)).scalar()
    moved = {"recipe": recipe, "version_": version_id, "me": owner, "key": None, "now": to_micros(now)}
    return next((_claimed(row, owner) for row in _run(connection, _CLAIM_ONE, moved)), None)


def _run(connection: Connection, statement: Any, values: dict[str, Any]) -> Any:
    """Run a statement of the hot path with values as the driver takes them, and return its rows as it gives them."""
    sql, names, fixed = _compiled(connection.dialect, statement)
    return connection.exec_driver_sql(sql, tuple([values.get(name, fixed[name]) for name in names])).all()


# Statements of the hot path are built once: building one costs more than running it.
_LATEST_REVISION = select(func.max(revisions.c.id)).where(revisions.c.recipe_id == bindparam("recipe"))
_queue = versions.alias("queue")
_NEXT_QUEUED = (
    select(_queue.c.id)
    .where(text("queue.status = 'queued' AND queue.waits IS 0"), _queue.c.recipe_id == bindparam("recipe"),
           _queue.c.priority >= bindparam("least"))
    .order_by(_queue.c.priority.desc(), _queue.c.id)
    .limit(bindparam("limit"))
)
# Written out: RETURNING drops the table's name from its columns, and `job_id = job_id` holds of every payload.
_CACHED_EVENT = literal_column("(SELECT cached.event FROM payloads AS cached WHERE cached.job_id = versions.job_id)")
_RUNNING = (
    update(versions)
    .where(or_(*[versions.c.status == status for status in sources(Status.RUNNING)]))
    .values(
        status=Status.RUNNING.value,
        owner=bindparam("me"),
        serial_key=bindparam("key"),
        revision_id=func.coalesce(versions.c.revision_id, _LATEST_REVISION.scalar_subquery()),
        started_at=func.coalesce(versions.c.started_at, bindparam("now")),
    )
    .returning(
        versions.c.id, versions.c.attempt, versions.c.job_id, versions.c.number, versions.c.recipe_id,
        versions.c.revision_id, versions.c.mode, versions.c.started_at, versions.c.warnings,
        func.coalesce(versions.c.event, _CACHED_EVENT),
    )
)
_CLAIM = _RUNNING.where(versions.c.id.in_(_NEXT_QUEUED))
_CLAIM_ONE = _RUNNING.where(versions.c.id == bindparam("version_"))


def _claimed(row: Sequence[Any], owner: str) -> Claimed:
    id, attempt, job_id, number, recipe_id, revision_id, mode, started_at, warnings, event = row
    return Claimed(
        Token(id, attempt, owner), job_id, number, recipe_id, revision_id, mode, from_micros(started_at), event,
        tuple(json.loads(warnings)) if warnings else (),
    )


StepRow = tuple[Any, ...]
"""A step record as the columns of `steps` hold it, in their order."""


def took_ms(started_at: dt.datetime, finished_at: dt.datetime) -> int:
    """Return how long a version took: from the start of its first attempt on, what it waited in between included."""
    return round((finished_at - started_at).total_seconds() * 1000)


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
    steps: Sequence[StepRow]
    settled: Settled | None = None


_TOLD_ANEW = (
    "status", "attempts", "effect", "on_doubt", "branch", "input", "output", "error", "started_at", "duration_ms",
    "resolved_by",
)  # fmt: skip


def record(connection: Connection, progress: Sequence[Progress]) -> set[int]:
    """Write what runs have to say and return the version ids of those that are over: whose token was taken over, of
    which nothing is written, and those that were asked to end, which get no further than this.

    The fence is one query for all of them; it holds until the transaction ends, because only one may write.
    """
    held: dict[Token, str | None] = {}
    for owner in {one.token.owner for one in progress}:
        held |= holding(connection, owner)
    going = [one for one in progress if one.token in held]
    asked = {one.token for one in going if held[one.token] is not None}
    rows = [cancels.no_begins(one.steps) if one.token in asked else one.steps for one in going]
    _write_steps(connection, list(chain.from_iterable(rows)))
    settled = {one.token: _as_asked(one.settled, held[one.token]) for one in going if one.settled is not None}
    _write_many(connection, _SETTLE, [_settled_row(token.version_id, how) for token, how in settled.items()])
    for token in asked:
        cancels.see_ended(connection, token.version_id, settled[token].status if token in settled else None)
    over = {one.token for one in progress if one.token not in held} | (asked - settled.keys())
    return {token.version_id for token in over}


def holding(connection: Connection, owner: str) -> dict[Token, str | None]:
    """Return the running versions that a boot holds, each with who has asked to cancel it, if anybody has."""
    ((held,),) = _run(connection, _HOLDING, {"owner": owner})
    return {Token(id, attempt, owner): by for id, attempt, by in json.loads(held)}


# As one row: the driver lets go of Python's lock for every row, and takes it back behind all threads that want it.
_HOLDING = select(
    func.json_group_array(func.json_array(versions.c.id, versions.c.attempt, versions.c.canceled_by))
).where(text("status = 'running'"), versions.c.owner == bindparam("owner"))


def _as_asked(settled: Settled, by: str | None) -> Settled:
    """Return how a run settles: canceled where it was asked to, whatever it came to; a doubt stays one."""
    if by is None or settled.status is Status.IN_DOUBT:
        return settled
    return replace(settled, status=Status.CANCELED, error=cancels.canceled(by))


def _write_steps(connection: Connection, rows: Sequence[StepRow]) -> None:
    """Write step records, new or told anew, in one statement or few.

    The driver lets go of Python's lock for each statement, and takes it back behind every thread that wants it: a
    statement for each row would spend its time waiting.
    """
    for start in range(0, len(rows), MOST_STEPS_AT_ONCE):
        some = rows[start : start + MOST_STEPS_AT_ONCE]
        connection.exec_driver_sql(_step_upsert(connection.dialect, len(some)), tuple(chain.from_iterable(some)))


@cache
def _step_upsert(dialect: Dialect, size: int) -> str:
    written = insert(steps).values({c.name: bindparam(c.name) for c in steps.c})
    told_anew = {name: written.excluded[name] for name in _TOLD_ANEW}
    upsert = written.on_conflict_do_update(index_elements=["version_id", "path"], set_=told_anew)
    compiled = upsert.compile(dialect=dialect)
    # Rows are handed over as they stand: column by column, row by row.
    assert compiled.positiontup == steps.c.keys()
    row = f"({', '.join('?' * len(steps.c))})"
    before, one, after = compiled.string.partition(row)
    assert one
    # Written out: the compiler takes longer over 64 rows than the store over 1,000.
    return before + ", ".join([row] * size) + after


def _write_many(connection: Connection, statement: Any, rows: list[dict[str, Any]]) -> None:
    """Run a statement for each row; the rows hold what the driver takes, so that it gets them as they are."""
    if rows:
        sql, names, fixed = _compiled(connection.dialect, statement)
        connection.exec_driver_sql(sql, [tuple([row.get(name, fixed[name]) for name in names]) for row in rows])


@cache
def _compiled(dialect: Dialect, statement: Any) -> tuple[str, list[str], dict[str, Any]]:
    compiled = statement.compile(dialect=dialect)
    return compiled.string, compiled.positiontup, compiled.params


def step_row(version_id: int, record: StepRecord, on_doubt: str | None, input: str | None) -> StepRow:
    """Return how a record is written, with its input as JSON.

    `on_doubt` is what follows if its process dies while it acts.
    """
    # A step that succeeded has an output, be it null; any other has one only if there is something to tell.
    told = record.output is not None or record.status is StepStatus.SUCCEEDED
    return (
        version_id, record.path, record.ordinal, record.id, record.action, record.effect, on_doubt,
        record.status.value, record.branch, dump_json(record.index) if record.index else None, record.attempts,
        input, dump_json(record.output) if told else None,
        dump_json(_step_error(record.error)) if record.error else None,
        to_micros(record.started_at) if record.started_at else None, record.duration_ms, record.resolved_by,
    )


def _step_error(error: Error) -> dict[str, Any]:
    return {"message": error.message, "kind": error.kind, "status": error.status, "step": error.step}


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
    attempt. One that was asked to end does: canceled, or in doubt where a writing step was under way, whatever its
    policy. Return how many versions were queued again, put in doubt, canceled, or given up.
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
    if version.canceled_at is not None:
        return cancels.end(connection, version.id, now)
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
        told = f"its process died {recoveries} times at the same step; it is not tried again"
        error = Error(told, POISON, group=POISON)
        values |= error_columns(error) | {"finished_at": now, "duration_ms": took_ms(version.started_at, now)}
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

    With the last such step settled, the version is queued again as its next attempt; a cancellation that was asked for
    before is off then: whoever settles the doubt lets it go on.
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
        .values(
            status=Status.QUEUED, attempt=versions.c.attempt + 1, canceled_by=None, canceled_at=None,
            **error_columns(None),
        )
    )
    return True
