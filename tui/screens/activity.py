"""The bulk reruns of the workspace: how each goes, who asked for it, and why one waits."""

from __future__ import annotations

from collections.abc import Iterable

from rich.text import Text
from textual.widget import Widget

from data.records import Batch
from tui.actions import bindings
from tui.batch_lines import HEADING, batch_row
from tui.screens.base import DeckScreen
from tui.screens.batch import BatchScreen, pause_or_resume, steer
from tui.widgets.bars import Bar
from tui.widgets.lines import LineList, TextLines

SHOWN = 200
"""Batches that are listed: the newest."""


class ActivityScreen(DeckScreen):
    """All bulk reruns, newest first."""

    WHERE = "activity"
    BINDINGS = [*bindings("activity")]

    def __init__(self) -> None:
        super().__init__()
        self._batches: dict[int, Batch] = {}

    def body(self) -> Iterable[Widget]:
        yield Bar(id="heading")
        yield TextLines(self._open)

    def on_mount(self) -> None:
        self.query_one("#heading", Bar).show(Text("  " + HEADING, style="underline"))
        self.set_focus(self.query_one(TextLines))

    async def reload(self) -> None:
        """Read the batches anew."""
        found = await self.read(self.deck.automation.batches.all, SHOWN)
        self._batches = {one.id: one for one in found}
        rows = [(one.id, batch_row(one)) for one in found]
        none = Text("no bulk rerun yet: mark jobs in the report (1) with Space, then r")
        self.query_one(TextLines).show(rows or [(None, none)])
        self.show_footer()

    def _current(self) -> Batch | None:
        key = self.query_one(TextLines).current
        return self._batches.get(key) if isinstance(key, int) else None

    def on_line_list_moved(self, event: LineList.Moved) -> None:
        """Grey what the batch under the cursor does not allow."""
        self.show_footer()

    def _open(self) -> None:
        batch = self._current()
        if batch is not None:
            self.app.push_screen(BatchScreen(batch.id))

    def blocked(self, action: str) -> str | None:
        """Return why an action is greyed, or None."""
        batch = self._current()
        if batch is None:
            return "there is no batch"
        if action in ("batch_run", "cancel_batch") and batch.finished_at is not None:
            return f"batch {batch.id} has ended"
        return None

    def action_batch_run(self) -> None:
        """Pause the batch under the cursor, or go on with it."""
        batch = self._current()
        if batch is None or batch.finished_at is not None:
            self.deck.say(self.blocked("batch_run") or "", error=True)
        else:
            self.act(steer(self, batch, pause_or_resume(batch)))

    def action_cancel_batch(self) -> None:
        """Cancel what has not begun of the batch under the cursor."""
        batch = self._current()
        if batch is None or batch.finished_at is not None:
            self.deck.say(self.blocked("cancel_batch") or "", error=True)
        else:
            self.act(steer(self, batch, "cancel"))
