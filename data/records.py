"""The frozen values that the store gives out; everything above reads these and never a row."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from data.job_records import Error, Job, JsonValue, Refusal
from data.states import BatchStatus, Status, StepStatus


class StepRecord(NamedTuple):
    """What one step did in one version; one for every loop iteration.

    A tuple: every step of every job makes one for each of its states.
    """

    path: str
    """Where the step stands: `3.then.1`, in loops `4[0].do.2`; counted from 1, iterations from 0."""
    id: str
    status: StepStatus
    action: str | None = None
    effect: str | None = None
    """Of an action: `reads`, `idempotent` or `writes`."""
    branch: str | None = None
    index: tuple[int, ...] = ()
    attempts: int = 0
    input: JsonValue = None
    output: JsonValue = None
    error: Error | None = None
    started_at: dt.datetime | None = None
    duration_ms: int | None = None
    resolved_by: str | None = None
    ordinal: int = 0
    has_input: bool = False
    """Whether an input was recorded: `input` is None both for nothing and for JSON's null."""
    kind: str = ""
    """What the recipe declares it as: `action`, `condition`, `set`, `stop`, `monitor`, `repeat` or `call`; filled in by
    core.layout, empty where the recipe is not to be had."""


@dataclass(frozen=True, slots=True)
class Version:
    """One run of a job."""

    id: int
    job_id: int
    number: int
    latest: bool
    status: Status
    recipe_revision: int | None
    """The revision's number; None while version 1 has not been claimed."""
    mode: str
    """`first` for version 1, or `test` where that tests the recipe; of a rerun `start` for the whole recipe at its
    latest revision, `failed` from the failed step, `original` at the revision of version 1; `call` where the parent has
    called again."""
    requested_by: str
    requested_at: dt.datetime
    note: str | None
    started_at: dt.datetime | None
    finished_at: dt.datetime | None
    duration_ms: int | None
    error: Error | None
    report: Mapping[str, JsonValue] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    attempt: int = 1
    batch: int | None = None
    """The bulk rerun that made it."""
    expired: bool = False
    """Whether retention has removed its data: it has no step records, and its error no message."""
    canceled_by: str | None = None
    """Who has canceled it; of one that runs, or is in doubt, who has asked to."""
    canceled_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class BatchCounts:
    """How a batch stands: each of its jobs is counted once, so that all but `jobs` add up to `jobs`."""

    jobs: int
    refused: int
    waiting: int
    """Not let go yet."""
    queued: int
    running: int
    succeeded: int
    failed: int
    canceled: int
    in_doubt: int

    @property
    def ended(self) -> int:
        """How many ran and need nothing more of the engine; those in doubt wait for an operator."""
        return self.succeeded + self.failed + self.canceled + self.in_doubt


@dataclass(frozen=True, slots=True)
class Batch:
    """A bulk rerun: what was asked, by whom, and how it goes."""

    id: int
    status: BatchStatus
    reason: str | None
    """Why it is paused."""
    canceled_by: str | None
    requested_by: str
    requested_at: dt.datetime
    note: str | None
    plan: str
    mode: str
    order: str
    rate: float | None
    """Jobs a second at the most."""
    canary: int | None
    """How many run before the rest wants a yes; None once that was said."""
    stop_failures: int | None
    stop_share: float | None
    """Which part of those that ended, from 0 to 1."""
    whole: bool
    """Whether every job of its list is queued or refused."""
    resumed_at: dt.datetime
    finished_at: dt.datetime | None
    counts: BatchCounts


@dataclass(frozen=True, slots=True)
class BatchJob:
    """What became of one job of a batch."""

    job_id: int
    version: int | None
    """The version that the batch made; None where the job was refused, or is not queued yet."""
    status: Status | None
    error: Error | None
    refusal: Refusal | None


@dataclass(frozen=True, slots=True)
class Link:
    """A place in another job: the version that called, and the path of its call step."""

    job_id: int
    version: int
    path: str


