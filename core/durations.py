"""Durations as people write them: `30s`, `1h30m`."""

from __future__ import annotations

import datetime as dt
import re

from core.wording import shown

DURATION = re.compile(
    r"(?:(?P<weeks>{n})w)?(?:(?P<days>{n})d)?(?:(?P<hours>{n})h)?(?:(?P<minutes>{n})m)?"
    r"(?:(?P<seconds>{n})s)?(?:(?P<milliseconds>{n})ms)?".format(n=r"[0-9]+(?:\.[0-9]+)?")
)


def duration(text: object) -> dt.timedelta:
    """Return the time that `30s`, `10m`, `2h`, `30d`, `1h30m` or `500ms` says; raises ValueError."""
    if isinstance(text, dt.timedelta):
        return text
    found = DURATION.fullmatch(text) if isinstance(text, str) and text else None
    if not found:
        raise ValueError(f"{shown(text)} is no duration: write one like 500ms, 30s, 10m, 2h, 1h30m or 30d")
    try:
        return dt.timedelta(**{unit: float(number) for unit, number in found.groupdict(default="0").items()})
    except OverflowError:
        raise ValueError(f"{shown(text)} is too long for a duration") from None
