"""Going on from the step that failed: which records of the former version are taken over, and when that may not be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from core.parse import plain_steps
from core.recipe import without_indexes
from data.records import StepRecord
from data.states import REPLAYED, StepStatus


def taken_over(records: Iterable[StepRecord], failed: str, version: str) -> list[StepRecord]:
    """Return what a new version takes over of a former one that failed at the step `failed`; `version` is `812.2`.

    What was completed is reused, with its outcome; what failed, and all that it stands in, begins anew. A step that was
    itself taken over stays said to come from where it first ran.
    """
    found = list(records)
    kept = [one for one in found if one.status in REPLAYED and not _within(failed, one.path)]
    # What failed inside an error monitor that handled it is replayed with it.
    handled = [one.path for one in kept if one.status is StepStatus.HANDLED]
    failures = [
        one._replace(attempts=0) for one in found
        if one.status is StepStatus.FAILED and any(_within(one.path, path) for path in handled)
    ]
    return failures + [
        one._replace(
            attempts=0, duration_ms=0,
            status=StepStatus.SKIPPED if one.status is StepStatus.SKIPPED else StepStatus.REUSED,
            resolved_by=one.resolved_by if one.status is StepStatus.REUSED else version,
        )
        for one in kept
    ]


def _within(path: str, outer: str) -> bool:
    return path == outer or path.startswith((f"{outer}.", f"{outer}["))


def first_change(before: str, after: str, failed: str) -> str | None:
    """Return the path of the first step at which two texts of a recipe differ up to the step `failed`, None if at none.

    What the steps that `failed` stands in say of themselves counts; what stands in them behind it does not. The failed
    step itself may be another.
    """
    return _change(plain_steps(before), plain_steps(after), without_indexes(failed).split("."), "")


def _change(before: Any, after: Any, way: Sequence[str], prefix: str) -> str | None:
    """Compare two lists of steps up to the place at which `way` goes on."""
    last = int(way[0])
    for number, (old, new) in enumerate(zip_longest(_list(before)[: last - 1], _list(after)[: last - 1]), 1):
        if old != new:
            return f"{prefix}{number}"
    here = f"{prefix}{last}"
    if len(way) == 1:
        return None
    return _inside(_at(before, last), _at(after, last), way[1:], here)


def _inside(before: Any, after: Any, way: Sequence[str], here: str) -> str | None:
    """Compare two steps with steps inside, up to the place at which `way` goes on in one of their lists."""
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return here
    branch, rest = way[0], way[1:]
    if branch == "choose":
        # choose.2.then.1: the arms before it, and its own condition, decided.
        arm = int(rest[0])
        olds, news = _list(before.get("choose")), _list(after.get("choose"))
        if _others(before, "choose", "else") != _others(after, "choose", "else") or olds[: arm - 1] != news[: arm - 1]:
            return here
        return _inside(_at(olds, arm), _at(news, arm), rest[1:], here)
    lists = {"then", "else", "do", "monitor", "on_error"}
    # A list beside the one that was taken does not count, but for the monitored steps before their handler.
    beside = lists - ({"monitor"} if branch == "on_error" else set())
    if _others(before, *beside) != _others(after, *beside):
        return here
    return _change(before.get(branch), after.get(branch), rest, f"{here}.{branch}.")


def _others(step: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in step.items() if key not in names}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _at(value: Any, number: int) -> Any:
    steps = _list(value)
    return steps[number - 1] if number <= len(steps) else None
