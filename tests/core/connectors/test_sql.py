"""SQL on real databases that are not ours: SQLite files and a PostgreSQL."""

from __future__ import annotations

import datetime as dt
import sqlite3
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import ValidationError

from core.connectors.registry import registry
from core.connectors.values import reads
from core.errors import AnswerLost, StepError, StepTimeout

PASSWORD = "canary-5f2d"
HOSTILE = ["'; DROP TABLE accounts; --", "1 OR 1=1", '" OR ""="', "{{7*7}}", "%s %(x)s :x ?", "ü\U0001f600", "a\\'b"]


on_sqlite = pytest.mark.parametrize("store", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("store", ["postgresql"], indirect=True)


@dataclass
class Store:
    """A database made by somebody else, and Jobdeck's connection to it."""

    kind: str
    url: str
    execute: Callable[..., Any]
    connection: Any


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "sqlite":
        sqlite3.connect(tmp_path / "shop.db").close()
        url, seen_from_outside = "sqlite:///shop.db", f"sqlite:///{tmp_path}/shop.db"
    else:
        url = seen_from_outside = request.getfixturevalue("postgresql")
    outside = sa.create_engine(seen_from_outside)

    def execute(*statements: str) -> Any:
        with outside.begin() as connection:
            for statement in statements:
                result = connection.exec_driver_sql(statement)
            return result.fetchall() if result.returns_rows else result.rowcount

    if request.param == "postgresql":
        execute("DROP SCHEMA IF EXISTS sales CASCADE", "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    kind = registry().connections["sql"]
    connection = kind.open(kind.settings(url=url), tmp_path)
    yield Store(request.param, url, execute, connection)
    kind.close(connection)
    outside.dispose()


ACCOUNTS = "CREATE TABLE accounts (id INTEGER PRIMARY KEY, name VARCHAR(99) UNIQUE, updated_at TIMESTAMP, created DATE)"


@pytest.fixture
def accounts(store: Store) -> Store:
    store.execute(
        ACCOUNTS,
        "INSERT INTO accounts VALUES (1, 'Ann', '2026-01-03 10:00:00', '2026-01-01'),"
        " (2, 'Bob', '2026-01-02 10:00:00.25', '2026-01-02'), (10, 'Cyd', NULL, '2026-01-03')",
    )
    return store


@pytest.fixture
def sql(run, store):
    def sql(name: str, inputs: dict[str, Any], **call: Any) -> Any:
        return run(f"sql.{name}", {"connection": "c", **inputs}, connection=store.connection, **call)

    return sql


# Actions


def test_a_query_gives_rows(sql, accounts):
    found = sql("query", {"sql": "SELECT id, name FROM accounts WHERE id < :most ORDER BY id", "params": {"most": 5}})
    assert found == {"rows": [{"id": 1, "name": "Ann"}, {"id": 2, "name": "Bob"}], "count": 2}


def test_a_statement_that_writes_is_committed(sql, accounts):
    assert sql("query", {"sql": "UPDATE accounts SET name = 'x:y' WHERE id = 1"}) == {"rows": [], "count": 1}
    assert accounts.execute("SELECT name FROM accounts WHERE id = 1")[0][0] == "x:y"


@pytest.mark.parametrize("value", [*HOSTILE, 5, 1.5, True, None])
def test_values_are_bound_in_every_action(sql, accounts, value):
    text = value if isinstance(value, str) else "plain"
    sql("insert", {"table": "accounts", "values": {"id": 3, "name": text}})
    assert sql("query", {"sql": "SELECT name FROM accounts WHERE name = :n", "params": {"n": text}})["count"] == 1
    sql("upsert", {"table": "accounts", "values": {"id": 3, "name": text + "!"}, "key": "id"})
    assert sql("update", {"table": "accounts", "values": {"name": text}, "where": {"name": text + "!"}})["count"] == 1
    assert accounts.execute("SELECT name FROM accounts WHERE id = 3")[0][0] == text
    assert sql("delete", {"table": "accounts", "where": {"name": text}})["count"] == 1
    assert len(accounts.execute("SELECT * FROM accounts")) == 3


def test_colons_in_literals_and_casts_name_no_parameter(sql, accounts):
    cast = "'5'::int" if accounts.kind == "postgresql" else "5"
    statement = f"SELECT '10:30' AS t, {cast} AS n /* :c */ -- :d\n, ':e' AS e"
    assert sql("query", {"sql": statement})["rows"] == [{"t": "10:30", "n": 5, "e": ":e"}]


@pytest.mark.parametrize(
    ("params", "says"), [({}, "names `:most`"), ({"most": 1, "moist": 2}, "did you mean 'most'")]
)
def test_parameters_must_match_the_statement(sql, accounts, params, says):
    with pytest.raises(StepError, match=says):
        sql("query", {"sql": "SELECT * FROM accounts WHERE id < :most", "params": params})


def test_a_statement_from_a_template_is_refused(sql, accounts):
    with pytest.raises(StepError, match="params"):
        sql("query", {"sql": "SELECT 1"}, from_template=frozenset({"sql"}))


@pytest.mark.parametrize(
    ("statement", "reading"),
    [
        ("SELECT 1", True),
        ("  -- DELETE\n select 'drop; delete' ;", True),
        ("WITH x AS (SELECT 1) SELECT * FROM x", True),
        ("WITH x AS (DELETE FROM a RETURNING *) SELECT * FROM x", False),
        ("SELECT * INTO b FROM a", False),
        ("SELECT * FROM a FOR UPDATE", False),
        ("SELECT 1; DELETE FROM a", False),
        ("EXPLAIN ANALYZE DELETE FROM a", False),
        ("SELECT $x$ ; delete $x$", True),
        ("CALL p()", False),
        ("", False),
    ],
)
def test_only_what_surely_reads_counts_as_reading(statement, reading):
    assert reads(statement) == reading


@on_postgresql
def test_a_reading_statement_cannot_write_on_postgresql(sql, store):
    store.execute("CREATE SEQUENCE counter")
    with pytest.raises(StepError, match="say `writes: true`"):
        sql("query", {"sql": "SELECT nextval('counter')"})
    assert sql("query", {"sql": "SELECT nextval('counter') AS n", "writes": True})["rows"] == [{"n": 1}]


def test_insert_gives_the_key_that_the_database_made(sql, store):
    serial = "SERIAL" if store.kind == "postgresql" else "INTEGER"
    store.execute(f"CREATE TABLE t (id {serial} PRIMARY KEY, a TEXT)", "CREATE TABLE n (a TEXT)")
    assert sql("insert", {"table": "t", "values": {"a": "x"}}) == {"count": 1, "key": 1}
    assert sql("insert", {"table": "t", "values": {"id": 7, "a": "x"}}) == {"count": 1, "key": 7}
    assert sql("insert", {"table": "n", "values": {"a": "x"}}) == {"count": 1, "key": None}


def test_upsert_inserts_then_updates(sql, accounts):
    for name in ("New", "Newer"):
        values = {"id": 5, "name": name}
        assert sql("upsert", {"table": "accounts", "values": values, "key": ["id"]}) == {"count": 1, "key": 5}
    assert accounts.execute("SELECT name FROM accounts WHERE id = 5") == [("Newer",)]
    with pytest.raises(StepError, match=r"(?i)conflict"):
        sql("upsert", {"table": "accounts", "values": {"id": 9, "created": "2026-01-01"}, "key": "created"})
    with pytest.raises(ValidationError, match="key's column"):
        sql("upsert", {"table": "accounts", "values": {"name": "x"}, "key": "id"})


def test_null_in_where_finds_nulls_and_an_empty_where_is_refused(sql, accounts):
    assert sql("update", {"table": "accounts", "values": {"name": "x"}, "where": {"updated_at": None}})["count"] == 1
    for name, inputs in (("delete", {}), ("update", {"values": {"name": "x"}})):
        for where in ({}, {"where": {}}):
            with pytest.raises(ValidationError):
                sql(name, {"table": "accounts", **inputs, **where})


@pytest.mark.parametrize(
    ("name", "inputs", "says"),
    [
        ("insert", {"table": "acounts", "values": {"a": 1}}, "unknown table 'acounts'; did you mean 'accounts'"),
        ("insert", {"table": "accounts; DROP", "values": {"a": 1}}, "unknown table"),
        ("insert", {"table": "accounts", "values": {"nam": 1}}, "unknown column 'nam'; did you mean 'name'"),
        ("update", {"table": "accounts", "values": {"name": 1}, "where": {"id = 1 --": 1}}, "unknown column"),
        ("delete", {"table": "nowhere.accounts", "where": {"id": 1}}, "unknown table"),
        ("insert", {"table": "accounts", "values": {"id": 1}}, "(?i)unique"),
        ("query", {"sql": "SELECT oops FROM accounts"}, "oops"),
        ("query", {"sql": "SELECT 1 AS a, 2 AS a"}, "same name"),
    ],
)
def test_what_the_database_does_not_have_is_named(sql, accounts, name, inputs, says):
    with pytest.raises(StepError, match=says) as caught:
        sql(name, inputs)
    assert (caught.value.kind, isinstance(caught.value, AnswerLost)) == ("sql", False)


def test_a_new_column_is_known_at_once(sql, accounts):
    sql("update", {"table": "accounts", "values": {"name": "x"}, "where": {"id": 1}})
    accounts.execute("ALTER TABLE accounts ADD COLUMN city VARCHAR(50)")
    assert sql("update", {"table": "accounts", "values": {"city": "Rom"}, "where": {"id": 1}})["count"] == 1


def test_odd_names_are_quoted(sql, poller, store):
    percent = "%" if store.kind == "sqlite" else "%%"
    store.execute(f'CREATE TABLE "Order Lines" ("Id" INTEGER PRIMARY KEY, "select" TEXT, "a""b{percent}" TEXT)')
    sql("insert", {"table": "Order Lines", "values": {"Id": 1, "select": "x", 'a"b%': "y"}})
    row = {"Id": 1, "select": "x", 'a"b%': "y"}
    assert sql("query", {"sql": 'SELECT * FROM "Order Lines"'})["rows"] == [row]
    watched = poller("sql.new", {"connection": "c", "table": "Order Lines", "key": "Id"}, store.connection)
    assert [found.data for found in watched.fetch()] == [row]


def test_a_schema_is_named_before_the_table(sql, poller, store):
    schema = "sales" if store.kind == "postgresql" else "main"
    if store.kind == "postgresql":
        store.execute("CREATE SCHEMA sales")
    store.execute(f"CREATE TABLE {schema}.accounts (id INTEGER PRIMARY KEY)")
    sql("insert", {"table": f"{schema}.accounts", "values": {"id": 1}})
    watched = poller("sql.new", {"connection": "c", "table": f"{schema}.accounts", "key": "id"}, store.connection)
    assert [seen.key for seen in watched.scan()] == ["1"]
    with pytest.raises(StepError, match=f"did you mean '{schema}.accounts'"):
        sql("insert", {"table": f"{schema}.acounts", "values": {"id": 1}})


@on_postgresql
def test_postgresql_types_become_json_and_come_back(sql, store):
    store.execute(
        "CREATE TYPE mood AS ENUM ('ok', 'bad')",
        "CREATE TABLE t (u UUID PRIMARY KEY, tz TIMESTAMPTZ, ts TIMESTAMP, d DATE, ti TIME, n NUMERIC(9,2), b BYTEA,"
        " j JSONB, a INTEGER[], f FLOAT8, m mood, i INET, iv INTERVAL, bo BOOLEAN, x TEXT, big BIGINT)",
    )
    row = {
        "u": str(uuid.uuid4()), "tz": "2026-01-01T10:00:00.5Z", "ts": "2026-01-01T10:00:00", "d": "2026-01-01",
        "ti": "10:00:00", "n": "12.50", "b": "AP8=", "j": {"a": [1, None]}, "a": [1, 2], "f": 1.5, "m": "ok",
        "i": "10.0.0.1", "iv": "P1DT2H", "bo": True, "x": "ü", "big": 2**62,
    }  # fmt: skip
    assert sql("insert", {"table": "t", "values": row}) == {"count": 1, "key": row["u"]}
    assert sql("query", {"sql": "SELECT * FROM t"})["rows"] == [{**row, "tz": "2026-01-01T10:00:00.500000Z"}]
    assert sql("delete", {"table": "t", "where": {"u": row["u"], "m": "ok", "tz": row["tz"]}})["count"] == 1


@on_sqlite
def test_sqlite_values_stay_as_they_are(sql, store):
    store.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, d DATETIME, n NUMERIC, b BLOB, j JSON, x)")
    store.execute("INSERT INTO t VALUES (1, 'not a date', 'abc', x'00ff', '{\"a\"', 1767225600)")
    row = {"id": 1, "d": "not a date", "n": "abc", "b": "AP8=", "j": '{"a"', "x": 1767225600}
    assert sql("query", {"sql": "SELECT * FROM t"})["rows"] == [row]
    values = {"id": 2, "d": "2026-01-01T10:00:00Z", "n": 1.5, "b": "AP8=", "j": {"a": 1}, "x": True}
    sql("insert", {"table": "t", "values": values})
    stored = {**values, "j": '{"a": 1}', "x": 1}
    assert sql("query", {"sql": "SELECT * FROM t WHERE id = 2"})["rows"] == [stored]


@pytest.mark.parametrize(("where", "values", "effect"), [("id", "name", "idempotent"), ("name", "name", "writes")])
def test_an_update_of_what_it_looks_for_is_not_idempotent(where, values, effect):
    action = registry().actions["sql.update"]
    inputs = action.inputs(connection="c", table="t", where={where: 1}, values={values: 2})
    assert action.effect_of(inputs) == effect


def test_a_statement_ends_at_its_timeout(sql, store):
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) AS x FROM n"
    with pytest.raises(StepTimeout):
        sql("query", {"sql": endless}, timeout=0.3)
    assert sql("query", {"sql": "SELECT 1 AS one"})["rows"] == [{"one": 1}]


