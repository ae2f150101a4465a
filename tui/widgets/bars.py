"""The bars around every screen: header, message line, footer; they repaint only when their text changes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.text import Text
from textual import events
from textual.widgets import Static

from core.text import safe
from tui.actions import Action, shown
from tui.wrapping import rows

if TYPE_CHECKING:
    from core.automation import EngineState
    from data.records import RecipeState

NARROW = 60
"""Columns below which the header says the engine's state in two words."""
TOLD = 3
"""Rows that a message may take."""


@dataclass(frozen=True, slots=True)
class Said:
    """What the message line shows, until it was read."""

    text: str
    error: bool = False
    at: dt.datetime = field(default_factory=dt.datetime.now, compare=False)
    """When, in the local zone."""


class Bar(Static):
    """A line of text that is laid out once and painted anew only when it differs."""

    DEFAULT_CSS = """
    Bar { text-wrap: nowrap; text-overflow: ellipsis; }
    HeaderBar, MessageLine, #facts, #told { height: auto; width: 100%; }
    FooterBar, #json-title, #heading { height: 1; width: 100%; }
    MessageLine { min-height: 1; }
    """
    SCOPED_CSS = False

    def __init__(self, id: str | None = None) -> None:
        super().__init__(Text(), id=id, markup=False)
        self._text = Text()

    def show(self, text: Text) -> None:
        """Show `text`, never parsed as markup, each line cut at the bar's width."""
        if text == self._text and text.spans == self._text.spans:
            return
        relaid = self.styles.is_auto_height and _lines(text) != _lines(self._text)
        self._text = text
        self.update(text, layout=relaid)


class HeaderBar(Bar):
    """Where one is, at the left; whether an engine runs, at the right; below them, which recipe's file is broken."""

    def __init__(self) -> None:
        super().__init__()
        self._facts: tuple[str, EngineState | None, str] = ("", None, "")

    def tell(self, place: str, engine: EngineState | None, notice: str) -> None:
        """Show the place, the engine's state (None while it is not known) and the notice, if there is one."""
        self._facts = (place, engine, notice)
        self.show(header(place, engine, notice, self.size.width or self.app.size.width))

    def on_resize(self, event: events.Resize) -> None:
        place, engine, notice = self._facts
        self.show(header(place, engine, notice, event.size.width))


class MessageLine(Bar):
    """The last message, in as many rows as it takes, up to `TOLD`; errors in bold and marked, so that they need no
    colour."""

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id)
        self._said = Said("")

    def tell(self, said: Said) -> None:
        """Show what was said."""
        self._said = said
        self._show(self.size.width or self.app.size.width)

    def on_resize(self, event: events.Resize) -> None:
        self._show(event.size.width)

    def _show(self, width: int) -> None:
        self.show(Text("\n").join(rows([message(self._said)], width, TOLD)))


class FooterBar(Bar):
    """The keys that fit, those that do nothing now in brackets and dim."""

    def __init__(self) -> None:
        super().__init__()
        self._facts: tuple[tuple[Action, ...], Collection[str]] = ((), ())

    def tell(self, actions: Iterable[Action], off: Collection[str]) -> None:
        """Show the actions that have a short name; those whose id is in `off` as greyed."""
        self._facts = (tuple(actions), off)
        self.show(footer(*self._facts, self.size.width or self.app.size.width))

    def on_resize(self, event: events.Resize) -> None:
        self.show(footer(*self._facts, event.size.width))


def engine_words(engine: EngineState | None, narrow: bool = False) -> str:
    """Return whether an engine runs, in a few words; empty while that is not known."""
    if engine is None:
        return ""
    if not engine.running:
        return "no engine: a" if narrow else "no engine — a starts one"
    if narrow:
        return "engine on"
    parts = ["engine running", f"pid {engine.pid}" if engine.pid else "", engine.listen or ""]
    return " · ".join(safe(part, 40) for part in parts if part)


def notice(states: Iterable[RecipeState]) -> str:
    """Return one sentence on the recipes whose file is broken, empty where none is."""
    broken = [state for state in states if state.problems]
    if not broken:
        return ""
    first, problem = broken[0], broken[0].problems[0]
    keeps = f"r{first.revision} keeps running" if first.revision is not None else "it never ran"
    others = f" (and {len(broken) - 1} more: 2)" if len(broken) > 1 else ""
    return f"{problem.file} is broken at {problem.line}:{problem.column} — {keeps}{others}: {problem.message}"


def header(place: str, engine: EngineState | None, notice: str, width: int) -> Text:
    """Return the header's one or two lines for a width in cells."""
    right = engine_words(engine, narrow=width < NARROW)
    left = Text(safe(place), style="bold")
    left.truncate(max(width - len(right) - 2, 0), overflow="ellipsis")
    text = Text.assemble(left, " " * max(width - left.cell_len - len(right), 1))
    text.append(right, style="" if engine and engine.running else "bold reverse")
    if notice:
        text.append("\n")
        line = Text(safe(notice), style="bold yellow")
        line.truncate(width, overflow="ellipsis")
        text.append_text(line)
    return text


def message(said: Said) -> Text:
    """Return a message as one line."""
    if said.error:
        return Text.assemble(("! ", "bold red"), (safe(said.text), "bold red"))
    return Text(safe(said.text))


def footer(actions: Iterable[Action], off: Collection[str], width: int) -> Text:
    """Return as many of the actions' keys as fit into `width` cells, help always the last."""
    named = {action.id: action for action in actions if action.short}
    last = named.pop("help", None)
    room = width - (len(last.short) + 4 if last else 0)
    text = Text()
    for action in named.values():
        part = _key(action, action.id in off)
        if text.cell_len + part.cell_len <= room:
            text.append_text(part)
    if last:
        text.append_text(_key(last, False))
    text.rstrip()
    return text


def _key(action: Action, off: bool) -> Text:
    key = shown(action.keys[0])
    if off:
        return Text(f"({key} {action.short})  ", style="dim")
    return Text.assemble((key, "bold"), f" {action.short}  ")


def _lines(text: Text) -> int:
    return text.plain.count("\n") + 1
