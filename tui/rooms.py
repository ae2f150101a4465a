"""What stands behind the first report, loaded once that is there: the other screens."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from textual.command import Provider

    from tui.screens.base import DeckScreen

_LATER = (
    "tui.palette", "tui.screens.activity", "tui.screens.audit", "tui.screens.detail", "tui.screens.diff",
    "tui.screens.errors", "tui.screens.history", "tui.screens.messages", "tui.screens.recipes",
)  # fmt: skip


def load() -> None:
    """Load them all, in a thread beside the report: else the first key to each would wait."""
    for name in _LATER:
        import_module(name)


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
