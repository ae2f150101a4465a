"""The engine: walks a recipe's steps for one version, decides what is next, and knows no database and no screen."""

from __future__ import annotations

import datetime as dt
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.connectors.declare import Call, Effect
from core.errors import AnswerLost, JobdeckError, StepError
from core.expressions import ExpressionError
from core.journal import Journal
from core.parsing.inputs import validate_inputs
from core.recipe import (
    ActionStep,
    Arm,
    BranchStep,
    CallStep,
    MonitorStep,
    Recipe,
    RepeatStep,
    Retry,
    SetStep,
    Step,
    StopStep,
    inside,
)
from data.records import Error, JsonValue, StepRecord
from data.states import ENDED, REPLAYED, Status, StepStatus

IDEMPOTENCY_NAMESPACE = uuid.UUID("6b1e0a52-6a3c-4f0e-9a55-0f6b8a1f7c11")
RETRIES_IN_DOUBT = 3
"""How often a step with `on_doubt: retry` acts in one attempt while its answers are lost."""


class Failed(Exception):
    """A step failed; a monitor may handle it."""

    def __init__(self, error: Error) -> None:
        super().__init__(error.message)
        self.error = error


class Doubted(Exception):
    """A writing step may or may not have acted: the version waits for an operator."""


class Canceled(Exception):
    """The run was asked to give up between two steps, or in a wait."""


class Interrupted(Exception):
    """The engine stops while the run waits for a retry: the version is queued again and goes on at the next start."""


class Stopped(Exception):
    """A stop step ended the job."""

    def __init__(self, status: Status, error: Error | None) -> None:
        super().__init__(status)
        self.status = status
        self.error = error


@dataclass(frozen=True)
class Outcome:
    """How a walk came out."""

    status: Status
    error: Error | None
    report: Mapping[str, str]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Surroundings:
    """What a run is given beside recipe and event: the world that its steps act on."""

    workspace: Path
    props: Mapping[str, JsonValue]
    connection: Callable[[str], Any]
    """Opens, or returns the open, connection of a name; raises StepError."""
    allow_hosts: tuple[str, ...] = ()
    canceled: threading.Event = field(default_factory=threading.Event)
    """Set when the run is to give up."""
    halted: threading.Event = field(default_factory=threading.Event)
    """Set when waits are to end: the engine stops, or the run is canceled."""
    log: Callable[[str, str], None] = lambda level, message: None


@dataclass(frozen=True)
class Run:
    """The facts of the version that is walked, as expressions see them under `job`."""

    job_id: int
    version: int
    version_id: int
    revision: int
    started_at: dt.datetime


@dataclass
class _Loop:
    declared: str
    actual: str
    index: int


