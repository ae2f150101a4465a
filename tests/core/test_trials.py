"""Recipes tried out: test jobs, dry runs, saved events, coverage."""

from __future__ import annotations

import json
import threading

import pytest

from core.connectors.declare import Effect
from core.connectors.registry import registry
from core.errors import NotFound, RecipeProblems, Refused, UsageError
from core.lock import holder
from data.database import Database, sqlite_url
from data.job_records import JobFilter, Sort
from data.states import Status, StepStatus

APPEND = 'action: files.append, with: {path: log, text: "{{ trigger.name }}\\n"}'
BOTH = f"""\
title: "{{{{ trigger.name }}}}"
steps:
  - {{id: count, action: files.read, with: {{path: seen.txt}}}}
  - if: trigger.name == "Ada"
    then: [{{id: greet, {APPEND}}}]
    else: [{{stop: failed, reason: "who is {{{{ trigger.name }}}}?"}}]
  - {{id: told, set: {{size: "{{{{ steps.greet.size }}}}", seen: "{{{{ steps.count.data }}}}"}}}}
"""


@pytest.fixture
def trials(workspace):
    (workspace.path / "seen.txt").write_text("seen")
    return workspace.automation.trials


def jobs(workspace):
    return list(workspace.automation.jobs(JobFilter(), Sort("id", descending=False)))


# Test jobs


def test_a_test_is_a_job_of_its_own_that_this_process_runs_where_no_engine_does(workspace, trials):
    workspace.recipe(f"start: false\nsteps:\n  - {{{APPEND}}}\n")
    first = trials.run("sync", {"name": "Ada"}, by="ada")
    second = trials.run("sync", {"name": "Ada"}, by="ada")
    assert first != second
    detail = workspace.detail(second)
    assert (detail.version.status, detail.version.mode, detail.version.requested_by) == ("succeeded", "test", "ada")
    assert detail.job.event_key.startswith("test:")
    assert workspace.lines() == ["Ada", "Ada"]
    assert holder(workspace.path) is None


def test_only_the_test_runs_and_not_what_else_is_queued(workspace, trials):
    workspace.recipe(f"steps:\n  - {{{APPEND}}}\n")
    queued = workspace.send({"name": "before"})[0]
    trials.run("sync", {"name": "tested"}, by="ada")
    assert workspace.lines() == ["tested"]
    assert workspace.status(queued) is Status.QUEUED


def test_a_running_engine_runs_the_test(workspace, trials):
    workspace.recipe(f"steps:\n  - {{{APPEND}}}\n")
    with workspace.engine() as engine:
        stop = threading.Event()

        def ticks():
            while not stop.wait(0.01):
                engine.tick()

        ticking = threading.Thread(target=ticks)
        ticking.start()
        try:
            job = trials.run("sync", {"name": "Ada"}, by="ada")
        finally:
            stop.set()
            ticking.join()
    assert workspace.status(job) is Status.SUCCEEDED
    assert workspace.lines() == ["Ada"]


def test_a_test_runs_the_file_as_it_is_now(workspace, trials):
    workspace.recipe(f"steps:\n  - {{{APPEND}}}\n")
    trials.run("sync", {"name": "one"}, by="ada")
    workspace.recipe('steps:\n  - {action: files.append, with: {path: log, text: "new\\n"}}\n')
    assert workspace.detail(trials.run("sync", {}, by="ada")).version.recipe_revision == 2
    workspace.recipe("steps:\n  - {action: files.apend}\n")
    with pytest.raises(RecipeProblems):
        trials.run("sync", {}, by="ada")
    assert workspace.lines() == ["one", "new"]


def test_called_recipes_run_with_the_test(workspace, trials):
    workspace.recipe(f"steps:\n  - {{{APPEND}}}\n", "child")
    workspace.recipe(
        'steps:\n  - {id: child, call: child, with: {name: "{{ trigger.name }}"}}\n'
        '  - {set: {status: "{{ steps.child.status }}"}}\n'
    )
    job = trials.run("sync", {"name": "Ada"}, by="ada")
    assert workspace.steps(job)["2"].output == {"status": "succeeded"}
    assert workspace.lines() == ["Ada"]


