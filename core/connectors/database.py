"""A connection to one SQL database: its pool, transactions, the tables that it has, its errors as StepErrors."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import decimal
import functools
import json
import sqlite3
import threading
import time
import uuid
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa

from core.errors import AnswerLost, StepError, StepTimeout
from core.wording import unknown
from data.job_records import JsonValue

TIMEOUT = 60.0  # seconds for a statement, where the step says nothing
CONNECT_TIMEOUT = 10  # seconds
CONNECT_ARGS: dict[str, dict[str, Any]] = {
    # Milliseconds: a server that vanished is noticed while a statement waits for it.
    "psycopg": {"connect_timeout": CONNECT_TIMEOUT, "tcp_user_timeout": 30_000, "application_name": "jobdeck"},
    "psycopg2": {"connect_timeout": CONNECT_TIMEOUT, "tcp_user_timeout": 30_000, "application_name": "jobdeck"},
    "pymysql": {"connect_timeout": CONNECT_TIMEOUT},
    "mysqldb": {"connect_timeout": CONNECT_TIMEOUT},
}
BINARY = "binary"  # marks columns whose values are bytes
READ_ONLY = "25006"  # SQLSTATE: a write in a transaction that only reads
CANCELED = "57014"  # SQLSTATE: a statement that was ended
NOT_COMMITTED = frozenset({"SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_READONLY"})


class Database:
    """A connection to one database: an engine with its pool, and the tables that were looked up."""

    def __init__(self, url: str, workspace: Path) -> None:
        """Prepare an engine; nothing is connected yet. Raises StepError for a URL that names no known database."""
        self.engine = _engine(url, workspace)
        self.sqlite = self.engine.dialect.name == "sqlite"
        self._tables: dict[str, sa.Table] = {}

    def close(self) -> None:
        """Close every open connection."""
        self.engine.dispose()

    @contextlib.contextmanager
    def reading(self, timeout: float | None, canceled: threading.Event) -> Iterator[sa.Connection]:
        """Give a connection in a transaction that cannot write, where the database has such; rolled back at the end."""
        with self._mapped(), self.engine.connect() as connection:
            if self.engine.dialect.name == "postgresql":
                connection.execution_options(postgresql_readonly=True)
            with self._limited(connection, timeout, canceled), self._query_only(connection):
                yield connection

    @contextlib.contextmanager
    def writing(self, timeout: float | None, canceled: threading.Event) -> Iterator[sa.Connection]:
        """Give a connection in a transaction that is committed at the end; AnswerLost only if that went unanswered."""
        with self._mapped(), self.engine.connect() as connection:
            with self._limited(connection, timeout, canceled):
                yield connection
            self._commit(connection)

    def table(self, name: str, columns: Iterable[str] = ()) -> sa.Table:
        """Return a table as the database has it; raises StepError that names what it has instead of the wrong name."""
        needed = list(columns)
        known = self._tables.get(name)
        if known is None or any(column not in known.c for column in needed):
            known = self._tables[name] = self._reflected(name)
        self.check_columns(name, needed, known.c.keys())
        return known

    def check_columns(self, where: str, wanted: Iterable[str], known: Iterable[str]) -> None:
        """Raise StepError for the first wanted column that is not known."""
        names = list(known)
        for name in wanted:
            if name not in names:
                raise StepError(f"{where}: {unknown('column', name, names)}", "sql")

    def bound(self, column: sa.Column[Any], value: JsonValue) -> Any:
        """Return a value to be compared with or put into a column: always a bound parameter."""
        if self.sqlite:
            return sa.bindparam(None, _bytes(column.name, value) if column.info.get(BINARY) else _plain(value))
        return sa.bindparam(None, _typed(column, value), type_=column.type)

    def _reflected(self, name: str) -> sa.Table:
        with self._mapped():
            inspector = sa.inspect(self.engine)
            schema, _, plain = name.rpartition(".")
            for within, table in ((None, name), (schema or None, plain)):
                if inspector.has_table(table, schema=within):
                    found = sa.Table(table, sa.MetaData(), schema=within, autoload_with=self.engine, resolve_fks=False)
                    return _untyped(found) if self.sqlite else found
            raise StepError(unknown("table", name, _table_names(inspector, schema or None)), "sql")

    @contextlib.contextmanager
    def _query_only(self, connection: sa.Connection) -> Iterator[None]:
        if not self.sqlite:
            yield
            return
        connection.exec_driver_sql("PRAGMA query_only = 1")
        try:
            yield
        finally:
            connection.rollback()
            connection.exec_driver_sql("PRAGMA query_only = 0")

    @contextlib.contextmanager
    def _limited(
        self, connection: sa.Connection, timeout: float | None, canceled: threading.Event
    ) -> Iterator[None]:
        """End a statement that takes too long, where the database lets us."""
        seconds = timeout or TIMEOUT
        if self.engine.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {max(1, int(seconds * 1000))}")
        if not self.sqlite:
            yield
            return
        driver = connection.connection.driver_connection
        deadline = time.monotonic() + seconds
        assert driver is not None
        driver.set_progress_handler(lambda: canceled.is_set() or time.monotonic() > deadline, 10_000)
        try:
            yield
        finally:
            driver.set_progress_handler(None, 0)

    def _commit(self, connection: sa.Connection) -> None:
        try:
            connection.commit()
        except sa.exc.DBAPIError as error:
            if _lost(error):
                raise AnswerLost(f"the connection broke during the commit: {self._said(error)}") from error
            raise

    @contextlib.contextmanager
    def _mapped(self) -> Iterator[None]:
        """Turn what drivers raise into StepErrors."""
        try:
            yield
        except sa.exc.DBAPIError as error:
            self._tables.clear()  # it may be that a table is not what it was
            raise self._step_error(error) from error
        except sa.exc.SQLAlchemyError as error:
            raise StepError(self._said(error), "sql") from error
        except (OverflowError, UnicodeError) as error:
            raise StepError(f"a value cannot be stored: {error}", "sql") from error

    def _step_error(self, error: sa.exc.DBAPIError) -> StepError:
        if _interrupted(error):
            return StepTimeout("the statement took too long and was ended; nothing of it was kept")
        if getattr(error.orig, "sqlstate", None) == READ_ONLY:
            return StepError(f"{self._said(error)}: say `writes: true`, it is a write", "sql")
        unreached = error.statement is None or error.connection_invalidated
        return StepError(self._said(error), "connect" if unreached else "sql")

    def _said(self, error: Exception) -> str:
        text = " ".join(str(getattr(error, "orig", None) or error).split())
        if self.sqlite and "unable to open database file" in text:
            return f"{self.engine.url.database}: there is no such database file, or it cannot be opened"
        password = self.engine.url.password
        return text.replace(str(password), "***") if password else text


def _engine(text: str, workspace: Path) -> sa.Engine:
    _quieten()
    try:
        url = sa.make_url(text)
        options: dict[str, Any] = {"connect_args": _connect_args(url)}
        if url.get_backend_name() == "sqlite":
            options = {"creator": _sqlite_creator(url, workspace)}
            url = url.set(query={}, database=str(_sqlite_file(url, workspace)))
        return sa.create_engine(url, hide_parameters=True, pool_pre_ping=True, max_overflow=-1, **options)
    except ModuleNotFoundError as error:
        raise StepError(f"the database's driver is not installed: {error.name}", "connect") from error
    except (sa.exc.ArgumentError, ValueError):
        # Its text quotes the URL, and with it the password.
        raise StepError(
            "the connection's url names no database: write `postgresql+psycopg://user:password@host/name` "
            "or `sqlite:///file.db`",
            "connect",
        ) from None


@functools.cache
def _quieten() -> None:
    """Keep SQLAlchemy from printing what only the owner of a database can change: odd types, keys without defaults."""
    for message in ("Did not recognize type", "Column .* is marked as a member of the primary key"):
        warnings.filterwarnings("ignore", message, sa.exc.SAWarning)


def _connect_args(url: sa.URL) -> dict[str, Any]:
    """Return the driver's arguments that the URL does not give itself."""
    args = CONNECT_ARGS.get(url.get_driver_name(), {})
    return {name: value for name, value in args.items() if name not in url.query}


