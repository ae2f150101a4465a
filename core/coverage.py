"""Which branches, monitors and stops of a recipe have run, by which job, and which never."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from core.recipe import BranchStep, MonitorStep, Recipe, Step, StopStep
from data.coverage import Taken
from data.records import Problem
from data.states import StepStatus


@dataclass(frozen=True, slots=True)
class Covered:
    """One way that a job can take, and how often one has."""

    path: str
    id: str
    line: int
    """In the recipe's file."""
    kind: str
    """`branch`, `monitor` or `stop`."""
    outcome: str
    """`then`, `else`, `choose.1`, `none`; `passed`, `handled`; `reached`."""
    says: str
    """The branch's condition, or how the stop ends the job."""
    versions: int
    """How many versions came this way; 0: never."""
    example: tuple[int, int] | None
    """The job and version of the newest."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """What the jobs of a recipe's latest revision have covered."""

    recipe: str
    revision: int
    versions: int
    """How many versions ran the revision, as far as they were looked at and their data is kept."""
    all: bool
    """Whether that is all of them; else the newest."""
    ways: tuple[Covered, ...]
    warnings: tuple[Problem, ...] = ()
    """What the revision's file says that is allowed but probably not meant."""

    @property
    def never(self) -> int:
        """How many ways no job has taken."""
        return sum(not way.versions for way in self.ways)


@dataclass(frozen=True)
class _Way:
    kind: str
    outcome: str
    says: str
    fits: Callable[[Taken], bool]


def covered(recipe: Recipe, revision: int, taken: Sequence[Taken], versions: int, all: bool) -> Coverage:
    """Return the coverage of a revision; `taken` is what its newest `versions` did, and `all` whether that is all."""
    ways = [_covered(step, way, taken) for step in recipe.walk() for way in _ways(step)]
    return Coverage(recipe.name, revision, versions, all, tuple(ways), recipe.warnings)


def _covered(step: Step, way: _Way, taken: Iterable[Taken]) -> Covered:
    fitting = [one for one in taken if one.step_id == step.id and way.fits(one)]
    newest = max(fitting, key=lambda one: (one.job_id, one.version), default=None)
    example = None if newest is None else (newest.job_id, newest.version)
    count = sum(one.versions for one in fitting)
    return Covered(step.path, step.id, step.line, way.kind, way.outcome, way.says, count, example)


def _ways(step: Step) -> Iterator[_Way]:
    match step:
        case BranchStep():
            yield from _branches(step)
        case MonitorStep():
            yield _Way("monitor", "passed", "nothing failed", _ended(StepStatus.SUCCEEDED))
            yield _Way("monitor", "handled", "an error was handled", _ended(StepStatus.HANDLED))
        case StopStep():
            yield _Way("stop", "reached", f"ends the job as {step.status.value}", _ended(StepStatus.SUCCEEDED))


def _branches(step: BranchStep) -> Iterator[_Way]:
    for arm in step.arms:
        says = f"if {arm.condition.source}" if arm.condition else "where no other holds"
        yield _Way("branch", arm.branch, says, _took(arm.branch))
    if step.arms[-1].condition is not None:
        yield _Way("branch", "none", "no condition holds", _took(None))


def _took(branch: str | None) -> Callable[[Taken], bool]:
    return lambda one: one.branch == branch and one.status is StepStatus.SUCCEEDED


def _ended(status: StepStatus) -> Callable[[Taken], bool]:
    return lambda one: one.status is status
