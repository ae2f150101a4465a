"""Programs: JSON in and out, an environment without the engine's, ended when their time is over."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import pytest
from pydantic import ValidationError

from core.errors import AnswerLost, StepError

SHELL = ["sh", "-c"]


def test_json_goes_in_and_comes_out(run):
    given = {"text": "$(touch x); `y` ü\ud800\0", "big": "x" * 1_000_000}
    assert run("command.run", {"argv": ["cat"], "input": given}) == given


@pytest.mark.parametrize(("script", "output"), [("true", None), ("echo", None), ("echo '[1]'; echo w >&2", [1])])
def test_what_is_printed_is_the_output(run, script, output):
    assert run("command.run", {"argv": [*SHELL, script], "input": "x" * 100_000}) == output


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([*SHELL, "echo first >&2; echo last >&2; exit 3"], "status 3: first\nlast"),
        ([*SHELL, "kill -9 $$"], "signal 9"),
        ([*SHELL, "echo hello"], "not JSON: hello"),
        ([*SHELL, "echo NaN"], "not JSON"),
        (["no-such-program"], "'no-such-program' cannot be run"),
        (["."], "cannot be run"),
        (["true", "\ud800"], "cannot be run"),
    ],
)
def test_a_failure_is_an_error_with_the_end_of_standard_error(run, argv, says):
    with pytest.raises(StepError, match=says) as caught:
        run("command.run", {"argv": argv})
    assert caught.value.kind == "command"
    assert not isinstance(caught.value, AnswerLost)


def test_arguments_are_never_read_by_a_shell(run, tmp_path):
    hostile = ["; touch pwned", "$(touch pwned)", "`touch pwned`", "| touch pwned", "&& touch pwned", "\n touch pwned"]
    code = "import json, sys; print(json.dumps(sys.argv[1:]))"
    assert run("command.run", {"argv": [sys.executable, "-c", code, *hostile]}) == hostile
    assert list(tmp_path.iterdir()) == []


def test_only_a_small_environment_is_handed_on(run, monkeypatch):
    monkeypatch.setenv("CRM_SECRET", "canary")
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    seen = run("command.run", {"argv": [sys.executable, "-c", code], "env": {"MINE": "1"}})
    assert seen["MINE"] == "1"
    assert set(seen) <= {"PATH", "HOME", "LANG", "MINE", "LC_CTYPE"}


def test_it_runs_in_the_workspace(run, tmp_path):
    (tmp_path / "sub").mkdir()
    code = "import json, os; print(json.dumps(os.getcwd()))"
    assert run("command.run", {"argv": [sys.executable, "-c", code], "cwd": "sub"}) == str(tmp_path / "sub")
    with pytest.raises(StepError, match="leads out of the workspace"):
        run("command.run", {"argv": ["true"], "cwd": ".."}, from_template=frozenset({"cwd"}))


def test_at_its_timeout_the_whole_group_is_ended(run, tmp_path):
    script = "trap '' TERM; (trap '' TERM; sleep 5; touch survived) & echo $! > child; wait"
    with pytest.raises(AnswerLost) as caught:
        run("command.run", {"argv": [*SHELL, script]}, timeout=0.3)
    assert caught.value.kind == "timeout"
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 5
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(child)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_cancel_ends_it(run):
    canceled = threading.Event()
    threading.Timer(0.2, canceled.set).start()
    start = time.monotonic()
    with pytest.raises(AnswerLost):
        run("command.run", {"argv": ["sleep", "30"]}, canceled=canceled)
    assert time.monotonic() - start < 5


def test_too_much_output_ends_it(run):
    with pytest.raises(AnswerLost, match="printed more"):
        run("command.run", {"argv": ["yes"]})


def test_a_child_left_in_the_background_does_not_hold_it(run):
    start = time.monotonic()
    assert run("command.run", {"argv": [*SHELL, "sleep 8 & echo 1"]}) == 1
    assert time.monotonic() - start < 5


def test_what_is_printed_last_is_heard_although_the_look_before_saw_nothing(run, monkeypatch):
    from core.connectors.command import _Talk

    serve = _Talk._serve

    def looks_long(talk, selector):
        ready = serve(talk, selector)
        if not ready:
            talk.process.wait()
        return ready

    monkeypatch.setattr(_Talk, "_serve", looks_long)
    assert run("command.run", {"argv": [*SHELL, "sleep 0.3; echo 7"]}) == 7


@pytest.mark.parametrize("inputs", [{"argv": []}, {"argv": "echo hi"}, {"argv": ["a\0"]}, {"env": {"": "1"}}])
def test_wrong_inputs_are_refused(run, inputs):
    with pytest.raises(ValidationError):
        run("command.run", {"argv": ["true"], **inputs})
