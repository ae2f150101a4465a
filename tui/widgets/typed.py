"""A line to type into, as searches and filters have it."""

from __future__ import annotations

from collections.abc import Callable

from textual.widgets import Input


class TypedLine(Input):
    """Enter hands over what was typed at once, so that the next key already goes where that leads."""

    def __init__(self, placeholder: str, entered: Callable[[str], None], id: str | None = None) -> None:
        super().__init__(placeholder=placeholder, id=id, compact=True, select_on_focus=False)
        # A blinking cursor would write twice a second.
        self.cursor_blink = False
        self._entered = entered

    async def action_submit(self) -> None:
        """Hand over what was typed."""
        self._entered(self.value)
