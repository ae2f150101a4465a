"""The README says what is so: its commands and options are there, its picture and its links too."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from xml.etree import ElementTree

import click
import pytest

from tui.cli import cli

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CODE = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
SPANS = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", README, flags=re.DOTALL))
LINES = [line for block in CODE for line in block.splitlines()]


def commands() -> list[list[str]]:
    """Return the words after each `jobdeck` of the README."""
    found = []
    for text in [*LINES, *SPANS]:
        for part in re.split(r"&&|\|", text):
            words = shlex.split(part)
            if words and Path(words[0]).name == "jobdeck":
                found.append(words[1:])
    return found


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_each_command_and_option_is_there(words: list[str]) -> None:
    command: click.Command = cli
    names = [word for word in words if not word.startswith("-") and word != "COMMAND"]
    if names:
        found = cli.get_command(click.Context(cli), names[0])
        assert found is not None, f"there is no command {names[0]}"
        command = found
    options = {option for param in command.params for option in param.opts} | {"--help"}
    assert {word for word in words if word.startswith("-")} <= options


def test_the_commands_of_every_day_are_named() -> None:
    named = {words[0] for words in commands() if words}
    assert {"demo", "init", "send", "engine", "jobs", "show", "history", "rerun", "check"} <= named


def test_one_line_each_installs_and_runs_the_demo_and_the_tests() -> None:
    lines = [line for line in LINES if line.startswith("python3 -m venv .venv && .venv/bin/pip install ")]
    assert [line.split(" && ")[-1] for line in lines] == [".venv/bin/jobdeck demo", ".venv/bin/pytest -q -n auto"]


def test_the_picture_and_the_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)]+)\)", README)
    assert "docs/demo.svg" in targets
    for target in targets:
        assert (ROOT / target).exists(), target


def test_the_pictures_begin_with_the_report_and_fetch_nothing() -> None:
    picture = (ROOT / "docs" / "demo.svg").read_text(encoding="utf-8")
    text = "".join(ElementTree.fromstring(picture).itertext()).replace("\N{NO-BREAK SPACE}", " ")
    assert "sync_accounts" in text
    assert "failed" in text
    assert "succeeded" in text
    assert "url(http" not in picture.replace('"', "").replace("'", "")
    assert "@import" not in picture
    assert len(picture) < 400_000


def test_where_nothing_moves_only_the_first_picture_is_shown() -> None:
    frames = re.findall(r'<g class="shown( later)?"', (ROOT / "docs" / "demo.svg").read_text(encoding="utf-8"))
    assert frames == ["", *[" later"] * 5]
