"""Who did what, when and why, newest first."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from rich.text import Text
from textual.widget import Widget

from core.text import safe
from data.records import Act
from tui import copying
from tui.copying import Copy
from tui.screens.base import DeckScreen
from tui.units import local
from tui.widgets.lines import Line, TextLines

LONGEST = 500
"""Characters of a subject or a note that a line has: no screen is wider."""
SHOWN = 1_000
"""Acts that are listed: the newest. `jobdeck audit` has all."""


class AuditScreen(DeckScreen):
    """The audit, which is only ever added to."""

    WHERE = "audit"

    def body(self) -> Iterable[Widget]:
        yield TextLines()

    def place(self) -> str:
        return "audit"

    def on_mount(self) -> None:
        self.set_focus(self.query_one(TextLines))

    async def reload(self) -> None:
        """Read it anew."""
        acts = await self.read(lambda: list(self.deck.automation.audit.acts(limit=SHOWN)))
        rows: list[tuple[int | None, Line]] = [(act.id, partial(act_line, act)) for act in acts]
        self.query_one(TextLines).show(rows or [(None, Text("nothing was done so far"))])

    def copies(self) -> list[Copy]:
        """Return the command that shows the same."""
        return [copying.command("jobdeck", "audit")]


def act_line(act: Act) -> Text:
    """Return an act as a line."""
    text = Text.assemble(f"{local(act.at)}  ", (f"{act.action:13} ", "bold"), safe(act.subject, LONGEST))
    text.append(f"  by {safe(act.actor)}")
    return text.append(f": {safe(act.note, LONGEST)}" if act.note else "")
