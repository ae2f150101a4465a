"""What every screen has: header, message line, footer, questions above the footer, reads in threads, live updates."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar, ParamSpec, TypeVar, cast

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.screen import Screen
from textual.timer import Timer
from textual.widget import Widget

from core.errors import JobdeckError, Refused, UsageError
from core.selection import WHOLE, How, Selection
from core.who import actor
from tui.actions import Action, actions, bindings
from tui.canceling import NOTHING, cancel_told, cancelable
from tui.deck import Deck
from tui.dialogs import (
    CONFIRM,
    OPTIONS,
    OTHERWISE,
    Choice,
    ConfirmPanel,
    TypedPanel,
    cancel_panel,
    plan_choices,
    plan_panel,
)
from tui.units import count
from tui.widgets.bars import FooterBar, HeaderBar, MessageLine, Said, notice
from tui.work import Work, begin

if TYPE_CHECKING:
    from core.cancels import Cancellation
    from core.reruns import Rerun
    from data.job_records import Refusal
    from data.records import RecipeState
    from tui.copying import Copy

P = ParamSpec("P")
T = TypeVar("T")

ROOT = "jobs"
"""The mode at the root."""
PERIOD = 0.25
"""Seconds between two looks at whether the store moved."""
CRAMPED = 16
"""Lines below which a question takes the place of what stands above the screen's body."""
SHARE = 4
"""A look that takes long is followed by a pause this many times as long."""


