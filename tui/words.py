"""How each status is told: glyph, word and colour, in one table; never by colour alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from data.states import Status, StepStatus
from tui.surroundings import accessible, console

if TYPE_CHECKING:
    from rich.text import Text

DOT = " · "


class Word(NamedTuple):
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
    """Return whether the terminal has the glyphs: its locale and the stream, its font, its reader."""
    return not (console() or accessible()) and _is_unicode(_encoding())


@cache
def _encoding() -> str:
    """Return the encoding of what this process may write.

    It is that of the stream (Textual writes to stderr), or ASCII where the stream is in UTF-8, as Python has it in the
    C locale too (PEP 540), and the locale is not.
    """
    stream = getattr(sys.__stderr__, "encoding", None) or "ascii"
    return "ascii" if _is_unicode(stream) and not _is_unicode(_charset(os.environ)) else stream


def _charset(environment: Mapping[str, str]) -> str:
    """Return the charset of the locale's characters: of the first of LC_ALL, LC_CTYPE, LANG that is set (POSIX)."""
    names = [environment.get(name) for name in ("LC_ALL", "LC_CTYPE", "LANG")]
    if sys.flags.utf8_mode and names[1] in _COERCED:
        # Python has put it there for its children, where the locale was C or is not installed (PEP 538).
        names[1] = None
    locale = next(filter(None, names), "C")
    return locale.partition(".")[2].partition("@")[0]


_COERCED = ("C.UTF-8", "C.utf8", "UTF-8")


def _is_unicode(encoding: str) -> bool:
    return encoding.lower().replace("-", "").replace("_", "") in ("utf8", "utf16", "utf32")


def mask() -> str:
    """Return what stands in the place of a secret."""
    return "••••" if unicode_output() else "****"


def marked(status: Status | StepStatus, *, unicode: bool) -> str:
    """Return a status as its glyph and its word."""
    word = WORDS[status]
    return f"{word.glyph if unicode else word.ascii} {word.word}"


def encodable(text: str) -> str:
    """Return `text` with what the terminal's encoding lacks as `?`, of the same width in cells."""
    if text.isascii():
        return text
    encoding = _encoding()
    with suppress(UnicodeEncodeError):
        text.encode(encoding)
        return text
    from rich.cells import cell_len

    return "".join(one if one.encode(encoding, "ignore") else "?" * cell_len(one) for one in text)


def mark(status: Status | StepStatus, glyph: bool = True, word: bool = True) -> Text:
    """Return a status as glyph, word, or both, in its colour."""
    # Here, for commands that print no colours do without it.
    from rich.text import Text

    told = WORDS[status]
    shown = told.glyph if unicode_output() else told.ascii
    return Text(" ".join(([shown] if glyph else []) + ([told.word] if word else [])), style=told.style)
