"""Which columns a report has and in which order: the table's own, a recipe's report columns, and the user's choice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from core.secrecy import masked
from core.text import safe
from data.job_records import Job
from tui.columns import COLUMNS, ESSENTIAL, Column
from tui.words import mask

OWN = "report:"
"""Begins the id of a column that a recipe declares."""
_PINNED = 1
_LAST = 99


class Arrangement(NamedTuple):
    """The user's choice of columns; what it does not name is as the table has it."""

    order: tuple[str, ...] = ()
    """Ids from the left; a column that is not among them stands behind the one before it in the table."""
    shown: frozenset[str] = frozenset()
    """Ids of columns that give way last."""
    hidden: frozenset[str] = frozenset()

    def moved(self, id: str, step: int, columns: Sequence[Column]) -> Arrangement:
        """Return the choice with a column one place further left (-1) or right (1) among these columns."""
        ids = [column.id for column in columns]
        at = ids.index(id)
        to = max(min(at + step, len(ids) - 1), 0)
        ids.insert(to, ids.pop(at))
        return self._replace(order=tuple(ids))

    def turned(self, id: str) -> Arrangement:
        """Return the choice with the next state of a column: as there is room, always shown, hidden, and so on."""
        if id in self.shown:
            return self._replace(shown=self.shown - {id}, hidden=self.hidden | {id})
        if id in self.hidden:
            return self._replace(hidden=self.hidden - {id})
        return self._replace(shown=self.shown | {id})


def own_names(known: Iterable[str], jobs: Iterable[Job]) -> tuple[str, ...]:
    """Return the names of the report columns of these jobs, in the recipe's order, after those known already."""
    names = dict.fromkeys(known)
    for job in jobs:
        names |= dict.fromkeys(job.report)
    return tuple(names)


def columns_with(names: Sequence[str]) -> tuple[Column, ...]:
    """Return all columns, those of a recipe's report by name; the one that joins them only where there is no name.

    Then the recipe is the same in every row, and its column the first to give way.
    """
    if not names:
        return COLUMNS
    table = [column._replace(priority=_LAST) if column.id == "recipe" else column
             for column in COLUMNS if column.id != "report"]
    return (*table, *(_own(name, ESSENTIAL - 1 if number == 0 else ESSENTIAL) for number, name in enumerate(names)))


def _own(name: str, priority: int) -> Column:
    def text(job: Job, width: int) -> str:
        value = masked(job.report.get(name), mask(), name)
        return "" if value is None else str(value)

    return Column(OWN + name, name, text, None, priority, 8, 40, ease=12)


def arranged(columns: Sequence[Column], chosen: Arrangement) -> tuple[Column, ...]:
    """Return all these columns, hidden ones too, in the order chosen."""
    by_id = {column.id: column for column in columns}
    placed = [by_id[id] for id in chosen.order if id in by_id]
    before: Column | None = None
    for column in columns:
        if column not in placed:
            placed.insert(placed.index(before) + 1 if before is not None else 0, column)
        before = column
    return tuple(placed)


def visible(columns: Sequence[Column], chosen: Arrangement) -> tuple[Column, ...]:
    """Return the columns that may be shown, in the order chosen; those always shown give way last."""
    kept = [column for column in arranged(columns, chosen) if column.id not in chosen.hidden]
    return tuple(
        column._replace(priority=min(column.priority, _PINNED)) if column.id in chosen.shown else column
        for column in kept or columns[:1]
    )


def state(id: str, chosen: Arrangement) -> str:
    """Return how a column is chosen, in words."""
    return "always" if id in chosen.shown else "hidden" if id in chosen.hidden else "as there is room"


def title(column: Column) -> str:
    """Return what the list of columns calls a column."""
    return f"{safe(column.title)} (of the recipe)" if column.id.startswith(OWN) else column.title
