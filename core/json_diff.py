"""What differs between two JSON values: added, removed, changed and moved, each with its path; bounded work."""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice

from core.secrecy import holds_secret
from data.job_records import JsonValue

BIG = 2_000_000
"""Characters of JSON, of both values together, above which they differ as a whole."""
MANY = BIG // 8
"""Scalars and keys, of both together, above which they do too: while they are written out nobody else has a turn."""
WORK = 10_000_000
"""Characters of JSON that one comparison reads in detail; what is left then differs as a whole."""
CHANGES = 500
"""Differences of two values that are told one by one."""
COUNTED = 10_000
"""Differences of two values that are looked for."""
DEEP = 100
"""Levels that are looked into."""
TELLING = 20
"""Characters from which a text found at another key is taken for the same one, moved."""

_ENCODER = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"), check_circular=False)
_PLAIN_KEY = re.compile(r"[^\W\d]\w*\Z")
_NAMES = ("id", "Id", "ID", "key", "external_id", "name", "Name")
"""What says of two mappings in two lists that they are the same thing, the first that both have."""


class Kind(StrEnum):
    """What became of a value."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    MOVED = "moved"


@dataclass(frozen=True, slots=True)
class Change:
    """One difference."""

    kind: Kind
    path: str
    """Where the value is now, `$.a.b[2]`; of one that was removed, where it was."""
    old: JsonValue = None
    """None, too, of what was added."""
    new: JsonValue = None
    """None, too, of what was removed."""
    was_at: str | None = None
    """Where the value was, if it was elsewhere."""
    whole: str = ""
    """Why the two were compared only as a whole, if they were."""
    secret: bool = False
    """Whether it stands under the name of one; see `core.secrecy`."""


@dataclass(frozen=True, slots=True)
class Differences:
    """What differs between two values; false where nothing does."""

    changes: tuple[Change, ...] = ()
    more: int = 0
    """How many further ones are not told one by one; at least so many where `COUNTED` were found."""

    def __bool__(self) -> bool:
        return bool(self.changes)


NONE = Differences()


class Comparer:
    """Compares values until its work is used up, then only as a whole: it never takes long, whatever it is given."""

    def __init__(self, work: int = WORK) -> None:
        self._left = work

    def differences(self, old: JsonValue, new: JsonValue) -> Differences:
        """Return what differs. 1, 1.0 and true are three values; the order of a mapping's keys is none."""
        if _more_than(BIG, MANY, old, new):
            why = f"more than {BIG:,} characters or {MANY:,} values: compared only as a whole"
            return NONE if _same(old, new) else Differences((Change(Kind.CHANGED, "$", old, new, whole=why),))
        try:
            old_text, new_text = canonical(old), canonical(new)
            if old_text == new_text:
                return NONE
            size = len(old_text) + len(new_text)
            if size > BIG or size > self._left:
                why = f"{size:,} characters: compared only as a whole"
                return Differences((Change(Kind.CHANGED, "$", old, new, whole=why),))
            self._left -= size
            found = _joined(list(islice(self._values(_Place("$", "$", 0), old, new), COUNTED)))
        except RecursionError:
            whole = Change(Kind.CHANGED, "$", old, new, whole="nested too deeply: compared only as a whole")
            return Differences((whole,))
        return Differences(tuple(found[:CHANGES]), max(len(found) - CHANGES, 0))

    def _values(self, place: _Place, old: JsonValue, new: JsonValue) -> Iterator[Change]:
        if type(old) is not type(new):
            yield place.change(Kind.CHANGED, old, new)
        elif not isinstance(old, (dict, list)):
            if old != new:
                yield place.change(Kind.CHANGED, old, new)
        elif self._left <= 0 or place.depth >= DEEP:
            if canonical(old) != canonical(new):
                yield replace(place.change(Kind.CHANGED, old, new), whole="compared only as a whole")
        elif isinstance(old, dict):
            yield from self._mappings(place, old, new)
        else:
            yield from self._lists(place, old, new)

    def _mappings(self, place: _Place, old: Mapping[str, JsonValue], new: Mapping[str, JsonValue]) -> Iterator[Change]:
        for key, value in new.items():
            here = place.within(key, old, new)
            if key in old:
                yield from self._values(here, old[key], value)
            else:
                yield here.change(Kind.ADDED, None, value)
        for key, value in old.items():
            if key not in new:
                yield place.within(key, old, new).change(Kind.REMOVED, value, None)

    def _lists(self, place: _Place, old: Sequence[JsonValue], new: Sequence[JsonValue]) -> Iterator[Change]:
        old_texts, new_texts = [canonical(one) for one in old], [canonical(one) for one in new]
        self._left -= sum(map(len, old_texts)) + sum(map(len, new_texts))
        partner, moved = _paired(old, new, old_texts, new_texts)
        for at, value in enumerate(new):
            was = partner.get(at)
            if was is None:
                yield place.at(f"[{at}]").change(Kind.ADDED, None, value)
                continue
            here = place.at(f"[{at}]", f"[{was}]")
            if at in moved:
                yield here.change(Kind.MOVED, old[was], value)
            if old_texts[was] != new_texts[at]:
                yield from self._values(here, old[was], value)
        for at in sorted(set(range(len(old))) - set(partner.values())):
            yield place.at(f"[{at}]").change(Kind.REMOVED, old[at], None)


