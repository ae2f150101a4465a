"""The recipes: which run, which file is broken and where, what they received of late; start, stop, edit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rich.text import Text
from textual import events
from textual.widget import Widget

from core.overview import Declared
from data.records import RecipeState, Tally
from tui import copying
from tui.actions import bindings
from tui.copying import Copy
from tui.recipe_lines import heading, recipe_line, recipe_said
from tui.screens.base import DeckScreen
from tui.screens.recipe import RecipeScreen, recipe_copies, start_or_stop
from tui.widgets.bars import Bar
from tui.widgets.lines import BAR, LineList, TextLines
from tui.wrapping import rows

TOLD = 7
"""Lines at the most for what is said of the recipe under the cursor, and never more than a third of the screen."""
NONE = "No recipe yet. Ctrl+Q quits; `jobdeck init` then writes a first one."


class RecipesScreen(DeckScreen):
    """All recipes of the workspace."""

    WHERE = "recipes"
    BINDINGS = [*bindings("recipes")]

    def __init__(self) -> None:
        super().__init__()
        self._states: dict[str, RecipeState] = {}
        self._read = False
        self._declared: Mapping[str, Declared] = {}
        self._tallies: Mapping[int, Tally] = {}

    def body(self) -> Iterable[Widget]:
        yield Bar(id="heading")
        yield TextLines(self._open)
        yield Bar(id="told")

    def on_mount(self) -> None:
        self.set_focus(self.query_one(TextLines))

    def on_resize(self, event: events.Resize) -> None:
        """Show what the width has room for."""
        self.query_one("#heading", Bar).show(Text(" " * BAR + heading(event.size.width), style="underline"))
        if self._states:
            self._show()

    async def reload(self) -> None:
        """Read the recipes anew, then their jobs: counting takes longer the more there are."""
        automation = self.deck.automation
        self._states = {state.name: state for state in await self.read(automation.recipes)}
        self._read = True
        self._declared = await self.read(automation.overview.declared)
        self._show()
        self._tallies = await self.read(automation.overview.tallies)
        self._show()

    def _show(self) -> None:
        width = self.app.size.width
        rows = [
            (name, recipe_line(state, self._declared.get(name), self._tallies.get(state.id), width))
            for name, state in self._states.items()
        ]
        self.query_one(TextLines).show(rows or [(None, Text(NONE))])
        self._show_told()

    def _current(self) -> RecipeState | None:
        return self._states.get(str(self.query_one(TextLines).current))

    def _show_told(self) -> None:
        state = self._current()
        lines: list[Text] = []
        if state is not None:
            most = min(TOLD, self.app.size.height // 3)
            said = recipe_said(state, self._declared.get(state.name), self._tallies.get(state.id), most)
            lines = rows(said, self.app.size.width, most, ": Enter")
        self.query_one("#told", Bar).show(Text("\n").join(lines))
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
        if self._current() is not None:
            return None
        return "there is no recipe" if self._read else "the recipes are being read"

    def copies(self) -> list[Copy]:
        """Return the recipe under the cursor, its file, and the command that shows it."""
        state = self._current()
        return recipe_copies(self.deck, state) if state else [copying.command("jobdeck", "recipes")]

    def action_edit(self) -> None:
        """Edit the recipe under the cursor."""
        if (state := self._current()) is None:
            self.deck.say(self.blocked("edit") or "", error=True)
        else:
            self.act(self.edit_recipe(state.name))

    def action_recipe_run(self) -> None:
        """Ask, and start or stop the recipe under the cursor."""
        if (state := self._current()) is None:
            self.deck.say(self.blocked("recipe_run") or "", error=True)
        else:
            self.act(start_or_stop(self, state))
