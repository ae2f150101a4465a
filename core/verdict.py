"""What a rehearsal says: was it the world, or the recipe?"""

from __future__ import annotations

from collections.abc import Collection

from core.diff import Diff, StepDiff, own_id
from data.job_records import Error
from data.states import Status, StepStatus

_STOPPED = (StepStatus.FAILED, StepStatus.IN_DOUBT)


def verdict(diff: Diff, not_sent: Collection[str], same_failure: bool) -> str:
    """Return the sentence on a rehearsal, the new run of `diff`, beside the version that it rehearses.

    `not_sent` are the paths of its steps that were answered, not sent; `same_failure`: both failed in the same way.
    """
    old = diff.old
    if old.status is Status.SUCCEEDED:
        return _of_a_good_one(diff)
    if old.status is not Status.FAILED:
        return f"{old.name} is {old.status.value}: there is no outcome to judge; r{diff.new.revision} {_outcome(diff)}"
    if old.revision is None:
        return f"{old.name} failed before it ran any revision; r{diff.new.revision} {_outcome(diff)}"
    answered = None if same_failure or _mended(diff, not_sent) else _failed_and_answered(diff, not_sent)
    if answered is not None:
        return _of_a_write(diff, answered)
    return _of_the_same(diff, same_failure) if old.revision == diff.new.revision else _of_another(diff, same_failure)


def _of_a_good_one(diff: Diff) -> str:
    old, new = diff.old, diff.new
    if new.status is Status.SUCCEEDED and diff.first is None:
        return f"nothing has changed: r{new.revision} comes out as {old.name} did"
    if old.revision == new.revision:
        return f"the world has changed since {old.name}: the same r{new.revision} {_outcome(diff)}{_first(diff)}"
    told = f"r{new.revision} {_outcome(diff)}, where r{old.revision} succeeded{_first(diff)}"
    return f"{told}; `jobdeck rehearse {old.job}` tells how r{old.revision} comes out now"


def _of_the_same(diff: Diff, same_failure: bool) -> str:
    old, new = diff.old, diff.new
    if same_failure:
        told = f"it is the recipe or the data: r{new.revision} fails as {old.name} did, {_at(new.error)}"
        return f"{told}; if that step asks another app, the app still answers so"
    told = f"the world has changed: the same r{new.revision}, which failed {_at(old.error)}, now {_outcome(diff)}"
    return told + _first(diff)


def _of_another(diff: Diff, same_failure: bool) -> str:
    old, new = diff.old, diff.new
    if same_failure:
        return f"r{new.revision} does not mend it: it fails as r{old.revision} did, {_at(new.error)}"
    then = f"r{old.revision} failed {_at(old.error)}; `jobdeck rehearse {old.job}` tells whether it still would"
    if new.status is Status.SUCCEEDED:
        return f"the recipe was it: r{new.revision} succeeds where {then}"
    return f"r{new.revision} {_outcome(diff)}, where {then}"


def _of_a_write(diff: Diff, step: StepDiff) -> str:
    what = "calls another recipe, whose writes are" if _calls(step) else "is a write, and writes are"
    told = f"step {_name(step)} failed in {diff.old.name} and cannot be judged: it {what} answered, not sent"
    if step.input:
        told += "; what it would be given has changed"
    if diff.new.status is Status.FAILED:
        told += f"; after it, r{diff.new.revision} {_outcome(diff)}"
    if diff.old.revision == diff.new.revision and diff.first is not None and diff.first.path != step.path:
        return f"the world has changed: step {_name(diff.first)} came out differently; but {told}"
    return told


def _mended(diff: Diff, not_sent: Collection[str]) -> bool:
    """Return whether the step at which the version failed did act in the rehearsal, and succeeded."""
    where = diff.old.error.step if diff.old.error else None
    return any(
        (step.was_at or step.path) == where and step.status[1] is StepStatus.SUCCEEDED and step.path not in not_sent
        and not _calls(step) and step.what != "stop"
        for step in diff.steps
    )


def _failed_and_answered(diff: Diff, not_sent: Collection[str]) -> StepDiff | None:
    """Return the first step that failed in the version and was answered in the rehearsal."""
    found = (
        step for step in diff.steps
        if step.status[0] in _STOPPED and step.status[1] is StepStatus.SUCCEEDED
        and (step.path in not_sent or _calls(step))
    )
    return next(found, None)


def _calls(step: StepDiff) -> bool:
    return step.what.startswith("call ")


def _outcome(diff: Diff) -> str:
    if diff.new.status is Status.FAILED:
        return f"fails {_at(diff.new.error)}"
    return "succeeds" if diff.new.status is Status.SUCCEEDED else f"is {diff.new.status.value}"


def _first(diff: Diff) -> str:
    return f"; the first step that differs is {_name(diff.first)}" if diff.first else ""


def _name(step: StepDiff) -> str:
    return " ".join(part for part in (step.path, own_id(step)) if part)


def _at(error: Error | None) -> str:
    return f"at step {error.step}" if error and error.step else "before its first step"
