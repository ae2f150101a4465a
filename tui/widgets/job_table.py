"""The jobs report as a table of any length: a window of rows fetched by key, a cursor and marks that stay on jobs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from data.records import Job, JobFilter, Sort, Stopped
from tui.actions import bindings
from tui.columns import Placed, cell, fit, place
from tui.marks import Marks
from tui.words import ARROWS, WORDS, unicode_output

if TYPE_CHECKING:
    from core.automation import Report

BLOCK = 128
"""Rows that are fetched on each side of where the cursor goes."""
BAR = 2
"""Cells at the left: the cursor, the mark."""
LONGEST_RANGE = 20_000
ANCHORS_SHARE = 20
"""Anchors are collected anew at most in this part of the time."""

_PLAIN = Style.null()
_BOLD = Style(bold=True)
_CURSOR = Style(bold=True, reverse=True)
_TITLE = Style(underline=True)
_TITLE_CURSOR = Style(bold=True, reverse=True)
_FALLING = ("id", "received_at", "first_started_at", "started_at", "finished_at", "duration_ms", "versions")
"""Sort columns that begin with the highest."""


@dataclass(slots=True)
class Window:
    """The rows at hand: neighbours in the order, the first of them at position `first`."""

    report: Report | None
    rows: list[Job]
    first: int = 0
    last: bool = False
    """Whether the report's last row is at hand."""

    @property
    def end(self) -> int:
        """The position behind the last row."""
        return self.first + len(self.rows)

    def at(self, position: int) -> Job | None:
        """Return the job at a position, None if it is not at hand."""
        return self.rows[position - self.first] if self.first <= position < self.end else None

    def find(self, job_id: int) -> int | None:
        """Return a job's position, None if it is not at hand."""
        return next((self.first + at for at, job in enumerate(self.rows) if job.id == job_id), None)


