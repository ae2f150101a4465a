"""What the report keeps beyond the screen: the view that was left, saved views, times typed, exported files."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from core.errors import JobdeckError
from core.text import safe
from data.job_records import JobFilter, Sort
from tui import views
from tui.asking import Prompt
from tui.dialogs import CONFIRM, Choice
from tui.filters import described
from tui.moments import is_span, moment_of
from tui.screens.base import DeckScreen
from tui.units import count
from tui.views import View
from tui.widgets.bars import Said

if TYPE_CHECKING:
    from tui.exports import Export
    from tui.widgets.job_table import JobTable

LEAVE_AFTER = 1.0
"""Seconds after a change after which the view is remembered."""
TIMES = "2h, 7d, 2026-07-30, 2026-07-30T12:00; two with .. between them; nothing takes it away"


class ReportFiles(DeckScreen):
    """The part of the report that reads and writes files; the table is another's."""

    if TYPE_CHECKING:

        @property
        def table(self) -> JobTable:
            """The table."""

        def _filter(self, filter: JobFilter) -> None: ...

    def __init__(self) -> None:
        super().__init__()
        self._spans: dict[dt.datetime, str] = {}
        self._left: tuple[View, int | None] | None = None
        """What was remembered; None where nothing is to be: of the jobs of an error, one came from elsewhere."""
        self._leaving_soon = False
        self._export: Export | None = None
        self._export_total: int | None = None

    # The view that was left

    def open_first(self, of: JobFilter) -> None:
        """Show what the report is of; where that is all jobs, as it was left last."""
        if of != JobFilter():
            self.table.change(of, Sort())
            return
        left, job, wrong = views.load(self.deck.automation.workspace)
        if wrong:
            self.deck.say(wrong, error=True)
        self._left = (left, job)
        self._know_spans(left)
        self.table.arrangement = left.columns
        self.table.change(left.filter, left.sort, job)

    def on_unmount(self) -> None:
        """Remember the view; write no further."""
        if self._export is not None:
            self._export.stop()
        if self._left is not None:
            # Nobody is there any more to be told.
            with suppress(OSError):
                views.leave(self.deck.automation.workspace, *self._leaving())

    def on_screen_suspend(self) -> None:
        """Remember the view."""
        self.act(self._leave(), group="leave")

    def leave_soon(self) -> None:
        """Remember the view where it is another: what runs may end without a word."""
        if self._left is not None and self.view() != self._left[0] and not self._leaving_soon:
            self._leaving_soon = True
            self.set_timer(LEAVE_AFTER, lambda: self.act(self._leave(), group="leave"))

    async def _leave(self) -> None:
        self._leaving_soon = False
        left = self._leaving()
        if self._left is not None and left != self._left:
            self._left = left
            try:
                await asyncio.to_thread(views.leave, self.deck.automation.workspace, *left)
            except OSError as error:
                self.deck.say(f"the view cannot be remembered: {error}", error=True)

    def _leaving(self) -> tuple[View, int | None]:
        # At the top one wants to be at the top again, whatever came in.
        table = self.table
        return self.view(), table.current.id if table.current is not None and not table.at_top else None

    def view(self) -> View:
        """Return the view as it is."""
        filter = self.table.filter
        return View(replace(filter, ids=None, without=frozenset(), up_to=None), self.table.sort, self.table.arrangement,
                    self._span(filter.since), self._span(filter.until))

    def _span(self, moment: dt.datetime | None) -> str:
        return "" if moment is None else self._spans.get(moment, "")

    def _know_spans(self, view: View) -> None:
        for moment, words in ((view.filter.since, view.since), (view.filter.until, view.until)):
            if moment is not None and words:
                self._spans[moment] = words

    def action_saved_views(self) -> None:
        """Show the saved views."""
        from tui.screens.views import ViewsScreen

        self.app.push_screen(ViewsScreen(self.view(), self._show_view))

    def _show_view(self, view: View) -> None:
        self._know_spans(view)
        table = self.table
        table.remember()
        table.one_change = True
        table.choose_columns(view.columns)
        table.change(view.filter, view.sort)
        table.one_change = False

    def action_undo(self) -> None:
        """Take the last change of filter, order, marks or columns back."""
        self.table.action_undo()

    # Times

    def action_filter_time(self) -> None:
        """Ask from when to when jobs were received."""
        filter = self.table.filter
        known = self._words(filter.since), self._words(filter.until)
        self.act(self._ask_times(self._ask_time(" .. ".join(known) if known[1] else known[0])))

    def _ask_time(self, value: str) -> asyncio.Future[str | None]:
        return self.query_one(Prompt).ask("Received since, or since .. until?", value, TIMES)

    async def _ask_times(self, answer: asyncio.Future[str | None]) -> None:
        while (text := await answer) is not None:
            try:
                since, until = times_of(text)
            except ValueError as error:
                self.deck.say(str(error), error=True)
                answer = self._ask_time(text)
                continue
            for moment, words in ((since, text.partition("..")[0]), (until, text.partition("..")[2])):
                if moment is not None and is_span(words.strip()):
                    self._spans[moment] = words.strip()
            self._filter(replace(self.table.filter, since=since, until=until))
            return

    def _words(self, moment: dt.datetime | None) -> str:
        return "" if moment is None else self._spans.get(moment) or f"{moment.astimezone():%Y-%m-%dT%H:%M}"

    # Files

    def action_export(self) -> None:
        """Write the jobs shown, or the marked ones, to a file; while that goes on, ask whether to stop it."""
        if self._export is not None:
            self.act(self._stop_export(self._export), group="export")
            return
        from tui import exports

        table = self.table
        if not table.marks and table.total == 0:
            self.deck.say("there is no job to write; Esc shows all again")
            return
        filter = table.marks.as_filter() if table.marks else table.filter
        which = "the marked jobs" if table.marks else f"the jobs shown ({described(filter)})"
        question = f"Write {which} to which .csv, .jsonl or .json?"
        prompt = self.query_one(Prompt)
        self.act(self._ask_export(filter, prompt, question, prompt.ask(question, exports.suggested())), group="export")

    async def _stop_export(self, export: Export) -> None:
        question = Text(f"Stop writing {safe(export.path.name)}? What was written so far goes.", style="bold")
        if await self.ask([question], Choice(CONFIRM, "stop it")) is not None:
            export.stop()

    async def _ask_export(
        self, filter: JobFilter, prompt: Prompt, question: str, answer: asyncio.Future[str | None]
    ) -> None:
        from tui import exports

        while text := await answer:
            try:
                path = exports.path_of(text, self.deck.automation.workspace)
            except ValueError as error:
                self.deck.say(str(error), error=True)
                answer = prompt.ask(question, text)
                continue
            there = Text(f"{self._named(path)} is there already. Write over it?", style="bold")
            if path.exists() and await self.ask([there], Choice(CONFIRM, "write over it")) is None:
                answer = prompt.ask(question, text)
                continue
            if self._export is None:
                self._export = exports.Export(path, partial(self._told_from_thread, asyncio.get_running_loop()))
                # In a group of its own, so that the question whether to stop it can be asked meanwhile.
                self.act(self._write(self._export, filter, self.table.sort), group="writing")
            return

    def _told_from_thread(self, loop: asyncio.AbstractEventLoop, written: int) -> None:
        loop.call_soon_threadsafe(self._progress, written)

    def _progress(self, written: int) -> None:
        export = self._export
        if export is not None:
            of = "" if self._export_total is None else f" of {self._export_total:,}"
            # Not in the log of messages: only how far it is.
            self.deck.said = Said(f"writing {export.path.name}: {written:,}{of}; w stops it")

    async def _write(self, export: Export, filter: JobFilter, sort: Sort) -> None:
        from tui.exports import Abandoned

        automation, began = self.deck.automation, time.monotonic()
        self._export_total = None
        self.act(self._count_export(filter), group="counting")
        try:
            await asyncio.to_thread(lambda: export.write(automation.jobs(filter, sort)))
        except Abandoned:
            self.deck.say(f"stopped: {self._named(export.path)} was not written")
        except (OSError, JobdeckError) as error:
            self.deck.say(f"{self._named(export.path)} could not be written: {error}", error=True)
        else:
            took = time.monotonic() - began
            self.deck.say(f"wrote {count(export.written, 'job')} to {self._named(export.path)} in {took:.1f} s")
        finally:
            self._export = None

    def _named(self, path: Path) -> str:
        """Return a file's name as people look for it: from the workspace on, if it is in there."""
        workspace = self.deck.automation.workspace
        return safe(str(path.relative_to(workspace) if path.is_relative_to(workspace) else path))

    async def _count_export(self, filter: JobFilter) -> None:
        self._export_total = await asyncio.to_thread(self.deck.automation.report(filter, Sort("id")).count)


def times_of(text: str, now: dt.datetime | None = None) -> tuple[dt.datetime | None, dt.datetime | None]:
    """Return since and until of `2h`, `7d .. 1d`, `.. 2026-07-30`, or of nothing; raises ValueError with a sentence."""
    since, _, until = text.partition("..")
    found = tuple(moment_of(part.strip(), now) if part.strip() else None for part in (since, until))
    if found[0] is not None and found[1] is not None and found[0] >= found[1]:
        raise ValueError(f"{since.strip()} is not before {until.strip()}: write the earlier time first")
    return found[0], found[1]
