"""Asks for a line of text above the message line."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from rich.text import Text
from textual import events
from textual.containers import Vertical
from textual.widget import Widget

from tui.widgets.bars import Bar
from tui.widgets.typed import TypedLine


class Prompt(Vertical):
    """A question and a line to type the answer into; not there while nothing is asked."""

    DEFAULT_CSS = "Prompt { height: auto; display: none; } Prompt.open { display: block; }"

    def __init__(self) -> None:
        super().__init__()
        self._bar = Bar()
        self._line = TypedLine("", self._end)
        self._answer: asyncio.Future[str | None] | None = None
        self._focused: Widget | None = None

    def compose(self) -> Iterator[Widget]:
        yield self._bar
        yield self._line

    def ask(self, question: str, value: str = "", placeholder: str = "") -> asyncio.Future[str | None]:
        """Take the keys from now on; return what is typed, or None where it is given up with Esc."""
        if self._answer is None:
            self._focused = self.screen.focused
        else:
            self._end(None)
        self._answer = asyncio.get_running_loop().create_future()
        self._bar.show(Text(question, style="bold"))
        self._line.placeholder = placeholder
        self._line.value = value
        self._line.cursor_position = len(value)
        self.add_class("open")
        self.screen.set_focus(self._line)
        return self._answer

    def on_key(self, event: events.Key) -> None:
        """Give up."""
        if event.key == "escape":
            event.stop()
            self._end(None)

    def _end(self, text: str | None) -> None:
        answer, self._answer = self._answer, None
        self.remove_class("open")
        if self._focused is not None and self._focused.is_attached:
            self.screen.set_focus(self._focused)
        if answer is not None and not answer.done():
            answer.set_result(text)
