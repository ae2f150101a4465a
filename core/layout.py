"""The steps of a version in the order of its recipe: what was recorded, and what was never reached."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from core.recipe import ActionStep, Recipe, RepeatStep, Step, children
from data.records import StepRecord
from data.states import StepStatus


def laid_out(recipe: Recipe | None, records: Sequence[StepRecord]) -> tuple[StepRecord, ...]:
    """Return a record for every step that `recipe` declares, those of loops for every iteration.

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
        action = step.action.name if isinstance(step, ActionStep) else None
        yield found.get(path) or StepRecord(path, step.id, StepStatus.NOT_REACHED, action, index=index)
        if isinstance(step, RepeatStep):
            for number in _iterations(path, found):
                yield from _steps(step.body, found, step.path, f"{path}[{number}]", (*index, number))
        else:
            for inner in children(step):
                yield from _steps(inner, found, declared, actual, index)


def _iterations(path: str, found: Iterable[str]) -> list[int]:
    pattern = re.compile(re.escape(path) + r"\[(\d+)\]\.")
    return sorted({int(match[1]) for other in found if (match := pattern.match(other))})
