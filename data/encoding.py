"""How the store keeps values: moments as whole numbers, documents as ASCII text; what is here loads no library."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


def to_micros(moment: dt.datetime) -> int:
    """Return an aware moment as whole microseconds since 1970-01-01 UTC."""
    return (moment - EPOCH) // _MICROSECOND


def from_micros(micros: int) -> dt.datetime:
    """Return the aware UTC moment of whole microseconds since 1970-01-01 UTC."""
    return EPOCH + dt.timedelta(microseconds=micros)


def dump_json(value: Any) -> str:
    """Return `value` as JSON in ASCII: NUL and lone surrogates stay escaped, so that any text is kept faithfully."""
    return _ENCODER.encode(value)


# Made once: json.dumps makes an encoder for every call that asks for more than the default.
_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
