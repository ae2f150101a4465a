"""When a step ran within its version, as a small bar; needs no screen."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from rich.text import Text

from data.records import StepRecord, Version
from tui.words import unicode_output

CELLS = 12
"""Cells of a bar."""
LEAST = 50
"""Cells of a line from which there are bars."""

_GLYPHS = {True: ("▬", "·"), False: ("=", ".")}
"""Of the step's own time and of the rest of the version's, the first of one cell everywhere; and their stand-ins."""


@dataclass(frozen=True, slots=True)
class Span:
    """The time of a version that has ended: nothing moves while one runs."""

    began: dt.datetime
    seconds: float

    @classmethod
    def of(cls, version: Version) -> Span | None:
        """Return a version's time, None while it runs or where it took none."""
        if version.started_at is None or version.finished_at is None:
            return None
        seconds = (version.finished_at - version.started_at).total_seconds()
        return cls(version.started_at, seconds) if seconds > 0 else None

    def bar(self, step: StepRecord) -> Text | None:
        """Return where in the version's time a step lies, and how much of it it took; None if that is not known."""
        if step.started_at is None or step.duration_ms is None:
            return None
        start, end = place((step.started_at - self.began).total_seconds(), step.duration_ms / 1000, self.seconds)
        own, other = _GLYPHS[unicode_output()]
        return Text.assemble((other * start, "dim"), own * (end - start), (other * (CELLS - end), "dim"))


def place(start: float, length: float, whole: float) -> tuple[int, int]:
    """Return from which cell to before which one a time lies in `whole`; always one cell at least, within the bar."""
    first = min(max(int(start / whole * CELLS), 0), CELLS - 1)
    last = round((start + length) / whole * CELLS)
    return first, min(max(last, first + 1), CELLS)
