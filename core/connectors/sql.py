"""SQL databases: queries and writes, and tables watched for new and changed rows."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from core.connectors.declare import (
    Action,
    Call,
    Connection,
    Connector,
    Effect,
    Found,
    Inputs,
    Seen,
    Trigger,
    Watch,
    Watcher,
)  # fmt: skip
from core.connectors.values import from_text, moment, reads, to_json, to_text, without_colons
from core.errors import StepError
from core.wording import unknown
from data.job_records import JsonValue

if TYPE_CHECKING:
    import sqlalchemy as sa

    from core.connectors.database import Database

MAX_ROWS = 10_000  # that a query gives
CHUNK = 200  # keys in one statement
COUNTED = {"preserve_rowcount": True}  # SQLAlchemy forgets how many rows an INSERT made, unless it is asked


class Settings(BaseModel):
    """A connection of type `sql`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(
        min_length=1,
        repr=False,
        description="a SQLAlchemy URL: `postgresql+psycopg://user@host/name`, `sqlite:///file.db` in the workspace",
    )


CONNECTION = Field(min_length=1, description="a connection of type sql")
TABLE = Field(min_length=1, description="the table, `name` or `schema.name`")
WHERE = Field(min_length=1, description="which rows, `{column: value}`, all of them equal; null finds nulls")


class Query(Inputs):
    """The inputs of `sql.query`."""

    connection: str = CONNECTION
    sql: str = Field(min_length=1, description="one statement; values stand in it as `:name`, never as templates")
    params: dict[str, JsonValue] = Field(default_factory=dict, description="the values of `:name`, always bound")
    writes: bool = Field(
        default=False, description="true for a SELECT that calls what writes; other statements are told by their words"
    )


class Insert(Inputs):
    """The inputs of `sql.insert`."""

    connection: str = CONNECTION
    table: str = TABLE
    values: dict[str, JsonValue] = Field(min_length=1, description="the row, `{column: value}`")


class Update(Insert):
    """The inputs of `sql.update`."""

    values: dict[str, JsonValue] = Field(min_length=1, description="what to set, `{column: value}`")
    where: dict[str, JsonValue] = WHERE


class Delete(Inputs):
    """The inputs of `sql.delete`."""

    connection: str = CONNECTION
    table: str = TABLE
    where: dict[str, JsonValue] = WHERE


class Upsert(Insert):
    """The inputs of `sql.upsert`."""

    key: str | list[str] = Field(
        min_length=1, description="the column, or columns, that tell whether the row is there; they must be unique"
    )

    @property
    def keys(self) -> list[str]:
        """The key's columns."""
        return [self.key] if isinstance(self.key, str) else self.key

    @model_validator(mode="after")
    def _check_key(self) -> Self:
        missing = [name for name in self.keys if name not in self.values]
        if missing:
            raise ValueError(f"values must hold the key's column {missing[0]!r}")
        return self


class New(Inputs):
    """The inputs of `sql.new`."""

    connection: str = CONNECTION
    table: str | None = Field(default=None, min_length=1, description="the table or view, `name` or `schema.name`")
    query: str | None = Field(default=None, description="a SELECT, instead of `table`")
    key: str = Field(min_length=1, description="the column that tells rows apart")
    updated: str | None = Field(
        default=None, description="the column that moves when a row changes; here for order, and to tell of changes"
    )
    created: str | None = Field(default=None, description="the column that says when a row came; `since` compares it")

    @field_validator("query")
    @classmethod
    def _check_query(cls, query: str | None) -> str | None:
        if query is not None and not reads(query):
            raise ValueError("it must be one SELECT that only reads")
        return query

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if (self.table is None) == (self.query is None):
            raise ValueError("give either `table` or `query`")
        return self


class NewOrUpdated(New):
    """The inputs of `sql.new_or_updated`."""

    updated: str = Field(
        min_length=1, description="the column that moves when a row changes; `since` compares it"
    )


def _open(settings: Settings, workspace: Path) -> Database:
    from core.connectors.database import Database

    return Database(settings.url, workspace)


