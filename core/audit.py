"""Reads the audit, newest first, however long it is."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from data import audit as store
from data.database import Database
from data.records import Act

PAGE = 1000


class Audit:
    """Who did what, when, why."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def acts(
        self, *, since: dt.datetime | None = None, until: dt.datetime | None = None, actor: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Act]:
        """Yield the acts from `since` to before `until`, of one actor if named, newest first, at most `limit`."""
        last: int | None = None
        while limit is None or limit > 0:
            count = PAGE if limit is None else min(PAGE, limit)
            with self._database.read() as connection:
                page = store.acts(connection, last, count, since=since, until=until, actor=actor)
            yield from page
            if len(page) < count:
                return
            last, limit = page[-1].id, None if limit is None else limit - count