class DeckScreen(Screen[None], inherit_bindings=False):
    """A screen: between header and footer what `body` yields."""

    WHERE: ClassVar[str] = ""
    """Its place in the table of actions."""
    BINDINGS = [*bindings("screen")]
    DEFAULT_CSS = ".cramped #facts, .cramped #told, .cramped #told-filter, .cramped #heading { display: none; }"
    SCOPED_CSS = False

    def __init__(self) -> None:
        super().__init__()
        self._moved_at: int | None = None
        self._look_after = 0.0
        self._looking = False
        self._asking = False
        self._timer: Timer | None = None

    @property
    def deck(self) -> Deck:
        """The application."""
        return cast(Deck, self.app)

    def compose(self) -> ComposeResult:
        """Yield header, body, message line, footer."""
        yield HeaderBar()
        yield from self.body()
        yield MessageLine(id="message")
        yield FooterBar()

    def body(self) -> Iterable[Widget]:
        """Yield what the screen is about."""
        return ()

    def place(self) -> str:
        """Return where one is, for the header."""
        return self.WHERE

    def blocked(self, action: str) -> str | None:
        """Return why an action does nothing now, or None."""
        return None

    def on_mount(self) -> None:
        """Follow what the application knows, and the store."""
        self._timer = self.set_interval(PERIOD, self._look, pause=not self.is_current)
        for name in ("engine_state", "recipe_notice"):
            self.watch(self.app, name, self.show_header)
        self.watch(self.app, "said", self._show_message)
        self.show_footer()

    def on_resize(self, event: events.Resize) -> None:
        """Leave a question the room it needs."""
        self.set_class(self._asking and event.size.height < CRAMPED, "cramped")

    def on_screen_suspend(self) -> None:
        """Keep still: Textual paints the whole of the screen above whenever the one below it stirs."""
        if self._timer is not None:
            self._timer.pause()

    def on_screen_resume(self) -> None:
        """Catch up."""
        if self._timer is not None:
            self._timer.resume()
            self.show_header()
            self._show_message(self.deck.said)

    # The bars

    def show_header(self) -> None:
        """Bring the header up to date."""
        if self.is_current:
            self.query_one(HeaderBar).tell(self.place(), self.deck.engine_state, self.deck.recipe_notice)

    def show_footer(self) -> None:
        """Bring the footer up to date; call it when what is blocked may have changed."""
        self.query_one(FooterBar).tell(self.offered(), self.off())

    def offered(self) -> list[Action]:
        """Return the actions of this screen, then those of what has the focus, then the common ones."""
        inner = getattr(self.focused, "WHERE", ())
        return self.deck.keymap.actions(actions(self.WHERE, *inner, "screen", "global"))

    def off(self) -> set[str]:
        """Return the ids of the actions that do nothing now."""
        return {action.id for action in actions(self.WHERE) if self.blocked(action.id)}

    def _show_message(self, said: Said) -> None:
        if self.is_current:
            self.query_one(MessageLine).tell(said)

    # Work off the event loop

    async def read(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `call` returns, from a thread."""
        return await asyncio.to_thread(call, *args, **kwargs)

    def act(self, work: Work, group: str = "act") -> None:
        """Do `work` beside the event loop's other work; an error on purpose becomes a message."""
        begin(self, work, group, told=self._told)

    async def _told(self, work: Work) -> None:
        try:
            await work
        except JobdeckError as error:
            self.deck.say(str(error), error=True)

    # Live

    async def reload(self) -> None:
        """Read anew what is shown; called when something in the store may have moved."""

    def action_refresh_now(self) -> None:
        """Read again, moved or not."""
        self.act(self.reload(), group="look")

    def _look(self) -> None:
        if self.is_current and not self._looking and time.monotonic() >= self._look_after:
            self._looking = True
            self.act(self._look_once(), group="look")

    async def _look_once(self) -> None:
        began = time.monotonic()
        try:
            # Asked for in the thread: it may still be opened.
            moved_at = await self.read(lambda: self.deck.automation.changes())
            if moved_at != self._moved_at:
                await self.reload()
                self._moved_at = moved_at
        finally:
            self._looking = False
            self._look_after = time.monotonic() + SHARE * (time.monotonic() - began)

    # Questions

    async def ask(self, lines: Sequence[Text], *choices: Choice) -> str | None:
        """Show a panel and return the key of the choice made, None for Cancel; only from a worker."""
        if self._asking:
            return None
        self._asking = True
        focused = self.focused
        answer: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        panel = ConfirmPanel(lines, choices, answer)
        self.set_class(self.size.height < CRAMPED, "cramped")
        try:
            await self.mount(panel, before="#message")
            return await answer
        finally:
            self._asking = False
            self.remove_class("cramped")
            if focused is not None and focused.is_attached:
                self.set_focus(focused)
            await panel.remove()

    async def ask_text(self, lines: Sequence[Text], placeholder: str) -> str | None:
        """Show a panel with a line to type into and return what was typed, None for Cancel; only from a worker."""
        if self._asking:
            return None
        self._asking = True
        focused = self.focused
        answer: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        panel = TypedPanel(lines, placeholder, answer)
        try:
            await self.mount(panel, before="#message")
            return await answer
        finally:
            self._asking = False
            if focused is not None and focused.is_attached:
                self.set_focus(focused)
            await panel.remove()

    async def rerun(self, selection: Selection, *, note: str | None = None) -> Rerun | None:
        """Show the plan, and rerun if it is confirmed; None where no job was queued. Only from a worker.

        Why a single job was refused goes to the message line. A plan that no longer holds is made and asked anew.
        """
        automation, how = self.deck.automation, WHOLE
        while True:
            plan = await self.read(automation.plan, selection, how)
            if not plan.requested:
                self.deck.say(_why_none(plan.refused), error=True)
                return None
            chosen = await self.ask(plan_panel(plan), *plan_choices(plan))
            if chosen in OTHERWISE:
                how = OTHERWISE[chosen]
                continue
            if chosen == OPTIONS:
                how = await self._typed_how(how)
                continue
            if chosen is None or (note := await self._agreed(len(plan.requested), note)) is None:
                return None
            try:
                done = await self.read(
                    automation.rerun, selection, plan.how, by=actor(), note=note, plan=plan.digest
                )
            except Refused as refused:
                if refused.code != "plan_changed":
                    raise
                self.deck.say(str(refused), error=True)
                continue
            if not done.requested:
                self.deck.say(_why_none(done.refused), error=True)
                return None
            return done

    async def _typed_how(self, how: How) -> How:
        """Return how jobs are to be rerun as it is typed; as before where nothing is, or what is typed is wrong."""
        head = Text("How? As `jobdeck rerun` takes it:", style="bold")
        known = Text("  --order strict|key|any  --rate 10/s  --canary 5  --stop-at 20%  --from failed")
        typed = await self.ask_text([head, known], "--rate 10/s --stop-at 20%")
        # Here, for it reads them as the command line does, which the terminal's start can do without.
        from tui.how_options import how_of

        try:
            return how_of(typed) if typed and typed.strip() else how
        except UsageError as error:
            self.deck.say(str(error), error=True)
            return how

    async def _agreed(self, jobs: int, note: str | None) -> str | None:
        """Return the note once all is said that so many jobs want: why, and how many they are; None where it is not."""
        settings = self.deck.automation.settings.rerun
        if jobs > settings.note_above and not note:
            head = Text(f"{jobs:,} jobs: why? It is kept with their new versions.", style="bold")
            note = await self.ask_text([head], "the reason; Enter goes on, Esc cancels")
            if not (note or "").strip():
                return None
        if jobs > settings.type_count_above:
            head = Text(f"Type the number of jobs, {jobs}, to rerun them.", style="bold")
            typed = await self.ask_text([head], "Enter goes on, Esc cancels")
            if typed is None or typed.strip().replace(",", "") != str(jobs):
                self.deck.say("nothing was rerun: another number was typed" if typed else "nothing was rerun")
                return None
        return note or ""

    async def cancel(self, selection: Selection) -> Cancellation | None:
        """Say what canceling would do, and cancel if it is confirmed; None where nothing was done.

        Only from a worker.
        """
        automation = self.deck.automation
        standing = await self.read(automation.statuses, selection)
        jobs = cancelable(standing)
        if not jobs:
            self.deck.say(NOTHING, error=True)
            return None
        if await self.ask(cancel_panel(standing), Choice(CONFIRM, f"yes, cancel {count(jobs, 'job')}")) is None:
            return None
        done = await self.read(automation.cancel, selection, by=actor())
        self.deck.say(*cancel_told(done))
        return done

    # Copying

    def copies(self) -> list[Copy]:
        """Return what can be copied here: of what is under the cursor, and the command that shows the same."""
        from tui import copying

        return [copying.command("jobdeck", "status")]

    def action_copy_menu(self) -> None:
        """Choose what to copy."""
        self.act(self._copy())

    async def _copy(self) -> None:
        from tui import copying

        # In a thread, for a large value takes long to be written out.
        copies = await self.read(self.copies)
        choices = [Choice(copy.key, copy.label) for copy in copies]
        key = await self.ask([Text("Copy what?", style="bold")], *choices)
        for copy in copies:
            if copy.key == key:
                self.deck.copy(*copy.pieces, name=copy.label if copy.key == copying.VALUE else "")

    # Common deeds

    def action_back(self) -> None:
        """Go back one level, at last to the jobs; never out of the application."""
        if len(self.app.screen_stack) > 1:
            self.app.pop_screen()
        else:
            self.app.switch_mode(ROOT)

    def action_leave(self) -> None:
        """Go back one level; from the jobs, quit."""
        if len(self.app.screen_stack) == 1 and self.app.current_mode == ROOT:
            self.app.exit()
        else:
            DeckScreen.action_back(self)

    def action_next_pane(self) -> None:
        """Focus the next pane."""
        self.focus_next()
        self.show_footer()

    def action_previous_pane(self) -> None:
        """Focus the previous pane."""
        self.focus_previous()
        self.show_footer()

    async def edit_recipe(self, name: str) -> None:
        """Edit a recipe's file, at its first error if it has one, and say what became of it; only from a worker."""
        before = await self._state(name)
        path = await self.read(self.deck.automation.recipe_path, name)
        wrong = self.deck.edit(path, before.problems[0].line if before and before.problems else None)
        after = await self._state(name)
        said = edited(name, before, after, "r reruns with it" if self._reruns() else "")
        if wrong:
            # It may have saved all the same.
            said = Said(wrong if _file(after) == _file(before) else f"{wrong}; {said.text}", error=True)
        self.deck.say(said.text, said.error)
        await self.reload()

    def _reruns(self) -> bool:
        return any(action.id == "rerun" for action in actions(self.WHERE))

    async def _state(self, name: str) -> RecipeState | None:
        # Reading all recipes is what reads the files and stores a changed one.
        states = await self.read(self.deck.automation.recipes)
        self.deck.recipe_notice = notice(states)
        return next((state for state in states if state.name == name), None)


def _why_none(refused: Sequence[Refusal]) -> str:
    if not refused:
        return "there is nothing to rerun"
    more = f" (and {len(refused) - 1:,} more)" if len(refused) > 1 else ""
    return refused[0].message + more


def edited(name: str, before: RecipeState | None, after: RecipeState | None, then: str) -> Said:
    """Return what to say after a recipe's file was edited; `then` is what can be done with a new revision."""
    if after is None or not after.present:
        return Said(f"{name}: the recipe's file is gone; e writes it anew", error=True)
    if after.problems:
        first = after.problems[0]
        more = f" (and {len(after.problems) - 1} more)" if len(after.problems) > 1 else ""
        place = f"line {first.line}, column {first.column}"
        return Said(f"{name} is broken at {place}; e opens it there{more}: {first.message}", error=True)
    if before is not None and before.revision == after.revision:
        return Said(f"{name} is {'again' if before.problems else 'unchanged:'} r{after.revision}")
    return Said("; ".join(part for part in (f"{name}: r{after.revision} stored", then) if part))


def _file(state: RecipeState | None) -> object:
    return state and (state.revision, state.problems, state.present)
