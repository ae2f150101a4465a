"""Jobs, versions and step records: every write of them, and the reads of one job.

Every function takes a connection, so that a caller composes them into one transaction. A status is moved only here,
by an UPDATE that names the statuses it may come from; what it returns says who got the move.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, func, literal, or_, select, text, update
from sqlalchemy.dialects.sqlite import insert

from data.records import Accepted, Error, Event, JsonValue, StepRecord, Version
from data.states import OPEN, Status, StepStatus, sources
from data.tables import LATEST, dump_json, event_keys, jobs, payloads, revisions, steps, versions

NEW_EVENT, RERUN = 0, -10
"""Priorities: reruns go behind new events."""

POISON_AFTER = 3
"""How often a version's process may die without the version getting further before it is given up."""


# Events become jobs


def accept(
    connection: Connection, recipe_id: int, events: Sequence[Event], by: str, now: dt.datetime
) -> list[Accepted]:
    """Store events: a job for each whose key is new and which is wanted. Return what became of each, in order."""
    known = _known_keys(connection, recipe_id, [event.key for event in events])
    fresh = list({event.key: event for event in events if event.key not in known}.values())
    made = dict(zip([e.key for e in fresh if e.wanted], _add_jobs(connection, recipe_id, fresh, by, now), strict=True))
    if fresh:
        connection.execute(
            event_keys.insert(), [{"recipe_id": recipe_id, "key": e.key, "job_id": made.get(e.key)} for e in fresh]
        )
    told: list[Accepted] = []
    new = {event.key for event in fresh}
    for event in events:
        told.append(Accepted(event.key, made.get(event.key, known.get(event.key)), event.key in new))
        new.discard(event.key)
    return told


def _known_keys(connection: Connection, recipe_id: int, keys: Sequence[str]) -> dict[str, int | None]:
    known: dict[str, int | None] = {}
    for start in range(0, len(keys), 500):
        rows = connection.execute(
            select(event_keys.c.key, event_keys.c.job_id).where(
                event_keys.c.recipe_id == recipe_id, event_keys.c.key.in_(keys[start : start + 500])
            )
        )
        known.update((row.key, row.job_id) for row in rows)
    return known


def _add_jobs(
    connection: Connection, recipe_id: int, events: Iterable[Event], by: str, now: dt.datetime
) -> list[int]:
    wanted = [event for event in events if event.wanted]
    if not wanted:
        return []
    received = max(now, last_received(connection) or now)
    first = next_job_id(connection)
    ids = list(range(first, first + len(wanted)))
    connection.execute(
        jobs.insert(),
        [
            {"id": id, "recipe_id": recipe_id, "event_key": e.key, "title": e.title, "received_at": received}
            for id, e in zip(ids, wanted, strict=True)
        ],
    )
    connection.execute(
        payloads.insert(), [{"job_id": id, "event": dump_json(e.data)} for id, e in zip(ids, wanted, strict=True)]
    )
    connection.execute(
        versions.insert(), [_first_version(id, recipe_id, e, by, received) for id, e in zip(ids, wanted, strict=True)]
    )
    return ids


def next_job_id(connection: Connection) -> int:
    """Return the id of the next job; only the one writer may ask."""
    last = connection.execute(text("SELECT seq FROM sqlite_sequence WHERE name = 'jobs'")).scalar()
    return (last or 0) + 1


def last_received(connection: Connection) -> dt.datetime | None:
    """Return when the newest job was received: no later one may be before it, whatever the clock says."""
    return connection.execute(select(jobs.c.received_at).order_by(jobs.c.id.desc()).limit(1)).scalar()


def _first_version(job_id: int, recipe_id: int, event: Event, by: str, now: dt.datetime) -> dict[str, Any]:
    failed = event.error is not None
    return {
        "job_id": job_id, "recipe_id": recipe_id, "number": 1, "latest": True, "mode": "first", "requested_by": by,
        "requested_at": now, "priority": NEW_EVENT, "attempt": 1, "warnings": list(event.warnings) or None,
        "status": Status.FAILED if failed else Status.QUEUED, "started_at": now if failed else None,
        "finished_at": now if failed else None, "duration_ms": 0 if failed else None, **_error_columns(event.error),
    }  # fmt: skip


