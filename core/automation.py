"""The one face of the core: what a key does and what a command does, on one workspace."""

from __future__ import annotations

import datetime as dt
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from core import cancels, reruns, retention
from core.audit import Audit
from core.batches import Batches
from core.cancels import Cancellation
from core.comparing import Comparing
from core.errors import EngineHeld, NotFound, RecipeProblems, Refused, WorkspaceError
from core.events import make_event
from core.expressions import Condition, ExpressionError, compile_condition, to_text
from core.failures import Failures
from core.layout import laid_out
from core.library import Library
from core.lock import FILE as LOCK_FILE
from core.lock import holder
from core.overview import Overview
from core.planning import Planner
from core.rehearsing import Rehearsing
from core.reruns import WHOLE, How, Plan, Rerun, Selection
from core.retention import Purged, Terms
from core.settings import Settings, load
from core.store import database_of
from core.text import storable
from core.trials import Trials
from core.wording import unknown
from data import calls, runs
from data import jobs as store
from data import recipes as recipe_store
from data.audit import note_act
from data.job_records import Job, JobFilter, JsonValue, Sort
from data.records import Accepted, Event, JobDetail, Problem, RecipeState, Revision, Version
from data.report import Report as Report
from data.report import jobs_of
from data.states import Status

T = TypeVar("T")

CHUNK = 200
"""Jobs that are queued, or events that are stored, in one transaction."""

_START_S = 20.0


@dataclass(frozen=True, slots=True)
class EngineState:
    """The engine of the workspace, if one holds it."""

    running: bool
    pid: int | None = None
    host: str | None = None
    since: dt.datetime | None = None
    listen: str | None = None
    """The address of its webhook listener, `host:port`."""


@dataclass(frozen=True, slots=True)
class State:
    """What `jobdeck status` tells."""

    engine: EngineState
    jobs: Mapping[Status, int]
    """How many jobs have each status; statuses that no job has are left out."""
    recipes: tuple[RecipeState, ...]


