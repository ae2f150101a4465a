"""Engines as processes of their own, to be killed, frozen and started again."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from world import wait_until

from core.lock import holder

ROOT = Path(__file__).parents[2]
UNTIL_IDLE = """
import sys
from pathlib import Path
from core.runner import serve
serve(Path(sys.argv[1]), until_idle=True)
"""


class EngineProcess:
    """An engine on a workspace; what it says is in `said`."""

    def __init__(self, workspace: Path, *, until_idle: bool = False) -> None:
        """Start it; `started` waits until it has the workspace."""
        self._workspace = workspace
        self._output = workspace.parent / f"{workspace.name}.out"
        how = ["-c", UNTIL_IDLE] if until_idle else ["-m", "core.runner"]
        with self._output.open("ab") as output:
            self._from = output.tell()
            self._process = subprocess.Popen(
                [sys.executable, *how, str(workspace)], stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, cwd=workspace, env={**os.environ, "PYTHONPATH": str(ROOT)},
            )

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def said(self) -> str:
        """What it has written so far."""
        return self._output.read_bytes()[self._from :].decode(errors="replace")

    def holds(self) -> bool:
        """Whether it has the workspace; raises RuntimeError where it has ended instead."""
        if self._process.poll() is not None:
            raise RuntimeError(f"the engine ended with {self._process.returncode}: {self.said[-2000:]}")
        held = holder(self._workspace)
        return held is not None and held.pid == self.pid

    def locked(self) -> None:
        """Wait until it has the workspace; what a dead engine left is being taken back then."""
        wait_until(self.holds, "an engine that holds the workspace")

    def started(self) -> None:
        """Wait until it says that it has started."""
        wait_until(lambda: self.holds() and "engine started" in self.said, "the engine's start")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def freeze(self) -> None:
        """Stop it (SIGSTOP) at a moment at which it is not writing: others can write to its store meanwhile."""
        wait_until(self._frozen, "a moment at which the engine writes nothing")

    def _frozen(self) -> bool:
        self.signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED)
        if _writable(self._workspace / ".jobdeck" / "jobdeck.db"):
            return True
        self.signal(signal.SIGCONT)
        return False

    def ended(self, seconds: float = 60.0) -> int:
        """Wait until it has ended and return its exit status; one that does not end is killed."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        """Kill it and wait until it is gone."""
        self._process.kill()
        self._process.wait()


def _writable(database: Path) -> bool:
    with closing(sqlite3.connect(database, timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        return True


def run_until_idle(workspace: Path, seconds: float = 300.0) -> None:
    """Run an engine until nothing is queued or running; raises RuntimeError where it fails."""
    engine = EngineProcess(workspace, until_idle=True)
    if engine.ended(seconds) != 0:
        raise RuntimeError(f"the engine failed: {engine.said[-2000:]}")
