"""The jobs report as a table: its columns and their order, and painting only what differs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region
from textual.strip import Strip

from core.text import safe
from data.job_records import SECOND_COLUMNS, Job, JobFilter, Sort
from tui.actions import bindings
from tui.arrangement import Arrangement, arranged, columns_with, own_names, visible
from tui.columns import Column, Placed, cell, fit, place
from tui.filters import no_second
from tui.marks import Marks
from tui.widgets.marking import MarkedRows
from tui.widgets.report_rows import BLOCK
from tui.widgets.window import Window
from tui.words import ARROWS, WORDS, unicode_output

if TYPE_CHECKING:
    from core.automation import Report

BAR = 2
"""Cells at the left: the cursor, the mark."""
UNDO = 50
"""Changes that can be undone."""

_PLAIN = Style.null()
_BOLD = Style(bold=True)
_CURSOR = Style(bold=True, reverse=True)
_TITLE = Style(underline=True)
_TITLE_CURSOR = Style(bold=True, reverse=True)
FALLING = ("id", "received_at", "first_started_at", "started_at", "finished_at", "duration_ms", "versions")
"""Sort columns that begin with the highest."""
_UNSORTABLE = {
    "trail": "v, the count of versions, can",
    "mode": "v, the count of versions, can",
    "expires": "it counts from when the job ended: finished can",
}
_UNSORTABLE_OWN = "what recipes report has no index; / finds jobs by title, key and error"


class Before(NamedTuple):
    """What can be come back to."""

    filter: JobFilter
    sort: Sort
    arrangement: Arrangement
    marks: Marks


class JobTable(MarkedRows, can_focus=True, inherit_bindings=False):
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
        # What is about to be painted; made anew whenever anything changes that shows.
        self._fresh: dict[int, Strip] = {}
        self._bodies: dict[int, tuple[Job, list[Segment]]] = {}
        self._own: tuple[str | None, tuple[str, ...]] = (None, ())
        self._own_of: Window | None = None
        self._before: list[Before] = []
        self.arrangement = Arrangement()
        self._notice = ""
        self.one_change = False
        """Whether the views that follow are one change to undo."""

    # What it tells

    @property
    def column(self) -> Placed | None:
        """The column under the column cursor."""
        return next((placed for placed in self._placed if placed.column.id == self._column), None)

    @property
    def columns(self) -> tuple[Column, ...]:
        """All columns that there are now, hidden ones too, in their order."""
        return arranged(columns_with(self._own[1]), self.arrangement)

    def note(self, notice: str) -> None:
        """Have `notice` stand where no job is."""
        if notice != self._notice:
            self._notice = notice
            self._repaint()

    def departed(self, job: Job) -> None:
        if told := self.left_by(job):
            self.app.notify(told.removeprefix("; "))

    def left_by(self, job: Job | None) -> str:
        """Return, to be said after what was done, that a job is not here any more; nothing where it is."""
        if job is None or self.current is None or self._window.find(job.id) is not None:
            return ""
        return f"; {job.id} is not here any more, the cursor is on {self.current.id}"

    # Views, and back

    def change(self, filter: JobFilter, sort: Sort, on: int | None = None) -> None:
        """Show another filter or order, as soon as its rows were read; what was before can be undone."""
        if self._report is not None:
            self.remember()
        super().change(filter, sort, on)

    def choose_columns(self, arrangement: Arrangement) -> None:
        """Show other columns, or in another order."""
        if arrangement != self.arrangement:
            self.remember()
            self.arrangement = arrangement
            self._place_columns()

    def remember(self) -> None:
        if not self.one_change:
            self._before = [*self._before[1 - UNDO:], self._now()]

    def _now(self) -> Before:
        return Before(self.filter, self.sort, self.arrangement, self.marks)

    def undo(self) -> str:
        """Go back to what was before the last change; return what that changed, empty where there is nothing."""
        now = self._now()
        while self._before:
            before = self._before.pop()
            if before == now:
                continue
            if (before.filter, before.sort) != (now.filter, now.sort):
                super().change(before.filter, before.sort)
            if before.arrangement != now.arrangement:
                self.arrangement = before.arrangement
                self._place_columns()
            if before.marks != now.marks:
                self._range = None
                self.set_marks(before.marks)
            return " and ".join(name for name in ("filter", "sort", "arrangement", "marks")
                                if getattr(before, name) != getattr(now, name))
        return ""

    # Painting

    def render_line(self, y: int) -> Strip:
        strip = self._fresh.pop(y, None) or self._strip(y, self.size.width)
        if y < len(self._painted):
            self._painted[y] = strip
        return strip

    def _strip(self, y: int, width: int) -> Strip:
        if y < self._head:
            return Strip(self._titles()).adjust_cell_length(width, _PLAIN)
        position = self._top + y - self._head
        job = self._window.at(position)
        if job is None:
            notice = self._notice if y == 2 and not self._window.rows else ""
            return Strip([Segment(fit(notice, width), _PLAIN)])
        return Strip(self._row(job, position)).adjust_cell_length(width, _PLAIN)

    def _titles(self) -> list[Segment]:
        segments = [Segment(" " * BAR, _PLAIN)]
        for placed in self._placed:
            column = placed.column
            arrow = self._arrow(column)
            style = _TITLE_CURSOR if column.id == self._column else _TITLE
            segments += [Segment(fit(column.title, placed.width, right=column.right), style), Segment(arrow, _PLAIN)]
        return segments

    def _arrow(self, column: Column) -> str:
        sort = self.sort
        if column.sort is None or column.sort not in (sort.column, sort.then):
            return " "
        descending = sort.descending if column.sort == sort.column else sort.then_descending
        return ARROWS[descending][0 if unicode_output() else 1]

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
        self._know_own()
        width, height = self.size
        self._fresh.clear()
        for y in range(min(height, len(self._painted))):
            strip = self._strip(y, width)
            if self._painted[y] != strip:
                self._fresh[y] = strip
                self.refresh(Region(0, y, width, 1))

    def _know_own(self) -> None:
        """Give the report columns of a recipe a column each where all rows at hand are of that recipe."""
        window = self._window
        if window is self._own_of:
            return
        self._own_of = window
        recipes = {job.recipe for job in window.rows} or {self.filter.recipe}
        recipe = recipes.pop() if len(recipes) == 1 else None
        known = self._own[1] if recipe is not None and recipe == self._own[0] else ()
        own = (recipe, own_names(known, window.rows) if recipe is not None else ())
        if own != self._own:
            self._own = own
            self._set_columns()

    def on_resize(self, event: events.Resize) -> None:
        """Place the columns anew; the cursor stays in sight."""
        self._painted = [Strip.blank(0)] * event.size.height
        self._place_columns()
        self._stay()
        self.refresh()

    def _place_columns(self) -> None:
        self._set_columns()
        self._repaint()

    def _set_columns(self) -> None:
        self._placed = place(self.size.width, BAR, visible(columns_with(self._own[1]), self.arrangement))
        self._bodies.clear()
        if self.column is None and self._placed:
            self._column = self._placed[0].column.id

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
        if (column := self._sortable()) is not None:
            self.sort_by(column)

    def action_sort_second(self) -> None:
        """Sort jobs with the same first value by the column under the cursor; again turns that round."""
        if (then := self._sortable()) is None:
            return
        sort = self.sort
        if then not in SECOND_COLUMNS.get(sort.column, ()):
            self.app.notify(no_second(sort.column, then))
            return
        descending = not sort.then_descending if then == sort.then else then in FALLING
        self.change(self.filter, replace(sort, then=then, then_descending=descending))

    def _sortable(self) -> str | None:
        placed = self.column
        if placed is not None and placed.column.sort is None:
            why = _UNSORTABLE.get(placed.column.id, _UNSORTABLE_OWN)
            self.app.notify(f"{safe(placed.column.title)} cannot be sorted by: {why}")
        return None if placed is None else placed.column.sort

    def action_sort_reverse(self) -> None:
        """Turn the order round."""
        sort = self.sort
        turned = replace(sort, descending=not sort.descending)
        if sort.then is not None:
            turned = replace(turned, then_descending=not sort.then_descending)
        self.change(self.filter, turned)

    def sort_by(self, column: str) -> None:
        """Sort by a column, the highest first where that is what one looks for; again turns the order round."""
        if column == self.sort.column:
            self.change(self.filter, replace(self.sort, descending=not self.sort.descending))
        else:
            self.change(self.filter, Sort(column, column in FALLING))

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

    # Keys: live

    def action_pause(self) -> None:
        """Hold what is on the screen while jobs come and go, or go on."""
        self.paused = not self.paused
        if self.paused:
            self._see_all()
        else:
            self._work(self.reload(), "resume")
        self._tell()

    def action_follow(self) -> None:
        """Go with the cursor's job when its place in the order changes, or hold the place."""
        self.follow = not self.follow
        self._tell()

    def action_undo(self) -> None:
        """Take the last change of filter, order, marks or columns back."""
        undone = self.undo().replace("arrangement", "columns")
        self.app.notify(f"back to the {undone} before" if undone else "there is nothing to undo")
