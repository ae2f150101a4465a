"""Every private part of Textual that the terminal rests on; a test tells which of them a newer Textual moved."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

from textual import events
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.app import App
from textual.dom import DOMNode
from textual.driver import Driver
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message
from textual.screen import Screen
from textual.strip import Strip

from tui.surroundings import console, plain_terminal

Typed: TypeAlias = "events.Key | events.Paste"
Update: TypeAlias = CompositorUpdate

ASK = "\x1b[6n"
"""Asks the terminal where its cursor is, which it tells after all that was written before (ECMA-48 DSR 6)."""
LAST_ANSWERS = 1.5
"""Seconds that the end waits for answers, which the shell would take for keys."""

_FOCUS = re.compile(r"\x1b\[\?1004[hl]|\x1b\]22;[^\x07]*\x07")
"""Reports of the window's focus, each of which would paint, and the pointer's shape: of no use without a mouse."""
_NEWER = re.compile(r"\x1b\[(?:[<>]\d*u|\?(?:2026|2048)\$p|\?(?:2004|2048)[hl])")
"""Kitty's keyboard, synchronized output, sizes in band, bracketed paste."""
_LONGEST_SWITCH = 24
_CLEARED = "\x1b[m\x1b[2J\x1b[H"


def pieces(update: Update) -> Iterator[tuple[int, int, Strip]]:
    """Yield what an update paints: column, line and strip."""
    if isinstance(update, LayoutUpdate):
        for y, line in enumerate(update.strips, update.region.y):
            yield update.region.x, y, Strip.join(list(line))
    elif isinstance(update, ChopsUpdate):
        for y, left, right in update.spans:
            for end, (x, strip) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
                if strip is not None and x < right and end > left:
                    yield x, y, strip


class QuietDriver(LinuxDriver):
    """Writes nothing that this terminal may not know, and leaves no answer of it behind."""

    def __init__(self, app: Seams, **options: Any) -> None:
        super().__init__(app, **options)
        self._cursor_seen = app.accessible
        self._plain = plain_terminal()
        self._console = console()
        self._news = threading.Condition()
        self._open_questions = 0
        self._answers = False

    def write(self, data: str) -> None:
        """Write, unless it switches on what the terminal may not know."""
        if len(data) <= _LONGEST_SWITCH:
            if _FOCUS.fullmatch(data) or (self._plain and _NEWER.fullmatch(data)):
                return
            if self._cursor_seen and data == "\x1b[?25l":
                return
            if data == ASK:
                with self._news:
                    self._open_questions += 1
            if self._console and data == "\x1b[?1049l":
                data = _CLEARED
        super().write(data)

    def process_message(self, message: Message) -> None:
        """Count answers; called in the thread that reads."""
        if isinstance(message, events.CursorPosition):
            with self._news:
                self._answers = True
                self._open_questions = max(self._open_questions - 1, 0)
                self._news.notify_all()
        super().process_message(message)

    def disable_input(self) -> None:
        """Wait for the answers that are on their way, then read no more."""
        if self._key_thread is not None and self._key_thread.is_alive() and self._answers:
            with self._news:
                self._news.wait_for(lambda: not self._open_questions, LAST_ANSWERS)
        self._open_questions = 0
        super().disable_input()


class Seams(App[None], inherit_bindings=False):
    """An application that draws by itself, and hands keys on by itself."""

    accessible = False
    """Whether the terminal's own cursor stays visible."""

    def __init__(self) -> None:
        # Without colour, Textual leaves grey RGB in place unless the terminal's own colours are in use.
        super().__init__(driver_class=None if "TEXTUAL_DRIVER" in os.environ else QuietDriver, ansi_color=True)

    # Drawing

    def draw(self, update: Update) -> None:
        """Draw what Textual would have written."""
        raise NotImplementedError

    def _display(self, screen: Screen[Any], renderable: Any) -> None:
        if not isinstance(renderable, CompositorUpdate) or not self.drawable:
            super()._display(screen, renderable)
            return
        try:
            self.draw(renderable)
        except Exception as error:
            self._handle_exception(error)
        finally:
            self.post_display_hook()

    @property
    def drawable(self) -> bool:
        """Whether there is a terminal that shows what is written now."""
        return self._running and not self._closed and not self._batch_count and self.terminal is not None

    @property
    def terminal(self) -> Driver | None:
        """The terminal, None where there is none or it is not this application's alone."""
        return None if self.is_headless or self.is_inline else self._driver

    def newest(self) -> Update | None:
        """Return an update that paints the whole of the screen as it is now; None while it has no layout."""
        compositor = self.screen._compositor
        if not self.screen.is_mounted or not compositor.size:
            return None
        update = compositor.render_update(full=True, screen_stack=self._background_screens)
        return update if isinstance(update, CompositorUpdate) else None

    def put(self, text: str) -> None:
        """Write what draws, so that the terminal shows all of it at once where it can."""
        assert self._driver is not None
        self._begin_update()
        self._driver.write(text)
        self._end_update()
        self._driver.flush()

    def put_raw(self, text: str) -> None:
        """Write what draws nothing; without a terminal nothing happens."""
        if self.terminal is not None:
            self.terminal.write(text)
            self.terminal.flush()

    # Keys

    async def bound_first(self, key: str) -> bool:
        """Run the binding of a key that comes before what has the focus; return whether there was one."""
        return await self._check_bindings(key, priority=True)


async def hand(typed: Typed, node: DOMNode) -> bool:
    """Have a node handle a key now, and no other node after it; return whether the node stopped it."""
    typed._set_forwarded()
    # By queues it would go on later.
    typed.bubble = False  # type: ignore[misc]
    in_node: Callable[[], AbstractContextManager[None]] = node._context
    with in_node():
        await node.on_event(typed)
    if typed._stop_propagation:
        return True
    typed.prevent_default(False)
    return False
