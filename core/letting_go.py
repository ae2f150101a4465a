"""Frees large data piece by piece: done at once, it holds the interpreter, and with it an event loop, as it goes."""

from __future__ import annotations

from collections.abc import Iterable

from data.job_records import JsonValue
from data.records import JobDetail, StepRecord

AT_ONCE = 500
"""Values that are freed in one go, or go along with the list or mapping that they are in."""


def data_of(trigger: JsonValue, steps: Iterable[StepRecord]) -> list[JsonValue]:
    """Return the values of a run that may be large."""
    return [trigger, *(value for step in steps for value in (step.input, step.output))]


def let_go_of(details: list[JobDetail]) -> None:
    """Empty `details` and free their data, where nobody else has it; for a thread."""
    held: list[JsonValue] = []
    while details:
        detail = details.pop()
        held += data_of(detail.trigger, detail.steps)
        del detail
    let_go(held)


def let_go(held: list[JsonValue]) -> None:
    """Empty `held` and free its values, where nobody else has them; for a thread."""
    inside: list[JsonValue] = []
    containers = [value for value in held if isinstance(value, (dict, list))]
    held.clear()
    for value in containers:
        inner = value.values() if isinstance(value, dict) else value
        if len(value) > AT_ONCE:
            inside += inner
            inside += value if isinstance(value, dict) else ()
        # What is inside is looked at later in the same loop.
        containers.extend(one for one in inner if isinstance(one, (dict, list)))
        del value, inner
    # The outer ones first, while what is in them is held: so none takes all that is in it along.
    containers.reverse()
    while containers:
        containers.pop()
    while inside:
        del inside[-AT_ONCE:]
