"""Looks at a store's file, each at one state of it; without SQLAlchemy, which would take the whole start to load."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from data.errors import StoreError

SCHEMA = "0002"
"""The revision of migrations/ that this code reads and writes."""
BUSY_TIMEOUT_S = 30.0
_ADVICE = {
    "file is not a database": "it is no SQLite file: restore it from a backup, or move it away to start anew",
    "database disk image is malformed": "the file is damaged: restore it from a backup",
    "unable to open database file": "see that the folder is there and that you may write to it",
    "attempt to write a readonly database": "see that you may write to the file and its folder",
    "database or disk is full": "make room on the disk",
}


class Snapshots:
    """Connections that only read. Every method may be called from any thread."""

    def __init__(self, path: Path) -> None:
        """Of the file at `path`, which is opened, and must be there, when it is first looked at."""
        self.path = path
        self._lock = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._closed = False

    def close(self) -> None:
        """Close every connection, those in use when they are given back."""
        with self._lock:
            self._closed = True
            while self._idle:
                self._idle.pop().close()

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Give a connection that sees one state of the store until the end of the block; raises StoreError."""
        try:
            connection = self._take()
            try:
                connection.execute("BEGIN")
                yield connection
            finally:
                self._give_back(connection)
        except sqlite3.DatabaseError as error:
            # A damaged file is a DatabaseError and no more; what is below it, but for this, is a mistake of ours.
            if type(error) not in (sqlite3.DatabaseError, sqlite3.OperationalError):
                raise
            raise StoreError(sentence(str(error), self.path)) from error

    def schema(self) -> str | None:
        """Return the revision of the store's schema, None where it has none; raises StoreError."""
        with self.snapshot() as connection:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone():
                return None
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            return None if row is None else str(row[0])

    def _take(self) -> sqlite3.Connection:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None,
            check_same_thread=False,
        )
        # Not read-only by its mode: a store that nobody has open needs its log's index made.
        connection.execute("PRAGMA query_only = ON")
        return connection

    def _give_back(self, connection: sqlite3.Connection) -> None:
        with suppress(sqlite3.DatabaseError):
            connection.rollback()
        with self._lock:
            if not self._closed:
                self._idle.append(connection)
                return
        connection.close()


def sentence(reason: str, path: object) -> str:
    """Return what to say of a store that SQLite refused for `reason`."""
    return f"the store {path} cannot be used: {reason}; {_ADVICE.get(reason, 'see `jobdeck doctor`')}"
