"""The keys of what has the focus; typing filters them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich.text import Text
from textual import events
from textual.widget import Widget
from textual.widgets import Input

from tui.actions import Action, shown
from tui.screens.base import DeckScreen
from tui.widgets.lines import BAR, TextLines
from tui.wrapping import wrapped


class HelpScreen(DeckScreen):
    """A list of actions, with the reason where one does nothing now."""

    WHERE = "help"

    def __init__(self, of: str, offered: Sequence[Action], off: Mapping[str, str]) -> None:
        super().__init__()
        self._of = of
        self._offered = offered
        self._off = off

    def body(self) -> Iterable[Widget]:
        search = Input(placeholder="type to filter; Esc goes back", compact=True)
        search.cursor_blink = False
        yield search
        yield TextLines()

    def place(self) -> str:
        return f"keys of {self._of}"

    def on_mount(self) -> None:
        self.query_one(TextLines).can_focus = False
        self.set_focus(self.query_one(Input))
        self._show("")

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter."""
        self._show(event.value)

    def on_key(self, event: events.Key) -> None:
        """Move in the list while the text has the focus."""
        moves = {"down": "down", "up": "up", "pagedown": "page_down", "pageup": "page_up"}
        if event.key in moves:
            event.stop()
            getattr(self.query_one(TextLines), f"action_{moves[event.key]}")()

    def on_resize(self, event: events.Resize) -> None:
        """Break the lines anew."""
        self._show(self.query_one(Input).value)

    def _show(self, wanted: str) -> None:
        width = self.app.size.width - BAR
        rows = [
            ((id, number), row)
            for id, line in help_rows(self._offered, self._off, wanted)
            # What a narrow screen would cut off is why a key does nothing.
            for number, row in enumerate(wrapped(line, width))
        ]
        self.query_one(TextLines).show(rows or [(("none", 0), Text("no key does that"))])


def help_rows(offered: Iterable[Action], off: Mapping[str, str], wanted: str = "") -> list[tuple[str, Text]]:
    """Return a line for each action whose keys or label contain `wanted`, with its reason where it is off."""
    rows = []
    for action in offered:
        keys = " ".join(shown(key) for key in action.keys)
        if wanted.casefold() in f"{keys} {action.label}".casefold():
            line = Text.assemble((f"{keys:14} ", "bold"), action.label)
            if action.id in off:
                line.append(f" — off: {off[action.id]}", style="dim")
            rows.append((action.id, line))
    return rows
