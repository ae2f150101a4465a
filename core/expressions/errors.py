"""What goes wrong with an expression, in words that need no Python."""

from __future__ import annotations

import datetime as dt
import difflib
import re
from collections.abc import Iterable
from itertools import islice
from typing import TypeAlias

from jinja2.runtime import LoopContext

from data.errors import JobdeckError

Path: TypeAlias = tuple[str | int, ...]


class ExpressionError(JobdeckError):
    """An expression cannot be evaluated; `source` is the expression, `reason` why, `near` what may have been meant."""

    def __init__(self, source: str, reason: str, near: str | None = None) -> None:
        self.source, self.reason, self.near = source, reason, near
        super().__init__(f"{reason}{meant(near)} (in {shorten(source, 120)})")


class ExpressionSyntaxError(ExpressionError):
    """An expression cannot be read; `line` and `column` count from 1 within its source.

    `path` leads to it in a value that compile_value was given."""

    def __init__(self, source: str, reason: str, offset: int, near: str | None = None) -> None:
        super().__init__(source, reason, near)
        self.line = source.count("\n", 0, offset) + 1
        self.column = offset - source.rfind("\n", 0, offset)
        self.path: Path = ()


class Fault(Exception):
    """Why an evaluation ends, in words; the border adds the expression."""


_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (type(None), "null"), (bool, "true or false"), (str, "text"), ((int, float), "a number"), (dict, "a mapping"),
    ((list, tuple), "a list"), (dt.date, "a time"), (dt.timedelta, "a duration"), (LoopContext, "the loop"),
)  # fmt: skip
_PYTHON = {"NoneType": "null", "str": "text", "int": "number", "float": "number", "dict": "mapping"}


def kind(value: object) -> str:
    """Return what sort of thing `value` is."""
    return next((word for sort, word in _KINDS if isinstance(value, sort)), f"a {type(value).__name__}")


def shorten(text: str, length: int) -> str:
    """Return `text` on one line of at most `length` characters."""
    text = " ".join(text[: length * 4].split())
    return text if len(text) <= length else text[: length - 1] + "…"


def tidy(error: Exception) -> str:
    """Return Python's own words for an error, with our names of the types."""
    words = re.sub(r"'(\w+)'|\b(str|int|NoneType)\b", lambda m: _PYTHON.get(m[1] or m[2], m[0]), str(error)[:400])
    return shorten(words, 160) or type(error).__name__


def explained(error: Exception) -> str:
    """Return the reason why an evaluation or a compilation ended."""
    if isinstance(error, Fault):
        return str(error)
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return "it needs too much work or memory" if isinstance(error, MemoryError) else f"it fails: {tidy(error)}"


def spelled(key: object) -> str:
    """Return a key as one writes it behind a name: `.count`, `[0]`."""
    return f".{key[:80]}" if isinstance(key, str) and key.isidentifier() else f"[{shorten(repr(key), 80)}]"


def nearest(name: object, names: Iterable[object]) -> str | None:
    """Return the one of `names` that `name` may stand for, looking at no more than an event can afford."""
    if not isinstance(name, str) or len(name) > 100:
        return None
    known = [key for key in islice(names, 500) if isinstance(key, str) and len(key) < 100]
    same = [key for key in known if key.casefold() == name.casefold()]
    return next(iter(same or difflib.get_close_matches(name, known, 1)), None)


def meant(near: str | None, after: str = "") -> str:
    """Return the hint at the nearest name, or nothing."""
    return f"; did you mean {near}{after}?" if near else ""