@on_sqlite
def test_a_canceled_statement_ends_on_sqlite(sql, store):
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) AS x FROM n"
    canceled = threading.Event()
    threading.Timer(0.1, canceled.set).start()
    with pytest.raises(StepTimeout):
        sql("query", {"sql": endless}, canceled=canceled)


@on_postgresql
def test_a_connection_that_breaks_is_in_doubt_only_at_the_commit(sql, accounts, monkeypatch):
    inputs = {"table": "accounts", "values": {"id": 77}}
    sql("insert", {"table": "accounts", "values": {"id": 76}})  # looks the table up
    commit = sa.Connection.commit

    def broken(connection: sa.Connection) -> None:
        pid = connection.connection.driver_connection.info.backend_pid
        accounts.execute(f"SELECT pg_terminate_backend({pid})")
        commit(connection)

    monkeypatch.setattr(sa.Connection, "commit", broken)
    with pytest.raises(AnswerLost):
        sql("insert", inputs)
    monkeypatch.undo()
    killer = "SELECT pg_terminate_backend(pg_backend_pid())"
    with pytest.raises(StepError) as caught:
        sql("query", {"sql": killer, "writes": True})
    assert not isinstance(caught.value, AnswerLost)
    assert sql("insert", inputs)["count"] == 1


@on_postgresql
def test_a_deferred_constraint_is_a_plain_error(sql, store):
    store.execute("CREATE TABLE p (id INTEGER PRIMARY KEY)")
    store.execute("CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p DEFERRABLE INITIALLY DEFERRED)")
    with pytest.raises(StepError) as caught:
        sql("insert", {"table": "c", "values": {"id": 1, "p": 9}})
    assert not isinstance(caught.value, AnswerLost)


