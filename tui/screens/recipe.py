"""One recipe: its state, what is wrong with it, and which of its branches, monitors and stops jobs came through."""

from __future__ import annotations

from collections.abc import Iterable

from rich.text import Text
from textual import events
from textual.geometry import Size
from textual.widget import Widget

from core.coverage import Coverage
from core.errors import NotFound, RecipeProblems
from data.records import RecipeState
from tui import copying
from tui.actions import bindings
from tui.copying import Copy
from tui.deck import Deck
from tui.facts import COVERAGE_HEADING, coverage_line, recipe_facts, ways_rows
from tui.screens.base import DeckScreen
from tui.text import safe
from tui.widgets.bars import Bar
from tui.widgets.lines import TextLines
from tui.wrapping import cut, rows

OTHERS = 8
"""Rows that are left to the other parts of the page, whatever is to be said of the recipe."""


class RecipeScreen(DeckScreen):
    """The page of one recipe; a way that a job took opens the newest that did."""

    WHERE = "recipe"
    BINDINGS = [*bindings("recipe")]

    def __init__(self, name: str) -> None:
        super().__init__()
        self.recipe = name
        self._state: RecipeState | None = None
        self._coverage: Coverage | None = None

    def body(self) -> Iterable[Widget]:
        yield Bar(id="facts")
        yield Bar(id="heading")
        yield TextLines(self._open)

    def place(self) -> str:
        return f"recipes > {safe(self.recipe)}"

    def on_mount(self) -> None:
        self.query_one("#heading", Bar).show(Text("  " + COVERAGE_HEADING, style="underline"))
        self.set_focus(self.query_one(TextLines))

    async def reload(self) -> None:
        """Read the recipe and its coverage anew."""
        try:
            self._state, self._coverage = await self.read(self._found)
        except NotFound as missing:
            self.deck.say(str(missing), error=True)
            return
        self._show_facts(self.app.size)
        self.query_one(TextLines).show(ways_rows(self._coverage) if self._coverage else [])

    def on_resize(self, event: events.Resize) -> None:
        """Break the lines anew."""
        self._show_facts(event.size)

    def _show_facts(self, size: Size) -> None:
        if self._state is None:
            return
        lines = recipe_facts(self._state, self._coverage.warnings if self._coverage else ())
        told = rows(lines, size.width, max(size.height - OTHERS, 1), f": jobdeck check {safe(self.recipe)}")
        covered = [cut(coverage_line(self._coverage), size.width)] if self._coverage else []
        self.query_one("#facts", Bar).show(Text("\n").join([*told, *covered]))

    def _found(self) -> tuple[RecipeState, Coverage | None]:
        automation = self.deck.automation
        state = automation.recipe(self.recipe)
        try:
            return state, automation.trials.coverage(self.recipe)
        except RecipeProblems:
            # It was never valid: nothing has run.
            return state, None

    def _open(self) -> None:
        """Open the newest job that came the way under the cursor."""
        number = self.query_one(TextLines).current
        way = self._coverage.ways[number] if self._coverage and isinstance(number, int) else None
        if way is None:
            return
        if way.example is None:
            self.deck.say(f"no job came this way: {way.path} {way.kind} {way.outcome}")
        else:
            self.deck.open_job(*way.example)

    def action_edit(self) -> None:
        """Edit the recipe."""
        self.act(self.edit_recipe(self.recipe))

    def copies(self) -> list[Copy]:
        """Return the recipe, its file, and the command that shows it."""
        return recipe_copies(self.deck, self._state) if self._state else []


def recipe_copies(deck: Deck, state: RecipeState) -> list[Copy]:
    """Return what can be copied of a recipe."""
    return [
        copying.identity(state.name, "name"),
        copying.value(state),
        copying.path(str(deck.automation.recipe_path(state.name))),
        copying.command("jobdeck", "recipe", "show", state.name),
    ]