@dataclass(frozen=True, slots=True)
class JobDetail:
    """One job as one of its versions shows it."""

    job: Job
    version: Version
    trigger: JsonValue
    """The cached trigger event; None where it is not stored (see `job.trigger_stored`)."""
    steps: tuple[StepRecord, ...]
    """In the order of the recipe; declared steps without a record are `not_reached`."""
    parent: Link | None = None
    """Who called the version shown; a call step's output has the child's id under `job`."""
    newer: int | None = None
    """The next job of the same object, which came later."""
    older: int | None = None
    """The job of the same object before it."""
    changed_at: dt.datetime | None = None
    """When a poll saw, after the job came, that its object has changed, where the trigger makes no job of that."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong in a recipe's file, and where: line and column count from 1."""

    file: str
    line: int
    column: int
    message: str
    warning: bool = False
    """Whether the recipe runs all the same: it says what is probably not meant."""

    def __str__(self) -> str:
        grade = "warning: " if self.warning else ""
        return f"{self.file}:{self.line}:{self.column}: {grade}{self.message}"


@dataclass(frozen=True, slots=True)
class RecipeState:
    """A recipe as the store knows it."""

    id: int
    name: str
    started: bool
    revision: int | None
    """The number of the last valid revision, None where the file was never valid."""
    problems: tuple[Problem, ...]
    """Why the file as it is now makes no revision."""
    present: bool
    """Whether the file is there."""
    warning: str | None = None
    """What the trigger's last poll met, while it goes on failing."""
    polled_at: dt.datetime | None = None
    next_poll_at: dt.datetime | None = None
    poll_failures: int = 0
    """How many of its last polls failed, one after the other."""
    first_started_at: dt.datetime | None = None
    since: JsonValue = None


@dataclass(frozen=True, slots=True)
class Hour:
    """What a recipe received in one hour."""

    began: dt.datetime
    received: int
    failed: int
    """How many of them have failed, as they stand now."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How many jobs a recipe has, and received of late."""

    statuses: Mapping[Status, int]
    """How many jobs have each status; statuses that none has are left out."""
    hours: tuple[Hour, ...]
    """The last hours, the oldest first, the one under way at the end."""
    looked_at: int | None
    """How many jobs, the newest of all recipes, were looked at for the hours where that is not all; else None."""


@dataclass(frozen=True, slots=True)
class Revision:
    """A valid state of a recipe's file, stored whole."""

    id: int
    recipe: str
    number: int
    text: str
    stored_at: dt.datetime


@dataclass(frozen=True, slots=True)
class Event:
    """A trigger event on its way into the store."""

    key: str
    data: JsonValue
    title: str = ""
    wanted: bool = True
    """False where the trigger condition does not hold: the key is remembered, no job is made."""
    error: Error | None = None
    """A job that failed before it began: its trigger condition could not be judged."""
    warnings: tuple[str, ...] = ()
    object_key: str | None = None
    """What it tells of, by its key at the source; None where the trigger knows no objects."""


@dataclass(frozen=True, slots=True)
class Act:
    """A line of the audit: who did what to what, when, and why."""

    id: int
    at: dt.datetime
    actor: str
    action: str
    subject: str
    note: str | None


@dataclass(frozen=True, slots=True)
class ErrorNote:
    """What somebody has written on a group of errors."""

    text: str
    by: str
    at: dt.datetime


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """The versions that failed with the same error."""

    group: str
    recipes: tuple[str, ...]
    jobs: int
    """Jobs whose latest version failed with it."""
    versions: int
    """All versions that ever did."""
    first_seen_at: dt.datetime
    last_seen_at: dt.datetime
    message: str
    """The newest one's, as the other facts of the error are."""
    kind: str
    step: str | None
    action: str | None
    """None where the error is of no action, or retention has removed the step's record."""
    first_recipe: str
    first_revision: int | None
    """The revision, of `first_recipe`, in which it was first seen; None where it failed before one was fixed."""
    note: ErrorNote | None


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of an event: the job that it made, or made when its key was first seen."""

    key: str
    job_id: int | None
    new: bool
    """Whether this call made the key known."""
