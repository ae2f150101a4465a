"""Rerunning: each test is named after the rule that it holds."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import IntegrityError

from core.automation import Automation
from core.errors import NotFound, Refused
from core.reruns import Repeat, RevisionChange, Selection
from data.database import Database, sqlite_url
from data.encoding import to_micros
from data.job_records import SORT_COLUMNS, JobFilter, Sort
from data.states import Status
from data.tables import payloads, versions

GOOD = 'steps: [{id: say, set: {name: "{{ trigger.name }}"}}]'
BAD = 'steps: [{id: say, action: files.read, with: {path: "{{ trigger.name }}"}}]'
LOG = 'steps: [{id: log, action: files.append, with: {path: log, text: "{{ trigger.name }}\\n"}}]'
OWN_OUTCOMES = {"status", "started_at", "finished_at", "duration_ms", "versions", "error"}


def store(workspace, *statements) -> None:
    """Change the store behind everybody's back."""
    database = Database(sqlite_url(workspace.path / ".jobdeck" / "jobdeck.db"))
    try:
        with database.write() as connection:
            for statement in statements:
                connection.execute(statement)
    finally:
        database.close()


def refused(workspace, job_id, **selection):
    """Return the one refusal of a job that cannot be rerun; the job's own row says the same."""
    found = workspace.rerun(job_id, **selection)
    assert found.requested == ()
    assert found.batch is None
    (why,) = found.refused
    assert workspace.automation.plan(Selection(ids=(job_id,), **selection)).refused == (why,)
    return why


# What a rerun runs


def test_it_takes_the_cached_event_through_the_entire_recipe_at_the_latest_revision(workspace):
    workspace.recipe("""
steps:
  - {id: one, action: files.append, with: {path: log, text: "one {{ trigger.name }}\\n"}}
  - {action: files.read, with: {path: missing}}
""")
    first = workspace.run({"name": "Ada"})
    assert first.version.status is Status.FAILED
    workspace.recipe("""
steps:
  - {id: one, action: files.append, with: {path: log, text: "one {{ trigger.name }} v{{ job.version }}\\n"}}
  - {id: two, action: files.append, with: {path: log, text: "two r{{ job.revision }}\\n"}}
""")
    again = workspace.rerun_and_run(first.job.id)
    assert workspace.lines() == ["one Ada", "one Ada v2", "two r2"]
    assert (again.version.number, again.version.recipe_revision, again.version.mode) == (2, 2, "start")
    assert again.trigger == first.trigger == {"name": "Ada"}


def test_nothing_is_fetched_anew_from_the_triggers_app(workspace):
    (workspace.path / "in").mkdir()
    (workspace.path / "in" / "a.json").write_text('{"n": 1}')
    trigger = "trigger: {files.new: {path: in, parse: json, settle: 0s}}\n"
    workspace.recipe(trigger + 'steps: [{set: {n: "{{ trigger.data.n }}"}}]')
    workspace.poll()
    (workspace.path / "in" / "a.json").write_text('{"n": 2}')
    assert workspace.rerun_and_run(1).steps[0].output == {"n": 1}


def test_the_trigger_condition_is_not_judged_again_and_a_warning_says_if_it_would_be_false(workspace):
    workspace.recipe("trigger: {manual.event: {}, when: trigger.n == 1}\n" + "steps: [{set: {a: 1}}]")
    first = workspace.run({"n": 1})
    workspace.recipe("trigger: {manual.event: {}, when: trigger.n == 2}\n" + "steps: [{set: {a: 1}}]")
    again = workspace.rerun_and_run(first.job.id)
    assert again.version.status is Status.SUCCEEDED
    assert any("condition" in warning for warning in again.version.warnings)
    assert first.version.warnings == ()


def test_a_job_whose_trigger_condition_failed_can_be_rerun(workspace):
    workspace.recipe("trigger: {manual.event: {}, when: trigger.n.deep}\n" + "steps: [{set: {a: 1}}]")
    first = workspace.run({"name": "Ada"})
    assert first.version.error.kind == "condition"
    workspace.recipe("steps: [{set: {a: 1}}]")
    assert workspace.rerun_and_run(first.job.id).version.status is Status.SUCCEEDED


def test_the_job_stays_where_it_was_under_every_sort_that_names_no_outcome(workspace):
    workspace.recipe(BAD)
    ids = workspace.send({"name": "c"}, {"name": "a"}, {"name": "b"})
    workspace.run_until_idle()
    before = {column: order(workspace, column) for column in SORT_COLUMNS if column not in OWN_OUTCOMES}
    job = workspace.automation.job(ids[1])
    workspace.recipe(GOOD)
    workspace.rerun_and_run(ids[1])
    after = workspace.automation.job(ids[1])
    assert {column: order(workspace, column) for column in before} == before
    assert (after.id, after.received_at, after.event_key) == (job.id, job.received_at, job.event_key)
    assert after.first_started_at == job.first_started_at < after.started_at
    assert after.versions == 2


