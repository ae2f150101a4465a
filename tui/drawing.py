"""How the terminal is drawn: whole, by differences, or one difference for each answer of a terminal far away."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from rich.control import Control
from textual import events
from textual.geometry import Offset
from textual.widgets import Input

from tui.narrow import Shown
from tui.seams import ASK, Seams, Update, pieces
from tui.surroundings import Drawing, accessible, drawing

REPLY = 1.5
"""Seconds to wait for the terminal to say that it has painted."""
UNANSWERED = 64
"""Questions that a terminal may leave open before they are taken to be lost."""


class Drawn(Seams, inherit_bindings=False):
    """An application that draws what differs, as fast as the terminal takes it."""

    def __init__(self) -> None:
        super().__init__()
        self.drawing = drawing()
        self.accessible = accessible()
        self._shown = Shown()
        self._asked: deque[_Question] = deque(maxlen=UNANSWERED)
        self._answered = False
        self._mute = False
        self._held = False
        self._owing = False
        self._then: list[Callable[[], None]] = []
        self._cursor_was: Offset | None = None

    # Drawing

    def draw(self, update: Update) -> None:
        """Write what differs; or only remember, while the terminal has yet to paint what was written before."""
        if self._held:
            self._owing = True
            return
        if self._owing:
            update = self.newest() or update
            self._owing = False
        self._write(update)
        waiting, self._then = self._then, []
        for then in waiting:
            self._ask(then)

    def _write(self, update: Update) -> None:
        if self.drawing is Drawing.PLAIN:
            text = update.render_segments(self.console)
        else:
            text = self._shown.narrow(pieces(update), self.console)
        text += self._cursor(bool(text))
        if not text:
            return
        self.put(text)
        if self.drawing is Drawing.PACED and not self._mute:
            self._held = True
            self._ask(self._draw_on)

    def _draw_on(self) -> None:
        self._held = False
        newest = self.newest() if self._owing and self.drawable else None
        if newest is not None:
            self.draw(newest)

    def draw_anew(self) -> None:
        """Have everything written again: what the terminal shows is not known, or not to be trusted."""
        self._shown.forget()
        self._held = self._owing = False

    def _cursor(self, wrote: bool) -> str:
        """Return what puts the terminal's cursor where one types, or reads: writing has moved it."""
        if self.accessible:
            at = self._reading_at()
        elif isinstance(self.focused, Input):
            at = self.cursor_position
        else:
            return ""
        moved, self._cursor_was = at != self._cursor_was, at
        return Control.move_to(*self.screen.outer_size.clamp_offset(at)).segment.text if wrote or moved else ""

    def _reading_at(self) -> Offset:
        focused = self.focused
        if focused is None or isinstance(focused, Input):
            return self.cursor_position
        return focused.content_region.offset + Offset(0, getattr(focused, "cursor_line", 0))

    # What the terminal answers

    def when_painted(self, then: Callable[[], None]) -> None:
        """Call `then` once the terminal has painted what was drawn so far, or `REPLY` seconds later if it is mute."""
        if self.terminal is None:
            then()
        elif self._owing:
            self._then.append(then)
        else:
            self._ask(then)

    def _ask(self, then: Callable[[], None]) -> None:
        question = _Question(then)
        self._asked.append(question)
        self.put_raw(ASK)
        asyncio.get_running_loop().call_later(REPLY, self._late, question)

    def _late(self, question: _Question) -> None:
        if not question.done:
            # It stays in its place: its answer may be on its way, and must not be taken for that of a later one.
            self._mute = self._mute or not self._answered
            self.call_later(question.settle)

    def on_cursor_position(self, event: events.CursorPosition) -> None:
        """Take the terminal's answer to the oldest question."""
        self._answered, self._mute = True, False
        if self._asked:
            self._asked.popleft().settle()


class _Question:
    """Something to do when the terminal answers, or when that takes too long: once."""

    def __init__(self, then: Callable[[], None]) -> None:
        self._then = then
        self.done = False

    def settle(self) -> None:
        if not self.done:
            self.done = True
            self._then()
