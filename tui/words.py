"""How each status is told: glyph, word and colour, in one table; never by colour alone."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from data.states import Status, StepStatus
from tui.surroundings import accessible, console


@dataclass(frozen=True, slots=True)
class Word:
    """A status as people see it."""

    glyph: str
    """One cell wide in every terminal: no emoji, none of East Asian ambiguous width."""
    ascii: str
    word: str
    style: str
    """One of the terminal's own colours, so that it is readable on light and dark."""


WORDS: dict[str, Word] = {
    Status.QUEUED: Word("⋯", ".", "queued", "cyan"),
    Status.RUNNING: Word("▸", "~", "running", "blue"),
    Status.SUCCEEDED: Word("✓", "+", "succeeded", "green"),
    Status.FAILED: Word("✗", "x", "failed", "bold red"),
    Status.CANCELED: Word("⊘", "-", "canceled", "dim"),
    Status.IN_DOUBT: Word("?", "?", "in doubt", "bold magenta"),
    StepStatus.HANDLED: Word("!", "!", "handled", "yellow"),
    StepStatus.SKIPPED: Word("-", "-", "skipped", "dim"),
    StepStatus.REUSED: Word("=", "=", "reused", "green"),
    StepStatus.NOT_REACHED: Word(" ", " ", "not reached", "dim"),
}

ARROWS = {False: ("▴", "^"), True: ("▾", "v")}
"""The mark of the sorted column, ascending and descending, each with its ASCII stand-in."""


def unicode_output() -> bool:
    """Return whether the terminal has the glyphs: its encoding (Textual writes to stderr), its font, its reader."""
    if console() or accessible():
        return False
    encoding = getattr(sys.__stderr__, "encoding", None) or "ascii"
    return encoding.lower().replace("-", "").replace("_", "") in ("utf8", "utf16", "utf32")


def marked(status: Status | StepStatus, *, unicode: bool) -> str:
    """Return a status as its glyph and its word."""
    word = WORDS[status]
    return f"{word.glyph if unicode else word.ascii} {word.word}"


def encodable(text: str) -> str:
    """Return `text` with what the terminal's encoding lacks as `?`, of the same width in cells."""
    if text.isascii():
        return text
    from rich.cells import cell_len

    encoding = getattr(sys.__stderr__, "encoding", None) or "ascii"
    return "".join(
        one if one.encode(encoding, "ignore") else "?" * cell_len(one) for one in text
    )
