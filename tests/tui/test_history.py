"""The versions of a job: what the list shows, and what its keys do."""

from __future__ import annotations

import pytest
from piloted import in_app, running
from stub_automation import StubAutomation

from data.states import Status
from tui.screens.detail import DetailScreen
from tui.screens.history import HistoryScreen


@pytest.fixture
def automation() -> StubAutomation:
    stub = StubAutomation()
    stub.add_version(Status.CANCELED)
    stub.add_version(Status.SUCCEEDED, duration_ms=61_000, note="after the fix")
    return stub


@in_app
async def test_versions_are_listed_newest_first(automation: StubAutomation) -> None:
    async with running(automation, size=(120, 24)) as seen:
        seen.app.open_history(812)
        await seen.sees("3 versions", "3* ", "1 m 01 s", "rerun  by ops@10.0.0.3 · after the fix")
        lines = [line for line in seen.text().splitlines() if " r1 " in line or " r2 " in line or " r3 " in line]
        assert ["succeeded" in lines[0], "canceled" in lines[1], "failed" in lines[2]] == [True] * 3
        assert "422: name is taken" in lines[2]


@in_app
async def test_any_version_opens_as_it_was_and_back_leads_to_the_list(automation: StubAutomation) -> None:
    async with running(automation) as seen:
        seen.app.open_history(812)
        await seen.sees("3 versions")
        await seen.press("j", "j", "enter")
        await seen.sees("failed · version 1 of 3, not the latest")
        await seen.press("q")
        await seen.until(lambda: isinstance(seen.app.screen, HistoryScreen))
        await seen.press("L")
        await seen.sees("succeeded · version 3 of 3")


@in_app
async def test_rerun_is_greyed_with_its_reason_on_a_version_that_is_not_the_latest(automation: StubAutomation) -> None:
    async with running(automation) as seen:
        seen.app.open_history(812)
        await seen.sees("3 versions", "r rerun")
        await seen.press("j")
        await seen.sees("(r rerun)")
        await seen.press("r")
        await seen.sees("version 2 of 3 is not the latest; L opens it")
        assert automation.asked == []
        await seen.press("g", "r")
        await seen.sees("Rerun: 1 run")
        await seen.press("c")
        await seen.sees("4 versions", "running")
        assert len(automation.asked) == 1


@in_app
async def test_the_cursor_stays_on_its_version_when_a_new_one_comes(automation: StubAutomation) -> None:
    async with running(automation) as seen:
        seen.app.open_history(812)
        await seen.sees("3 versions")
        await seen.press("j")
        automation.add_version(Status.RUNNING)
        await seen.sees("4 versions")
        await seen.press("enter")
        await seen.sees("version 2 of 4")


@in_app
async def test_a_job_that_is_not_there_is_told(automation: StubAutomation) -> None:
    async with running(automation) as seen:
        seen.app.open_job(99)
        await seen.sees("there is no job 99")
        assert isinstance(seen.app.screen, DetailScreen)
        await seen.press("r", "i", "L", "e", "J", "]", "tab", "l", "+", "-", "h", "enter", "n", "escape")
        await seen.until(lambda: not isinstance(seen.app.screen, DetailScreen))
