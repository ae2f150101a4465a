"""Cancellations on a real engine: what ends at once, what is let finish, and who wins of two."""

from __future__ import annotations

import sqlite3
import threading

import pytest

from core.selection import Selection
from data.job_records import JobFilter
from data.states import Status, StepStatus

READ = """
steps:
  - {{id: read, action: http.request, with: {{url: "{url}"}}}}
  - {{id: after, set: {{a: 1}}}}
"""
WRITE = """
steps:
  - {{id: write, action: http.request, {more} with: {{method: POST, url: "{url}", json: {{a: 1}}}}}}
  - {{id: after, action: files.append, with: {{path: log, text: "after\n"}}}}
"""
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
WAIT = """
concurrency: 1
steps:
  - monitor: [{id: read, action: files.read, with: {path: "{{ trigger.path }}"}}]
    retry: {times: 3, wait: 1h}
  - {id: after, set: {a: 1}}
"""


def cancel(workspace, *ids, by="bob", **selection):
    """Ask for a cancellation of jobs by id."""
    return workspace.automation.cancel(Selection(ids=ids, **selection), by=by)


def said(workspace, id) -> dict[str, str]:
    """Return the status of every step by its path."""
    return {step.path: step.status.value for step in workspace.detail(id).steps}


@pytest.fixture
def held(server):
    """Give a server whose answers wait until the test lets them go."""
    server.wait = threading.Event()
    yield server
    server.wait.set()


def ended(workspace, id) -> bool:
    return workspace.status(id) not in (Status.QUEUED, Status.RUNNING)


def off_by(version) -> float:
    """By how many milliseconds a version's duration differs from what lies between its clocks."""
    return abs(version.duration_ms - (version.finished_at - version.started_at).total_seconds() * 1000)


# At once


def test_a_queued_job_is_canceled_at_once_and_never_runs(workspace):
    workspace.recipe('steps: [{action: files.append, with: {path: log, text: "x\\n"}}]')
    (id,) = workspace.send({})
    done = cancel(workspace, id)
    assert (done.canceled, done.stopping, done.refused) == ((id,), (), ())
    workspace.run_until_idle()
    version = workspace.detail(id).version
    assert (version.status, version.error.message, version.error.kind) == (
        Status.CANCELED, "canceled by bob", "canceled",
    )
    assert (version.error.group, version.duration_ms, version.canceled_by) == (None, None, "bob")
    assert version.finished_at == version.canceled_at
    assert workspace.lines() == []


def test_a_canceled_job_can_be_rerun(workspace):
    workspace.recipe('steps: [{action: files.append, with: {path: log, text: "x\\n"}}]')
    (id,) = workspace.send({})
    cancel(workspace, id)
    detail = workspace.rerun_and_run(id)
    assert (detail.version.status, detail.version.number, detail.version.canceled_by) == (Status.SUCCEEDED, 2, None)
    assert workspace.detail(id, 1).version.error.message == "canceled by bob"


def test_a_wait_for_a_retry_ends_at_once_and_the_next_job_of_a_serial_recipe_goes_on(workspace, until):
    workspace.recipe(WAIT)
    first, second = workspace.send({"path": "missing"}, {"path": "there"})
    (workspace.path / "there").write_text("{}")
    with workspace.engine() as engine:
        until(lambda: said(workspace, first).get("1.monitor.1") == "failed", "the wait")
        assert cancel(workspace, first).canceled == (first,)
        assert workspace.status(first) is Status.CANCELED
        until(lambda: workspace.status(second) is Status.SUCCEEDED, "the next job")
        until(engine.idle, "no slot is held")
    assert said(workspace, first) == {"1": "canceled", "1.monitor.1": "failed", "2": "not_reached"}


def test_a_read_is_given_up_although_its_server_never_answers(workspace, held, until):
    workspace.recipe(READ.format(url=held.url))
    first, second = workspace.send({}, {})
    with workspace.engine():
        until(lambda: held.received, "the request")
        assert cancel(workspace, first).canceled == (first,)
        assert workspace.status(first) is Status.CANCELED
        # The turn is free although the call is not over.
        until(lambda: len(held.received) == 2, "the next job's request")
        held.wait.set()
        until(lambda: workspace.status(second) is Status.SUCCEEDED, "the next job")
    assert said(workspace, first) == {"1": "canceled", "2": "not_reached"}
    assert off_by(workspace.detail(first).version) <= 1