class JobTable(ScrollView, can_focus=True, inherit_bindings=False):
    """The report. Every read of the store runs in a thread; what is on the screen changes only with what was read."""

    BINDINGS: ClassVar[list[Any]] = [*bindings("report")]
    DEFAULT_CSS = "JobTable { scrollbar-size: 0 0; overflow: hidden hidden; height: 1fr; }"

    class Changed(Message):
        """What is shown, counted, sorted or marked is another."""

    class Opened(Message):
        """Enter was pressed on a job."""

        def __init__(self, job: Job) -> None:
            super().__init__()
            self.job = job

    def __init__(self, open_report: Callable[[JobFilter, Sort], Report]) -> None:
        """`open_report` returns a report; cheap, and called on the event loop."""
        super().__init__()
        self._open = open_report
        self._report: Report | None = None
        self._lock = asyncio.Lock()
        self._window = Window(None, [])
        self._cursor = 0
        self._top = 0
        self._wanted: int | None = None
        self._fixed = False
        self._reading = False
        self._column = "received"
        self._placed: tuple[Placed, ...] = ()
        self._painted: list[Strip] = []
        self._bodies: dict[int, tuple[Job, list[Segment]]] = {}
        self._range: tuple[int, Marks] | None = None
        self._seen: int | None = None
        self._anchored = (0.0, 0.0)
        self.filter = JobFilter()
        self.sort = Sort()
        self.total: int | None = None
        """How many jobs the filter shows; None while they are being counted."""
        self.everything: int | None = None
        """How many jobs there are."""
        self.marks = Marks()
        self.marked: int | None = 0
        """How many jobs are marked; None while they are being counted."""
        self.paused = False
        self.notice = ""
        """What stands where no job is."""

    # What it tells

    @property
    def current(self) -> Job | None:
        """The job under the cursor."""
        return self._window.at(self._cursor)

    @property
    def column(self) -> Placed | None:
        """The column under the column cursor."""
        return next((placed for placed in self._placed if placed.column.id == self._column), None)

    @property
    def in_range(self) -> bool:
        """Whether moving marks."""
        return self._range is not None

    @property
    def new(self) -> int:
        """How many more jobs the filter shows than when its first row, or its pause, was last seen."""
        return 0 if self.total is None or self._seen is None else max(self.total - self._seen, 0)

    def neighbour(self, job_id: int, step: int) -> int | None:
        """Return the id of the job `step` rows from another, None where it is not at hand."""
        position = self._window.find(job_id)
        job = None if position is None else self._window.at(position + step)
        if job is not None and position is not None:
            self._go(position + step)
        return None if job is None else job.id

    # Reading

    async def view(self, filter: JobFilter, sort: Sort) -> None:
        """Show another filter or order; the cursor stays on its job if it is in it. Returns when rows are there."""
        if self._report is not None:
            self._report.stop()
        report = self._report = self._open(filter, sort)
        self.filter, self.sort, self.total, self._seen = filter, sort, None, None
        self._range = self._wanted = None
        self._tell()
        async with self._lock:
            line = self._cursor - self._top
            rows, above = await self._near_or_top(report, self.current)
            if report is not self._report:
                return
            # Where it stands in the whole is told later; that there is more above is known now.
            self._take(report, rows, above, BLOCK, BLOCK)
            self._place(self._window.first + above, min(line, above))
        self.run_worker(self._complete(report), group="complete", exclusive=True)

    async def reload(self) -> None:
        """Read anew what is on the screen; the cursor stays on its job, and the job on its line."""
        report = self._report
        if report is None:
            return
        if not self.paused:
            async with self._lock:
                await self._reread(report)
        await self._complete(report)

    async def _reread(self, report: Report) -> None:
        each = 2 * self._height
        kept, position = self.current, self._cursor
        rows, above = await self._near_or_top(report, kept, stay=True, each=each)
        if report is not self._report:
            return
        self._take(report, rows, above, each, position)
        self._shift(self._window.first + above - position, window=False)
        self._stay()

    def _take(self, report: Report, rows: list[Job], above: int, each: int, position: int) -> None:
        """Have rows at hand, `above` of them before the one at `position`; fewer than `each` end at an end."""
        self._bodies.clear()
        self._window = Window(report, rows, 0 if above < each else max(position - above, 1), len(rows) - above < each)
        if self._window.first == 0 and self._window.last:
            self.total = len(rows)

    async def _near_or_top(
        self, report: Report, kept: Job | None, *, stay: bool = False, each: int = BLOCK
    ) -> tuple[list[Job], int]:
        """Return rows around a job, or the first ones; `stay`: around its place even if it left the report."""
        try:
            if kept is not None:
                rows, above = await asyncio.to_thread(report.near, kept, each, each)
                if rows and (stay or (above < len(rows) and rows[above].id == kept.id)):
                    return rows, min(above, len(rows) - 1)
            return await asyncio.to_thread(report.rows, 0, each), 0
        except Stopped:
            return [], 0

    async def _complete(self, report: Report) -> None:
        """Count, find the place of the rows in the whole, and collect anchors where they are due."""
        try:
            await self._count(report)
            if not self.paused:
                await self._locate(report)
            at, took = self._anchored
            if report is self._report and (not at or time.monotonic() - at > took * ANCHORS_SHARE):
                await self._anchor(report)
        except Stopped:
            return

    async def _locate(self, report: Report) -> None:
        # Below a first row at position 0 everything counts from there.
        while report is self._report and self._window.first and (job := self.current) is not None:
            position = await asyncio.to_thread(report.position, job.id)
            found = self._window.find(job.id)
            if report is self._report and position is not None and found is not None:
                self._shift(position - found)
            if position is None or found is not None:
                break
        self._tell()

    async def _count(self, report: Report) -> None:
        total = await asyncio.to_thread(report.count)
        everything = await asyncio.to_thread(self._open(JobFilter(), Sort("id")).count)
        if report is not self._report:
            return
        self.total, self.everything = total, everything
        if self._seen is None or (self._top == 0 and not self.paused):
            self._seen = total
        if self.marks.filter is not None:
            await self._count_marks()
        self._tell()

    async def _anchor(self, report: Report) -> None:
        began = time.monotonic()
        await asyncio.to_thread(report.collect_anchors, lambda: report is not self._report)
        self._anchored = (time.monotonic(), time.monotonic() - began)

    async def _count_marks(self) -> None:
        marks = self.marks
        if marks.filter is None:
            self.marked = len(marks.ids)
            return
        counted = await asyncio.to_thread(self._open(marks.filter, Sort("id")).count)
        if marks is self.marks:
            self.marked = max(counted - len(marks.excluded), 0)

    # Moving

    def _go(self, position: int, *, fixed: bool = False) -> None:
        """Put the cursor on a row; at once if it is at hand, else as soon as it was read.

        `fixed`: the position is meant as such, not as so many rows from another.
        """
        self._fixed = fixed
        end = self._end
        self._wanted = max(position if end is None else min(position, end - 1), 0)
        if self._at_hand(self._wanted):
            self._place(self._wanted)
            self._wanted = None
        # One read at a time: keys typed meanwhile only move the aim.
        if not self._reading and (self._wanted is not None or self._near_edge()):
            self._reading = True
            self.run_worker(self._read_on(), group="read")

    @property
    def _end(self) -> int | None:
        """The position behind the last row, None where that is not known."""
        return self._window.end if self._window.last else self.total

    @property
    def _height(self) -> int:
        return max(self.size.height - self._head, 1)

    @property
    def _head(self) -> int:
        """The lines that the titles take: none where there is hardly room for a row."""
        return 1 if self.size.height > 2 else 0

    def _stay(self) -> None:
        """Paint anew with the cursor where it is, unless a key has sent it elsewhere."""
        if self._wanted is None:
            self._go(self._cursor)
        elif self._window.rows:
            self._place(max(min(self._cursor, self._window.end - 1), self._window.first))
        self._repaint()

    def _at_hand(self, position: int) -> bool:
        top = self._top_for(position)
        end = top + self._height if self._end is None else min(top + self._height, self._end)
        return self._window.first <= top and end <= self._window.end and position < max(end, 1)

    def _near_edge(self) -> bool:
        window, margin = self._window, 2 * self._height
        above = window.first > 0 and self._top - window.first < margin
        below = window.end - self._top - self._height < margin
        return above or (below and (self._end is None or window.end < self._end))

    async def _read_on(self) -> None:
        """Read until the row that is wanted is at hand, then what lies around it."""
        try:
            while self._wanted is not None or self._near_edge():
                report, wanted = self._report, self._wanted
                if report is None or not await self._read_once(report):
                    break
                if wanted is None and self._wanted is None:
                    break
        except Stopped:
            pass
        finally:
            self._reading = False

    async def _read_once(self, report: Report) -> bool:
        """Read once towards what is wanted; return whether that may have helped."""
        async with self._lock:
            wanted = self._wanted
            if report is not self._report:
                return False
            if wanted is None:
                return self.current is not None and await self._extend(report, self.current)
            if not await self._read_at(report, wanted):
                return False
            # Another key may have moved the aim meanwhile.
            if self._wanted is not None and self._at_hand(self._wanted):
                self._place(self._wanted)
                self._wanted = None
            elif self._wanted == wanted:
                self._place(max(min(wanted, self._window.end - 1), self._window.first))
                self._wanted = None
            return True

    async def _read_at(self, report: Report, wanted: int) -> bool:
        window = self._window
        if window.rows and window.first - BLOCK < wanted < window.end + BLOCK:
            return await self._extend(report, window.rows[-1] if wanted >= window.first else window.rows[0])
        first = max(wanted - BLOCK, 0)
        if self.total is not None:
            first = max(min(first, self.total - 2 * BLOCK), 0)
        rows = await asyncio.to_thread(report.rows, first, 2 * BLOCK)
        if report is not self._report or not rows:
            return False
        self._window = Window(report, rows, first, self.total is not None and first + len(rows) >= self.total)
        return True

    async def _extend(self, report: Report, edge: Job) -> bool:
        """Replace the rows at hand by those around one of them; return whether that was done."""
        rows, above = await asyncio.to_thread(report.near, edge, BLOCK, BLOCK)
        position = self._window.find(edge.id)
        if report is not self._report or position is None or not rows:
            return False
        self._window = Window(report, rows, max(position - above, 0), len(rows) - above < BLOCK)
        if above < BLOCK:
            self._shift(-self._window.first)
        self._repaint()
        return True

    def _shift(self, by: int, *, window: bool = True) -> None:
        """Take every position for one that is `by` higher: the same rows stand there."""
        if window:
            self._window.first += by
        self._cursor += by
        self._top = max(self._top + by, 0)
        if self._wanted is not None and not self._fixed:
            self._wanted = max(self._wanted + by, 0)
        if self._range is not None:
            self._range = (max(self._range[0] + by, 0), self._range[1])

    def _top_for(self, position: int, line: int | None = None) -> int:
        height = self._height
        top = self._top if line is None else position - line
        if not top <= position < top + height:
            # By half a page: a scroll writes most of the table, so it should be rare.
            half = height // 2
            top = position - half if position >= top + height else position - height + half + 1
            if abs(position - self._top) > 2 * height:
                top = position - half
        if self._end is not None:
            top = min(top, self._end - height)
        return max(top, 0)

    def _place(self, position: int, line: int | None = None) -> None:
        self._top = self._top_for(position, line)
        self._cursor = position
        if self._top == 0 and self.total is not None and not self.paused:
            self._seen = self.total
        self._mark_range()
        self._repaint()
        self._tell()

    def _tell(self) -> None:
        self.post_message(self.Changed())

    # Painting

    def render_line(self, y: int) -> Strip:
        strip = self._strip(y)
        if y < len(self._painted):
            self._painted[y] = strip
        return strip

    def _strip(self, y: int) -> Strip:
        width = self.size.width
        if y < self._head:
            return Strip(self._titles()).adjust_cell_length(width, _PLAIN)
        position = self._top + y - self._head
        job = self._window.at(position)
        if job is None:
            notice = self.notice if y == 2 and self.total == 0 else ""
            return Strip([Segment(fit(notice, width), _PLAIN)])
        return Strip(self._row(job, position)).adjust_cell_length(width, _PLAIN)

    def _titles(self) -> list[Segment]:
        segments = [Segment(" " * BAR, _PLAIN)]
        for placed in self._placed:
            column = placed.column
            sorted_by = column.sort == self.sort.column
            arrow = ARROWS[self.sort.descending][0 if unicode_output() else 1] if sorted_by else " "
            style = _TITLE_CURSOR if column.id == self._column else _TITLE
            segments += [Segment(fit(column.title, placed.width, right=column.right), style), Segment(arrow, _PLAIN)]
        return segments

    def _row(self, job: Job, position: int) -> list[Segment]:
        body = self._body(job)
        bar = (">" if position == self._cursor else " ") + ("*" if self.marks.has(job) else " ")
        style = _PLAIN if position != self._cursor else _CURSOR if self.has_focus else _BOLD
        return [Segment(bar + "".join(segment.text for segment in body[:1]), style), *body[1:]]

    def _body(self, job: Job) -> list[Segment]:
        """Return a row's cells: the first column, in which the cursor shows, then the rest."""
        known = self._bodies.get(job.id)
        if known is not None and known[0] is job:
            return known[1]
        rest: list[Segment] = []
        for placed in self._placed[1:]:
            style = Style.parse(WORDS[job.status].style) if placed.column.id == "status" else _PLAIN
            rest += [Segment(" ", _PLAIN), Segment(cell(placed, job), style)]
        body = [Segment(cell(placed, job), _PLAIN) for placed in self._placed[:1]]
        body += Segment.simplify(rest)
        if len(self._bodies) > 8 * BLOCK:
            self._bodies.clear()
        self._bodies[job.id] = (job, body)
        return body

    def _repaint(self) -> None:
        """Paint the lines that differ from what was painted."""
        for y in range(min(self.size.height, len(self._painted))):
            if self._painted[y] != self._strip(y):
                self.refresh(Region(0, y, self.size.width, 1))

    def on_resize(self, event: events.Resize) -> None:
        """Place the columns anew; the cursor stays in sight."""
        self._placed = place(event.size.width, BAR)
        self._bodies.clear()
        self._painted = [Strip.blank(0)] * event.size.height
        if self.column is None and self._placed:
            self._column = self._placed[0].column.id
        self._stay()
        self.refresh()

    def on_focus(self) -> None:
        """Show the cursor as the one that keys move."""
        self._repaint()

    def on_blur(self) -> None:
        """Show the cursor as one that keys do not move."""
        self._repaint()

    # Keys: moving

    def action_down(self) -> None:
        """One row down."""
        self._go(self._aim + 1)

    def action_up(self) -> None:
        """One row up."""
        self._go(self._aim - 1)

    def action_page_down(self) -> None:
        """One page down."""
        self._page(self._height)

    def action_page_up(self) -> None:
        """One page up."""
        self._page(-self._height)

    def action_half_page_down(self) -> None:
        """Half a page down."""
        self._page(self._height // 2)

    def action_half_page_up(self) -> None:
        """Half a page up."""
        self._page(-(self._height // 2))

    def action_top(self) -> None:
        """To the first row."""
        self._go(0, fixed=True)

    def action_bottom(self) -> None:
        """To the last row, as soon as it is known which that is."""
        if self.total is None:
            self.run_worker(self._bottom(), group="bottom", exclusive=True)
        else:
            self._go(self.total - 1, fixed=True)

    async def _bottom(self) -> None:
        if self._report is not None:
            await self._count(self._report)
            self._go((self.total or 1) - 1, fixed=True)

    @property
    def _aim(self) -> int:
        return self._cursor if self._wanted is None else self._wanted

    def _page(self, rows: int) -> None:
        self._go(self._aim + rows)

    def action_open(self) -> None:
        """Open the job under the cursor."""
        if self.current is not None:
            self.post_message(self.Opened(self.current))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Move with the wheel."""
        event.stop()
        self._page(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Move with the wheel."""
        event.stop()
        self._page(-3)

    def on_click(self, event: events.Click) -> None:
        """Put the cursor where the mouse points, or choose a column by its title."""
        if event.y >= self._head:
            self._go(min(self._top + event.y - self._head, self._window.end - 1))
            return
        under = [placed for placed in self._placed if placed.x <= event.x]
        if under:
            self._choose_column(under[-1].column.id)

    # Keys: columns and order

    def action_column_left(self) -> None:
        """One column to the left."""
        self._step_column(-1)

    def action_column_right(self) -> None:
        """One column to the right."""
        self._step_column(1)

    def _step_column(self, step: int) -> None:
        ids = [placed.column.id for placed in self._placed]
        if self._column in ids:
            self._choose_column(ids[max(min(ids.index(self._column) + step, len(ids) - 1), 0)])

    def _choose_column(self, id: str) -> None:
        self._column = id
        self._repaint()

    def action_sort(self) -> None:
        """Sort by the column under the cursor; if it is sorted by that, turn the order round."""
        placed = self.column
        if placed is not None and placed.column.sort is not None:
            self.sort_by(placed.column.sort)

    def action_sort_reverse(self) -> None:
        """Turn the order round."""
        self.sort_by(self.sort.column)

    def sort_by(self, column: str) -> None:
        """Sort by a column, the highest first where that is what one looks for; again turns the order round."""
        descending = not self.sort.descending if column == self.sort.column else column in _FALLING
        self.change(self.filter, Sort(column, descending))

    def change(self, filter: JobFilter, sort: Sort) -> None:
        """Show another filter or order, as soon as its rows were read."""
        self.run_worker(self.view(filter, sort), group="view", exclusive=True)

    def action_sort_left(self) -> None:
        """Sort by the column to the left of the sorted one."""
        self._sort_beside(-1)

    def action_sort_right(self) -> None:
        """Sort by the column to the right of the sorted one."""
        self._sort_beside(1)

    def _sort_beside(self, step: int) -> None:
        sortable = [placed.column for placed in self._placed if placed.column.sort]
        sorts = [column.sort for column in sortable]
        at = sorts.index(self.sort.column) + step if self.sort.column in sorts else 0
        if 0 <= at < len(sortable):
            self._choose_column(sortable[at].id)
            self.sort_by(sortable[at].sort or "id")

    # Keys: marks

    def _set_marks(self, marks: Marks) -> None:
        self.marks = marks
        self.marked = len(marks.ids) if marks.filter is None else None
        if marks.filter is not None:
            self.run_worker(self._counted_marks(), group="marks", exclusive=True)
        self._repaint()
        self._tell()

    async def _counted_marks(self) -> None:
        await self._count_marks()
        self._tell()

    def action_mark(self) -> None:
        """Mark the job under the cursor, or take its mark away, and go on."""
        if self.current is not None:
            self._range = None
            self._set_marks(self.marks.toggled([self.current]))
            self.action_down()

    def action_mark_range(self) -> None:
        """Begin to mark while moving, or end it."""
        if self._range is not None:
            self._range = None
        elif self.current is not None:
            self._range = (self._cursor, self.marks)
            self._mark_range()
            self._repaint()
        self._tell()

    def end_range(self) -> bool:
        """End marking by moving; return whether it was on."""
        was_on, self._range = self._range is not None, None
        self._tell()
        return was_on

    def _mark_range(self) -> None:
        if self._range is None:
            return
        start, base = self._range
        low, high = sorted((start, self._cursor))
        if self._window.first <= low and high < self._window.end:
            jobs = self._window.rows[low - self._window.first : high + 1 - self._window.first]
            self.marks = base.with_(jobs)
            self.marked = len(self.marks.ids) if base.filter is None else self.marked
        else:
            self.run_worker(self._mark_far(low, high), group="range", exclusive=True)

    async def _mark_far(self, low: int, high: int) -> None:
        report, begun = self._report, self._range
        if report is None or begun is None:
            return
        if high - low >= LONGEST_RANGE:
            self._range = None
            self.app.notify(f"a range may have {LONGEST_RANGE:,} jobs at the most; * marks all that match the filter",
                            severity="error")
            return
        jobs = await asyncio.to_thread(report.rows, low, high - low + 1)
        if begun is self._range and report is self._report:
            self._set_marks(begun[1].with_(jobs))

    def action_mark_all(self) -> None:
        """Mark all that the filter shows as of now, loaded or not."""
        self.run_worker(self._mark_all(), group="marks", exclusive=True)

    async def _mark_all(self) -> None:
        self._range = None
        newest = await asyncio.to_thread(self._open(JobFilter(), Sort("id")).rows, 0, 1)
        if newest:
            self._set_marks(Marks(filter=replace(self.filter, up_to=newest[0].id)))

    def action_mark_invert(self) -> None:
        """Turn the marks of the rows at hand round."""
        self._range = None
        self._set_marks(self.marks.toggled(self._window.rows))

    def action_mark_none(self) -> None:
        """Take all marks away."""
        self._range = None
        self._set_marks(Marks())

    # Keys: live

    def action_pause(self) -> None:
        """Hold what is on the screen while jobs come and go, or go on."""
        self.paused = not self.paused
        if self.paused:
            self._seen = self.total
        else:
            self.run_worker(self.reload(), group="resume", exclusive=True)
        self._tell()
