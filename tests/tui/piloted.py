"""Runs the terminal application without a terminal, and waits for what it shows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import wraps
from typing import Any

from textual.pilot import Pilot
from textual.screen import Screen

from tui.app import JobdeckApp
from tui.screens.activity import ActivityScreen
from tui.screens.base import DeckScreen
from tui.screens.errors import ErrorsScreen
from tui.screens.recipes import RecipesScreen
from tui.widgets.lines import TextLines

DEADLINE = 10.0


class RootScreen(DeckScreen):
    """Stands where the report stands, so that the other screens are tested alone."""

    WHERE = "report"

    def body(self) -> Any:
        yield TextLines()


class PilotedApp(JobdeckApp):
    """The application, with an empty root."""

    MODES = {
        "jobs": RootScreen, "recipes": RecipesScreen, "activity": ActivityScreen, "errors": ErrorsScreen,
    }  # fmt: skip
    painted = 0
    """How often something was written to the terminal."""

    def _display(self, screen: Screen[Any], renderable: Any) -> None:
        if renderable is not None:
            self.painted += 1
        super()._display(screen, renderable)


class Seen:
    """A running application, its keys and its screen."""

    def __init__(self, app: PilotedApp, pilot: Pilot[None]) -> None:
        self.app = app
        self.pilot = pilot

    def text(self) -> str:
        """Return what is on the screen, line by line."""
        strips = self.app.screen._compositor.render_strips()
        return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)

    async def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        await self.pilot.press(*keys)

    async def until(self, condition: Callable[[], Any], what: str = "") -> None:
        """Wait until a condition holds."""
        deadline = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < deadline, f"{what or 'the condition'} never held; the screen:\n{self.text()}"
            await self.pilot.pause(0.02)

    async def sees(self, *texts: str) -> None:
        """Wait until all of these are on the screen."""
        for text in texts:
            await self.until(lambda text=text: text in self.text(), repr(text))

    async def sees_not(self, text: str) -> None:
        """Wait until a text is not on the screen."""
        await self.until(lambda: text not in self.text(), f"no {text!r}")


@asynccontextmanager
async def running(automation: Any, size: tuple[int, int] = (80, 24)) -> AsyncIterator[Seen]:
    """Run the application on an automation."""
    app = PilotedApp(automation)
    async with app.run_test(size=size) as pilot:
        yield Seen(app, pilot)


def in_app(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Make a test of a coroutine."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run
