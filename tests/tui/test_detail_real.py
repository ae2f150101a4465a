"""The job's detail on a real workspace: the pager in a real terminal, its bytes, and a rehearsal."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from piloted import in_app, running
from terminal import jobdeck

from core.automation import Automation
from core.runner import Engine
from data.states import ENDED

BYTES = 5_000
"""For opening a job's detail and going back, at 80x24."""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "jobdeck.toml").touch()
    (tmp_path / "recipes").mkdir()
    (tmp_path / ".jobdeck").mkdir()
    steps = "  - {id: seen, action: files.read, with: {path: seen.json, parse: json}}\n" + "".join(
        f"  - {{id: part{number}, set: {{n: {number}}}}}\n" for number in range(8)
    )
    (tmp_path / "recipes" / "sync.yaml").write_text("trigger: {manual.event: {}}\nsteps:\n" + steps)
    (tmp_path / "seen.json").write_text('{"ok": true}')
    with Automation(tmp_path) as automation:
        [one] = automation.send("sync", [{"password": "hunter2", "note": "fine\x1b[2J"}], by="ada")
        engine = Engine(tmp_path, listens=False, polls=False)
        try:
            engine.start()
            while automation.job(one.job_id or 0).status not in ENDED:
                engine.tick()
        finally:
            engine.close()
    return tmp_path


def test_the_pager_shows_the_data_without_secrets_and_comes_back(workspace: Path) -> None:
    pager = f"{sys.executable} -c 'import sys; print(sys.stdin.read()); open(\"/dev/tty\").read(1)'"
    with jobdeck(workspace, PAGER=pager) as terminal:
        terminal.wait_for("succeeded")
        terminal.send("\r")
        terminal.wait_for("secrets masked")
        terminal.send("p")
        shown = terminal.wait_for('"note": "fine')
        assert "hunter2" not in shown
        terminal.send("\n")
        terminal.wait_for("secrets masked")
        assert b"hunter2" not in terminal.received


def test_a_pager_that_does_not_start_is_told(workspace: Path) -> None:
    with jobdeck(workspace, PAGER="no-such-pager") as terminal:
        terminal.wait_for("succeeded")
        terminal.send("\r")
        terminal.wait_for("secrets masked")
        terminal.send("p")
        terminal.wait_for("'no-such-pager' does not start")
        terminal.wait_for("secrets masked")


def test_bars_and_masks_keep_the_budget_of_opening_a_detail_and_going_back(workspace: Path) -> None:
    with jobdeck(workspace) as terminal:
        terminal.wait_for("succeeded")
        written = len(terminal.written_by("\r"))
        terminal.wait_for("part6")
        written += len(terminal.written_by("\x1b"))
        assert written <= BYTES, written


@in_app
async def test_a_rehearsal_is_kept_and_compared(workspace: Path) -> None:
    with Automation(workspace) as automation:
        async with running(automation) as seen:
            seen.app.open_job(1)
            await seen.sees("part6")
            await seen.press("t")
            await seen.sees("Rehearse 1.1?")
            await seen.press("c")
            await seen.sees("nothing has changed: r1 comes out as 1.1 did", "1.1 and rehearsal of 1.1")
        assert [kept.version for kept in automation.rehearsing.kept(1)] == [1]
        assert len(automation.history(1)) == 1
