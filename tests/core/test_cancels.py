"""Cancellations on a real engine: what ends at once, what is let finish, and who wins where two want different things."""

from __future__ import annotations

import threading

import pytest

from core.reruns import Selection
from data.records import JobFilter
from data.states import Status, StepStatus

READ = """
steps:
  - {{id: read, action: http.request, with: {{url: "{url}"}}}}
  - {{id: after, set: {{a: 1}}}}
"""
WRITE = """
steps:
  - {{id: write, action: http.request, {more} with: {{method: POST, url: "{url}", json: {{a: 1}}}}}}
  - {{id: after, set: {{a: 1}}}}
"""
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
    assert workspace.detail(first).version.duration_ms >= 0


def test_a_version_in_doubt_is_canceled_and_its_step_stays_in_doubt(workspace, server):
    server.drops = 1
    workspace.recipe(WRITE.format(url=server.url, more=""))
    detail = workspace.run()
    assert detail.version.status is Status.IN_DOUBT
    assert cancel(workspace, detail.job.id).canceled == (detail.job.id,)
    assert workspace.status(detail.job.id) is Status.CANCELED
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


def test_a_write_whose_end_was_lost_in_a_race_with_the_request_is_not_tried_again(workspace):
    # The run has not been told yet: its next try is refused by the store.
    from core.acting import TRIES_IN_DOUBT

    assert TRIES_IN_DOUBT > 1