def test_a_version_in_doubt_is_canceled_and_its_step_stays_in_doubt(workspace, server):
    server.drops = 1
    workspace.recipe(WRITE.format(url=server.url, more=""))
    detail = workspace.run()
    assert detail.version.status is Status.IN_DOUBT
    assert cancel(workspace, detail.job.id).canceled == (detail.job.id,)
    assert workspace.status(detail.job.id) is Status.CANCELED
    assert off_by(workspace.detail(detail.job.id).version) <= 1
    assert said(workspace, detail.job.id) == {"1": "in_doubt", "2": "not_reached"}


# A write is let finish


def test_a_write_that_answers_is_recorded_and_nothing_follows(workspace, held, until):
    workspace.recipe(WRITE.format(url=held.url, more=""))
    (id,) = workspace.send({})
    with workspace.engine():
        until(lambda: held.received, "the request")
        done = cancel(workspace, id)
        assert (done.canceled, done.stopping, done.refused) == ((), (id,), ())
        version = workspace.detail(id).version
        assert (version.status, version.canceled_by) == (Status.RUNNING, "bob")
        held.wait.set()
        until(lambda: ended(workspace, id), "the end")
    detail = workspace.detail(id)
    assert (detail.version.status, detail.version.error.message) == (Status.CANCELED, "canceled by bob")
    assert said(workspace, id) == {"1": "succeeded", "2": "not_reached"}
    assert detail.steps[0].output["body"] == {"done": True}


def test_a_write_that_fails_says_so_and_the_job_is_canceled(workspace, held, until):
    held.status = 422
    workspace.recipe(f"""
steps:
  - monitor: [{{id: write, action: http.request, with: {{method: POST, url: "{held.url}"}}}}]
    retry: {{times: 3, wait: 0s}}
    on_error: [{{action: files.append, with: {{path: log, text: "x"}}}}]
""")
    (id,) = workspace.send({})
    with workspace.engine():
        until(lambda: held.received, "the request")
        assert cancel(workspace, id).stopping == (id,)
        held.wait.set()
        until(lambda: ended(workspace, id), "the end")
    assert workspace.status(id) is Status.CANCELED
    assert said(workspace, id) == {"1": "canceled", "1.monitor.1": "failed", "1.on_error.1": "not_reached"}
    assert (len(held.received), workspace.lines()) == (1, [])


@pytest.mark.parametrize("policy", ["", "on_doubt: retry,"])
def test_a_write_that_never_answers_is_in_doubt_at_its_timeout_whatever_its_policy(workspace, held, until, policy):
    workspace.recipe(WRITE.format(url=held.url, more=f"timeout: 1s, {policy}"))
    first, second = workspace.send({}, {})
    with workspace.engine():
        until(lambda: held.received, "the request")
        assert cancel(workspace, first).stopping == (first,)
        until(lambda: ended(workspace, first), "the timeout")
        held.wait.set()
        until(lambda: workspace.status(second) is Status.SUCCEEDED, "the next job's turn")
    version = workspace.detail(first).version
    assert (version.status, version.canceled_by) == (Status.IN_DOUBT, "bob")
    assert said(workspace, first) == {"1": "in_doubt", "2": "not_reached"}
    assert len(held.received) == 2
    # Settled, it goes on: whoever settles it wants that.
    workspace.automation.resolve(first, "1", happened=True, by="ada")
    workspace.run_until_idle()
    version = workspace.detail(first).version
    assert (version.status, version.canceled_by) == (Status.SUCCEEDED, None)


def test_a_program_is_let_finish(workspace, until):
    workspace.recipe("""
steps:
  - {action: command.run, with: {argv: [sh, -c, "touch began; while [ ! -e go ]; do sleep 0.01; done; echo 7"]}}
  - {action: command.run, with: {argv: [touch, second]}}
""")
    (id,) = workspace.send({})
    with workspace.engine():
        until((workspace.path / "began").exists, "the program")
        assert cancel(workspace, id).stopping == (id,)
        (workspace.path / "go").touch()
        until(lambda: ended(workspace, id), "the end")
    assert workspace.status(id) is Status.CANCELED
    assert said(workspace, id) == {"1": "succeeded", "2": "not_reached"}
    assert workspace.detail(id).steps[0].output == 7
    assert not (workspace.path / "second").exists()


@pytest.fixture
def untold(monkeypatch):
    """Let no run hear of a request before it writes again: the store alone has to hold it back."""
    monkeypatch.setattr("core.runs.Runs.give_up", lambda self, token: None)


def test_no_further_try_begins_after_a_request_that_its_run_has_not_heard_of(workspace, held, until, untold):
    held.drops = 1
    workspace.recipe(WRITE.format(url=held.url, more="on_doubt: retry,"))
    (id,) = workspace.send({})
    with workspace.engine():
        until(lambda: held.received, "the request")
        assert cancel(workspace, id).stopping == (id,)
        held.wait.set()
        until(lambda: ended(workspace, id), "the end")
    assert workspace.status(id) is Status.IN_DOUBT
    assert said(workspace, id) == {"1": "in_doubt", "2": "not_reached"}
    assert len(held.received) == 1


