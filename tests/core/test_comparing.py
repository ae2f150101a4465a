"""Versions compared on a real store: what differs, which step first, and which two are compared."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest

from core.errors import NotFound, Refused

READS = "steps:\n  - {id: seen, action: files.read, with: {path: seen.json, parse: json}}\n"


@pytest.fixture
def comparing(workspace):
    return workspace.automation.comparing


def see(workspace, **data):
    (workspace.path / "seen.json").write_text(json.dumps(data))


def step(diff, path):
    return next(step for step in diff.steps if step.path == path)


def changes(found):
    return [(change.kind.value, change.path, change.old, change.new) for change in found.changes]


def test_the_first_step_that_came_out_differently_is_named_and_the_rest_told_step_by_step(workspace, comparing):
    workspace.recipe(
        READS + '  - {set: {same: 1}}\n  - if: steps.seen.data.ok\n    then: [{set: {a: "{{ steps.seen.data.n }}"}}]\n'
        '    else: [{stop: failed, reason: "not ok"}]\n'
    )
    see(workspace, ok=False, n=1)
    job = workspace.run().job.id
    see(workspace, ok=True, n=1)
    workspace.rerun_and_run(job)
    diff = comparing.with_previous(job)
    assert (diff.old.name, diff.new.name) == (f"{job}.1", f"{job}.2")
    assert (diff.old.status, diff.new.status, diff.new.by) == ("failed", "succeeded", "ada")
    assert (diff.old.error.message, diff.new.error, diff.recipe) == ("not ok", None, ())
    assert diff.first.path == "1"
    assert ("changed", "$.data.ok", False, True) in changes(diff.first.output)
    assert step(diff, "3").branch == ("else", "then")
    assert step(diff, "3.then.1").status == ("not_reached", "succeeded")
    assert changes(step(diff, "3.then.1").output) == [("added", "$", None, {"a": 1})]
    assert [one.path for one in diff.unchanged] == ["2"]


def test_a_new_revision_is_told_by_its_diff_and_its_steps_are_known_by_what_they_are(workspace, comparing):
    workspace.recipe("steps:\n  - {set: {a: 1}}\n  - {id: old, set: {a: 1}}\n  - {id: kept, set: {b: 1}}\n")
    job = workspace.run().job.id
    workspace.recipe(
        "steps:\n  - {action: log.write, with: {message: hi}}\n  - {set: {a: 1}}\n  - {id: kept, set: {b: 2}}\n"
        "  - {id: new, set: {c: 1}}\n"
    )
    workspace.rerun_and_run(job)
    diff = comparing.with_previous(job)
    assert diff.recipe[:2] == ("--- sync r1", "+++ sync r2")
    assert "-  - {id: old, set: {a: 1}}" in diff.recipe
    assert [(one.path, one.was_at, one.only) for one in diff.steps] == [
        ("1", None, "new"), ("2", "1", ""), ("2", None, "old"), ("3", None, ""), ("4", None, "new"),
    ]
    assert not diff.steps[1].differs
    assert changes(step(diff, "3").output) == [("changed", "$.b", 1, 2)]


def test_iterations_of_a_loop_are_compared_by_their_paths(workspace, comparing):
    workspace.recipe(READS + '  - repeat: steps.seen.data.rows\n    do: [{id: row, set: {v: "{{ item }}"}}]\n')
    see(workspace, rows=[1, 2])
    job = workspace.run().job.id
    see(workspace, rows=[1, 3, 4])
    workspace.rerun_and_run(job)
    diff = comparing.with_previous(job)
    assert [one.path for one in diff.unchanged] == ["2[0].do.1"]
    assert changes(step(diff, "2[1].do.1").output) == [("changed", "$.v", 2, 3)]
    assert (step(diff, "2[2].do.1").only, step(diff, "2[2].do.1").index) == ("new", (2,))
    assert changes(step(diff, "2").output) == [("changed", "$.count", 2, 3)]


def test_a_monitor_gives_way_to_the_step_inside_it_that_came_out_differently(workspace, comparing):
    workspace.recipe("steps:\n  - monitor: [{action: files.read, with: {path: seen.json}}]\n")
    job = workspace.run().job.id
    see(workspace)
    workspace.rerun_and_run(job)
    diff = comparing.with_previous(job)
    assert (diff.first.path, diff.first.status) == ("1.monitor.1", ("failed", "succeeded"))
    assert step(diff, "1").status == ("handled", "succeeded")
    assert "seen.json" in diff.first.error[0].message


def test_a_step_that_is_reused_came_out_as_before(workspace, comparing):
    workspace.recipe(f"{READS.replace('{id: seen,', '{id: seen, once: true,')}  - {{stop: failed, if: trigger.bad}}\n")
    see(workspace)
    job = workspace.run({"bad": True}).job.id
    workspace.recipe(f"{READS.replace('{id: seen,', '{id: seen, once: true,')}  - {{stop: failed, if: false}}\n")
    workspace.rerun_and_run(job)
    diff = comparing.with_previous(job)
    assert step(diff, "1").status == ("succeeded", "reused")
    assert diff.first.path == "2"


def test_versions_of_two_jobs_are_compared_with_their_events(workspace, comparing):
    workspace.recipe("steps: [{set: {a: 1}}]\n")
    one, other = workspace.send({"name": "Ada", "n": 1}, {"name": "Bob", "n": 1})
    workspace.run_until_idle()
    diff = comparing.versions((one, 1), (other, 1))
    assert changes(diff.trigger) == [("changed", "$.name", "Ada", "Bob")]
    assert (diff.first, diff.differs) == (None, True)
    assert not comparing.versions((one, 1), (one, 1)).differs


def test_the_last_good_version_before_the_latest_is_found(workspace, comparing):
    workspace.recipe(READS)
    see(workspace)
    job = workspace.run().job.id
    workspace.rerun_and_run(job)
    (workspace.path / "seen.json").unlink()
    workspace.rerun_and_run(job)
    workspace.rerun_and_run(job)
    diff = comparing.with_last_good(job)
    assert (diff.old.name, diff.new.name, diff.note) == (f"{job}.2", f"{job}.4", "")


def test_without_a_good_version_the_newest_good_job_of_the_recipe_stands_in_and_the_note_says_so(workspace, comparing):
    workspace.recipe('steps: [{stop: failed, if: trigger.bad}]\n')
    workspace.recipe("steps: [{set: {a: 1}}]\n", "other")
    workspace.run(recipe="other")
    bad = workspace.run({"bad": True}).job.id
    with pytest.raises(Refused, match=f"no version before {bad}.1 succeeded, and no other job of sync either") as no:
        comparing.with_last_good(bad)
    assert no.value.code == "no_good_version"
    workspace.run({"bad": False})
    good = workspace.run({"bad": False}).job.id
    diff = comparing.with_last_good(bad)
    assert (diff.old.name, diff.new.name) == (f"{good}.1", f"{bad}.1")
    assert diff.note == f"no version before {bad}.1 succeeded: compared with the newest job of sync that did"


def test_what_is_not_there_is_told(workspace, comparing):
    workspace.recipe("steps: [{set: {a: 1}}]\n")
    job = workspace.run().job.id
    with pytest.raises(Refused, match=f"{job}.1 is the first version") as only:
        comparing.with_previous(job)
    assert only.value.code == "only_version"
    with pytest.raises(NotFound, match=f"job {job} has no version 7; its latest is {job}.1"):
        comparing.versions((job, 1), (job, 7))
    with pytest.raises(NotFound, match="there is no job 404"):
        comparing.with_last_good(404)


def test_of_expired_versions_is_said_what_is_left_and_when_the_rest_went(workspace, comparing):
    workspace.recipe("retention: 30d\nsteps: [{set: {a: 1}}]\n")
    job = workspace.run().job.id
    workspace.rerun_and_run(job)
    with closing(sqlite3.connect(workspace.path / ".jobdeck" / "jobdeck.db")) as store, store:
        store.execute("UPDATE versions SET finished_at = 0")
    workspace.automation.purge(by="ada")
    diff = comparing.with_previous(job)
    (sentence,) = diff.gone
    assert sentence.startswith(f"of job {job} only statuses, times, revisions and the kinds of its errors are left")
    assert "by retention 30d of recipe sync" in sentence
    assert (diff.steps, diff.first, diff.old.status, diff.recipe) == ((), None, "succeeded", ())
