"""A comparison as lines to fold, in two layouts: unified, and side by side; readable without colour by their marks."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice, zip_longest
from typing import Any, TypeAlias

from rich.cells import chop_cells
from rich.text import Text

from core.diff import Diff, Place, StepDiff, own_id, same_error
from core.json_diff import Change, Differences, Kind
from core.text import safe
from data.job_records import Error, JsonValue
from tui.row_blocks import Block, Rows
from tui.units import count, local
from tui.words import WORDS

Key: TypeAlias = tuple[str | int, ...]

WIDE = 120
"""Columns from which the two runs stand side by side."""
RECIPE_OPEN = 12
"""Lines of the recipe's diff up to which it is open at first."""
STEPS_OPEN = 50
"""Steps with a difference that are open at first."""
MANY = 200
"""Lines that are made together when one of them is seen."""
SAME = "the two texts are the same"
VALUE = 2_000
"""Characters of a value that are shown."""
LISTED = 40
"""Steps without a difference that are listed in their line."""

ADDED, REMOVED, CHANGED, MOVED = "+", "-", "~", ">"
_MARKS = {Kind.ADDED: ADDED, Kind.REMOVED: REMOVED, Kind.CHANGED: CHANGED, Kind.MOVED: MOVED}
_STYLES = {ADDED: "green", REMOVED: "red", CHANGED: "yellow", MOVED: "cyan", "@": "dim", "!": "bold yellow"}


@dataclass(frozen=True, slots=True)
class Value:
    """A value of which a text is made only when its line is drawn."""

    json: JsonValue


@dataclass(frozen=True, slots=True)
class Row:
    """One line; its texts are safe to show."""

    key: Key
    depth: int
    mark: str
    """`+` only in the new run, `-` only in the old one, `~` in both and different, `>` elsewhere, `!` a word on it."""
    label: str
    old: str | Value | None = None
    new: str | Value | None = None
    inside: Key | None = None
    """The line that folds it away."""
    folds: bool = False
    """Whether it folds others."""
    value: bool = False
    """Whether it tells of a value, which can be shown whole below it."""
    bold: bool = False

    @property
    def opens(self) -> bool:
        """Whether there is something to open."""
        return self.folds or self.value

    @property
    def difference(self) -> bool:
        """Whether one goes to it from difference to difference: a head, or a value, but no piece of one."""
        return self.mark in _MARKS.values() and self.key[0] not in ("place", "line", "piece")


Group: TypeAlias = list[tuple[Key, int, StepDiff]]
"""Steps whose lines are made together: each with its key, and the lines that it has when it is open."""


