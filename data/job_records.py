"""A job as the report shows it, and which jobs a report shows in which order. The start of the terminal loads these."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from data.states import Status

JsonValue: TypeAlias = Any
"""What JSON can say: None, bool, int, float, str, and lists and string-keyed dicts of them."""


class Error(NamedTuple):
    """Why a version or a step failed."""

    message: str
    kind: str
    step: str | None = None
    """The path of the step that failed."""
    status: int | None = None
    """The status of the other side's answer, where it gave one (HTTP)."""
    group: str | None = None


class Refusal(NamedTuple):
    """Why something cannot be done to a job: a code for scripts, a sentence for people."""

    id: int
    code: str
    message: str


class Hold(NamedTuple):
    """Why a job's data is kept past its retention, who wants it, and since when."""

    reason: str
    by: str
    at: dt.datetime


class Job(NamedTuple):
    """A row of the jobs report: the job's own facts, and the run facts of its latest version."""

    id: int
    recipe: str
    title: str
    status: Status
    event_key: str
    received_at: dt.datetime
    first_started_at: dt.datetime | None
    """When version 1 started."""
    started_at: dt.datetime | None
    finished_at: dt.datetime | None
    duration_ms: int | None
    versions: int
    error: Error | None
    report: Mapping[str, JsonValue]
    trigger_stored: bool
    trigger_expired_at: dt.datetime | None = None
    trigger_expired_by: str | None = None
    requested_by: str = ""
    """Who asked for the latest version."""
    mode: str = "first"
    """The latest version's: see `Version`."""
    requested_at: dt.datetime | None = None
    rerun_blocked: Refusal | None = None
    """Filled in by core.automation; the store does not know the rules of rerunning."""
    held: Hold | None = None
    expires_at: dt.datetime | None = None
    """When retention may remove its data; filled in by core.automation. None while it is open or held, and after."""
    trail: tuple[Status, ...] = ()
    """The statuses of its last versions, the oldest first; empty for a rerun job that is read otherwise than by
    position or by job in a report."""


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs a report shows; an empty filter shows all."""

    recipe: str | None = None
    statuses: frozenset[Status] = frozenset()
    since: dt.datetime | None = None
    """Received at or after."""
    until: dt.datetime | None = None
    """Received before."""
    search: str = ""
    """Text contained, whatever its case, in title, event key or error message; `#812` is the job's id."""
    error_group: str | None = None
    up_to: int | None = None
    """No job with a higher id: the as-of moment of a selection."""
    not_recipes: frozenset[str] = frozenset()
    """No job of these recipes."""
    ids: frozenset[int] | None = None
    """Only these jobs."""
    without: frozenset[int] = frozenset()
    """None of these jobs."""


SORT_COLUMNS = (
    "id", "recipe", "title", "status", "event_key", "received_at", "first_started_at", "started_at", "finished_at",
    "duration_ms", "versions", "error",
)
SECOND_COLUMNS: dict[str, tuple[str, ...]] = {
    "status": ("id", "recipe", "received_at", "started_at", "finished_at", "duration_ms", "versions", "error"),
    "recipe": tuple(column for column in SORT_COLUMNS if column != "recipe"),
}
"""By which columns jobs can be sorted within equal values of another: those that an index gives in that order."""


@dataclass(frozen=True, slots=True)
class Sort:
    """The order of a report: one of `SORT_COLUMNS`, ties by id in the same direction; nulls last when ascending."""

    column: str = "received_at"
    descending: bool = True
    then: str | None = None
    """By what jobs with the same value are sorted: one of `SECOND_COLUMNS` of the first."""
    then_descending: bool = False


class Stopped(Exception):
    """A read was given up by the one who asked for it (`Report.stop`)."""
