"""Recipes tried out: one event as a test job or dry, events saved for it, and what jobs have covered so far."""

from __future__ import annotations

import datetime as dt
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core import logs, saved
from core.coverage import Coverage, covered
from core.dryrun import DryRun, DryRunner
from core.errors import EngineHeld, NotFound, RecipeProblems, Refused, UsageError
from core.events import make_event
from core.journal import Masking
from core.library import Library, Loaded
from core.lock import EngineLock, holder
from core.recipe import ActionStep
from core.runs import Runs, world_of
from core.saved import Saved
from core.settings import Settings
from core.wording import unknown
from data import calls, coverage, runs
from data import jobs as store
from data.database import Database
from data.job_records import JsonValue
from data.records import Event, Version
from data.report import jobs_of
from data.runs import Progress, Settled
from data.states import Status
from data.writer import Writer

_LOOK_S = 0.05


class Trials:
    """What `jobdeck test` and `jobdeck recipe coverage` do on an open workspace."""

    def __init__(self, workspace: Path, settings: Settings, database: Database, library: Library) -> None:
        self._workspace = workspace
        self._settings = settings
        self._database = database
        self._library = library

    # One event

    def run(self, recipe: str, data: JsonValue, *, by: str) -> int:
        """Run an event through a recipe as it is now, stopped or not, and return the job's id when it has ended.

        It is a job like any other, marked as a test: the running engine runs it before what is queued; where there is
        none, this process does, and nothing else meanwhile. Raises NotFound, RecipeProblems, Refused (`not_wanted`).
        """
        loaded = self._as_it_is(recipe)
        event = self._event(loaded, data, key=f"test:{uuid.uuid4()}")
        now = dt.datetime.now(dt.UTC)
        with self._database.write() as connection:
            job_id = store.accept_test(connection, loaded.state.id, event, by, now)
        self._see_through(job_id)
        return job_id

    def _see_through(self, job_id: int) -> None:
        while (version := self._latest(job_id)).status in (Status.QUEUED, Status.RUNNING):
            if holder(self._workspace) is None and self._alone(version):
                return
            time.sleep(_LOOK_S)

    def _alone(self, version: Version) -> bool:
        """Run a version in this process, no engine being there; return whether there is nothing more to wait for."""
        if version.status is Status.RUNNING:
            # Its engine is gone: the next one takes it up.
            return True
        try:
            with bench(self._workspace, self._settings, self._database, self._library) as one:
                one.run(version.id)
        except EngineHeld:
            return False
        return True

    def _latest(self, job_id: int) -> Version:
        with self._database.read() as connection:
            found = store.version(connection, job_id, None)
        assert found is not None
        return found

    def dry_run(self, recipe: str, data: JsonValue) -> DryRun:
        """Return what comes of an event where nothing is written: writes are answered, and nothing is stored.

        Reads act. A write's answer is what the step last gave in a job, else its connector's example. Raises as `run`.
        """
        loaded = self._as_it_is(recipe)
        self._event(loaded, data, key="")
        return DryRunner(self._workspace, self._settings, self._library.named, self._recorded).run(loaded, data)

    def _as_it_is(self, name: str) -> Loaded:
        """Return a recipe as its file is now; raises NotFound, RecipeProblems."""
        states = {state.name: state for state in self._library.refresh() if state.present}
        if name not in states:
            raise NotFound(unknown("recipe", name, states))
        loaded = None if states[name].problems else self._library.loaded(states[name])
        if loaded is None:
            raise RecipeProblems(states[name].problems)
        return loaded

    def _event(self, loaded: Loaded, data: JsonValue, key: str) -> Event:
        event = make_event(loaded.recipe, key, data, self._settings.props, dt.datetime.now(dt.UTC))
        when = loaded.recipe.trigger.when
        if event.error is not None:
            raise Refused("not_wanted", event.error.message)
        if not event.wanted and when is not None:
            raise Refused("not_wanted", f"this event makes no job: its trigger condition is false: {when.source}")
        return event

    def _recorded(self, loaded: Loaded, step: ActionStep, path: str) -> tuple[JsonValue, str] | None:
        with self._database.read() as connection:
            last = coverage.last_output(connection, loaded.state.id, step.id, step.action.name)
        return None if last is None else (last[0], f"{last[1]}.{last[2]}")

    # Saved events

    def save(self, recipe: str, job_id: int, version: int | None, name: str) -> Saved:
        """Save the event of a recipe's job under a name, secrets masked.

        Raises NotFound, UsageError, Refused (`exists`, `trigger_expired`), WorkspaceError.
        """
        with self._database.read() as connection:
            job = jobs_of(connection, [job_id]).get(job_id)
            shown = store.version(connection, job_id, version)
            event = None if shown is None else store.event_of(connection, shown.id)
        if job is None or shown is None:
            raise NotFound(f"there is no job {job_id}" + (f".{version}" if version and job else ""))
        if job.recipe != recipe:
            raise UsageError(f"job {job_id} is one of {job.recipe}, not of {recipe}")
        if not job.trigger_stored:
            raise Refused("trigger_expired", f"the trigger data of job {job_id} is no longer stored")
        return saved.save(
            self._workspace, recipe, name, event, Masking(self._settings.secrets(self._workspace))
        )

    def saved(self, recipe: str) -> list[str]:
        """Return the names of the events that are saved for a recipe."""
        return saved.names(self._workspace, recipe)

    def saved_event(self, recipe: str, name: str) -> Path:
        """Return the file of a saved event; raises NotFound."""
        return saved.found(self._workspace, recipe, name)

    # Coverage

    def coverage(self, recipe: str) -> Coverage:
        """Return which branches, monitors and stops of a recipe's latest revision have run; raises NotFound."""
        states = {state.name: state for state in self._library.refresh()}
        if recipe not in states:
            raise NotFound(unknown("recipe", recipe, states))
        loaded = self._library.loaded(states[recipe])
        if loaded is None:
            raise RecipeProblems(states[recipe].problems)
        with self._database.read() as connection:
            taken, versions, all = coverage.taken(connection, loaded.revision.id)
        return covered(loaded.recipe, loaded.revision.number, taken, versions, all)


