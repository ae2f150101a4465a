"""Crashes, stops and takeovers: nothing is lost, nothing acts twice unless the recipe lets it."""

from __future__ import annotations

import datetime as dt
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from core.errors import EngineHeld, Refused
from core.runner import Engine
from core.selection import Selection
from data import runs
from data.database import Database, sqlite_url
from data.states import Status, StepStatus

SERVE = """
import sys
from pathlib import Path
from core.errors import JobdeckError
from core.runner import serve
try:
    sys.exit(serve(Path(sys.argv[1]), until_idle=sys.argv[2] == "until-idle"))
except JobdeckError as error:
    sys.exit(str(error))
"""
CALL = """
steps:
  - {{id: before, action: files.append, with: {{path: log, text: "before\\n"}}}}
  - id: call
    action: http.request
    with: {{method: {method}, url: "{url}"}}
    {more}
  - {{id: after, action: files.append, with: {{path: log, text: "after {{{{ steps.call.status }}}}\\n"}}}}
"""


class Processes:
    """Engines in processes of their own."""

    def __init__(self, workspace: Any) -> None:
        self.workspace = workspace
        self.started: list[subprocess.Popen[str]] = []

    def start(self, how: str = "until-idle") -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(self.workspace.path), how],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        self.started.append(process)
        return process

    def run(self) -> int:
        """Run one until it ends, and return its exit status."""
        process = self.start()
        process.communicate(timeout=30)
        return process.returncode


@pytest.fixture
def processes(workspace: Any) -> Iterator[Processes]:
    workspace.settings('[engine]\nlisten = "127.0.0.1:0"\n')
    found = Processes(workspace)
    yield found
    for process in found.started:
        process.kill()
        process.communicate()


@pytest.fixture
def killed(workspace: Any, processes: Processes, server: Any, until: Any) -> Callable[..., int]:
    """Give what runs a job until its request is under way, acts, kills its engine, and returns the job's id."""

    def kill(
        method: str, more: str = "", event: Any = None, path: str = "",
        meanwhile: Callable[[int], Any] = lambda id: None,
    ) -> int:
        workspace.recipe(CALL.format(method=method, url=server.url + path, more=more))
        (id,) = workspace.send(event or {})
        server.wait = threading.Event()
        process = processes.start()
        until(lambda: server.received, "the request")
        meanwhile(id)
        process.kill()
        process.communicate()
        server.wait.set()
        server.wait = None
        assert workspace.status(id) is Status.RUNNING
        return id

    return kill


def took(detail):
    """How long a version took by its two clocks, in milliseconds."""
    return round((detail.version.finished_at - detail.version.started_at).total_seconds() * 1000)


# After a crash


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_reading_or_idempotent_step_is_done_again(workspace, killed, server, method):
    id = killed(method)
    workspace.run_until_idle()
    detail = workspace.detail(id)
    assert (detail.version.status, detail.version.number, detail.version.attempt) == (Status.SUCCEEDED, 1, 2)
    assert [step.attempts for step in detail.steps] == [1, 2, 1]
    assert detail.version.duration_ms == took(detail)
    assert workspace.lines() == ["before", "after 200"]
    assert len(server.received) == 2
    assert len({asked.key for asked in server.received}) == 1


def test_a_writing_step_is_in_doubt_and_nothing_happens_until_somebody_says(workspace, killed, server):
    id = killed("POST")
    for _ in range(2):
        workspace.run_until_idle()
        detail = workspace.detail(id)
        assert detail.version.status is Status.IN_DOUBT
        assert [step.status.value for step in detail.steps] == ["succeeded", "in_doubt", "not_reached"]
    assert len(server.received) == 1
    assert workspace.lines() == ["before"]


@pytest.mark.parametrize(
    ("policy", "lines", "calls", "status"),
    [("retry", ["before", "after 200"], 2, "succeeded"), ("skip", ["before", "after "], 1, "skipped")],
)
def test_the_steps_own_policy_decides(workspace, killed, server, policy, lines, calls, status):
    id = killed("POST", f"on_doubt: {policy}")
    workspace.run_until_idle()
    detail = workspace.detail(id)
    assert detail.version.status is Status.SUCCEEDED
    assert detail.steps[1].status.value == status
    assert (workspace.lines(), len(server.received)) == (lines, calls)


def test_a_step_that_is_done_again_gets_its_secret_and_not_the_mask(workspace, killed, server, monkeypatch):
    monkeypatch.setenv("TOKEN", "s3cret-token")
    workspace.settings("""
[engine]
allow_hosts = ["127.0.0.1"]
[connections.m]
type = "http"
base_url = "http://127.0.0.1:1"
headers = {P = {env = "TOKEN"}}
""")
    id = killed("GET", event={"t": "s3cret-token"}, path="?t={{ trigger.t }}")
    workspace.run_until_idle()
    assert workspace.status(id) is Status.SUCCEEDED
    assert [asked.path for asked in server.received] == ["/?t=s3cret-token"] * 2
    assert "••••" in workspace.steps(id)["2"].input["url"]


