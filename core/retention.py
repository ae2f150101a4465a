"""How long a job's data is kept: the rules, as pure functions, and the engine's daily work of applying them."""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from core.errors import RecipeProblems, Refused, StoreError
from core.library import Library
from core.lock import engine_kept_out, holder
from core.recipe import Recipe
from core.reruns import removed
from core.settings import Settings
from core.text import storable
from data import purge as store
from data import recipes as recipe_store
from data.audit import note_act
from data.database import Database
from data.job_records import Hold, Job
from data.purge import Batch, Due, Place
from data.records import Revision
from data.states import ENDED, Status
from data.writer import Writer

T = TypeVar("T")
Write = Callable[[Callable[[Any], T]], T]
Clock = Callable[[], dt.datetime]

DAILY = dt.timedelta(days=1)
LOOK_EVERY_S = 5.0
"""How often the engine looks whether a day is over, or whether another process has removed data."""
EMPTY_EVERY = 20
"""Batches after which a process beside no engine empties the write-ahead log: some 30 MB of it."""
ENGINE_SHARE = 4
"""How much longer than a batch a process beside an engine rests: the engine waits for it by looking again and again."""
AFTER_TROUBLE_S = 600.0
"""How long the engine leaves a store alone that could not be written."""

_log = logging.getLogger(__name__)
_UNITS = {"w": dt.timedelta(weeks=1), "d": DAILY, "h": dt.timedelta(hours=1), "m": dt.timedelta(minutes=1),
          "s": dt.timedelta(seconds=1), "ms": dt.timedelta(milliseconds=1)}


@dataclass(frozen=True, slots=True)
class Rule:
    """How long the data of a recipe's jobs is kept after their end, by the status in which they ended."""

    recipe_id: int
    recipe: str
    statuses: frozenset[Status]
    keeps: dt.timedelta
    sentence: str
    """`retention 30d of recipe sync`."""

    def expires_at(self, job: Job) -> dt.datetime | None:
        """Return when a job's data may be removed: never before it has ended, while it is held, or a second time."""
        if job.status not in self.statuses or job.finished_at is None or job.held or job.trigger_expired_at:
            return None
        try:
            return job.finished_at + self.keeps
        except OverflowError:
            return None

    def due(self, now: dt.datetime) -> Iterator[Due]:
        """Yield what is due now, a status at a time."""
        try:
            before = now - self.keeps
        except OverflowError:
            return
        for status in sorted(self.statuses):
            yield Due(self.recipe_id, status, before)


def rules_of(recipe_id: int, recipe: Recipe, settings: Settings) -> tuple[Rule, ...]:
    """Return a recipe's rules: its own, else the workspace's. Canceled jobs are kept as long as failed ones."""
    own = recipe.retention
    if own is None:
        kept = settings.engine.retention
        return (Rule(recipe_id, recipe.name, ENDED, kept, f"retention {written(kept)} of the workspace"),)
    if own.succeeded == own.failed:
        sentence = f"retention {written(own.failed)} of recipe {recipe.name}"
        return (Rule(recipe_id, recipe.name, ENDED, own.failed, sentence),)
    succeeded = frozenset({Status.SUCCEEDED})
    return tuple(
        Rule(recipe_id, recipe.name, statuses, kept, f"retention {name} {written(kept)} of recipe {recipe.name}")
        for name, statuses, kept in (
            ("succeeded:", succeeded, own.succeeded), ("failed:", ENDED - succeeded, own.failed),
        )
    )


def expires_at(job: Job, rules: Mapping[str, Sequence[Rule]]) -> dt.datetime | None:
    """Return when retention may remove a job's data; None where it may not, `rules` being by recipe."""
    return next((moment for rule in rules.get(job.recipe, ()) if (moment := rule.expires_at(job))), None)


def written(period: dt.timedelta) -> str:
    """Return a duration as settings and recipes write it: `30d`, `1d12h`; weeks are told in days."""
    parts, left = [], period
    for unit, size in _UNITS.items():
        if unit != "w" and left >= size:
            parts.append(f"{left // size}{unit}")
            left %= size
    return "".join(parts) or "0s"


