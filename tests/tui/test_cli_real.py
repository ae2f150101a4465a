"""The command line as people run it: a subprocess on a real workspace."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tui.cli import cli

ROOT = Path(__file__).parents[2]
JOBDECK = [sys.executable, "-c", "from tui.main import main; main()"]
SYNC = """\
trigger:
  manual.event: {}
title: "{{ trigger.name }}"
report:
  Account: "{{ trigger.id }}"
steps:
  - id: named
    set: {name: "{{ trigger.name | upper }}"}
  - stop: failed
    reason: "no name"
    if: trigger.name == ""
"""
FIXED = SYNC.replace('trigger.name == ""', "false")


def finished(process: subprocess.Popen[str], input: str | None = None) -> tuple[str, str]:
    """Return what a process wrote to its pipes until it ended; one that does not end in time is killed."""
    try:
        return process.communicate(input, timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


class Deck:
    """A workspace and the command on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "recipes").mkdir(parents=True)
        (folder / "jobdeck.toml").write_text('[engine]\nlisten = "127.0.0.1:0"\n')
        self.write(SYNC)

    def write(self, text: str) -> None:
        (self.folder / "recipes" / "sync.yaml").write_text(text)

    def run(self, *words: str, input: str = "", expect: int = 0) -> Result:
        """Run a command in this process, which spares half a second of imports."""
        done = CliRunner().invoke(cli, ["-w", str(self.folder), *words], input=input, prog_name="jobdeck")
        assert done.exit_code == expect, done.output + repr(done.exception)
        return done

    def json(self, *words: str, input: str = "", expect: int = 0) -> Any:
        return json.loads(self.run(*words, "-o", "json", input=input, expect=expect).stdout)

    def start(self, *words: str, **streams: Any) -> subprocess.Popen[str]:
        """Start a command as people do: in the workspace, as a process of its own."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        environment.pop("JOBDECK_WORKSPACE", None)
        return subprocess.Popen([*JOBDECK, *words], cwd=self.folder, env=environment, text=True, **streams)

    def process(self, *words: str, input: str = "", expect: int = 0) -> str:
        """Return what a command as a process of its own writes to standard output."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with self.start(*words, **pipes) as process:
            out, err = finished(process, input)
        assert process.returncode == expect, out + err
        assert "Traceback" not in err
        return out


@pytest.fixture
def deck(tmp_path: Path) -> Deck:
    return Deck(tmp_path / "deck")


@pytest.fixture
def ran(deck: Deck) -> Deck:
    """Three jobs that have run: 1 and 3 succeeded, 2 failed."""
    lines = '{"id": 1, "name": "Ada"}\n{"id": 2, "name": ""}\n{"id": 3, "name": "Grace\\u001b[2J"}\n'
    deck.run("send", "sync", "--lines", "--key", "trigger.id", input=lines)
    deck.process("engine", "--until-idle")
    return deck


def test_a_new_workspace_takes_an_event_at_once(tmp_path: Path) -> None:
    deck = Deck(tmp_path / "other")
    deck.process("init", "new")
    deck.folder /= "new"
    assert deck.process("check") == "1 recipe is valid\n"
    [accepted] = json.loads(deck.process("send", "hello", "-o", "json", input='{"name": "Ada"}'))
    assert accepted["new"] is True
    deck.process("engine", "--until-idle")
    [job] = json.loads(deck.process("jobs", "-o", "json"))
    assert (job["id"], job["status"], job["title"]) == (accepted["job"], "succeeded", "Hello, Ada")


def test_a_failed_job_is_fixed_and_rerun_in_place(ran: Deck) -> None:
    before = ran.json("jobs", "--sort", "id")
    assert [(job["id"], job["status"]) for job in before] == [(1, "succeeded"), (2, "failed"), (3, "succeeded")]
    assert before[1]["error"]["message"] == "no name"
    assert before[1]["rerunnable"] is True
    ran.write(FIXED)
    done = ran.json("rerun", "--status", "failed", "--all", "--yes", "--note", "fixed the name")
    assert (done["requested"], done["refused"], done["batch"]) == ([2], [], None)
    assert ran.json("jobs", "--status", "queued")[0]["error"] is None
    ran.process("engine", "--until-idle")
    after = ran.json("jobs", "--sort", "id")
    assert [job["status"] for job in after] == ["succeeded"] * 3
    assert [job["received_at"] for job in after] == [job["received_at"] for job in before]
    assert after[1]["first_started_at"] == before[1]["first_started_at"] != after[1]["started_at"]
    second, first = ran.json("history", "2")
    assert (second["version"], second["latest"], second["recipe_revision"], second["note"]) == (
        2, True, 2, "fixed the name")
    assert (first["version"], first["status"], first["error"]["message"]) == (1, "failed", "no name")


