"""The jobs report: the table, what it is filtered and sorted by, and the verbs on marked jobs."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING

from rich.text import Text
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Input

from core.selection import Selection
from core.text import safe
from data.job_records import SORT_COLUMNS, Job, JobFilter
from data.states import Status
from tui.actions import bindings
from tui.asking import Prompt
from tui.canceling import cancel_told, not_cancelable
from tui.columns import COLUMNS
from tui.dialogs import Choice
from tui.filters import EXCLUDE, FAILED, SAME, command, described, excluded, ordered, same
from tui.holding import hold_or_release, not_to_hold
from tui.screens.report_files import ReportFiles
from tui.units import count
from tui.widgets.bars import Bar
from tui.widgets.job_table import JobTable
from tui.widgets.typed import TypedLine
from tui.words import WORDS

if TYPE_CHECKING:
    from core.reruns import Rerun
    from tui.copying import Copy

DEBOUNCE = 0.2
"""Seconds without a key after which typed text filters."""
PATIENCE = 0.5
"""Seconds without a row after which it is said that they are being read."""
_STATUS_KEYS = {
    Status.QUEUED: "u", Status.RUNNING: "r", Status.SUCCEEDED: "s", Status.FAILED: "f", Status.CANCELED: "c",
    Status.IN_DOUBT: "d",
}  # fmt: skip
ALL = "a"
_MENU_KEYS = "abcdefgijkmn"
FIRST_RUN = 'No jobs yet. a starts the engine; jobdeck send RECIPE FILE hands it an event.'
NONE_FOUND = "No job matches. Esc shows all again."
READING = "Reading the jobs… Esc shows all again, Ctrl+Q quits."
UNREAD = "The jobs could not be read: the line below says why. Ctrl+R reads again."
LEAST_FILTER = 8
"""Cells that the filter has in the line over the table, however long the rest."""
_MOVING = frozenset({"status", "started_at", "finished_at", "duration_ms", "versions", "error"})
"""Orders in which a job changes its place."""


class ReportScreen(ReportFiles):
    """All jobs, as filtered and sorted."""

    WHERE = "report"
    BINDINGS = [*bindings("report")]
    DEFAULT_CSS = "ReportScreen #search { display: none; } ReportScreen #search.open { display: block; }"

    def __init__(self, filter: JobFilter = JobFilter()) -> None:  # noqa: B008
        """`filter` is what the report is of: Esc goes back to it, and from it to where one came from."""
        super().__init__()
        self._of = filter
        self._typing: Timer | None = None
        self._off: set[str] = set()
        self._before_marked = JobFilter()
        self._asked_at = 0.0

    def body(self) -> Iterable[Widget]:
        yield Bar(id="told-filter")
        self._table = JobTable(self.deck.automation.report, self._open_job)
        yield self._table
        yield TypedLine("text in title, event key or error; #812 is a job's id", self._filter_entered, id="search")
        yield Prompt()

    def place(self) -> str:
        return f"jobs · {PurePath(self.deck.automation.workspace).name}"

    def on_mount(self) -> None:
        self.set_focus(self.table)
        self.open_first(self._of)

    @property
    def table(self) -> JobTable:
        """The table."""
        return self._table

    @property
    def _search(self) -> TypedLine:
        return self.query_one("#search", TypedLine)

    def neighbour(self, job_id: int, step: int) -> int | None:
        """Return the job `step` places further in the order shown, None past its ends."""
        return self.table.neighbour(job_id, step)

    async def reload(self) -> None:
        """Read anew what is shown."""
        await self.table.reload()

    def on_report_rows_changed(self) -> None:
        """Tell what is shown."""
        table = self.table
        table.note(self._notice(table))
        self.leave_soon()
        self.query_one("#told-filter", Bar).show(told(table, self.size.width))
        if (off := self.off()) != self._off:
            self._off = off
            self.show_footer()

    def _notice(self, table: JobTable) -> str:
        """Return what stands where no job is, with the next key."""
        if table.trouble:
            return UNREAD
        if table.total is None:
            if not self._asked_at:
                self._asked_at = time.monotonic()
                self.set_timer(PATIENCE, self.on_report_rows_changed)
            return READING if time.monotonic() - self._asked_at >= PATIENCE else ""
        self._asked_at = 0.0
        return NONE_FOUND if table.filter != JobFilter() else FIRST_RUN

    def _open_job(self, job: Job) -> None:
        self.deck.open_job(job.id)

    def blocked(self, action: str) -> str | None:
        needs_job = ("rerun", "cancel", "history", "edit", "copy_id", "mark", "hold")
        job = self.table.current
        if action in needs_job and job is None:
            return "no job is under the cursor"
        if action == "cancel" and job is not None and not self.table.marks:
            return not_cancelable(job.versions, job.status)
        if action == "hold" and job is not None:
            return not_to_hold(job)
        return None

    def action_back(self) -> None:
        """Close the text filter, end the range, take the filter away; then go back."""
        table = self.table
        if self._search.has_class("open"):
            self._filter(replace(table.filter, search=""))
            self._close_search()
        elif table.in_range:
            table.end_range()
        elif table.filter != self._of:
            self._filter(self._of)
        else:
            super().action_back()

    # Filters

    def _filter(self, filter: JobFilter) -> None:
        if filter != self.table.filter:
            self.table.change(filter, self.table.sort)

    def action_filter(self) -> None:
        """Type a text to filter by."""
        self._search.value = self.table.filter.search
        self.table.remember()
        self.table.one_change = True
        self._search.add_class("open")
        self.set_focus(self._search)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter when the typing rests."""
        if self._typing is not None:
            self._typing.stop()
        if self._search.has_class("open"):
            self._typing = self.set_timer(DEBOUNCE, self._filter_typed)

    def _filter_entered(self, text: str) -> None:
        self._filter_typed()
        self._close_search()

    def _filter_typed(self) -> None:
        self._filter(replace(self.table.filter, search=self._search.value.strip()))

    def _close_search(self) -> None:
        if self._typing is not None:
            self._typing.stop()
        self._search.remove_class("open")
        self.table.one_change = False
        self.set_focus(self.table)

    def action_failed_only(self) -> None:
        """Show failed jobs only, or all statuses again."""
        filter = self.table.filter
        self._filter(replace(filter, statuses=frozenset() if filter.statuses == FAILED else FAILED))

    def action_filter_status(self) -> None:
        """Choose a status to filter by."""
        self.act(self._choose_status())

    async def _choose_status(self) -> None:
        choices = [Choice(key, WORDS[status].word) for status, key in _STATUS_KEYS.items()]
        key = await self.ask([Text("Show which jobs?", style="bold")], *choices, Choice(ALL, "all"))
        if key is not None:
            statuses = frozenset(status for status, its in _STATUS_KEYS.items() if its == key)
            self._filter(replace(self.table.filter, statuses=statuses))

    def action_filter_value(self) -> None:
        """Show only jobs with the value under the cursor."""
        column, job = self.table.column, self.table.current
        if job is not None and column is not None:
            self._filter_or_say(same(self.table.filter, column.column.id, job), SAME)

    def action_exclude_value(self) -> None:
        """Leave out jobs with the status or recipe under the cursor."""
        column, job = self.table.column, self.table.current
        if job is not None and column is not None:
            self._filter_or_say(excluded(self.table.filter, column.column.id, job), EXCLUDE)

    def _filter_or_say(self, filter: JobFilter | None, otherwise: str) -> None:
        if filter is None:
            self.deck.say(otherwise)
        else:
            self._filter(filter)

    def action_marked_only(self) -> None:
        """Show only the marked jobs, or again what was shown before."""
        table = self.table
        if table.filter.ids is not None or table.filter.up_to is not None:
            self._filter(self._before_marked)
        elif table.marks:
            self._before_marked = table.filter
            self._filter(table.marks.as_filter())
        else:
            self.deck.say("no job is marked; Space marks one, * all that the filter shows")

    def action_sort_menu(self) -> None:
        """Choose the column to sort by."""
        self.act(self._choose_sort())

    async def _choose_sort(self) -> None:
        columns = [column for column in COLUMNS if column.sort in SORT_COLUMNS]
        choices = [Choice(key, column.title) for key, column in zip(_MENU_KEYS, columns, strict=True)]
        key = await self.ask([Text("Sort by?", style="bold")], *choices)
        for choice, column in zip(choices, columns, strict=True):
            if choice.key == key and column.sort:
                self.table.sort_by(column.sort)

    # Verbs

    def action_rerun(self) -> None:
        """Ask, and rerun the marked jobs, or the one under the cursor."""
        table = self.table
        if table.marks:
            self.act(self._rerun(table.marks.selection()))
        elif table.current is not None:
            self.act(self._rerun(Selection(ids=(table.current.id,))))
        else:
            self.deck.say(self.blocked("rerun") or "")

    async def _rerun(self, selection: Selection) -> None:
        under = self.table.current
        done = await self.rerun(selection)
        if done is not None:
            self.table.action_mark_none()
            await self.reload()
            self.deck.say(rerun_told(done) + self.table.left_by(under))

    def action_cancel(self) -> None:
        """Ask, and cancel the marked jobs, or the one under the cursor."""
        table = self.table
        if blocked := self.blocked("cancel"):
            self.deck.say(blocked, error=True)
        elif table.marks:
            self.act(self._cancel(table.marks.selection()))
        elif table.current is not None:
            self.act(self._cancel(Selection(ids=(table.current.id,))))

    async def _cancel(self, selection: Selection) -> None:
        under = self.table.current
        if done := await self.cancel(selection):
            self.table.action_mark_none()
            await self.reload()
            words, failed = cancel_told(done)
            self.deck.say(words + self.table.left_by(under), failed)

    def action_hold(self) -> None:
        """Ask, and hold the data of the job under the cursor, or release it."""
        job = self.table.current
        if blocked := self.blocked("hold"):
            self.deck.say(blocked, error=True)
        elif job is not None:
            self.act(self._hold(job))

    async def _hold(self, job: Job) -> None:
        if await hold_or_release(self, job):
            await self.reload()

    def action_history(self) -> None:
        """Open the versions of the job under the cursor."""
        if job := self._job():
            self.deck.open_history(job.id)

    def action_edit(self) -> None:
        """Edit the recipe of the job under the cursor."""
        if job := self._job():
            self.act(self.edit_recipe(job.recipe))

    def action_copy_id(self) -> None:
        """Copy the id of the job under the cursor."""
        if job := self._job():
            self.deck.copy(str(job.id))

    def copies(self) -> list[Copy]:
        """Return the job under the cursor, and the command that lists the same jobs, where there is one."""
        from tui import copying

        job, words = self.table.current, command(self.table.filter, self.table.sort)
        found = [] if job is None else [copying.identity(str(job.id)), copying.value(job)]
        return found if words is None else [*found, copying.Copy("c", "command", (words,))]

    def action_columns(self) -> None:
        """Choose and order the columns."""
        from tui.screens.columns import ColumnsScreen

        table = self.table
        self.app.push_screen(ColumnsScreen(table.columns, table.arrangement, table.choose_columns))

    def _job(self) -> Job | None:
        if self.table.current is None:
            self.deck.say("no job is under the cursor")
        return self.table.current