def _error_columns(error: Error | None) -> dict[str, Any]:
    return {
        "error_message": error and error.message,
        "error_kind": error and error.kind,
        "error_step": error and error.step,
        "error_status": error and error.status,
        "error_group": error and error.group,
    }


# Claims and runs


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
_NEXT_QUEUED = (
    select(versions.c.id)
    .where(_QUEUED, versions.c.recipe_id == bindparam("recipe"))
    .order_by(versions.c.priority.desc(), versions.c.id)
    .limit(bindparam("limit"))
)


def claim(
    connection: Connection, recipe_id: int, limit: int, *, serial: bool, owner: str, now: dt.datetime
) -> list[Claimed]:
    """Move the recipe's next queued versions to running and return them; one without a revision gets the latest.

    `serial`: at most one version of the recipe may run; the store holds that by a unique index.
    """
    latest = select(func.max(revisions.c.id)).where(revisions.c.recipe_id == recipe_id).scalar_subquery()
    chosen = connection.execute(_NEXT_QUEUED, {"recipe": recipe_id, "limit": limit}).scalars().all()
    if not chosen:
        return []
    rows = connection.execute(
        update(versions)
        .where(versions.c.id.in_(chosen), versions.c.status.in_(sources(Status.RUNNING)))
        .values(
            status=Status.RUNNING,
            owner=owner,
            serial_key=f"recipe:{recipe_id}" if serial else None,
            revision_id=func.coalesce(versions.c.revision_id, latest),
            started_at=func.coalesce(versions.c.started_at, literal(now, versions.c.started_at.type)),
        )
        .returning(versions)
    ).all()
    events = dict(
        connection.execute(
            select(payloads.c.job_id, payloads.c.event).where(payloads.c.job_id.in_([row.job_id for row in rows]))
        ).all()
    )
    return sorted((_claimed(row, events.get(row.job_id), owner) for row in rows), key=lambda one: one.token.version_id)


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


_step_insert = insert(steps)
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
    ids = [one.token.version_id for one in progress]
    holding = connection.execute(
        select(versions.c.id, versions.c.attempt, versions.c.owner).where(
            versions.c.id.in_(ids), versions.c.status == Status.RUNNING
        )
    )
    tokens = {(row.id, row.attempt, row.owner) for row in holding}
    held = [p for p in progress if (p.token.version_id, p.token.attempt, p.token.owner) in tokens]
    rows = [_step_row(one.token.version_id, written) for one in held for written in one.records]
    if rows:
        connection.execute(_STEP_UPSERT, rows)
    for one in held:
        if one.settled is not None:
            _settle(connection, one.token.version_id, one.settled)
    return set(ids) - {p.token.version_id for p in held}


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
        "status": written.status,
        "branch": written.branch,
        "index": list(written.index) or None,
        "attempts": written.attempts,
        "input": written.input,
        "output": written.output,
        "error": error and {"message": error.message, "kind": error.kind, "status": error.status},
        "started_at": written.started_at,
        "duration_ms": written.duration_ms,
        "resolved_by": written.resolved_by,
    }


def _settle(connection: Connection, version_id: int, settled: Settled) -> None:
    # running -> succeeded, failed, canceled, in_doubt, queued; the fence has just seen it running
    ended = settled.status not in OPEN
    connection.execute(
        _SETTLE,
        {
            "version": version_id,
            "to": settled.status,
            "more": 1 if settled.status is Status.QUEUED else 0,
            "finished": settled.finished_at if ended else None,
            "duration": settled.duration_ms if ended else None,
            "report_": settled.report or None,
            "warnings_": list(settled.warnings) or None,
            **{f"{name}_": value for name, value in _error_columns(settled.error).items()},
        },
    )


