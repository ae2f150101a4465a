"""A recipe's page: its state, what is wrong, and what its jobs have covered."""

from __future__ import annotations

from piloted import Seen, in_app, running
from stub_automation import StubAutomation

from tui.actions import actions
from tui.screens.detail import DetailScreen
from tui.screens.recipe import RecipeScreen


@in_app
async def test_enter_opens_a_recipes_page_and_from_it_the_job_that_came_that_way() -> None:
    automation = StubAutomation()
    async with running(automation) as seen:
        await seen.press("2")
        await seen.sees("tidy")
        await seen.press("enter")
        await seen.sees(
            "recipes > sync", "sync · started · r3", "recipes/sync.yaml:9:3: warning: steps.create is null here",
            "1,204 versions ran r3 · 1 of 3 ways never taken",
            "2            branch then       never              if steps.find.count > 0",
            "2            branch else       1,204       812.1  where no other holds",
        )
        await seen.press("enter")
        await seen.sees("no job came this way: 2 branch then")
        await seen.press("j", "enter")
        await seen.until(lambda: isinstance(seen.app.screen, DetailScreen))
        await seen.press("escape")
        await seen.until(lambda: isinstance(seen.app.screen, RecipeScreen))
        automation.broken()
        await seen.sees('broken at 12:5 — r3 keeps running: unknown key "actoin"')


@in_app
async def test_the_page_lists_revisions_and_opens_the_text_of_one() -> None:
    async with running(StubAutomation()) as seen:
        await opened(seen)
        await seen.sees("r3   2026-05-07 ", "38 B  3", "r2   2026-05-06 ", "r1   2026-05-05 ")
        await seen.press("tab", "G", "enter")
        await seen.sees("recipes > sync > r1", "1  steps: ^[[2J", "(d diff)")
        await seen.press("d")
        await seen.sees("r1 is the first: there is none before")
        await seen.press("escape", "g", "enter")
        await seen.sees("2    - find: [b]Acme[/b]")
        await seen.press("d")
        await seen.sees("recipes > sync > r2 and r3", "+   - stop")


@in_app
async def test_two_marked_revisions_are_compared_the_older_one_first() -> None:
    async with running(StubAutomation()) as seen:
        await opened(seen)
        await seen.sees("(d diff)")
        await seen.press("d")
        await seen.sees("Tab goes to the revisions")
        await seen.press("tab", "d")
        await seen.sees("r3 is marked; d on another one compares the two", "r3 d 2026")
        await seen.press("d")
        await seen.sees("r3 is no longer marked")
        await seen.press("d", "j", "d")
        await seen.sees("- sync r2 ·", "+ sync r3 ·", "-   - find", "+   - find: [b]Acme[/b]", "+   - stop")
        await seen.press("n", "n")
        await seen.sees("no further difference")
        await seen.press("escape")
        await seen.sees("r3   2026")


@in_app
async def test_side_by_side_from_120_columns() -> None:
    async with running(StubAutomation(), size=(120, 40)) as seen:
        await opened(seen)
        await seen.press("tab", "d", "j", "d")
        await seen.sees("~   - find ", "|   - find: [b]Acme[/b]")


@in_app
async def test_a_single_revision_cannot_be_compared_and_says_so() -> None:
    automation = StubAutomation()
    automation.revised = automation.revised[:1]
    async with running(automation) as seen:
        await opened(seen)
        await seen.press("tab", "d")
        await seen.sees("there are no two revisions to compare")


@in_app
async def test_the_page_starts_and_stops_its_recipe() -> None:
    automation = StubAutomation()
    async with running(automation) as seen:
        await opened(seen)
        await seen.press("a")
        await seen.sees("Stop sync: it then takes no new events")
        await seen.press("c")
        await seen.sees("sync is stopped", "sync · stopped · r3", "no next poll: it is stopped")


@in_app
async def test_a_tiny_page_shows_the_list_with_the_focus() -> None:
    async with running(StubAutomation(), size=(40, 10)) as seen:
        await opened(seen)
        await seen.sees("branch then")
        assert "STORED" not in seen.text()
        await seen.press("tab")
        await seen.sees("STORED", "r1 ")
        assert "branch then" not in seen.text()


async def opened(seen: Seen) -> None:
    await seen.press("2")
    await seen.sees("tidy")
    await seen.press("enter")
    await seen.sees("recipes > sync", "branch else")


def test_every_action_of_the_page_has_its_method() -> None:
    assert [action.id for action in actions("recipe") if not hasattr(RecipeScreen, f"action_{action.id}")] == []