def order(workspace, column):
    return [
        [job.id for job in workspace.automation.jobs(JobFilter(), Sort(column, descending))]
        for descending in (False, True)
    ]


def test_old_versions_are_never_touched(workspace):
    workspace.recipe(BAD)
    first = workspace.run({"name": "a"})
    with_rerun = Automation(workspace.path)
    with_rerun.rerun(Selection(ids=(1,)), by="bob", note="once more")
    with_rerun.close()
    workspace.run_until_idle()
    workspace.recipe(GOOD)
    workspace.rerun_and_run(1)
    kept = workspace.detail(1, 1)
    assert kept.steps == first.steps
    old, new = first.version, kept.version
    assert (new.error, new.status, new.recipe_revision) == (old.error, old.status, old.recipe_revision)
    assert (new.started_at, new.finished_at, new.latest) == (old.started_at, old.finished_at, False)
    told = [(one.number, one.status.value, one.requested_by, one.note) for one in workspace.automation.history(1)]
    assert told == [(3, "succeeded", "ada", None), (2, "failed", "bob", "once more"), (1, "failed", "ada", None)]


def test_the_jobs_error_clears_while_it_reruns_and_stays_in_its_version(workspace):
    workspace.recipe(BAD)
    first = workspace.run({"name": "a"})
    workspace.rerun(1)
    job = workspace.automation.job(1)
    assert (job.status, job.error) == (Status.QUEUED, None)
    assert workspace.detail(1, 1).version.error == first.version.error


def test_at_most_one_version_is_open_says_an_index(workspace):
    workspace.recipe(GOOD)
    workspace.run({"name": "a"})
    second = {
        "job_id": 1, "recipe_id": 1, "latest": False, "mode": "start", "requested_by": "x", "requested_at": 0,
        "priority": 0, "attempt": 1, "recoveries": 0, "progress": 0,
    }
    columns = ", ".join(second)
    values = ", ".join(f":{name}" for name in second)
    insert = text(f"INSERT INTO versions ({columns}, number, status) VALUES ({values}, :number, :status)")
    for status in ("queued", "running", "in_doubt"):
        store(workspace, insert.bindparams(**second, number=2, status=status))
        for other in ("queued", "running", "in_doubt"):
            with pytest.raises(IntegrityError, match="job_id"):
                store(workspace, insert.bindparams(**second, number=3, status=other))
        store(workspace, text("DELETE FROM versions WHERE number = 2"))


def test_retries_and_now_start_anew(workspace):
    workspace.recipe("""
steps:
  - monitor:
      - {id: mark, action: files.append, with: {path: log, text: "{{ job.version }}\\n"}}
      - {action: files.read, with: {path: missing}}
    retry: {times: 1}
  - {id: at, set: {now: "{{ now }}"}}
""")
    first = workspace.run()
    again = workspace.rerun_and_run(1)
    assert workspace.lines() == ["1", "1", "2", "2"]
    assert first.steps[-1].output["now"] < again.steps[-1].output["now"]


# Which revision


def test_a_reruns_revision_is_fixed_when_it_is_queued(workspace):
    workspace.recipe(GOOD)
    workspace.run({"name": "a"})
    workspace.recipe(LOG)
    workspace.rerun(1)
    workspace.recipe(GOOD)
    workspace.run_until_idle()
    assert workspace.lines() == ["a"]
    assert workspace.detail(1).version.recipe_revision == 2


def test_version_ones_revision_is_fixed_at_its_first_claim(workspace):
    workspace.recipe(GOOD)
    workspace.send({"name": "a"})
    assert workspace.detail(1).version.recipe_revision is None
    workspace.recipe(LOG)
    workspace.run_until_idle()
    assert (workspace.lines(), workspace.detail(1).version.recipe_revision) == (["a"], 2)


def test_whoever_queues_a_rerun_stores_a_changed_file_first(workspace):
    workspace.recipe(GOOD)
    workspace.run({"name": "a"})
    workspace.recipe(LOG)
    workspace.rerun(1)
    assert [one.number for one in workspace.automation.revisions("sync")] == [2, 1]
    assert workspace.automation.revisions("sync")[0].text.endswith(LOG)


