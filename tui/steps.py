"""What a step is called and what it has to say for itself, in tree and table alike."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from data.states import StepStatus

if TYPE_CHECKING:
    from data.job_records import JsonValue
    from data.records import Link, StepRecord

_TURN = re.compile(r"\[(\d+)\]\.")


def what(step: StepRecord) -> str:
    """Return the action of a step, or of which kind it is."""
    return step.action or step.kind


def turns(steps: Iterable[StepRecord]) -> dict[str, int]:
    """Return how many turns of each loop have begun, by the path of its step."""
    begun: dict[str, int] = {}
    for step in steps:
        for turn in _TURN.finditer(step.path):
            path = step.path[: turn.start()]
            begun[path] = max(begun.get(path, 0), int(turn[1]) + 1)
    return begun


def told(step: StepRecord, begun: int = 0) -> str:
    """Return what a step that is no action came to, in a few words, not made safe; `begun` turns if it is a loop."""
    if step.status in (StepStatus.NOT_REACHED, StepStatus.SKIPPED):
        return ""
    say = _WORDS.get(step.kind or ("condition" if step.branch else ""))
    return say(step, begun) if say else ""


def place_of(link: Link) -> str:
    """Return a place in another job in words; not made safe."""
    return f"{link.job_id}.{link.version} at {link.path}"


def child(step: StepRecord) -> int | None:
    """Return the job that a call step has made, None where it is no call, or has made none."""
    job = _output(step).get("job") if step.kind == "call" else None
    return job if isinstance(job, int) else None


def _condition(step: StepRecord, begun: int) -> str:
    if step.status != StepStatus.SUCCEEDED:
        return ""
    return f"took {step.branch}" if step.branch else "took no branch"


def _stop(step: StepRecord, begun: int) -> str:
    output = _output(step)
    return ": ".join(str(output[name]) for name in ("status", "reason") if output.get(name))


def _repeat(step: StepRecord, begun: int) -> str:
    count = _output(step).get("count")
    return "" if count is None else f"{begun} of {count}"


def _monitor(step: StepRecord, begun: int) -> str:
    tries = _output(step).get("tries") or ()
    parts = [f"{len(tries) + 1} tries"] if tries else []
    if step.error is not None and step.status == StepStatus.HANDLED:
        parts.append(f"handled {step.error.message}")
    return ", ".join(parts)


def _call(step: StepRecord, begun: int) -> str:
    output = _output(step)
    job = child(step)
    return "" if job is None else f"job {job} {output.get('status', '')}".rstrip()


def _output(step: StepRecord) -> Mapping[str, JsonValue]:
    return step.output if isinstance(step.output, Mapping) else {}


_WORDS = {"condition": _condition, "stop": _stop, "repeat": _repeat, "monitor": _monitor, "call": _call}