def test_a_sqlite_file_is_never_made(run, tmp_path):
    kind = registry().connections["sql"]
    for url in ("sqlite:///missing.db", "sqlite:///sub/missing.db"):
        connection = kind.open(kind.settings(url=url), tmp_path)
        with pytest.raises(StepError, match="no such database file"):
            run("sql.query", {"connection": "c", "sql": "SELECT 1"}, connection=connection)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://", "sqlite:///:memory:", "nonsense", f"postgresql:///{PASSWORD}:x:y", f"nodb://u:{PASSWORD}@h/d",
        f"postgresql+psycopg://u:{PASSWORD}@127.0.0.1:1/d", f"postgresql+psycopg://u:{PASSWORD}@no-such.invalid/d",
    ],
)  # fmt: skip
def test_a_wrong_url_is_an_error_without_its_password(run, tmp_path, url):
    kind = registry().connections["sql"]

    def use() -> None:
        connection = kind.open(kind.settings(url=url), tmp_path)
        run("sql.query", {"connection": "c", "sql": "SELECT 1"}, connection=connection)

    with pytest.raises(StepError) as caught:
        use()
    assert caught.value.kind == "connect"
    assert PASSWORD not in f"{caught.value} {caught.value!r} {kind.settings(url=url)!r}"


# Triggers


