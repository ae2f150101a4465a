"""Frees large data piece by piece: done at once, it holds the interpreter, and with it the event loop, as it goes."""

from __future__ import annotations

from data.job_records import JsonValue
from data.records import JobDetail

AT_ONCE = 500
"""Lists and mappings that are freed in one go."""


def let_go(details: list[JobDetail]) -> None:
    """Empty `details` and free their data, where nobody else has it; for a thread."""
    held: list[JsonValue] = []
    while details:
        detail = details.pop()
        held.append(detail.trigger)
        for step in detail.steps:
            held += (step.input, step.output)
        del detail
    held = [value for value in held if isinstance(value, (dict, list))]
    for value in held:
        # What is inside is looked at later in the same loop.
        inner = value.values() if isinstance(value, dict) else value
        held.extend(one for one in inner if isinstance(one, (dict, list)))
        del value, inner
    # The outer ones first, while what is in them is held: so none takes all that is in it along.
    held.reverse()
    while held:
        del held[-AT_ONCE:]
