"""What one evaluation may spend; everything that works or makes something pays first."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

from core.expressions.errors import Fault
from core.expressions.undefined import Missing

MAX_OUTPUT = 1 << 20
"""Characters of one rendered text."""
MAX_WORK = 2_000_000
"""What one evaluation may spend: about one for an operation, for an item made and for four characters made."""
MAX_RANGE = 100_000
MAX_BITS = 256
"""The size of a whole number that is computed; those of an event pass as they are."""


class Budget:
    """What one evaluation may still spend."""

    left = MAX_WORK

    def charge(self, units: int) -> None:
        """Pay for work about to be done; a size that is no whole number is refused, it would switch the meter off."""
        units = operator.index(units)
        if units > 0:
            self.left -= units
            if self.left < 0:
                raise Fault("it needs too much work or memory")

    def chars(self, count: int) -> None:
        """Pay for characters about to be made."""
        self.charge(4 + (operator.index(count) >> 2))

    def read(self, value: object) -> None:
        """Pay for going through all of `value`; ends early on values that unfold to more than can be paid."""
        left, waiting = self.left, [value]
        while waiting:
            item = waiting.pop()
            left -= 1
            if isinstance(item, str):
                left -= len(item) >> 6
            elif isinstance(item, dict):
                waiting.extend(item)
                waiting.extend(item.values())
            elif isinstance(item, (list, tuple)):
                waiting.extend(item)
            if left < len(waiting):
                raise Fault("it needs too much work or memory")
        self.left = left

    def keep(self, value: Any) -> Any:
        """Return what a filter or method gave as plain data, paid for: no iterators, tuples or Markup go on."""
        if isinstance(value, str):
            self.chars(len(value))
            return str(value)
        if isinstance(value, int):
            if value.bit_length() > MAX_BITS:
                raise Fault("it gives a number that is too large")
        elif isinstance(value, Iterable) and not isinstance(value, (dict, Missing)):
            kept = []
            for item in value:
                self.charge(2)
                kept.append(list(item) if type(item) is tuple else item)
            return kept
        return value