class Automation:
    """A workspace, opened: reads and acts; every method may be called from any thread."""

    workspace: Path
    settings: Settings
    trials: Trials
    """Recipes tried out: tests, dry runs, saved events, coverage."""
    batches: Batches
    """Bulk reruns, seen and steered."""
    comparing: Comparing
    """What differs between two runs."""
    rehearsing: Rehearsing
    """Events taken through a revision without its writes."""
    failures: Failures
    """Failed versions by the group of their error, and notes on groups."""
    audit: Audit
    """Who did what, when, why."""
    overview: Overview
    """What the recipes' screens show of each: trigger, jobs by status and hour, changes by revision."""

    def __init__(self, workspace: Path) -> None:
        """Open the workspace's store, migrating an older one; raises WorkspaceError or StoreError."""
        self.workspace = workspace
        self.settings = load(workspace)
        self._database = database_of(self.settings, workspace)
        self._library = Library(workspace, self._database, self._write)
        self._terms = Terms(self._database, self._library, self.settings)
        self.trials = Trials(workspace, self.settings, self._database, self._library)
        self._planner = Planner(self._database, self._library, self.settings, self._write)
        self.batches = Batches(self._database, self._write)
        self.comparing = Comparing(self._database, self._library)
        self.rehearsing = Rehearsing(workspace, self.settings, self._database, self._library, self.comparing)
        self.failures = Failures(self._database, self._write)
        self.audit = Audit(self._database)
        self.overview = Overview(self._database, self._library)
        self._watching = threading.Lock()

    def close(self) -> None:
        """Close the store."""
        self._database.close()

    def _read(self, work: Callable[[Any], T]) -> T:
        with self._database.read() as connection:
            return work(connection)

    def _write(self, work: Callable[[Any], T]) -> T:
        with self._database.write() as connection:
            return work(connection)

    def __enter__(self) -> Automation:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # Jobs

    def report(self, filter: JobFilter, sort: Sort) -> Report:
        """Return a report to be read by position, for the terminal."""
        return Report(self._database, filter, sort, self.told)

    def told(self, found: list[Job]) -> list[Job]:
        """Return the jobs with `expires_at` filled in."""
        return self._terms.told(found)

    def snapshot(self) -> AbstractContextManager[sqlite3.Connection]:
        """Give a connection that sees one state of the store until the end of the block; raises StoreError."""
        return self._database.snapshot()

    def jobs(self, filter: JobFilter, sort: Sort, limit: int | None = None) -> Iterable[Job]:
        """Yield the jobs of a filter with `rerun_blocked` filled in."""
        standings = self._planner.standings()
        for job in self.report(filter, sort).iterate(limit):
            yield job._replace(rerun_blocked=reruns.refusal(job, standings.get(job.recipe)))

    def job(self, job_id: int) -> Job:
        """Return one job with `rerun_blocked` filled in, or raise NotFound."""
        with self._database.read() as connection:
            found = jobs_of(connection, [job_id]).get(job_id)
        if found is None:
            raise NotFound(f"there is no job {job_id}")
        blocked = reruns.refusal(found, self._planner.standings().get(found.recipe))
        return self._terms.told([found])[0]._replace(rerun_blocked=blocked)

    def detail(self, job_id: int, version: int | None = None) -> JobDetail:
        """Return a job as a version shows it, the latest unless one is named; raises NotFound."""
        job = self.job(job_id)
        with self._database.read() as connection:
            shown = store.version(connection, job_id, version)
            if shown is None:
                raise NotFound(reruns.no_such_version(job_id, version, job.versions).message)
            event = store.event_of(connection, shown.id)
            parent = calls.parent(connection, shown.id)
            kin = store.of_same_object(connection, job_id)
            records = store.step_records(connection, shown.id)
            revision_id = store.revision_id_of(connection, shown.id)
            revision = None if revision_id is None else recipe_store.revision(connection, revision_id)
        if not shown.latest:
            job = job._replace(rerun_blocked=reruns.not_latest(job_id, shown.number, job.versions))
        # Without records, the recipe's steps would stand there as never reached.
        steps = () if shown.expired else laid_out(self._recipe_of(revision), records)
        return JobDetail(job, shown, event, steps, parent, *kin)

    def same_object(self, job_id: int) -> tuple[int | None, int | None, dt.datetime | None]:
        """Return a job's `newer`, `older` and `changed_at`, as its detail has them."""
        return self._read(lambda connection: store.of_same_object(connection, job_id))

    def _recipe_of(self, revision: Revision | None) -> Any:
        try:
            return None if revision is None else self._library.recipe(revision)
        except RecipeProblems:
            # An older revision may use words that are gone; its records are there all the same.
            return None

    def history(self, job_id: int) -> list[Version]:
        """Return a job's versions, newest first; raises NotFound."""
        with self._database.read() as connection:
            versions = store.history(connection, job_id)
        if not versions:
            raise NotFound(f"there is no job {job_id}")
        return versions

    # Rerunning

    def plan(self, selection: Selection, how: How = WHOLE, *, digest: str | None = None) -> Plan:
        """Return what rerunning a selection would do. Reads the recipes' files and stores changed ones first.

        Raises Refused (`plan_changed`) where it is no longer the plan with this digest, if one is given.
        """
        return self._planner.plan(selection, how, digest=digest)

    def rerun(
        self, selection: Selection, how: How = WHOLE, *, by: str, note: str | None = None, plan: str | None = None
    ) -> Rerun:
        """Queue a new version of each job that can be rerun; the others are in `refused`. More than one are a batch.

        With `plan`, a digest, nothing is done unless that plan still holds. Raises Refused: `plan_changed`, and
        `note_missing` where so many jobs want a note.
        """
        return self._planner.rerun(selection, how, by=by, note=note, plan=plan)

    def resolve(
        self, job_id: int, path: str, *, happened: bool, output: JsonValue = None, by: str
    ) -> None:
        """Settle a step in doubt: it happened, with this output, or is to be done again; raises Refused, NotFound."""
        detail = self.detail(job_id)
        doubted = [step.path for step in detail.steps if step.status.value == "in_doubt"]
        if detail.version.status is not Status.IN_DOUBT:
            raise Refused("not_in_doubt", f"job {job_id} is {detail.version.status.value}, not in doubt")

        def settle(connection: Any) -> bool:
            settled = runs.settle_doubt(connection, detail.version.id, path, happened=happened, output=output, by=by)
            if settled:
                subject = f"job {job_id}.{detail.version.number} step {path}"
                note_act(connection, by, "resolve", subject, "it happened" if happened else "do it again")
            return settled

        if path not in doubted or not self._write(settle):
            raise Refused("not_in_doubt", f"step {path} of job {job_id} is not in doubt: {', '.join(doubted)} is")

    # Secrets

    def reveal(self, job_id: int, version: int, path: str | None, *, by: str) -> None:
        """Put down in the audit that `by` looks at the secrets in a step's data, or in the trigger event (None).

        Durable when it returns: nobody is shown them before. Raises NotFound.
        """
        place = "trigger event" if path is None else f"step {path}"

        def write(connection: Any) -> None:
            if store.version(connection, job_id, version) is None:
                raise NotFound(f"there is no job {job_id}.{version}")
            note_act(connection, by, "reveal", f"job {job_id}.{version} {place}")

        self._write(write)

    # Canceling

    def cancel(self, selection: Selection, *, by: str, note: str | None = None) -> Cancellation:
        """Cancel the jobs of a selection; the others are in `refused`, but those that a filter shows and that ended.

        Durable when it returns, with an engine or without. One whose writing step is under way is `stopping`: that
        step is let finish.
        """
        return cancels.cancel(self._database, selection, by=by, note=note)

    def statuses(self, selection: Selection) -> Mapping[Status, int]:
        """Return how many jobs of a selection have each status; statuses that none has are left out."""
        return cancels.counted(self._database, selection)

    # Retention

    def hold(self, job_id: int, *, reason: str, by: str) -> Job:
        """Keep a job's data past its retention; raises NotFound, Refused (`trigger_expired`, `held`, `no_reason`)."""
        hold = retention.hold_for(reason, by, _now())
        self.job(job_id)
        if not self._write(lambda connection: retention.hold(connection, job_id, hold)):
            raise retention.not_held_because(self.job(job_id))
        return self.job(job_id)

    def release(self, job_id: int, *, by: str) -> Job:
        """Let retention have a job's data again, from now on; raises NotFound, Refused (`not_held`)."""
        self.job(job_id)
        if not self._write(lambda connection: retention.release(connection, job_id, by)):
            raise Refused("not_held", f"nobody holds job {job_id}")
        return self.job(job_id)

    def purge(self, *, by: str, dry_run: bool = False) -> tuple[Purged, ...]:
        """Apply retention now and return what each rule removed; with `dry_run` only what it would.

        Where an engine runs, its jobs come first.
        """
        self._library.refresh()
        rules = [rule for of_recipe in self._terms.rules().values() for rule in of_recipe]
        if dry_run:
            return retention.apply(rules, self._read, _now, dry=True).by_rule
        beside = retention.Beside(self.workspace, self._database)
        done = retention.apply(rules, self._write, _now, rest=beside.rest)
        self._write(lambda connection: retention.note(connection, by, done, _now()))
        beside.empty_log()
        return done.by_rule

    # Recipes

    def recipes(self) -> list[RecipeState]:
        """Return every recipe, by name. Reads the files and stores changed ones first."""
        return self._library.refresh()

    def recipe(self, name: str) -> RecipeState:
        """Return one recipe, or raise NotFound with the nearest name."""
        states = {state.name: state for state in self.recipes()}
        if name not in states:
            raise NotFound(unknown("recipe", name, states))
        return states[name]

    def recipe_path(self, name: str) -> Path:
        """Return where the recipe's file is."""
        return self._library.path(name)

    def revisions(self, name: str) -> list[Revision]:
        """Return a recipe's revisions, newest first; raises NotFound."""
        state = self.recipe(name)
        with self._database.read() as connection:
            return recipe_store.history(connection, state.id)

    def start_recipe(self, name: str, *, by: str) -> RecipeState:
        """Let a recipe take events; remembered. Raises NotFound."""
        return self._set_started(name, True, by)

    def stop_recipe(self, name: str, *, by: str) -> RecipeState:
        """Let a recipe take no new events; remembered. Its queued jobs and reruns run. Raises NotFound."""
        return self._set_started(name, False, by)

    def _set_started(self, name: str, started: bool, by: str) -> RecipeState:
        state = self.recipe(name)

        def write(connection: Any) -> None:
            recipe_store.set_started(connection, state.id, started)
            note_act(connection, by, "recipe start" if started else "recipe stop", name)

        if state.started is not started:
            self._write(write)
        return self.recipe(name)

    def check(self, names: Sequence[str] = ()) -> list[Problem]:
        """Return what is wrong in the files of these recipes, or of all, and warnings; raises NotFound."""
        return self._library.check(names, self.settings)

    def send(self, recipe: str, events: Iterable[JsonValue], *, key: str | None = None, by: str) -> list[Accepted]:
        """Hand events to a recipe; `key` is an expression over `trigger`. Durable when it returns.

        Raises NotFound, RecipeProblems (never valid), Refused (`recipe_stopped`), ExpressionError (in `key`); the
        events before the one whose key cannot be had are stored then.
        """
        state = self.recipe(recipe)
        loaded = self._library.loaded(state)
        if loaded is None:
            raise RecipeProblems(state.problems)
        if not state.started:
            raise Refused("recipe_stopped", f"{recipe} is stopped: `jobdeck recipe start {recipe}` lets it take events")
        keyed = compile_condition(key) if key is not None else None
        accepted: list[Accepted] = []
        waiting: list[Event] = []

        def store_waiting() -> None:
            now = dt.datetime.now(dt.UTC)
            events = tuple(waiting)
            accepted.extend(self._write(lambda connection: store.accept(connection, state.id, events, by, now)))
            waiting.clear()

        try:
            for data in events:
                now = dt.datetime.now(dt.UTC)
                waiting.append(make_event(loaded.recipe, _event_key(keyed, data), data, self.settings.props, now))
                if len(waiting) == CHUNK:
                    store_waiting()
        finally:
            if waiting:
                store_waiting()
        return accepted

    # The engine

    def status(self) -> State:
        """Return the engine's state, the jobs by status and the recipes."""
        recipes = tuple(self.recipes())
        with self._database.read() as connection:
            return State(self.engine(), store.count_by_status(connection), recipes)

    def engine(self) -> EngineState:
        """Return whether an engine holds the workspace; cheap."""
        held = holder(self.workspace)
        if held is None:
            return EngineState(False)
        return EngineState(True, held.pid, held.host, dt.datetime.fromisoformat(held.since), held.listen)

    def start_engine(self) -> EngineState:
        """Start an engine as a process of its own, which outlives the caller; raises EngineHeld, WorkspaceError."""
        running = self.engine()
        if running.running:
            raise EngineHeld(f"an engine runs already: process {running.pid} on {running.host}")
        said = self.workspace / LOCK_FILE.replace(".lock", ".out")
        with said.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "core.runner", str(self.workspace)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
                cwd=self.workspace,
            )
        # Whoever never waits for a child that has ended leaves it a zombie.
        threading.Thread(target=process.wait, name="engine-waiter", daemon=True).start()
        deadline = time.monotonic() + _START_S
        while b"engine started" not in said.read_bytes():
            if process.poll() is not None or time.monotonic() > deadline:
                told = said.read_text(encoding="utf-8", errors="replace").strip()
                raise WorkspaceError(f"the engine did not start: {told[-500:] or 'it said nothing'}")
            time.sleep(0.05)
        return self.engine()

    def stop_engine(self, timeout: float = 30.0) -> EngineState:
        """Ask the engine to finish what runs and stop; return when it has, or after `timeout` seconds.

        Raises WorkspaceError where the engine is on another machine.
        """
        state = self.engine()
        if not state.running or not state.pid:
            return state
        if state.host != socket.gethostname():
            raise WorkspaceError(f"the engine runs on {state.host}: stop process {state.pid} there")
        os.kill(state.pid, signal.SIGTERM)
        deadline = time.monotonic() + timeout
        # Without a process it is just being given up.
        while self.engine().pid in (state.pid, 0) and time.monotonic() < deadline:
            time.sleep(0.05)
        return self.engine()

    def changes(self) -> int:
        """Return a number that moves whenever anything in the store may have changed; cheap, for polling."""
        with self._watching:
            return self._database.data_version()


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _event_key(keyed: Condition | None, data: JsonValue) -> str:
    if keyed is None:
        return uuid.uuid4().hex
    value = keyed.value({"trigger": data})
    if value is None or value == "":
        raise ExpressionError(keyed.source, "gives no key for this event")
    return storable(to_text(value))
