"""The store's database: opened as durability needs it, migrated, read in snapshots, written by one at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DatabaseError, OperationalError

from data.errors import StoreError
from data.snapshots import BUSY_TIMEOUT_S, SCHEMA, Snapshots, sentence


class Database:
    """One open database. Every method may be called from any thread; each call has a connection of its own."""

    def __init__(self, url: str | URL, *, checkpoints: bool = False) -> None:
        """Open a database and bring its schema to `SCHEMA`; raises StoreError.

        `checkpoints`: whether this process moves the write-ahead log into the file. Only one process may (two at
        once can corrupt the file before SQLite 3.51.3: sqlite.org/wal.html, "The WAL-Reset Bug"); it is the engine.
        """
        self.url = make_url(url)
        if self.url.get_backend_name() != "sqlite":
            raise StoreError(f"the store {self.url.render_as_string()} is no SQLite file; [store] url must be one")
        self._engine = create_engine(self.url, hide_parameters=True, pool_size=8, max_overflow=64)
        _prepare(self._engine, checkpoints)
        self._snapshots = Snapshots(Path(self.url.database or ""))
        self._watching: Connection | None = None
        try:
            self._migrate()
        except DatabaseError as error:
            raise StoreError(sentence(str(error.orig), self.url.database)) from error

    def close(self) -> None:
        """Close every connection."""
        if self._watching is not None:
            self._watching.close()
            self._watching = None
        self._snapshots.close()
        self._engine.dispose()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection that sees one state of the store until the end of the block."""
        with self._errors_told(), self._engine.connect() as connection:
            yield connection

    def snapshot(self) -> AbstractContextManager[sqlite3.Connection]:
        """Give the driver's connection, which sees one state of the store until the end of the block."""
        return self._snapshots.snapshot()

    @contextmanager
    def write(self, kept: Connection | None = None) -> Iterator[Connection]:
        """Give the one connection that may write now; durable when the block ends, undone when it raises.

        `kept` is a connection of `writing`, for a thread that writes again and again. Raises StoreError where the
        database cannot be written: full, locked for `BUSY_TIMEOUT_S`, damaged.
        """
        with self._errors_told():
            if kept is not None:
                with kept.begin():
                    yield kept
            else:
                with self.writing() as connection, connection.begin():
                    yield connection

    def writing(self) -> Connection:
        """Return a connection whose transactions write from their start; close it after use."""
        return self._engine.connect().execution_options(jobdeck_writes=True)

    @contextmanager
    def _errors_told(self) -> Iterator[None]:
        try:
            yield
        except DatabaseError as error:
            # A damaged file is a DatabaseError and no more; what is below it, but for this, is a mistake of ours.
            if type(error) not in (DatabaseError, OperationalError):
                raise
            raise StoreError(sentence(str(error.orig), self.url.database)) from error

    def data_version(self) -> int:
        """Return a number that moves when any other connection has committed (PRAGMA data_version); cheap.

        To be called from one thread only.
        """
        if self._watching is None:
            self._watching = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        return int(self._watching.exec_driver_sql("PRAGMA data_version").scalar_one())

    def truncate_log(self) -> bool:
        """Move the write-ahead log into the file and empty it; False if a reader held it back: ask again later.

        What was removed is in the log until then. Only for the process that checkpoints, while it writes nothing.
        """
        with self._errors_told(), self._engine.connect() as connection:
            raw: Any = connection.connection.driver_connection
            # Closed behind the block: nobody else is to get one that waits for nothing.
            connection.detach()
            # Waiting for a reader would keep the writers waiting.
            raw.execute("PRAGMA busy_timeout = 0")
            return raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0

    def _migrate(self) -> None:
        if self._schema() == SCHEMA:
            return
        # Alembic is imported only where there is something to migrate: it costs a start more than the rest.
        from alembic import command
        from alembic.config import Config

        with self.write() as connection:
            found = _schema_of(connection)
            if found is not None and found > SCHEMA:
                raise StoreError(
                    f"the store {self.url.database} was written by a newer Jobdeck (schema {found}, this one knows "
                    f"{SCHEMA}): install the newer Jobdeck again"
                )
            config = Config()
            config.set_main_option("script_location", "data:migrations")
            config.attributes["connection"] = connection
            command.upgrade(config, SCHEMA)

    def _schema(self) -> str | None:
        with self.read() as connection:
            return _schema_of(connection)


def sqlite_url(path: Path) -> URL:
    """Return the URL of the SQLite file at `path`."""
    return URL.create("sqlite", database=str(path))


def local_url(url: str, folder: Path) -> URL | None:
    """Return a SQLite URL with its path under `folder` where it is relative, the folder made; None for any other."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        return None
    path = folder / parsed.database
    path.parent.mkdir(parents=True, exist_ok=True)
    return parsed.set(database=str(path))


def _schema_of(connection: Connection) -> str | None:
    if not connection.dialect.has_table(connection, "alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _prepare(engine: Engine, checkpoints: bool) -> None:
    @event.listens_for(engine, "connect")
    def connect(raw: sqlite3.Connection, record: Any) -> None:
        # The driver's own transactions begin too late and never as IMMEDIATE: `begin` below does it.
        raw.isolation_level = None
        for pragma in (
            f"busy_timeout = {int(BUSY_TIMEOUT_S * 1000)}",
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            # On every connection: what one without it moves inside the file, one with it no longer finds to overwrite.
            "secure_delete = ON",
            f"wal_autocheckpoint = {2000 if checkpoints else 0}",
        ):
            raw.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        if options.get("isolation_level") != "AUTOCOMMIT":
            # A transaction that reads first and writes later would fail where another wrote in between.
            connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("jobdeck_writes") else "BEGIN")
