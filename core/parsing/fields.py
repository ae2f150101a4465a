"""Reads the keys of one mapping by the type that each must have, and notes what is wrong."""

from __future__ import annotations

from collections.abc import Collection

from core.durations import duration
from core.parsing.nodes import Mapping, Node, Problems, Scalar, Sequence, kind
from core.wording import listed, shown, unknown


class Fields:
    """One mapping of the recipe: each method returns a key's value, or its default where it is absent or wrong."""

    def __init__(self, problems: Problems, mapping: Mapping, what: str, keys: Collection[str]) -> None:
        """Take a mapping that may have these keys only; `what` names it in sentences: `an action step`."""
        self._problems = problems
        self._what = what
        self.mapping = mapping
        for name, (key, _) in mapping.entries.items():
            if name not in keys:
                problems.add(key, unknown("key", name, keys, f"in {what}"))

    def get(self, name: str) -> Node | None:
        """Return a key's node, or None."""
        entry = self.mapping.entries.get(name)
        return entry[1] if entry else None

    def need(self, name: str) -> Node | None:
        """Return a key's node; that it is missing is a problem."""
        if name not in self.mapping.entries:
            self._problems.add(self.mapping, f"{name!r} is missing in {self._what}")
        return self.get(name)

    def _wrong(self, name: str, node: Node, must: str) -> None:
        self._problems.add(node, f"{name!r} must be {must}, not {kind(node)}")

    def text(self, name: str) -> str | None:
        """Return a key's text, or None."""
        node = self.get(name)
        if node is None:
            return None
        if isinstance(node, Scalar) and isinstance(node.value, str):
            return node.value
        self._wrong(name, node, "text")
        return None

    def flag(self, name: str, default: bool = False) -> bool:
        """Return whether a key is true."""
        node = self.get(name)
        if node is None:
            return default
        if isinstance(node, Scalar) and isinstance(node.value, bool):
            return node.value
        self._wrong(name, node, "true or false")
        return default

    def whole(self, name: str, low: int, high: int) -> int | None:
        """Return a key's whole number from `low` to `high`, or None."""
        node = self.get(name)
        if node is None:
            return None
        value = node.value if isinstance(node, Scalar) else None
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        self._wrong(name, node, f"a whole number from {low} to {high}")
        return None

    def number(self, name: str, low: float, high: float, default: float) -> float:
        """Return a key's number from `low` to `high`."""
        node = self.get(name)
        if node is None:
            return default
        value = node.value if isinstance(node, Scalar) else None
        if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high:
            return float(value)
        self._wrong(name, node, f"a number from {low:g} to {high:g}")
        return default

    def choice(self, name: str, allowed: Collection[str]) -> str | None:
        """Return a key's text, one of `allowed`, or None."""
        text = self.text(name)
        if text is None or text in allowed:
            return text
        node = self.get(name)
        assert node is not None
        self._problems.add(node, f"{name!r} must be one of {listed(allowed)}, not {shown(text)}")
        return None

    def seconds(self, name: str, low: float) -> float | None:
        """Return a key's duration in seconds, at least `low`, or None."""
        node = self.get(name)
        return None if node is None else self.duration_of(node, name, low)

    def duration_of(self, node: Node, name: str, low: float) -> float | None:
        """Return a node's duration in seconds, at least `low`, or None where it is none."""
        value = node.value if isinstance(node, Scalar) else kind(node)
        try:
            seconds = duration(value).total_seconds()
        except ValueError as error:
            self._problems.add(node, f"{name!r}: {error}")
            return None
        if seconds < low:
            self._problems.add(node, f"{name!r} must be at least {low:g}s, not {shown(value)}")
            return None
        return seconds

    def mapping_of(self, name: str) -> Mapping | None:
        """Return a key's mapping, or None; nothing after the colon is an empty mapping."""
        node = self.get(name)
        match node:
            case None | Mapping():
                return node
            case Scalar(empty=True):
                return Mapping(node.at, {})
        self._wrong(name, node, "a mapping")
        return None

    def list_of(self, name: str) -> tuple[Node, ...]:
        """Return the items of a key's list, which may not be empty; none where it is absent or wrong."""
        node = self.get(name)
        if node is None:
            return ()
        if isinstance(node, Sequence) and node.items:
            return node.items
        self._wrong(name, node, "a list with at least one item")
        return ()
