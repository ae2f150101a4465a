"""The demo as a person sees it: a failed job is opened, the recipe mended, the job rerun; nothing is left running."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from terminal import Terminal

from core.lock import holder
from core.sandbox.demo import CORRECTION, MISTAKE

DEMO = [sys.executable, "-c", "from tui.main import main; main()", "demo"]


def gone(pid: int, seconds: float = 15.0) -> bool:
    """Return whether a process has ended within the time."""
    deadline = time.monotonic() + seconds
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return not Path(f"/proc/{pid}").exists()


def test_a_failed_job_is_mended_and_rerun(tmp_path: Path) -> None:
    workspace = tmp_path / "demo"
    with Terminal([*DEMO, str(workspace)], columns=120, lines=40) as terminal:
        terminal.wait_for("failed", 30)
        engine = holder(workspace)
        terminal.send("/")
        terminal.wait_for("text in title")
        terminal.send("Quayside Legal")
        terminal.wait_for(lambda screen: "Quayside Legal" in screen and "Juniper Legal" not in screen)
        terminal.send("\r")
        terminal.wait_until_quiet()
        terminal.send("\r")
        terminal.wait_for("version 1 of 1")
        recipe = workspace / "recipes" / "sync_accounts.yaml"
        recipe.write_text(recipe.read_text().replace(MISTAKE, CORRECTION))
        terminal.send("r")
        terminal.wait_for("1 run, 0 not")
        terminal.wait_until_quiet()
        terminal.send("c")
        terminal.wait_for("succeeded · version 2 of 2")
        terminal.send("\x11")
        assert terminal.process.wait(30) == 0
    assert engine is not None
    assert gone(engine.pid)


def test_an_ended_terminal_leaves_nothing_running(tmp_path: Path) -> None:
    workspace = tmp_path / "demo"
    with Terminal([*DEMO, str(workspace)], columns=100, lines=30) as terminal:
        terminal.wait_for("succeeded", 30)
        engine = holder(workspace)
        os.kill(terminal.process.pid, 9)
    assert engine is not None
    assert gone(engine.pid)
