"""What a narrow terminal has no room for in a line is not lost: choices, panels, messages, a recipe's problem."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from piloted import in_app, running
from rich.text import Text
from stub_automation import StubAutomation
from terminal import jobdeck

import tui.app as app_module
from data.records import Problem
from tests.benchmarks.generate import make
from tui.columns import COLUMNS
from tui.dialogs import CANCEL, Choice, ConfirmPanel, panel_text
from tui.screens.report import _STATUS_KEYS
from tui.words import WORDS
from tui.wrapping import rows, wrapped

LONG = (
    "sync uses the connection of the help desk that nobody has ever declared in this workspace: "
    "add [connections.desk] to jobdeck.toml, then check it with the doctor"
)
CHOICES = (CANCEL, *(Choice(key, f"choice {key}") for key in "abcdefgijk"))
LINES = [Text("Do what?", style="bold"), Text(f"  {LONG}"), *(Text(f"  line {number}") for number in range(9))]


def joined(text: str) -> str:
    """Return a screen's text without its line breaks."""
    return " ".join(text.split())


# Lines


@pytest.mark.parametrize("width", [1, 2, 5, 17, 40, 80, 300])
def test_no_word_of_a_line_is_lost_and_no_row_is_too_wide(width: int) -> None:
    found = wrapped(Text(f"  {LONG} 東京東京"), width)
    assert all(row.cell_len <= max(width, 2) for row in found)
    assert "".join(joined(row.plain) for row in found).replace(" ", "") == f"{LONG} 東京東京".replace(" ", "")


def test_a_line_goes_on_set_in_and_keeps_its_styles() -> None:
    first, *more = wrapped(Text.assemble("  not 3: ", ("broken " * 10, "red")), 30)
    assert first.plain.startswith("  not 3: broken")
    assert all(row.plain.startswith("    broken") for row in more)
    assert all(any(span.style == "red" for span in row.spans) for row in (first, *more))


def test_rows_that_are_left_out_are_counted() -> None:
    found = [row.plain for row in rows([Text("one"), Text("two"), Text("three")], 40, 2, ": jobdeck check")]
    assert found == ["one", "  … 2 more lines: jobdeck check"]
    assert [row.plain for row in rows([Text("one and two"), Text("three")], 5, 1)] == ["one …"]


# Panels


@pytest.mark.parametrize(("width", "height"), [(80, 16), (80, 3), (40, 7), (40, 5), (20, 11)])
def test_a_panel_shows_all_choices_before_any_text(width: int, height: int) -> None:
    shown = panel_text(LINES, CHOICES, 0, width, height).plain.split("\n")
    assert len(shown) <= height
    assert all(f"{choice.label}" in joined("\n".join(shown)) for choice in CHOICES)
    assert all(len(line) <= width for line in shown)


def test_the_choice_at_the_cursor_is_shown_where_not_all_can_be() -> None:
    for at, choice in enumerate(CHOICES):
        assert f"{choice.label}<" in panel_text(LINES, CHOICES, at, 20, 2).plain


def test_a_long_sentence_of_a_panel_is_shown_whole() -> None:
    assert LONG in joined(panel_text(LINES, CHOICES, 0, 60, 16).plain)


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (40, 10)])
def test_the_menus_of_the_report_show_all_their_choices(tmp_path: Path, columns: int, lines: int) -> None:
    make(tmp_path / "workspace", 50)
    titles = [column.title for column in COLUMNS if column.sort]
    words = [WORDS[status].word for status in _STATUS_KEYS]
    with jobdeck(tmp_path / "workspace", columns=columns, lines=lines) as terminal:
        terminal.wait_for("50 jobs")
        terminal.send("o")
        terminal.wait_for(lambda screen: "Sort by?" in screen and all(f" {title}" in screen for title in titles))
        terminal.wait_until_quiet()
        terminal.send("\x1b")
        terminal.wait_for(lambda screen: "Sort by?" not in screen)
        terminal.send("t")
        terminal.wait_for(lambda screen: "Show which" in screen and all(f" {word}" in screen for word in words))


@in_app
async def test_a_question_on_a_small_terminal_leaves_the_bars_where_they_are() -> None:
    async with running(StubAutomation(), size=(40, 10)) as seen:
        await seen.sees("no engine")
        seen.app.open_job(812)
        await seen.sees("jobs > 812", "error at 2.else.1")
        await seen.press("r")
        await seen.sees("Rerun: 1 run", "Esc Cancel", "c rerun 1 job", "o original revision")
        assert seen.text().splitlines()[0].startswith("jobs > 812")
        assert "? help" in seen.text().splitlines()[-1]
        panel = seen.app.screen.query_one(ConfirmPanel)
        for label in (">Esc Cancel<", ">c rerun 1 job<"):
            assert label in seen.text().splitlines()[panel.region.y + panel.cursor_line]
            await seen.press("tab")


# Messages


@in_app
async def test_a_long_message_is_shown_whole_below_what_it_is_about() -> None:
    async with running(StubAutomation()) as seen:
        await seen.sees("no engine")
        before = seen.text().splitlines()[-1]
        seen.app.say(LONG, error=True)
        await seen.until(lambda: f"! {LONG}" in joined(seen.text()), LONG)
        assert seen.text().splitlines()[-1] == before
        await seen.pilot.resize_terminal(70, 24)
        await seen.until(lambda: f"! {LONG}" in joined(seen.text()), LONG)
        seen.app.say("short")
        await seen.until(lambda: seen.text().splitlines()[-2] == "short")
        assert "connection" not in seen.text()


@in_app
async def test_a_message_goes_with_a_key_or_with_the_screen_once_it_was_there_to_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running(StubAutomation()) as seen:
        await seen.sees("no engine")
        seen.app.say("16 jobs run again")
        await seen.press("j", "2")
        await seen.sees("recipes", "16 jobs run again")
        monkeypatch.setattr(app_module, "STAYS", 0.0)
        await seen.press("j")
        await seen.sees_not("16 jobs run again")
        monkeypatch.undo()
        seen.app.say("17 jobs run again")
        await seen.sees("17 jobs run again")
        monkeypatch.setattr(app_module, "READ", 0.0)
        await seen.press("1")
        await seen.sees_not("17 jobs run again")
        assert "17 jobs run again" in [said.text for said in seen.app.messages]


# Recipes


@in_app
async def test_the_page_of_a_broken_recipe_says_the_whole_problem() -> None:
    automation = StubAutomation()
    async with running(automation) as seen:
        await seen.sees("no engine")
        problem = Problem("recipes/sync.yaml", 12, 5, LONG)
        automation.recipe_states[0] = dataclasses.replace(automation.recipe_states[0], problems=(problem,))
        await seen.press("2")
        await seen.until(lambda: LONG in joined(seen.text()), "the problem below the recipes")
        await seen.press("enter")
        await seen.sees("recipes > sync")
        await seen.until(lambda: LONG in joined(seen.text()), "the problem on the page")
        await seen.pilot.resize_terminal(40, 24)
        await seen.until(lambda: LONG in joined(seen.text()), "the problem on a narrow page")


# Size


def test_the_size_is_the_terminals_not_one_that_a_shell_exported(tmp_path: Path) -> None:
    make(tmp_path / "workspace", 5)
    with jobdeck(tmp_path / "workspace", COLUMNS="300", LINES="9") as terminal:
        terminal.wait_for(lambda screen: screen.splitlines()[0].endswith("a starts one"))
        terminal.wait_for(lambda screen: screen.splitlines()[-1].endswith("? help"))