@pytest.fixture
def watch(poller, store):
    def watch(name: str, **inputs: Any) -> Any:
        return poller(f"sql.{name}", {"connection": "c", **inputs}, store.connection)

    return watch


def test_new_gives_every_row_in_order(watch, accounts):
    watched = watch("new", table="accounts", key="id", created="created")
    assert [(seen.key, seen.mark) for seen in watched.scan()] == [("1", None), ("2", None), ("10", None)]
    assert watched.scan()[1].moment == dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    assert watched.fetch(["10", "1", "99"])[0].data["name"] == "Cyd"
    assert [found.key for found in watched.fetch(["10", "99", "1"])] == ["10", "1"]


def test_new_or_updated_marks_what_moves(watch, accounts):
    watched = watch("new_or_updated", table="accounts", key="id", updated="updated_at")
    before = {seen.key: seen.mark for seen in watched.scan()}
    assert [seen.key for seen in watched.scan() if seen.mark] == ["2", "1"]
    assert {found.key: found.stamp for found in watched.fetch()} == before
    accounts.execute("UPDATE accounts SET updated_at = '2026-02-01 00:00:00' WHERE id IN (1, 10)")
    after = {seen.key: seen.mark for seen in watched.scan()}
    assert {key for key in before if before[key] != after[key]} == {"1", "10"}


