"""The rows of a report of any length: those near the cursor at hand, read by key in threads, the cursor on its job."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual import events
from textual.message import Message
from textual.scroll_view import ScrollView

from data.records import Job, JobFilter, Sort, Stopped

if TYPE_CHECKING:
    from core.automation import Report

BLOCK = 128
"""Rows that are fetched on each side of where the cursor goes."""
ANCHORS_SHARE = 20
"""Anchors are collected anew at most in this part of the time."""


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


class ReportRows(ScrollView, can_focus=True, inherit_bindings=False):
    """Where one is in a report. Every read of the store runs in a thread; nothing shown changes before it is done.

    A subclass paints (`_repaint`), and is told by `view_changed`, `moved`, `positions_shifted` and `counted`.
    """

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
        self._seen: int | None = None
        self._anchors_at = (0.0, 0.0)
        self.filter = JobFilter()
        self.sort = Sort()
        self.total: int | None = None
        """How many jobs the filter shows; None while they are being counted."""
        self.everything: int | None = None
        """How many jobs there are."""
        self.paused = False

    # What a subclass does

    def view_changed(self) -> None:
        """Another filter or order begins."""

    def moved(self) -> None:
        """The cursor may be on another row; what follows is painted."""

    def positions_shifted(self, by: int) -> None:
        """Every row's position is `by` higher."""

    async def counted(self) -> None:
        """The store moved, and was counted anew."""

    def _repaint(self) -> None:
        raise NotImplementedError

    # What it tells

    @property
    def current(self) -> Job | None:
        """The job under the cursor."""
        return self._window.at(self._cursor)

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
        self._wanted = None
        self.view_changed()
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
            at, took = self._anchors_at
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
        await self.counted()
        self._tell()

    async def _anchor(self, report: Report) -> None:
        began = time.monotonic()
        await asyncio.to_thread(report.collect_anchors, lambda: report is not self._report)
        self._anchors_at = (time.monotonic(), time.monotonic() - began)

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
        self.positions_shifted(by)

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
        self.moved()
        self._repaint()
        self._tell()

    def _tell(self) -> None:
        self.post_message(self.Changed())

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