def _sqlite_file(url: sa.URL, workspace: Path) -> Path:
    if not url.database or url.database == ":memory:":
        raise ValueError("no file")
    return workspace / url.database


def _sqlite_creator(url: sa.URL, workspace: Path) -> Any:
    """Return what opens the file, and never makes one."""
    mode = url.query.get("mode", "rw")
    if mode not in ("rw", "ro"):
        raise ValueError("no such mode")
    file = f"file:{quote(str(_sqlite_file(url, workspace).absolute()))}?mode={mode}"
    return lambda: sqlite3.connect(file, uri=True, timeout=CONNECT_TIMEOUT, check_same_thread=False)


def _table_names(inspector: sa.Inspector, schema: str | None) -> list[str]:
    """Return the tables and views of a schema as recipes name them, or of the default one where there is no such."""
    known = schema if schema in inspector.get_schema_names() else None
    names = [*inspector.get_table_names(schema=known), *inspector.get_view_names(schema=known)]
    return [f"{known}.{name}" if known else name for name in names]


def _lost(error: sa.exc.DBAPIError) -> bool:
    """Return whether a commit that failed with this may have happened."""
    name = type(error.orig).__name__
    if isinstance(error.orig, sqlite3.Error):
        return isinstance(error.orig, sqlite3.OperationalError) and _sqlite_name(error) not in NOT_COMMITTED
    return error.connection_invalidated or name in ("OperationalError", "InterfaceError", "AdminShutdown")


