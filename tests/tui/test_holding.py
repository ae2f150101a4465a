"""A job's data held past its retention, and released, by the keys of the report and of the job's detail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from piloted import in_app, running
from reported import running as reported
from stub_automation import BEGAN, StubAutomation

from core.automation import Automation
from core.runner import Engine
from tui import holding


@pytest.fixture
def automation(tmp_path: Path) -> Iterator[Automation]:
    """Give a workspace in which job 1 has ended."""
    (tmp_path / "jobdeck.toml").touch()
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "sync.yaml").write_text(
        'retention: 30d\ntrigger: {manual.event: {}}\ntitle: "{{ trigger.name }}"\nsteps: [{set: {a: 1}}]\n')
    with Automation(tmp_path) as automation:
        automation.send("sync", [{"name": "Ada"}], by="ada")
        engine = Engine(tmp_path, listens=False, polls=False)
        try:
            engine.start()
            while not engine.idle():
                engine.tick()
        finally:
            engine.close()
        yield automation


@in_app
async def test_the_detail_asks_for_the_reason_holds_and_releases(automation: Automation) -> None:
    async with running(automation) as seen:
        seen.app.open_job(1)
        await seen.sees("version 1 of 1", "expires in 29 d")
        await seen.press("m")
        await seen.sees("Hold the data of 1 Ada: why?", "Now it expires in 29 d.")
        await seen.press(*"a dispute", "enter")
        await seen.sees("data held by", ": a dispute")
        held = automation.job(1).held
        assert held is not None
        assert held.reason == "a dispute"
        await seen.press("m")
        await seen.sees("Release the data of 1 Ada?", "It is held by", ">Esc Cancel<")
        await seen.press("enter")
        await seen.sees_not("Release the data")
        assert automation.job(1).held is not None
        await seen.press("m", "c")
        await seen.sees("1: released; its data expires in 29 d")
        await seen.sees_not("data held by")
    assert automation.job(1).held is None
    assert [act.action for act in automation.audit.acts()][:2] == ["release", "hold"]


@in_app
async def test_the_report_holds_the_job_under_the_cursor_and_its_row_says_why(automation: Automation) -> None:
    async with reported(automation, columns=260) as seen:  # type: ignore[arg-type]
        await seen.sees("in 29 d")
        await seen.press("m")
        await seen.sees("Hold the data of 1 Ada: why?")
        await seen.press(*"a dispute", "enter")
        await seen.sees("1: held by", "held: a dis…")


@in_app
async def test_without_a_reason_nothing_is_held(automation: Automation) -> None:
    async with running(automation) as seen:
        seen.app.open_job(1)
        await seen.sees("version 1 of 1")
        await seen.press("m", "escape")
        await seen.sees_not("why?")
        await seen.press("m", "space", "enter")
        await seen.sees("1 is not held: a hold wants a reason")
    assert automation.job(1).held is None


def test_what_retention_has_removed_cannot_be_held() -> None:
    job = StubAutomation().job(812)
    assert holding.not_to_hold(job) is None
    gone = job._replace(trigger_expired_at=BEGAN, trigger_expired_by="retention 30d")
    assert "nothing of its data is left to hold: removed" in (holding.not_to_hold(gone) or "")