class Walk:
    """One walk through a recipe, from its start or on from where a former attempt came."""

    def __init__(
        self, recipe: Recipe, event: JsonValue, run: Run, journal: Journal, surroundings: Surroundings
    ) -> None:
        self._recipe = recipe
        self._run = run
        self._journal = journal
        self._world = surroundings
        self._loops: list[_Loop] = []
        self._warnings: list[str] = []
        self._outputs: dict[str, JsonValue] = {step.id: None for step in recipe.walk()}
        self._names: dict[str, Any] = {
            "trigger": event,
            "steps": self._outputs,
            "props": dict(surroundings.props),
            "now": run.started_at,
            "job": {"id": run.job_id, "version": run.version, "recipe": recipe.name, "revision": run.revision},
        }

    def go(self) -> Outcome:
        """Walk to an end. Raises only what ends the process or the token (core.journal.Fenced)."""
        status, error = Status.SUCCEEDED, None
        try:
            self._steps(self._recipe.steps)
        except Stopped as stop:
            status, error = stop.status, stop.error
        except Failed as failed:
            status, error = Status.FAILED, failed.error
        except Doubted:
            status = Status.IN_DOUBT
        except Canceled:
            status = Status.CANCELED
        except Interrupted:
            status = Status.QUEUED
        return Outcome(status, error, self._report() if status in ENDED else {}, tuple(self._warnings))

    # Steps

    def _steps(self, steps: Sequence[Step]) -> None:
        for step in steps:
            self._step(step)

    def _step(self, step: Step) -> None:
        path = self._at(step.path)
        record = self._journal.recall(path)
        if record is not None and record.status is StepStatus.SKIPPED:
            return
        if record is None and not self._wanted(step, path):
            self._journal.note(path, step.id, StepStatus.SKIPPED, index=self._index())
            return
        self._KINDS[type(step)](self, step, path, record)

    def _wanted(self, step: Step, path: str) -> bool:
        if step.skip:
            return False
        if step.condition is None:
            return True
        try:
            return step.condition.truth(self._names)
        except ExpressionError as error:
            raise self._never_began(step, path, error) from error

    def _never_began(self, step: Step, path: str, error: JobdeckError | ExpressionError) -> Failed:
        told = _told(error, path)
        action = step.action.name if isinstance(step, ActionStep) else None
        self._journal.note(path, step.id, StepStatus.FAILED, index=self._index(), error=told, action=action)
        return Failed(told)

    def _action(self, step: ActionStep, path: str, record: StepRecord | None) -> None:
        if record is not None and self._replayed(step, record):
            return
        try:
            inputs = record.input if record is not None and record.has_input else step.inputs.value(self._names)
            model = validate_inputs(step.action, inputs)
            client = self._world.connection(step.connection) if step.connection else None
        except (ExpressionError, StepError) as error:
            raise self._never_began(step, path, error) from error
        act = _Act(step, path, inputs, model, client)
        if not (step.once and self._reused(act)):
            self._act(act)

    def _reused(self, act: _Act) -> bool:
        found = self._journal.completed_before(act.step.id, self._index(), act.step.action.name, act.inputs)
        if found is None:
            return False
        output, version = found
        self._journal.note(
            act.path, act.step.id, StepStatus.REUSED, index=self._index(), action=act.step.action.name,
            input=act.inputs, has_input=True, output=output, resolved_by=f"{self._run.job_id}.{version}",
        )
        self._outputs[act.step.id] = output
        return True

    def _replayed(self, step: Step, record: StepRecord) -> bool:
        if record.status in REPLAYED:
            self._outputs[step.id] = record.output
            return True
        if record.status is StepStatus.FAILED and record.error is not None:
            raise Failed(record.error)
        return False

    def _act(self, act: _Act) -> None:
        effect = act.step.action.effect_of(act.model)
        policy = self._on_doubt(act, effect)
        for tries_left in reversed(range(RETRIES_IN_DOUBT)):
            self._give_up_if_canceled()
            self._journal.begin(
                act.path, act.step.id, index=self._index(), action=act.step.action.name, effect=effect.value,
                on_doubt=policy, input=act.inputs, has_input=True,
            )
            try:
                output = act.step.action.run(act.model, self._call(act))
                self._outputs[act.step.id] = self._journal.end(act.path, StepStatus.SUCCEEDED, output=_plain(output))
                return
            except AnswerLost as lost:
                error = _told(lost, act.path)
                if effect is not Effect.READS and not (policy == "retry" and tries_left):
                    self._doubt(act.path, error, policy)
                    return
            except StepError as failed:
                error = _told(failed, act.path)
                break
            except Exception as bug:
                # Nobody knows how far the connector came: a write is in doubt, whatever its declared policy.
                error = Error(f"{type(bug).__name__}: {bug}", "internal", act.path)
                if effect is not Effect.READS:
                    self._doubt(act.path, error, "hold")
                break
        self._journal.end(act.path, StepStatus.FAILED, error=error)
        raise Failed(error)

    def _doubt(self, path: str, error: Error, policy: str) -> None:
        if policy == "skip":
            self._journal.end(path, StepStatus.SKIPPED, error=error)
            return
        if policy == "retry":
            self._journal.end(path, StepStatus.FAILED, error=error)
            raise Failed(error)
        self._journal.end(path, StepStatus.IN_DOUBT, error=error)
        raise Doubted

    def _on_doubt(self, act: _Act, effect: Effect) -> str:
        if act.step.on_doubt is not None:
            return act.step.on_doubt
        if act.step.action.on_doubt is not None:
            return act.step.action.on_doubt(act.model, act.client)
        return "hold" if effect is Effect.WRITES else "retry"

    def _call(self, act: _Act) -> Call:
        key = uuid.uuid5(IDEMPOTENCY_NAMESPACE, f"{self._run.version_id}:{act.path}")
        return Call(
            workspace=self._world.workspace,
            connection=act.client,
            idempotency_key=str(key),
            timeout=act.step.timeout,
            canceled=self._world.canceled,
            from_template=frozenset(str(path[0]) for path in act.step.inputs.paths_from_template if path),
            allow_hosts=self._world.allow_hosts,
            log=self._world.log,
        )

    def _branch(self, step: BranchStep, path: str, record: StepRecord | None) -> None:
        if record is None or record.status not in REPLAYED:
            arm = self._chosen(step, path)
            self._journal.note(
                path, step.id, StepStatus.SUCCEEDED, index=self._index(), branch=arm.branch if arm else None
            )
        else:
            arm = next((arm for arm in step.arms if arm.branch == record.branch), None)
        if arm is not None:
            self._steps(arm.steps)

    def _chosen(self, step: BranchStep, path: str) -> Arm | None:
        try:
            return next((a for a in step.arms if a.condition is None or a.condition.truth(self._names)), None)
        except ExpressionError as error:
            raise self._never_began(step, path, error) from error

    def _set(self, step: SetStep, path: str, record: StepRecord | None) -> None:
        if record is not None and self._replayed(step, record):
            return
        try:
            values = step.values.value(self._names)
        except ExpressionError as error:
            raise self._never_began(step, path, error) from error
        self._journal.note(path, step.id, StepStatus.SUCCEEDED, index=self._index(), output=values)
        self._outputs[step.id] = values

    def _stop(self, step: StopStep, path: str, record: StepRecord | None) -> None:
        try:
            reason = step.reason.text(self._names)
        except ExpressionError as error:
            raise self._never_began(step, path, error) from error
        output = {"status": step.status.value, "reason": reason}
        self._journal.note(path, step.id, StepStatus.SUCCEEDED, index=self._index(), output=output)
        failed = step.status is Status.FAILED
        raise Stopped(step.status, Error(reason or f"stopped by step {path}", "stop", path) if failed else None)

    def _call_recipe(self, step: CallStep, path: str, record: StepRecord | None) -> None:
        raise self._never_began(step, path, StepError("calling another recipe is not possible yet", "call"))

    # Loops

    def _repeat(self, step: RepeatStep, path: str, record: StepRecord | None) -> None:
        items = self._items(step, path)
        if record is None or record.status is StepStatus.NOT_REACHED:
            self._journal.begin(path, step.id, index=self._index())
        inner = [one.id for one in inside(step.body)]
        collected: dict[str, list[JsonValue]] = {id: [] for id in inner}
        for number, item in enumerate(items):
            self._outputs.update(dict.fromkeys(inner))
            with self._iteration(step, path, number, item):
                self._steps(step.body)
            for id in inner:
                collected[id].append(self._outputs[id])
        self._outputs.update(collected)
        if record is None or record.status not in REPLAYED:
            self._journal.end(path, StepStatus.SUCCEEDED, output={"count": len(items)})
        self._outputs[step.id] = {"count": len(items)}

    def _items(self, step: RepeatStep, path: str) -> Sequence[JsonValue]:
        try:
            items = step.items.value(self._names)
        except ExpressionError as error:
            raise self._never_began(step, path, error) from error
        if not isinstance(items, list):
            wrong = StepError(f"repeat wants a list, {step.items.source} is {type(items).__name__}", "expression")
            raise self._never_began(step, path, wrong)
        if step.limit is not None and len(items) > step.limit:
            self._warnings.append(f"{path}: repeated for the first {step.limit} of {len(items)} items (limit)")
        return items[: step.limit]

    @contextmanager
    def _iteration(self, step: RepeatStep, path: str, number: int, item: JsonValue):
        hidden = self._names.get(step.name, _NOTHING)
        self._names[step.name] = item
        self._loops.append(_Loop(step.path, f"{path}[{number}]", number))
        try:
            yield
        finally:
            self._loops.pop()
            if hidden is _NOTHING:
                del self._names[step.name]
            else:
                self._names[step.name] = hidden

    def _at(self, declared: str) -> str:
        for loop in reversed(self._loops):
            if declared.startswith(f"{loop.declared}."):
                return loop.actual + declared[len(loop.declared) :]
        return declared

    def _index(self) -> tuple[int, ...]:
        return tuple(loop.index for loop in self._loops)

    # Monitors

    def _monitor(self, step: MonitorStep, path: str, record: StepRecord | None) -> None:
        if record is None or record.status is StepStatus.NOT_REACHED:
            self._journal.begin(path, step.id, index=self._index())
        while True:
            try:
                self._steps(step.body)
            except Failed as failed:
                if self._tries_again(step, path, failed.error):
                    continue
                self._handle(step, path, failed.error)
            else:
                self._monitored(path, StepStatus.SUCCEEDED, None)
            return

    def _tries_again(self, step: MonitorStep, path: str, error: Error) -> bool:
        record = self._journal.recall(path)
        tries = list((record.output or {}).get("tries", ())) if record else []
        if record is None or record.status in REPLAYED or not self._retry_wanted(step, len(tries), error):
            return False
        retry = step.retry
        assert retry is not None
        self._wait(retry.wait * retry.backoff ** len(tries))
        tries.append({"step": error.step, "message": error.message, "kind": error.kind})
        self._journal.set_back(
            lambda other: other.startswith(f"{path}.monitor."), lambda one: self._reusable(step, one)
        )
        self._outputs.update({one.id: None for one in inside(step.body)})
        self._journal.begin(path, step.id, index=self._index())
        self._journal.tell(path, {"tries": tries})
        self._journal.flush()
        return True

    def _wait(self, seconds: float) -> None:
        self._journal.flush()
        halted = self._world.halted.wait(seconds)
        self._give_up_if_canceled()
        if halted:
            raise Interrupted

    def _retry_wanted(self, step: MonitorStep, tries: int, error: Error) -> bool:
        retry: Retry | None = step.retry
        if retry is None or tries >= retry.times:
            return False
        if retry.when is None:
            return True
        with self._error_named(error):
            try:
                return retry.when.truth(self._names)
            except ExpressionError as wrong:
                self._warnings.append(f"retry.when: {wrong}")
                return False

    def _reusable(self, step: MonitorStep, record: StepRecord) -> bool:
        once = {one.path for one in inside(step.body) if isinstance(one, ActionStep) and one.once}
        return record.status is StepStatus.SUCCEEDED and record.path in {self._at(path) for path in once}

    def _handle(self, step: MonitorStep, path: str, error: Error) -> None:
        with self._error_named(error):
            try:
                self._steps(step.on_error)
            except Failed as again:
                self._monitored(path, StepStatus.FAILED, again.error)
                raise
        self._monitored(path, StepStatus.HANDLED, error)

    def _monitored(self, path: str, status: StepStatus, error: Error | None) -> None:
        record = self._journal.recall(path)
        if record is not None and record.status is StepStatus.RUNNING:
            self._journal.end(path, status, output=record.output, error=error)

    @contextmanager
    def _error_named(self, error: Error):
        hidden = self._names.get("error", _NOTHING)
        self._names["error"] = {
            "message": error.message, "kind": error.kind, "step": error.step, "status": error.status,
        }
        try:
            yield
        finally:
            if hidden is _NOTHING:
                del self._names["error"]
            else:
                self._names["error"] = hidden

    # Ends

    def _give_up_if_canceled(self) -> None:
        if self._world.canceled.is_set():
            raise Canceled

    def _report(self) -> dict[str, str]:
        cells: dict[str, str] = {}
        for name, template in self._recipe.report.items():
            try:
                cells[name] = template.text(self._names)
            except ExpressionError as error:
                cells[name] = ""
                self._warnings.append(f"report column {name}: {error}")
        return cells

    _KINDS: dict[type[Step], Callable[[Walk, Any, str, StepRecord | None], None]] = {
        ActionStep: _action,
        BranchStep: _branch,
        SetStep: _set,
        StopStep: _stop,
        MonitorStep: _monitor,
        RepeatStep: _repeat,
        CallStep: _call_recipe,
    }


@dataclass(frozen=True)
class _Act:
    step: ActionStep
    path: str
    inputs: JsonValue
    model: Any
    client: Any


_NOTHING = object()


def _told(error: Exception, path: str) -> Error:
    if isinstance(error, StepError):
        return Error(str(error), error.kind, path, error.status)
    return Error(str(error), "expression", path)


def _plain(value: JsonValue) -> JsonValue:
    """Return `value` with what JSON cannot say turned to text, so that what happened can always be recorded."""
    match value:
        case float() if value != value or value in (float("inf"), float("-inf")):
            return str(value)
        case None | bool() | int() | float() | str():
            return value
        case dict():
            return {str(key): _plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_plain(inner) for inner in value]
    return str(value)
