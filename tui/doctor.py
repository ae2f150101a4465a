"""What the terminal can do and what it cannot, as found from where the command runs: each finding says what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from core.doctor import Finding, Level
from core.errors import UsageError
from tui.clipboard import clip_file, way
from tui.keymap import load
from tui.surroundings import Drawing, accessible, drawing
from tui.words import unicode_output

SMALL = (40, 10)
_WAYS = {"tmux": "by tmux", "screen": "by OSC 52 through screen", "osc52": "by OSC 52", "": "none"}
_SLOW_ESC = 200
"""Milliseconds that a far terminal may need between the bytes of one key."""


def examine(workspace: Path) -> Iterator[Finding]:
    """Yield the findings about the terminal that this process is on."""
    if not (sys.__stderr__ and sys.__stderr__.isatty()):
        yield _finding(Level.WARNING, "standard error is no terminal: the UI was not looked at", "run it on a terminal")
    yield _term()
    yield _colours()
    yield _encoding()
    yield _size()
    yield _drawing()
    yield _escape()
    yield from _clipboard(workspace)
    keymap = load()
    for problem in keymap.problems:
        yield _finding(Level.WARNING, f"{keymap.file}: {problem}", "that entry is not in force: `jobdeck keys --check`")


def _finding(level: Level, what: str, todo: str = "") -> Finding:
    return Finding("terminal", level, what, todo)


def _term() -> Finding:
    term = os.environ.get("TERM", "")
    if term in ("", "dumb", "unknown"):
        return _finding(Level.PROBLEM, f"TERM is {term or 'not set'}: the UI cannot be shown", "TERM=xterm-256color")
    return _finding(Level.OK, f"TERM is {term}")


def _colours() -> Finding:
    from rich.console import Console

    if os.environ.get("NO_COLOR"):
        return _finding(Level.OK, "no colours, as NO_COLOR says")
    system = Console(force_terminal=True).color_system or "none"
    return _finding(Level.OK, f"colours: {system}; the UI uses the terminal's own sixteen")


def _encoding() -> Finding:
    encoding = getattr(sys.__stderr__, "encoding", None) or "ascii"
    if unicode_output():
        return _finding(Level.OK, f"written in {encoding}")
    if encoding.lower().replace("-", "") == "utf8":
        return _finding(Level.OK, f"written in {encoding}, signs in ASCII, as this terminal needs it")
    return _finding(Level.WARNING, f"written in {encoding}: signs in ASCII, `?` for what it lacks", "LC_ALL=C.UTF-8")


def _size() -> Finding:
    columns, lines = shutil.get_terminal_size()
    if columns < SMALL[0] or lines < SMALL[1]:
        return _finding(Level.WARNING, f"{columns} by {lines} cells", "it is made for {} by {} or more".format(*SMALL))
    return _finding(Level.OK, f"{columns} by {lines} cells")


def _drawing() -> Finding:
    try:
        chosen = drawing()
    except UsageError as error:
        return _finding(Level.PROBLEM, str(error), "unset JOBDECK_DRAW")
    told = {
        Drawing.PLAIN: "drawn whole (JOBDECK_DRAW=plain)",
        Drawing.DIFF: "drawn by differences",
        Drawing.PACED: "drawn by differences, at the pace of the terminal's answers",
    }[chosen]
    return _finding(Level.OK, told + ("; for a screen reader" if accessible() else ""))


def _escape() -> Finding:
    far = "SSH_CONNECTION" in os.environ
    told = os.environ.get("ESCDELAY", "250" if far else "100")
    if far and told.isdigit() and int(told) < _SLOW_ESC:
        what = f"ESCDELAY is {told} ms, over SSH: arrow keys may come as Esc and letters"
        return _finding(Level.WARNING, what, "unset ESCDELAY, or ESCDELAY=250")
    return _finding(Level.OK, f"ESCDELAY is {told} ms")


def _clipboard(workspace: Path) -> Iterator[Finding]:
    chosen = way()
    file = clip_file(workspace / ".jobdeck")
    if not chosen:
        yield _finding(Level.WARNING, f"no way to the clipboard; what is copied is in {file}")
        return
    yield _finding(Level.OK, f"the clipboard: {_WAYS[chosen]}; what is copied is in {file} too")
    if chosen == "tmux":
        yield _tmux()


def _tmux() -> Finding:
    words = ["tmux", "show-options", "-gv", "set-clipboard"]
    try:
        set_clipboard = subprocess.run(words, capture_output=True, timeout=2, check=True).stdout.decode().strip()
    except (OSError, subprocess.SubprocessError):
        return _finding(Level.WARNING, "TMUX is set, but tmux does not answer", "is it on PATH?")
    if set_clipboard == "off":
        what = "tmux keeps what is copied for itself: its set-clipboard is off"
        return _finding(Level.WARNING, what, "tmux set-option -g set-clipboard external")
    return _finding(Level.OK, f"tmux hands what is copied on: its set-clipboard is {set_clipboard}")
