"""Moments as people type them: `2h` back from now, a date, an RFC 3339 time."""

from __future__ import annotations

import datetime as dt

from core.durations import duration


def moment_of(text: str, now: dt.datetime | None = None) -> dt.datetime:
    """Return the aware moment that `text` names, without an offset in the local zone; raises ValueError."""
    try:
        return (now or dt.datetime.now(dt.UTC)) - duration(text)
    except OverflowError:
        return dt.datetime.min.replace(tzinfo=dt.UTC)
    except ValueError:
        pass
    try:
        return dt.datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is no time: write 2h, 7d, 2026-07-30 or 2026-07-30T12:00:00Z") from None


def is_span(text: str) -> bool:
    """Return whether `text` counts back from now."""
    try:
        duration(text)
    except (ValueError, OverflowError):
        return False
    return True