def _sqlite_name(error: sa.exc.DBAPIError) -> str:
    return str(getattr(error.orig, "sqlite_errorname", ""))


def _interrupted(error: sa.exc.DBAPIError) -> bool:
    return getattr(error.orig, "sqlstate", None) == CANCELED or _sqlite_name(error) == "SQLITE_INTERRUPT"


def _plain(value: JsonValue) -> Any:
    return json.dumps(value) if isinstance(value, dict | list) else value


def _untyped(table: sa.Table) -> sa.Table:
    """Return a table whose columns take what they are given, as those of SQLite do whatever their declared type."""
    columns: list[sa.Column[Any]] = []
    for column in table.c:
        kind = column.type if isinstance(column.type, sa.Integer) else sa.types.NullType()
        info = {BINARY: isinstance(column.type, sa.LargeBinary)}
        columns.append(sa.Column(column.name, kind, primary_key=column.primary_key, info=info))
    return sa.Table(table.name, sa.MetaData(), *columns, schema=table.schema)


def _bytes(name: str, value: JsonValue) -> Any:
    try:
        return base64.b64decode(value, validate=True) if isinstance(value, str) else value
    except ValueError:
        raise StepError(f"column {name!r} holds bytes: its value must be base64", "sql") from None


def _typed(column: sa.Column[Any], value: JsonValue) -> Any:
    """Return a JSON value as the column's driver wants it; what cannot be converted the database shall judge."""
    kind = column.type
    if isinstance(kind, sa.LargeBinary):
        return _bytes(column.name, value)
    try:
        match kind, value:
            case sa.Uuid(), str():
                return uuid.UUID(value)
            case sa.Numeric(), str() | float() if kind.asdecimal:
                return decimal.Decimal(str(value))
            case sa.DateTime(), str():
                return dt.datetime.fromisoformat(value)
            case sa.types.NullType(), dict() | list():
                return json.dumps(value)
    except (ValueError, decimal.InvalidOperation):
        return value
    return value