@dataclass(frozen=True, slots=True)
class _Place:
    path: str
    was: str
    depth: int
    secret: bool = False

    def at(self, inner: str, was: str | None = None) -> _Place:
        return _Place(self.path + inner, self.was + (was or inner), self.depth + 1, self.secret)

    def within(self, key: str, *mappings: Mapping[str, JsonValue]) -> _Place:
        secret = self.secret or any(holds_secret(mapping, key) for mapping in mappings)
        return replace(self.at(_key(key)), secret=secret)

    def change(self, kind: Kind, old: JsonValue, new: JsonValue) -> Change:
        if kind is Kind.REMOVED:
            return Change(kind, self.was, old, secret=self.secret)
        elsewhere = self.was if kind is not Kind.ADDED and self.was != self.path else None
        return Change(kind, self.path, old, new, elsewhere, secret=self.secret)


def _more_than(characters: int, scalars: int, *values: JsonValue) -> bool:
    """Return whether values have more scalars and keys, or more characters of JSON, those for its form not counted.

    Like `_same` in small pieces of work: writing a large value out at once, no other thread would go on meanwhile.
    """
    stack: list[Iterator[JsonValue]] = [iter(values)]
    while stack:
        for value in stack[-1]:
            characters -= len(value) if isinstance(value, str) else 1
            scalars -= 1
            if characters < 0 or scalars < 0:
                return True
            if isinstance(value, dict):
                stack += [iter(value.values()), iter(value)]
                break
            if isinstance(value, list):
                stack.append(iter(value))
                break
        else:
            stack.pop()
    return False


_NOTHING = object()


def _same(old: JsonValue, new: JsonValue) -> bool:
    """Return whether two values are the same as JSON; the order of a mapping's keys is none."""
    stack: list[Iterator[tuple[JsonValue, JsonValue]]] = [iter([(old, new)])]
    while stack:
        for one, other in stack[-1]:
            if type(one) is not type(other):
                return False
            if isinstance(one, (dict, list)):
                if len(one) != len(other):
                    return False
                stack.append(_both(one, other) if isinstance(one, dict) else zip(one, other, strict=True))
                break
            if one != other:
                return False
        else:
            stack.pop()
    return True


def _both(one: Mapping[str, JsonValue], other: Mapping[str, JsonValue]) -> Iterator[tuple[JsonValue, JsonValue]]:
    # One key after the other: to compare all at once holds the interpreter. A key that is missing differs by its type.
    return ((value, other.get(key, _NOTHING)) for key, value in one.items())


def canonical(value: JsonValue) -> str:
    """Return the one text of a JSON value, whatever the order of its keys."""
    return _ENCODER.encode(value)


def _key(key: str) -> str:
    return f".{key}" if _PLAIN_KEY.match(key) else f"[{json.dumps(key, ensure_ascii=False)}]"


# Lists