class Terms:
    """The rules in force in a workspace, by recipe; safe to use from any thread."""

    def __init__(self, database: Database, library: Library, settings: Settings) -> None:
        self._database = database
        self._library = library
        self._settings = settings
        self._known: tuple[int | None, dict[str, tuple[Rule, ...]]] = (None, {})

    def rules(self) -> Mapping[str, tuple[Rule, ...]]:
        """Return the rules by recipe; cheap where no recipe has changed. A recipe that cannot be read has none."""
        with self._database.read() as connection:
            newest = recipe_store.newest_revision(connection)
            if newest != self._known[0]:
                self._known = (newest, self._read(recipe_store.last_revisions(connection)))
        return self._known[1]

    def _read(self, revisions: Mapping[int, Revision]) -> dict[str, tuple[Rule, ...]]:
        found = {}
        for recipe_id, revision in revisions.items():
            try:
                recipe = self._library.recipe(revision)
            except RecipeProblems:
                # What is removed is gone: without a rule that can be read, nothing is.
                continue
            found[recipe.name] = rules_of(recipe_id, recipe, self._settings)
        return found

    def told(self, jobs: list[Job]) -> list[Job]:
        """Return the jobs with `expires_at` filled in."""
        rules = self.rules()
        return [job._replace(expires_at=expires_at(job, rules)) for job in jobs]


# Holds


def hold_for(reason: str, by: str, now: dt.datetime) -> Hold:
    """Return a hold; raises Refused (`no_reason`) where the reason says nothing."""
    if not reason.strip():
        raise Refused("no_reason", "say why its data is to be kept: --reason TEXT")
    return Hold(storable(reason.strip()), by, now)


def hold(connection: Any, job_id: int, wanted: Hold) -> bool:
    """Keep a job's data past its retention, and tell the audit; False if it is gone or held already."""
    held = store.hold(connection, job_id, wanted)
    if held:
        note_act(connection, wanted.by, "hold", f"job {job_id}", wanted.reason)
    return held


def release(connection: Any, job_id: int, by: str) -> bool:
    """Let retention have a job's data again, and tell the audit; False if nobody holds it."""
    released = store.release(connection, job_id)
    if released:
        note_act(connection, by, "release", f"job {job_id}")
    return released


def not_held_because(job: Job) -> Refused:
    """Return the refusal of a hold that could not be placed."""
    if job.held:
        since = f"{job.held.at.astimezone():%Y-%m-%d %H:%M:%S}"
        return Refused("held", f"{job.held.by} holds job {job.id} since {since}: {job.held.reason}")
    return Refused("trigger_expired", f"nothing of job {job.id} is left to hold: {removed(job)}")


# Applying the rules


@dataclass(frozen=True, slots=True)
class Purged:
    """What a rule has removed, or would remove."""

    recipe: str
    rule: str
    jobs: int
    bytes: int
    """Of events, step data, report columns and messages."""


@dataclass(frozen=True, slots=True)
class Purge:
    """What one application of the rules came to."""

    by_rule: tuple[Purged, ...]
    """Those that found something."""
    whole: bool
    """Whether every due job was looked at; False where it was stopped before."""

    @property
    def jobs(self) -> int:
        """How many jobs it concerns."""
        return sum(one.jobs for one in self.by_rule)


def apply(
    rules: Sequence[Rule], write: Write[Any], clock: Clock, *, dry: bool = False,
    rest: Callable[[float], bool] = lambda seconds: False,
) -> Purge:
    """Remove what the rules say, a batch a transaction of `write`; `dry`: only count, `write` may be a read then.

    `rest` is called after each batch with the seconds that it took, and stops everything by returning True: what was
    removed stays removed, and the next call goes on.
    """
    now = clock()
    found: dict[tuple[str, str], tuple[int, int]] = {}
    again = whole = True
    while again and whole:
        again = False
        removed = waiting = 0
        for rule, batch, took in _batches(rules, write, now, clock, dry):
            jobs, size = found.get((rule.recipe, rule.sentence), (0, 0))
            found[rule.recipe, rule.sentence] = jobs + batch.jobs, size + batch.bytes
            removed, waiting = removed + batch.jobs, waiting + batch.waiting
            if rest(took):
                whole = False
                break
        # Called jobs follow those that have called them.
        again = bool(removed and waiting) and not dry
    by_rule = tuple(Purged(*key, jobs, size) for key, (jobs, size) in found.items() if jobs)
    return Purge(by_rule, whole)