def test_a_parent_whose_child_is_in_doubt_waits_for_the_next_engine(workspace, trials, server):
    server.drops = 1
    workspace.recipe(f"steps:\n  - {{action: http.request, with: {{method: POST, url: '{server.url}'}}}}\n", "child")
    workspace.recipe("steps:\n  - {id: child, call: child}\n")
    job = trials.run("sync", {}, by="ada")
    child = next(one.id for one in jobs(workspace) if one.recipe == "child")
    assert (workspace.status(child), workspace.status(job)) == (Status.IN_DOUBT, Status.QUEUED)
    workspace.automation.resolve(child, "1", happened=True, by="ada")
    workspace.run_until_idle()
    assert workspace.status(job) is Status.SUCCEEDED


def test_an_event_that_the_trigger_condition_leaves_out_is_told(workspace, trials):
    workspace.recipe("trigger: {manual.event: {}, when: trigger.a}\nsteps: [{set: {a: 1}}]\n")
    for attempt in (lambda: trials.run("sync", {"a": 0}, by="ada"), lambda: trials.dry_run("sync", {"a": 0})):
        with pytest.raises(Refused, match=r"its trigger condition is false: trigger\.a"):
            attempt()
    assert jobs(workspace) == []
    with pytest.raises(NotFound, match="did you mean 'sync'"):
        trials.run("snyc", {}, by="ada")


# Dry runs


def test_a_dry_run_reads_and_answers_writes_with_an_example(workspace, trials):
    workspace.recipe(BOTH)
    ran = trials.dry_run("sync", {"name": "Ada"})
    steps = {step.path: step for step in ran.steps}
    assert (ran.status, ran.title, ran.revision) == (Status.SUCCEEDED, "Ada", 1)
    assert steps["1"].output["data"] == "seen"
    assert steps["2.then.1"].input == {"path": "log", "text": "Ada\n"}
    assert steps["3"].output == {"size": 4, "seen": "seen"}
    assert steps["2.else.1"].status is StepStatus.NOT_REACHED
    assert ran.not_sent == {"2.then.1": "example"}
    assert workspace.lines() == []
    assert jobs(workspace) == []


def test_a_dry_run_answers_with_what_the_step_last_gave_in_a_job(workspace, trials):
    workspace.recipe(BOTH)
    workspace.run({"name": "Ada"})
    job = workspace.run({"name": "Ada"}).job.id
    ran = trials.dry_run("sync", {"name": "Ada"})
    assert ran.not_sent == {"2.then.1": f"{job}.1"}
    assert {step.path: step for step in ran.steps}["3"].output["size"] == 8
    assert workspace.lines() == ["Ada", "Ada"]


def test_a_dry_run_goes_the_way_that_the_event_makes_it_go(workspace, trials):
    workspace.recipe(BOTH)
    ran = trials.dry_run("sync", {"name": "Bob"})
    assert (ran.status, ran.error and ran.error.message) == (Status.FAILED, "who is Bob?")
    assert ran.not_sent == {}


def test_a_dry_run_waits_for_no_retry_and_goes_into_called_recipes(workspace, trials):
    workspace.recipe(f"steps:\n  - {{id: one, {APPEND}}}\n", "child")
    workspace.recipe(
        "steps:\n  - monitor: [{action: files.read, with: {path: none.txt}}]\n    retry: {times: 3, wait: 1h}\n"
        '  - {id: child, call: child, with: {name: "{{ trigger.name }}"}}\n'
        '  - {set: {size: "{{ steps.child.steps.one.size }}"}}\n'
    )
    ran = trials.dry_run("sync", {"name": "Ada"})
    steps = {step.path: step for step in ran.steps}
    assert (ran.status, steps["1"].status, steps["1.monitor.1"].attempts) == (Status.SUCCEEDED, "handled", 4)
    assert steps["3"].output == {"size": 4}
    assert (workspace.lines(), jobs(workspace)) == ([], [])