def test_a_crash_inside_a_monitor_and_a_loop_goes_on_where_it_was(workspace, processes):
    workspace.recipe("""
steps:
  - monitor:
      - repeat: "[0, 1, 2]"
        do:
          - {id: log, action: files.append, with: {path: log, text: "{{ item }}\\n"}}
          - id: die
            action: command.run
            on_doubt: retry
            with: {argv: [sh, -c, "test -f died || test {{ item }} != 1 || { touch died; kill -9 $PPID; }"]}
      - {action: files.read, with: {path: missing}}
    on_error: [{id: note, action: files.append, with: {path: log, text: "{{ steps.log | length }}\\n"}}]
""")
    (id,) = workspace.send({})
    assert processes.run() == -signal.SIGKILL
    assert processes.run() == 0
    detail = workspace.detail(id)
    assert detail.version.status is Status.SUCCEEDED
    assert workspace.lines() == ["0", "1", "2", "3"]
    assert workspace.steps(id)["1.monitor.1[1].do.2"].attempts == 2


def test_what_kills_its_process_again_and_again_is_given_up(workspace, processes):
    workspace.recipe("""
concurrency: 2
steps:
  - if: trigger.bad
    then:
      - id: die
        action: command.run
        on_doubt: retry
        with: {argv: [sh, -c, "echo x >> log; kill -9 $PPID"]}
""")
    bad, good = workspace.send({"bad": True}, {"bad": False})
    assert [processes.run() for _ in range(4)] == [-signal.SIGKILL] * 3 + [0]
    assert workspace.lines() == ["x"] * 3
    job = workspace.automation.job(bad)
    assert (job.status, job.error.kind) == (Status.FAILED, "poison")
    assert "3 times" in job.error.message
    assert job.duration_ms == took(workspace.detail(bad))
    assert "running" not in {step.status.value for step in workspace.detail(bad).steps}
    assert workspace.status(good) is Status.SUCCEEDED


# Canceled meanwhile


def canceling(workspace: Any) -> Callable[[int], Any]:
    return lambda id: workspace.automation.cancel(Selection(ids=(id,)), by="bob")


@pytest.mark.parametrize(("method", "more"), [("POST", ""), ("POST", "on_doubt: retry"), ("PUT", "")])
def test_a_write_under_way_that_was_to_be_the_last_is_in_doubt_and_not_done_again(
    workspace, killed, server, method, more
):
    id = killed(method, more, meanwhile=canceling(workspace))
    workspace.run_until_idle()
    version = workspace.detail(id).version
    assert (version.status, version.canceled_by) == (Status.IN_DOUBT, "bob")
    assert [step.status.value for step in workspace.detail(id).steps] == ["succeeded", "in_doubt", "not_reached"]
    assert len(server.received) == 1


def test_a_doubt_that_is_skipped_leaves_a_canceled_version(workspace, killed, server):
    id = killed("POST", "on_doubt: skip", meanwhile=canceling(workspace))
    workspace.run_until_idle()
    detail = workspace.detail(id)
    assert (detail.version.status, detail.version.error.message) == (Status.CANCELED, "canceled by bob")
    assert [step.status.value for step in detail.steps] == ["succeeded", "skipped", "not_reached"]
    assert workspace.lines() == ["before"]


def test_a_read_that_a_dead_engine_left_is_canceled_without_one(workspace, killed, server):
    id = killed("GET")
    assert canceling(workspace)(id).canceled == (id,)
    workspace.run_until_idle()
    assert [step.status.value for step in workspace.detail(id).steps] == ["succeeded", "canceled", "not_reached"]
    assert (workspace.status(id), len(server.received)) == (Status.CANCELED, 1)


# Settling a doubt


def test_resolved_as_happened_it_goes_on_with_the_output_given(workspace, server):
    server.drops = 1
    workspace.recipe(CALL.format(method="POST", url=server.url, more=""))
    id = workspace.run().job.id
    workspace.automation.resolve(id, "2", happened=True, output={"status": 201}, by="bob")
    assert workspace.status(id) is Status.QUEUED
    workspace.run_until_idle()
    detail = workspace.detail(id)
    assert (detail.version.status, detail.version.number, detail.version.error) == (Status.SUCCEEDED, 1, None)
    step = detail.steps[1]
    assert (step.status, step.output, step.resolved_by) == (StepStatus.SUCCEEDED, {"status": 201}, "bob")
    [act] = workspace.automation.audit.acts()
    assert (act.actor, act.action, act.subject, act.note) == ("bob", "resolve", f"job {id}.1 step 2", "it happened")
    assert workspace.lines() == ["before", "after 201"]
    assert len(server.received) == 1


