"""Writes only the cells that differ from what the terminal shows, and has it scroll what only moved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import islice
from operator import eq, ne
from typing import TypeAlias

from rich.cells import cell_len
from rich.color import ColorSystem
from rich.console import COLOR_SYSTEMS, Console
from rich.style import Style
from textual.strip import Strip

Cell: TypeAlias = "tuple[str, Style | None]"
"""A character with its style, None where it shows nothing at all; the second half of a wide one is an empty text."""

BLANK: Cell = (" ", None)
_UNKNOWN: Cell = ("", None)
_ERASE = "\x1b[K"
"""To the end of the line (ECMA-48 EL), which every terminal knows."""
_GAP = 5
"""Cells alike that cost less to write again than to jump over."""
_TAIL = 12
"""Where the part of a line begins by which it is found again: a cursor's bar at its left may have changed."""
_MOVED = 3
"""Lines that have to be found again before a scroll is thought of."""
_WORTH = 40
"""Cells that a scroll has to save."""


class Shown:
    """What the terminal shows, whichever screen drew it."""

    def __init__(self) -> None:
        self._lines: dict[int, list[Cell]] = {}
        self._strips: dict[int, tuple[int, Strip]] = {}

    def forget(self) -> None:
        """Have the next update written whole: the terminal was resized, left, or is to be drawn anew."""
        self._lines.clear()
        self._strips.clear()

    def narrow(self, pieces: Iterable[tuple[int, int, Strip]], console: Console) -> str:
        """Return what brings the terminal to show these strips, each at its column and line; empty if it does."""
        wanted = self._wanted(pieces)
        pen = _Pen(console)
        moved = _scroll(self._lines, wanted)
        if moved is not None:
            pen.scroll(*moved)
            wanted = _with_moved(self._lines, wanted, *moved[:2])
            _shift(self._lines, *moved)
        for y, line in sorted(wanted.items()):
            pen.line(y, self._lines.get(y, []), line)
            self._lines[y] = line
        return pen.written()

    def _wanted(self, pieces: Iterable[tuple[int, int, Strip]]) -> dict[int, list[Cell]]:
        """Return the lines that differ from what is shown, as they are to be."""
        wanted: dict[int, list[Cell]] = {}
        for x, y, strip in pieces:
            if self._strips.get(y) == (x, strip):
                continue
            self._strips[y] = (x, strip)
            line = wanted.setdefault(y, list(self._lines.get(y, [])))
            new = _cells(strip)
            line += [_UNKNOWN] * (x + len(new) - len(line))
            line[x : x + len(new)] = new
        return {y: line for y, line in wanted.items() if line != self._lines.get(y)}


class _Pen:
    """Collects what is written, and knows where that leaves the terminal's cursor."""

    def __init__(self, console: Console) -> None:
        self._colors = COLOR_SYSTEMS[console.color_system or "truecolor"]
        self._parts: list[str] = []
        self._at: tuple[int, int] | None = None

    def written(self) -> str:
        return "".join(self._parts)

    def scroll(self, top: int, bottom: int, by: int) -> None:
        """Move the lines from `top` to `bottom` up by `by`, or down where that is negative (DECSTBM, IND, RI)."""
        edge, step = (bottom, "\x1bD") if by > 0 else (top, "\x1bM")
        self._parts.append(f"\x1b[{top + 1};{bottom + 1}r\x1b[{edge + 1}H{step * abs(by)}\x1b[r")
        self._at = None

    def line(self, y: int, old: list[Cell], new: list[Cell]) -> None:
        """Bring a line from what it shows to what it is to show."""
        full = _without_blanks(new)
        for start, end in _runs(old, new[:full]):
            self._go(y, start)
            self._parts.append(_rendered(new[start:end], self._colors))
            # Behind the last column a terminal's cursor is anywhere.
            self._at = (y, end) if end < len(new) else None
        rest = next((x for x in range(full, len(new)) if x >= len(old) or old[x] != BLANK), None)
        if rest is not None:
            self._go(y, rest)
            self._parts.append(_ERASE)

    def _go(self, y: int, x: int) -> None:
        """Take the shortest way (CHA, NEL, CUP), never counted from where a glyph may have left the cursor."""
        column = f"\x1b[{x + 1}G"
        if self._at == (y, x):
            return
        if self._at is not None and self._at[0] == y:
            self._parts.append(column)
        elif self._at is not None and self._at[0] == y - 1:
            self._parts.append("\x1bE" + (column if x else ""))
        else:
            self._parts.append(f"\x1b[{y + 1};{x + 1}H" if x else f"\x1b[{y + 1}H")


# Scrolling