def test_secrets_are_masked_in_a_dry_run(workspace, monkeypatch):
    monkeypatch.setenv("API_AUTH", "canary-5f2d")
    workspace.settings(
        '[connections.api]\ntype = "http"\nbase_url = "http://127.0.0.1:1"\n'
        'headers = {Authorization = {env = "API_AUTH"}}\n'
    )
    workspace.recipe(
        "steps:\n  - {action: http.request, with: {connection: api, method: POST, url: /, text: '{{ trigger.a }}'}}\n"
    )
    ran = workspace.automation.trials.dry_run("sync", {"a": "it is canary-5f2d"})
    assert ran.status is Status.SUCCEEDED
    assert ran.steps[0].input["text"] == "it is ••••"


@pytest.mark.parametrize("action", registry().actions.values(), ids=lambda one: one.name)
def test_every_action_that_may_write_has_an_example_as_it_is_declared(action):
    if action.effect is Effect.READS or action.name in ("log.write", "command.run"):
        assert action.example is None
    elif not callable(action.example):
        assert set(action.example) == set(action.output)


# Saved events


def test_an_event_is_saved_from_a_job_without_its_secrets(workspace, monkeypatch):
    monkeypatch.setenv("API_AUTH", "canary-5f2d")
    workspace.settings(
        '[connections.api]\ntype = "http"\nbase_url = "http://127.0.0.1:1"\n'
        'headers = {Authorization = {env = "API_AUTH"}}\n'
    )
    workspace.recipe("steps: [{set: {a: 1}}]\n")
    event = {
        "name": "Ada", "password": "hunter2", "tokens": ["t1", 5], "note": "see canary-5f2d", "empty_secret": "",
        "lone": "\ud800", "headers": [{"name": "Cookie", "value": "sid=99"}, {"name": "Accept", "value": "text/html"}],
    }
    job = workspace.run(event).job.id
    trials = workspace.automation.trials
    saved = trials.save("sync", job, None, "ada")
    assert str(saved.path) == "tests/sync/ada.json"
    assert saved.masked == ("password", "tokens[0]", "note", "headers[0].value")
    text = (workspace.path / saved.path).read_text()
    assert json.loads(text) == {
        **event, "password": "••••", "tokens": ["••••", 5], "note": "see ••••",
        "headers": [{"name": "Cookie", "value": "••••"}, event["headers"][1]],
    }
    assert trials.saved("sync") == ["ada"]
    assert trials.saved_event("sync", "ada") == workspace.path / saved.path
    with pytest.raises(NotFound, match="did you mean 'ada'"):
        trials.saved_event("sync", "adda")


def test_what_cannot_be_saved_is_told(workspace, trials):
    workspace.recipe("steps: [{set: {a: 1}}]\n")
    workspace.recipe("steps: [{set: {a: 1}}]\n", "other")
    job = workspace.run({"name": "Ada"}).job.id
    trials.save("sync", job, None, "ada")
    with pytest.raises(Refused, match="is there already"):
        trials.save("sync", job, None, "ada")
    for name in ("../ada", "", ".hidden", "a/b"):
        with pytest.raises(UsageError, match="cannot name a saved event"):
            trials.save("sync", job, None, name)
    with pytest.raises(UsageError, match="is one of sync, not of other"):
        trials.save("other", job, None, "ada")
    with pytest.raises(NotFound, match=f"there is no job {job}.7"):
        trials.save("sync", job, 7, "b")
    with pytest.raises(NotFound, match="there is no job 404"):
        trials.save("sync", 404, None, "b")


# Coverage

