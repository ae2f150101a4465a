"""What an expression gives, as plain data and as text."""

from __future__ import annotations

import datetime as dt
import functools
import json
import math
from typing import Any, TypeAlias

from core.expressions.budget import Budget
from core.expressions.errors import Fault, kind
from core.expressions.undefined import require

Json: TypeAlias = Any
"""dict, list, str, int, float, bool, None; and datetime, which the caller writes as it needs."""


def _time(value: dt.date) -> str:
    if not isinstance(value, dt.datetime):
        return value.isoformat()
    aware = value if value.tzinfo else value.replace(tzinfo=dt.UTC)
    return aware.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


def _encode(value: object) -> str:
    require(value)
    if isinstance(value, dt.date):
        return _time(value)
    raise Fault(f"it gives {kind(value)}, not data")


@functools.cache
def _encoder(indent: int | None) -> json.JSONEncoder:
    marks = (",", ":") if indent is None else None
    return json.JSONEncoder(indent=indent, separators=marks, ensure_ascii=False, allow_nan=False, default=_encode)


def to_json(value: object, budget: Budget, indent: int | None = None) -> str:
    """Return `value` as JSON, compact where it has no indent."""
    budget.read(value)
    if indent is not None and not 0 <= indent <= 8:
        raise Fault("tojson indents by 0 to 8")
    try:
        text = _encoder(indent).encode(value)
    except ValueError:
        raise Fault("it gives a number that is not finite") from None
    budget.chars(len(text))
    return text


def to_words(value: object, budget: Budget) -> str:
    """Return `value` as text: null is empty, times are RFC 3339 in UTC, all else as JSON would write it."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if type(value) is int:
        return str(value)
    return _time(value) if isinstance(value, dt.date) else to_json(value, budget)


def plain(value: Any, budget: Budget) -> Json:
    """Return `value` as plain data; raises Fault for what is none."""
    if value is None or type(value) in (str, bool, int):
        return value
    budget.charge(1)
    if isinstance(value, dict):
        return {key if type(key) is str else to_json(key, budget): plain(one, budget) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, budget) for item in value]
    if isinstance(value, str):
        return str(value)
    if not isinstance(value, (float, dt.date)):
        _encode(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise Fault("it gives a number that is not finite")
    return value