def _scroll(shown: dict[int, list[Cell]], wanted: dict[int, list[Cell]]) -> tuple[int, int, int] | None:
    """Return the lines, first and last, that show what is wanted once they are moved up, and by how many; else None."""
    if len(wanted) < _MOVED:
        return None
    known = {tail: y for y, line in shown.items() if (tail := _tail(line))}
    votes = Counter(known[tail] - y for y, line in wanted.items() if (tail := _tail(line)) in known)
    for by, found in votes.most_common(1):
        if found < _MOVED or by == 0:
            return None
        alike = [y for y, line in sorted(wanted.items()) if _tail(line) and _tail(line) == _tail(shown.get(y + by, []))]
        top, bottom = min(alike[0], alike[0] + by), max(alike[-1], alike[-1] + by)
        after, goal = dict(shown), _with_moved(shown, wanted, top, bottom)
        _shift(after, top, bottom, by)
        if _differing(shown, goal) - _differing(after, goal) >= _WORTH:
            return top, bottom, by
    return None


def _with_moved(
    shown: dict[int, list[Cell]], wanted: dict[int, list[Cell]], top: int, bottom: int
) -> dict[int, list[Cell]]:
    """Return what is wanted, and of the lines that move those that are to be as they were."""
    return {**{y: list(shown.get(y, [])) for y in range(top, bottom + 1)}, **wanted}


def _shift(shown: dict[int, list[Cell]], top: int, bottom: int, by: int) -> None:
    lines = [shown.get(y, []) for y in range(top, bottom + 1)]
    width = max(map(len, lines))
    empty = [[BLANK] * width for _ in range(abs(by))]
    lines = [*lines[by:], *empty] if by > 0 else [*empty, *lines[:by]]
    shown.update(enumerate(lines, top))


def _tail(line: Sequence[Cell]) -> str:
    return "".join(character for character, _ in line[_TAIL:]).strip()


def _differing(shown: dict[int, list[Cell]], wanted: dict[int, list[Cell]]) -> int:
    """Return how many cells are not as wanted."""
    pairs = ((shown.get(y, []), line) for y, line in wanted.items())
    return sum(abs(len(new) - len(old)) + sum(map(ne, old, new)) for old, new in pairs)


# Cells


def _cells(strip: Strip) -> list[Cell]:
    cells: list[Cell] = []
    for text, style, _ in strip:
        blank = BLANK if _unseen(style) else (" ", style)
        if text.isascii():
            cells += [blank if character == " " else (character, style) for character in text]
            continue
        for character in text:
            width = 1 if character.isascii() else cell_len(character)
            if character == " ":
                cells.append(blank)
            elif width:
                cells.append((character, style))
                cells += [("", style)] * (width - 1)
            elif cells:
                cells[-1] = (cells[-1][0] + character, cells[-1][1])
    return cells


def _unseen(style: Style | None) -> bool:
    if style is None or not style:
        return True
    marked = style.reverse or style.underline or style.underline2 or style.strike or style.overline
    return not marked and (style.bgcolor is None or style.bgcolor.is_default)


def _without_blanks(cells: Sequence[Cell]) -> int:
    """Return how many cells there are before those at the end that show nothing at all."""
    end = len(cells)
    while end and cells[end - 1] == BLANK:
        end -= 1
    return end


def _runs(old: Sequence[Cell], new: Sequence[Cell]) -> list[tuple[int, int]]:
    """Return the stretches of `new` that differ from `old`, joined where the gap is small."""
    runs: list[list[int]] = []
    same = [*map(eq, old, new), *[False] * (len(new) - len(old))]
    for at in range(len(new)):
        if same[at]:
            continue
        if runs and at - runs[-1][1] <= _GAP:
            runs[-1][1] = at + 1
        else:
            runs.append([at, at + 1])
    return [(_character_start(new, start), _character_end(new, end)) for start, end in runs]


def _character_start(cells: Sequence[Cell], at: int) -> int:
    while at > 0 and cells[at][0] == "":
        at -= 1
    return at


def _character_end(cells: Sequence[Cell], at: int) -> int:
    while at < len(cells) and cells[at][0] == "":
        at += 1
    return at


# Bytes


def _rendered(cells: Sequence[Cell], colors: ColorSystem) -> str:
    """Return cells as text and styles (ECMA-48 SGR), each style set once for as long as it lasts."""
    parts: list[str] = []
    current, unseen = "", True
    last: Style | None = None
    for character, style in cells:
        # Between words of one style nothing needs to be said.
        if style is not last and not (unseen and style is None and character == " "):
            last = style
            codes = _codes(style, colors) if style else ""
            if codes != current:
                parts.append(f"\x1b[{'0;' if current and codes else ''}{codes}m")
                current, unseen = codes, _unseen(style)
        parts.append(character)
    return "".join(parts) + ("\x1b[m" if current else "")


@lru_cache(maxsize=4096)
def _codes(style: Style, colors: ColorSystem) -> str:
    """Return a style's codes, without the terminal's own colours: those are in force wherever none is asked for."""
    kept: list[str] = []
    codes = iter(Strip.render_ansi(style, colors).split(";"))
    for code in codes:
        if code in ("38", "48"):
            kind = next(codes)
            kept += [code, kind, *islice(codes, 1 if kind == "5" else 3)]
        elif code not in ("39", "49"):
            kept.append(code)
    return ";".join(kept)
