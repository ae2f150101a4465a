"""Keys one after the other: what is typed ahead goes where the keys before it led."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from textual import events
from textual.dom import DOMNode

from tui.seams import Seams, Typed, hand


class OrderedKeys(Seams, inherit_bindings=False):
    """An application that handles a key to its end before it looks at the next one.

    Textual hands a key to the queue of what has the focus, and from there on from queue to queue: keys that come in
    one read are on their way before the first of them moves the focus or opens a screen, and then mean something
    else.
    """

    def __init__(self) -> None:
        super().__init__()
        self._ahead: list[Typed] = []

    async def on_event(self, event: events.Event) -> None:
        """Take keys and pasted text in; leave the rest to Textual."""
        if isinstance(event, events.Key) and event.key == "ctrl+j":
            # Terminals send it for Enter, too: while the line still edits, before the start made it raw.
            event = events.Key("enter", "\r")
        if isinstance(event, (events.Key, events.Paste)) and not event.is_forwarded:
            await self._take(event)
        else:
            await super().on_event(event)

    async def _take(self, typed: Typed) -> None:
        if isinstance(typed, events.Key) and await self.bound_first(typed.key):
            return
        if self._ahead or not self.screen.is_mounted:
            # The screen is told of its focus before it comes to this call.
            if not self._ahead:
                self.screen.call_later(self.call_later, self._go_on)
            self._ahead.append(typed)
        else:
            await self._handle(typed)

    async def _go_on(self) -> None:
        ahead, self._ahead = self._ahead, []
        for typed in ahead:
            await self._take(typed)

    async def _handle(self, typed: Typed) -> None:
        """Have it handled by what has the focus, then by all around it, unless one of them stops it."""
        for node in self._from_focus():
            if await hand(typed, node):
                break
        # However many keys come in one read, what is not a key has its turn between them.
        await asyncio.sleep(0)

    def _from_focus(self) -> Iterator[DOMNode]:
        yield from list((self.focused or self.screen).ancestors_with_self)
