"""Error groups as `jobdeck errors` tells them: who is in one, since when, and what people have noted on it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from core.errors import NotFound
from core.reruns import Selection
from data import failures
from data.database import Database, sqlite_url
from data.job_records import JobFilter, Sort
from data.records import ErrorGroup
from data.states import Status
from tests.benchmarks.generate import fill

FAILS = """\
steps:
  - id: read
    action: files.read
    with: {path: "{{ trigger.path }}"}
"""
STOPS = "steps:\n  - {stop: failed, reason: enough, if: trigger.stop}\n"


def groups(workspace: Any, **filters: Any) -> list[ErrorGroup]:
    return list(workspace.automation.failures.groups(**filters))


def test_jobs_count_as_they_are_now_versions_as_they_ever_were(workspace: Any) -> None:
    workspace.recipe(FAILS)
    workspace.run({"path": "gone/a.txt"}, {"path": "gone/b.txt"})
    workspace.rerun_and_run(1)
    (workspace.path / "gone").mkdir()
    (workspace.path / "gone" / "a.txt").write_text("here")
    workspace.rerun_and_run(1)
    [group] = groups(workspace)
    assert (group.jobs, group.versions) == (1, 3)
    assert (group.recipes, group.action, group.step) == (("sync",), "files.read", "1")
    assert (group.first_recipe, group.first_revision, group.note) == ("sync", 1, None)
    assert "gone/b.txt" in group.message or "gone/a.txt" in group.message
    first = workspace.automation.history(1)[-1].finished_at
    assert group.first_seen_at == first < group.last_seen_at
    jobs = workspace.automation.jobs(JobFilter(error_group=group.group), Sort())
    assert [job.id for job in jobs] == [2]


def test_the_group_names_the_revision_in_which_it_was_first_seen(workspace: Any) -> None:
    workspace.recipe(STOPS)
    workspace.run({"stop": False})
    workspace.recipe(STOPS.replace("trigger.stop", "true"))
    workspace.run({"stop": False})
    workspace.recipe("title: other\n" + STOPS)
    workspace.run({"stop": True})
    [group] = groups(workspace)
    assert (group.first_recipe, group.first_revision, group.jobs) == ("sync", 2, 2)


def test_most_jobs_come_first_then_what_was_seen_last_and_a_limit_ends_it(workspace: Any) -> None:
    workspace.recipe(FAILS)
    workspace.recipe(STOPS, "one")
    workspace.recipe(STOPS.replace("enough", "too much"), "two")
    workspace.run({"stop": True}, recipe="one")
    workspace.run({"stop": True}, recipe="two")
    workspace.run({"path": "a.txt"}, {"path": "b.txt"})
    assert [group.recipes for group in groups(workspace)] == [("sync",), ("two",), ("one",)]
    assert [group.recipes for group in groups(workspace, limit=1)] == [("sync",)]
    assert [group.recipes for group in groups(workspace, recipe="one")] == [("one",)]


def test_one_error_of_two_recipes_is_one_group_and_counts_of_one_recipe_are_its_own(workspace: Any) -> None:
    for name in ("one", "two"):
        workspace.recipe(STOPS, name)
    workspace.run({"stop": True}, {"stop": True}, recipe="one")
    workspace.run({"stop": True}, recipe="two")
    [group] = groups(workspace)
    assert (group.recipes, group.jobs) == (("one", "two"), 3)
    [group] = groups(workspace, recipe="two")
    assert (group.recipes, group.jobs) == (("two",), 1)
    with pytest.raises(NotFound):
        groups(workspace, recipe="three")


def test_a_period_chooses_the_groups_that_were_seen_in_it(workspace: Any) -> None:
    workspace.recipe(STOPS)
    workspace.run({"stop": True})
    [group] = groups(workspace)
    moment, tick = group.last_seen_at, dt.timedelta(microseconds=1)
    assert groups(workspace, since=moment) == groups(workspace, until=moment + tick) == [group]
    assert groups(workspace, since=moment + tick) == groups(workspace, until=moment) == []


def test_a_note_is_kept_told_replaced_removed_and_in_the_audit(workspace: Any) -> None:
    workspace.recipe(STOPS)
    workspace.run({"stop": True})
    [group] = groups(workspace)
    note = workspace.automation.failures.note
    note(group.group, " ask Ada\ud800 ", by="bob")
    [told] = groups(workspace)
    assert told.note is not None
    assert (told.note.text, told.note.by) == ("ask Ada\\ud800", "bob")
    note(group.group, "ask Grace", by="cyd")
    [told] = groups(workspace)
    assert told.note is not None
    assert (told.note.text, told.note.by) == ("ask Grace", "cyd")
    note(group.group, " ", by="cyd")
    note(group.group, "", by="cyd")
    assert groups(workspace) == [group]
    with pytest.raises(NotFound):
        note("nothing", "x", by="cyd")
    acts = [(act.actor, act.action, act.subject, act.note) for act in workspace.automation.audit.acts()]
    subject = f"error {group.group}"
    assert acts == [
        ("cyd", "error note removed", subject, None),
        ("cyd", "error note", subject, "ask Grace"),
        ("bob", "error note", subject, "ask Ada\\ud800"),
    ]


def test_a_rerun_of_a_group_takes_its_jobs(workspace: Any) -> None:
    workspace.recipe(STOPS)
    workspace.run({"stop": True}, {"stop": False}, {"stop": True})
    [group] = groups(workspace)
    done = workspace.automation.rerun(Selection(filter=JobFilter(error_group=group.group)), by="ada")
    assert done.requested == (1, 3)
    [group] = groups(workspace)
    assert (group.jobs, group.versions) == (0, 2)
    assert workspace.status(1) is Status.QUEUED


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "jobdeck.db"
    fill(path, 2_000)
    return path


def test_counting_looks_at_the_index_alone(filled: Path) -> None:
    database = Database(sqlite_url(filled))
    asked: list[tuple[str, Any]] = []
    event.listen(database._engine, "before_cursor_execute", lambda *given: asked.append((given[2], given[3])))
    with database.read() as connection:
        found = failures.counted(connection, None, None, None)
        failures.counted(connection, 3, dt.datetime.now(dt.UTC), dt.datetime.now(dt.UTC))
        failures.told(connection, found)
        wanted = [one for one in asked if one[0].startswith("SELECT")]
        plans = [
            row[3] for sql, values in wanted for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)
        ]
    database.close()
    assert len(found) == 9
    assert not [plan for plan in plans if "TEMP B-TREE" in plan or plan.startswith("SCAN versions")], plans
    by_error = [plan for plan in plans if "versions_by_error" in plan]
    assert len(by_error) == 2 + 2 * len(found)
    assert all("COVERING" in plan for plan in by_error)


def test_counts_are_those_of_every_version(filled: Path) -> None:
    database = Database(sqlite_url(filled))
    with database.read() as connection:
        found = {one.group: (one.jobs, one.versions) for one in failures.counted(connection, None, None, None)}
        rows = connection.exec_driver_sql(
            "SELECT error_group, sum(latest), count(*) FROM versions WHERE error_group IS NOT NULL GROUP BY 1"
        )
        assert found == {group: (jobs, versions) for group, jobs, versions in rows}
    database.close()
