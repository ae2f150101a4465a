"""The recipes' tallies: the same as counting one by one, from indexes, and bounded however busy the day."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from data import tallies
from data.database import Database, sqlite_url
from data.encoding import to_micros
from tests.benchmarks.generate import fill

NOW = dt.datetime(2026, 5, 4, 10, 30, tzinfo=dt.UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "jobdeck.db"
    fill(path, 3_000, to_micros(NOW))
    return path


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    database = Database(sqlite_url(path))
    yield database
    database.close()


def asked(path: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as raw:
        return raw.execute(sql).fetchall()


def test_jobs_are_counted_by_the_status_of_their_latest_version(path: Path, database: Database) -> None:
    with database.read() as connection:
        found = tallies.tallies(connection, NOW)
    counted = asked(path, "SELECT recipe_id, status, count(*) FROM versions WHERE latest GROUP BY 1, 2")
    assert {
        (recipe, status.value, number) for recipe, one in found.items() for status, number in one.statuses.items()
    } == set(counted)


def test_an_hour_has_the_jobs_received_in_it_and_those_that_have_failed(path: Path, database: Database) -> None:
    with database.read() as connection:
        found = tallies.tallies(connection, NOW)
    hour = to_micros(NOW.replace(minute=0))
    rows = asked(
        path,
        "SELECT jobs.recipe_id, received_at / 3600000000, count(*), sum(status = 'failed') FROM jobs "
        f"JOIN versions ON job_id = jobs.id AND latest WHERE received_at >= {hour} - 23 * 3600000000 GROUP BY 1, 2",
    )
    assert rows
    assert {
        (recipe, to_micros(one.began) // 3_600_000_000, one.received, one.failed)
        for recipe, tally in found.items() for one in tally.hours if one.received
    } == set(rows)
    assert {len(tally.hours) for tally in found.values()} == {24}
    assert {tally.hours[-1].began for tally in found.values()} == {NOW.replace(minute=0)}
    assert {tally.looked_at for tally in found.values()} == {None}


def test_a_job_on_the_stroke_of_the_hour_belongs_to_the_hour_that_begins(path: Path, database: Database) -> None:
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("UPDATE jobs SET received_at = ? WHERE id > 2990", (to_micros(NOW.replace(minute=0)),))
        raw.execute("UPDATE jobs SET received_at = ? WHERE id <= 2990", (to_micros(NOW.replace(minute=0)) - 1,))
    with database.read() as connection:
        found = tallies.tallies(connection, NOW)
    assert sum(tally.hours[-1].received for tally in found.values()) == 10
    assert sum(tally.hours[-2].received for tally in found.values()) == 2990


def test_only_the_newest_jobs_are_looked_at_for_the_hours_and_that_is_told(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tallies, "LOOKED_AT", 100)
    with database.read() as connection:
        found = tallies.tallies(connection, NOW)
    assert sum(hour.received for tally in found.values() for hour in tally.hours) == 100
    assert {tally.looked_at for tally in found.values()} == {100}
    assert sum(sum(tally.statuses.values()) for tally in found.values()) == 3_000


def test_a_store_without_jobs_has_none(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path / "empty.db"))
    with database.write() as connection:
        connection.exec_driver_sql("INSERT INTO recipes (name, started) VALUES ('sync', 1)")
    with database.read() as connection:
        found = tallies.tallies(connection, NOW)
    database.close()
    assert [(tally.statuses, len(tally.hours), tally.looked_at) for tally in found.values()] == [({}, 24, None)]


def test_no_row_of_a_job_or_a_version_is_looked_at_to_count(path: Path, database: Database) -> None:
    statements: list[tuple[str, Any]] = []
    with database.read() as connection:
        event.listen(
            connection, "before_cursor_execute",
            lambda conn, cursor, statement, values, context, many: statements.append((statement, values)),
        )
        tallies.tallies(connection, NOW)
    counting = [one for one in statements if "count(" in one[0]]
    assert len(counting) == 3
    with closing(sqlite3.connect(path)) as raw:
        for sql, values in counting:
            plan = [row[3] for row in raw.execute("EXPLAIN QUERY PLAN " + sql, values)]
            assert any("INDEX jobs_by_recipe (" in step or "INDEX latest_by_status (" in step for step in plan), plan
            assert not [step for step in plan if step.startswith(("SCAN versions", "SCAN jobs"))]
            assert not _read_from_tables(raw, sql, values)
        for sql, values in statements:
            plan = [row[3] for row in raw.execute("EXPLAIN QUERY PLAN " + sql, values)]
            assert not [step for step in plan if step == "SCAN jobs"], plan


def _read_from_tables(raw: sqlite3.Connection, sql: str, values: Any) -> list[tuple[Any, ...]]:
    """Return the steps of a statement's program that read a column of the rows of jobs or versions themselves."""
    roots = {root for (root,) in raw.execute("SELECT rootpage FROM sqlite_master WHERE name IN ('jobs', 'versions')")}
    program = raw.execute("EXPLAIN " + sql, values).fetchall()
    cursors = {step[2] for step in program if step[1] == "OpenRead" and step[3] in roots}
    return [step for step in program if step[1] == "Column" and step[2] in cursors]
