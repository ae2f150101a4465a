"""What the recipes' screens say of each recipe, its jobs of late and its revisions, as lines; needs no screen."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import chop_cells
from rich.text import Text

from core.text import safe, safe_block
from data.records import Hour, RecipeState, Revision, Tally
from data.states import Status
from tui.facts import running, told
from tui.units import count, local
from tui.words import DOT, WORDS, mark, unicode_output

if TYPE_CHECKING:
    from core.overview import Declared

HOURS = 24
"""Cells of the bars of a day."""
NARROW = 70
"""Columns below which the list has no bars."""
WIDE = 110
"""Columns from which the list has the triggers too."""
SIZE_UNITS = ("B", "kB", "MB")

_BARS, _NO_BAR = "▁▂▃▄▅▆▇█", "·"
_ASCII_BARS, _ASCII_NO_BAR = ":-=+*#%@", "."


def heading(width: int) -> str:
    """Return the heading of the list for a width in cells."""
    bars = f"{'LAST 24 HOURS':{HOURS}} " if width >= NARROW else ""
    trigger = f"{'TRIGGER':26} " if width >= WIDE else ""
    return f"{'RECIPE':18} {'STATE':8} {'REV':>4} {trigger}{bars}RECEIVED"


def recipe_line(state: RecipeState, declared: Declared | None, tally: Tally | None, width: int) -> Text:
    """Return a recipe as a line of the list; without a tally its jobs are still being counted."""
    revision = "-" if state.revision is None else f"r{state.revision}"
    line = Text.assemble((f"{safe(state.name, 18):18} ", "bold"), _padded(running(state), 8), f" {revision:>4} ")
    if width >= WIDE:
        line.append(f"{safe(declared.trigger if declared else '-', 26):26} ")
    if width >= NARROW:
        line.append_text(bars(tally.hours) if tally else Text(" " * HOURS)).append(" ")
    wrong = told(state)
    return line.append_text(wrong[0].copy() if wrong else Text(_received(tally)))


def bars(hours: Sequence[Hour]) -> Text:
    """Return a cell for each hour, the higher the more jobs it received; hours in which some failed are in red too."""
    levels, none = (_BARS, _NO_BAR) if unicode_output() else (_ASCII_BARS, _ASCII_NO_BAR)
    most = max((hour.received for hour in hours), default=0)
    text = Text()
    for hour in hours:
        # The busiest hour alone has the full height; one job is more than none.
        bar = levels[(hour.received * len(levels) - 1) // most] if hour.received else none
        text.append(bar, style="red" if hour.failed else "" if hour.received else "dim")
    return text


def _received(tally: Tally | None) -> str:
    if tally is None:
        return "counting…"
    received, failed = received_and_failed(tally)
    return f"{received:,}, {failed:,} failed" if received else "none"


def received_and_failed(tally: Tally) -> tuple[int, int]:
    """Return how many jobs the last hours brought, and how many of them have failed."""
    return sum(hour.received for hour in tally.hours), sum(hour.failed for hour in tally.hours)


def recipe_said(state: RecipeState, declared: Declared | None, tally: Tally | None, most: int) -> list[Text]:
    """Return what stands below the list of the recipe under the cursor, `most` lines at the most.

    What is wrong comes first, then trigger, jobs, hours.
    """
    trigger = trigger_line(state, declared)
    if declared is not None and declared.warnings:
        trigger.append(f"{DOT}{count(declared.warnings, 'warning')}: Enter tells", style="yellow")
    lines = [trigger, *tally_lines(tally)]
    wrong, room = told(state), max(most - len(lines), 1)
    if len(wrong) > room > 1:
        more = f"… {len(wrong) - room + 1} more: Enter opens its page"
        wrong = [*wrong[: room - 1], Text(more, style="red")]
    return [*wrong[:room], *lines][:most]


def trigger_line(state: RecipeState, declared: Declared | None) -> Text:
    """Return the line of a recipe's trigger: its name, its last poll and its next one."""
    if declared is None:
        return Text("trigger: no valid revision tells it", style="dim")
    parts = [f"trigger {safe(declared.trigger)}"]
    if declared.polled:
        parts.append(f"last poll {_time(state.polled_at)}" if state.polled_at else "not polled yet")
        if not state.started:
            parts.append("no next poll: it is stopped")
        elif state.next_poll_at is not None:
            parts.append(f"next {_time(state.next_poll_at)}")
    return Text(DOT.join(parts))


