"""What stands behind the first report, made ready once that is there: the other screens, and the other orders."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING

from core.errors import JobdeckError
from data.records import SORT_COLUMNS, JobFilter, Sort
from tui.widgets.job_table import FALLING

if TYPE_CHECKING:
    from textual.command import Provider

    from core.automation import Report
    from tui.screens.base import DeckScreen

REST = 0.05
"""Seconds between two orders that are made ready: the event loop waits for Python's lock while that is done."""
_LATER = (
    "tui.palette", "tui.screens.activity", "tui.screens.audit", "tui.screens.detail", "tui.screens.diff",
    "tui.screens.errors", "tui.screens.history", "tui.screens.messages", "tui.screens.recipes",
)  # fmt: skip


def load() -> None:
    """Load them all, in a thread beside the report: else the first key to each would wait."""
    for name in _LATER:
        import_module(name)


def make_orders_ready(open_report: Callable[[JobFilter, Sort], Report], going: Callable[[], bool]) -> None:
    """Have the statements of each order built, in a thread beside the report: else the first key to each would wait.

    Ends before its time where it is not `going` on.
    """
    with suppress(JobdeckError):
        for column in SORT_COLUMNS:
            report = open_report(JobFilter(), Sort(column, column in FALLING))
            for job in report.rows(0, 1):
                report.near(job, 1, 1)
            if not going():
                break
            time.sleep(REST)


def recipes() -> DeckScreen:
    """Return the recipes."""
    from tui.screens.recipes import RecipesScreen

    return RecipesScreen()


def activity() -> DeckScreen:
    """Return the bulk reruns."""
    from tui.screens.activity import ActivityScreen

    return ActivityScreen()


def errors() -> DeckScreen:
    """Return the errors."""
    from tui.screens.errors import ErrorsScreen

    return ErrorsScreen()


def palette() -> type[Provider]:
    """Return what finds actions for the command palette."""
    from tui.palette import ActionProvider

    return ActionProvider
