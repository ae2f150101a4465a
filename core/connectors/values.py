"""Values of databases as JSON, as keys and as moments, whichever driver gave them; and statements told apart."""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import math
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import TypeAdapter

from data.job_records import JsonValue

_DURATION = TypeAdapter(dt.timedelta)


def to_json(value: Any) -> JsonValue:
    """Return a value as JSON can say it: times RFC 3339, decimals text, bytes base64."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case decimal.Decimal():
            return format(value, "f")
        case dt.datetime():
            return _time(value)
        case dt.date() | dt.time():
            return value.isoformat()
        case dt.timedelta():
            return _DURATION.dump_python(value, mode="json")
        case bytes() | bytearray() | memoryview():
            return base64.b64encode(value).decode("ascii")
        case Mapping():
            return {str(key): to_json(inner) for key, inner in value.items()}
        case list() | tuple() | set() | frozenset():
            return [to_json(inner) for inner in value]
    return str(value)


def _time(value: dt.datetime) -> str:
    """Return a time in UTC; one without a zone is given back without one, nobody knows which it was."""
    if value.tzinfo is None:
        return value.isoformat()
    return value.astimezone(dt.UTC).replace(tzinfo=None).isoformat() + "Z"


def to_text(value: Any) -> str:
    """Return a value as the text of a key or a stamp: the same value is the same text, whenever it is read."""
    if isinstance(value, decimal.Decimal) and value.is_finite():
        return format(value.normalize() + 0, "f")
    found = to_json(value)
    return found if isinstance(found, str) else repr(found)


_FROM_TEXT: dict[type, Callable[[str], Any]] = {
    int: int,
    float: float,
    decimal.Decimal: decimal.Decimal,
    uuid.UUID: uuid.UUID,
    dt.datetime: dt.datetime.fromisoformat,
    dt.date: dt.date.fromisoformat,
    bytes: base64.b64decode,
    memoryview: base64.b64decode,
}


def from_text(text: str, sample: Any) -> Any:
    """Return what `to_text` made `text` of, as a value of the type of `sample`; the text itself where it cannot."""
    try:
        return _FROM_TEXT.get(type(sample), str)(text)
    except (ValueError, decimal.InvalidOperation):
        return text


def moment(value: Any) -> dt.datetime | None:
    """Return the moment that a time (UTC where it has no zone), a text or a Unix time says, or None."""
    match value:
        case dt.datetime():
            return value.astimezone(dt.UTC) if value.tzinfo else value.replace(tzinfo=dt.UTC)
        case dt.date():
            return dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
        case str():
            try:
                return moment(dt.datetime.fromisoformat(value.strip()))
            except ValueError:
                return None
        case bool():
            return None
        case int() | float() | decimal.Decimal() if 10**9 <= value < 10**10:
            return dt.datetime.fromtimestamp(float(value), dt.UTC)
        case int() if 10**12 <= value < 10**13:
            return dt.datetime.fromtimestamp(value / 1000, dt.UTC)
    return None


_LITERAL = re.compile(
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | `[^`]*` | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$ | --[^\n]* | /\*.*?\*/""",
    re.VERBOSE | re.DOTALL,
)
_READING = frozenset({"select", "values", "with", "table"})
_WRITING = frozenset({"insert", "update", "delete", "merge", "replace", "into", "share", "call"})


def reads(statement: str) -> bool:
    """Return whether a statement surely only reads: one SELECT (or VALUES, WITH, TABLE) without a word of writing.

    A SELECT that calls a function which writes is not seen by this: where the database has read-only transactions,
    it is run in one and refused there.
    """
    bare = _LITERAL.sub(" ", statement).lower().strip().rstrip(";")
    words = re.findall(r"\w+", bare)
    return bool(words) and words[0] in _READING and ";" not in bare and not _WRITING & set(words)


def without_colons(statement: str) -> str:
    r"""Return a statement whose literals and comments have `\:` for each colon, so that none is a parameter."""
    return _LITERAL.sub(lambda found: re.sub(r"(?<!\\):", r"\\:", found[0]), statement)
