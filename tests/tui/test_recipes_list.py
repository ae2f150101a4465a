"""The list of recipes: what it says of each, wide and narrow, with and without glyphs; and what it says of nothing."""

from __future__ import annotations

import dataclasses
import datetime as dt
import threading

import pytest
from piloted import in_app, running
from stub_automation import BEGAN, StubAutomation, tally

import tui.recipe_lines
import tui.words
from core.overview import Declared
from data.records import Hour, Problem, RecipeState, Tally
from tui.recipe_lines import bars, heading, recipe_line, recipe_said, size, tally_lines

SYNC = RecipeState(1, "sync", True, 3, (), True, polled_at=BEGAN, next_poll_at=BEGAN + dt.timedelta(seconds=30))
POLLED = Declared("sql.new_or_updated", True, 0)


@pytest.fixture(autouse=True)
def _glyphs(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (tui.words, tui.recipe_lines):
        monkeypatch.setattr(module, "unicode_output", lambda: True)


def hours(*received: int) -> tuple[Hour, ...]:
    return tuple(Hour(BEGAN + dt.timedelta(hours=at), number, 0) for at, number in enumerate(received))


def test_a_bar_is_full_in_the_busiest_hour_and_one_job_is_more_than_none() -> None:
    assert bars(hours(0, 1, 50, 99, 100)).plain == "·▁▄█" + "█"
    assert bars(hours(0, 0)).plain == "··"
    assert bars(hours(1)).plain == "█"


def test_bars_have_a_stand_in_in_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tui.recipe_lines, "unicode_output", lambda: False)
    assert bars(hours(0, 1, 50, 100)).plain == ".:+@"


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120])
def test_a_line_says_what_came_and_what_failed_in_words(width: int) -> None:
    line = recipe_line(SYNC, POLLED, tally(30, failed=3), width).plain
    assert line.startswith("sync")
    assert "started    r3" in line
    assert line.endswith("349, 3 failed")
    assert ("sql.new_or_updated" in line) == (width >= 110)
    assert line.index("349") == heading(width).index("RECEIVED")
    assert ("█" in line) == (width >= 70)


def test_while_jobs_are_counted_no_number_is_said() -> None:
    assert recipe_line(SYNC, POLLED, None, 80).plain.endswith("counting…")
    assert tally_lines(None)[0].plain == "jobs: counting…"


def test_what_was_not_all_looked_at_is_told() -> None:
    partly = dataclasses.replace(tally(30), looked_at=100_000)
    assert tally_lines(partly)[1].plain.endswith("only the newest 100,000 jobs of all recipes looked at")
    assert "looked at" not in tally_lines(tally(30))[1].plain


def test_what_is_wrong_comes_first_and_leaves_room_for_the_rest() -> None:
    problems = tuple(Problem("recipes/sync.yaml", line, 1, f"wrong {line}") for line in range(1, 10))
    broken = dataclasses.replace(SYNC, problems=problems, warning="it does not answer")
    lines = [line.plain for line in recipe_said(broken, POLLED, Tally({}, (), None), 7)]
    assert lines[0] == "broken at 1:1 — r3 keeps running: wrong 1"
    assert lines[3] == "… 7 more: Enter opens its page"
    assert lines[4].startswith("trigger sql.new_or_updated · last poll 2026-05-04 ")
    assert len(lines) == 7
    short = recipe_said(broken, POLLED, None, 3)
    assert (short[0].plain, len(short)) == (lines[0], 3)


def test_what_nobody_polls_has_no_poll() -> None:
    assert recipe_said(SYNC, Declared("manual.event", False, 0), None, 7)[0].plain == "trigger manual.event"


@pytest.mark.parametrize(("text", "told"), [("", "0 B"), ("é", "2 B"), ("a" * 1500, "1.5 kB")])
def test_a_size_is_in_the_unit_that_fits(text: str, told: str) -> None:
    assert size(text) == told


@in_app
async def test_the_list_is_there_before_its_jobs_are_counted() -> None:
    automation = StubAutomation()
    counted = threading.Event()
    found = automation.tallied

    def tallies() -> dict[int, Tally]:
        counted.wait(10)
        return found

    automation.tallies = tallies  # type: ignore[method-assign]
    async with running(automation) as seen:
        await seen.press("2")
        await seen.sees("tidy", "jobs: counting…")
        await seen.press("j")
        await seen.sees("> tidy", "trigger manual.event")
        counted.set()
        await seen.sees("349, 3 failed", "0 jobs")


@in_app
async def test_without_recipes_it_says_what_comes_next_and_why_keys_are_off() -> None:
    automation = StubAutomation()
    automation.recipe_states = []
    async with running(automation) as seen:
        await seen.press("2")
        await seen.sees("No recipe yet. Ctrl+Q quits; `jobdeck init` then writes a first one.", "(e edit recipe)")
        await seen.press("e")
        await seen.sees("there is no recipe")


@in_app
async def test_hostile_text_is_shown_and_never_obeyed() -> None:
    automation = StubAutomation()
    problem = Problem("recipes/x.yaml", 1, 1, "[red]bad[/red]\x1b[2J")
    automation.recipe_states = [RecipeState(1, "x\x1b]0;y\x07[b]", True, 1, (problem,), True, warning="\u202e[/]")]
    async with running(automation) as seen:
        await seen.press("2")
        await seen.sees("x^[]0;y^G[b]", "[red]bad[/red]^[[2J", "<RLO>[/]")
        assert "\x1b" not in seen.text()
