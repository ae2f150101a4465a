"""Jobs and their versions: made from events and by reruns, and read one job at a time.

Every function takes a connection, so that a caller composes them into one transaction. A status is moved only here,
by an UPDATE that names the statuses it may come from; what it returns says who got the move.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, Select, bindparam, exists, func, select, text, update

from data.encoding import dump_json
from data.job_records import Error, JsonValue
from data.reading import read_json
from data.records import Accepted, Event, StepRecord, Version
from data.runs import NEW_EVENT, RERUN, TEST
from data.states import OPEN, Status, StepStatus
from data.tables import (
    KEPT,
    LATEST,
    error_columns,
    event_keys,
    jobs,
    objects,
    payloads,
    revisions,
    steps,
    versions,
)

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


def accept_test(connection: Connection, recipe_id: int, event: Event, by: str, now: dt.datetime) -> int:
    """Store an event, whose key is new, for a test, and return its job's id: it goes before all other events."""
    job_id = accept(connection, recipe_id, [event], by, now)[0].job_id
    assert job_id is not None
    connection.execute(update(versions).where(versions.c.job_id == job_id).values(mode="test", priority=TEST))
    return job_id


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
            {"id": id, "recipe_id": recipe_id, "event_key": e.key, "title": e.title, "received_at": received,
             "object_key": e.object_key}
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
        "finished_at": now if failed else None, "duration_ms": 0 if failed else None, **error_columns(event.error),
    }  # fmt: skip


# Reruns


def add_version(
    connection: Connection, job_id: int, number: int, revision_id: int, *, mode: str, by: str, note: str | None,
    now: dt.datetime,
) -> bool:
    """Queue version `number` of a job whose latest, `number - 1`, has ended; False if another was queued meanwhile.

    False, too, if retention has removed its data meanwhile.
    """
    moved = connection.execute(
        update(versions)
        .where(
            versions.c.job_id == job_id, LATEST, KEPT, versions.c.number == number - 1, versions.c.status.not_in(OPEN)
        )
        .values(latest=False)
        .returning(versions.c.recipe_id, versions.c.event)
    ).first()
    if moved is None:
        return False
    connection.execute(
        versions.insert().values(
            job_id=job_id, recipe_id=moved.recipe_id, number=number, latest=True, status=Status.QUEUED,
            revision_id=revision_id, mode=mode, requested_by=by, requested_at=now, note=note, priority=RERUN, attempt=1,
            event=moved.event,
        )
    )
    return True


class Ran(NamedTuple):
    """The ids of the revisions that a job's latest version ran, or will, and that its version 1 ran; None for none."""

    latest: int | None
    original: int | None


def ran(connection: Connection, job_ids: Sequence[int]) -> dict[int, Ran]:
    """Return by job id which revisions have run."""
    first = versions.alias("first_version")
    found: dict[int, Ran] = {}
    for start in range(0, len(job_ids), 500):
        rows = connection.execute(
            select(versions.c.job_id, versions.c.revision_id, first.c.revision_id)
            .join(first, (first.c.job_id == versions.c.job_id) & (first.c.number == 1))
            .where(versions.c.job_id.in_(job_ids[start : start + 500]), LATEST)
        )
        found.update({job_id: Ran(latest, original) for job_id, latest, original in rows})
    return found


def completed_writes(
    connection: Connection, job_ids: Sequence[int], *, from_failed: bool = False
) -> list[tuple[int, str, str, int]]:
    """Return (recipe id, path, action, jobs) of the writing steps that some version of these jobs completed.

    `from_failed`: but those that the latest version completed, which are not done again then.
    """
    found: dict[tuple[int, str, str], set[int]] = {}
    for start in range(0, len(job_ids), 500):
        rows = connection.execute(
            select(versions.c.recipe_id, steps.c.path, steps.c.action, versions.c.job_id)
            .join(steps, steps.c.version_id == versions.c.id)
            .where(
                versions.c.job_id.in_(job_ids[start : start + 500]),
                steps.c.effect == "writes",
                steps.c.status.in_([StepStatus.SUCCEEDED, StepStatus.REUSED]),
                *([~_completed_by_latest()] if from_failed else []),
            )
        )
        for recipe_id, path, action, job_id in rows:
            found.setdefault((recipe_id, path, action), set()).add(job_id)
    return [(*key, len(ids)) for key, ids in sorted(found.items())]


