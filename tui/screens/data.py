"""The data of a job's version beside its steps: shown without its secrets until they are asked for, copied, paged."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator
from dataclasses import replace

from core.letting_go import let_go_of
from core.text import safe_block
from core.who import actor
from data.job_records import JsonValue
from data.records import JobDetail, StepRecord
from tui import copying
from tui.copying import Copy
from tui.detail_panels import reveal_panel
from tui.dialogs import CONFIRM, Choice
from tui.facts import data_title, sections
from tui.json_pieces import PIECE, json_pieces
from tui.masking import MASKED, REVEALED, masked_detail
from tui.screens.base import DeckScreen
from tui.uncollected import uncollected
from tui.widgets.json_view import JsonPane, JsonView
from tui.widgets.lines import LineList
from tui.widgets.step_tree import TRIGGER, StepTree

BEING_READ = "the job is being read"
_FREEING = threading.Lock()
"""Held by who frees data: more threads at it would keep the one that draws waiting the longer."""


class DataScreen(DeckScreen):
    """A screen with a `StepTree` and a `JsonPane`, which shows the data of what is under the tree's cursor.

    Secrets are masked until somebody asks to see those of one step; `jobdeck show` masks none, for scripts need data.
    """

    job_id: int
    """The job shown."""
    version: int | None
    """The number of the version shown, None while the latest is being read."""

    def __init__(self) -> None:
        super().__init__()
        self.detail: JobDetail | None = None
        """Without secrets."""
        self.whole: JobDetail | None = None
        """As it is recorded."""
        self._revealed: Hashable = None
        """What is shown with its secrets, by its name."""
        self._left: list[JobDetail] = []
        """What was shown before, until it is let go."""

    def take(self, whole: JobDetail | None, detail: JobDetail | None) -> None:
        """Have another version, or another state of it: as it is recorded, and without secrets."""
        if self.whole is None or whole is None or whole.version.id != self.whole.version.id:
            self._revealed = None
        self._left += [one for one in (self.whole, self.detail) if one is not None]
        self.whole, self.detail = whole, detail

    def read_detail(
        self, job_id: int, number: int | None, shown: JobDetail | None
    ) -> tuple[JobDetail, JobDetail | None]:
        """Return a version as it is recorded, and without secrets: None where it is the same as is `shown`."""
        with uncollected():
            whole = self.deck.automation.detail(job_id, number)
            if shown is not None and shown.version.id == whole.version.id and whole.job.trigger_stored:
                # A version's event never changes: the same object, so that nobody compares a large one.
                whole = replace(whole, trigger=shown.trigger)
            return whole, None if whole == shown else masked_detail(whole)

    def show_data(self) -> None:
        """Show the data of what is under the cursor."""
        if self.detail is None:
            return
        detail, step, trigger = self._under_cursor()
        title = data_title(detail, step, trigger)
        if self._holds_secrets():
            title.append(REVEALED if self._shown_name() == self._revealed else MASKED, style="yellow")
        self.query_one(JsonPane).show(self._shown_name(), title, sections(detail, step, trigger))
        self._let_go()

    def _shown_name(self) -> Hashable:
        """Return what names that whose data is shown."""
        return self.job_id, self.version, self.query_one(StepTree).selected_key

    def _under_cursor(self) -> tuple[JobDetail, StepRecord | None, bool]:
        """Return what the data is of: the detail, the step, if it is one, and whether it is the trigger event."""
        assert self.detail is not None
        assert self.whole is not None
        tree = self.query_one(StepTree)
        detail, step = self.detail, tree.selected
        if self._shown_name() == self._revealed:
            detail, step = self.whole, step and self._recorded(step)
        return detail, step, tree.selected_key == TRIGGER

    def _recorded(self, step: StepRecord) -> StepRecord:
        assert self.whole is not None
        return next(one for one in self.whole.steps if one.path == step.path)

    def _holds_secrets(self) -> bool:
        assert self.detail is not None
        assert self.whole is not None
        tree = self.query_one(StepTree)
        if tree.selected_key == TRIGGER:
            return self.detail.trigger is not self.whole.trigger
        return tree.selected is not None and tree.selected is not self._recorded(tree.selected)

    def on_line_list_moved(self, event: LineList.Moved) -> None:
        """Show the data of the step under the cursor."""
        if isinstance(event.lines, StepTree):
            if self._shown_name() != self._revealed:
                self._revealed = None
            self.show_data()
            self.show_footer()

    def on_screen_suspend(self) -> None:
        """Mask what was revealed: one has left it."""
        self._revealed = None

    def on_screen_resume(self) -> None:
        """Show it masked."""
        self.show_data()

    def on_unmount(self) -> None:
        """Let go of the data: what the garbage collector does not see, of a screen that is gone, stays for good."""
        self.take(None, None)
        self._let_go()

    def _let_go(self) -> None:
        if self._left:
            left, self._left = self._left, []
            # A daemon: who quits waits for nothing to be freed.
            threading.Thread(target=_free, args=(left,), daemon=True).start()

    def on_json_view_said(self, event: JsonView.Said) -> None:
        """Tell what a search found."""
        self.deck.say(event.text)

    def blocked(self, action: str) -> str | None:
        """Return why an action is greyed, or None."""
        if self.detail is None:
            return BEING_READ
        if action == "reveal":
            return self._not_revealed()
        if action == "pager" and not sections(*self._under_cursor()):
            return "nothing is recorded of it"
        return None

    def _not_revealed(self) -> str | None:
        if not self._holds_secrets():
            return "nothing is masked here"
        return "they are shown until you leave the step" if self._shown_name() == self._revealed else None

    # Secrets

    def action_reveal(self) -> None:
        """Ask, note in the audit who looks, and show the secrets of what is under the cursor until one leaves it."""
        if blocked := self.blocked("reveal"):
            self.deck.say(blocked, error=True)
        else:
            self.act(self._reveal())

    async def _reveal(self) -> None:
        name, (detail, step, _) = self._shown_name(), self._under_cursor()
        path = step.path if step is not None else None
        number = detail.version.number
        panel = reveal_panel(self.job_id, number, path)
        if await self.ask(panel, Choice(CONFIRM, "show them, and note it in the audit")) is None:
            return
        await self.read(self.deck.automation.reveal, self.job_id, number, path, by=actor())
        if self.is_current and name == self._shown_name():
            self._revealed = name
            self.show_data()
            self.show_footer()

    # Elsewhere

    def action_pager(self) -> None:
        """Show what is under the cursor in the pager."""
        if blocked := self.blocked("pager"):
            self.deck.say(blocked, error=True)
        else:
            self.act(self._page())

    async def _page(self) -> None:
        view = self.query_one(JsonView)
        under = view.under_cursor() if self.focused is view else None
        value = under[1] if under else {part.name: part.value for part in sections(*self._under_cursor())}
        if wrong := self.deck.page(await self.read(paged, value)):
            self.deck.say(wrong, error=True)

    def on_json_view_copy_wanted(self, event: JsonView.CopyWanted) -> None:
        """Copy the value under the cursor."""
        under = self.query_one(JsonView).under_cursor()
        if under is not None:
            self.act(self._copy_value(*under))

    async def _copy_value(self, place: str, value: JsonValue) -> None:
        # A message names the place: the value may be long, or a secret that was revealed.
        self.deck.copy(*(await self.read(copying.value, value)).pieces, name=place)

    def copies(self) -> list[Copy]:
        """Return the version, what is under the cursor with its path, and the command that shows the same."""
        view = self.query_one(JsonView)
        found = [copying.identity(f"{self.job_id}.{self.version}")]
        under = view.under_cursor() if self.focused is view else None
        if under is not None:
            found += [copying.value(under[1]), copying.path(under[0])]
        elif self.detail is not None:
            detail, step, trigger = self._under_cursor()
            if step is not None:
                found += [copying.value(step), copying.path(step.path)]
            elif trigger and detail.job.trigger_stored:
                found += [copying.value(detail.trigger), copying.path("trigger")]
        return [*found, copying.command("jobdeck", "show", str(self.job_id), "--version", str(self.version))]


def _free(details: list[JobDetail]) -> None:
    with _FREEING, uncollected():
        let_go_of(details)


def paged(value: JsonValue) -> bytes:
    """Return a value as lines for the pager, safe on a terminal, in UTF-8: a text as it is, all else as JSON."""
    # Piece by piece, so that the thread that draws goes on meanwhile.
    pieces = _text_pieces(value) if isinstance(value, str) else json_pieces(value)
    return b"".join(safe_block(piece).encode() for piece in pieces) + b"\n"


def _text_pieces(text: str) -> Iterator[str]:
    at = 0
    while at < len(text):
        end = text.find("\n", at + PIECE, at + 2 * PIECE) + 1 or at + 2 * PIECE
        yield text[at:end]
        at = end