def query(inputs: Query, call: Call) -> dict[str, JsonValue]:
    """Return the rows and how many; for a statement that gives none, how many it touched."""
    import sqlalchemy as sa

    if "sql" in call.from_template:
        raise StepError("`sql` comes from a template: write its values as `:name` and give them in `params`", "sql")
    database: Database = call.connection
    statement = sa.text(without_colons(inputs.sql))
    _check_params(statement.compile(database.engine).bind_names.values(), inputs.params)
    begin = database.reading if query_effect(inputs) is Effect.READS else database.writing
    with begin(call.timeout, call.canceled) as connection:
        result = connection.execute(statement, {name: _parameter(value) for name, value in inputs.params.items()})
        if not result.returns_rows:
            return {"rows": [], "count": max(result.rowcount, 0)}
        rows = _rows(result)
    return {"rows": rows, "count": len(rows)}


def query_effect(inputs: Query) -> Effect:
    """Return READS for one statement that surely only reads; see values.reads."""
    return Effect.READS if reads(inputs.sql) and not inputs.writes else Effect.WRITES


def _parameter(value: JsonValue) -> Any:
    return json.dumps(value) if isinstance(value, dict) else value


def _check_params(named: Iterable[str], given: Iterable[str]) -> None:
    names, params = set(named), set(given)
    for name in sorted(names - params):
        raise StepError(f"the statement names `:{name}`, params does not; a colon that names nothing is `\\:`", "sql")
    for name in sorted(params - names):
        raise StepError(f"params: {unknown('name', name, names)} in the statement", "sql")


def _rows(result: sa.CursorResult[Any]) -> list[dict[str, JsonValue]]:
    names = list(result.keys())
    if len(set(names)) != len(names):
        raise StepError(f"two columns have the same name, of {', '.join(names)}: name them with AS", "sql")
    rows = result.fetchmany(MAX_ROWS + 1)
    if len(rows) > MAX_ROWS:
        raise StepError(f"the result has more than {MAX_ROWS} rows: ask for fewer", "sql")
    return [dict(zip(names, map(to_json, row), strict=True)) for row in rows]


def insert(inputs: Insert, call: Call) -> dict[str, JsonValue]:
    """Insert one row; return how many and its primary key."""
    database: Database = call.connection
    table = database.table(inputs.table, inputs.values)
    statement = table.insert().values(_values(database, table, inputs.values))
    with database.writing(call.timeout, call.canceled) as connection:
        result = connection.execute(statement, execution_options=COUNTED)
        made = dict(zip(table.primary_key.columns.keys(), result.inserted_primary_key or (), strict=False))
    return {"count": result.rowcount, "key": _key([inputs.values.get(name, made.get(name)) for name in made])}


def update(inputs: Update, call: Call) -> dict[str, JsonValue]:
    """Set values in the rows that match; return how many."""
    database: Database = call.connection
    table = database.table(inputs.table, [*inputs.values, *inputs.where])
    statement = table.update().values(_values(database, table, inputs.values))
    return _changed(database, statement, table, inputs.where, call)


def delete(inputs: Delete, call: Call) -> dict[str, JsonValue]:
    """Delete the rows that match; return how many."""
    database: Database = call.connection
    table = database.table(inputs.table, inputs.where)
    return _changed(database, table.delete(), table, inputs.where, call)


def upsert(inputs: Upsert, call: Call) -> dict[str, JsonValue]:
    """Insert a row, or set the values of the one that has its key; return how many and the key."""
    database: Database = call.connection
    table = database.table(inputs.table, inputs.values)
    statement = _dialect_insert(database)(table).values(_values(database, table, inputs.values))
    others = {name: statement.excluded[name] for name in inputs.values if name not in inputs.keys}
    if others:
        statement = statement.on_conflict_do_update(index_elements=inputs.keys, set_=others)
    else:
        statement = statement.on_conflict_do_nothing(index_elements=inputs.keys)
    with database.writing(call.timeout, call.canceled) as connection:
        count = connection.execute(statement.inline(), execution_options=COUNTED).rowcount
    return {"count": count, "key": _key([inputs.values[name] for name in inputs.keys])}


