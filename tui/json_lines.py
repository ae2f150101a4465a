"""JSON as lines to fold: only what is open has lines, and of a long list or text only a window."""

from __future__ import annotations

import json
import re
import sys
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple, TypeAlias

from rich.cells import chop_cells
from rich.text import Text

from core.text import safe
from data.job_records import JsonValue

Path: TypeAlias = tuple[int, ...]
"""Where a value stands: its place among its parent's children, from the section down; in the order of the document."""

WINDOW = 200
"""Children of a list or mapping that one step shows."""
TEXT_WINDOW = 8_000
"""Characters of a text that one step shows."""
ACROSS = 76
"""Cells of a line of an opened text."""
SHORT = 160
"""Characters up to which a text stays on its line."""
AT_FIRST = 200
"""Lines that are open at first."""
MOST, TEXT_MOST = 5 * WINDOW, 2 * TEXT_WINDOW
"""Children, and characters, of one value that are shown at once: for more, those at the other end make room."""
ALL = 5_000
"""Lines that "open all" opens at the most."""
PIECE = 65_536
"""Characters that a search looks through in one go."""
FOUND = 1_000
"""Places that a search gives at the most."""

_PLAIN_KEY = re.compile(r"[^\W\d][\w.-]*\Z")


class Kind:
    """What a line stands for."""

    VALUE = "value"
    BEFORE = "before"
    AFTER = "after"
    TEXT = "text"


class Row(NamedTuple):
    """One line: a value, a piece of an opened text, or how much of a value is not shown."""

    kind: str
    path: Path
    """Of the value; for the other kinds, of the value that they belong to."""
    depth: int
    label: str | None
    """The section's name, the key, None in a list; of a piece of text, the piece."""
    value: JsonValue
    place: int = 0
    """Where a piece of text or what is not shown begins."""

    @property
    def key(self) -> Path:
        """What names the line while others come and go; lines are in the order of their keys."""
        if self.kind == Kind.VALUE:
            return self.path
        return (*self.path, {Kind.BEFORE: -1, Kind.TEXT: self.place, Kind.AFTER: sys.maxsize}[self.kind])


@dataclass(frozen=True, slots=True)
class Section:
    """A value under its name: input, output, error."""

    name: str
    value: JsonValue


