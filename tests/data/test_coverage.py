"""The reads behind coverage and dry runs: held to their indexes, whatever the number of jobs."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event

from data import coverage
from data.database import Database, sqlite_url
from tests.benchmarks.generate import fill


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "jobdeck.db"
    fill(path, 2_000)
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("ANALYZE")
    return path


@pytest.mark.parametrize(
    ("read", "served_by"),
    [
        (lambda connection: coverage.taken(connection, 3), "versions_by_revision"),
        (lambda connection: coverage.last_output(connection, 1, "find", "zendesk.search"), "jobs_by_recipe"),
    ],
    ids=["coverage", "last output"],
)
def test_reads_are_served_by_their_index(store: Path, read: Callable[[Connection], Any], served_by: str) -> None:
    database = Database(sqlite_url(store))
    statements: list[tuple[str, Any]] = []
    with database.read() as connection:
        event.listen(
            connection, "before_cursor_execute",
            lambda conn, cursor, statement, values, context, many: statements.append((statement, values)),
        )
        read(connection)
    database.close()
    with closing(sqlite3.connect(store)) as raw:
        plan = [row[3] for one in statements for row in raw.execute("EXPLAIN QUERY PLAN " + one[0], one[1])]
    assert any(f"INDEX {served_by} " in step for step in plan)
    # What a subquery gave may be read whole; a table of the store may not.
    assert [step for step in plan if step.startswith(("SCAN steps", "SCAN versions", "SCAN jobs"))] == []
