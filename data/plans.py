"""Plans of reruns as they were shown, so that whoever goes ahead later can be told what has moved since."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects.sqlite import insert

from data.job_records import JsonValue
from data.tables import plans

KEPT = 100
"""Plans that are remembered: the newest."""


def remember(connection: Connection, digest: str, content: JsonValue, now: dt.datetime) -> None:
    """Remember what a plan says; older ones beyond `KEPT` are forgotten."""
    statement = insert(plans).values(digest=digest, made_at=now, content=content)
    connection.execute(statement.on_conflict_do_update(index_elements=["digest"], set_={"made_at": now}))
    newest = select(plans.c.digest).order_by(plans.c.made_at.desc()).limit(KEPT)
    connection.execute(delete(plans).where(plans.c.digest.not_in(newest)))


def recall(connection: Connection, digest: str) -> JsonValue:
    """Return what a plan said, None where it is not remembered."""
    return connection.execute(select(plans.c.content).where(plans.c.digest == digest)).scalar()
