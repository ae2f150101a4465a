"""A stage for pictures: one application that shows scene after scene, and what each looks like."""

from __future__ import annotations

import asyncio
import datetime as dt
import gc
import string
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from piloted import DEADLINE, PilotedApp, Seen
from rich.style import Style
from stub_automation import StubAutomation
from textual import events
from textual._compositor import Compositor
from textual.filter import LineFilter, NoColor
from textual.geometry import Size
from textual.pilot import Pilot
from textual.screen import Screen
from textual.strip import Strip
from textual.widgets import Input

from core.automation import EngineState
from core.reruns import Selection
from core.settings import Settings
from data.database import Database
from data.job_records import JobFilter, Sort
from data.records import Act
from data.report import Report
from data.states import Status
from tui import batch_lines, columns, exports, kept, moments, recipe_lines, units
from tui.screens import base, report
from tui.screens.base import DeckScreen
from tui.seams import pieces
from tui.widgets.bars import Said, notice

NOW = dt.datetime(2026, 5, 4, 12, 0, tzinfo=dt.UTC)
NORMAL, LARGE, TINY = (80, 24), (120, 40), (40, 10)
ATTRIBUTES = ("bold", "dim", "italic", "underline", "reverse", "strike", "blink", "conceal")
POLL = 0.015
RESTS = 0.03
"""Seconds without a change after which nothing is awaited any more."""


class _Still(dt.datetime):
    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:
        return NOW.astimezone(tz) if tz else NOW.replace(tzinfo=None)


_render_update = Compositor.render_update
CHANGES = [0]
"""How often something would have been written to a terminal."""


def _asked_for(compositor: Compositor, full: bool = False, **options: Any) -> Any:
    """Render what is asked for whole; what would only be written to a terminal takes half of an application's time."""
    if full:
        return _render_update(compositor, full, **options)
    compositor._dirty_regions.clear()
    CHANGES[0] += 1
    return None


def stop_time(patch: pytest.MonkeyPatch) -> None:
    """Have it be `NOW` in UTC for as long as `patch` holds, and nothing look or wait by itself."""
    patch.setenv("TZ", "UTC")
    time.tzset()
    for module in (batch_lines, columns, exports, kept, moments, recipe_lines, units):
        patch.setattr(module, "dt", SimpleNamespace(**{**vars(dt), "datetime": _Still}))
    patch.setattr(base, "PERIOD", 1_000.0)
    patch.setattr(report, "PATIENCE", 0.02)
    patch.setattr(Input, "_toggle_cursor", lambda self: None)
    patch.setattr(Compositor, "render_update", _asked_for)


class Staged(StubAutomation):
    """A stub whose report is read from a store, and which has an audit."""

    def __init__(self, database: Database, no_jobs: Database, workspace: Path) -> None:
        super().__init__()
        self.workspace = workspace
        self.path = Path("/srv/deck/recipes/sync.yaml")
        self.settings = Settings()
        self.state = EngineState(True, 4711, "here", None, "127.0.0.1:8321")
        self.acts_known: list[Act] = []
        self.standing: Mapping[Status, int] = {}
        self.database, self.no_jobs = database, no_jobs
        self.kind = Report

    def report(self, filter: JobFilter, sort: Sort) -> Report:
        return self.kind(self.database, filter, sort)

    @property
    def audit(self) -> SimpleNamespace:
        return SimpleNamespace(acts=lambda limit=None: self.acts_known[:limit])

    def statuses(self, selection: Selection) -> Mapping[Status, int]:
        return self.standing


@dataclass(frozen=True)
class Scene:
    """Something to be seen: what it is made of, how it is opened, what one does and waits for until it is there."""

    name: str
    open: Callable[[PilotedApp], object]
    steps: tuple[str, ...]
    """Texts to wait for, and keys to press: `key:r`."""
    prepare: Callable[[Staged], object] = lambda automation: None
    goes_on: bool = False
    """Whether it is on the screen of the scene before, once Esc has taken that one's panel away."""
    drawn: bool = True
    """Whether it is a screen of its own, of which there are pictures too: of a panel, text is enough."""


