"""Writes only what the terminal has: the same number of cells, in ASCII where there is nothing better."""

from __future__ import annotations

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from tui.words import encodable

_PLAIN = str.maketrans({"·": "|", "—": "-", "…": "~", "⏎": "$", "─": "-", "×": "x", **dict.fromkeys("▔▁▀▄━═┄", "-"),
                        **dict.fromkeys("│┃▏▕▎▌▐║", "|"), **dict.fromkeys("┌┐└┘├┤┼╭╮╰╯", "+")})


class Encodable(LineFilter):
    """Replaces what cannot be written; where everything can, do not apply it."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Return the segments, each of the same width."""
        return [
            Segment(encodable(text.translate(_PLAIN)), style, control) for text, style, control in segments
        ]
