"""Finds actions by their names for the command palette; what is off says why."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from textual.command import CommandPalette, DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from tui.actions import Action, shown
from tui.screens.base import DeckScreen


class Palette(CommandPalette):
    """The palette in the terminal's own colours."""

    DEFAULT_CSS = """
    SearchIcon { display: none; }
    CommandPalette #--input, CommandPalette CommandInput, CommandPalette CommandList {
      border: none; scrollbar-size: 0 0;
    }
    CommandPalette CommandList > .option-list--option-highlighted,
    CommandPalette CommandList:ansi > .option-list--option-highlighted {
      color: ansi_default; background: ansi_default; text-style: reverse;
    }
    """
    SCOPED_CSS = False


class ActionProvider(Provider):
    """The actions of the screen below the palette and of what has its focus."""

    async def discover(self) -> Hits:
        """Yield all."""
        for action in self._offered():
            yield DiscoveryHit(self._display(action), self._call(action), text=action.label)

    async def search(self, query: str) -> Hits:
        """Yield those that match by what they do, or by the name that a keymap has for them."""
        matcher = self.matcher(query)
        for action in self._offered():
            score = max(matcher.match(action.label), matcher.match(action.id.replace("_", " ")))
            if score > 0:
                yield Hit(score, self._display(action), self._call(action), text=action.label)

    def _offered(self) -> list[Action]:
        screen = self.screen
        return screen.offered() if isinstance(screen, DeckScreen) else []

    def _display(self, action: Action) -> Content:
        why = self.screen.blocked(action.id) if isinstance(self.screen, DeckScreen) else None
        key = f"{shown(action.keys[0])}  " if action.keys else ""
        return Content(f"{key}{action.label}" + (f" — off: {why}" if why else ""))

    def _call(self, action: Action) -> Callable[[], Awaitable[None]]:
        nodes = self.focused.ancestors_with_self if self.focused is not None else [self.screen, self.app]
        node = next(node for node in nodes if hasattr(node, f"action_{action.id}"))

        async def call() -> None:
            await self.app.run_action(action.id, node)

        return call
