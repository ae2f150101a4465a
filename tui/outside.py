"""What leaves the terminal: text to the clipboard, a file to the editor; each says what it did."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from pathlib import Path
from typing import Any

from textual.app import App, SuspendNotSupported

OSC_LIMIT = 74_994
"""Bytes of base64 that common terminals still take in one OSC 52."""


def copy(app: App[Any], text: str) -> str:
    """Put `text` on the clipboard and return the way it went; in tmux by tmux, which passes no OSC 52 on."""
    if os.environ.get("TMUX") and _tmux_copy(text):
        return "by tmux"
    if len(text.encode("utf-8", "replace")) * 4 // 3 > OSC_LIMIT:
        return "nowhere: it is too long for the terminal's clipboard"
    app.copy_to_clipboard(text)
    return "by OSC 52; if pasting gives nothing, the terminal does not take it"


def _tmux_copy(text: str) -> bool:
    command = ["tmux", "load-buffer", "-w", "-"]
    try:
        done = subprocess.run(command, input=text.encode("utf-8", "replace"), capture_output=True, timeout=2)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def edit(app: App[Any], path: Path) -> str | None:
    """Open a file in $VISUAL or $EDITOR, or vi, and wait for it; return what went wrong, or None."""
    try:
        with app.suspend():
            # An error that left this block would leave the terminal half restored.
            return _run_editor(path)
    except SuspendNotSupported:
        return f"this terminal cannot be left for an editor; edit {path} elsewhere"


def _run_editor(path: Path) -> str | None:
    wanted = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    # A Ctrl+C meant for the editor reaches this process too. A handler, because an ignored signal would be inherited.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        status = subprocess.run([*shlex.split(wanted), str(path)]).returncode
    except (OSError, ValueError) as error:
        return f"the editor {wanted!r} does not start: {error}; set VISUAL or EDITOR"
    finally:
        signal.signal(signal.SIGINT, before)
    return f"the editor {wanted!r} ended with status {status}" if status else None