def test_while_the_file_is_invalid_new_events_run_the_last_good_revision_and_reruns_are_refused(workspace):
    workspace.recipe(LOG)
    workspace.run({"name": "a"})
    workspace.recipe("steps: [{action: files.apend, with: {path: log, text: x}}]")
    assert workspace.run({"name": "b"}).version.status is Status.SUCCEEDED
    assert workspace.lines() == ["a", "b"]
    why = refused(workspace, 1)
    assert why.code == "recipe_invalid"
    assert "recipes/sync.yaml:2:" in why.message
    assert "files.append" in why.message
    assert workspace.automation.recipe("sync").revision == 1
    workspace.recipe(LOG)
    assert workspace.rerun_and_run(1).version.recipe_revision == 1


def test_a_stopped_recipe_takes_no_new_events_and_its_reruns_run(workspace):
    workspace.recipe(LOG)
    workspace.run({"name": "a"})
    workspace.automation.stop_recipe("sync", by="ada")
    with pytest.raises(Refused) as caught:
        workspace.send({"name": "b"})
    assert caught.value.code == "recipe_stopped"
    assert workspace.rerun_and_run(1).version.number == 2
    workspace.automation.start_recipe("sync", by="ada")
    workspace.run({"name": "c"})
    assert workspace.lines() == ["a", "a", "c"]


def test_reruns_go_behind_new_events(workspace):
    workspace.recipe(LOG)
    workspace.run({"name": "old"})
    workspace.rerun(1)
    workspace.send({"name": "new"})
    workspace.run_until_idle()
    assert workspace.lines() == ["old", "new", "old"]


# Refusals


def test_refused_because_queued(workspace):
    workspace.recipe(GOOD)
    workspace.run({"name": "a"})
    workspace.rerun(1, by="bob")
    why = refused(workspace, 1)
    assert why.code == "queued"
    assert why.message.startswith("version 2 is already queued, asked for by bob at ")
    assert workspace.automation.job(1).rerun_blocked == why


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ("running", "version 1 is running"),
        ("in_doubt", "settle it first with `jobdeck resolve 1 --step PATH --happened|--repeat`"),
    ],
)
def test_refused_because_running_or_in_doubt(workspace, status, says):
    workspace.recipe(GOOD)
    workspace.run({"name": "a"})
    store(workspace, update(versions).values(status=status))
    why = refused(workspace, 1)
    assert why.code == status
    assert says in why.message


def test_refused_because_not_the_latest(workspace):
    workspace.recipe(GOOD)
    workspace.run({"name": "a"})
    workspace.rerun_and_run(1)
    why = refused(workspace, 1, version=1)
    assert why.code == "not_latest"
    assert why.message.startswith("version 1 of 2 is not the latest")
    assert "1.2" in why.message
    assert workspace.rerun(1, version=2).requested == (1,)


def test_refused_because_the_trigger_data_was_removed(workspace):
    workspace.recipe(GOOD)
    workspace.run({"name": "a"})
    day = to_micros(workspace.automation.job(1).received_at)
    store(
        workspace,
        text("UPDATE jobs SET trigger_expired_at = :day, trigger_expired_by = 'retention of 30d'").bindparams(day=day),
        payloads.delete(),
    )
    why = refused(workspace, 1)
    assert why.code == "trigger_expired"
    assert "by retention of 30d" in why.message
    assert workspace.automation.job(1).received_at.date().isoformat() in why.message


def test_refused_because_the_trigger_data_was_never_stored(workspace):
    workspace.recipe(GOOD)
    workspace.run({"name": "a"})
    store(workspace, payloads.delete())
    assert refused(workspace, 1).code == "trigger_not_stored"


def test_refused_because_the_recipe_is_missing(workspace):
    workspace.recipe(GOOD)
    workspace.run({"name": "a"})
    (workspace.path / "recipes" / "sync.yaml").unlink()
    why = refused(workspace, 1)
    assert (why.code, why.message) == ("recipe_missing", "recipes/sync.yaml is not there any more: put it back")
    workspace.recipe(GOOD)
    assert workspace.rerun(1).requested == (1,)


def test_refused_because_a_connection_is_missing(workspace):
    workspace.recipe(GOOD)
    workspace.run({"name": "a"})
    workspace.recipe("steps: [{action: sql.query, with: {connection: shop, sql: SELECT 1}}]")
    why = refused(workspace, 1)
    assert why.code == "connection_missing"
    assert "[connections.shop]" in why.message


def test_refused_because_there_is_no_such_job(workspace):
    workspace.recipe(GOOD)
    assert refused(workspace, 404).code == "no_such_job"
    with pytest.raises(NotFound):
        workspace.automation.job(404)


