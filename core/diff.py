"""What differs between two runs: their recipe, their event, and step by step what each was given, gave and decided."""

from __future__ import annotations

import datetime as dt
import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from core.json_diff import NONE, Change, Comparer, Differences, Kind
from core.recipe import without_indexes
from core.textdiff import unified
from data.job_records import Error, JsonValue
from data.records import Revision, StepRecord
from data.states import Status, StepStatus

RECIPE_LINES = 20_000
"""Lines, of both recipes together, above which they are not compared line by line."""
STEPS_ALIGNED = 1_000_000
"""Declared steps of the one recipe times those of the other above which steps without an id go by their path."""


@dataclass(frozen=True, slots=True)
class Place:
    """One of the two runs: a version, or a rehearsal."""

    name: str
    """`812.3`, or `rehearsal of 812.3`."""
    job: int
    version: int
    recipe: str
    status: Status
    revision: int | None
    """None while version 1 has not been claimed."""
    at: dt.datetime
    """When it started, or was asked for."""
    by: str
    error: Error | None


@dataclass(frozen=True, slots=True)
class Side:
    """All that is compared of a run."""

    place: Place
    revision: Revision | None
    """The recipe that it ran; None while version 1 has not been claimed."""
    trigger: JsonValue
    steps: tuple[StepRecord, ...]
    """In the order of the recipe."""
    gone: str = ""
    """The sentence on what retention has removed and what is left; empty where nothing went."""


@dataclass(frozen=True, slots=True)
class StepDiff:
    """One step, or one iteration of it, in the two runs; of a pair the first is the old one's, None where it has none.

    Input and output of a step that only one run has are added, or removed, as a whole.
    """

    path: str
    """Where it is now; of a step that is only in the old run, where it was."""
    was_at: str | None
    """Where it was, if it was elsewhere."""
    id: str
    what: str
    """Its action, or its kind."""
    index: tuple[int, ...]
    status: tuple[StepStatus | None, StepStatus | None]
    branch: tuple[str | None, str | None]
    error: tuple[Error | None, Error | None]
    input: Differences
    output: Differences

    @property
    def only(self) -> str:
        """`old` or `new` where only that run has it, else empty."""
        if None not in self.status:
            return ""
        return "new" if self.status[0] is None else "old"

    @property
    def differs(self) -> bool:
        """Whether anything in it does."""
        return bool(
            self.status[0] != self.status[1] or self.branch[0] != self.branch[1] or self.input or self.output
            or not same_error(*self.error)
        )


@dataclass(frozen=True, slots=True)
class Diff:
    """What differs between an old run and a new one."""

    old: Place
    new: Place
    note: str
    """Why these two are compared, where that needs a word."""
    gone: tuple[str, ...]
    """What retention has removed of them, a sentence each; then neither steps nor events are compared."""
    recipe: tuple[str, ...]
    """The lines of a unified diff of the recipe; none where both ran the same revision."""
    trigger: Differences
    steps: tuple[StepDiff, ...]
    """All, those without a difference too, in the order of the new run's recipe."""
    first: StepDiff | None
    """The first step that came out differently; None where all came out the same."""

    @property
    def unchanged(self) -> tuple[StepDiff, ...]:
        """The steps without a difference."""
        return tuple(step for step in self.steps if not step.differs)

    @property
    def differs(self) -> bool:
        """Whether the two came out differently in anything that is known."""
        return bool(
            self.recipe or self.trigger or self.first or self.old.status != self.new.status
            or not same_error(self.old.error, self.new.error) or any(step.differs for step in self.steps)
        )


def compare(old: Side, new: Side, note: str = "") -> Diff:
    """Return what differs between two runs; takes a few seconds at the most, however large their data is."""
    comparer = Comparer()
    gone = tuple(dict.fromkeys(side.gone for side in (old, new) if side.gone))
    steps = () if gone else tuple(_step(comparer, *pair) for pair in _matched(old, new))
    return Diff(
        old.place, new.place, note, gone, recipe_diff(old.revision, new.revision),
        NONE if gone else comparer.differences(old.trigger, new.trigger), steps, _first(steps),
    )


def same_error(old: Error | None, new: Error | None) -> bool:
    """Return whether two errors say the same; where they happened is not asked: a step may have another path."""
    if old is None or new is None:
        return old is new
    return (old.message, old.kind, old.status) == (new.message, new.kind, new.status)


def recipe_diff(old: Revision | None, new: Revision | None) -> tuple[str, ...]:
    """Return the lines of a unified diff of two revisions; none where one of the runs has not got one yet."""
    if old is None or new is None or old.id == new.id:
        return ()
    lines = old.text.count("\n") + new.text.count("\n")
    if lines > RECIPE_LINES:
        names = f"--- {old.recipe} r{old.number}", f"+++ {new.recipe} r{new.number}"
        return (*names, f"@@ {lines:,} lines: too many to be compared @@")
    return unified(old, new)


# Steps


