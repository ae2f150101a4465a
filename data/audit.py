"""The audit: who did what to what, when and why; it is only ever added to."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import Connection, select

from data.records import Act
from data.tables import audit


def note_act(connection: Connection, actor: str, action: str, subject: str, note: str | None = None) -> None:
    """Write into the audit who did what to what; belongs into the transaction that does it."""
    now = dt.datetime.now(dt.UTC)
    connection.execute(audit.insert().values(at=now, actor=actor, action=action, subject=subject, note=note))


def acts(
    connection: Connection, before: int | None, count: int, *, since: dt.datetime | None = None,
    until: dt.datetime | None = None, actor: str | None = None,
) -> list[Act]:
    """Return at most `count` acts with an id below `before`, newest first; of one actor, from `since` to `until`."""
    statement = select(audit).order_by(audit.c.id.desc()).limit(count)
    if before is not None:
        statement = statement.where(audit.c.id < before)
    if since is not None:
        statement = statement.where(audit.c.at >= since)
    if until is not None:
        statement = statement.where(audit.c.at < until)
    if actor is not None:
        statement = statement.where(audit.c.actor == actor)
    return [Act(*row) for row in connection.execute(statement)]
