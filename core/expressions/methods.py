"""What may stand behind a dot: keys of data, attributes of times and loops, and the only methods that can be called."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable
from typing import Any

from jinja2.runtime import LoopContext

from core.expressions.budget import Budget
from core.expressions.errors import Fault, kind, meant, nearest, tidy
from core.expressions.undefined import Missing, require
from core.expressions.values import to_words

Names = tuple[tuple[type, frozenset[str]], ...]


def words(text: str) -> frozenset[str]:
    """Return the names that a text lists."""
    return frozenset(text.split())


METHODS: Names = (
    (str, words("""upper lower casefold capitalize title swapcase strip lstrip rstrip removeprefix removesuffix split
        rsplit partition rpartition startswith endswith find rfind index count replace join center ljust rjust zfill
        isdigit isdecimal isnumeric isalpha isalnum isspace islower isupper""")),
    (dict, words("keys values items get")),
    (list, words("index count")),
    (dt.datetime, words("isoformat strftime timestamp date weekday isoweekday")),
    (dt.date, words("isoformat strftime weekday isoweekday")),
    (dt.timedelta, words("total_seconds")),
    (LoopContext, words("cycle changed")),
)  # fmt: skip
ATTRIBUTES: Names = (
    (dt.datetime, words("year month day hour minute second microsecond")),
    (dt.date, words("year month day")),
    (dt.timedelta, words("days seconds")),
    (LoopContext, words("index index0 first last length revindex revindex0 previtem nextitem")),
    (tuple, words("grouper list")),  # what groupby gives
)


def _allowed(table: Names, value: object) -> frozenset[str]:
    return next((names for kind, names in table if isinstance(value, kind)), frozenset())


def getitem(obj: Any, key: Any, base: str = "(…)") -> Any:
    """Return what `obj` holds under `key`: data, null of null, Missing for what is not there."""
    if obj is None:
        return None
    if isinstance(obj, Missing):
        return obj.beyond(key)
    if isinstance(obj, dict) or (isinstance(key, int) and isinstance(obj, (list, str, tuple))):
        try:
            return obj[key]
        except LookupError:
            return Missing(None, obj, key, base)
    if isinstance(key, str) and key in _allowed(ATTRIBUTES, obj):
        return getattr(obj, key, None)
    return Missing(None, obj, key, base)


def replace(budget: Budget, text: str, old: object, new: object, count: int | None = -1) -> str:
    """Return `text` with `old` replaced, paid for at its largest."""
    before, after = to_words(old, budget), to_words(new, budget)
    budget.chars(len(text) + text.count(before) * len(after))
    return text.replace(before, after, -1 if count is None else count)


def join(budget: Budget, items: Iterable[object], between: object = "") -> str:
    """Return the texts of `items` in one."""
    glue, texts = to_words(between, budget), []
    for item in items:
        texts.append(to_words(item, budget))
        budget.chars(len(texts[-1]) + len(glue))
    return glue.join(texts)


def _strftime(_budget: Budget, time: dt.date, form: str) -> str:
    if len(form) > 200 or re.search(r"%[^a-zA-Z%]*\d{3}", form):  # the C library pads to any width
        raise Fault("the format of strftime is too long")
    return time.strftime(form)


def _either(given: str | list[str]) -> str | tuple[str, ...]:
    return tuple(given) if isinstance(given, list) else given


_OWN: dict[str, Callable[..., object]] = {
    "replace": replace,
    "join": lambda budget, text, items: join(budget, items, text),
    "startswith": lambda _, text, start: text.startswith(_either(start)),
    "endswith": lambda _, text, end: text.endswith(_either(end)),
    "strftime": _strftime,
}


def _parts(text: str, sep: str | None = None, maxsplit: int = -1) -> int:
    # Each part is an object of its own: as many as there can be are paid for.
    return len(text) >> 1 if sep is None else text.count(sep) * 4


_PRICES: dict[str, Callable[..., int]] = {
    **dict.fromkeys(("split", "rsplit"), _parts),
    **dict.fromkeys(("center", "ljust", "rjust", "zfill"), lambda text, width, fill=" ": width >> 2),
}


def method(budget: Budget, obj: Any, name: str, /, *args: Any, **named: Any) -> Any:
    """Return what an allowed method of plain data gives."""
    given = (obj, *args, *named.values())
    require(*given)
    names = _allowed(METHODS, obj)
    if name not in names:
        raise Fault(f"{kind(obj)} has no {name}(){meant(nearest(name, sorted(names)), '()')}")
    for value in given:
        if isinstance(value, str) or isinstance(obj, (list, LoopContext)):  # the latter compare
            budget.read(value)
    try:
        if name in _PRICES:
            budget.charge(_PRICES[name](obj, *args, **named))
        result = _OWN[name](budget, obj, *args, **named) if name in _OWN else getattr(obj, name)(*args, **named)
        return result if name in ("get", "cycle") else budget.keep(result)
    except (TypeError, ValueError, OverflowError) as error:
        raise Fault(f"{name}() fails: {tidy(error)}") from None
