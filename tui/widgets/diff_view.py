"""A comparison to walk through: folded and opened, from difference to difference."""

from __future__ import annotations

from collections.abc import Hashable

from rich.text import Text
from textual import events

from tui.actions import bindings
from tui.diff_lines import WIDE, DiffLines, Row, row_text
from tui.row_blocks import Rows
from tui.widgets.lines import BAR, LineList


class DiffView(LineList, inherit_bindings=False):
    """The lines of a comparison: side by side where it is wide enough, else one below the other."""

    WHERE = ("tree", "lines")
    BINDINGS = [*bindings("tree", "lines")]

    def __init__(self) -> None:
        super().__init__()
        self._folding: DiffLines | None = None
        self._rows: Rows[Row] = Rows((), lambda key: key)
        self._laid_for = 0

    def show(self, folding: DiffLines) -> None:
        """Show a comparison; what is open and where the cursor is stay as they are where it is the same two runs'."""
        before, self._folding = self._folding, folding
        if before is not None and _runs(before) == _runs(folding):
            folding.opened = before.opened
        self._lay_out()

    def count(self) -> int:
        return len(self._rows)

    def key(self, index: int) -> Hashable:
        return self._rows[index].key

    def find(self, key: Hashable) -> int | None:
        return self._rows.find(key)

    def line(self, index: int) -> Text:
        row = self._rows[index]
        opened = self._folding.opened if self._folding else set()
        return row_text(row, self._room, self._wide, folded=row.key not in opened)

    @property
    def _wide(self) -> bool:
        return self.size.width >= WIDE

    @property
    def _room(self) -> int:
        return max(self.size.width - BAR, 20)

    def on_resize(self, event: events.Resize) -> None:
        """Lay the lines out anew where the width is another."""
        super().on_resize(event)
        if event.size.width != self._laid_for:
            self._lay_out()

    def _lay_out(self) -> None:
        if self._folding is not None and self.size.width:
            self._laid_for = self.size.width
            self._rows = self._folding.rows(self._room, self._wide)
            self.lines_changed()

    # Folding

    def action_open(self) -> None:
        """Open or fold a step; show a value whole, or on its line again."""
        if self._folding is None or not self._rows:
            return
        row = self._rows[self.cursor]
        if row.key in self._folding.opened:
            self.action_collapse()
        else:
            self.action_expand()

    def action_expand(self) -> None:
        """Open a step, or show a value whole."""
        row = self._rows[self.cursor] if self._rows else None
        if self._folding is not None and row is not None and row.opens:
            self._folding.opened.add(row.key)
            self._lay_out()

    def action_collapse(self) -> None:
        """Fold; on what is folded, go to what it is in."""
        row = self._rows[self.cursor] if self._rows else None
        if self._folding is None or row is None:
            return
        if row.key in self._folding.opened:
            self._folding.opened.discard(row.key)
            self._lay_out()
        elif row.inside is not None:
            self.move_to(self.find(row.inside) or 0)

    def action_expand_all(self) -> None:
        """Open all."""
        if self._folding is not None:
            self._folding.open_all()
            self._lay_out()

    def action_collapse_all(self) -> None:
        """Fold all."""
        if self._folding is not None:
            row = self._rows[self.cursor] if self._rows else None
            self._folding.close_all()
            self._key = row and (row.inside or row.key)
            self._lay_out()

    # Differences

    def go(self, step: int) -> bool:
        """Go to the next difference, or with -1 to the one before; False where there is none further."""
        found = self._rows.next(self.cursor, step, lambda row: row.difference)
        if found is not None:
            self.move_to(found)
        return found is not None


def _runs(folding: DiffLines) -> tuple[str, str]:
    return folding.diff.old.name, folding.diff.new.name