def update_effect(inputs: Update) -> Effect:
    """Return WRITES where the update changes what it looks for: done again, it would take other rows."""
    return Effect.WRITES if set(inputs.values) & set(inputs.where) else Effect.IDEMPOTENT


def _dialect_insert(database: Database) -> Any:
    from sqlalchemy.dialects import postgresql, sqlite

    known = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
    name = database.engine.dialect.name
    if name not in known:
        raise StepError(f"sql.upsert knows SQLite and PostgreSQL, not {name}: use sql.query", "sql")
    return known[name]


def _values(database: Database, table: sa.Table, values: dict[str, JsonValue]) -> dict[str, Any]:
    return {name: database.bound(table.c[name], value) for name, value in values.items()}


def _changed(
    database: Database, statement: Any, table: sa.Table, where: dict[str, JsonValue], call: Call
) -> dict[str, JsonValue]:
    for name, value in where.items():
        column = table.c[name]
        statement = statement.where(column.is_(None) if value is None else column == database.bound(column, value))
    with database.writing(call.timeout, call.canceled) as connection:
        count = connection.execute(statement).rowcount
    return {"count": count, "key": _key(list(where.values()))}


def _key(values: Sequence[Any] | None) -> JsonValue:
    """Return a key of one column as its value, of several as a list, of none as null."""
    found = to_json(list(values or []))
    return found[0] if len(found) == 1 else found or None


def scan(inputs: New, watch: Watch, *, updates: bool) -> Iterator[Seen]:
    """Yield every row's key, and its mark and moment; raises StepError at its end if rows have no key of their own."""
    database: Database = watch.connection
    names = list(dict.fromkeys(name for name in (inputs.updated, inputs.created, inputs.key) if name))
    compared = inputs.updated if updates else inputs.created
    keys: set[str] = set()
    nulls = 0
    for row in _scanned(database, inputs, names, watch):
        values = dict(zip(names, row, strict=True))
        if values[inputs.key] is None:
            nulls += 1
            continue
        key = to_text(values[inputs.key])
        if key in keys:
            raise StepError(f"key: {inputs.key!r} is not unique: {key!r} stands in two rows", "sql")
        keys.add(key)
        yield Seen(key, _mark(values, inputs), moment(values[compared]) if compared else None)
    if nulls:
        raise StepError(f"key: {inputs.key!r} is null in {nulls} rows: each row needs a key of its own", "sql")


def _mark(values: dict[str, Any], inputs: New) -> str | None:
    value = values[inputs.updated] if inputs.updated else None
    return None if value is None else to_text(value)


def _scanned(database: Database, inputs: New, names: list[str], watch: Watch) -> Iterator[Sequence[Any]]:
    import sqlalchemy as sa

    with database.reading(None, watch.canceled) as connection:
        source = _source(database, connection, inputs, names)
        columns: list[sa.ColumnClause[Any]] = [sa.column(name) for name in names]
        statement = sa.select(*columns).select_from(source).order_by(*columns)
        if not database.sqlite:
            yield from connection.execution_options(yield_per=1000).execute(statement)
            return
        rows = connection.execute(statement).all()
    # An open cursor keeps others from writing to a SQLite file, so it is closed before the first row is looked at.
    yield from rows


def _source(database: Database, connection: sa.Connection, inputs: New, names: list[str]) -> sa.FromClause:
    """Return what to select from; raises StepError if it has not all of these columns."""
    import sqlalchemy as sa

    if inputs.table:
        table = database.table(inputs.table, names)
        return sa.table(table.name, schema=table.schema)
    text = str(inputs.query).strip().rstrip(";").replace("\\:", ":").replace(":", "\\:")
    source = sa.text(text).columns().subquery("source")
    known = connection.execute(sa.select(sa.text("*")).select_from(source).where(sa.false())).keys()
    database.check_columns("query", names, known)
    return source


