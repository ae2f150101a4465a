"""The recipes: which run, which file is broken and where, which trigger fails; start, stop, edit."""

from __future__ import annotations

from collections.abc import Iterable

from rich.text import Text
from textual.widget import Widget

from core.automation import actor
from data.records import RecipeState
from tui import copying
from tui.actions import bindings
from tui.copying import Copy
from tui.dialogs import CONFIRM, Choice
from tui.facts import recipe_lines
from tui.screens.base import DeckScreen
from tui.screens.recipe import RecipeScreen, recipe_copies
from tui.text import safe
from tui.widgets.bars import Bar
from tui.widgets.lines import LineList, TextLines
from tui.wrapping import rows

TOLD = 6
"""Rows at the most for what is to be said of the recipe under the cursor."""


class RecipesScreen(DeckScreen):
    """All recipes of the workspace."""

    WHERE = "recipes"
    BINDINGS = [*bindings("recipes")]

    def __init__(self) -> None:
        super().__init__()
        self._states: dict[str, RecipeState] = {}

    def body(self) -> Iterable[Widget]:
        yield TextLines(self._open)
        yield Bar(id="told")

    def on_mount(self) -> None:
        self.set_focus(self.query_one(TextLines))

    async def reload(self) -> None:
        """Read the recipes anew."""
        states = await self.read(self.deck.automation.recipes)
        self._states = {state.name: state for state in states}
        rows = [(state.name, recipe_lines(state)[0]) for state in states]
        self.query_one(TextLines).show(rows or [(None, Text("no recipe yet: `jobdeck init` writes a first one"))])
        self._show_told()

    def _current(self) -> RecipeState | None:
        return self._states.get(str(self.query_one(TextLines).current))

    def _show_told(self) -> None:
        state = self._current()
        lines = recipe_lines(state)[1] if state else []
        self.query_one("#told", Bar).show(Text("\n").join(rows(lines, self.app.size.width, TOLD, ": Enter")))
        self.show_footer()

    def on_line_list_moved(self, event: LineList.Moved) -> None:
        """Say what is to be said of the recipe under the cursor."""
        self._show_told()

    def _open(self) -> None:
        """Open the page of the recipe under the cursor."""
        state = self._current()
        if state is not None:
            self.app.push_screen(RecipeScreen(state.name))

    def blocked(self, action: str) -> str | None:
        """Return why an action is greyed, or None."""
        return "there is no recipe" if self._current() is None else None

    def copies(self) -> list[Copy]:
        """Return the recipe under the cursor, its file, and the command that shows it."""
        state = self._current()
        return recipe_copies(self.deck, state) if state else [copying.command("jobdeck", "recipes")]

    def action_edit(self) -> None:
        """Edit the recipe under the cursor."""
        state = self._current()
        if state is not None:
            self.act(self.edit_recipe(state.name))

    def action_recipe_run(self) -> None:
        """Ask, and start or stop the recipe under the cursor."""
        state = self._current()
        if state is not None:
            self.act(self._run(state))

    async def _run(self, state: RecipeState) -> None:
        automation = self.deck.automation
        verb, change = ("stop", automation.stop_recipe) if state.started else ("start", automation.start_recipe)
        effect = "takes no new events; its queued jobs and its reruns run" if state.started else "takes events"
        line = Text.assemble((f"{verb.capitalize()} {safe(state.name)}: ", "bold"), f"it then {effect}")
        if await self.ask([line], Choice(CONFIRM, verb)) is None:
            return
        await self.read(change, state.name, by=actor())
        self.deck.say(f"{state.name} is {'stopped' if state.started else 'started'}")
        await self.reload()