def _step(comparer: Comparer, old: StepRecord | None, new: StepRecord | None) -> StepDiff:
    step = new or old
    assert step is not None
    return StepDiff(
        path=step.path,
        was_at=old.path if old and new and old.path != new.path else None,
        id=step.id,
        what=step.action or step.kind or (old.action or old.kind if old else ""),
        index=step.index,
        status=(old.status if old else None, new.status if new else None),
        branch=(old.branch if old else None, new.branch if new else None),
        error=(old.error if old else None, new.error if new else None),
        input=_values(comparer, *_value(old, "input"), *_value(new, "input")),
        output=_values(comparer, *_value(old, "output"), *_value(new, "output")),
    )


def _value(step: StepRecord | None, name: str) -> tuple[bool, JsonValue]:
    """Return whether a step has an input, or output, and which."""
    if step is None:
        return False, None
    value = getattr(step, name)
    return value is not None or (name == "input" and step.has_input), value


def _values(comparer: Comparer, has_old: bool, old: JsonValue, has_new: bool, new: JsonValue) -> Differences:
    if has_old and has_new:
        return comparer.differences(old, new)
    if has_old:
        return Differences((Change(Kind.REMOVED, "$", old),))
    return Differences((Change(Kind.ADDED, "$", None, new),)) if has_new else NONE


def _matched(old: Side, new: Side) -> Iterator[tuple[StepRecord | None, StepRecord | None]]:
    """Yield the records of the same step in both runs, in the new one's order; None where a run has it not."""
    declared = _declared(old, new)
    there = {(without_indexes(step.path), step.index): step for step in new.steps}
    partner: dict[str, tuple[int, StepRecord]] = {}
    for number, step in enumerate(old.steps):
        found = there.get((declared.get(without_indexes(step.path), ""), step.index))
        if found is not None:
            partner[found.path] = number, step
    paired = {number for number, _ in partner.values()}
    left = [number for number in range(len(old.steps)) if number not in paired]
    for step in new.steps:
        number, before = partner.get(step.path, (-1, None))
        # Those that only the old run has stand where they stood.
        while left and left[0] < number:
            yield old.steps[left.pop(0)], None
        yield before, step
    yield from ((old.steps[number], None) for number in left)


def _declared(old: Side, new: Side) -> Mapping[str, str]:
    """Return for the paths that the old run's recipe declares those of the same steps in the new run's.

    A step is known by its id; one without stands between those with one, and is known by what it does.
    """
    before, after = _signatures(old.steps), _signatures(new.steps)
    same = old.revision is not None and new.revision is not None and old.revision.id == new.revision.id
    if same or len(before) * len(after) > STEPS_ALIGNED:
        return {path: path for path in before}
    paths, others = list(before), list(after)
    blocks = difflib.SequenceMatcher(None, list(before.values()), list(after.values()), autojunk=False)
    found = {
        paths[block.a + at]: others[block.b + at] for block in blocks.get_matching_blocks() for at in range(block.size)
    }
    # A step that was moved stands in no common order.
    by_id = {signature: path for path, signature in after.items() if signature[0] == "id"}
    taken = set(found.values())
    for path, signature in before.items():
        if path not in found and by_id.get(signature, "") not in taken and signature in by_id:
            found[path] = by_id[signature]
    return found


def _signatures(steps: Iterable[StepRecord]) -> dict[str, tuple[str, ...]]:
    return {without_indexes(step.path): _signature(step) for step in steps}


def _signature(step: StepRecord) -> tuple[str, ...]:
    if own_id(step):
        return ("id", step.id)
    what = step.action if step.kind in ("", "action") else step.kind
    return ("at", re.sub(r"\d+", "#", without_indexes(step.path)), what or "")


def own_id(step: StepRecord | StepDiff) -> str:
    """Return a step's id; empty where it has none of its own and is named by its path."""
    return "" if step.id == "s" + without_indexes(step.path).replace(".", "_") else step.id


def _first(steps: Sequence[StepDiff]) -> StepDiff | None:
    """Return the first step that came out differently.

    A loop, or a monitor, whose own outcome differs only as that of a step inside it does gives way to that step; one
    that was not reached in the only run that has it did not come out at all, and one reused came out as before.
    """
    differing = [step for step in steps if _came_out_differently(step)]
    for step in differing:
        if not _follows(step) or not any(_in(step, other) for other in differing):
            return step
    return None


def _came_out_differently(step: StepDiff) -> bool:
    if step.only:
        return StepStatus.NOT_REACHED not in step.status
    return step.differs and replace(step, status=(_outcome(step.status[0]), _outcome(step.status[1]))).differs


def _outcome(status: StepStatus | None) -> StepStatus | None:
    return StepStatus.SUCCEEDED if status is StepStatus.REUSED else status


def _follows(step: StepDiff) -> bool:
    return step.what == "monitor" or (step.what == "repeat" and not step.output)


def _in(step: StepDiff, other: StepDiff) -> bool:
    return not other.only and other.path != step.path and other.path.startswith((f"{step.path}.", f"{step.path}["))
