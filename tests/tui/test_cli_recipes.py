"""`jobdeck test`, `recipe coverage`, `schema` and `check` as people run them, on a real workspace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from jsonschema import Draft202012Validator

from tui.cli import cli

GREET = """\
trigger:
  manual.event: {}
title: "{{ trigger.name }}"
steps:
  - if: trigger.name == "Ada"
    then:
      - {id: greet, action: files.append, with: {path: log, text: "{{ trigger.name }}\\n"}}
    else:
      - {stop: failed, reason: "who is {{ trigger.name }}?"}
"""


class Deck:
    """A workspace with one recipe, `greet`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "recipes").mkdir(parents=True)
        (folder / "jobdeck.toml").write_text("")
        self.write(GREET)

    def write(self, text: str) -> None:
        (self.folder / "recipes" / "greet.yaml").write_text(text)

    def run(self, *words: str, input: str = "", expect: int = 0) -> Result:
        done = CliRunner().invoke(cli, ["-w", str(self.folder), *words], input=input, prog_name="jobdeck")
        assert done.exit_code == expect, done.output + repr(done.exception)
        return done

    def json(self, *words: str, input: str = "", expect: int = 0) -> Any:
        return json.loads(self.run(*words, "-o", "json", input=input, expect=expect).stdout)

    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""


@pytest.fixture
def deck(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deck:
    monkeypatch.delenv("JOBDECK_WORKSPACE", raising=False)
    monkeypatch.chdir(tmp_path)
    return Deck(tmp_path / "deck")


def test_a_test_is_shown_step_by_step_and_ends_as_its_job_does(deck: Deck) -> None:
    shown = deck.run("test", "greet", "-", input='{"name": "Ada"}').stdout
    steps = [line.split()[:2] for line in shown.splitlines()[-4:-1]]
    assert steps == [["STEP", "ID"], ["1", "s1"], ["1.then.1", "greet"]]
    assert deck.log() == "Ada\n"
    failed = deck.json("test", "greet", "-", input='{"name": "Bob"}', expect=1)
    assert (failed["status"], failed["mode"], failed["error"]["message"]) == ("failed", "test", "who is Bob?")
    assert [job["id"] for job in deck.json("jobs")] == [2, 1]


def test_a_dry_run_marks_what_it_does_not_send(deck: Deck) -> None:
    (deck.folder.parent / "ada.json").write_text('{"name": "Ada"}')
    shown = deck.run("test", "greet", "ada.json", "--dry-run").stdout
    assert "dry run   greet r1: Ada" in shown
    assert '(not sent: example) {"path": "log", "size": 4}' in shown
    ran = deck.json("test", "greet", "ada.json", "--dry-run")
    assert [(step["path"], step["status"], step["not_sent"]) for step in ran["steps"]] == [
        ("1", "succeeded", None), ("1.then.1", "succeeded", "example"), ("1.else.1", "not_reached", None),
    ]
    assert deck.json("test", "greet", "-", "--dry-run", input='{"name": "Bob"}', expect=1)["status"] == "failed"
    assert (deck.log(), deck.json("jobs")) == ("", [])


def test_an_event_is_saved_from_a_job_and_found_by_its_name(deck: Deck) -> None:
    deck.run("test", "greet", "-", input='{"name": "Ada", "token": "hunter2"}')
    said = deck.run("test", "greet", "--from-job", "1", "--as", "ada").stdout
    assert said.splitlines() == [
        "tests/greet/ada.json: the event of job 1; masked: token",
        "next: jobdeck test greet ada --dry-run",
    ]
    assert "hunter2" not in (deck.folder / "tests" / "greet" / "ada.json").read_text()
    assert deck.json("test", "greet", "ada", "--dry-run")["trigger"] == {"name": "Ada", "token": "••••"}
    assert "or one of: ada" in deck.run("test", "greet", expect=2).stderr
    assert "did you mean 'ada'?" in deck.run("test", "greet", "adda", expect=1).stderr
    assert "is there already" in deck.run("test", "greet", "--from-job", "1", "--as", "ada", expect=1).stderr


def test_words_that_do_not_go_together_are_wrong_usage(deck: Deck) -> None:
    for words in (["--as", "x"], ["--from-job", "1"], ["ada", "--from-job", "1", "--as", "x"],
                  ["--from-job", "1", "--as", "x", "--dry-run"], []):
        deck.run("test", "greet", *words, expect=2)


def test_coverage_is_a_listing(deck: Deck) -> None:
    deck.run("test", "greet", "-", input='{"name": "Ada"}')
    done = deck.run("recipe", "coverage", "greet")
    assert [line.split()[:5] for line in done.stdout.splitlines()[1:]] == [
        ["1", "5", "branch", "then", "1"],
        ["1", "5", "branch", "else", "never"],
        ["1.else.1", "9", "stop", "reached", "never"],
    ]
    assert done.stderr == "greet r1: 2 of 3 ways never taken; 1 version ran it\n"
    assert deck.json("recipe", "coverage", "greet")[0] == {
        "path": "1", "id": "s1", "line": 5, "kind": "branch", "outcome": "then", "says": 'if trigger.name == "Ada"',
        "versions": 1, "job": 1, "version": 1,
    }


def test_the_schema_needs_no_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, ["schema"], prog_name="jobdeck")
    assert done.exit_code == 0
    Draft202012Validator.check_schema(json.loads(done.stdout))


def test_check_ends_well_where_there_are_only_warnings(deck: Deck) -> None:
    deck.write(GREET + "  - stop: succeeded\n  - set: {a: 1}\n")
    assert deck.run("check").stdout.splitlines() == [
        "recipes/greet.yaml:11:5: warning: this is never reached: step 2 ends the job before it",
        "1 recipe is valid",
    ]
    deck.write(GREET + "  - stop: succeeded\n  - set: {a: '{{ steps.greet.sise }}'}\n")
    assert deck.run("check", expect=1).stdout.splitlines() == [
        "recipes/greet.yaml:11:5: warning: this is never reached: step 2 ends the job before it",
        "recipes/greet.yaml:11:18: unknown name 'sise' in steps.greet; did you mean 'size'?",
    ]