def _completed_by_latest() -> Any:
    latest, same = versions.alias("latest_version"), steps.alias("same_step")
    return exists().where(
        latest.c.job_id == versions.c.job_id, latest.c.latest.is_(True), same.c.version_id == latest.c.id,
        same.c.path == steps.c.path, same.c.status.in_([StepStatus.SUCCEEDED, StepStatus.REUSED]),
    )


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


# Jobs of the same object


def of_same_object(connection: Connection, job_id: int) -> tuple[int | None, int | None, dt.datetime | None]:
    """Return the next job of the same object, the one before, and when the object changed after this job came."""
    row = connection.execute(_KIN, {"id": job_id}).first()
    return (None, None, None) if row is None else (row.newer, row.older, row.changed_at)


def superseded(connection: Connection, job_ids: Sequence[int]) -> dict[int, int]:
    """Return by job id the newest job of the same object, for those jobs that have a newer one."""
    found: dict[int, int] = {}
    for start in range(0, len(job_ids), 500):
        rows = connection.execute(_NEWEST, {"ids": list(job_ids[start : start + 500])})
        found.update((id, newest) for id, newest in rows if newest > id)
    return found


def changed_since(connection: Connection, job_ids: Sequence[int]) -> dict[int, dt.datetime]:
    """Return by job id when a poll last saw that the job's object has changed, for those that did after it came.

    Only of triggers that make no job of a change.
    """
    found: dict[int, dt.datetime] = {}
    for start in range(0, len(job_ids), 500):
        rows = connection.execute(_CHANGED, {"ids": list(job_ids[start : start + 500])})
        found.update((id, changed_at) for id, changed_at in rows)
    return found


_kin = jobs.alias("kin")
_SAME = (_kin.c.recipe_id == jobs.c.recipe_id) & (_kin.c.object_key == jobs.c.object_key)
_OBJECT = (objects.c.recipe_id == jobs.c.recipe_id) & (objects.c.key == jobs.c.object_key)
_CHANGED_AFTER = objects.c.changed_at > jobs.c.received_at
_KIN = select(
    select(func.min(_kin.c.id)).where(_SAME, _kin.c.id > jobs.c.id).scalar_subquery().label("newer"),
    select(func.max(_kin.c.id)).where(_SAME, _kin.c.id < jobs.c.id).scalar_subquery().label("older"),
    select(objects.c.changed_at).where(_OBJECT, _CHANGED_AFTER).scalar_subquery().label("changed_at"),
).where(jobs.c.id == bindparam("id"), jobs.c.object_key.is_not(None))
_THESE = jobs.c.id.in_(bindparam("ids", expanding=True))
_NEWEST = select(jobs.c.id, select(func.max(_kin.c.id)).where(_SAME).scalar_subquery()).where(
    _THESE, jobs.c.object_key.is_not(None)
)
_CHANGED = select(jobs.c.id, objects.c.changed_at).join(objects, _OBJECT).where(_THESE, _CHANGED_AFTER)


# Reads of one job


def event_of(connection: Connection, version_id: int) -> JsonValue:
    """Return the trigger event that a version ran, or will; None where it is no longer stored."""
    stored = connection.execute(
        select(func.coalesce(versions.c.event, payloads.c.event))
        .join(payloads, payloads.c.job_id == versions.c.job_id, isouter=True)
        .where(versions.c.id == version_id)
    ).scalar()
    return None if stored is None else read_json(stored)


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
        batch=row.batch_id,
        expired=row.expired,
        canceled_by=row.canceled_by,
        canceled_at=row.canceled_at,
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
        input=None if row.input is None else read_json(row.input),
        output=None if row.output is None else read_json(row.output),
        # A handler, and a loop, hold the error of the step inside that failed.
        error=error and Error(error["message"], error["kind"], error.get("step") or row.path, error["status"]),
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