def test_no_further_step_begins_after_a_request_that_its_run_has_not_heard_of(workspace, held, until, untold):
    workspace.recipe(f"""
steps:
  - repeat: "[1, 2]"
    do: [{{action: http.request, with: {{method: POST, url: "{held.url}"}}}}]
""")
    (id,) = workspace.send({})
    with workspace.engine():
        until(lambda: held.received, "the request")
        assert cancel(workspace, id).stopping == (id,)
        held.wait.set()
        until(lambda: ended(workspace, id), "the end")
    assert workspace.status(id) is Status.CANCELED
    assert said(workspace, id) == {"1": "canceled", "1[0].do.1": "succeeded"}
    assert len(held.received) == 1


# Called jobs


PARENT = """
steps:
  - {id: call, call: child, with: {}}
  - {id: after, set: {a: 1}}
"""


@pytest.fixture
def called(workspace, held, until):
    """Give (engine, parent's id, child's id) of a call whose child's request is under way."""
    workspace.recipe(READ.format(url=held.url), "child")
    workspace.recipe(PARENT)
    (parent,) = workspace.send({})
    with workspace.engine() as engine:
        until(lambda: held.received, "the child's request")
        child = max(workspace.statuses())
        until(lambda: engine._dispatcher._parked, "the parent waits")
        yield engine, parent, child
        held.wait.set()


def test_a_parent_is_canceled_and_its_child_goes_on(workspace, held, until, called):
    _, parent, child = called
    done = cancel(workspace, parent)
    assert (done.canceled, done.goes_on) == ((parent,), (child,))
    assert workspace.detail(parent).version.warnings == (f"1: job {child}, which it called, goes on",)
    (next_one,) = workspace.send({})
    until(lambda: len(held.received) == 1 and workspace.status(child) is Status.RUNNING)
    held.wait.set()
    until(lambda: workspace.status(child) is Status.SUCCEEDED, "the child")
    until(lambda: workspace.status(next_one) is Status.SUCCEEDED, "the parent's recipe has its turn back")
    assert workspace.status(parent) is Status.CANCELED
    assert said(workspace, parent) == {"1": "canceled", "2": "not_reached"}


def test_a_canceled_child_fails_the_call(workspace, until, called):
    _, parent, child = called
    assert cancel(workspace, child).canceled == (child,)
    until(lambda: ended(workspace, parent), "the parent")
    error = workspace.detail(parent).version.error
    assert workspace.status(parent) is Status.FAILED
    assert (error.kind, error.step, error.message) == (
        "canceled", "1", f"job {child} of child was canceled by bob",
    )


def test_a_monitor_handles_a_canceled_child(workspace, held, until):
    workspace.recipe(READ.format(url=held.url), "child")
    workspace.recipe("""
steps:
  - monitor: [{call: child, with: {}}]
    on_error: [{id: told, set: {kind: "{{ error.kind }}"}}]
""")
    (parent,) = workspace.send({})
    with workspace.engine():
        until(lambda: held.received, "the child's request")
        cancel(workspace, max(workspace.statuses()))
        until(lambda: workspace.status(parent) is Status.SUCCEEDED, "the parent")
        held.wait.set()
    assert workspace.steps(parent)["1.on_error.1"].output == {"kind": "canceled"}


def test_parent_and_child_are_canceled_together(workspace, called):
    _, parent, child = called
    done = cancel(workspace, parent, child)
    assert (done.canceled, done.goes_on) == ((parent, child), ())
    assert workspace.detail(parent).version.warnings == ()


# Two at once


def test_of_two_who_cancel_one_does_and_the_other_is_told_who(workspace):
    workspace.recipe("steps: [{set: {a: 1}}]")
    (id,) = workspace.send({})
    assert cancel(workspace, id, by="bob").canceled == (id,)
    (refusal,) = cancel(workspace, id, by="ada").refused
    assert (refusal.id, refusal.code, refusal.message) == (id, "ended", "version 1 has ended: canceled by bob")
    assert workspace.detail(id).version.canceled_by == "bob"


def test_who_asked_first_to_stop_a_write_stays_named(workspace, held, until):
    workspace.recipe(WRITE.format(url=held.url, more=""))
    (id,) = workspace.send({})
    with workspace.engine():
        until(lambda: held.received, "the request")
        assert cancel(workspace, id, by="bob").stopping == (id,)
        assert cancel(workspace, id, by="ada").stopping == (id,)
        held.wait.set()
        until(lambda: ended(workspace, id), "the end")
    assert workspace.detail(id).version.error.message == "canceled by bob"