def tally_lines(tally: Tally | None) -> list[Text]:
    """Return the two lines on a recipe's jobs: by status, and those of the last hours."""
    if tally is None:
        return [Text("jobs: counting…"), Text("")]
    text = Text(count(sum(tally.statuses.values()), "job"))
    for status in Status:
        if number := tally.statuses.get(status):
            text.append(DOT).append_text(mark(status, word=False)).append(f" {number:,} {WORDS[status].word}")
    received, failed = received_and_failed(tally)
    last = f"last 24 hours: {received:,} received, {failed:,} failed"
    busiest = max(tally.hours, key=lambda hour: hour.received, default=None)
    if busiest is not None and busiest.received:
        last += f"{DOT}most from {busiest.began.astimezone():%H:%M}: {busiest.received:,}"
    if tally.looked_at is not None:
        last += f"{DOT}only the newest {tally.looked_at:,} jobs of all recipes looked at"
    return [text, Text(last)]


def _time(moment: dt.datetime) -> str:
    """Return a moment in the local zone, with its day where that is not today."""
    told_at = moment.astimezone()
    return f"{told_at:%H:%M:%S}" if told_at.date() == dt.datetime.now().astimezone().date() else local(moment)


# Revisions

REVISIONS_HEADING = f"{'REV':>5}   {'STORED':19}  {'SIZE':>8}  LINES"


def revision_rows(revisions: Sequence[Revision], marked: int | None) -> list[tuple[int, Text]]:
    """Return the lines of revisions, each with its number; `marked` is the one to be compared."""
    return [(revision.number, _revision(revision, revision.number == marked)) for revision in revisions]


def _revision(revision: Revision, marked: bool) -> Text:
    name = f"r{revision.number}"
    sign = ("d", "bold reverse") if marked else (" ", "")
    lines = len(revision.text.splitlines())
    facts = f" {local(revision.stored_at):19}  {size(revision.text):>8}  {lines:,}"
    return Text.assemble(f"{name:>5} ", sign, facts)


def size(text: str) -> str:
    """Return how large a text is in UTF-8: `812 B`, `4.1 kB`."""
    number = float(len(text.encode("utf-8", "surrogatepass")))
    unit = 0
    while number >= 1000 and unit < len(SIZE_UNITS) - 1:
        number, unit = number / 1000, unit + 1
    return f"{number:.0f} B" if unit == 0 else f"{number:.1f} {SIZE_UNITS[unit]}"


def revision_words(revision: Revision) -> str:
    """Return which revision it is, and when it was stored."""
    facts = (f"{safe(revision.recipe)} r{revision.number}", f"stored {local(revision.stored_at)}", size(revision.text))
    return DOT.join(facts)


def numbered(text: str, width: int) -> list[tuple[tuple[int, int], Text]]:
    """Return a text's lines with their numbers, what does not fit in pieces below; each with its number and piece."""
    lines = safe_block(text).splitlines() or [""]
    digits = len(str(len(lines)))
    rows = []
    for number, line in enumerate(lines, 1):
        for piece, part in enumerate(chop_cells(line, max(width - digits - 2, 10)) or [""]):
            head = f"{number if piece == 0 else '':>{digits}}  "
            rows.append(((number, piece), Text.assemble((head, "dim"), part)))
    return rows


def _padded(text: Text, width: int) -> Text:
    text.truncate(width, pad=True)
    return text
