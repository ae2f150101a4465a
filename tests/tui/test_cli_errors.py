"""`jobdeck errors` and `jobdeck audit` as scripts and people run them, on a real workspace."""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from core.runner import Engine
from tui.cli import cli
from tui.cli_audit import FIELDS as ACT_FIELDS
from tui.cli_errors import FIELDS

STOPS = "trigger: {manual.event: {}}\nsteps:\n  - {stop: failed, reason: \"no name \\e[2J\", if: trigger.stop}\n"
WATCH = "trigger:\n  files.new: {path: inbox, settle: 0s}\nsteps: [{set: {a: 1}}]\n"


class Deck:
    """A workspace and the command on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "recipes").mkdir(parents=True)
        (folder / "jobdeck.toml").write_text("")

    def write(self, text: str, name: str) -> None:
        (self.folder / "recipes" / f"{name}.yaml").write_text(text)

    def run(self, *words: str, input: str = "", expect: int = 0) -> Result:
        done = CliRunner().invoke(cli, ["-w", str(self.folder), *words], input=input, prog_name="jobdeck")
        assert done.exit_code == expect, done.output + repr(done.exception)
        return done

    def json(self, *words: str) -> Any:
        return json.loads(self.run(*words, "-o", "json").stdout)

    def work(self) -> None:
        """Poll once, and work until nothing is queued or running."""
        log = logging.getLogger("core")
        before = list(log.handlers)
        engine = Engine(self.folder, listens=False, polls=False)
        try:
            engine.start()
            engine.poll_once()
            deadline, rest = time.monotonic() + 30, threading.Event()
            while not engine.idle():
                assert time.monotonic() < deadline
                engine.tick()
                rest.wait(0.005)
        finally:
            engine.close()
            for handler in set(log.handlers) - set(before):
                log.removeHandler(handler)
                handler.close()


@pytest.fixture
def deck(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deck:
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    deck = Deck(tmp_path / "deck")
    for name in ("one", "two"):
        deck.write(STOPS, name)
        deck.run("send", name, "--lines", input='{"stop": true}\n{"stop": true}\n{"stop": false}\n')
    deck.work()
    return deck


def test_groups_have_the_fields_of_the_contract_in_every_format(deck: Deck) -> None:
    [group] = deck.json("errors")
    assert tuple(group) == FIELDS
    assert (group["recipe"], group["jobs"], group["versions"]) == ("one, two", 4, 4)
    assert (group["kind"], group["step"], group["action"], group["note"]) == ("stop", "1", None, None)
    assert group["first_revision"] in ({"recipe": "one", "revision": 1}, {"recipe": "two", "revision": 1})
    assert group["first_seen_at"].endswith("Z")
    assert deck.json("errors", "--recipe", "two")[0]["jobs"] == 2
    assert deck.json("errors", "--until", "2000-01-01") == deck.json("errors", "--limit", "0") == []
    assert json.loads(deck.run("errors", "-o", "jsonl").stdout) == group
    [row] = csv.DictReader(io.StringIO(deck.run("errors", "-o", "csv").stdout))
    assert (row["group"], row["jobs"]) == (group["group"], "4")
    table = deck.run("errors").stdout
    assert group["group"] in table
    assert "no name ^[[2J" in table
    assert "\x1b" not in table


def test_a_group_filters_jobs_and_reruns(deck: Deck) -> None:
    group = deck.json("errors")[0]["group"]
    assert sorted(job["id"] for job in deck.json("jobs", "--error", group)) == [1, 2, 4, 5]
    deck.run("rerun", "--error", group, "--all", "--yes")
    assert deck.json("errors")[0]["jobs"] == 0
    assert deck.json("errors")[0]["versions"] == 4


def test_a_note_is_written_told_and_removed(deck: Deck) -> None:
    group = deck.json("errors")[0]["group"]
    assert deck.run("errors", "--note", "ask Ada", group).stdout == f"{group}: noted\n"
    note = deck.json("errors")[0]["note"]
    assert (note["text"], tuple(note)) == ("ask Ada", ("text", "by", "at"))
    assert "ask Ada" in deck.run("errors").stdout
    deck.run("errors", "--note", "", group)
    assert deck.json("errors")[0]["note"] is None
    deck.run("errors", "--note", "x", "nothing", expect=1)
    deck.run("errors", group, expect=2)
    deck.run("errors", "--note", "x", expect=2)
    deck.run("errors", "--recipe", "tow", expect=1)


def test_the_audit_tells_who_did_what_newest_first(deck: Deck) -> None:
    deck.run("recipe", "stop", "one")
    deck.run("hold", "1", "--reason", "court order")
    deck.run("rerun", "2", "--yes", "--note", "again")
    acts = deck.json("audit")
    assert [tuple(act) for act in acts] == [ACT_FIELDS] * 3
    assert [(act["action"], act["subject"], act["note"]) for act in acts] == [
        ("rerun", "job 2.2", "again"), ("hold", "job 1", "court order"), ("recipe stop", "one", None),
    ]  # fmt: skip
    assert deck.json("audit", "--limit", "1") == acts[:1]
    assert deck.json("audit", "--actor", acts[0]["actor"]) == acts
    assert deck.json("audit", "--actor", "nobody") == deck.json("audit", "--until", "1h") == []
    assert deck.json("audit", "--since", "1h") == acts
    assert "court order" in deck.run("audit").stdout


def test_who_comes_over_ssh_is_told_with_the_address(deck: Deck, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.3 50022 10.0.0.1 22")
    deck.run("recipe", "stop", "one")
    assert deck.json("audit")[0]["actor"].endswith("@10.0.0.3")


def test_a_login_name_that_is_no_utf_8_is_written_out(deck: Deck, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    monkeypatch.setenv("LOGNAME", "zo\udceb")
    deck.run("recipe", "stop", "one")
    assert deck.json("audit")[0]["actor"] == "zo\\udceb"


def test_show_tells_of_other_jobs_of_the_object_and_of_its_changes(tmp_path: Path) -> None:
    deck = Deck(tmp_path / "deck")
    deck.write(WATCH, "watch")
    file = deck.folder / "inbox" / "a.txt"
    file.parent.mkdir()
    for number, act in enumerate(("create", "change", "delete", "create", "change")):
        if act == "delete":
            file.unlink()
        else:
            file.write_text(f"v{number}")
            os.utime(file, (1_700_000_000 + number,) * 2)
        deck.work()
    first, second = deck.json("show", "1"), deck.json("show", "2")
    assert (first["newer_job"], first["older_job"]) == (2, None)
    assert (second["newer_job"], second["older_job"]) == (None, 1)
    assert second["object_changed_at"].endswith("Z")
    assert "newer job of the same object: 2" in deck.run("show", "1").stdout
    told = deck.run("show", "2").stdout
    assert "older job of the same object: 1" in told
    assert "a rerun does not see that: create it anew, or use a new_or_updated trigger" in told
