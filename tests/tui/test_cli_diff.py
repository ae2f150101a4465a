"""`jobdeck diff` and `jobdeck rehearse` as people and scripts use them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tui.cli import cli

RECIPE = """\
trigger: {manual.event: {}}
title: "{{ trigger.name }}"
steps:
  - {id: seen, action: files.read, with: {path: seen.json, parse: json}}
  - {id: told, action: files.append, with: {path: log, text: "{{ trigger.name }}"}}
  - {set: {same: 1}}
  - {stop: failed, if: not steps.seen.data.ok, reason: "not ok"}
"""


class Deck:
    """A workspace with job 1, which failed, and whose world has been mended since."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "recipes").mkdir(parents=True)
        (folder / "jobdeck.toml").write_text('[engine]\nlisten = "127.0.0.1:0"\n')
        (folder / "recipes" / "sync.yaml").write_text(RECIPE)
        self.see(ok=False)
        self.run("send", "sync", input='{"name": "Ada \\u001b[2J"}')
        self.run("engine", "--until-idle")
        self.see(ok=True)

    def see(self, **data: Any) -> None:
        (self.folder / "seen.json").write_text(json.dumps(data))

    def run(self, *words: str, input: str = "", expect: int = 0) -> Result:
        done = CliRunner().invoke(cli, ["-w", str(self.folder), *words], input=input, prog_name="jobdeck")
        assert done.exit_code == expect, done.output + repr(done.exception)
        return done

    def json(self, *words: str) -> Any:
        return json.loads(self.run(*words, "-o", "json").stdout)

    def rerun(self) -> None:
        self.run("rerun", "1", "--yes")
        self.run("engine", "--until-idle")


@pytest.fixture
def deck(tmp_path: Path) -> Deck:
    return Deck(tmp_path / "deck")


def test_a_diff_has_its_fields(deck: Deck) -> None:
    deck.rerun()
    diff = deck.json("diff", "1")
    assert list(diff) == [
        "old", "new", "note", "gone", "differs", "first_difference", "recipe_diff", "trigger", "error", "steps",
        "unchanged",
    ]
    assert list(diff["old"]) == ["id", "job", "version", "recipe", "status", "recipe_revision", "at", "by"]
    assert (diff["old"]["id"], diff["old"]["status"], diff["new"]["id"]) == ("1.1", "failed", "1.2")
    assert diff["first_difference"] == {"path": "1", "id": "seen", "action": "files.read"}
    assert (diff["note"], diff["gone"], diff["recipe_diff"], diff["trigger"]["changes"]) == (None, [], "", [])
    assert (diff["error"]["old"]["message"], diff["error"]["new"]) == ("not ok", None)
    step = diff["steps"][0]
    assert list(step) == ["path", "was_at", "id", "action", "index", "only", "status", "branch", "input", "output",
                          "error"]  # fmt: skip
    change = {"kind": "changed", "path": "$.data.ok", "was_at": None, "old": False, "new": True}
    assert change in step["output"]["changes"]
    assert diff["unchanged"] == ["3"]


def test_versions_are_named_in_any_of_the_ways(deck: Deck) -> None:
    deck.rerun()
    same = deck.json("diff", "1")
    for words in (["1", "1", "2"], ["1", "v1", "v2"], ["1.1", "1.2"], ["1.2"]):
        assert deck.json("diff", *words) == same
    back = deck.json("diff", "1", "2", "1")
    assert (back["old"]["id"], back["new"]["id"]) == ("1.2", "1.1")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["1", "2"], "say JOB, JOB V1 V2, or two versions"), (["1", "1", "x"], "are no two versions"),
        (["1", "1", "2", "3"], "two versions are compared"), (["1.1", "1.2", "--last-good"], "say its id alone"),
        (["x"], "is no job"), ([], "Missing argument"),
    ],
)  # fmt: skip
def test_wrong_words_are_told(deck: Deck, words: list[str], told: str) -> None:
    assert told in deck.run("diff", *words, expect=2).output


def test_what_cannot_be_compared_is_told_with_its_code(deck: Deck) -> None:
    assert "(only_version)" in deck.run("diff", "1", expect=1).output
    assert "(no_good_version)" in deck.run("diff", "1", "--last-good", expect=1).output
    assert "no version 7" in deck.run("diff", "1", "1", "7", expect=1).output


def test_people_read_lines_with_marks(deck: Deck) -> None:
    deck.rerun()
    (deck.folder / "recipes" / "sync.yaml").write_text(RECIPE.replace("not ok", "no"))
    deck.see(ok=False)
    deck.rerun()
    told = deck.run("diff", "1", "--last-good").stdout.splitlines()
    assert [line.partition(" · ")[0] for line in told[:2]] == ["- 1.2 succeeded", "+ 1.3 failed"]
    assert '+   - {stop: failed, if: not steps.seen.data.ok, reason: "no"}' in "\n".join(told)
    assert "  ~ output $.data.ok: true -> false" in told


def test_a_rehearsal_has_a_dry_runs_fields_and_how_it_compares(deck: Deck) -> None:
    done = deck.json("rehearse", "1")
    (deck.folder / "event.json").write_text('{"name": "Ada"}')
    dry = deck.json("test", "sync", str(deck.folder / "event.json"), "--dry-run")
    assert list(done) == [*dry, "id", "job", "version", "verdict", "differences"]
    assert (done["id"], done["job"], done["version"], done["status"]) == (1, 1, 1, "succeeded")
    assert done["verdict"].startswith("the world has changed")
    assert [step["not_sent"] for step in done["steps"]] == [None, "1.1", None, None]
    assert [step["path"] for step in done["differences"]] == ["1", "4"]
    assert (deck.folder / "log").read_text() == "Ada \x1b[2J"
    assert deck.json("rehearse", "1", "--list")[0]["verdict"] == done["verdict"]
    assert [version["version"] for version in deck.json("history", "1")] == [1]


def test_people_read_the_verdict_the_steps_and_the_differences(deck: Deck) -> None:
    told = deck.run("rehearse", "1").stdout
    assert told.startswith("rehearsal  1 of 1.1\nverdict    the world has changed")
    assert "(not sent: 1.1)" in told
    assert "+ rehearsal of 1.1 succeeded" in told
    assert "\x1b" not in told
    assert "no revision 9" in deck.run("rehearse", "1", "--revision", "9", expect=1).output
    assert "leave out --revision" in deck.run("rehearse", "1", "--list", "--revision", "1", expect=2).output
