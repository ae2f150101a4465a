"""The text of one revision of a recipe, and what differs between two."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial

from rich.text import Text
from textual import events
from textual.widget import Widget

from core.errors import NotFound
from core.text import safe
from data.records import Revision
from tui.actions import bindings
from tui.recipe_lines import numbered, revision_words
from tui.screens.base import DeckScreen
from tui.widgets.bars import Bar
from tui.widgets.lines import BAR, TextLines
from tui.widgets.text_diff import TextDiff


class RevisionScreen(DeckScreen):
    """A revision's text, whole."""

    WHERE = "revision"
    BINDINGS = [*bindings("revision")]

    def __init__(self, revision: Revision) -> None:
        super().__init__()
        self.revision = revision

    def body(self) -> Iterable[Widget]:
        yield Bar(id="facts")
        yield TextLines()

    def place(self) -> str:
        return f"recipes > {safe(self.revision.recipe)} > r{self.revision.number}"

    def on_mount(self) -> None:
        self.query_one("#facts", Bar).show(Text(revision_words(self.revision), style="bold"))
        self.set_focus(self.query_one(TextLines))

    def on_resize(self, event: events.Resize) -> None:
        """Lay the lines out for the width."""
        self.run_worker(partial(self._lay_out, event.size.width - BAR), group="lay out", exclusive=True)

    async def _lay_out(self, width: int) -> None:
        # In a thread, for a recipe may be long.
        self.query_one(TextLines).show(await asyncio.to_thread(numbered, self.revision.text, width))

    def blocked(self, action: str) -> str | None:
        """Return why an action is greyed, or None."""
        return "r1 is the first: there is none before" if self.revision.number == 1 else None

    def action_diff_before(self) -> None:
        """Compare with the revision before."""
        number = self.revision.number
        if blocked := self.blocked("diff_before"):
            self.deck.say(blocked, error=True)
        else:
            self.app.push_screen(RecipeDiffScreen(self.revision.recipe, number - 1, number))


class RecipeDiffScreen(DeckScreen):
    """What differs between two revisions of a recipe; neither ever changes."""

    WHERE = "recipe_diff"
    BINDINGS = [*bindings("recipe_diff")]

    def __init__(self, recipe: str, old: int, new: int) -> None:
        super().__init__()
        self.recipe = recipe
        self.numbers = old, new

    def body(self) -> Iterable[Widget]:
        yield Bar(id="facts")
        yield TextDiff()

    def place(self) -> str:
        return "recipes > {} > r{} and r{}".format(safe(self.recipe), *self.numbers)

    def on_mount(self) -> None:
        self.set_focus(self.query_one(TextDiff))
        self.act(self._compare())

    async def _compare(self) -> None:
        try:
            change = await self.read(self.deck.automation.overview.compared, self.recipe, *self.numbers)
        except NotFound as missing:
            self.deck.say(str(missing), error=True)
            return
        signed = ((f"{sign} {revision_words(revision)}", style) for sign, revision, style in (
            ("-", change.old, "red"), ("+", change.new, "green"),
        ))  # fmt: skip
        self.query_one("#facts", Bar).show(Text("\n").join(Text(*line) for line in signed))
        self.query_one(TextDiff).show(change.lines)

    def action_next_difference(self) -> None:
        """Go to the next difference."""
        if not self.query_one(TextDiff).go(1):
            self.deck.say("no further difference")

    def action_previous_difference(self) -> None:
        """Go to the difference before."""
        if not self.query_one(TextDiff).go(-1):
            self.deck.say("no difference before")
