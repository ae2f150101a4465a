"""One claimed version carried out: its recipe found, its steps walked, its end written under its token."""

from __future__ import annotations

import datetime as dt
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from core.connections import Connections
from core.engine import Walk
from core.errors import RecipeProblems, StepError, StoreError
from core.events import condition_now, make_event
from core.groups import error_group
from core.journal import Fenced, Journal, Masking
from core.layout import outputs_of
from core.library import Library, Loaded
from core.recipe import Recipe
from core.resuming import taken_over
from core.settings import Settings
from core.walking import Child, Outcome, Parked, Run, Surroundings
from data import calls, jobs
from data import recipes as store
from data.database import Database
from data.job_records import Error, JsonValue
from data.records import Revision, StepRecord
from data.runs import Claimed, Settled, Token, took_ms
from data.states import ENDED, Status
from data.writer import Writer

_log = logging.getLogger(__name__)

RERUNS = ("start", "failed", "original")
"""The modes of versions that somebody's rerun made."""


@dataclass(frozen=True)
class World:
    """What jobdeck.toml says, ready for runs; replaced whole when the file changes."""

    settings: Settings
    connections: Connections
    masking: Masking


def world_of(settings: Settings, workspace: Path) -> World:
    """Return the world of these settings; nothing is opened yet."""
    return World(settings, Connections(settings, workspace), Masking(settings.secrets(workspace)))


@dataclass(frozen=True)
class _Signals:
    """What a run is told by while it walks."""

    canceled: threading.Event = field(default_factory=threading.Event)
    halted: threading.Event = field(default_factory=threading.Event)


