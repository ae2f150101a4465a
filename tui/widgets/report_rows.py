"""The rows of a report of any length: those near the cursor at hand, read by key in threads, the cursor on its job."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from textual.message import Message
from textual.scroll_view import ScrollView

from core.errors import JobdeckError
from data.job_records import Job, JobFilter, Sort, Stopped
from tui.widgets.window import UNPLACED, Window, running
from tui.work import Work, begin

if TYPE_CHECKING:
    from core.automation import Report

BLOCK = 128
"""Rows that are fetched on each side of where the cursor goes; more where the screen has more lines."""
FRAME = 0.02
"""Seconds in which the screen is painted."""
ANCHORS_AFTER = 1.0
"""Seconds after which anchors are collected."""
ANCHORS_SHARE = 20
"""Anchors are collected anew at most in this part of the time."""
SOON = 0.3
"""Seconds after which it is told that there are many, while they are being counted."""
MANY = 50_000
BY_ID = ("id", "received_at")
"""Orders in which a job never changes its place."""


class ReportRows(ScrollView, can_focus=True, inherit_bindings=False):
    """Where one is in a report. Every read of the store runs in a thread; nothing shown changes before it is done.

    A subclass paints (`_repaint`), and is told by `view_changed`, `moved` and `counted`.
    """

    class Changed(Message):
        """What is shown, counted, sorted or marked is another."""

    def __init__(
        self, open_report: Callable[[JobFilter, Sort], Report], opened: Callable[[Job], None] = lambda job: None
    ) -> None:
        """`open_report` returns a report; cheap, and called on the event loop. `opened` is called by Enter on a job."""
        super().__init__()
        self._open = open_report
        self._opened = opened
        self._report: Report | None = None
        self._lock = asyncio.Lock()
        self._window = Window(None, [])
        self._cursor = 0
        self._top = 0
        self._wanted: int | None = None
        self._fixed = False
        self._reading = False
        self._seen: int | None = None
        self._unseen = 0
        self._anchors_at = (0.0, 0.0)
        self._anchoring: Report | None = None
        self.filter = JobFilter()
        self.sort = Sort()
        self.total: int | None = None
        """How many jobs the filter shows; None while they are being counted."""
        self.at_least: int | None = None
        """How many it shows at the least, while that is all that is known."""
        self.everything: int | None = None
        """How many jobs there are."""
        self.paused = False
        self.follow = True
        """Whether the screen goes with the cursor's job when its place in the order changes, or holds its place."""
        self.trouble = False
        """Whether the last read failed."""

    # What a subclass does

    def view_changed(self) -> None:
        """Another filter or order begins."""

    def moved(self) -> None:
        """The cursor may be on another row; what follows is painted."""

    def departed(self, job: Job) -> None:
        """The job that was under the cursor is not there any more: the cursor is on the one that took its place."""

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
    def at_top(self) -> bool:
        """Whether the cursor is on the first row."""
        return self._cursor == 0

    @property
    def new(self) -> int:
        """How many more jobs the filter shows than when its first row, or its pause, was last seen."""
        # A job that came between the last rows and their count is among those counted.
        return 0 if self.total is None or self._seen is None else max(self.total - self._seen, self._unseen)

    def _see_all(self) -> None:
        self._seen, self._unseen = self.total, 0

    def neighbour(self, job_id: int, step: int) -> int | None:
        """Return the id of the job `step` rows from another, None where it is not at hand."""
        position = self._window.find(job_id)
        job = None if position is None else self._window.at(position + step)
        if job is not None and position is not None:
            self._go(position + step)
        return None if job is None else job.id

    @property
    def cursor_line(self) -> int:
        """The line of the widget that the cursor is on."""
        return self._cursor - self._top + self._head

    # Reading

    def on_unmount(self) -> None:
        """Give up what is being read: nobody is to wait for it when the terminal ends."""
        if self._report is not None:
            self._report.stop()

    def _work(self, work: Work, group: str, *, exclusive: bool = True) -> None:
        """Do `work` beside the event loop's other work; what the store refuses becomes a message."""
        begin(self, work, group, told=self._told, exclusive=exclusive)

    async def _told(self, work: Work) -> None:
        try:
            await work
        except Stopped:
            # Another view was asked for meanwhile.
            return
        except JobdeckError as error:
            self.trouble = True
            self.app.notify(str(error), severity="error")
            self._tell()

    def change(self, filter: JobFilter, sort: Sort, on: int | None = None) -> None:
        """Show another filter or order, as soon as its rows were read; the cursor stays on its job if it is in it.

        Where there is no job under the cursor it goes on the one whose id is `on`.
        """
        if self._report is not None:
            self._report.stop()
        report = self._report = self._open(filter, sort)
        self.filter, self.sort, self.total, self._seen = filter, sort, None, None
        self._wanted = self.at_least = None
        self._unseen = 0
        self.view_changed()
        self._tell()
        # Now, because keys that follow are meant for what will be shown.
        self._work(self._view(report, self.current, self._cursor - self._top, on), "view")

    async def _view(self, report: Report, kept: Job | None, line: int, on: int | None) -> None:
        async with self._lock:
            if kept is None and on is not None:
                kept = await asyncio.to_thread(report.job, on)
            # No more than is seen: what lies around it is read when that is painted.
            before, after = max(line, 1), max(self._height - line, 1)
            rows, above = await self._near_or_top(report, kept, before, after)
            if report is not self._report:
                return
            # Where it stands in the whole is told later.
            self._adopt(report, rows, above, before, after, kept=kept, position=UNPLACED)
            self._place(max(min(self._cursor, self._window.end - 1), self._window.first), min(line, above))
        self._read_more()
        self._work(self._complete(report), "complete")

    async def reload(self) -> None:
        """Read anew what is on the screen; the cursor stays on its job, and the job on its line."""
        report = self._report
        if report is None:
            return
        try:
            if not self.paused:
                async with self._lock:
                    await self._reread(report)
            await self._complete(report)
        except Stopped:
            return

    async def _reread(self, report: Report) -> None:
        each = 2 * self._height
        kept = self.current
        if kept is None and self._reading and self._wanted is not None:
            # On the way to a row that is far off: what is read there is new.
            return
        rows, above = await self._near_or_top(report, kept, each, each, stay=True)
        if report is not self._report:
            return
        self._adopt(report, rows, above, each, each, kept=kept)
        self._stay()
        if kept is not None and self._window.find(kept.id) is None:
            self.departed(kept)

    def _adopt(
        self, report: Report, rows: list[Job], above: int, before: int, after: int, *, kept: Job | None,
        position: int | None = None,
    ) -> None:
        """Have rows at hand, `above` of them before the one that takes the place of `kept`.

        So many were asked for `before` that one, so many from it on; fewer end the report.

        That one's position is the one of `kept` so far, unless another is given. The cursor, and where keys that were
        pressed while the rows were read have sent it, keep their distance from it.
        """
        self.trouble = False
        found = None if kept is None else self._window.find(kept.id)
        stood = self._cursor if found is None else found
        first = 0 if above < before else max((stood if position is None else position) - above, 1)
        was_at_top = self._top == 0 and self._window.report is report
        self._window = Window(report, rows, first, len(rows) - above < after)
        self._shift(first + above - stood)
        if was_at_top and self.sort.column in BY_ID:
            self._unseen = self._top
        if self._window.first == 0 and self._window.last:
            self.total = len(rows)

    async def _near_or_top(
        self, report: Report, kept: Job | None, before: int, after: int, *, stay: bool = False
    ) -> tuple[list[Job], int]:
        """Return rows around a job, or the first ones; `stay`: around its place even if it left the report."""
        held = stay and not self.follow

        def read() -> tuple[list[Job], int]:
            if kept is not None:
                rows, above = report.near(kept, before, after, held=held, stay=stay)
                if rows:
                    return rows, min(above, len(rows) - 1)
            return report.rows(0, before + after), 0

        try:
            return await asyncio.to_thread(read)
        except Stopped:
            return [], 0

    async def _complete(self, report: Report) -> None:
        """Count, find the place of the rows in the whole, and have anchors collected where they are due."""
        await self._count(report)
        if not self.paused:
            await self._locate(report)
        at, took = self._anchors_at
        due = not at or time.monotonic() - at > took * ANCHORS_SHARE
        if report is self._report and due and self._anchoring is not report:
            self._anchoring = report
            self._work(self._anchor(report), "anchors", exclusive=False)

    async def _locate(self, report: Report) -> None:
        # Below a first row at position 0 everything counts from there.
        while report is self._report and self._window.first and (job := self.current) is not None:
            position = await asyncio.to_thread(report.position, job.id)
            found = self._window.find(job.id)
            if report is self._report and position is not None and found is not None:
                self._window.first += position - found
                self._shift(position - found)
            if position is None or found is not None:
                break
        self._tell()

    async def _count(self, report: Report) -> None:
        counting = running(report.count)
        if self.total is None:
            await self._count_some(report, counting)
        total = await counting
        everything = await asyncio.to_thread(self._open(JobFilter(), Sort("id")).count)
        if report is not self._report:
            return
        self.total, self.everything = total, everything
        if self._seen is None or (self._top == 0 and not self.paused):
            self._see_all()
        await self.counted()
        self._tell()

    async def _count_some(self, report: Report, counting: asyncio.Future[int]) -> None:
        """Tell that there are many, if that is known before they are counted."""
        if (await asyncio.wait({counting}, timeout=SOON))[0]:
            return
        many = running(report.has_more_than, MANY)
        both: set[asyncio.Future[Any]] = {counting, many}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        known = many.done() and not counting.done() and many.exception() is None
        if known and many.result() and report is self._report:
            self.at_least = MANY
            self._tell()

    async def _anchor(self, report: Report) -> None:
        try:
            # Whoever has just chosen an order moves in it, and its ends need no anchors.
            await asyncio.sleep(ANCHORS_AFTER)
            began = time.monotonic()
            if report is self._report:
                await asyncio.to_thread(report.collect_anchors, lambda: report is not self._report)
                self._anchors_at = (time.monotonic(), time.monotonic() - began)
        finally:
            if self._anchoring is report:
                self._anchoring = None

    # Moving

    def _go(self, position: int, *, fixed: bool = False) -> None:
        """Put the cursor on a row; at once if it is at hand, else as soon as it was read.

        `fixed`: the position is meant as such, not as so many rows from another.
        """
        self._fixed = fixed
        end = self._end if self._window.placed or not fixed else self.total
        self._wanted = max(position if end is None else min(position, end - 1), 0)
        # The first row of a view that was not read yet is another than that of the one before.
        meant = not fixed or self._window.report is self._report
        if meant and self._at_hand(self._wanted):
            self._place(self._wanted)
            self._wanted = None
        self._read_more()

    def _read_more(self) -> None:
        # One read at a time: keys typed meanwhile only move the aim.
        if not self._reading and (self._wanted is not None or self._near_edge()):
            self._reading = True
            self._work(self._read_on(), "read", exclusive=False)

    def _step(self, rows: int) -> None:
        """Go so many rows on from where keys have sent the cursor already."""
        if self._wanted is None:
            self._go(self._cursor + rows)
        else:
            self._go(self._wanted + rows, fixed=self._fixed)

    @property
    def _end(self) -> int | None:
        """The position behind the last row, None where that is not known."""
        if self._window.report is not self._report:
            return None
        if self._window.last:
            return self._window.end
        return self.total if self._window.placed else None

    @property
    def _block(self) -> int:
        return max(BLOCK, 2 * self._height)

    @property
    def _height(self) -> int:
        # Before it is laid out, no more than the terminal has.
        return max((self.size.height or self.app.size.height) - self._head, 1)

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
            while (aimed := self._wanted is not None) or self._near_edge():
                if not aimed:
                    # What is at hand is painted first: the thread that reads would hold that up.
                    await asyncio.sleep(FRAME)
                if not await self._read_once() or (not aimed and self._wanted is None):
                    break
        finally:
            self._reading = False

    async def _read_once(self) -> bool:
        """Read once towards what is wanted; return whether another read may be needed."""
        async with self._lock:
            report = self._report
            if report is None:
                return False
            try:
                read = await self._read_towards(report, self._wanted)
            except Stopped:
                read = False
            if report is not self._report:
                # What is wanted now is wanted of the view that began meanwhile.
                return True
            # Another key may have moved the aim, or a lookup every position.
            if self._wanted is not None and self._end is not None:
                self._wanted = max(min(self._wanted, self._end - 1), 0)
            if not read:
                self._wanted = None
            elif self._wanted is not None and self._at_hand(self._wanted):
                self._place(self._wanted)
                self._wanted = None
            return read

    async def _read_towards(self, report: Report, wanted: int | None) -> bool:
        """Have at hand what is around a position, the cursor's if None, or nearer to it; return whether it is there."""
        window = self._window
        if wanted is None:
            return self.current is not None and await self._extend(report, self.current)
        near = window.first - BLOCK < wanted < window.end + BLOCK
        # While nobody knows where the rows at hand stand, others count from them, step by step.
        if window.rows and (near if window.placed else not self._fixed):
            nearest = max(min(wanted, window.end - 1), window.first)
            return await self._extend(report, window.rows[nearest - window.first])
        return await self._fetch(report, wanted)

    async def _fetch(self, report: Report, wanted: int) -> bool:
        many = self._height
        first = max(wanted - many // 2, 0)
        if self.total is not None:
            first = max(min(first, self.total - many), 0)
        rows = await asyncio.to_thread(report.rows, first, many)
        if report is not self._report or not rows:
            return False
        self._window = Window(report, rows, first, len(rows) < many)
        return True

    async def _extend(self, report: Report, kept: Job) -> bool:
        """Replace the rows at hand by those around one of them; return whether that was done."""
        each = self._block
        rows, above = await asyncio.to_thread(report.near, kept, each, each)
        if report is not self._report or self._window.find(kept.id) is None or not rows:
            return False
        self._adopt(report, rows, above, each, each, kept=kept)
        self._repaint()
        return True

    def _shift(self, by: int) -> None:
        """Have the cursor, and where it is to go, `by` higher: the same rows stand there."""
        self._cursor += by
        self._top = max(self._top + by, 0)
        if self._wanted is not None and not self._fixed:
            self._wanted = max(self._wanted + by, 0)

    def _top_for(self, position: int, line: int | None = None) -> int:
        height = self._height
        top = self._top if line is None else position - line
        if not top <= position < top + height:
            half = height // 2
            # A step scrolls by one row, which the terminal does by itself.
            if abs(position - self._cursor) == 1:
                half = height - 1
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
            self._see_all()
        self.moved()
        self._repaint()
        self._tell()

    def _tell(self) -> None:
        self.post_message(self.Changed())
