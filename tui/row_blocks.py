"""A sequence of very many rows that are made only where somebody looks: in blocks, of which the sizes are known."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Generic, Protocol, TypeVar, overload

MADE = 64
"""Blocks whose rows are remembered."""


class Keyed(Protocol):
    """A row that has a name."""

    @property
    def key(self) -> Hashable:
        """What names it while others come and go."""


R = TypeVar("R", bound=Keyed)


@dataclass(frozen=True, slots=True)
class Block(Generic[R]):
    """Some rows that follow one another."""

    name: Hashable
    count: int
    make: Callable[[], Iterable[R]]
    """Returns the rows, `count` of them, whenever it is called."""
    quiet: bool = False
    """Whether none of them is one to go to with the keys for the next and the one before."""


class Rows(Sequence[R]):
    """The rows of blocks."""

    def __init__(self, blocks: Iterable[Block[R]], block_of: Callable[[Hashable], Hashable]) -> None:
        """`block_of` returns the name of the block in which the row with a key is, if it is in any."""
        self._blocks = [block for block in blocks if block.count]
        self._starts = [0, *accumulate(block.count for block in self._blocks)]
        self._numbers = {block.name: number for number, block in enumerate(self._blocks)}
        self._block_of = block_of
        self._made = lru_cache(MADE)(self._make)
        self.made = 0
        """How many rows were made so far."""

    def __len__(self) -> int:
        return self._starts[-1]

    @overload
    def __getitem__(self, index: int) -> R: ...

    @overload
    def __getitem__(self, index: slice) -> list[R]: ...

    def __getitem__(self, index: int | slice) -> R | list[R]:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        index += len(self) if index < 0 else 0
        if not 0 <= index < len(self):
            raise IndexError(index)
        number = self._number(index)
        return self._made(number)[index - self._starts[number]]

    def find(self, key: Hashable) -> int | None:
        """Return where the row with a key is."""
        number = self._numbers.get(self._block_of(key))
        if number is None:
            return None
        rows = enumerate(self._made(number), self._starts[number])
        return next((index for index, row in rows if row.key == key), None)

    def next(self, index: int, step: int, wanted: Callable[[R], bool]) -> int | None:
        """Return where the next row that is wanted is, or with -1 the one before; None where there is none further."""
        index += step
        while 0 <= index < len(self):
            number = self._number(index)
            if self._blocks[number].quiet:
                index = self._starts[number + 1] if step > 0 else self._starts[number] - 1
            elif wanted(self[index]):
                return index
            else:
                index += step
        return None

    def _number(self, index: int) -> int:
        return bisect_right(self._starts, index) - 1

    def _make(self, number: int) -> list[R]:
        self.made += self._blocks[number].count
        return list(self._blocks[number].make())
