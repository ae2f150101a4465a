"""The engine's log: JSON Lines, so that a record is always one line and nothing in it reaches a terminal raw."""

from __future__ import annotations

import datetime as dt
import json
import logging
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path

from core.text import safe

FILE = ".jobdeck/engine.log"
_LARGEST = 10 * 1024 * 1024
_KEPT = 3


class _Lines(logging.Formatter):
    def __init__(self, mask: Callable[[str], str]) -> None:
        super().__init__()
        self._mask = mask

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": self._mask(record.getMessage()),
        }
        if record.exc_info:
            line["traceback"] = self._mask(self.formatException(record.exc_info))
        # Of the control characters, DEL is the one that JSON leaves as it is.
        return json.dumps(line).replace("\x7f", "\\u007f")


class _Console(logging.Handler):
    """Warnings on standard output, one line each."""

    def __init__(self, mask: Callable[[str], str], say: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._mask = mask
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        self._say(safe(f"{record.levelname.lower()}: {self._mask(record.getMessage())}"))


def set_up(workspace: Path, mask: Callable[[str], str], say: Callable[[str], None]) -> Callable[[], None]:
    """Send the engine's records to the workspace's log, and its warnings to `say` too; secrets go through `mask`.

    Return what ends that again.
    """
    path = workspace / FILE
    path.parent.mkdir(exist_ok=True)
    file = RotatingFileHandler(path, maxBytes=_LARGEST, backupCount=_KEPT, encoding="ascii")
    file.setFormatter(_Lines(mask))
    root = logging.getLogger("core")
    root.setLevel(logging.INFO)
    root.handlers = [file, _Console(mask, say)]
    root.propagate = False

    def end() -> None:
        root.handlers = []
        root.propagate = True
        file.close()

    return end