def test_a_bulk_rerun_runs_the_nine_that_can_and_lists_the_one_that_cannot(workspace):
    workspace.recipe(LOG)
    ids = workspace.send(*({"name": str(n)} for n in range(10)))
    workspace.run_until_idle()
    store(workspace, payloads.delete().where(payloads.c.job_id == ids[3]))
    # Asked for in any order, they run in the order in which the events came.
    done = workspace.rerun(*reversed(ids))
    assert done.requested == tuple(id for id in ids if id != ids[3])
    assert [(one.id, one.code) for one in done.refused] == [(ids[3], "trigger_not_stored")]
    workspace.run_until_idle()
    assert workspace.lines()[10:] == [str(n) for n in range(10) if n != 3]


# Plans


def test_the_plan_says_how_many_from_which_revision_to_which_and_what_would_happen_again(workspace):
    workspace.recipe("""
steps:
  - {id: safe, action: files.write, with: {path: out, text: x}}
  - {id: write, action: files.append, with: {path: log, text: "x\\n"}}
  - {id: once, once: true, action: files.append, with: {path: once, text: "x\\n"}}
  - repeat: "[1, 2]"
    do: [{id: loop, action: files.append, with: {path: log, text: "x\\n"}}]
  - {id: gone, action: files.append, with: {path: log, text: "x\\n"}}
  - {action: files.read, with: {path: "{{ trigger.path }}"}}
""")
    ids = workspace.send({"path": "out"}, {"path": "missing"})
    workspace.run_until_idle()
    workspace.recipe("""
steps:
  - {id: safe, action: files.write, with: {path: out, text: x}}
  - {id: write, action: files.append, with: {path: log, text: "x\\n"}}
  - {id: once, once: true, action: files.append, with: {path: once, text: "x\\n"}}
  - repeat: "[1, 2]"
    do: [{id: loop, action: files.append, with: {path: log, text: "x\\n"}}]
""")
    plan = workspace.automation.plan(Selection(ids=(*ids, 404)))
    assert plan.requested == tuple(ids)
    assert [one.code for one in plan.refused] == ["no_such_job"]
    (change,) = plan.revisions
    assert replace(change, diff=()) == RevisionChange("sync", 1, 2, 2)
    changed = [line for line in change.diff if line[0] in "+-"]
    assert changed[:2] == ["--- sync r1", "+++ sync r2"]
    assert [line[:11] for line in changed[2:]] == ["-  - {id: g", "-  - {actio"]
    assert plan.repeats == (Repeat("sync", "2", "files.append", 2), Repeat("sync", "4.do.1", "files.append", 2))
    assert len(workspace.automation.history(ids[0])) == 1


def test_the_plan_of_a_filter_and_of_what_was_taken_out_of_it(workspace):
    workspace.recipe(BAD)
    (workspace.path / "there").write_text("x")
    ids = workspace.send({"name": "there"}, {"name": "a"}, {"name": "b"}, {"name": "c"})
    workspace.run_until_idle()
    chosen = Selection(filter=JobFilter(statuses=frozenset({Status.FAILED})), excluded=frozenset({ids[2]}))
    assert workspace.automation.plan(chosen).requested == (ids[1], ids[3])


@pytest.mark.parametrize("change", ["recipe", "job", "connection"])
def test_if_the_world_moves_between_plan_and_go_it_asks_again(workspace, change):
    workspace.settings('[connections.shop]\ntype = "sql"\nurl = "sqlite:///shop.db"\n')
    workspace.recipe("steps: [{skip: true, action: sql.query, with: {connection: shop, sql: SELECT 1}}]")
    ids = workspace.send({}, {})
    workspace.run_until_idle()
    chosen = Selection(ids=tuple(ids))
    plan = workspace.automation.plan(chosen)
    assert workspace.automation.plan(chosen).digest == plan.digest
    match change:
        case "recipe":
            workspace.recipe(GOOD)
        case "job":
            workspace.rerun(ids[0])
        case "connection":
            workspace.settings("")
    with pytest.raises(Refused) as caught:
        workspace.automation.rerun(chosen, by="ada", plan=plan.digest)
    assert caught.value.code == "plan_changed"
    assert len(workspace.automation.history(ids[1])) == 1


def test_a_plan_that_holds_is_carried_out(workspace):
    workspace.recipe(GOOD)
    workspace.run({"name": "a"})
    plan = workspace.automation.plan(Selection(ids=(1,)))
    done = workspace.automation.rerun(Selection(ids=(1,)), by="ada", plan=plan.digest)
    assert (done.requested, done.plan) == ((1,), plan.digest)


def test_a_json_null_event_is_an_event(workspace):
    workspace.recipe('steps: [{set: {a: "{{ trigger }}"}}]')
    workspace.run(None)
    assert workspace.rerun_and_run(1).version.status is Status.SUCCEEDED
