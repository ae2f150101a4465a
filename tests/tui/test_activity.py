"""Bulk reruns on the screen: how each goes, what became of its jobs, and what its keys do."""

from __future__ import annotations

import datetime as dt

import pytest
from piloted import in_app, running
from stub_automation import StubAutomation
from stub_batches import ASKED, batch, paused_and_done

from data.records import BatchCounts
from data.states import BatchStatus
from tui.batch_lines import pace_words, progress_bar, told_batches
from tui.screens.batch import BatchScreen


@pytest.fixture
def automation() -> StubAutomation:
    stub = StubAutomation()
    stub.batches.known = paused_and_done()
    return stub


@in_app
async def test_the_list_tells_how_each_goes_who_asked_and_why_it_waits(automation: StubAutomation) -> None:
    async with running(automation, size=(220, 24)) as seen:
        await seen.press("3")
        await seen.sees("8  paused", "170 of 480 jobs · 15 failed · 5 in doubt · 2 running · 20 refused")
        await seen.sees("15 of 60 failed, 15 are enough to stop · by ops@10.0.0.3 · after the ^[[2J[red]outage")
        await seen.sees("7  done", "3 of 3 jobs")


@in_app
async def test_a_batch_shows_what_became_of_each_job_and_leads_to_it(automation: StubAutomation) -> None:
    async with running(automation, size=(100, 24)) as seen:
        await seen.press("3")
        await seen.sees("8  paused")
        await seen.press("enter")
        await seen.sees("batch 8 paused: 15 of 60 failed", "812    2  ✗ failed     422: name is ^[]0;taken")
        await seen.sees("813       refused      trigger_expired: its trigger data was removed", "stops at 50 failures")
        await seen.press("j", "enter")
        await seen.sees("jobs > 812")
        await seen.press("escape")
        await seen.press("t")
        await seen.sees("Which results are shown?")
        await seen.press("u")
        await seen.sees("refused only", "813")
        await seen.sees_not("811")


@in_app
async def test_it_is_resumed_slowed_and_canceled_only_after_a_yes(automation: StubAutomation) -> None:
    async with running(automation, size=(100, 24)) as seen:
        await seen.press("3")
        await seen.sees("8  paused", "a pause/resume")
        await seen.press("a")
        await seen.sees("Resume batch 8?", ">Esc Cancel<")
        await seen.press("enter")
        await seen.sees_not("Resume batch 8?")
        assert automation.batches.asked == []
        await seen.press("a")
        await seen.sees("Resume batch 8?")
        await seen.press("c")
        await seen.sees("batch 8 is running")
        await seen.press("enter")
        await seen.until(lambda: isinstance(seen.app.screen, BatchScreen))
        await seen.sees("batch 8 running")
        await seen.press("o")
        await seen.sees("At most how many jobs")
        await seen.press("e")
        await seen.sees("at most 1/s")
        await seen.press("x")
        await seen.sees("Cancel batch 8?", "308 jobs that have not begun are canceled")
        await seen.press("c")
        await seen.sees("batch 8 is canceled")
    assert automation.batches.asked == [("resume", 8), ("rate", 8, 1.0), ("cancel", 8)]


@in_app
async def test_its_failed_jobs_are_rerun_behind_a_plan(automation: StubAutomation) -> None:
    async with running(automation) as seen:
        await seen.press("3")
        await seen.sees("8  paused")
        await seen.press("enter")
        await seen.sees("trigger_expired")
        await seen.press("r")
        await seen.sees("Rerun: 1 run")
        await seen.press("c")
        await seen.sees("1 job run again")
    assert automation.asked[0][1].ids == (812,)


@in_app
async def test_what_does_nothing_says_why(automation: StubAutomation) -> None:
    async with running(automation) as seen:
        await seen.press("3")
        await seen.sees("8  paused")
        await seen.press("j")
        await seen.sees("(a pause/resume)")
        await seen.press("a")
        await seen.sees("batch 7 has ended")
        await seen.press("x")
        await seen.sees("batch 7 has ended")


@in_app
async def test_without_a_batch_the_next_key_is_named(automation: StubAutomation) -> None:
    automation.batches.known.clear()
    async with running(automation) as seen:
        await seen.press("3")
        await seen.sees("no bulk rerun yet: mark jobs in the report (1) with Space, then r")


def test_a_bar_is_full_when_all_have_ended_and_reads_without_unicode(monkeypatch: pytest.MonkeyPatch) -> None:
    assert progress_bar(batch(1, BatchStatus.DONE, BatchCounts(4, 0, 0, 0, 0, 4, 0, 0, 0)), 8) == "━" * 8
    assert progress_bar(batch(1, BatchStatus.DONE, BatchCounts(4, 4, 0, 0, 0, 0, 0, 0, 0)), 8) == "━" * 8
    monkeypatch.setattr("tui.batch_lines.unicode_output", lambda: False)
    assert progress_bar(batch(1, BatchStatus.RUNNING, BatchCounts(4, 0, 3, 0, 0, 1, 0, 0, 0)), 8) == "##......"


def test_the_pace_is_told_of_what_runs_only() -> None:
    later = ASKED + dt.timedelta(seconds=10)
    counts = BatchCounts(100, 0, 50, 0, 0, 50, 0, 0, 0)
    assert pace_words(batch(1, BatchStatus.RUNNING, counts), later) == "5.0/s · about 10.0 s left"
    assert pace_words(batch(1, BatchStatus.PAUSED, counts), later) == ""


def test_who_comes_back_is_told_of_what_is_left() -> None:
    left = [batch(8, BatchStatus.PAUSED), batch(9, BatchStatus.RUNNING)]
    assert told_batches(left).startswith("batch 8 is paused: 170 of 480 jobs")
    assert told_batches(left).endswith("(and 1 more); 3 shows it")
    assert told_batches([batch(7, BatchStatus.DONE, finished_at=ASKED)]) == ""