def test_in_the_race_with_the_run_every_job_ends_once_and_as_it_was_told(workspace, until):
    workspace.recipe("""
concurrency: 8
steps:
  - {action: files.append, with: {path: log, text: "{{ job.id }} first\\n"}}
  - {action: files.append, with: {path: log, text: "{{ job.id }} second\\n"}}
""")
    ids = workspace.send(*({"n": n} for n in range(150)))
    with workspace.engine() as engine:
        until(lambda: len(workspace.lines()) > 20, "some have run")
        done = [cancel(workspace, id) for id in ids]
        until(engine.idle, "the end")
    statuses = workspace.statuses()
    told = {id for one in done for id in (*one.canceled, *one.stopping)}
    refused = {refusal.id for one in done for refusal in one.refused}
    assert told | refused == {*ids}
    assert {statuses[id] for id in told} == {"canceled"}
    assert {statuses[id] for id in refused} == {"succeeded"}
    lines = workspace.lines()
    assert len(lines) == len(set(lines))
    for id in ids:
        written = sum(step.status is StepStatus.SUCCEEDED for step in workspace.detail(id).steps)
        assert written == sum(line.startswith(f"{id} ") for line in lines), said(workspace, id)
        assert StepStatus.RUNNING not in {step.status for step in workspace.detail(id).steps}


# Selections


def test_by_a_filter_only_what_has_not_ended_is_spoken_of(workspace):
    workspace.recipe("steps: [{set: {a: 1}}]")
    old = workspace.send({}, {})
    workspace.run_until_idle()
    new = workspace.send({}, {}, {})
    selection = Selection(filter=JobFilter(recipe="sync"), excluded=frozenset({new[1], old[0]}))
    assert workspace.automation.statuses(selection) == {Status.SUCCEEDED: 1, Status.QUEUED: 2}
    done = workspace.automation.cancel(selection, by="bob")
    assert (done.canceled, done.refused) == ((new[0], new[2]), ())
    assert workspace.status(new[1]) is Status.QUEUED
    nothing = Selection(filter=JobFilter(statuses=frozenset({Status.FAILED})))
    assert workspace.automation.cancel(nothing, by="bob").canceled == ()


def test_what_cannot_be_canceled_is_refused_with_a_reason(workspace):
    workspace.recipe("steps: [{set: {a: 1}}]")
    id = workspace.run().job.id
    assert [(one.id, one.code, one.message) for one in cancel(workspace, id, 99).refused] == [
        (id, "ended", "version 1 has ended: succeeded"), (99, "no_such_job", "there is no job 99"),
    ]
    assert workspace.automation.statuses(Selection(ids=(id, 99))) == {Status.SUCCEEDED: 1}
    workspace.rerun(id)
    (refusal,) = cancel(workspace, id, version=1).refused
    assert (refusal.code, refusal.message) == ("not_latest", "version 1 of 2 is not the latest")
    assert workspace.status(id) is Status.QUEUED
    assert cancel(workspace, id, version=2).canceled == (id,)


def test_the_audit_tells_who_canceled_what_and_why(workspace):
    workspace.recipe("steps: [{set: {a: 1}}]")
    first, second = workspace.send({}, {})
    workspace.automation.cancel(Selection(ids=(first, second, 99)), by="bob", note="wrong list")
    with workspace.automation._database.read() as connection:
        rows = connection.exec_driver_sql("SELECT actor, action, subject, note FROM audit ORDER BY id").all()
    assert sorted(rows) == [("bob", "cancel", f"job {id}", "wrong list") for id in (first, second)]


# An engine that stops, or has died


def test_what_still_runs_while_the_engine_stops_can_be_canceled(workspace, until):
    sqlite3.connect(workspace.path / "other.db").close()
    (workspace.path / "other.db").touch()
    workspace.recipe(f"""
steps:
  - {{id: read, action: sql.query, with: {{connection: store, sql: "{ENDLESS}"}}}}
""")
    workspace.settings('[connections.store]\ntype = "sql"\nurl = "sqlite:///other.db"\n')
    (id,) = workspace.send({})
    with workspace.engine() as engine:
        until(lambda: said(workspace, id).get("1") == "running", "the statement")
        stopping = threading.Thread(target=engine.close)
        stopping.start()
        until(lambda: engine._dispatcher._stopping.is_set())
        assert cancel(workspace, id).canceled == (id,)
        stopping.join(20)
        assert not stopping.is_alive()
        engine.close = lambda: None