class Bench:
    """Runs single versions, and the children that they call, while this process holds the workspace."""

    def __init__(self, database: Database, writer: Writer, carried: Runs, boot: str) -> None:
        self._database = database
        self._writer = writer
        self._runs = carried
        self._boot = boot

    def run(self, version_id: int) -> None:
        """Run a queued version until it ends, is in doubt, or waits for a child that is."""
        now, boot = dt.datetime.now(dt.UTC), self._boot
        claimed = self._writer.call(lambda connection: runs.claim_one(connection, version_id, owner=boot, now=now))
        if claimed is None:
            return
        waits_for = self._runs.carry_out(claimed)
        while waits_for is not None:
            self.run(waits_for)
            if not self._ended(waits_for):
                # It goes on when the child has been settled and an engine runs.
                self._writer.record(Progress(claimed.token, (), Settled(Status.QUEUED, dt.datetime.now(dt.UTC), 0)))
                return
            waits_for = self._runs.carry_out(claimed, resumed=True)

    def _ended(self, version_id: int) -> bool:
        with self._database.read() as connection:
            return bool(calls.ended(connection, [version_id]))


@contextmanager
def bench(workspace: Path, settings: Settings, database: Database, library: Library) -> Iterator[Bench]:
    """Give a bench; no engine starts on the workspace until the block ends. Raises EngineHeld where one runs."""
    boot = uuid.uuid4().hex
    lock = EngineLock(workspace, boot)
    writer, world = Writer(database), world_of(settings, workspace)
    end_logs = logs.set_up(workspace, world.masking.text, lambda line: None)
    carried = Runs(workspace, database, writer, library, world, library.named)
    try:
        yield Bench(database, writer, carried, boot)
    finally:
        world.connections.close()
        writer.close()
        end_logs()
        lock.release()
