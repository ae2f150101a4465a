"""What a stand-in app remembers: one SQLite file, and in it the log of what was asked."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

from core.sandbox.calls import Call, Fields

KEPT_REQUESTS = 100_000

REQUESTS = """
CREATE TABLE IF NOT EXISTS requests (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL,
    query TEXT NOT NULL, idempotency_key TEXT, status INTEGER, dropped TEXT);
"""


class Kept:
    """An app's state in one SQLite file, or in memory."""

    schema = ""

    def __init__(self, path: Path | None) -> None:
        # Opened here and used in the server's thread; there is only ever one of them at work.
        self._db = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")  # outlives the process; only a power cut may lose the end
        self._db.executescript(REQUESTS + self.schema)

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commits what the block did, or nothing of it. IMMEDIATE: no other process writes between check and write."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def note_request(self, call: Call, status: int | None, dropped: str | None) -> None:
        """Adds the request to the log; the oldest beyond KEPT_REQUESTS goes."""
        asked = (stamp(call.now), call.method, call.path, urlencode(call.query), call.headers.get("idempotency-key"))
        columns = "at, method, path, query, idempotency_key, status, dropped"
        statement = f"INSERT INTO requests ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)"
        added = self._db.execute(statement, (*asked, status, dropped))
        self._db.execute("DELETE FROM requests WHERE seq <= ?", ((added.lastrowid or 0) - KEPT_REQUESTS,))

    def requests(self) -> list[Fields]:
        """The log, oldest first."""
        return [dict(row) for row in self._db.execute("SELECT * FROM requests ORDER BY seq")]


def stamp(now: float) -> str:
    """The time as the API writes it: UTC, whole seconds."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
