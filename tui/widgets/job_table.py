"""The jobs report as a table: its columns and their order, marks that stay on jobs, and painting only what differs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region
from textual.strip import Strip

from data.records import Job, JobFilter, Sort
from tui.actions import bindings
from tui.columns import Placed, cell, fit, place
from tui.marks import Marks
from tui.widgets.report_rows import BLOCK, ReportRows
from tui.words import ARROWS, WORDS, unicode_output

if TYPE_CHECKING:
    from core.automation import Report

BAR = 2
"""Cells at the left: the cursor, the mark."""
LONGEST_RANGE = 20_000

_PLAIN = Style.null()
_BOLD = Style(bold=True)
_CURSOR = Style(bold=True, reverse=True)
_TITLE = Style(underline=True)
_TITLE_CURSOR = Style(bold=True, reverse=True)
_FALLING = ("id", "received_at", "first_started_at", "started_at", "finished_at", "duration_ms", "versions")
"""Sort columns that begin with the highest."""


class JobTable(ReportRows, can_focus=True, inherit_bindings=False):
    """The report as one sees it. The cursor is narrow, so that a move writes little."""

    BINDINGS: ClassVar[list[Any]] = [*bindings("report")]
    DEFAULT_CSS = "JobTable { scrollbar-size: 0 0; overflow: hidden hidden; height: 1fr; }"

    def __init__(
        self, open_report: Callable[[JobFilter, Sort], Report], opened: Callable[[Job], None] = lambda job: None
    ) -> None:
        super().__init__(open_report, opened)
        self._column = "received"
        self._placed: tuple[Placed, ...] = ()
        self._painted: list[Strip] = []
        self._bodies: dict[int, tuple[Job, list[Segment]]] = {}
        self._range: tuple[Job, Marks] | None = None
        self.marks = Marks()
        self.marked: int | None = 0
        """How many jobs are marked; None while they are being counted."""
        self.notice = ""
        """What stands where no job is."""

    # What it tells

    @property
    def column(self) -> Placed | None:
        """The column under the column cursor."""
        return next((placed for placed in self._placed if placed.column.id == self._column), None)

    @property
    def in_range(self) -> bool:
        """Whether moving marks."""
        return self._range is not None

    def view_changed(self) -> None:
        self._range = None

    def moved(self) -> None:
        self._mark_range()

    async def counted(self) -> None:
        if self.marks.filter is not None:
            await self._count_marks()

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
            self._work(self._counted_marks(), "marks")
        self._repaint()
        self._tell()

    async def _count_marks(self) -> None:
        marks = self.marks
        if marks.filter is None:
            self.marked = len(marks.ids)
            return
        counted = await asyncio.to_thread(self._open(marks.filter, Sort("id")).count)
        if marks is self.marks:
            self.marked = max(counted - len(marks.excluded), 0)

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
            self._range = (self.current, self.marks)
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
        begun, base = self._range
        start = self._window.find(begun.id)
        if start is None or self.current is None:
            self._work(self._mark_far(), "range")
            return
        low, high = sorted((start, self._cursor))
        self.marks = base.with_(self._window.rows[low - self._window.first : high + 1 - self._window.first])
        self.marked = len(self.marks.ids) if base.filter is None else self.marked

    async def _mark_far(self) -> None:
        report, begun, to = self._report, self._range, self.current
        if report is None or begun is None or to is None:
            return
        start = await asyncio.to_thread(report.position, begun[0].id)
        end = await asyncio.to_thread(report.position, to.id)
        if start is None or end is None:
            return
        low, high = sorted((start, end))
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
        self._work(self._mark_all(), "marks")

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
            self._work(self.reload(), "resume")
        self._tell()