def test_a_query_can_be_watched(watch, accounts):
    query = "SELECT id AS account, upper(name) AS name, updated_at AS at FROM accounts WHERE name <> 'a:b' ORDER BY 2;"
    watched = watch("new_or_updated", query=query, key="account", updated="at")
    assert {found.data["name"] for found in watched.fetch()} == {"ANN", "BOB", "CYD"}
    with pytest.raises(StepError, match="query: unknown column 'acount'; did you mean 'account'"):
        watch("new", query=query, key="acount").scan()


def test_a_view_can_be_watched(watch, accounts):
    accounts.execute("CREATE VIEW recent AS SELECT * FROM accounts WHERE id > 1")
    assert {seen.key for seen in watch("new", table="recent", key="id").scan()} == {"2", "10"}


@pytest.mark.parametrize("values", [["a", "A ", "5", "ü'"], [str(uuid.uuid4()), str(uuid.uuid4())]])
def test_text_keys_are_found_again(watch, store, values):
    kind = "UUID" if store.kind == "postgresql" and len(values) == 2 else "TEXT"
    rows = ", ".join("('" + value.replace("'", "''") + "')" for value in values)
    store.execute(f"CREATE TABLE t (k {kind} PRIMARY KEY)", f"INSERT INTO t VALUES {rows}")
    watched = watch("new", table="t", key="k")
    assert {seen.key for seen in watched.scan()} == set(values)
    assert {found.data["k"] for found in watched.fetch()} == set(values)