COVERED = """\
steps:
  - if: trigger.name == "Ada"
    then: [{set: {a: 1}}]
  - repeat: trigger.rows
    do:
      - choose:
          - {if: item == 1, then: [{set: {a: 1}}]}
          - {if: item == 2, then: [{set: {a: 2}}]}
        else: [{stop: failed, reason: "what is {{ item }}?"}]
  - monitor: [{action: files.read, with: {path: "{{ trigger.name }}"}}]
"""


def ways(workspace):
    found = workspace.automation.trials.coverage("sync")
    return {(way.path, way.outcome): (way.versions, way.example) for way in found.ways}


def test_coverage_tells_which_ways_jobs_took_and_which_none(workspace, trials):
    workspace.recipe(COVERED)
    assert set(ways(workspace).values()) == {(0, None)}
    first = workspace.run({"name": "Ada", "rows": [1, 1]}).job.id
    second = workspace.run({"name": "Bob", "rows": [1, 3]}).job.id
    third = workspace.run({"name": "seen.txt", "rows": []}).job.id
    assert ways(workspace) == {
        ("1", "then"): (1, (first, 1)),
        ("1", "none"): (2, (third, 1)),
        ("2.do.1", "choose.1"): (2, (second, 1)),
        ("2.do.1", "choose.2"): (0, None),
        ("2.do.1", "else"): (1, (second, 1)),
        ("2.do.1.else.1", "reached"): (1, (second, 1)),
        ("3", "passed"): (1, (third, 1)),
        ("3", "handled"): (1, (first, 1)),
    }
    found = workspace.automation.trials.coverage("sync")
    assert (found.revision, found.versions, found.all, found.never) == (1, 3, True, 1)
    assert [(way.line, way.kind, way.says) for way in found.ways][:2] == [
        (3, "branch", 'if trigger.name == "Ada"'), (3, "branch", "no condition holds"),
    ]


def test_coverage_counts_no_version_whose_data_is_gone(workspace, trials):
    workspace.recipe("retention: 1d\n" + COVERED)
    workspace.run({"name": "Ada", "rows": [1]})
    database = Database(sqlite_url(workspace.path / ".jobdeck" / "jobdeck.db"))
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE versions SET finished_at = finished_at - 2 * 86400 * 1000000")
    database.close()
    second = workspace.run({"name": "Bob", "rows": [2]}).job.id
    workspace.automation.purge(by="ada")
    assert ways(workspace)["1", "then"] == (0, None)
    assert ways(workspace)["1", "none"] == (1, (second, 1))
    found = workspace.automation.trials.coverage("sync")
    assert (found.versions, found.all) == (1, True)


@pytest.mark.parametrize("how", ["succeeded", "failed"])
def test_an_error_that_is_handled_by_ending_the_job_is_handled(workspace, trials, how):
    workspace.recipe(
        "steps:\n  - monitor: [{action: files.read, with: {path: none}}]\n"
        f"    on_error: [{{stop: {how}, reason: enough}}]\n  - monitor: [{{stop: {how}}}]\n"
    )
    detail = workspace.run()
    assert detail.version.status.value == how
    monitor = detail.steps[0]
    assert (monitor.status, monitor.error.kind) == (StepStatus.HANDLED, "file")
    assert ways(workspace) == {
        ("1", "passed"): (0, None), ("1", "handled"): (1, (detail.job.id, 1)),
        ("1.on_error.1", "reached"): (1, (detail.job.id, 1)),
        ("2", "passed"): (0, None), ("2", "handled"): (0, None), ("2.monitor.1", "reached"): (0, None),
    }


def test_coverage_is_that_of_the_latest_revision(workspace, trials):
    workspace.recipe(COVERED)
    job = workspace.run({"name": "Ada", "rows": [1]}).job.id
    workspace.recipe(COVERED + "  - {set: {a: 1}}\n")
    assert ways(workspace)["1", "then"] == (0, None)
    workspace.rerun_and_run(job)
    assert ways(workspace)["1", "then"] == (1, (job, 2))
    with pytest.raises(NotFound, match="did you mean 'sync'"):
        workspace.automation.trials.coverage("snyc")
