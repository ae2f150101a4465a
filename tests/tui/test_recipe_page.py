"""A recipe's page: its state, what is wrong, and what its jobs have covered."""

from __future__ import annotations

from piloted import in_app, running
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


def test_every_action_of_the_page_has_its_method() -> None:
    assert [action.id for action in actions("recipe") if not hasattr(RecipeScreen, f"action_{action.id}")] == []
