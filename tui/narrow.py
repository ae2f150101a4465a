"""Writes only the cells that differ from what the terminal shows: fewer bytes on a slow line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from rich.cells import cell_len
from rich.console import Console
from rich.control import Control
from rich.style import Style
from textual.strip import Strip

Cell: TypeAlias = "tuple[str, Style | None]"
"""A character with its style; the second half of a wide one is an empty text."""

_ERASE = "\x1b[K"
"""To the end of the line (ECMA-48 EL), which every terminal knows."""
_GAP = 8
"""Cells alike that cost less to write again than to jump over."""


class Shown:
    """What the terminal shows, whichever screen drew it."""

    def __init__(self) -> None:
        self._lines: dict[int, list[Cell]] = {}

    def forget(self) -> None:
        """Have the next update written whole: the terminal was resized, left, or is to be drawn anew."""
        self._lines.clear()

    def narrow(self, pieces: Iterable[tuple[int, int, Strip]], console: Console) -> str:
        """Return what brings the terminal to show these strips, each at its column and line; empty if it does."""
        return "".join(text for x, y, strip in pieces for text in self._change(x, y, strip, console))

    def _change(self, x: int, y: int, strip: Strip, console: Console) -> Iterable[str]:
        new = _cells(strip)
        line = self._lines.setdefault(y, [])
        line += [("", None)] * (x + len(new) - len(line))
        old = line[x : x + len(new)]
        for start, end in _runs(old, new):
            blank = _blank(new, start, end) if x + end == len(line) else 0
            yield Control.move_to(x + start, y).segment.text + strip.crop(start, end - blank).render(console)
            if blank:
                yield _ERASE
        line[x : x + len(new)] = new


def _cells(strip: Strip) -> list[Cell]:
    cells: list[Cell] = []
    for text, style, _ in strip:
        if text.isascii():
            cells += [(character, style) for character in text]
            continue
        for character in text:
            width = cell_len(character)
            if width:
                cells.append((character, style))
                cells += [("", style)] * (width - 1)
            elif cells:
                cells[-1] = (cells[-1][0] + character, style)
    return cells


def _blank(cells: list[Cell], start: int, end: int) -> int:
    """Return how many cells before `end` show nothing at all, 0 where erasing them would save little."""
    at = end
    while at > start and cells[at - 1][0] == " " and _unseen(cells[at - 1][1]):
        at -= 1
    return end - at if end - at > len(_ERASE) else 0


def _unseen(style: Style | None) -> bool:
    if style is None or not style:
        return True
    marked = style.reverse or style.underline or style.underline2 or style.strike or style.overline
    return not marked and (style.bgcolor is None or style.bgcolor.is_default)


def _runs(old: list[Any], new: list[Any]) -> list[tuple[int, int]]:
    """Return the stretches of `new` that differ from `old`, joined where the gap is small."""
    if old == new:
        return []
    runs: list[list[int]] = []
    for at, (before, after) in enumerate(zip(old, new, strict=True)):
        if before == after:
            continue
        if runs and at - runs[-1][1] <= _GAP:
            runs[-1][1] = at + 1
        else:
            runs.append([at, at + 1])
    return [(_character_start(new, start), _character_end(new, end)) for start, end in runs]


def _character_start(cells: list[Any], at: int) -> int:
    while at > 0 and cells[at][0] == "":
        at -= 1
    return at


def _character_end(cells: list[Any], at: int) -> int:
    while at < len(cells) and cells[at][0] == "":
        at += 1
    return at
