"""Every message of this session, the newest first: what was told and gone too fast."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from rich.text import Text
from textual.widget import Widget

from tui.copying import Copy
from tui.screens.base import DeckScreen
from tui.widgets.bars import Said, message
from tui.widgets.lines import Line, TextLines


class MessagesScreen(DeckScreen):
    """The message log."""

    WHERE = "messages"

    def body(self) -> Iterable[Widget]:
        yield TextLines()

    def place(self) -> str:
        return "messages"

    def on_mount(self) -> None:
        self.set_focus(self.query_one(TextLines))
        self.watch(self.app, "said", lambda: self._show())

    def _show(self) -> None:
        # Each by its number, so that the cursor stays on the one that is read.
        rows: list[tuple[int | None, Line]] = [
            (number, partial(_line, said)) for number, said in enumerate(self.deck.messages)
        ]
        self.query_one(TextLines).show(rows[::-1] or [(None, Text("nothing was told so far"))])

    def copies(self) -> list[Copy]:
        """Return the message under the cursor."""
        number = self.query_one(TextLines).current
        return [Copy("m", "message", (self.deck.messages[number].text,))] if isinstance(number, int) else []


def _line(said: Said) -> Text:
    return Text(f"{said.at:%H:%M:%S} ").append_text(message(said))
