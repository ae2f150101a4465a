"""What somebody asks to rerun, and how; the words in which it is asked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from core.errors import UsageError

if TYPE_CHECKING:
    from data.job_records import JobFilter
    from data.records import Batch

_RATE = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)/(?P<unit>s|m|h)")
_SECONDS = {"s": 1, "m": 60, "h": 3600}


class Selection(NamedTuple):
    """The jobs that somebody asks to rerun, or to cancel: by id, or all that a filter shows, less those taken out."""

    ids: tuple[int, ...] | None = None
    filter: JobFilter | None = None
    excluded: frozenset[int] = frozenset()
    version: int | None = None
    """Of a single job: the version that was looked at. One that is not the latest is refused (`not_latest`)."""


MODES = ("start", "failed")
REVISIONS = ("latest", "original")
ORDERS = ("strict", "key", "any")


@dataclass(frozen=True, slots=True)
class How:
    """How jobs are to be rerun; all but `mode` and `revision` is of a bulk rerun only."""

    mode: str = "start"
    """`start`, or `failed`: recorded outputs are reused up to the failed step."""
    revision: str = "latest"
    """`latest`, or `original`: the revision of version 1."""
    order: str = "key"
    """`strict`: one after the other; `key`: so for the jobs of an object, others beside them; `any`: no order."""
    rate: float | None = None
    """Jobs a second at the most."""
    canary: int | None = None
    """How many run first; then the rest wants a yes."""
    stop_failures: int | None = None
    """How many failures pause the rest."""
    stop_share: float | None = None
    """Which part of those that ended, from 0 to 1, may fail before the rest is paused."""

    @property
    def version_mode(self) -> str:
        """The mode of the versions that this makes, as their rows and histories say it."""
        return "original" if self.revision == "original" else self.mode


WHOLE = How()
"""The whole recipe, at its latest revision."""


def rate(text: str) -> float:
    """Return the jobs a second of `10/s`, `30/m` or `100/h`; raises UsageError."""
    found = _RATE.fullmatch(text.strip())
    if not found or not float(found["number"]):
        raise UsageError(f"{text!r} is no rate: write one like 10/s, 30/m or 100/h")
    return float(found["number"]) / _SECONDS[found["unit"]]


def rate_words(per_second: float) -> str:
    """Return a rate as `rate` reads it, in the unit in which it is a whole number if there is one."""
    for unit, seconds in _SECONDS.items():
        number = per_second * seconds
        if abs(number - round(number)) < 1e-9 and round(number) > 0:
            return f"{round(number)}/{unit}"
    return f"{per_second * 3600:g}/h"


def limits_words(how: How | Batch) -> str:
    """Return in which order, how fast and until when a bulk rerun goes on."""
    told = [f"order {how.order}"]
    told += [f"at most {rate_words(how.rate)}"] if how.rate else []
    told += [f"canary of {how.canary}"] if how.canary else []
    told += [f"stops at {how.stop_failures} failures"] if how.stop_failures is not None else []
    told += [f"stops at {how.stop_share:.0%} failures"] if how.stop_share is not None else []
    return ", ".join(told)
