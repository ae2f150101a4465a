"""What leaves the terminal for another program: a file to the editor, which says what went wrong."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from pathlib import Path
from typing import Any

from textual.app import App, SuspendNotSupported


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
