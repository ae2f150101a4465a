"""What differs between two texts, to walk through from one change to the next."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from rich.text import Text
from textual import events

from tui.diff_lines import WIDE, Row, row_text, text_rows
from tui.row_blocks import Rows
from tui.widgets.lines import BAR, LineList


class TextDiff(LineList):
    """The lines of a unified diff: side by side where it is wide enough, else one below the other."""

    def __init__(self) -> None:
        super().__init__()
        self._unified: Sequence[str] | None = None
        self._rows: Rows[Row] = Rows((), lambda key: key)

    def show(self, unified: Sequence[str]) -> None:
        """Show the lines of a unified diff; none where the two are the same."""
        self._unified = unified
        self._lay_out()

    def count(self) -> int:
        return len(self._rows)

    def key(self, index: int) -> Hashable:
        return self._rows[index].key

    def find(self, key: Hashable) -> int | None:
        return self._rows.find(key)

    def line(self, index: int) -> Text:
        return row_text(self._rows[index], max(self.size.width - BAR, 20), self._wide, folded=False)

    @property
    def _wide(self) -> bool:
        return self.size.width >= WIDE

    def on_resize(self, event: events.Resize) -> None:
        """Lay the lines out anew: the width says how."""
        super().on_resize(event)
        self._lay_out()

    def _lay_out(self) -> None:
        if self._unified is not None and self.size.width:
            self._rows = text_rows(self._unified, self._wide)
            self.lines_changed()

    def go(self, step: int) -> bool:
        """Go to the next change, or with -1 to the one before; False where there is none further."""
        ahead = range(self.cursor + 1, len(self._rows)) if step > 0 else range(self.cursor - 1, -1, -1)
        found = next((index for index in ahead if self._begins(index)), None)
        if found is not None:
            self.move_to(found)
        return found is not None

    def _begins(self, index: int) -> bool:
        """Return whether a run of changed lines begins here."""
        return self._changed(index) and not (index and self._changed(index - 1))

    def _changed(self, index: int) -> bool:
        return self._rows[index].mark in ("+", "-", "~")
