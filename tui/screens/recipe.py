"""One recipe: its state, which of its branches jobs came through, and its revisions, read and compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.text import Text
from textual import events
from textual.widget import Widget

from core.coverage import Coverage
from core.errors import NotFound, RecipeProblems
from core.overview import Declared
from core.text import safe
from core.who import actor
from data.records import RecipeState, Revision, Tally
from tui import copying
from tui.actions import bindings
from tui.copying import Copy
from tui.deck import Deck
from tui.dialogs import CONFIRM, Choice
from tui.facts import COVERAGE_HEADING, coverage_line, recipe_facts, ways_rows
from tui.recipe_lines import REVISIONS_HEADING, revision_rows, tally_lines, trigger_line
from tui.screens.base import DeckScreen
from tui.screens.revision import RecipeDiffScreen, RevisionScreen
from tui.uncollected import uncollected
from tui.widgets.bars import Bar
from tui.widgets.lines import LineList, TextLines
from tui.wrapping import cut, rows

SHORT = 16
"""Lines below which only the list with the focus is shown, and of the facts only the first."""
NEVER_RAN = "no revision is stored, so no job came through it: e edits its file"
NO_WAYS = "no branches, monitors or stops: Tab goes to the revisions"


class RecipeScreen(DeckScreen):
    """The page of one recipe; a way that a job took opens the newest that did, a revision its text."""

    WHERE = "recipe"
    BINDINGS = [*bindings("recipe")]
    DEFAULT_CSS = """
    RecipeScreen #revisions-heading { height: 1; width: 100%; }
    RecipeScreen.short #revisions-heading, RecipeScreen.short #revisions { display: none; }
    RecipeScreen.short.on-revisions #revisions-heading, RecipeScreen.short.on-revisions #revisions { display: block; }
    RecipeScreen.short.on-revisions #heading, RecipeScreen.short.on-revisions #ways { display: none; }
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.recipe = name
        self._state: RecipeState | None = None
        self._coverage: Coverage | None = None
        self._declared: Declared | None = None
        self._tally: Tally | None = None
        self._revisions: Sequence[Revision] = ()
        self._marked: int | None = None

    def body(self) -> Iterable[Widget]:
        yield Bar(id="facts")
        yield Bar(id="heading")
        yield TextLines(self._open_way, id="ways")
        yield Bar(id="revisions-heading")
        yield TextLines(self._open_revision, id="revisions")

    def place(self) -> str:
        return f"recipes > {safe(self.recipe)}"

    def on_mount(self) -> None:
        self.query_one("#heading", Bar).show(Text("  " + COVERAGE_HEADING, style="underline"))
        self.query_one("#revisions-heading", Bar).show(Text("  " + REVISIONS_HEADING, style="underline"))
        self.set_focus(self._ways)

    def on_resize(self, event: events.Resize) -> None:
        """Show both lists where there is room."""
        self.set_class(event.size.height < SHORT, "short")
        if self._state is not None:
            self._show_facts(self._state)

    @property
    def _ways(self) -> TextLines:
        return self.query_one("#ways", TextLines)

    @property
    def _numbers(self) -> TextLines:
        return self.query_one("#revisions", TextLines)

    # Reading

    async def reload(self) -> None:
        """Read the recipe and its coverage anew, its revisions where there is another one, then count its jobs."""
        automation = self.deck.automation
        try:
            state, self._coverage = await self.read(self._found)
            if state.revision != (self._revisions[0].number if self._revisions else None):
                self._revisions = await self.read(automation.revisions, self.recipe)
        except NotFound as missing:
            self.deck.say(str(missing), error=True)
            return
        self._state = state
        self._declared = (await self.read(automation.overview.declared)).get(self.recipe)
        nothing = NEVER_RAN if self._coverage is None else NO_WAYS
        self._ways.show((ways_rows(self._coverage) if self._coverage else []) or [(None, Text(nothing, style="dim"))])
        self._show_revisions()
        self._show_facts(state)
        self._tally = (await self.read(automation.overview.tallies)).get(state.id)
        self._show_facts(state)

    def _found(self) -> tuple[RecipeState, Coverage | None]:
        automation = self.deck.automation
        state = automation.recipe(self.recipe)
        try:
            with uncollected():
                return state, automation.trials.coverage(self.recipe)
        except RecipeProblems:
            # It was never valid: nothing has run.
            return state, None

    def _show_facts(self, state: RecipeState) -> None:
        width, height = self.app.size
        told = recipe_facts(state, self._coverage.warnings if self._coverage else ())
        lines = rows(told, width, 1 if height < SHORT else height // 3, f": jobdeck check {safe(self.recipe)}")
        if height >= SHORT:
            more = [trigger_line(state, self._declared), *tally_lines(self._tally)]
            more += [coverage_line(self._coverage)] if self._coverage is not None else []
            lines += [cut(line, width) for line in more]
        self.query_one("#facts", Bar).show(Text("\n").join(lines))

    def _show_revisions(self) -> None:
        none = [(None, Text("no revision: its file was never valid", style="dim"))]
        self._numbers.show(revision_rows(self._revisions, self._marked) or none)
        self.show_footer()

    # The two lists

    def action_next_pane(self) -> None:
        """From what jobs came through to the revisions, and back."""
        there = not self.has_class("on-revisions")
        self.set_class(there, "on-revisions")
        self.set_focus(self._numbers if there else self._ways)
        self.show_footer()

    def action_previous_pane(self) -> None:
        """The same: there are two."""
        self.action_next_pane()

    def on_line_list_moved(self, event: LineList.Moved) -> None:
        """Grey what the line under the cursor does not allow."""
        self.show_footer()

    def _open_way(self) -> None:
        """Open the newest job that came the way under the cursor."""
        number = self._ways.current
        way = self._coverage.ways[number] if self._coverage and isinstance(number, int) else None
        if way is None:
            return
        if way.example is None:
            self.deck.say(f"no job came this way: {way.path} {way.kind} {way.outcome}")
        else:
            self.deck.open_job(*way.example)

    def _open_revision(self) -> None:
        """Open the text of the revision under the cursor."""
        revision = next((one for one in self._revisions if one.number == self._numbers.current), None)
        if revision is not None:
            self.app.push_screen(RevisionScreen(revision))

    # What one does

    def blocked(self, action: str) -> str | None:
        """Return why an action is greyed, or None."""
        if action == "diff_revision" and len(self._revisions) < 2:
            return "there are no two revisions to compare"
        if action == "diff_revision" and not self.has_class("on-revisions"):
            return "Tab goes to the revisions; d marks one there, then compares it with another"
        return "the recipe is being read" if self._state is None else None

    def action_diff_revision(self) -> None:
        """Mark the revision; where another one is marked, compare the two, the older one first."""
        number = self._numbers.current
        if blocked := self.blocked("diff_revision"):
            self.deck.say(blocked, error=True)
            return
        assert isinstance(number, int)
        marked, self._marked = self._marked, None if self._marked else number
        if marked is not None and marked != number:
            self.app.push_screen(RecipeDiffScreen(self.recipe, *sorted((marked, number))))
        else:
            now = "no longer marked" if marked else "marked; d on another one compares the two"
            self.deck.say(f"r{number} is {now}")
        self._show_revisions()

    def action_edit(self) -> None:
        """Edit the recipe."""
        self.act(self.edit_recipe(self.recipe))

    def action_recipe_run(self) -> None:
        """Ask, and start or stop the recipe."""
        if self._state is not None:
            self.act(start_or_stop(self, self._state))

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


async def start_or_stop(screen: DeckScreen, state: RecipeState) -> None:
    """Ask, and start or stop a recipe, whichever it is not; only from a worker."""
    automation = screen.deck.automation
    verb, change = ("stop", automation.stop_recipe) if state.started else ("start", automation.start_recipe)
    effect = "takes no new events; its queued jobs and its reruns run" if state.started else "takes events"
    line = Text.assemble((f"{verb.capitalize()} {safe(state.name)}: ", "bold"), f"it then {effect}")
    if await screen.ask([line], Choice(CONFIRM, verb)) is None:
        return
    await screen.read(change, state.name, by=actor())
    screen.deck.say(f"{state.name} is {'stopped' if state.started else 'started'}")
    await screen.reload()
