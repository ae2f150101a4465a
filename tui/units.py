"""Times, durations and counts as people read them."""

from __future__ import annotations

import datetime as dt


def local(moment: dt.datetime | None) -> str:
    """Return a moment in the local zone, to the second."""
    return "" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def elapsed(milliseconds: int | None) -> str:
    """Return a duration in the unit that fits it: `120 ms`, `3.4 s`, `2 m 05 s`, `3 h 20 m`."""
    if milliseconds is None:
        return ""
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:.1f} s"
    minutes, seconds = divmod(milliseconds // 1000, 60)
    return f"{minutes} m {seconds:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} m"


def until(moment: dt.datetime, now: dt.datetime | None = None) -> str:
    """Return how long it is to a moment, in the largest unit that fits: `3 d`, `5 h`, `12 m`; `0 m` once it is past."""
    minutes = max(int((moment - (now or dt.datetime.now(dt.UTC))).total_seconds() // 60), 0)
    if minutes >= 24 * 60:
        return f"{minutes // (24 * 60):,} d"
    return f"{minutes // 60} h" if minutes >= 60 else f"{minutes} m"


def count(number: int, noun: str) -> str:
    """Return a number with its noun: `1 job`, `12,034 jobs`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
