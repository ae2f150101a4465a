"""The engine's lock on a workspace: one engine holds it, everybody can read who."""

from __future__ import annotations

import datetime as dt
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from core.errors import EngineHeld

FILE = ".jobdeck/engine.lock"
_GRACE_S = 1.0


@dataclass(frozen=True, slots=True)
class Holder:
    """The engine that holds the workspace."""

    pid: int
    host: str
    since: str
    boot: str
    listen: str | None = None


class EngineLock:
    """Held from construction until `release`, or until the process is gone, however it went."""

    def __init__(self, workspace: Path, boot: str) -> None:
        """Take the lock; raises EngineHeld that says who has it."""
        path = workspace / FILE
        path.parent.mkdir(exist_ok=True)
        self._file = path.open("a+", encoding="utf-8")
        # Whoever only looks holds the lock for a moment: give way before saying that an engine has it.
        deadline = time.monotonic() + _GRACE_S
        while not _locked(self._file, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                self._file.close()
                raise EngineHeld(_sentence(workspace, _read(path)))
            time.sleep(0.02)
        now = dt.datetime.now(dt.UTC).isoformat()
        self._holder = Holder(os.getpid(), socket.gethostname(), now, boot)
        self._write(self._holder)

    def tell_address(self, listen: str | None) -> None:
        """Let others know where the engine listens."""
        self._write(Holder(**(asdict(self._holder) | {"listen": listen})))

    def release(self) -> None:
        """Give the workspace up."""
        self._file.truncate(0)
        self._file.close()

    def _write(self, holder: Holder) -> None:
        self._file.seek(0)
        self._file.truncate(0)
        self._file.write(json.dumps(asdict(holder)))
        self._file.flush()


def holder(workspace: Path) -> Holder | None:
    """Return which engine holds the workspace now, or None."""
    path = workspace / FILE
    try:
        with path.open("r", encoding="utf-8") as file:
            if _locked(file, fcntl.LOCK_SH):
                return None
            return _read(path)
    except FileNotFoundError:
        return None


@contextmanager
def engine_kept_out(workspace: Path) -> Iterator[bool]:
    """Give whether this process alone may do an engine's work until the block ends; no engine starts meanwhile.

    To be held for less than a start waits: well under a second.
    """
    folder = (workspace / FILE).parent
    with (workspace / FILE).open("a", encoding="utf-8") as lock, (folder / "log.lock").open("a") as turn:
        # Shared, so that nobody takes this process for an engine; the other file is for others that do the same.
        yield _locked(lock, fcntl.LOCK_SH) and _locked(turn, fcntl.LOCK_EX)


def _locked(file: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(path: Path) -> Holder:
    try:
        return Holder(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        # It is just being written.
        return Holder(0, "", dt.datetime.now(dt.UTC).isoformat(), "")


def _sentence(workspace: Path, held: Holder) -> str:
    return (
        f"another engine holds {workspace}: process {held.pid} on {held.host}, since {held.since}; "
        f"stop it first (`kill {held.pid}`), or use it"
    )
