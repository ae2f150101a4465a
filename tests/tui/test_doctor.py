"""What the doctor finds about the terminal, and what the command says and ends with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from core.doctor import Level
from tui.cli import cli
from tui.doctor import examine


@pytest.fixture(autouse=True)
def _plain_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("TMUX", "STY", "SSH_CONNECTION", "NO_COLOR", "ESCDELAY", "JOBDECK_DRAW", "JOBDECK_KEYS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


@pytest.mark.parametrize(
    ("environment", "level", "told"),
    [
        ({"TERM": "dumb"}, Level.PROBLEM, "TERM is dumb"),
        ({"JOBDECK_DRAW": "fast"}, Level.PROBLEM, "is none of plain, diff, paced"),
        ({"SSH_CONNECTION": "a 1 b 2"}, Level.OK, "at the pace of the terminal's answers"),
        ({"SSH_CONNECTION": "a 1 b 2", "ESCDELAY": "50"}, Level.WARNING, "arrow keys may come as Esc and letters"),
        ({"TERM": "linux"}, Level.WARNING, "no way to the clipboard"),
        ({"TERM": "screen"}, Level.OK, "by OSC 52 through screen"),
        ({"NO_COLOR": "1"}, Level.OK, "no colours"),
        ({"COLUMNS": "30", "LINES": "8"}, Level.WARNING, "30 by 8 cells"),
        ({"TMUX": "/nowhere,1,0"}, Level.WARNING, "tmux does not answer"),
        ({"JOBDECK_ACCESSIBLE": "1"}, Level.OK, "for a screen reader"),
    ],
)
def test_what_is_around_the_terminal_is_told(
    environment: dict[str, str], level: Level, told: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert [one.level for one in examine(tmp_path) if told in one.what] == [level]


def test_entries_of_the_keys_that_are_not_in_force_are_told(tmp_path: Path) -> None:
    (tmp_path / "jobdeck").mkdir()
    (tmp_path / "jobdeck" / "keys.toml").write_text('[keys]\nrerunn = "r"\n')
    [told] = [one for one in examine(tmp_path) if "rerunn" in one.what]
    assert (told.level, "did you mean 'rerun'?" in told.what) == (Level.WARNING, True)


def test_the_command_ends_with_1_where_there_is_a_problem(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    (workspace / "recipes").mkdir(parents=True)
    (workspace / "jobdeck.toml").touch()
    done = CliRunner().invoke(cli, ["doctor", "-w", str(workspace), "-o", "json"])
    assert done.exit_code == 0, done.output
    assert {one["area"] for one in json.loads(done.stdout)} == {"settings", "store", "recipes", "engine", "terminal"}
    (workspace / "jobdeck.toml").write_text("[engine]\nslots = 0\n")
    done = CliRunner().invoke(cli, ["doctor", "-w", str(workspace)])
    assert done.exit_code == 1
    assert "PROBLEM settings" in done.stdout
    assert "-> correct it in" in done.stdout
