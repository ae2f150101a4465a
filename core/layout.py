"""The steps of a version in the order of its recipe: what was recorded, and what was never reached."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

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
)
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
        yield replace(found.get(path) or _not_reached(step, path, index), kind=_KINDS[type(step)])
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
