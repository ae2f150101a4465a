"""Called recipes: which version of a child job a parent's step runs, made once for each version, path and attempt."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from data.encoding import dump_json
from data.job_records import Error
from data.jobs import accept, error_of
from data.records import Event, Link
from data.runs import NEW_EVENT
from data.states import OPEN, Status
from data.tables import LATEST, calls, jobs, revisions, versions


@dataclass(frozen=True, slots=True)
class Called:
    """The version that a call waits for: its own child's, or one of the same job that has to end first."""

    job_id: int
    version_id: int
    status: Status
    error: Error | None
    own: bool


def call(
    connection: Connection, parent_version_id: int, path: str, attempt: int, recipe_id: int, event: Event, by: str,
    now: dt.datetime,
) -> Called | None:
    """Return the child's version of an attempt of a call, queued when it is first asked for.

    None where the parent runs no more.

    The same parent job and path mean the same child job, through `event.key`; its next version has the new input.
    """
    parent = connection.execute(select(versions.c.status).where(versions.c.id == parent_version_id)).scalar()
    if parent != Status.RUNNING:
        return None
    linked = connection.execute(
        select(versions).join(calls, calls.c.child_version_id == versions.c.id).where(
            calls.c.parent_version_id == parent_version_id, calls.c.path == path, calls.c.attempt == attempt
        )
    ).first()
    if linked is not None:
        return _called(linked, own=True)
    accepted = accept(connection, recipe_id, [event], by, now)[0]
    if not accepted.new:
        latest = _latest(connection, accepted.job_id)
        if Status(latest.status) in OPEN:
            return _called(latest, own=False)
        _add(connection, latest, event, by, now)
    child = _latest(connection, accepted.job_id)
    connection.execute(
        calls.insert().values(
            parent_version_id=parent_version_id, path=path, attempt=attempt, child_version_id=child.id
        )
    )
    return _called(child, own=True)


def _latest(connection: Connection, job_id: int | None) -> Row[Any]:
    return connection.execute(select(versions).where(versions.c.job_id == job_id, LATEST)).one()


def _called(row: Row[Any], own: bool) -> Called:
    return Called(row.job_id, row.id, Status(row.status), error_of(row), own)


def _add(connection: Connection, latest: Row[Any], event: Event, by: str, now: dt.datetime) -> None:
    newest = select(func.max(revisions.c.id)).where(revisions.c.recipe_id == latest.recipe_id).scalar_subquery()
    connection.execute(update(versions).where(versions.c.id == latest.id).values(latest=False))
    connection.execute(
        versions.insert().values(
            job_id=latest.job_id, recipe_id=latest.recipe_id, number=latest.number + 1, latest=True,
            status=Status.QUEUED, revision_id=newest, mode="call", requested_by=by, requested_at=now,
            priority=NEW_EVENT, attempt=1, event=dump_json(event.data),
        )
    )


def ended(connection: Connection, version_ids: list[int]) -> set[int]:
    """Return those of these versions that have ended."""
    rows = connection.execute(
        select(versions.c.id).where(versions.c.id.in_(version_ids), versions.c.status.not_in(OPEN))
    )
    return set(rows.scalars())


def ancestors(connection: Connection, version_id: int) -> list[int]:
    """Return the recipes of a version and of those that called it, nearest first."""
    found: list[int] = []
    current: int | None = version_id
    while current is not None:
        found.append(connection.execute(select(versions.c.recipe_id).where(versions.c.id == current)).scalar_one())
        current = connection.execute(
            select(calls.c.parent_version_id).where(calls.c.child_version_id == current)
        ).scalar()
    return found


def parent(connection: Connection, version_id: int) -> Link | None:
    """Return which version of which job called a version, and from where."""
    row = connection.execute(
        select(jobs.c.id, versions.c.number, calls.c.path)
        .join(versions, versions.c.id == calls.c.parent_version_id)
        .join(jobs, jobs.c.id == versions.c.job_id)
        .where(calls.c.child_version_id == version_id)
    ).first()
    return None if row is None else Link(*row)
