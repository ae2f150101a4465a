"""The columns of the jobs report: what each says of a job, how wide it is, and which give way on a narrow screen."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size

from core.secrecy import masked
from core.text import safe
from data.job_records import Job
from tui import kept
from tui.modes import MARKS, counted, mode_cell
from tui.units import elapsed
from tui.words import WORDS, encodable, marked, mask, unicode_output

DAY_AND_TIME = 16
ESSENTIAL = 8
"""Columns below this priority are shown at 80 cells."""
_LONGEST = 400
"""Characters of a text that are looked at: no screen shows more of one cell."""


class Column(NamedTuple):
    """One column, in its place from the left."""

    id: str
    title: str
    text: Callable[[Job, int], str]
    """Of a job and the width in cells; may be longer than that."""
    sort: str | None
    """The sort column that it shows, if any."""
    priority: int
    """The lowest stay longest."""
    least: int
    """Cells below which it is not worth showing."""
    enough: int
    """Cells beyond which more say nothing more."""
    right: bool = False
    ease: int = 0
    """Cells that it gets before a column that is not essential is shown at all."""


class Placed(NamedTuple):
    """A column on a screen of some width."""

    column: Column
    x: int
    width: int


def _moment(moment: dt.datetime | None, width: int) -> str:
    if moment is None:
        return ""
    local = moment.astimezone()
    if width >= DAY_AND_TIME:
        return local.strftime("%Y-%m-%d %H:%M")
    today = dt.datetime.now().date()
    if local.date() == today:
        return local.strftime("%H:%M:%S")
    return local.strftime("%d %b" if local.year == today.year else "%y-%m-%d")


def _report(job: Job) -> str:
    shown = masked(dict(job.report), mask())
    return " · ".join(str(value) for value in shown.values() if value not in (None, ""))


def _trail(job: Job) -> str:
    unicode = unicode_output()
    trail = "".join(WORDS[status].glyph if unicode else WORDS[status].ascii for status in job.trail)
    return trail + MARKS.get(job.mode, "")


COLUMNS: tuple[Column, ...] = (
    Column("id", "id", lambda job, _: str(job.id), "id", 0, 8, 10, right=True),
    Column("status", "status", lambda job, _: marked(job.status, unicode=unicode_output()), "status", 1, 11, 11),
    Column("title", "title", lambda job, _: job.title, "title", 2, 14, 60, ease=28),
    Column("recipe", "recipe", lambda job, _: job.recipe, "recipe", 4, 8, 16, ease=13),
    Column("received", "received", lambda job, width: _moment(job.received_at, width), "received_at", 3, 8, 16),
    Column("first_ran", "first ran", lambda job, width: _moment(job.first_started_at, width), "first_started_at",
           9, 9, 16),
    Column("last_ran", "last ran", lambda job, width: _moment(job.started_at, width), "started_at", 5, 8, 16),
    Column("finished", "finished", lambda job, width: _moment(job.finished_at, width), "finished_at", 14, 8, 16),
    Column("took", "took", lambda job, _: elapsed(job.duration_ms), "duration_ms", 11, 9, 9, right=True),
    Column("versions", "v", lambda job, _: counted(job), "versions", 6, 3, 4, right=True),
    Column("trail", "trail", lambda job, _: _trail(job), None, 10, 5, 9),
    Column("mode", "mode", lambda job, _: mode_cell(job), None, 16, 17, 17),
    Column("error", "error", lambda job, _: job.error.message if job.error else "", "error", 7, 8, 200, ease=20),
    Column("event_key", "event key", lambda job, _: job.event_key, "event_key", 13, 12, 24),
    Column("expires", "expires", kept.cell, None, 12, 7, 40),
    Column("report", "report", lambda job, _: _report(job), None, 15, 20, 80),
)


def place(width: int, left: int, columns: Sequence[Column] = COLUMNS) -> tuple[Placed, ...]:
    """Return the columns that fit into `width` cells, `left` of them kept free at the left, one between columns.

    Columns are dropped from the highest priority number on; what is left over is shared by those that can use it.
    """
    kept: list[Column] = []
    room = width - left
    for column in sorted(columns, key=lambda column: column.priority):
        eased = 0 if column.priority < ESSENTIAL else sum(max(one.ease - one.least, 0) for one in kept)
        if kept and column.least + 1 > room - eased:
            break
        kept.append(column)
        room -= column.least + 1
    widths = _shared(kept, max(room + 1, 0))
    placed = []
    x = left
    for column in columns:
        if column in kept:
            placed.append(Placed(column, x, min(widths[column.id], max(width - x, 1))))
            x += widths[column.id] + 1
    return tuple(placed)


def _shared(columns: Sequence[Column], room: int) -> dict[str, int]:
    widths = {column.id: column.least for column in columns}
    for wish in ("ease", "enough"):
        while room > 0 and (wanting := [column for column in columns if widths[column.id] < getattr(column, wish)]):
            share = max(room // len(wanting), 1)
            for column in wanting:
                given = min(share, getattr(column, wish) - widths[column.id], room)
                widths[column.id] += given
                room -= given
    return widths


def cell(placed: Placed, job: Job) -> str:
    """Return what a column says of a job, safe on a terminal, of exactly the column's width in cells."""
    return fit(placed.column.text(job, placed.width), placed.width, right=placed.column.right)


def fit(text: str, width: int, *, right: bool = False) -> str:
    """Return `text` as one safe line of exactly `width` cells; what is cut ends in `…` (`~` where there is none)."""
    shown = encodable(safe(text[:_LONGEST]))
    length = cell_len(shown)
    if length > width:
        return set_cell_size(shown, width - 1) + ("…" if unicode_output() else "~") if width else ""
    return " " * (width - length) + shown if right else shown + " " * (width - length)