def fetch(inputs: New, watch: Watch, keys: Sequence[str]) -> Iterator[Found]:
    """Yield these rows, whole; the stamp is that of the row as it was read here."""
    database: Database = watch.connection
    for start in range(0, len(keys), CHUNK):
        chunk = keys[start : start + CHUNK]
        with database.reading(None, watch.canceled) as connection:
            found = {to_text(row[inputs.key]): row for row in _fetched(database, connection, inputs, chunk)}
        for key in chunk:
            if key in found:
                yield Found(key, _mark(found[key], inputs), to_json(found[key]))


def _fetched(
    database: Database, connection: sa.Connection, inputs: New, keys: Sequence[str]
) -> Iterable[dict[str, Any]]:
    import sqlalchemy as sa

    source = _source(database, connection, inputs, [inputs.key])
    key: sa.ColumnClause[Any] = sa.column(inputs.key)
    sample = connection.scalar(sa.select(key).select_from(source).where(key.is_not(None)).limit(1))
    # Without a type of its own the parameter takes the column's, whatever the database calls it.
    wanted = sa.bindparam("keys", type_=sa.types.NullType(), expanding=True)
    statement = sa.select(sa.text("*")).select_from(source).where(key.in_(wanted))
    values = [value for text in keys for value in _candidates(text, sample, database.sqlite)]
    return [dict(row) for row in connection.execute(statement, {"keys": values}).mappings()]


def _candidates(text: str, sample: Any, sqlite: bool) -> list[Any]:
    """Return the values that may have this key: in SQLite one column may hold 5 and '5'."""
    if not sqlite or isinstance(sample, bytes):
        return [from_text(text, sample)]
    both = [text, *(from_text(text, kind) for kind in (0, 0.0))]
    return [value for value in dict.fromkeys(both) if not isinstance(value, int) or abs(value) < 2**63]


def _trigger(name: str, summary: str, inputs: type[New], updates: bool) -> Trigger:
    return Trigger(
        name=name,
        summary=summary,
        inputs=inputs,
        source=Watcher(
            scan=functools.partial(scan, updates=updates),
            fetch=fetch,
            updates=updates,
            since_field=lambda inputs: inputs.updated if updates else inputs.created,
        ),
        connection="sql",
    )


def _action(name: str, summary: str, inputs: type[Inputs], run: Any, effect: Any) -> Action:
    output = {"count": "how many rows", "key": "the row's key, or the values of `where`"}
    return Action(
        name, summary, inputs, effect, run, output, connection="sql", text_inputs=frozenset({"table"}), example=_example
    )


def _example(inputs: Any) -> dict[str, JsonValue]:
    match inputs:
        case Upsert():
            return {"count": 1, "key": _key([inputs.values[name] for name in inputs.keys])}
        case Update() | Delete():
            return {"count": 1, "key": _key(list(inputs.where.values()))}
    return {"count": 1, "key": 1}


CONNECTOR = Connector(
    name="sql",
    actions=(
        Action(
            name="sql.query",
            summary="Run one SQL statement; a SELECT gives its rows.",
            inputs=Query,
            effect=query_effect,
            run=query,
            output={"rows": "a list of mappings, one for each row", "count": "how many rows it gave or touched"},
            connection="sql",
            example={"rows": [], "count": 1},
        ),
        _action("sql.insert", "Insert one row.", Insert, insert, Effect.WRITES),
        _action("sql.update", "Set values in the rows that match.", Update, update, update_effect),
        _action("sql.delete", "Delete the rows that match.", Delete, delete, Effect.IDEMPOTENT),
        _action("sql.upsert", "Insert a row, or update the one with its key.", Upsert, upsert, Effect.IDEMPOTENT),
    ),
    triggers=(
        _trigger("sql.new", "An event for each row that appears.", New, updates=False),
        _trigger("sql.new_or_updated", "An event for each row that appears or changes.", NewOrUpdated, updates=True),
    ),
    connections=(
        Connection(
            type="sql",
            summary="A database that SQLAlchemy can reach: PostgreSQL, SQLite, MySQL and others.",
            settings=Settings,
            open=_open,
            close=lambda database: database.close(),
        ),
    ),
)
