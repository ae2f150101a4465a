"""What the screens show of data in which secrets stand: the same with those masked."""

from __future__ import annotations

from dataclasses import replace

from core.diff import Diff, StepDiff
from core.json_diff import Change, Differences
from core.secrecy import masked
from data.job_records import JsonValue
from data.records import JobDetail, StepRecord
from tui.words import DOT, mask

MASKED = f"{DOT}secrets masked, V shows them"
REVEALED = f"{DOT}secrets shown until you leave it"


def masked_detail(detail: JobDetail) -> JobDetail:
    """Return a job's detail without its secrets; a step that holds none is the record itself. Slow for large data."""
    return replace(detail, trigger=_masked(detail.trigger), steps=tuple(map(masked_step, detail.steps)))


def masked_step(step: StepRecord) -> StepRecord:
    """Return a step's record without its secrets, itself if it holds none."""
    input, output = _masked(step.input), _masked(step.output)
    same = input is step.input and output is step.output
    return step if same else step._replace(input=input, output=output)


def masked_diff(diff: Diff) -> Diff:
    """Return a comparison without secrets: that one differs is told, not what it is."""
    return replace(
        diff, trigger=_differences(diff.trigger), steps=tuple(map(_step, diff.steps)),
        first=diff.first and _step(diff.first),
    )


def _step(step: StepDiff) -> StepDiff:
    return replace(step, input=_differences(step.input), output=_differences(step.output))


def _differences(found: Differences) -> Differences:
    return replace(found, changes=tuple(map(_change, found.changes)))


def _change(change: Change) -> Change:
    name = "secret" if change.secret else ""
    return replace(change, old=_masked(change.old, name), new=_masked(change.new, name))


def _masked(value: JsonValue, name: str = "") -> JsonValue:
    return masked(value, mask(), name)