_SETTLE = (
    update(versions)
    .where(versions.c.id == bindparam("version"), versions.c.status == Status.RUNNING)
    .values(
        status=bindparam("to"), attempt=versions.c.attempt + bindparam("more"), owner=None, serial_key=None,
        finished_at=bindparam("finished"), duration_ms=bindparam("duration"), report=bindparam("report_"),
        warnings=bindparam("warnings_"),
        **{name: bindparam(f"{name}_") for name in _error_columns(None)},
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


def _take_back(connection: Connection, version: Row[Any], now: dt.datetime) -> Status:
    under_way = steps.c.version_id == version.id, steps.c.status == StepStatus.RUNNING
    connection.execute(
        update(steps).where(*under_way, steps.c.on_doubt == "skip").values(status=StepStatus.SKIPPED, output="null")
    )
    held = connection.execute(
        update(steps).where(*under_way, steps.c.on_doubt == "hold").values(status=StepStatus.IN_DOUBT)
    ).rowcount
    ended = connection.execute(
        select(func.count()).where(steps.c.version_id == version.id, steps.c.status != StepStatus.RUNNING)
    ).scalar_one()
    recoveries = version.recoveries + 1 if ended == version.progress else 1
    values: dict[str, Any] = {"attempt": version.attempt + 1, "owner": None, "serial_key": None}
    if held:
        status = Status.IN_DOUBT
    elif recoveries >= POISON_AFTER:
        status = Status.FAILED
        message = f"its process died {recoveries} times at the same step; it is not tried again"
        values |= _error_columns(Error(message, "poison")) | {"finished_at": now, "duration_ms": None}
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
        .values(status=Status.QUEUED, attempt=versions.c.attempt + 1, **_error_columns(None))
    )
    return True


# Reruns


def add_version(
    connection: Connection, job_id: int, number: int, revision_id: int, *, mode: str, by: str, note: str | None,
    now: dt.datetime,
) -> bool:
    """Queue version `number` of a job whose latest, `number - 1`, has ended; False if another was queued meanwhile."""
    moved = connection.execute(
        update(versions)
        .where(versions.c.job_id == job_id, LATEST, versions.c.number == number - 1, versions.c.status.not_in(OPEN))
        .values(latest=False)
        .returning(versions.c.recipe_id)
    ).first()
    if moved is None:
        return False
    connection.execute(
        versions.insert().values(
            job_id=job_id, recipe_id=moved.recipe_id, number=number, latest=True, status=Status.QUEUED,
            revision_id=revision_id, mode=mode, requested_by=by, requested_at=now, note=note, priority=RERUN, attempt=1,
        )
    )
    return True


def latest_revisions(connection: Connection, job_ids: Sequence[int]) -> dict[int, tuple[int, int | None]]:
    """Return by job id the latest version's number, and the number of the revision that it ran, or will."""
    found: dict[int, tuple[int, int | None]] = {}
    for start in range(0, len(job_ids), 500):
        rows = connection.execute(
            select(versions.c.job_id, versions.c.number, revisions.c.number)
            .join(revisions, revisions.c.id == versions.c.revision_id, isouter=True)
            .where(versions.c.job_id.in_(job_ids[start : start + 500]), LATEST)
        )
        found.update({job_id: (number, revision) for job_id, number, revision in rows})
    return found


def completed_writes(connection: Connection, job_ids: Sequence[int]) -> list[tuple[int, str, str, int]]:
    """Return (recipe id, path, action, jobs) of the writing steps that some version of these jobs completed."""
    found: dict[tuple[int, str, str], set[int]] = {}
    for start in range(0, len(job_ids), 500):
        rows = connection.execute(
            select(versions.c.recipe_id, steps.c.path, steps.c.action, versions.c.job_id)
            .join(steps, steps.c.version_id == versions.c.id)
            .where(
                versions.c.job_id.in_(job_ids[start : start + 500]),
                steps.c.effect == "writes",
                steps.c.status.in_([StepStatus.SUCCEEDED, StepStatus.REUSED]),
            )
        )
        for recipe_id, path, action, job_id in rows:
            found.setdefault((recipe_id, path, action), set()).add(job_id)
    return [(*key, len(ids)) for key, ids in sorted(found.items())]


def completed_before(
    connection: Connection, job_id: int, number: int, step_id: str, index: tuple[int, ...], action: str,
    input: JsonValue,
) -> tuple[JsonValue, int] | None:
    """Return (output, version) of the last version before `number` that completed a step with this very input."""
    rows = connection.execute(
        select(steps.c.input, steps.c.output, steps.c.index, versions.c.number)
        .join(versions, versions.c.id == steps.c.version_id)
        .where(
            versions.c.job_id == job_id,
            versions.c.number < number,
            steps.c.step_id == step_id,
            steps.c.action == action,
            steps.c.status.in_([StepStatus.SUCCEEDED, StepStatus.REUSED]),
        )
        .order_by(versions.c.number.desc())
    )
    for row in rows:
        if tuple(row.index or ()) == index and json.loads(row.input) == input:
            return json.loads(row.output), row.number
    return None


# Reads of one job


def event_of(connection: Connection, job_id: int) -> tuple[bool, JsonValue]:
    """Return whether a job's trigger event is stored, and the event."""
    stored = connection.execute(select(payloads.c.event).where(payloads.c.job_id == job_id)).scalar()
    return stored is not None, None if stored is None else json.loads(stored)


def history(connection: Connection, job_id: int) -> list[Version]:
    """Return a job's versions, newest first."""
    rows = connection.execute(_versions().where(versions.c.job_id == job_id).order_by(versions.c.number.desc()))
    return [_version(row) for row in rows]


def version(connection: Connection, job_id: int, number: int | None) -> Version | None:
    """Return a version of a job, the latest where `number` is None; None if there is none."""
    wanted = LATEST if number is None else versions.c.number == number
    row = connection.execute(_versions().where(versions.c.job_id == job_id, wanted)).first()
    return None if row is None else _version(row)


def _versions() -> Select[Any]:
    return select(versions, revisions.c.number.label("revision")).join(
        revisions, revisions.c.id == versions.c.revision_id, isouter=True
    )


def _version(row: Row[Any]) -> Version:
    return Version(
        id=row.id,
        job_id=row.job_id,
        number=row.number,
        latest=row.latest,
        status=Status(row.status),
        recipe_revision=row.revision,
        mode=row.mode,
        requested_by=row.requested_by,
        requested_at=row.requested_at,
        note=row.note,
        started_at=row.started_at,
        finished_at=row.finished_at,
        duration_ms=row.duration_ms,
        error=error_of(row),
        report=row.report or {},
        warnings=tuple(row.warnings or ()),
        attempt=row.attempt,
    )


def error_of(row: Row[Any]) -> Error | None:
    """Return the error of a row of `versions`, if it has one."""
    if row.error_message is None:
        return None
    return Error(row.error_message, row.error_kind, row.error_step, row.error_status, row.error_group)


def revision_id_of(connection: Connection, version_id: int) -> int | None:
    """Return which revision a version runs, None while it has not been claimed."""
    return connection.execute(select(versions.c.revision_id).where(versions.c.id == version_id)).scalar()


def step_records(connection: Connection, version_id: int) -> list[StepRecord]:
    """Return the step records of a version, in the order in which they began."""
    rows = connection.execute(select(steps).where(steps.c.version_id == version_id).order_by(steps.c.ordinal))
    return [_step_record(row) for row in rows]


def _step_record(row: Row[Any]) -> StepRecord:
    error = row.error
    return StepRecord(
        path=row.path,
        id=row.step_id,
        status=StepStatus(row.status),
        action=row.action,
        effect=row.effect,
        branch=row.branch,
        index=tuple(row.index or ()),
        attempts=row.attempts,
        input=None if row.input is None else json.loads(row.input),
        output=None if row.output is None else json.loads(row.output),
        error=error and Error(error["message"], error["kind"], row.path, error["status"]),
        started_at=row.started_at,
        duration_ms=row.duration_ms,
        resolved_by=row.resolved_by,
        ordinal=row.ordinal,
        has_input=row.input is not None,
    )


def count_by_status(connection: Connection) -> dict[Status, int]:
    """Return how many jobs have each status; one that no job has is left out."""
    rows = connection.execute(
        select(versions.c.status, func.count()).where(LATEST).group_by(versions.c.status)
    )
    return {Status(status): count for status, count in rows}


def open_count(connection: Connection, statuses: Collection[Status]) -> int:
    """Return how many versions have one of these statuses."""
    return connection.execute(
        select(func.count()).select_from(versions).where(or_(*[versions.c.status == status for status in statuses]))
    ).scalar_one()