class StillApp(PilotedApp):
    """The application, which looks at nothing by itself."""

    without_colours = False
    """Whether its colours are taken out as they are with NO_COLOR, from the next drawing on."""

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Return the filters of what is written."""
        return [*super().get_line_filters(), *([NoColor()] if self.without_colours else [])]

    def _beat(self) -> None:
        """Look not."""

    def _display(self, screen: Screen[Any], renderable: Any) -> None:
        """Write not: there is no terminal, and what is to be seen is asked for."""


class Stage(Seen):
    """The application with one scene on it."""

    def __init__(self, app: StillApp, pilot: Pilot[None]) -> None:
        super().__init__(app, pilot)
        self._read: object = None
        self._strips: tuple[object, list[Strip]] = (None, [])

    async def show(self, scene: Scene, automation: Staged) -> None:
        """Show a scene instead of the one before."""
        if scene.goes_on:
            await self.press("escape")
        else:
            await self._begin(scene, automation)
        for step in scene.steps:
            if step.startswith("key:"):
                await self.press(step.removeprefix("key:"))
            else:
                await self.sees(step)
        await self.settle()

    async def _begin(self, scene: Scene, automation: Staged) -> None:
        app = self.app
        while len(app.screen_stack) > 1:
            await app.pop_screen()
        scene.prepare(automation)
        app.automation = automation  # type: ignore[assignment]
        app.messages.clear()
        app.said = Said("")
        app.engine_state, app.recipe_notice = automation.state, notice(automation.recipes())
        scene.open(app)

    async def until(self, condition: Callable[[], Any], what: str = "") -> None:
        """Wait until a condition holds; a screen that has come reads what it shows once."""
        deadline = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < deadline, f"{what or 'the condition'} never held; the screen:\n{self.text()}"
            screen = self.app.screen
            if isinstance(screen, DeckScreen) and screen.is_mounted and screen is not self._read:
                self._read = screen
                screen.action_refresh_now()
            await asyncio.sleep(POLL)

    async def sized(self, columns: int, lines: int) -> None:
        """Have another size."""
        size = Size(columns, lines)
        self.app._driver._size = size  # type: ignore[union-attr]
        self.app.post_message(events.Resize(size, size))
        await self.until(lambda: self.app.screen.size == size)
        await self.settle()

    async def settle(self) -> None:
        """Wait until the screen stays as it is."""
        before, deadline = -1, time.monotonic() + DEADLINE
        while before != CHANGES[0]:
            assert time.monotonic() < deadline, f"it never came to rest:\n{self.text()}"
            before = CHANGES[0]
            await asyncio.sleep(RESTS)

    app: StillApp

    def strips(self) -> list[Strip]:
        """Return what is on the screen, with what shines through from below."""
        app, state = self.app, (CHANGES[0], self.app.screen, self.app.screen.size)
        if self._strips[0] != state:
            update = app.screen._compositor.render_update(full=True, screen_stack=app._background_screens)
            self._strips = state, [strip for _, _, strip in pieces(update)]  # type: ignore[arg-type]
        return self._strips[1]

    def text(self) -> str:
        return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in self.strips())

    def styles(self) -> str:
        """Return the screen with a letter for each style, and what the letters mean; a dot is the plain style."""
        letters: dict[str, str] = {}
        rows = []
        for strip in self.strips():
            row = ""
            for segment in strip:
                told = told_style(segment.style)
                shown = "." if not told else letters.setdefault(told, string.ascii_letters[len(letters)])
                row += shown * segment.cell_length
            rows.append(row.rstrip("."))
        return "\n".join([*rows, *(f"{letter} = {told}" for told, letter in letters.items())])


def told_style(style: Style | None) -> str:
    """Return what a style sets, empty where that is nothing."""
    if style is None:
        return ""
    parts = [name for name in ATTRIBUTES if getattr(style, name)]
    for prefix, colour in (("", style.color), ("on ", style.bgcolor)):
        if colour is not None and colour.name != "default":
            parts.append(prefix + colour.name)
    return " ".join(parts)


def coloured(styles: str) -> set[str]:
    """Return the words of all styles that `Stage.styles` tells that are no bare attributes: colours, grounds."""
    told = {word for line in styles.splitlines() if " = " in line for word in line.partition(" = ")[2].split()}
    return told - set(ATTRIBUTES)


@asynccontextmanager
async def stage(automation: Staged, theme: str) -> AsyncIterator[Stage]:
    """Open the application."""
    app = StillApp(automation)  # type: ignore[arg-type]
    app.theme = theme
    # Collections would take a sixth of the time.
    gc.disable()
    try:
        async with app.run_test(size=NORMAL) as pilot:
            yield Stage(app, pilot)
    finally:
        gc.enable()