def told(table: JobTable, width: int) -> Text:
    """Return the one line over the table: filter, counts, order, marks, what is new.

    Where that is too long, without the order, which the titles show too; then with less of the filter.
    """
    total = f"{table.total:,}" if table.total is not None else _uncounted(table)
    if table.filter != JobFilter() and table.everything is not None:
        total += f" of {count(table.everything, 'job')}"
    else:
        total += " job" if total == "1" else " jobs"
    filter, order = Text(described(table.filter), style="bold"), f" · {ordered(table.sort)}"
    rest = Text(f" — {total}")
    for part in _states(table):
        rest.append(" · ").append(part, style="bold")
    if filter.cell_len + rest.cell_len + len(order) <= width:
        rest = Text.assemble(rest[: len(total) + 3], order, rest[len(total) + 3 :])
    filter.truncate(max(width - rest.cell_len, LEAST_FILTER), overflow="ellipsis")
    text = filter.append_text(rest)
    text.truncate(max(width, 1), overflow="ellipsis")
    return text


def _uncounted(table: JobTable) -> str:
    return "counting…" if table.at_least is None else f"{table.at_least:,}+, counting…"


def _states(table: JobTable) -> Iterable[str]:
    if table.marks:
        yield f"{'…' if table.marked is None else f'{table.marked:,}'} marked{_outside(table)}"
    if table.in_range:
        yield "marking: v ends"
    if table.paused:
        yield "paused: Z goes on"
    if {table.sort.column, table.sort.then} & _MOVING:
        yield "following" if table.follow else "holding: F follows"
    if table.new:
        yield f"{table.new:,} new"


def _outside(table: JobTable) -> str:
    if table.outside is None:
        return " (… not in this filter)"
    return f" ({table.outside:,} not in this filter)" if table.outside else ""


def rerun_told(done: Rerun) -> str:
    """Return what a rerun did, in one sentence; of the refusals the first in full."""
    ids = done.requested
    first = f"{ids[0]} runs again" if len(ids) == 1 else f"{len(ids):,} jobs run again"
    first += f" as batch {done.batch} (3 shows it)" if done.batch is not None else ""
    if not done.refused:
        return first
    refusal = done.refused[0]
    more = f" (and {len(done.refused) - 1:,} more)" if len(done.refused) > 1 else ""
    return f"{first}; not {refusal.id}: {safe(refusal.message)}{more}"

