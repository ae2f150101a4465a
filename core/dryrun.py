"""A dry run: an event through a recipe whose reads act and whose writes are answered, not sent; nothing is stored."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.connections import Connections
from core.connectors.declare import Call, Effect
from core.engine import Walk
from core.errors import StepError
from core.events import make_event
from core.journal import Journal, Masking
from core.layout import laid_out, outputs_of
from core.library import Loaded
from core.recipe import ActionStep
from core.settings import Settings
from core.walking import Child, Outcome, Run, Surroundings
from data.job_records import Error, JsonValue
from data.records import StepRecord
from data.runs import Progress, Token
from data.states import ENDED, Status

Recorded = Callable[[Loaded, ActionStep, str], tuple[JsonValue, str] | None]
"""(recipe, step, path) -> what the step gave in a job, and in which version: `812.3`; None where it never did."""

EXAMPLE = "example"


@dataclass(frozen=True)
class DryRun:
    """What came of a dry run."""

    recipe: str
    revision: int
    title: str
    trigger: JsonValue
    status: Status
    error: Error | None
    report: Mapping[str, str]
    warnings: tuple[str, ...]
    steps: tuple[StepRecord, ...]
    """In the order of the recipe; declared steps without a record are `not_reached`."""
    not_sent: Mapping[str, str]
    """By the path of each step that was not sent, where its output is from: a version, `812.3`, or `example`."""


class _Nowhere:
    """Takes what a run has to say and keeps nothing of it."""

    def record(self, progress: Progress) -> bool:
        return True


@dataclass(frozen=True, kw_only=True)
class _Dry(Surroundings):
    answer: Callable[[str, ActionStep, Any], JsonValue]

    def perform(self, path: str, step: ActionStep, inputs: Any, call: Call) -> JsonValue:
        if step.action.effect_of(inputs) is Effect.READS:
            return super().perform(path, step, inputs, call)
        return self.answer(path, step, inputs)

    def wait(self, seconds: float) -> None:
        """Wait for nothing: what is not sent need not recover."""
        self.give_up_if_canceled()


@dataclass
class DryRunner:
    """Runs recipes dry, called ones too."""

    workspace: Path
    settings: Settings
    named: Callable[[str], Loaded | None]
    """The recipe of a name as it would run now."""
    recorded: Recorded
    log: Callable[[str, str], None] = lambda level, message: None
    _calling: list[str] = field(default_factory=list)

    def run(
        self, loaded: Loaded, data: JsonValue, job: tuple[int, int] = (0, 1), key: str = "dry run"
    ) -> DryRun:
        """Return what comes of an event with this key; its trigger condition is not asked.

        `job` is what expressions see as such: id and version.
        """
        connections = Connections(self.settings, self.workspace)
        try:
            return self._run(loaded, data, connections, job, key)
        finally:
            connections.close()

    def _run(
        self, loaded: Loaded, data: JsonValue, connections: Connections, job: tuple[int, int], key: str
    ) -> DryRun:
        now = dt.datetime.now(dt.UTC)
        masking = Masking(self.settings.secrets(self.workspace))
        event = make_event(loaded.recipe, key, data, self.settings.props, now)
        not_sent: dict[str, str] = {}
        journal = self._journal(masking)
        run = Run(*job, 0, loaded.revision.number, now)
        self._calling.append(loaded.state.name)
        outcome = self._walk(loaded, data, journal, connections, not_sent, run)
        self._calling.pop()
        error = outcome.error and outcome.error._replace(message=masking.text(outcome.error.message))
        return DryRun(
            loaded.state.name, loaded.revision.number, event.title, data, outcome.status, error,
            masking.json(outcome.report), (*event.warnings, *outcome.warnings),
            laid_out(loaded.recipe, journal.records), not_sent,
        )

    def _walk(
        self, loaded: Loaded, data: JsonValue, journal: Journal, connections: Connections, not_sent: dict[str, str],
        run: Run,
    ) -> Outcome:
        def answer(path: str, step: ActionStep, inputs: Any) -> JsonValue:
            output, not_sent[path] = self.recorded(loaded, step, path) or (step.action.example_of(inputs), EXAMPLE)
            return output

        world = _Dry(
            workspace=self.workspace,
            props=self.settings.props,
            connection=connections.get,
            call_recipe=lambda name, path, attempt, inputs: self._call(name, inputs, connections),
            allow_hosts=self.settings.engine.allow_hosts,
            log=self.log,
            answer=answer,
        )
        return Walk(loaded.recipe, data, run, journal, world).go()

    def _journal(self, masking: Masking) -> Journal:
        return Journal(
            _Nowhere(), Token(0, 1, ""), (), clock=lambda: dt.datetime.now(dt.UTC), masking=masking,
            completed=lambda *step: None,
        )

    def _call(self, name: str, inputs: JsonValue, connections: Connections) -> Child:
        called = self.named(name)
        if called is None:
            raise StepError(f"there is no recipe {name} that could be called", "call")
        if name in self._calling:
            raise StepError(f"recipe {name} would call itself", "call")
        ran = self._run(called, inputs, connections, (0, 1), "dry run")
        if ran.status not in ENDED:
            raise StepError(f"the dry run of {name} came to no end: it was {ran.status.value}", "call")
        return Child(None, 0, ran.status, ran.error, outputs_of(called.recipe, ran.steps))
