"""The steps of a version by its recipe: what was recorded in order, what was never reached, and what each gave."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import count

from core.recipe import (
    ActionStep,
    BranchStep,
    CallStep,
    MonitorStep,
    Recipe,
    RepeatStep,
    SetStep,
    Step,
    StopStep,
    children,
    inside,
)
from data.job_records import JsonValue
from data.records import StepRecord
from data.states import StepStatus

_KINDS: dict[type[Step], str] = {
    ActionStep: "action", BranchStep: "condition", SetStep: "set", StopStep: "stop", MonitorStep: "monitor",
    RepeatStep: "repeat", CallStep: "call",
}  # fmt: skip


def laid_out(recipe: Recipe | None, records: Sequence[StepRecord]) -> tuple[StepRecord, ...]:
    """Return a record for every step that `recipe` declares, with its kind, those of loops for every iteration.

    A step without a record is `not_reached`. Without a recipe, the records stand in the order in which they began.
    """
    if recipe is None:
        return tuple(records)
    found = {record.path: record for record in records}
    laid = list(_steps(recipe.steps, found, declared="", actual="", index=()))
    known = {record.path for record in laid}
    return (*laid, *(record for record in records if record.path not in known))


def _steps(
    steps: Iterable[Step], found: dict[str, StepRecord], declared: str, actual: str, index: tuple[int, ...]
) -> Iterator[StepRecord]:
    for step in steps:
        path = actual + step.path[len(declared) :]
        yield (found.get(path) or _not_reached(step, path, index))._replace(kind=_KINDS[type(step)])
        if isinstance(step, RepeatStep):
            for number in _iterations(path, found):
                yield from _steps(step.body, found, step.path, f"{path}[{number}]", (*index, number))
        else:
            for inner in children(step):
                yield from _steps(inner, found, declared, actual, index)


def _not_reached(step: Step, path: str, index: tuple[int, ...]) -> StepRecord:
    action = step.action.name if isinstance(step, ActionStep) else None
    return StepRecord(path, step.id, StepStatus.NOT_REACHED, action, index=index)


def _iterations(path: str, found: Iterable[str]) -> list[int]:
    pattern = re.compile(re.escape(path) + r"\[(\d+)\]\.")
    return sorted({int(match[1]) for other in found if (match := pattern.match(other))})


def outputs_of(recipe: Recipe, records: Iterable[StepRecord]) -> dict[str, JsonValue]:
    """Return what `steps` is to a recipe at its end: by id, null where nothing ran, of a loop's steps their list."""
    # What a retry has set back, and not come to again, is as if it had never run.
    found = {record.path: record for record in records if record.status is not StepStatus.NOT_REACHED}
    return _outputs(recipe.steps, found, declared="", actual="")


def _outputs(
    steps: Iterable[Step], found: dict[str, StepRecord], declared: str, actual: str
) -> dict[str, JsonValue]:
    outputs: dict[str, JsonValue] = {}
    for step in steps:
        path = actual + step.path[len(declared) :]
        record = found.get(path)
        gives = isinstance(step, ActionStep | SetStep | CallStep | RepeatStep)
        outputs[step.id] = record.output if gives and record is not None else None
        if isinstance(step, RepeatStep):
            began = record is not None and record.status is not StepStatus.SKIPPED
            rounds = [_outputs(step.body, found, step.path, place) for place in _begun(step, path, found)]
            inner = (one.id for one in inside(step.body))
            outputs |= {id: [outcome[id] for outcome in rounds] if began else None for id in inner}
        else:
            for within in children(step):
                outputs |= _outputs(within, found, declared, actual)
    return outputs


def _begun(step: RepeatStep, path: str, found: dict[str, StepRecord]) -> Iterator[str]:
    """Yield the path of each iteration that has begun: its first step is recorded, be it as skipped."""
    first = step.body[0].path[len(step.path) :]
    for number in count():
        if f"{path}[{number}]{first}" not in found:
            return
        yield f"{path}[{number}]"
