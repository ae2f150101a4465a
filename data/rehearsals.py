"""Rehearsals: what came of an event that went through a revision without its writes; never versions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, select

from data.job_records import JsonValue
from data.states import Status
from data.tables import KEPT, LATEST, rehearsals, revisions, versions


@dataclass(frozen=True, slots=True)
class Stored:
    """A rehearsal as it is kept."""

    id: int
    job_id: int
    version: int
    revision: int
    by: str
    at: dt.datetime
    status: Status
    content: Mapping[str, JsonValue]


def add(
    connection: Connection, job_id: int, version: int, revision_id: int, *, by: str, now: dt.datetime, status: Status,
    content: Mapping[str, JsonValue],
) -> int | None:
    """Keep a rehearsal of a job and return its id; None if retention has removed the job's data meanwhile."""
    kept = select(versions.c.id).where(versions.c.job_id == job_id, LATEST, KEPT)
    if connection.execute(kept).first() is None:
        return None
    made = rehearsals.insert().values(
        job_id=job_id, version=version, revision_id=revision_id, requested_by=by, requested_at=now, status=status,
        content=dict(content),
    )
    return connection.execute(made.returning(rehearsals.c.id)).scalar_one()


def of_job(connection: Connection, job_id: int) -> list[Stored]:
    """Return a job's rehearsals, newest first."""
    rows = connection.execute(
        select(rehearsals, revisions.c.number)
        .join(revisions, revisions.c.id == rehearsals.c.revision_id)
        .where(rehearsals.c.job_id == job_id)
        .order_by(rehearsals.c.id.desc())
    )
    return [
        Stored(
            row.id, row.job_id, row.version, row.number, row.requested_by, row.requested_at, Status(row.status),
            row.content,
        )
        for row in rows
    ]
