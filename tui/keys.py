"""Keys one after the other: what is typed ahead goes where the keys before it led."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from textual import events
from textual.app import App
from textual.dom import DOMNode

Typed: TypeAlias = "events.Key | events.Paste"


class OrderedKeys(App[None], inherit_bindings=False):
    """An application that handles a key to its end before it looks at the next one.

    Textual hands a key to the queue of what has the focus, and from there on from queue to queue: keys that come in
    one read are on their way before the first of them moves the focus or opens a screen, and then mean something
    else. Rests on private parts of Textual: held by the exact version in pyproject.toml and the tests over a pty.
    """

    def __init__(self) -> None:
        # Without colour, Textual leaves grey RGB in place unless the terminal's own colours are in use.
        super().__init__(ansi_color=True)
        self._ahead: list[Typed] = []

    async def on_event(self, event: events.Event) -> None:
        """Take keys and pasted text in; leave the rest to Textual."""
        if isinstance(event, (events.Key, events.Paste)) and not event.is_forwarded:
            await self._take(event)
        else:
            await super().on_event(event)

    async def _take(self, typed: Typed) -> None:
        if isinstance(typed, events.Key) and await self._check_bindings(typed.key, priority=True):
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
        typed._set_forwarded()
        # By queues it would go on later.
        typed.bubble = False  # type: ignore[misc]
        for node in self._from_focus():
            with node._context():
                await node.on_event(typed)
            if typed._stop_propagation:
                return
            typed.prevent_default(False)

    def _from_focus(self) -> Iterator[DOMNode]:
        yield from list((self.focused or self.screen).ancestors_with_self)
