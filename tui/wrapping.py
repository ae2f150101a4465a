"""Lines of text broken into rows of a width: what a narrow terminal would cut off stands below."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from rich.console import Console
from rich.text import Text

HANG = 2
"""Cells by which the second row of a line stands further in than the first."""


def wrapped(line: Text, width: int) -> list[Text]:
    """Return one line as rows of at most `width` cells, broken between words, those after the first one set in."""
    # A wide character takes two cells.
    width = max(width, 2)
    if line.cell_len <= width:
        return [line]
    indent = len(line.plain) - len(line.plain.lstrip(" "))
    hang = min(indent + HANG, width // 3)
    first, *more = line[indent:].wrap(_console(), width - hang, overflow="fold")
    return [Text(" " * min(indent, hang)).append_text(first), *(Text(" " * hang).append_text(row) for row in more)]


def rows(lines: Sequence[Text], width: int, height: int, where: str = "") -> list[Text]:
    """Return lines as at most `height` rows; where more are left, the last row says how many, and `where` they are.

    A single row is the first line, cut.
    """
    found = [row for line in lines for row in wrapped(line, width)]
    if len(found) <= height:
        return found
    if height == 1:
        return [cut(line, width) for line in lines][:1]
    left = cut(Text(f"  … {len(found) - height + 1} more lines{where}", style="dim"), width)
    return [*found[: height - 1], left]


def cut(line: Text, width: int) -> Text:
    """Return a line of at most `width` cells, with `…` where some of it is left out."""
    line = line.copy()
    line.truncate(max(width, 1), overflow="ellipsis")
    return line


@cache
def _console() -> Console:
    # It only says how text is justified where a text does not say so itself.
    return Console()