def _paired(
    old: Sequence[JsonValue], new: Sequence[JsonValue], old_texts: Sequence[str], new_texts: Sequence[str]
) -> tuple[dict[int, int], set[int]]:
    """Return for places of the new list those of the old one, and which of them are out of their order: moved.

    The same items are paired from both ends, then the rest of the same ones in their order, then those of the same
    name, at last what stands between the same neighbours. In n log n steps, unlike a longest common subsequence.
    """
    partner = _ends(old_texts, new_texts)
    _pair(partner, _free(old_texts, partner.values()), _free(new_texts, partner))
    _pair(partner, _named(old, partner.values()), _named(new, partner))
    order = sorted(partner)
    kept = {order[at] for at in _increasing([partner[at] for at in order])}
    moved = set(partner) - kept
    _between(partner, sorted(kept), old, new)
    return partner, moved


def _ends(old: Sequence[str], new: Sequence[str]) -> dict[int, int]:
    shorter = min(len(old), len(new))
    head = next((at for at in range(shorter) if old[at] != new[at]), shorter)
    tail = next((at for at in range(shorter - head) if old[-1 - at] != new[-1 - at]), shorter - head)
    partner = {at: at for at in range(head)}
    return partner | {len(new) - 1 - at: len(old) - 1 - at for at in range(tail)}


def _free(texts: Sequence[str], taken: Iterable[int]) -> list[tuple[str, int]]:
    used = set(taken)
    return [(text, at) for at, text in enumerate(texts) if at not in used]


def _named(values: Sequence[JsonValue], taken: Iterable[int]) -> list[tuple[str, int]]:
    used = set(taken)
    return [(name, at) for at, one in enumerate(values) if at not in used and (name := _name(one))]


def _name(value: JsonValue) -> str:
    if not isinstance(value, dict):
        return ""
    return next((f"{key} {json.dumps(value[key])}" for key in _NAMES if isinstance(value.get(key), (str, int))), "")


def _pair(partner: dict[int, int], old: Iterable[tuple[str, int]], new: Iterable[tuple[str, int]]) -> None:
    places: dict[str, deque[int]] = defaultdict(deque)
    for text, at in old:
        places[text].append(at)
    for text, at in new:
        if places.get(text):
            partner[at] = places[text].popleft()


def _increasing(numbers: Sequence[int]) -> list[int]:
    """Return the places of a longest increasing subsequence."""
    ends: list[int] = []
    last: list[int] = []
    before: list[int] = []
    for at, number in enumerate(numbers):
        length = bisect_left(ends, number)
        ends[length : length + 1] = [number]
        last[length : length + 1] = [at]
        before.append(last[length - 1] if length else -1)
    found: list[int] = []
    at = last[-1] if last else -1
    while at >= 0:
        found.append(at)
        at = before[at]
    return found[::-1]


def _between(
    partner: dict[int, int], kept: Sequence[int], old: Sequence[JsonValue], new: Sequence[JsonValue]
) -> None:
    """Pair what is left of one shape between the same neighbours: it has changed."""
    anchors = [partner[at] for at in kept]
    gaps: dict[tuple[int, str], deque[int]] = defaultdict(deque)
    for _, at in _free([""] * len(old), partner.values()):
        gaps[bisect_left(anchors, at), _shape(old[at])].append(at)
    for _, at in _free([""] * len(new), partner):
        if waiting := gaps.get((bisect_left(kept, at), _shape(new[at]))):
            partner[at] = waiting.popleft()


def _shape(value: JsonValue) -> str:
    return type(value).__name__ if isinstance(value, (dict, list)) else "scalar"


# Elsewhere


def _joined(changes: Sequence[Change]) -> list[Change]:
    """Return the changes with what was removed at one place and added at another as moved."""
    removed: dict[str, deque[Change]] = defaultdict(deque)
    for change in changes:
        if change.kind is Kind.REMOVED and _telling(change.old):
            removed[canonical(change.old)].append(change)
    gone: set[int] = set()
    found: list[Change] = []
    for change in changes:
        if removed and change.kind is Kind.ADDED and _telling(change.new) and (
            waiting := removed.get(canonical(change.new))
        ):
            was = waiting.popleft()
            gone.add(id(was))
            secret = was.secret or change.secret
            found.append(Change(Kind.MOVED, change.path, was.old, change.new, was.path, secret=secret))
        else:
            found.append(change)
    return [change for change in found if id(change) not in gone]


def _telling(value: JsonValue) -> bool:
    return bool(value) if isinstance(value, (dict, list)) else isinstance(value, str) and len(value) >= TELLING
