"""A recipe as it runs: what core.parse makes of a file, immutable and ready to walk."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from core.connectors.declare import Action, Feed, Schedule, Trigger, Watcher
from core.expressions import Condition, Template, Value
from data.records import Problem
from data.states import Status

_OWN_NAMES = frozenset({"props", "now", "job"})
"""What expressions can name that no event has a part in."""


@dataclass(frozen=True)
class Retention:
    """How long a job's data is kept, counted from its end."""

    succeeded: dt.timedelta
    failed: dt.timedelta


@dataclass(frozen=True)
class Step:
    """What every step has."""

    path: str
    """Where it stands, without loop indexes: `3.then.1`."""
    id: str
    """Its own id, or its path written as a name: `s3_then_1`."""
    line: int
    condition: Condition | None
    """`if` on a step that is no condition step: where false, the step is skipped."""
    skip: bool


@dataclass(frozen=True)
class ActionStep(Step):
    """Calls one action."""

    action: Action
    inputs: Value
    connection: str | None
    """The name of the connection that the inputs name."""
    once: bool
    timeout: float | None
    """Seconds."""
    on_doubt: str | None
    """`hold`, `retry` or `skip`; None for the action's default."""

    @cached_property
    def from_outside(self) -> frozenset[str]:
        """The inputs (top-level names) whose text comes from outside: a template over more than the workspace's own."""
        templates = self.inputs.templates.items()
        return frozenset(str(path[0]) for path, one in templates if path and not one.names <= _OWN_NAMES)

    def lead(self, name: str, context: Mapping[str, object]) -> str:
        """Return the text that a templated input begins with before anything from outside; raises ExpressionError."""
        template = self.inputs.templates.get((name,))
        return "" if template is None else template.lead(context, _OWN_NAMES)


@dataclass(frozen=True)
class Arm:
    """One branch of a condition step: `then`, `else`, or `choose.1.then`."""

    branch: str
    condition: Condition | None
    """None for the else branch, taken where no other is."""
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class BranchStep(Step):
    """Runs the first arm whose condition holds, or none."""

    arms: tuple[Arm, ...]


@dataclass(frozen=True)
class SetStep(Step):
    """Computes values; its output is the mapping."""

    values: Value


@dataclass(frozen=True)
class StopStep(Step):
    """Ends the job there."""

    status: Status
    reason: Template


@dataclass(frozen=True)
class Retry:
    """How often, after which wait and for which errors the monitored steps run again."""

    times: int
    wait: float
    """Seconds before the first retry."""
    backoff: float
    """What each further wait is multiplied with."""
    when: Condition | None


@dataclass(frozen=True)
class MonitorStep(Step):
    """Runs its body; a failure is retried, then handled."""

    body: tuple[Step, ...]
    retry: Retry | None
    on_error: tuple[Step, ...]


@dataclass(frozen=True)
class RepeatStep(Step):
    """Runs its body for each item of a list."""

    items: Condition
    name: str
    body: tuple[Step, ...]
    limit: int | None


@dataclass(frozen=True)
class CallStep(Step):
    """Runs another recipe's steps as a child job and waits."""

    recipe: str
    inputs: Value


@dataclass(frozen=True)
class Started:
    """The trigger as a recipe uses it."""

    declared: Trigger
    inputs: Any
    """An instance of `declared.inputs`."""
    connection: str | None
    every: float
    """Seconds between two polls."""
    since: str | None
    """RFC 3339, as the file says it."""
    when: Condition | None
    place: tuple[int, int] = (1, 1)
    """Line and column of `since`, or of the trigger where it has none."""

    @property
    def polled(self) -> bool:
        """Whether the engine looks for its events, by a poll or by the clock."""
        return isinstance(self.declared.source, Watcher | Feed | Schedule)


@dataclass(frozen=True)
class Recipe:
    """One revision of a recipe, validated."""

    name: str
    description: str
    trigger: Started
    title: Template
    report: dict[str, Template]
    concurrency: int
    retention: Retention | None
    """None: the workspace's."""
    start: bool
    steps: tuple[Step, ...]
    warnings: tuple[Problem, ...] = ()
    """What its file says that is allowed but probably not meant."""

    def walk(self) -> Iterator[Step]:
        """Yield every declared step, each before those inside it, in the order of the file."""
        yield from inside(self.steps)


def children(step: Step) -> tuple[tuple[Step, ...], ...]:
    """Return the lists of steps inside `step`, in the order of the file."""
    match step:
        case BranchStep():
            return tuple(arm.steps for arm in step.arms)
        case MonitorStep():
            return (step.body, step.on_error)
        case RepeatStep():
            return (step.body,)
    return ()


def without_indexes(path: str) -> str:
    """Return the declared path of a step record's: `4.do.2` of `4[0].do.2`."""
    return re.sub(r"\[\d+\]", "", path)


def inside(steps: tuple[Step, ...]) -> Iterator[Step]:
    """Yield these steps and all inside them, each before those inside it."""
    for step in steps:
        yield step
        for inner in children(step):
            yield from inside(inner)


