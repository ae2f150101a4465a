"""Mending a recipe from its failed job: `e`, save, `r`, `c`; in a real terminal with a real editor process."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from terminal import Terminal, jobdeck

from core.automation import Automation
from data.states import Status
from tui.outside import editor_command

RECIPE = """trigger: {manual.event: {}}
title: "{{ trigger.name }}"
steps:
  - id: say
    action: log.write
    with: {message: "hello {{ trigger.nmae }}"}
"""
# Waits for one key, as an editor does: `s` mends and saves, `b` breaks and saves, `q` saves nothing, `x` breaks and
# ends with an error.
EDITOR = """#!{python}
import os, sys, tty
from pathlib import Path
with open({log!r}, "a") as log:
    print(*sys.argv[1:], file=log)
tty.setcbreak(0)
print("\\x1b[2J\\x1b[HEDITING", flush=True)
key = os.read(0, 1).decode()
file = Path(sys.argv[-1])
text = file.read_text()
if key == "s":
    file.write_text(text.replace("nmae", "name").replace("wiht", "with"))
elif key in "bx":
    file.write_text(text.replace("with:", "wiht:"))
sys.exit(key == "x")
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Path]:
    """Give a workspace with one failed job and an engine."""
    (tmp_path / "recipes").mkdir()
    (tmp_path / "jobdeck.toml").write_text('[engine]\nlisten = "127.0.0.1:0"\n')
    (tmp_path / "recipes" / "sync.yaml").write_text(RECIPE)
    with Automation(tmp_path) as automation:
        automation.start_engine()
        try:
            automation.send("sync", [{"name": "Ada"}], by="ada")
            yield tmp_path
        finally:
            automation.stop_engine()


@pytest.fixture
def terminal(workspace: Path, tmp_path: Path) -> Iterator[Terminal]:
    """Give the terminal on the failed job's detail, with an editor that calls itself vim."""
    editor = tmp_path / "bin" / "vim"
    editor.parent.mkdir()
    editor.write_text(EDITOR.format(python=sys.executable, log=str(tmp_path / "argv")))
    editor.chmod(0o755)
    with jobdeck(workspace, EDITOR=str(editor), VISUAL="") as terminal:
        terminal.wait_for(lambda screen: "Ada" in screen and "failed" in screen)
        terminal.wait_until_quiet()
        terminal.send("\r")
        terminal.wait_for("version 1 of 1")
        terminal.wait_until_quiet()
        yield terminal


def opened_with(tmp_path: Path) -> list[list[str]]:
    """Return what the editor was given, each time it was opened."""
    return [shlex.split(line) for line in (tmp_path / "argv").read_text().splitlines()]


def test_a_failed_job_is_mended_and_rerun_with_four_keys(terminal: Terminal, tmp_path: Path) -> None:
    terminal.send("e")
    terminal.wait_for("EDITING")
    terminal.send("s")
    terminal.wait_for("sync: r2 stored; r reruns with it")
    terminal.send("r")
    terminal.wait_for("1 run, 0 not")
    terminal.wait_until_quiet()
    terminal.send("c")
    terminal.wait_for("succeeded · version 2 of 2")
    assert opened_with(tmp_path) == [[str(tmp_path / "recipes" / "sync.yaml")]]


def test_a_broken_file_opens_at_its_error_keeps_its_text_and_is_mended(terminal: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "recipes" / "sync.yaml"
    terminal.send("e")
    terminal.wait_for("EDITING")
    terminal.send("b")
    terminal.wait_for("sync is broken at line 5, column 13; e opens it there")
    assert "wiht" in file.read_text()
    terminal.wait_until_quiet()
    terminal.send("e")
    terminal.wait_for("EDITING")
    terminal.send("s")
    terminal.wait_for("sync: r2 stored; r reruns with it")
    terminal.send("r")
    terminal.wait_for("1 run, 0 not")
    terminal.wait_until_quiet()
    terminal.send("c")
    terminal.wait_for("succeeded · version 2 of 2")
    assert opened_with(tmp_path) == [[str(file)], ["+5", str(file)]]
    with Automation(tmp_path) as automation:
        assert automation.job(1).status is Status.SUCCEEDED
        assert [one.number for one in automation.revisions("sync")] == [2, 1]


def test_an_editor_that_ends_with_an_error_is_told_with_what_it_saved(terminal: Terminal) -> None:
    terminal.send("e")
    terminal.wait_for("EDITING")
    terminal.send("q")
    terminal.wait_for("sync is unchanged: r1")
    terminal.wait_until_quiet()
    terminal.send("e")
    terminal.wait_for("EDITING")
    terminal.send("x")
    terminal.wait_for("the editor vim ended with status 1; sync is broken at line 5, column 13")
    terminal.wait_for("sync.yaml is broken at 5:13")


@pytest.mark.parametrize(
    ("editor", "words"),
    [
        ("vi", ["vi", "+7", "f.yaml"]),
        ("/usr/bin/vim.basic -n", ["/usr/bin/vim.basic", "-n", "+7", "f.yaml"]),
        ("nvim", ["nvim", "+7", "f.yaml"]),
        ("nano", ["nano", "+7", "f.yaml"]),
        ("emacs -nw", ["emacs", "-nw", "+7", "f.yaml"]),
        ("code --wait", ["code", "--wait", "--goto", "f.yaml:7"]),
        ("ed", ["ed", "f.yaml"]),
        ("env A=1 vim", ["env", "A=1", "vim", "f.yaml"]),
    ],
)
def test_an_editor_opens_at_a_line_where_it_is_known_how(editor: str, words: list[str]) -> None:
    assert editor_command(editor, Path("f.yaml"), 7) == words
    assert editor_command(editor, Path("f.yaml"), None) == [*shlex.split(editor), "f.yaml"]