class DiffLines:
    """The lines of a comparison, and which of them are open."""

    def __init__(self, diff: Diff) -> None:
        """Look through the steps; slow where they are very many."""
        self.diff = diff
        self._unchanged = diff.unchanged
        same = {id(step) for step in self._unchanged}
        differing = [step for step in diff.steps if id(step) not in same]
        self._groups = _grouped(differing)
        self._group_of = {key: number for number, group in enumerate(self._groups) for key, _, _ in group}
        self.opened: set[Key] = {("trigger",), *map(_step_key, differing[:STEPS_OPEN])}
        if len(diff.recipe) <= RECIPE_OPEN:
            self.opened.add(("recipe",))

    def open_all(self) -> None:
        """Open all, the steps without a difference too; each value stays on its line."""
        self.opened = {_step_key(step) for step in self.diff.steps} | {("trigger",), ("recipe",), ("unchanged",)}

    def close_all(self) -> None:
        """Fold all."""
        self.opened.clear()

    def rows(self, width: int, wide: bool) -> Rows[Row]:
        """Return the lines for a width in cells; `wide`: side by side."""
        return Rows(self._blocks(width, wide), self._block_of)

    def _blocks(self, width: int, wide: bool) -> Iterator[Block[Row]]:
        yield _made(("head",), self._head(width, wide))
        yield from self._recipe(wide)
        if self.diff.trigger:
            yield _made(("trigger",), self._trigger(width, wide))
        whole = {key[:3] for key in self.opened if len(key) > 3}
        for number, group in enumerate(self._groups):
            make = partial(self._steps, group, width, wide)
            if whole and any(key in whole for key, _, _ in group):
                # Only who makes the lines of a value knows how many they are.
                yield _made(("steps", number), make())
            else:
                size = sum(lines if key in self.opened else 1 for key, lines, _ in group)
                yield Block(("steps", number), size, make)
        yield from self._same()

    def _block_of(self, key: Hashable) -> Hashable:
        match key:
            case ("piece", *inner):
                return self._block_of(tuple(inner))
            case ("line" | "hunk", _):
                return _lines_of(key)
            case ("step", path, only, "same"):
                wanted = ("step", path, only)
                same = enumerate(self._unchanged)
                return "same", next((number // MANY for number, step in same if _step_key(step) == wanted), None)
            case ("step", str(path), str(only), *_):
                return "steps", self._group_of.get(("step", path, only))
            case ("recipe" | "trigger" | "unchanged" as name, *_):
                return (name,)
        return ("head",)

    def _head(self, width: int, wide: bool) -> Iterator[Row]:
        diff = self.diff
        yield from _pair(("place",), 0, "", place_words(diff.old), place_words(diff.new), wide)
        yield from (Row(("word", number), 0, "!", safe(word)) for number, word in enumerate(_words(diff)))
        if not same_error(diff.old.error, diff.new.error):
            yield from self._value(_error_row(("error",), 0, None, diff.old.error, diff.new.error), width, wide)
        yield Row(("first",), 0, " ", _first(diff), bold=True)

    def _recipe(self, wide: bool) -> Iterator[Block[Row]]:
        lines = self.diff.recipe
        key: Key = ("recipe",)
        if not lines:
            return
        changed = sum(line[:1] in "+-" for line in lines[2:])
        told = f"recipe {_revision(self.diff.old)} -> {_revision(self.diff.new)}: {count(changed, 'line')}"
        yield _made(key, [Row(key, 0, CHANGED, safe(told), folds=True, bold=True)])
        if key in self.opened:
            yield from _line_blocks(lines[2:], key, wide, quiet=True)

    def _trigger(self, width: int, wide: bool) -> Iterator[Row]:
        yield Row(("trigger",), 0, CHANGED, "trigger event", folds=True, bold=True)
        if ("trigger",) in self.opened:
            yield from self._differences(("trigger",), "", self.diff.trigger, width, wide)

    def _steps(self, group: Group, width: int, wide: bool) -> Iterator[Row]:
        for _, _, step in group:
            yield from self._step(step, width, wide)

    def _step(self, step: StepDiff, width: int, wide: bool) -> Iterator[Row]:
        key = _step_key(step)
        yield Row(key, 0, _mark(step), step_words(step), folds=True, bold=True)
        if key not in self.opened:
            return
        if step.branch[0] != step.branch[1]:
            old, new = (safe(branch or "none") for branch in step.branch)
            yield Row((*key, "branch"), 1, CHANGED, "took", old, new, key)
        if not same_error(*step.error):
            yield from self._value(_error_row((*key, "error"), 1, key, *step.error), width, wide)
        yield from self._differences(key, "input", step.input, width, wide)
        yield from self._differences(key, "output", step.output, width, wide)

    def _differences(self, above: Key, part: str, found: Differences, width: int, wide: bool) -> Iterator[Row]:
        for number, change in enumerate(found.changes):
            yield from self._value(_change_row((*above, part, number), above, part, change), width, wide)
        if found.more:
            yield Row((*above, part, "more"), 1, " ", f"… and {found.more:,} more: {part}".rstrip(": "), inside=above)

    def _value(self, row: Row, width: int, wide: bool) -> Iterator[Row]:
        yield row
        if row.key in self.opened:
            yield from _pieces(row, width, wide)

    def _same(self) -> Iterator[Block[Row]]:
        steps = self._unchanged
        if not steps:
            return
        key: Key = ("unchanged",)
        names = ", ".join(name(step) for step in steps[:LISTED]) + (", …" if len(steps) > LISTED else "")
        told = f"{count(len(steps), 'step')} without a difference"
        yield _made(key, [Row(key, 0, " ", f"{told}: {names}" if key not in self.opened else told, folds=True)])
        if key in self.opened:
            for at in range(0, len(steps), MANY):
                some = steps[at : at + MANY]
                yield Block(("same", at // MANY), len(some), partial(_same_rows, some), quiet=True)


def lines(diff: Diff, width: int | None = None, *, wide: bool = False, all: bool = False) -> list[Text]:
    """Return a comparison's lines, nothing folded but, unless `all`, the steps without a difference.

    Without a width nothing is cut.
    """
    folding = DiffLines(diff)
    folding.open_all()
    if not all:
        folding.opened.discard(("unchanged",))
    return [row_text(row, width, wide, folded=False) for row in folding.rows(width or WIDE, wide)]


def text_rows(unified: Sequence[str], wide: bool) -> Rows[Row]:
    """Return the rows of a unified diff of texts, without its head; `wide`: side by side."""
    blocks = list(_line_blocks(unified[2:], (), wide)) or [_made(("lines", 0), [Row(("line", 0), 0, " ", SAME)])]
    return Rows(blocks, _lines_of)


def _lines_of(key: Hashable) -> Hashable:
    match key:
        case ("line" | "hunk", int(number)):
            return "lines", number // MANY
    return None


def row_text(row: Row, width: int | None, wide: bool, folded: bool) -> Text:
    """Return a line, cut at a width in cells; one that is folded ends with an ellipsis."""
    style = _STYLES.get(row.mark, "")
    head = Text("  " * row.depth).append(f"{row.mark} ", style=f"bold {style}")
    head.append(row.label, style="bold" if row.bold else style if row.key[0] in ("line", "piece", "place") else "")
    if wide and width is not None and not row.folds and (row.old is not None or row.new is not None):
        return _halves(head, row, width)
    values = " -> ".join(value for value in (_text(row.old), _text(row.new)) if value is not None)
    if values:
        head.append((": " if row.label else "") + values, style=style)
    if folded and row.folds:
        head.append(" …", style="dim")
    if width is not None:
        head.truncate(width, overflow="ellipsis")
    return head


def _halves(head: Text, row: Row, width: int) -> Text:
    half = (width - 3) // 2
    style = _STYLES.get(row.mark, "")
    old = _text(row.old)
    if old is not None:
        head.append((": " if row.label else "") + old, style="red" if row.new is not None else style)
    head.truncate(half, overflow="ellipsis", pad=True)
    right = Text(_text(row.new) or "", style="green" if old is not None else style)
    right.truncate(half, overflow="ellipsis")
    return head.append(" | ", style="dim").append_text(right)


def _text(value: str | Value | None) -> str | None:
    return shown(value.json) if isinstance(value, Value) else value


# Words


def place_words(place: Place) -> str:
    """Return which run it is: its name, how it ended, by which revision, when, and who asked."""
    revision = "" if place.revision is None else f" {_revision(place)}"
    by = f" by {place.by}" if place.by else ""
    word = WORDS[place.status].word
    return safe(f"{place.name} {word} · {place.recipe}{revision} · {local(place.at)}{by}")


def name(step: StepDiff) -> str:
    """Return a step's path, and its id where it has one of its own."""
    return safe(" ".join(part for part in (step.path, own_id(step)) if part))


def step_words(step: StepDiff) -> str:
    """Return a step's name, what it does, and how it came out in each run."""
    named = f"{name(step)} {safe(step.what)}".rstrip() + (f" (was {safe(step.was_at)})" if step.was_at else "")
    told = [WORDS[status].word for status in step.status if status is not None]
    if step.only:
        return f"{named}: {told[0]}, only in the {step.only} run"
    return f"{named}: {told[0] if told[0] == told[1] else ' -> '.join(told)}"


def _mark(step: StepDiff) -> str:
    return {"new": ADDED, "old": REMOVED}.get(step.only, CHANGED)


def _words(diff: Diff) -> list[str]:
    return ([diff.note] if diff.note else []) + list(diff.gone)


def _first(diff: Diff) -> str:
    if diff.first is not None:
        return f"the first step that differs: {step_words(diff.first)}"
    if diff.gone:
        return "steps and trigger events cannot be compared any more"
    if not diff.steps:
        return "no step is recorded of either"
    return "no step came out differently" if diff.differs else "nothing differs"


def _revision(place: Place) -> str:
    return "no revision" if place.revision is None else f"r{place.revision}"


def _step_key(step: StepDiff) -> Key:
    return ("step", step.path, step.only)


# Rows


def _pair(key: Key, depth: int, label: str, old: str, new: str, wide: bool) -> Iterator[Row]:
    if wide:
        yield Row(key, depth, " ", label, old, new)
    else:
        yield Row((*key, 0), depth, REMOVED, label, old)
        yield Row((*key, 1), depth, ADDED, label, None, new)


def _error_row(key: Key, depth: int, inside: Key | None, old: Error | None, new: Error | None) -> Row:
    mark = ADDED if old is None else REMOVED if new is None else CHANGED
    return Row(key, depth, mark, "error", _error(old), _error(new), inside, value=True)


def _error(error: Error | None) -> str | None:
    if error is None:
        return None
    place = f", step {error.step}" if error.step else ""
    return safe(f"{error.message} ({error.kind}{place})", VALUE)


def _change_row(key: Key, above: Key, part: str, change: Change) -> Row:
    label = f"{part} {change.path if change.path != '$' or not part else ''}".strip()
    old = None if change.kind is Kind.ADDED else Value(change.old)
    new: str | Value | None = None if change.kind is Kind.REMOVED else Value(change.new)
    if change.kind is Kind.MOVED:
        # What differs in it, too, has a line of its own.
        label, new = f"{part} {change.was_at}".strip(), safe(change.path)
    elif change.was_at:
        label += f" (was {change.was_at})"
    if change.whole:
        label += f" ({change.whole})"
    return Row(key, 1, _MARKS[change.kind], safe(label), old, new, above, value=True)


def _pieces(row: Row, width: int, wide: bool) -> Iterator[Row]:
    """Yield the whole of a value's line in pieces that fit."""
    room = max((width // 2 if wide else width) - 10, 10)
    old, new = (chop_cells(text, room) if (text := _text(value)) else [] for value in (row.old, row.new))
    piece = Row((), row.depth + 1, " ", "", inside=row.key)
    if wide:
        for number, (left, right) in enumerate(zip_longest(old, new)):
            yield replace(piece, key=("piece", *row.key, number), old=left, new=right or "")
        return
    for mark, pieces in ((REMOVED, old), (ADDED, new)):
        for number, text in enumerate(pieces):
            yield replace(piece, key=("piece", *row.key, mark, number), mark=mark, label=text)


def _grouped(steps: Iterable[StepDiff]) -> list[Group]:
    groups: list[Group] = []
    left = 0
    for step in steps:
        if left <= 0:
            groups.append([])
            left = MANY
        size = _size(step)
        groups[-1].append((_step_key(step), size, step))
        left -= size
    return groups


def _size(step: StepDiff) -> int:
    """Return how many lines a step has that is open, where no value is shown whole."""
    parts = (len(found.changes) + bool(found.more) for found in (step.input, step.output))
    return 1 + (step.branch[0] != step.branch[1]) + (not same_error(*step.error)) + sum(parts)


def _same_rows(steps: Sequence[StepDiff]) -> Iterator[Row]:
    return (Row((*_step_key(step), "same"), 1, " ", step_words(step), inside=("unchanged",)) for step in steps)


def _made(name: Key, rows: Iterable[Row]) -> Block[Row]:
    made = list(rows)
    return Block(name, len(made), lambda: made)


# Lines of texts


def _line_blocks(lines: Sequence[str], above: Key, wide: bool, quiet: bool = False) -> Iterator[Block[Row]]:
    told: Sequence[Any] = _side_by_side(lines) if wide else lines
    make = _pair_rows if wide else _as_it_is
    for at in range(0, len(told), MANY):
        some = told[at : at + MANY]
        yield Block(("lines", at // MANY), len(some), partial(make, some, at, above), quiet)


def _as_it_is(lines: Sequence[str], first: int, above: Key) -> Iterator[Row]:
    for number, line in enumerate(lines, first):
        key: Key = ("hunk" if line.startswith("@") else "line", number)
        yield Row(key, 1, line[:1] or " ", safe(line[1:] if line[:1] != "@" else line[2:].rstrip("@ "), VALUE),
                  inside=above)


def _side_by_side(lines: Sequence[str]) -> list[tuple[str, str | None, str | None]]:
    """Return mark, old line and new line of each line; where a run of lines changed, the first with the first."""
    told: list[tuple[str, str | None, str | None]] = []
    run: dict[str, list[str]] = {"-": [], "+": []}
    # One more line that did not change, at which the last run ends.
    for line in (*lines, ""):
        if line[:1] in run:
            run[line[0]].append(line[1:])
            continue
        for old, new in zip_longest(run["-"], run["+"]):
            told.append((CHANGED if None not in (old, new) else REMOVED if new is None else ADDED, old, new))
        run = {"-": [], "+": []}
        told.append(("@", line[2:].rstrip("@ "), None) if line.startswith("@") else (" ", line[1:], line[1:]))
    return told[:-1]


def _pair_rows(told: Sequence[tuple[str, str | None, str | None]], first: int, above: Key) -> Iterator[Row]:
    for number, (mark, old, new) in enumerate(told, first):
        if mark == "@":
            yield Row(("hunk", number), 1, "@", safe(old or ""), inside=above)
        else:
            left, right = (line if line is None else safe(line, VALUE) for line in (old, new))
            yield Row(("line", number), 1, mark, "", left, right, above)


def shown(value: JsonValue) -> str:
    """Return a value as JSON on one line, cut after `VALUE` characters however large it is."""
    if isinstance(value, str):
        return safe(json.dumps(value[: VALUE + 1], ensure_ascii=False), VALUE)
    parts: list[str] = []
    size = 0
    try:
        for part in islice(json.JSONEncoder(ensure_ascii=False).iterencode(value), VALUE):
            parts.append(part[: VALUE + 1])
            size += len(parts[-1])
            if size > VALUE:
                break
    except RecursionError:
        parts.append("…")
    return safe("".join(parts), VALUE)
