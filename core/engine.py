"""The engine: walks a recipe's steps for one version, decides what is next, and knows no database and no screen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from core.acting import Act, carry_out, plain
from core.errors import JobdeckError, StepError
from core.expressions import ExpressionError
from core.journal import Journal, Masking
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
    without_indexes,
)
from core.walking import (
    Canceled,
    Child,
    Doubted,
    Failed,
    Interrupted,
    Outcome,
    Parked,
    Run,
    Stopped,
    Surroundings,
    told,
)
from data.job_records import Error, JsonValue
from data.records import StepRecord
from data.states import ENDED, REPLAYED, Status, StepStatus


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
        """Walk to an end, or raise Parked where a child job has to end first; core.journal.Fenced ends it without."""
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
        self._world.give_up_if_canceled()
        path = self._at(step.path)
        record = self._journal.recall(path)
        if record is not None and record.status is StepStatus.SKIPPED:
            return
        # What a retry has set back is judged anew: it may not have been wanted before.
        fresh = record is None or record.status is StepStatus.NOT_REACHED
        if fresh and not self._wanted(step, path):
            self._journal.note(path, step.id, StepStatus.SKIPPED, index=self._index(), action=_action_of(step))
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
        why = told(error, path)
        return Failed(
            self._journal.note_failure(path, step.id, why, index=self._index(), action=_action_of(step))
        )

    def _action(self, step: ActionStep, path: str, record: StepRecord | None) -> None:
        if record is not None and self._replayed(step, record):
            return
        try:
            inputs = self._inputs(step, record)
            model = validate_inputs(step.action, inputs)
            client = self._world.connection(step.connection) if step.connection else None
        except (ExpressionError, StepError) as error:
            raise self._never_began(step, path, error) from error
        act = Act(step, path, self._index(), inputs, model, client, lambda name: self._lead(step, name))
        if not (step.once and self._reused(act)):
            self._outputs[step.id] = carry_out(act, self._run, self._journal, self._world)

    def _inputs(self, step: ActionStep, record: StepRecord | None) -> JsonValue:
        """Return what the step is given: what a former attempt gave it, unless a secret was masked in the record."""
        if record is not None and record.has_input and not Masking.hides(record.input):
            return record.input
        return plain(step.inputs.value(self._names))

    def _lead(self, step: ActionStep, name: str) -> str:
        try:
            return step.lead(name, self._names)
        except ExpressionError:
            # A former attempt's input is there still; what made it is not.
            return ""

    def _reused(self, act: Act) -> bool:
        found = self._journal.completed_before(act.step.id, act.index, act.step.action.name, act.inputs)
        if found is None:
            return False
        output, version = found
        self._journal.note(
            act.path, act.step.id, StepStatus.REUSED, index=act.index, action=act.step.action.name,
            input=act.inputs, has_input=True, output=output, resolved_by=f"{self._run.job_id}.{version}",
        )
        self._outputs[act.step.id] = output
        return True

    def _replayed(self, step: Step, record: StepRecord) -> bool:
        if record.status in REPLAYED:
            self._outputs[step.id] = record.output
            return True
        if record.status is StepStatus.FAILED and record.error is not None:
            self._outputs[step.id] = record.output
            raise Failed(record.error)
        return False

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
            values = plain(step.values.value(self._names))
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
        if record is not None and self._replayed(step, record):
            return
        if record is None or not record.has_input:
            self._begin_call(step, path)
            record = self._journal.recall(path)
        assert record is not None
        try:
            child = self._world.call_recipe(step.recipe, path, record.attempts, record.input)
        except StepError as error:
            raise Failed(self._journal.fail(path, told(error, path))) from error
        if child.status not in ENDED:
            self._journal.tell(path, {"job": child.job_id, "status": child.status.value})
            self._journal.flush()
            raise Parked(child.version_id)
        output = {"job": child.job_id, "status": child.status.value, "steps": child.steps}
        if child.status is Status.SUCCEEDED:
            self._outputs[step.id] = self._journal.end(path, StepStatus.SUCCEEDED, output=output)
            return
        failed = _child_failed(step, path, child)
        # Whoever handles that it failed may want to know how far it came.
        self._outputs[step.id] = output
        raise Failed(self._journal.fail(path, failed, output=output))

    def _begin_call(self, step: CallStep, path: str) -> None:
        try:
            inputs = plain(step.inputs.value(self._names))
        except ExpressionError as error:
            raise self._never_began(step, path, error) from error
        self._journal.begin(
            path, step.id, index=self._index(), action=f"call {step.recipe}", input=inputs, has_input=True
        )

    # Loops

    def _repeat(self, step: RepeatStep, path: str, record: StepRecord | None) -> None:
        items = self._items(step, path)
        if record is None or record.status is StepStatus.NOT_REACHED:
            self._journal.begin(path, step.id, index=self._index())
            self._journal.tell(path, {"count": len(items)})
        inner = [one.id for one in inside(step.body)]
        collected: dict[str, list[JsonValue]] = {id: [] for id in inner}
        with self._ends_told(path):
            for number, item in enumerate(items):
                self._outputs.update(dict.fromkeys(inner))
                with self._iteration(step, path, number, item):
                    self._steps(step.body)
                for id in inner:
                    collected[id].append(self._outputs[id])
        self._outputs.update(collected)
        self._close(path, StepStatus.SUCCEEDED, output={"count": len(items)})
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
        with self._ends_told(path):
            while (error := self._tried(step)) is not None and self._tries_again(step, path, error):
                pass
            if error is not None:
                self._handle(step, path, error)
        self._close(path, StepStatus.SUCCEEDED if error is None else StepStatus.HANDLED, error)

    def _handle(self, step: MonitorStep, path: str, error: Error) -> None:
        with self._error_named(error):
            try:
                self._steps(step.on_error)
            except Stopped:
                # That the job ends there is how the error was handled.
                self._close(path, StepStatus.HANDLED, error)
                raise

    def _tried(self, step: MonitorStep) -> Error | None:
        try:
            self._steps(step.body)
        except Failed as failed:
            return failed.error
        return None

    def _tries_again(self, step: MonitorStep, path: str, error: Error) -> bool:
        record = self._journal.recall(path)
        tries = list((record.output or {}).get("tries", ())) if record else []
        if record is None or record.status in REPLAYED or not self._retry_wanted(step, len(tries), error):
            return False
        retry = step.retry
        assert retry is not None
        self._journal.flush()
        self._world.wait(retry.wait * retry.backoff ** len(tries))
        tries.append({"step": error.step, "message": error.message, "kind": error.kind})
        self._journal.set_back(
            lambda other: other.startswith(f"{path}.monitor."), lambda one: self._reusable(step, one)
        )
        self._outputs.update({one.id: None for one in inside(step.body)})
        self._journal.begin(path, step.id, index=self._index())
        self._journal.tell(path, {"tries": tries})
        self._journal.flush()
        return True

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
        return record.status is StepStatus.SUCCEEDED and without_indexes(record.path) in once

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

    @contextmanager
    def _ends_told(self, path: str):
        """End the record of a step with steps inside, where what ends the job, or fails it, comes from inside."""
        try:
            yield
        except Failed as failed:
            self._close(path, StepStatus.FAILED, failed.error)
            raise
        except Stopped:
            self._close(path, StepStatus.SUCCEEDED)
            raise
        except Canceled:
            self._close(path, StepStatus.CANCELED)
            raise

    def _close(
        self, path: str, status: StepStatus, error: Error | None = None, output: JsonValue = None
    ) -> None:
        record = self._journal.recall(path)
        if record is not None and record.status is StepStatus.RUNNING:
            self._journal.end(path, status, output=record.output if output is None else output, error=error)

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


_NOTHING = object()


def _child_failed(step: CallStep, path: str, child: Child) -> Error:
    who = f"{'the dry run' if child.job_id is None else f'job {child.job_id}'} of {step.recipe}"
    if child.status is Status.CANCELED:
        why = child.error.message if child.error else "canceled"
        return Error(f"{who} was {why}", "canceled", path)
    why = child.error.message if child.error else f"it was {child.status.value}"
    return Error(f"{who} failed: {why}", "call", path)


def _action_of(step: Step) -> str | None:
    return step.action.name if isinstance(step, ActionStep) else None