def test_show_has_the_trigger_and_the_steps_of_a_version(ran: Deck) -> None:
    ran.run("rerun", "2", "--yes")
    shown = ran.json("show", "2.1")
    assert (shown["version"], shown["latest"], shown["status"], shown["versions"]) == (1, False, "failed", 2)
    assert shown["trigger"] == {"id": 2, "name": ""}
    assert [step["path"] for step in shown["steps"]] == ["1", "2"]
    assert shown["steps"][0]["output"] == {"name": ""}
    assert ran.json("show", "2")["version"] == 2
    assert ran.json("show", "2", "--version", "1") == shown
    assert "no name" in ran.run("show", "2.1").stdout
    assert "no" in ran.run("show", "2.9", expect=1).stderr
    assert "99" in ran.run("show", "99", expect=1).stderr


def test_refusals_have_a_code_and_a_sentence(ran: Deck) -> None:
    done = ran.json("rerun", "1", "99", "--yes", expect=1)
    assert done["requested"] == [1]
    assert [(refusal["id"], refusal["code"]) for refusal in done["refused"]] == [(99, "no_such_job")]
    assert ran.json("rerun", "1", "--yes", expect=1)["refused"][0]["code"] == "queued"
    assert ran.json("rerun", "1", "--dry-run")["requested"] == []
    ran.process("engine", "--until-idle")
    assert ran.json("rerun", "1.1", "--yes", expect=1)["refused"][0]["code"] == "not_latest"
    (ran.folder / "recipes" / "sync.yaml").write_text("steps: 5\n")
    refused = ran.json("rerun", "--all", "--yes", expect=1)["refused"]
    assert {refusal["code"] for refusal in refused} == {"recipe_invalid"}
    assert "recipes/sync.yaml:1" in refused[0]["message"]


def test_a_version_that_is_not_there_is_said_not_to_be_there(ran: Deck) -> None:
    [refusal] = ran.json("rerun", "1.9", "--yes", expect=1)["refused"]
    assert (refusal["code"], refusal["message"]) == ("no_such_job", "job 1 has no version 9; its latest is 1.1")
    assert refusal["message"] in ran.run("show", "1.9", expect=1).stderr
    assert ran.json("rerun", "1.0", "--dry-run")["refused"][0]["code"] == "no_such_job"


def test_a_filter_by_a_recipe_that_is_unknown_is_a_slip(ran: Deck) -> None:
    for words in (["jobs"], ["rerun", "--all", "--yes"]):
        failed = ran.run(*words, "--recipe", "syn", expect=1)
        assert (failed.stdout, failed.stderr) == ("", "jobdeck: unknown recipe 'syn'; did you mean 'sync'?\n")
    (ran.folder / "recipes" / "sync.yaml").unlink()
    assert len(ran.json("jobs", "--recipe", "sync")) == 3


def test_a_plan_holds_or_nothing_is_done(ran: Deck) -> None:
    plan = ran.json("rerun", "--all", "--dry-run")
    assert sorted(plan["requested"]) == [1, 2, 3]
    ran.write(FIXED)
    failed = ran.run("rerun", "--all", "--yes", "--plan", plan["plan"], expect=1)
    assert "plan_changed" in failed.stderr
    assert not ran.json("jobs", "--status", "queued")
    plan = ran.json("rerun", "--all", "--dry-run")
    assert ran.json("rerun", "--all", "--yes", "--plan", plan["plan"])["requested"] == plan["requested"]


def test_a_known_key_makes_no_second_job(ran: Deck) -> None:
    accepted = ran.json("send", "sync", "--key", "trigger.id", input='{"id": 1, "name": "Ada"}')
    assert accepted == [{"key": "1", "job": 1, "new": False}]
    assert len(ran.json("jobs")) == 3


def test_events_before_a_key_that_cannot_be_had_are_jobs(deck: Deck) -> None:
    lines = '{"name": "a", "id": 1}\n{"name": "b", "id": 2}\n{"name": "c"}\n'
    failed = deck.run("send", "sync", "--lines", "--key", "trigger.id", input=lines, expect=1)
    assert "2 events were sent before it" in failed.stderr
    assert len(deck.json("jobs")) == 2


def test_lines_before_a_bad_one_are_jobs(deck: Deck) -> None:
    failed = deck.run("send", "sync", "--lines", input='{"name": "a"}\n{"name": "b"}\n{"name"}\n', expect=1)
    assert "<stdin>:3:8: not JSON" in failed.stderr
    assert len(deck.json("jobs")) == 2


def test_filters_sorts_and_formats(ran: Deck) -> None:
    assert [job["id"] for job in ran.json("jobs", "--search", "ada")] == [1]
    assert [job["id"] for job in ran.json("jobs", "--search", "#3")] == [3]
    assert ran.json("jobs", "--until", "1h") == []
    assert len(ran.json("jobs", "--since", "1h", "--recipe", "sync", "--limit", "2")) == 2
    for column in ("id", "title", "-duration_ms", "error", "-finished_at", "versions"):
        assert len(ran.json("jobs", "--sort", column)) == 3
    assert ran.run("jobs", "-o", "csv").stdout.splitlines()[0].startswith("id,recipe,title,status")
    table = ran.run("jobs").stdout
    assert "Grace^[[2J" in table
    assert "\x1b" not in table


