"""What leaves the terminal for another program: a file to the editor, text to the pager; each says what went wrong."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from textual.app import App, SuspendNotSupported


def edit(app: App[Any], path: Path, line: int | None = None) -> str | None:
    """Open a file in $VISUAL or $EDITOR, or vi, and wait for it; return what went wrong, or None.

    With a line it opens there, in an editor known to take one.
    """
    try:
        with app.suspend():
            # An error that left this block would leave the terminal half restored.
            return _run_editor(path, line)
    except SuspendNotSupported:
        return f"this terminal cannot be left for an editor; edit {path} elsewhere"


def page(app: App[Any], text: bytes) -> str | None:
    """Show `text`, safe on a terminal and in UTF-8, in $PAGER, or less, and wait; return what went wrong, or None."""
    wanted = os.environ.get("PAGER") or "less"
    try:
        with app.suspend():
            # By a pipe, so that no file of it is left.
            return _run("pager", wanted, "PAGER", shlex.split, text)
    except SuspendNotSupported:
        return "this terminal cannot be left for a pager; `jobdeck show` prints the same"


def _run_editor(path: Path, line: int | None) -> str | None:
    wanted = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    return _run("editor", wanted, "VISUAL or EDITOR", lambda wanted: editor_command(wanted, path, line))


def _run(
    what: str, wanted: str, setting: str, words: Callable[[str], Sequence[str]], text: bytes | None = None
) -> str | None:
    """Run a program without a shell, give it `text`, wait, and return what went wrong, or None."""
    # A Ctrl+C meant for the program reaches this process too. A handler, because an ignored signal would be inherited.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        status = subprocess.run(words(wanted), input=text).returncode
    except (OSError, ValueError) as error:
        return f"the {what} {wanted!r} does not start: {error}; set {setting}"
    finally:
        signal.signal(signal.SIGINT, before)
    return f"the {what} {_name(wanted)} ended with status {status}" if status else None


def editor_command(wanted: str, path: Path, line: int | None) -> list[str]:
    """Return the words that start an editor on a file, at a line where it is known how; raises ValueError."""
    words = shlex.split(wanted)
    # Debian's vim is vim.basic, vim.tiny, …
    at = _AT.get(_name(wanted).split(".")[0], _beginning)
    return [*words, *at(str(path), line)] if line else [*words, str(path)]


def _name(wanted: str) -> str:
    return Path(next(iter(shlex.split(wanted)), "")).name


def _beginning(path: str, line: int) -> list[str]:
    return [path]


def _plus(path: str, line: int) -> list[str]:
    return [f"+{line}", path]


def _goto(path: str, line: int) -> list[str]:
    return ["--goto", f"{path}:{line}"]


_AT: Mapping[str, Callable[[str, int], list[str]]] = {
    "vi": _plus, "vim": _plus, "nvim": _plus, "nano": _plus, "emacs": _plus, "emacsclient": _plus,
    "code": _goto, "codium": _goto,
}  # fmt: skip
