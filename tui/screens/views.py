"""Saved views of the report: each with how many jobs it shows now; opened, saved, deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from rich.text import Text
from textual.widget import Widget

from core.text import safe
from data.job_records import Sort, Stopped
from tui import views
from tui.actions import bindings
from tui.asking import Prompt
from tui.dialogs import CONFIRM, Choice
from tui.filters import described, ordered
from tui.screens.base import DeckScreen
from tui.units import count
from tui.views import View
from tui.widgets.bars import Bar
from tui.widgets.lines import TextLines

if TYPE_CHECKING:
    from core.automation import Report

NONE = "No view is saved yet. w saves the report as it is now under a name; Esc goes back."
LONGEST_NAME = 60


class ViewsScreen(DeckScreen):
    """The saved views by name; Enter opens one in the report."""

    WHERE = "views"
    BINDINGS = [*bindings("views")]

    def __init__(self, present: View, opened: Callable[[View], None]) -> None:
        """`present` is the report's view, which may be saved; `opened` shows another in the report."""
        super().__init__()
        self._present = present
        self._opened = opened
        self._views: dict[str, View] = {}
        self._counts: dict[str, int | None] = {}
        self._counting: Report | None = None

    def body(self) -> Iterable[Widget]:
        yield Bar(id="told")
        yield TextLines(self._open)
        yield Prompt()

    def place(self) -> str:
        return "jobs > saved views"

    def on_mount(self) -> None:
        now = f"{described(self._present.filter)} · {ordered(self._present.sort)}"
        self.query_one("#told", Bar).show(Text.assemble(("in the report now: ", "dim"), now))
        self.set_focus(self.query_one(TextLines))
        self.act(self._read_views())

    def on_unmount(self) -> None:
        """Count no further."""
        if self._counting is not None:
            self._counting.stop()

    async def reload(self) -> None:
        """Count anew."""
        self.act(self._count(), group="count")

    def blocked(self, action: str) -> str | None:
        return "no view is saved" if action == "view_delete" and not self._views else None

    async def _read_views(self) -> None:
        self._views, wrong = await asyncio.to_thread(views.saved, self.deck.automation.workspace)
        if wrong:
            self.deck.say(wrong, error=True)
        self._show()
        self.show_footer()
        self.act(self._count(), group="count")

    async def _count(self) -> None:
        for name, view in list(self._views.items()):
            if self._counting is not None:
                self._counting.stop()
            self._counting = report = self.deck.automation.report(view.now().filter, Sort("id"))
            try:
                self._counts[name] = await self.read(report.count)
            except Stopped:
                return
            self._show()

    def _show(self) -> None:
        rows = [(name, _line(name, view, self._counts.get(name))) for name, view in self._views.items()]
        self.query_one(TextLines).show(rows or [("", Text(NONE))])

    def _under_cursor(self) -> str:
        return str(self.query_one(TextLines).current or "")

    def _open(self) -> None:
        if (view := self._views.get(self._under_cursor())) is not None:
            self.action_back()
            self._opened(view.now())

    def action_view_save(self) -> None:
        """Ask for a name and save the report's view."""
        self.act(self._save(self.query_one(Prompt).ask("Save the report's view under which name?")))

    async def _save(self, answer: asyncio.Future[str | None]) -> None:
        name = (await answer or "").strip()[:LONGEST_NAME]
        if not name:
            return
        if name in self._views:
            question = Text(f"There is a view {safe(name)}. Save this one in its place?", style="bold")
            if await self.ask([question], Choice(CONFIRM, "replace it")) is None:
                return
        await self._change(name, self._present, f"saved as {safe(name)}")

    def action_view_delete(self) -> None:
        """Ask, and delete the view under the cursor."""
        if self._under_cursor() in self._views:
            self.act(self._delete(self._under_cursor()))

    async def _delete(self, name: str) -> None:
        question = Text(f"Delete the saved view {safe(name)}? The jobs stay.", style="bold")
        if await self.ask([question], Choice(CONFIRM, "delete it")) is not None:
            await self._change(name, None, f"the view {safe(name)} is deleted")

    async def _change(self, name: str, view: View | None, done: str) -> None:
        try:
            await asyncio.to_thread(views.save, self.deck.automation.workspace, name, view)
        except OSError as error:
            self.deck.say(f"the views cannot be written: {error}", error=True)
            return
        self._counts.pop(name, None)
        self.deck.say(done)
        await self._read_views()


def _line(name: str, view: View, number: int | None) -> Text:
    jobs = "counting…" if number is None else count(number, "job")
    return Text.assemble((f"{safe(name):20} ", "bold"), f"{jobs:>14}  ", _filter(view), f" · {ordered(view.sort)}")


def _filter(view: View) -> str:
    told = described(view.now().filter)
    return f"{told} (the last {view.since})" if view.since else told