class JsonLines:
    """The lines of some sections, and which of their values are open."""

    def __init__(self, sections: Sequence[Section], before: JsonLines | None = None) -> None:
        """Make lines; sections that were there `before`, by name, stay as open as they were."""
        self.sections = tuple(sections)
        self.windows: dict[Path, tuple[int, int]] = {}
        """The values that are open, each with the part of it that is shown: from, to."""
        known = [section.name for section in before.sections] if before else []
        self._open(AT_FIRST, [at for at, section in enumerate(self.sections) if section.name not in known])
        for path, window in before.windows.items() if before else ():
            name = known[path[0]]
            self.windows |= {(at, *path[1:]): window for at, new in enumerate(self.sections) if new.name == name}
        self.rows = self._all_rows()
        self._places: dict[Path, int] = {}
        """Where in a long text the last search found what it wanted."""

    # Folding

    def opened(self, row: Row) -> bool:
        """Return whether the value of a line is open."""
        return row.kind == Kind.VALUE and row.path in self.windows

    def open(self, index: int) -> None:
        """Open the value of a line, or show a further part where the line says that there is more."""
        row = self.rows[index]
        start, stop = self.windows.get(row.path, (0, 0))
        step, size = _step(row.value), _size(row.value)
        if row.kind == Kind.BEFORE:
            start = max(start - step, 0)
            self._show(row, (start, min(stop, start + _most(row.value))))
        elif row.kind == Kind.AFTER:
            stop = min(stop + step, size)
            # By whole steps, so that going back shows the same lines.
            self._show(row, (max(start, -(-stop // step) * step - _most(row.value)), stop))
        elif size and not self.opened(row):
            self._show(row, (0, min(step, size)))

    def close(self, index: int) -> None:
        """Fold the value of a line."""
        row = self.rows[index]
        if self.opened(row):
            del self.windows[row.path]
            self._replace(row)

    def parent(self, index: int) -> int:
        """Return the line of what a line is in; of a section, the section's own."""
        row = self.rows[index]
        wanted = row.path if row.kind != Kind.VALUE else row.path[:-1]
        return self._at(wanted) if wanted else index

    def open_all(self, lines: int = ALL) -> None:
        """Open what is not deep first, until so many lines are open."""
        self.windows.clear()
        self._open(lines, range(len(self.sections)))
        self.rows = self._all_rows()

    def _open(self, lines: int, sections: Iterable[int]) -> None:
        queue: deque[tuple[Path, JsonValue]] = deque(((at,), self.sections[at].value) for at in sections)
        left = lines
        while queue and left > 0:
            path, value = queue.popleft()
            size = _size(value)
            if isinstance(value, str) or not size:
                continue
            stop = min(size, WINDOW)
            if len(path) > 1 and stop > left:
                continue
            self.windows[path] = (0, stop)
            left -= stop
            queue.extend(((*path, number), child) for number, _, child in _children(value, 0, stop))

    def close_all(self) -> None:
        """Fold all but the sections' names."""
        self.windows.clear()
        self.rows = self._all_rows()

    # Finding

    def find(self, key: Path) -> int | None:
        """Return the line with this key, None where it is not shown."""
        index = self._at(key)
        return index if index < len(self.rows) and self.rows[index].key == key else None

    def search(self, text: str) -> list[Path]:
        """Return where a key or a scalar contains `text`, whatever its case, in order; slow for a big document."""
        wanted = text.casefold()
        self._places = {}
        return list(islice(self._matches(wanted), FOUND)) if wanted else []

    def reveal(self, path: Path) -> int:
        """Open what a value is in, and a long text where the last search found something; return the value's line."""
        value: JsonValue = [section.value for section in self.sections]
        for depth, place in enumerate(path):
            if depth:
                self._include(path[:depth], value, place)
            value = next(child for _, _, child in _children(value, place, place + 1))
        if isinstance(value, str) and _size(value):
            self._include(path, value, self._places.get(path, 0))
        self.rows = self._all_rows()
        return self._at(path)

    def _matches(self, wanted: str) -> Iterator[Path]:
        # A stack of iterators, for depth costs Python's stack nothing and width no list.
        named = ((at, section.name, section.value) for at, section in enumerate(self.sections))
        stack: list[tuple[Path, Iterator[tuple[int, str | None, JsonValue]]]] = [((), named)]
        while stack:
            above, values = stack[-1]
            for at, label, value in values:
                place = _place(_scalar_text(value), wanted)
                if place > 0:
                    self._places[*above, at] = place
                if place >= 0 or (label and wanted in label.casefold()):
                    yield (*above, at)
                if isinstance(value, (dict, list)) and value:
                    stack.append(((*above, at), _children(value)))
                    break
            else:
                stack.pop()

    def _include(self, path: Path, value: JsonValue, place: int) -> None:
        start, stop = self.windows.get(path, (0, 0))
        if not start <= place < stop:
            step = _step(value)
            start = place // step * step
            self.windows[path] = (start, min(start + step, _size(value)))

    # Lines

    def _at(self, key: Path) -> int:
        """Return the first line whose key is not before this one."""
        return bisect_left(self.rows, key, key=lambda row: row.key)

    def _end(self, path: Path) -> int:
        """Return the first line after a value and all that is in it."""
        return self._at((*path[:-1], path[-1] + 1))

    def _show(self, line: Row, window: tuple[int, int]) -> None:
        """Have this part shown of the value that a line is, or belongs to."""
        path = line.path
        before, self.windows[path] = self.windows.get(path, (0, 0)), window
        start, stop = max(before[0], window[0]), min(before[1], window[1])
        row = self.rows[self._at(path)]
        if isinstance(row.value, str) or start >= stop:
            self._replace(row)
            return
        # What was shown already stays as it is: of a long list it is most.
        self.rows[self._at((*path, stop)) : self._end(path)] = self._rows(self._inside(row, stop, window[1]))
        self.rows[self._at(path) + 1 : self._at((*path, start))] = self._rows(self._inside(row, window[0], start))

    def _replace(self, row: Row) -> None:
        self.rows[self._at(row.path) : self._end(row.path)] = self._rows(iter([row]))

    def _all_rows(self) -> list[Row]:
        sections = enumerate(self.sections)
        return list(self._rows(Row(Kind.VALUE, (at,), 0, section.name, section.value) for at, section in sections))

    def _rows(self, rows: Iterator[Row]) -> Iterator[Row]:
        """Yield these, each followed by what is open in it."""
        # A stack of iterators: generators inside each other would hand each row of a deep value through all of them.
        stack = [rows]
        while stack:
            for row in stack[-1]:
                yield row
                if row.kind == Kind.VALUE and row.path in self.windows:
                    start, stop = self.windows[row.path]
                    stack.append(self._inside(row, start, min(stop, _size(row.value))))
                    break
            else:
                stack.pop()

    def _inside(self, row: Row, start: int, stop: int) -> Iterator[Row]:
        """Yield this part of what is in an open value, and how much is not shown where that is at its ends."""
        path, depth, value = row.path, row.depth + 1, row.value
        window = self.windows[path]
        if 0 < start == window[0]:
            yield Row(Kind.BEFORE, path, depth, None, value, start)
        if isinstance(value, str):
            yield from _text_rows(path, depth, value, start, stop)
        else:
            for at, key, child in _children(value, start, stop):
                yield Row(Kind.VALUE, (*path, at), depth, key, child)
        if window[1] == stop < _size(value):
            yield Row(Kind.AFTER, path, depth, None, value, stop)


def row_text(row: Row, opened: bool, width: int) -> Text:
    """Return a line: indent, a mark for what folds (`-` open, `+` folded), name and value."""
    text = Text("  " * row.depth)
    if row.kind == Kind.TEXT:
        return text.append("| ", style="dim").append(row.label or "")
    if row.kind != Kind.VALUE:
        return text.append(_more(row), style="dim")
    size = _size(row.value)
    text.append(("- " if opened else "+ ") if size else "  ", style="dim")
    name = _label(row.path[-1], row.label) if row.depth else row.label or ""
    text.append(safe(name, width), style="cyan" if row.depth else "bold")
    text.append(" " if size and not isinstance(row.value, str) else ": ")
    return text.append_text(_value_text(row.value, opened, width))


def _value_text(value: JsonValue, opened: bool, width: int) -> Text:
    if isinstance(value, str):
        shown = Text(safe(json.dumps(value[: width + 1], ensure_ascii=False), width), style="green")
        return shown if not _size(value) else shown.append(f" {len(value):,} characters", style="dim")
    if isinstance(value, (dict, list)):
        return _container_text(value, opened, width)
    return Text(json.dumps(value), style="magenta")


def _container_text(value: JsonValue, opened: bool, width: int) -> Text:
    left, right = "{}" if isinstance(value, dict) else "[]"
    if not value:
        return Text(left + right)
    if opened:
        return Text(f"{left}{len(value):,}{right}", style="dim")
    return Text(f"{left}{len(value):,}{right} ", style="dim").append(_preview(value, width))


def _preview(value: JsonValue, width: int) -> str:
    parts: list[str] = []
    for at, key, child in _children(value, 0, 8):
        shown = "…" if isinstance(child, (dict, list)) and child else json.dumps(_cut(child), ensure_ascii=False)
        parts.append(shown if isinstance(value, list) else f"{_label(at, key)}: {shown}")
    return safe(", ".join(parts), width)


def _cut(value: JsonValue) -> JsonValue:
    return value[:40] + "…" if isinstance(value, str) and len(value) > 40 else value


def _more(row: Row) -> str:
    hidden = row.place if row.kind == Kind.BEFORE else _size(row.value) - row.place
    what = "characters " if isinstance(row.value, str) else ""
    return f"  … {hidden:,} {what}{'before' if row.kind == Kind.BEFORE else 'more'}"


def _text_rows(path: Path, depth: int, value: str, start: int, stop: int) -> Iterator[Row]:
    place = start
    for line in value[start:stop].split("\n"):
        for piece in _chopped(safe(line)):
            yield Row(Kind.TEXT, path, depth, piece, None, place)
            place += 1


def _chopped(line: str) -> list[str]:
    if line.isascii():
        return [line[at : at + ACROSS] for at in range(0, len(line) or 1, ACROSS)]
    # No character is wider than two cells, and measuring all of them takes long.
    if 2 * len(line) <= ACROSS:
        return [line]
    return chop_cells(line, ACROSS) or [""]


def _children(value: JsonValue, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, str | None, JsonValue]]:
    if isinstance(value, dict):
        for at, (key, child) in enumerate(islice(value.items(), start, stop), start):
            yield at, key, child
    elif isinstance(value, list):
        for at, child in enumerate(islice(value, start, stop), start):
            yield at, None, child


def _size(value: JsonValue) -> int:
    """Return how many children fold away, or characters of a long text; 0 where nothing folds."""
    if isinstance(value, str):
        return len(value) if len(value) > SHORT or "\n" in value else 0
    return len(value) if isinstance(value, (dict, list)) else 0


def _step(value: JsonValue) -> int:
    return TEXT_WINDOW if isinstance(value, str) else WINDOW


def _most(value: JsonValue) -> int:
    return TEXT_MOST if isinstance(value, str) else MOST


def _label(at: int, key: str | None) -> str:
    if key is None:
        return str(at)
    return key if _PLAIN_KEY.match(key) else json.dumps(key, ensure_ascii=False)


def _place(text: str, wanted: str) -> int:
    """Return about where a text has `wanted`, which is casefolded; -1 where it has not.

    Piece by piece, so that other threads go on meanwhile.
    """
    for at in range(0, len(text) or 1, PIECE):
        # Casefolding never makes a text shorter: so much further on, what begins in this piece has ended.
        found = text[at : at + PIECE + len(wanted)].casefold().find(wanted)
        if found >= 0:
            return min(at + found, len(text) - 1)
    return -1


def _scalar_text(value: JsonValue) -> str:
    if isinstance(value, str):
        return value
    return "" if isinstance(value, (dict, list)) else json.dumps(value)
