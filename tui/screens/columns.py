"""The columns of the report: which are shown, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rich.text import Text
from textual.widget import Widget

from tui.actions import bindings
from tui.arrangement import Arrangement, arranged, state, title
from tui.columns import Column
from tui.screens.base import DeckScreen
from tui.widgets.bars import Bar
from tui.widgets.lines import TextLines

ABOUT = "Space shows or hides, < and > move. Those shown as there is room give way first."


class ColumnsScreen(DeckScreen):
    """A list of columns; every change is handed to the report at once."""

    WHERE = "columns"
    BINDINGS = [*bindings("columns")]

    def __init__(
        self, columns: tuple[Column, ...], chosen: Arrangement, arrange: Callable[[Arrangement], None]
    ) -> None:
        """`columns` are all that there are; `arrange` is told of every choice."""
        super().__init__()
        self._columns = columns
        self._chosen = chosen
        self._arrange = arrange

    def body(self) -> Iterable[Widget]:
        yield Bar(id="told")
        yield TextLines(self.action_column_state)

    def place(self) -> str:
        return "jobs > columns"

    def on_mount(self) -> None:
        self.query_one("#told", Bar).show(Text(ABOUT, style="dim"))
        self.set_focus(self.query_one(TextLines))
        self._show()

    def _show(self) -> None:
        rows = [(column.id, _line(column, self._chosen)) for column in arranged(self._columns, self._chosen)]
        self.query_one(TextLines).show(rows)

    def _choose(self, chosen: Arrangement) -> None:
        self._chosen = chosen
        self._arrange(chosen)
        self._show()

    def action_column_state(self) -> None:
        """Show the column always, never, or as there is room."""
        self._choose(self._chosen.turned(self._under_cursor()))

    def action_column_earlier(self) -> None:
        """Move the column to the left."""
        self._move(-1)

    def action_column_later(self) -> None:
        """Move the column to the right."""
        self._move(1)

    def _move(self, step: int) -> None:
        self._choose(self._chosen.moved(self._under_cursor(), step, arranged(self._columns, self._chosen)))

    def action_columns_reset(self) -> None:
        """Have all columns as they were at first."""
        self._choose(Arrangement())

    def _under_cursor(self) -> str:
        return str(self.query_one(TextLines).current)


def _line(column: Column, chosen: Arrangement) -> Text:
    told = state(column.id, chosen)
    style = {"always": "bold", "hidden": "dim"}.get(told, "")
    sorted_by = "" if column.sort else "  (no order by it)"
    return Text.assemble((f"{title(column):24} {told:18}", style), (sorted_by, "dim"))
