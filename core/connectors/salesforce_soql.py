"""Writes SOQL: names are checked, values are escaped and written as the field's type wants them."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, TypeAlias

from pydantic import Field

from core.errors import StepError

NAME = r"[A-Za-z][A-Za-z0-9_]{0,79}"
Object = Annotated[str, Field(pattern=rf"^{NAME}$")]
FieldName = Annotated[str, Field(pattern=rf"^{NAME}$")]
FieldPath = Annotated[str, Field(pattern=rf"^{NAME}(\.{NAME}){{0,5}}$")]
"""A field, or one of a record that this one names: `Owner.Name`."""

Scalar: TypeAlias = str | bool | int | float | None
Where: TypeAlias = Mapping[str, Scalar | list[Scalar]]

ESCAPES = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}
NUMBERS = frozenset({"int", "long", "double", "currency", "percent"})


def text(value: str) -> str:
    """Return a text literal, as the SOQL reference has it under "Quoted String Escape Sequences"."""
    return "'" + "".join(ESCAPES.get(one) or (one if one >= " " else f"\\u{ord(one):04x}") for one in value) + "'"


def moment(value: dt.datetime) -> str:
    """Return a datetime literal, in UTC."""
    return value.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03d}Z"


def literal(name: str, value: Scalar, kind: str | None) -> str:
    """Return a value of the field `name` as a literal; `kind` is the field's type, None where it is not known.

    Raises StepError where the field cannot have such a value.
    """
    if value is None:
        return "null"
    try:
        return _typed(value, kind)
    except (ValueError, decimal.InvalidOperation):
        raise StepError(f"where: {name} is of type {kind}, {value!r} is none", "request") from None


def _typed(value: str | bool | int | float, kind: str | None) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError
    written = str(value).lower() if isinstance(value, bool) else str(value)
    match kind:
        case "date":
            return dt.date.fromisoformat(written).isoformat()
        case "datetime":
            found = dt.datetime.fromisoformat(written)
            return moment(found if found.tzinfo else found.replace(tzinfo=dt.UTC))
        case "boolean":
            if written.lower() not in ("true", "false"):
                raise ValueError
            return written.lower()
        case None:
            return text(value) if isinstance(value, str) else written
    if kind in NUMBERS:
        number = decimal.Decimal(written)
        if isinstance(value, bool) or not number.is_finite():
            raise ValueError
        return format(number, "f")
    return text(written)


def conditions(where: Where, kinds: Mapping[str, str]) -> list[str]:
    """Return one condition for each field: equal to its value, or to one of a list; null finds nulls.

    `kinds` are the types of the object's fields, by their names in lower case.
    """
    return [_condition(name, value, kinds.get(name.lower())) for name, value in where.items()]


def _condition(name: str, value: Scalar | list[Scalar], kind: str | None) -> str:
    if not isinstance(value, list):
        return f"{name} = {literal(name, value, kind)}"
    given = [literal(name, one, kind) for one in value if one is not None]
    parts = [f"{name} IN ({', '.join(given)})"] if given else []
    parts += [f"{name} = null"] if None in value else []
    # SOQL has no word for "none of them": every record has an id.
    return f"({' OR '.join(parts)})" if parts else "Id = null"


def select(
    names: Iterable[str], object: str, conditions: Sequence[str], order: Sequence[str], limit: int | None = None
) -> str:
    """Return the query; `names` without those that stand there twice, for SOQL takes none twice."""
    once = {name.lower(): name for name in reversed(list(names))}
    parts = [f"SELECT {', '.join(reversed(once.values()))} FROM {object}"]
    parts += [f"WHERE {' AND '.join(conditions)}"] if conditions else []
    parts += [f"ORDER BY {', '.join(order)}"]
    parts += [f"LIMIT {limit}"] if limit else []
    return " ".join(parts)


def plain(name: str) -> bool:
    """Return whether it is a field of the object itself."""
    return re.fullmatch(NAME, name) is not None