def _batches(
    rules: Sequence[Rule], write: Write[Any], now: dt.datetime, clock: Clock, dry: bool
) -> Iterator[tuple[Rule, Batch, float]]:
    for rule in rules:
        for due in rule.due(now):
            place: Place | None = store.START
            while place is not None:
                began = time.monotonic()
                batch = write(_work(due, place, clock(), rule.sentence, dry))
                yield rule, batch, time.monotonic() - began
                place = batch.next


def _work(due: Due, place: Place, now: dt.datetime, sentence: str, dry: bool) -> Callable[[Any], Batch]:
    if dry:
        return lambda connection: store.look(connection, due, place)
    return lambda connection: store.remove(connection, due, place, now, sentence)


def note(connection: Any, by: str, purge: Purge, now: dt.datetime) -> None:
    """Remember that the rules were applied, and in the audit what they removed."""
    if purge.whole:
        store.remember_completed(connection, now)
    if purge.jobs:
        told = "; ".join(f"{one.jobs} by {one.rule}" for one in purge.by_rule)
        note_act(connection, by, "purge", f"{purge.jobs} jobs", told)


class Beside:
    """How a process that is no engine rests between two batches: an engine's jobs come first.

    Without an engine nobody moves the write-ahead log into the file: it would grow far beyond what is removed.
    """

    def __init__(self, workspace: Path, database: Database) -> None:
        self._workspace = workspace
        self._database = database
        self._batches = 0

    def rest(self, seconds: float) -> bool:
        """Rest after a batch that took so long; False: go on."""
        self._batches += 1
        if holder(self._workspace) is not None:
            time.sleep(seconds * ENGINE_SHARE)
        elif self._batches % EMPTY_EVERY == 0:
            self.empty_log()
        return False

    def empty_log(self) -> None:
        """Empty the write-ahead log where no engine does: what was removed is still in there."""
        with engine_kept_out(self._workspace) as alone:
            if alone:
                self._database.truncate_log()


class Purging:
    """The engine's retention: once a day, in a thread of its own, giving way to the jobs."""

    def __init__(
        self, database: Database, writer: Writer, rules: Callable[[], Sequence[Rule]],
        clock: Clock = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        """`rules` gives those that are in force."""
        self._database = database
        self._writer = writer
        self._rules = rules
        self._clock = clock
        self._emptied: dt.datetime | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="retention", daemon=True)

    def start(self) -> None:
        """Begin to look, at once for the first time."""
        self._thread.start()

    def close(self) -> None:
        """Stop after the batch under way; the next engine goes on."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _serve(self) -> None:
        pause = 0.0
        while not self._stopping.wait(pause):
            pause = LOOK_EVERY_S
            try:
                self.look()
            except StoreError as error:
                _log.warning("retention could not be applied: %s", error)
                pause = AFTER_TROUBLE_S

    def look(self) -> None:
        """Apply the rules where a day is over since they last were, then see that nothing removed is left."""
        with self._database.read() as connection:
            last = store.completed_at(connection)
        # A clock that was wrong must not put the next time off for years.
        if last is None or not last <= self._clock() < last + DAILY:
            self._apply()
        self._empty_log()

    def _apply(self) -> None:
        purge = apply(self._rules(), self._writer.call, self._clock, rest=self._rest)
        self._writer.call(lambda connection: note(connection, "engine", purge, self._clock()))
        for one in purge.by_rule:
            _log.info("the data of %d jobs of %s was removed by %s", one.jobs, one.recipe, one.rule)

    def _rest(self, seconds: float) -> bool:
        """Leave the store to the jobs for as long as they had to wait."""
        return self._stopping.wait(seconds)

    def _empty_log(self) -> None:
        with self._database.read() as connection:
            removed = store.removed_at(connection)
        if removed is not None and removed != self._emptied and self._writer.between(self._database.truncate_log):
            self._emptied = removed