class Runs:
    """Carries out claimed versions, many at once."""

    def __init__(
        self, workspace: Path, database: Database, writer: Writer, library: Library, world: World,
        named: Callable[[str], Loaded | None],
    ) -> None:
        """`named` gives the recipe of a name as it would run now."""
        self._named = named
        self.world = world
        self._workspace = workspace
        self._database = database
        self._writer = writer
        self._library = library
        self._revisions: dict[int, Revision] = {}
        self._under_way: dict[Token, _Signals] = {}
        self._halting = False

    def halt(self) -> None:
        """End the waits for retries: their versions are queued again; steps that act are finished."""
        self._halting = True
        for signals in list(self._under_way.values()):
            signals.halted.set()

    def give_up(self, token: Token) -> None:
        """End a run that is under way, if it is: its version was canceled, or asked to end; a write is let finish."""
        signals = self._under_way.get(token)
        if signals is not None:
            signals.canceled.set()
            signals.halted.set()

    def carry_out(self, claimed: Claimed, resumed: bool = False) -> int | None:
        """Run a version to its end, to a doubt, or until its token is taken over.

        Return the id of the version that has to end before this one can go on, if it waits for one; then call again
        with `resumed`.
        """
        signals = self._under_way[claimed.token] = _Signals()
        if self._halting:
            signals.halted.set()
        try:
            self._run(claimed, resumed, signals)
        except Parked as parked:
            return parked.version_id
        except Fenced:
            level = logging.INFO if signals.canceled.is_set() else logging.WARNING
            _log.log(
                level, "version %s was taken over, or canceled; nothing more of it is written here",
                claimed.token.version_id,
            )
        finally:
            del self._under_way[claimed.token]
        return None

    def _run(self, claimed: Claimed, resumed: bool, signals: _Signals) -> None:
        world = self.world
        journal = self._journal(claimed, world, resumed)
        began = dt.datetime.now(dt.UTC)
        try:
            recipe, number = self._recipe(claimed.revision_id)
        except RecipeProblems as error:
            settled = _end(claimed.started_at, Status.FAILED, Error(str(error), "recipe"), recipe="")
        else:
            surroundings = self._surroundings(claimed, world, signals)
            walk = Walk(recipe, claimed.event, _facts(claimed, number), journal, surroundings)
            outcome = self._walked(walk)
            told = condition_now(recipe, claimed.event, world.settings.props, began) if claimed.mode in RERUNS else ()
            warnings = tuple(dict.fromkeys((*claimed.warnings, *told, *outcome.warnings)))
            settled = _end(claimed.started_at, outcome.status, outcome.error, outcome.report, warnings, recipe)
        journal.settle(settled)

    @staticmethod
    def _walked(walk: Walk) -> Outcome:
        try:
            return walk.go()
        except (Fenced, Parked, StoreError):
            raise
        except Exception as bug:
            # A bug must not leave the version running for ever: it would hold its recipe's turn.
            _log.exception("a run broke off")
            error = Error(f"Jobdeck itself failed: {type(bug).__name__}: {bug}", "internal")
            return Outcome(Status.FAILED, error, {}, ())

    def _recipe(self, revision_id: int) -> tuple[Recipe, int]:
        revision = self._revisions.get(revision_id)
        if revision is None:
            with self._database.read() as connection:
                revision = store.revision(connection, revision_id)
            self._revisions[revision.id] = revision
        return self._library.recipe(revision), revision.number

    def _journal(self, claimed: Claimed, world: World, resumed: bool) -> Journal:
        earlier = self._earlier(claimed) if resumed or claimed.token.attempt > 1 else ()
        journal = Journal(
            self._writer, claimed.token, earlier, clock=lambda: dt.datetime.now(dt.UTC),
            masking=world.masking, completed=lambda *step: self._completed(claimed, *step),
        )
        if claimed.mode == "failed":
            journal.take_over(self._taken_over(claimed))
        return journal

    def _taken_over(self, claimed: Claimed) -> list[StepRecord]:
        """Return what a version that goes on from the failed step reuses of the one before it."""
        with self._database.read() as connection:
            before = jobs.version(connection, claimed.job_id, claimed.number - 1)
            if before is None or before.error is None or before.error.step is None:
                return []
            records = jobs.step_records(connection, before.id)
        return taken_over(records, before.error.step, f"{claimed.job_id}.{before.number}")

    def _earlier(self, claimed: Claimed) -> list[StepRecord]:
        with self._database.read() as connection:
            return jobs.step_records(connection, claimed.token.version_id)

    def _completed(self, claimed: Claimed, *step: Any) -> Any:
        if claimed.number == 1:
            return None
        with self._database.read() as connection:
            return jobs.completed_before(connection, claimed.job_id, claimed.number, *step)

    def _surroundings(self, claimed: Claimed, world: World, signals: _Signals) -> Surroundings:
        return Surroundings(
            workspace=self._workspace,
            props=world.settings.props,
            connection=world.connections.get,
            call_recipe=lambda *call: self._call(claimed, world, *call),
            allow_hosts=world.settings.engine.allow_hosts,
            canceled=signals.canceled,
            halted=signals.halted,
            log=lambda level, message: _log.log(_level(level), "job %s: %s", claimed.job_id, message),
        )

    def _call(
        self, claimed: Claimed, world: World, name: str, path: str, attempt: int, inputs: JsonValue
    ) -> Child:
        called = self._named(name)
        if called is None:
            raise StepError(f"there is no recipe {name} that could be called", "call")
        with self._database.read() as connection:
            if called.state.id in calls.ancestors(connection, claimed.token.version_id):
                raise StepError(f"recipe {name} would call itself", "call")
        now = dt.datetime.now(dt.UTC)
        event = make_event(called.recipe, f"call:{claimed.job_id}:{path}", inputs, world.settings.props, now)
        # The caller has decided: the called recipe's trigger condition is not asked.
        event = replace(event, wanted=True, error=None)
        by = f"job {claimed.job_id}.{claimed.number}"
        child = self._writer.call(
            lambda connection: calls.call(
                connection, claimed.token.version_id, path, attempt, called.state.id, event, by, now
            )
        )
        if child is None:
            raise Fenced
        if not child.own or child.status not in ENDED:
            return Child(child.job_id, child.version_id, Status.QUEUED, None, {})
        return Child(child.job_id, child.version_id, child.status, child.error, self._outputs(child.version_id))

    def _outputs(self, version_id: int) -> dict[str, JsonValue]:
        with self._database.read() as connection:
            revision_id = jobs.revision_id_of(connection, version_id)
            records = jobs.step_records(connection, version_id)
        if not records or revision_id is None:
            # It was canceled while it waited, or could not begin.
            return {}
        return outputs_of(self._recipe(revision_id)[0], records)


def _facts(claimed: Claimed, revision: int) -> Run:
    return Run(claimed.job_id, claimed.number, claimed.token.version_id, revision, claimed.started_at)


def _end(
    started_at: dt.datetime, status: Status, error: Error | None, report: Mapping[str, str] | None = None,
    warnings: tuple[str, ...] = (), recipe: Recipe | str = "",
) -> Settled:
    now = dt.datetime.now(dt.UTC)
    if error is not None and status is Status.FAILED:
        error = error._replace(group=error_group(error, recipe))
    return Settled(status, now, took_ms(started_at, now), error, dict(report or {}), warnings)


def _level(name: str) -> int:
    return getattr(logging, name.upper(), logging.INFO)