def test_resolved_as_to_repeat_it_acts_again_with_the_same_key(workspace, server):
    server.drops = 1
    workspace.recipe(CALL.format(method="POST", url=server.url, more=""))
    id = workspace.run().job.id
    workspace.automation.resolve(id, "2", happened=False, by="bob")
    workspace.run_until_idle()
    detail = workspace.detail(id)
    assert (detail.version.status, detail.steps[1].attempts) == (Status.SUCCEEDED, 2)
    assert detail.version.duration_ms == took(detail)
    assert detail.steps[1].resolved_by == "bob"
    assert workspace.lines() == ["before", "after 200"]
    assert len({asked.key for asked in server.received}) == 1


def test_only_what_is_in_doubt_can_be_settled(workspace, server):
    server.drops = 1
    workspace.recipe(CALL.format(method="POST", url=server.url, more=""))
    id = workspace.run().job.id
    with pytest.raises(Refused, match="2 is") as caught:
        workspace.automation.resolve(id, "1", happened=True, by="bob")
    assert caught.value.code == "not_in_doubt"
    workspace.automation.resolve(id, "2", happened=False, by="bob")
    with pytest.raises(Refused, match="not in doubt"):
        workspace.automation.resolve(id, "2", happened=False, by="bob")


# Takeovers


def test_a_run_whose_token_was_taken_over_writes_nothing_more(workspace, server, until):
    server.wait = threading.Event()
    workspace.recipe(CALL.format(method="GET", url=server.url, more=""))
    (id,) = workspace.send({})
    database = Database(sqlite_url(workspace.path / ".jobdeck" / "jobdeck.db"))
    with workspace.engine():
        until(lambda: server.received, "the request")
        with database.write() as connection:
            now = dt.datetime.now(dt.UTC)
            assert runs.recover(connection, "another", now) == {Status.QUEUED: 1}
            (taken,) = runs.claim(connection, 1, 1, least=0, serial=True, owner="another", now=now)
        before = workspace.detail(id)
        server.wait.set()
    assert taken.token.attempt == 2
    assert workspace.detail(id) == before
    assert before.version.status is Status.RUNNING
    assert [step.status.value for step in before.steps] == ["succeeded", "running", "not_reached"]
    assert workspace.lines() == ["before"]
    assert "was taken over" in (workspace.path / ".jobdeck" / "engine.log").read_text()
    database.close()


def test_a_second_engine_is_told_who_holds_the_workspace(workspace):
    with workspace.engine(), pytest.raises(EngineHeld) as caught:
        Engine(workspace.path, listens=False, polls=False)
    holder = workspace.automation.engine()
    assert holder.running is False
    assert "stop it first (`kill " in str(caught.value)
    with workspace.engine():
        pid = workspace.automation.engine().pid
    assert f"process {pid} " in str(caught.value)


def test_a_taken_port_ends_the_start_with_a_sentence(workspace, processes, server):
    port = server.url.rstrip("/").rpartition(":")[2]
    workspace.settings(f'[engine]\nlisten = "127.0.0.1:{port}"\n')
    process = processes.start("listen")
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert port in errors
    assert "Traceback" not in errors


# Stops


def refuses(address: tuple[str, int]) -> bool:
    """Return whether nobody listens there."""
    try:
        socket.create_connection(address, 1).close()
    except ConnectionRefusedError:
        return True
    return False


def test_sigterm_finishes_what_runs_and_begins_nothing_more(workspace, processes, server, until):
    server.wait = threading.Event()
    workspace.recipe(CALL.format(method="POST", url=server.url, more=""))
    first, second = workspace.send({}, {})
    process = processes.start("listen")
    until(lambda: server.received, "the request")
    process.send_signal(signal.SIGTERM)
    # Its port is closed, so it has heard; and it waits for the job.
    host, _, port = workspace.automation.engine().listen.partition(":")
    until(lambda: refuses((host, int(port))), "the signal")
    assert process.poll() is None
    server.wait.set()
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert (workspace.status(first), workspace.status(second)) == (Status.SUCCEEDED, Status.QUEUED)
    assert workspace.lines() == ["before", "after 200"]
    server.wait = None
    workspace.run_until_idle()
    assert workspace.status(second) is Status.SUCCEEDED


def test_a_retrys_wait_that_a_stop_interrupts_goes_on_at_the_next_start(workspace, until):
    workspace.recipe("""
steps:
  - monitor:
      - {id: mark, action: files.append, with: {path: log, text: "try\\n"}}
      - {id: read, action: files.read, with: {path: late}}
    retry: {times: 1, wait: 1500ms}
    on_error: [{stop: failed}]
""")
    (id,) = workspace.send({})
    with workspace.engine():
        # While the version is not claimed, nobody knows its steps yet.
        until(lambda: "failed" in {step.status.value for step in workspace.detail(id).steps}, "the failure")
    assert workspace.status(id) is Status.QUEUED
    assert workspace.lines() == ["try"]
    (workspace.path / "late").write_text("x")
    workspace.run_until_idle()
    detail = workspace.detail(id)
    assert (detail.version.status, detail.version.number) == (Status.SUCCEEDED, 1)
    assert workspace.lines() == ["try", "try"]
    assert detail.steps[0].attempts == 2