@on_postgresql
@pytest.mark.parametrize(
    ("kind", "value", "key"),
    [
        ("NUMERIC(20,2)", "12345678901234567.50", "12345678901234567.5"),
        ("BIGINT", "4611686018427387904", "4611686018427387904"),
        ("TIMESTAMPTZ", "'2026-01-01 10:00:00+02'", "2026-01-01T08:00:00Z"),
        ("DATE", "'2026-01-01'", "2026-01-01"),
        ("BYTEA", "'\\x00ff'", "AP8="),
        ("CHAR(5)", "'ab'", "ab   "),
        ("INET", "'10.0.0.1'", "10.0.0.1"),
    ],
)
def test_keys_of_other_types_are_found_again_on_postgresql(watch, store, kind, value, key):
    store.execute(f"CREATE TABLE t (k {kind} PRIMARY KEY)", f"INSERT INTO t VALUES ({value})")
    assert [found.key for found in watch("new", table="t", key="k").fetch()] == [key]


@on_sqlite
def test_keys_of_mixed_types_are_found_again_on_sqlite(watch, store):
    store.execute("CREATE TABLE t (k)", "INSERT INTO t VALUES (1), ('two'), (2.5), ('007')")
    assert {found.key for found in watch("new", table="t", key="k").fetch()} == {"1", "two", "2.5", "007"}


def test_rows_without_a_key_of_their_own_are_an_error(watch, store):
    store.execute("CREATE TABLE t (k INTEGER, a INTEGER)", "INSERT INTO t VALUES (1, 1), (NULL, 2), (NULL, 3)")
    with pytest.raises(StepError, match="'k' is null in 2 rows"):
        watch("new", table="t", key="k").scan()
    store.execute("DELETE FROM t WHERE k IS NULL", "INSERT INTO t VALUES (1, 2)")
    with pytest.raises(StepError, match="not unique: '1' stands in two rows"):
        watch("new", table="t", key="k").scan()


def test_many_rows_are_found_in_chunks(watch, store):
    series = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 1500) SELECT x FROM n"
    store.execute("CREATE TABLE t (k INTEGER PRIMARY KEY)", f"INSERT INTO t {series}")
    watched = watch("new", table="t", key="k")
    assert [found.key for found in watched.fetch()] == [str(number) for number in range(1, 1501)]


def test_others_can_write_while_a_scan_is_looked_at(watch, accounts):
    watched = watch("new", table="accounts", key="id")
    scanning = iter(watched.trigger.source.scan(watched.inputs, watched.watch()))
    next(scanning)
    accounts.execute("UPDATE accounts SET name = 'x' WHERE id = 2")
    assert len(list(scanning)) == 2


@on_sqlite
@pytest.mark.parametrize("text", ["2026-01-01T10:00:00Z", "2026-01-01 12:00:00+02:00", 1767261600, 1767261600000])
def test_moments_in_sqlite_are_understood(watch, store, text):
    store.execute("CREATE TABLE t (k INTEGER, u)", f"INSERT INTO t VALUES (1, {text!r})")
    watched = watch("new_or_updated", table="t", key="k", updated="u")
    assert watched.scan()[0].moment == dt.datetime(2026, 1, 1, 10, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("new", {"key": "id"}),
        ("new", {"key": "id", "table": "t", "query": "SELECT 1"}),
        ("new", {"table": "t"}),
        ("new", {"key": "id", "query": "DELETE FROM t"}),
        ("new_or_updated", {"key": "id", "table": "t"}),
        ("new", {"key": "id", "table": "t", "every": "1s"}),
    ],
)
def test_wrong_triggers_are_refused(name, inputs):
    with pytest.raises(ValidationError):
        registry().triggers[f"sql.{name}"].inputs.model_validate({"connection": "c", **inputs})
