"""A compositor that writes only the cells that differ from what the terminal shows: fewer bytes on a slow line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from rich.cells import cell_len
from rich.console import Console
from rich.control import Control
from rich.style import Style
from textual._compositor import ChopsUpdate, Compositor, LayoutUpdate
from textual.strip import Strip

Cell: TypeAlias = "tuple[str, Style | None]"
"""A character with its style; the second half of a wide one is an empty text."""

_GAP = 8
"""Cells alike that cost less to write again than to jump over."""


class NarrowCompositor(Compositor):
    """Textual's compositor, but for partial updates, which shrink to the changed cells.

    Rests on private parts of Textual: held by the exact version in pyproject.toml and the tests over a pty.
    """

    def __init__(self) -> None:
        super().__init__()
        self._shown: dict[int, list[Cell]] = {}

    def render_full_update(self, simplify: bool = False) -> LayoutUpdate:
        """Return an update of everything; what it writes is remembered."""
        update = super().render_full_update(simplify)
        return _Remembered(update, self._shown)

    def render_partial_update(self) -> ChopsUpdate | None:
        """Return an update of what differs from what was last written, None if nothing is dirty."""
        update = super().render_partial_update()
        return None if update is None else _Narrowed(update, self._shown)


class _Remembered(LayoutUpdate):
    # What is written is told by `render_segments`: Textual may throw an update away unwritten.

    def __init__(self, update: LayoutUpdate, shown: dict[int, list[Cell]]) -> None:
        super().__init__([list(line) for line in update.strips], update.region)
        self._shown = shown

    def render_segments(self, console: Console) -> str:
        self._shown.clear()
        for y, line in enumerate(self.strips, self.region.y):
            self._shown[y] = [cell for strip in line for cell in _cells(strip)]
        return super().render_segments(console)


class _Narrowed(ChopsUpdate):
    def __init__(self, update: ChopsUpdate, shown: dict[int, list[Cell]]) -> None:
        super().__init__(update.chops, update.spans, update.chop_ends)
        self._shown = shown

    def render_segments(self, console: Console) -> str:
        written: list[str] = []
        for y, left, right in self.spans:
            for end, (x, strip) in zip(self.chop_ends[y], self.chops[y].items(), strict=False):
                if strip is not None and x < right and end > left:
                    written += self._changed(y, x, strip, console)
        return "".join(written)

    def _changed(self, y: int, x: int, strip: Strip, console: Console) -> Iterable[str]:
        new = _cells(strip)
        line = self._shown.setdefault(y, [])
        line += [("", None)] * (x + len(new) - len(line))
        old = line[x : x + len(new)]
        for start, end in _runs(old, new):
            yield Control.move_to(x + start, y).segment.text + strip.crop(start, end).render(console)
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
