"""Records as commands list them: for scripts in the contract's fields, for people as a table."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from tui import cli_tables as tables
from tui import output

R = TypeVar("R")


@dataclass(frozen=True)
class Listing(Generic[R]):
    """How records of a kind are listed: for scripts as mappings with these fields, for people in these columns."""

    mapping: Callable[[R], output.Mapped]
    fields: tuple[str, ...]
    columns: tuple[tables.Column[R], ...]

    def write(self, records: Iterable[R], format: str) -> None:
        """Write the records as they come."""
        if format == "table":
            tables.write_table(records, self.columns, sys.stdout)
        else:
            output.WRITERS[format](map(self.mapping, records), self.fields, sys.stdout)


class Counted(Iterable[R]):
    """Passes records on and counts them."""

    def __init__(self, records: Iterable[R]) -> None:
        self._records = records
        self.number = 0

    def __iter__(self) -> Iterator[R]:
        for record in self._records:
            self.number += 1
            yield record
