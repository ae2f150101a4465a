"""Marks on the rows of a report: on single jobs by id, or on all that a filter shows, and how many there are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from data.job_records import Job, JobFilter, Sort
from tui.filters import both
from tui.marks import Marks, shows
from tui.widgets.moving import MovingRows

if TYPE_CHECKING:
    from core.automation import Report

LONGEST_RANGE = 20_000
NOT_AMONG = "this is none of the jobs that a filter marked; U takes those marks away"


class MarkedRows(MovingRows, can_focus=True, inherit_bindings=False):
    """A report in which jobs are marked; marks stay on their jobs under every filter and order."""

    def __init__(
        self, open_report: Callable[[JobFilter, Sort], Report], opened: Callable[[Job], None] = lambda job: None
    ) -> None:
        super().__init__(open_report, opened)
        self._range: tuple[Job, Marks] | None = None
        self.marks = Marks()
        self.marked: int | None = 0
        """How many jobs are marked; None while they are being counted."""
        self.outside: int | None = 0
        """How many of them the filter does not show; None where that is not known."""

    @property
    def in_range(self) -> bool:
        """Whether moving marks."""
        return self._range is not None

    def remember(self) -> None:
        """What is marked is about to change."""

    def view_changed(self) -> None:
        self._range = None
        self.outside = None
        self._count_marks_soon()

    def moved(self) -> None:
        self._mark_range()

    async def counted(self) -> None:
        await self._count_marks()

    # Counting

    def set_marks(self, marks: Marks) -> None:
        """Have these jobs marked."""
        self.marks = marks
        self.marked = len(marks.ids) if marks.filter is None else None
        self._count_marks_soon()
        self._repaint()
        self._tell()

    def _count_marks_soon(self) -> None:
        if not self.marks or (self.marks.filter is None and self.filter == JobFilter()):
            self.outside = 0
        else:
            self._work(self._counted_marks(), "marks")

    async def _counted_marks(self) -> None:
        await self._count_marks()
        self._tell()

    async def _count_marks(self) -> None:
        marks, filter = self.marks, self.filter
        if not marks:
            self.marked = self.outside = 0
            return
        whole = marks.as_filter()
        marked = len(marks.ids) if marks.filter is None else await self._number(whole)
        inside = both(whole, filter)
        outside: int | None = 0
        if filter not in (whole, JobFilter()):
            outside = None if inside is None else marked - await self._number(inside)
        if marks is self.marks and filter == self.filter:
            self.marked, self.outside = marked, outside

    async def _number(self, filter: JobFilter) -> int:
        return await asyncio.to_thread(self._open(filter, Sort("id")).count)

    # Keys

    def action_mark(self) -> None:
        """Mark the job under the cursor, or take its mark away, and go on."""
        if self.current is None:
            return
        if self.marks.filter is not None and not shows(self.marks.filter, self.current):
            self.app.notify(NOT_AMONG)
            return
        self._range = None
        self.remember()
        self.set_marks(self.marks.toggled([self.current]))
        self.action_down()

    def action_mark_range(self) -> None:
        """Begin to mark while moving, or end it."""
        if self._range is not None:
            self._range = None
        elif self.current is not None:
            self.remember()
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
            self.set_marks(begun[1].with_(jobs))

    def action_mark_all(self) -> None:
        """Mark all that the filter shows as of now, loaded or not."""
        self._work(self._mark_all(), "marking")

    async def _mark_all(self) -> None:
        self._range = None
        filter = self.filter
        newest = await asyncio.to_thread(self._open(JobFilter(), Sort("id")).rows, 0, 1)
        if newest and filter == self.filter:
            self.remember()
            self.set_marks(Marks(filter=replace(filter, up_to=filter.up_to or newest[0].id)))

    def action_mark_invert(self) -> None:
        """Turn the marks of the rows at hand round."""
        self._range = None
        marks = self.marks.toggled(self._window.rows)
        if marks == self.marks and self._window.rows:
            self.app.notify(NOT_AMONG)
            return
        self.remember()
        self.set_marks(marks)

    def action_mark_none(self) -> None:
        """Take all marks away."""
        self._range = None
        if self.marks:
            self.remember()
            self.set_marks(Marks())