def test_check_and_recipes(deck: Deck) -> None:
    assert deck.run("check").stdout == "1 recipe is valid\n"
    deck.write(SYNC.replace("set:", "sett:"))
    problem = deck.run("check", "sync", expect=1).stdout
    assert problem.startswith("recipes/sync.yaml:7:")
    assert "did you mean 'set'" in problem
    deck.write(SYNC)
    assert "sync" in deck.run("check", "snyc", expect=1).stderr
    [recipe] = deck.json("recipes")
    assert (recipe["name"], recipe["started"], recipe["revision"], recipe["problems"]) == ("sync", True, 1, [])
    deck.run("recipe", "stop", "sync")
    assert "recipe_stopped" in deck.run("send", "sync", input="{}", expect=1).stderr
    assert deck.json("recipe", "show", "sync")["started"] is False
    deck.run("recipe", "start", "sync")
    deck.write(FIXED)
    assert [revision["revision"] for revision in deck.json("recipe", "revisions", "sync")] == [2, 1]
    assert "trigger.name | upper" in deck.run("recipe", "show", "sync").stdout


def test_status(ran: Deck) -> None:
    state = ran.json("status")
    assert state["engine"]["running"] is False
    assert (state["jobs"]["succeeded"], state["jobs"]["failed"], state["jobs"]["queued"]) == (2, 1, 0)
    assert "jobdeck engine" in ran.run("status").stdout


def test_a_reader_that_leaves_ends_it_quietly(ran: Deck) -> None:
    lines = "".join(f'{{"name": "{"x" * 200}"}}\n' for _ in range(1000))
    ran.run("send", "sync", "--lines", input=lines)
    with ran.start("jobs", "-o", "jsonl", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as listing:
        assert listing.stdout is not None
        json.loads(listing.stdout.readline())
        listing.stdout.close()
        assert listing.stderr is not None
        assert listing.stderr.read() == ""


def test_wait_ends_when_the_engine_has_run_it(ran: Deck) -> None:
    with waiting(ran, "1", "2") as process:
        ran.process("engine", "--until-idle")
        _, told = finished(process)
    assert process.returncode == 1
    assert told == "2.2: failed: no name\n"


def test_an_interrupted_wait_ends_with_130_and_the_rerun_stays(ran: Deck) -> None:
    with waiting(ran, "1") as process:
        process.send_signal(signal.SIGINT)
        finished(process)
    assert process.returncode == 130
    assert len(ran.json("jobs", "--status", "queued")) == 1


@contextmanager
def waiting(deck: Deck, *ids: str) -> Iterator[subprocess.Popen[str]]:
    """Give a `rerun --wait` that waits."""
    words = ["rerun", *ids, "--yes", "--wait"]
    with deck.start(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stderr is not None
            assert "no engine is running" in process.stderr.readline()
            yield process
        finally:
            process.kill()


def on_pty(deck: Deck, answer: bytes, *words: str) -> tuple[int, str]:
    """Run a command on a terminal of its own, type `answer` when it asks; return its status and what was shown."""
    ours, theirs = pty.openpty()
    process = deck.start(*words, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
            if answer and b"[y/N]" in shown:
                os.write(ours, answer)
                answer = b""
    except OSError:
        pass  # a pty whose last writer has gone ends with EIO
    finally:
        os.close(ours)
    return process.wait(30), shown.decode()


@pytest.mark.parametrize(("answer", "status", "versions"), [(b"y\n", 0, 2), (b"\n", 1, 1)])
def test_a_terminal_is_shown_the_plan_and_asked(
    ran: Deck, answer: bytes, status: int, versions: int,
) -> None:
    found, shown = on_pty(ran, answer, "rerun", "2")
    assert "1 of 1 job would run: 2" in shown
    assert found == status
    assert len(ran.json("history", "2")) == versions


def test_a_listing_on_a_terminal_is_cut_and_says_so(deck: Deck) -> None:
    deck.run("send", "sync", "--lines", input='{"name": "\\u001b]0;x\\u0007"}\n' * 60)
    status, shown = on_pty(deck, b"", "jobs")
    assert status == 0
    assert "50 of 60; --limit N for more" in shown
    assert "\x1b]" not in shown


def test_a_recipe_that_is_not_there_is_not_left_out_silently(ran: Deck) -> None:
    told = ran.run("rerun", "--not-recipe", "synk", "--all", "--dry-run", expect=1).stderr
    assert "unknown recipe 'synk'" in told
    assert "did you mean 'sync'?" in told
    assert ran.run("jobs", "--not-recipe", "sync").stdout.count("sync") == 0


def test_a_secret_among_the_report_columns_is_masked_in_what_is_exported(deck: Deck) -> None:
    deck.write(SYNC.replace("report:\n", 'report:\n  Reset token: "{{ trigger.token }}"\n'))
    deck.run("send", "sync", input='{"id": 1, "name": "Ada", "token": "abc-123"}')
    deck.process("engine", "--until-idle")
    for format in ("csv", "json", "jsonl"):
        told = deck.run("jobs", "-o", format).stdout
        assert "abc-123" not in told
        assert "Reset token" in told
