"""Jobs of one object: linked both ways, and told when the object changed where the trigger makes no job of that."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from data import jobs
from data.database import Database, sqlite_url

FILES = "trigger:\n  files.{kind}: {{path: inbox, settle: 0s}}\nsteps: [{{set: {{a: 1}}}}]\n"
ROWS = "trigger:\n  sql.{kind}: {{connection: shop, table: accounts, key: id{more}}}\nsteps: [{{set: {{a: 1}}}}]\n"
OLD = 1_700_000_000


def write(workspace: Any, text: str, moment: int = OLD, name: str = "a.txt") -> Path:
    path = workspace.path / "inbox" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    os.utime(path, (moment, moment))
    return path


def made(workspace: Any) -> list[int]:
    """Poll once and return the jobs that were not there before, in the order they came."""
    before = workspace.statuses()
    workspace.poll()
    return [id for id in workspace.statuses() if id not in before]


def kin(workspace: Any, job_id: int) -> tuple[int | None, int | None]:
    detail = workspace.detail(job_id)
    assert workspace.automation.same_object(job_id) == (detail.newer, detail.older, detail.changed_at)
    return detail.newer, detail.older


def test_jobs_of_one_object_are_linked_to_the_next_and_the_one_before(workspace: Any) -> None:
    workspace.recipe(FILES.format(kind="new_or_updated"))
    first, other = [], []
    for number in range(3):
        write(workspace, f"v{number}", OLD + number)
        first += made(workspace)
        write(workspace, f"v{number}", OLD + number, "b.txt")
        other += made(workspace)
    assert [kin(workspace, id) for id in first] == [(first[1], None), (first[2], first[0]), (None, first[1])]
    assert [kin(workspace, id) for id in other] == [(other[1], None), (other[2], other[0]), (None, other[1])]
    with workspace.automation._database.read() as connection:
        assert jobs.superseded(connection, first) == {first[0]: first[2], first[1]: first[2]}


def test_another_recipe_has_jobs_of_its_own(workspace: Any) -> None:
    for name in ("one", "two"):
        workspace.recipe(FILES.format(kind="new"), name)
    write(workspace, "v0")
    assert [kin(workspace, id) for id in made(workspace)] == [(None, None), (None, None)]


def test_events_that_tell_of_no_object_have_no_kin(workspace: Any) -> None:
    workspace.recipe("steps: [{set: {a: 1}}]\n")
    ids = workspace.send({}, {}, key=None)
    assert [kin(workspace, id) for id in ids] == [(None, None), (None, None)]


def test_a_changed_object_makes_no_job_and_its_job_says_when_that_was(workspace: Any) -> None:
    workspace.recipe(FILES.format(kind="new"))
    write(workspace, "v0")
    (job,) = made(workspace)
    assert workspace.detail(job).changed_at is None
    write(workspace, "v1", OLD + 1)
    assert made(workspace) == []
    detail = workspace.detail(job)
    assert detail.changed_at is not None
    assert detail.changed_at > detail.job.received_at
    with workspace.automation._database.read() as connection:
        assert jobs.changed_since(connection, [job, 999]) == {job: detail.changed_at}
    # Until it changes again, nothing more is told of it.
    assert made(workspace) == []
    assert workspace.detail(job).changed_at == detail.changed_at


def test_other_rights_are_no_change_of_a_file(workspace: Any) -> None:
    workspace.recipe(FILES.format(kind="new"))
    path = write(workspace, "v0")
    (job,) = made(workspace)
    path.chmod(0o600)
    assert made(workspace) == []
    assert workspace.detail(job).changed_at is None


def test_an_object_created_anew_after_a_change_makes_a_job_that_knows_of_none(workspace: Any) -> None:
    workspace.recipe(FILES.format(kind="new"))
    path = write(workspace, "v0")
    (first,) = made(workspace)
    write(workspace, "v1", OLD + 1)
    made(workspace)
    path.unlink()
    assert made(workspace) == []
    write(workspace, "v1", OLD + 1)
    (second,) = made(workspace)
    assert kin(workspace, first) == (second, None)
    assert kin(workspace, second) == (None, first)
    assert workspace.detail(second).changed_at is None


def test_a_change_that_made_no_job_makes_one_once_the_trigger_takes_changes(workspace: Any) -> None:
    workspace.recipe(FILES.format(kind="new"))
    write(workspace, "v0")
    write(workspace, "w0", name="b.txt")
    first, _ = made(workspace)
    write(workspace, "v1", OLD + 1)
    assert made(workspace) == []
    workspace.recipe(FILES.format(kind="new_or_updated"))
    (second,) = made(workspace)
    assert kin(workspace, first) == (second, None)
    assert workspace.detail(second).trigger["data"] == "v1"
    assert workspace.detail(first).changed_at is None
    assert made(workspace) == []


@pytest.fixture
def rows(workspace: Any) -> Callable[[str], None]:
    workspace.settings('[connections.shop]\ntype = "sql"\nurl = "sqlite:///shop.db"\n')

    def execute(sql: str) -> None:
        with closing(sqlite3.connect(workspace.path / "shop.db")) as outside, outside:
            outside.execute(sql)

    execute("CREATE TABLE accounts (id INTEGER PRIMARY KEY, name TEXT, at TEXT)")
    return execute


@pytest.mark.parametrize(("more", "told"), [("", False), (", updated: at", True)])
def test_a_changed_row_is_told_of_where_its_trigger_names_what_moves(
    workspace: Any, rows: Callable[[str], None], more: str, told: bool
) -> None:
    workspace.recipe(ROWS.format(kind="new", more=more))
    rows("INSERT INTO accounts VALUES (1, 'Ann', 'x')")
    (job,) = made(workspace)
    rows("UPDATE accounts SET at = 'y'")
    assert made(workspace) == []
    assert (workspace.detail(job).changed_at is not None) is told


def test_what_moves_named_later_is_no_change(workspace: Any, rows: Callable[[str], None]) -> None:
    workspace.recipe(ROWS.format(kind="new", more=""))
    rows("INSERT INTO accounts VALUES (1, 'Ann', 'x')")
    (job,) = made(workspace)
    workspace.recipe(ROWS.format(kind="new", more=", updated: at"))
    assert made(workspace) == []
    assert workspace.detail(job).changed_at is None
    rows("UPDATE accounts SET at = 'y'")
    assert made(workspace) == []
    assert workspace.detail(job).changed_at is not None


def test_ten_thousand_jobs_are_asked_about_in_a_moment(tmp_path: Path) -> None:
    from tests.benchmarks.generate import fill

    fill(tmp_path / "jobdeck.db", 20_000)
    database = Database(sqlite_url(tmp_path / "jobdeck.db"))
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE jobs SET object_key = 'o' || (id % 700)")
        connection.exec_driver_sql(
            "INSERT INTO objects (recipe_id, key, incarnation, present, changed_at) "
            "SELECT DISTINCT recipe_id, object_key, 1, 1, 4102444800000000 FROM jobs"
        )
    ids = list(range(5_001, 15_001))
    began = time.perf_counter()
    with database.read() as connection:
        newest, changed = jobs.superseded(connection, ids), jobs.changed_since(connection, ids)
    assert time.perf_counter() - began < 5
    assert len(newest) > 8_000
    assert all(newer > id for id, newer in newest.items())
    assert sorted(changed) == ids
    database.close()


def test_the_store_looks_up_kin_by_its_indexes(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path / "jobdeck.db"))
    from sqlalchemy import event as listening

    asked: list[tuple[str, Any]] = []
    listening.listen(database._engine, "before_cursor_execute", lambda *all: asked.append((all[2], all[3])))
    with database.read() as connection:
        jobs.superseded(connection, [1, 2])
        jobs.changed_since(connection, [1, 2])
        jobs.of_same_object(connection, 1)
        wanted = [one for one in asked if one[0].startswith("SELECT")]
        plans = [
            row[3] for sql, values in wanted for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)
        ]
    assert len(wanted) == 3
    assert not [plan for plan in plans if plan.startswith("SCAN") and "CONSTANT" not in plan], plans
    database.close()


