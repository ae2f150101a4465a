"""A list of lines with a cursor, drawn line by line: the base of step tree, JSON view, versions, recipes and help."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TypeAlias

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.actions import bindings

BAR = 2
"""Cells at the left that show the cursor: narrow, so that a move repaints little."""

_CURSOR = Segment("> ", Style(bold=True, reverse=True))
_CURSOR_UNFOCUSED = Segment("> ", Style(bold=True))
_NO_CURSOR = Segment("  ", Style.null())


class LineList(ScrollView, can_focus=True, inherit_bindings=False):
    """Lines that a subclass gives one at a time, by `line` and `key`; `lines_changed` after they changed.

    The cursor stays on its key while lines come and go; only the lines that differ are painted anew.
    """

    WHERE: tuple[str, ...] = ("lines",)
    BINDINGS = [*bindings("lines")]
    DEFAULT_CSS = "LineList { scrollbar-size: 0 0; height: 1fr; overflow: hidden auto; }"

    class Moved(Message):
        """The cursor is on another line."""

        def __init__(self, lines: LineList) -> None:
            super().__init__()
            self.lines = lines

        @property
        def control(self) -> LineList:
            """The list."""
            return self.lines

    def __init__(self, opened: Callable[[], None] = lambda: None, id: str | None = None) -> None:
        """`opened` is called at once when Enter is pressed on a line, so that the next key goes where that leads."""
        super().__init__(id=id)
        self._opened = opened
        self.cursor = 0
        self._key: Hashable = None
        self._painted: dict[int, Strip] = {}

    # What a subclass gives

    def count(self) -> int:
        """Return how many lines there are."""
        return 0

    def line(self, index: int) -> Text:
        """Return a line, without the cursor's bar."""
        raise NotImplementedError

    def key(self, index: int) -> Hashable:
        """Return what names a line while others come and go."""
        return index

    def find(self, key: Hashable) -> int | None:
        """Return where the line with this key is."""
        return next((index for index in range(self.count()) if self.key(index) == key), None)

    # What it does

    @property
    def cursor_line(self) -> int:
        """The line of the widget that the cursor is on."""
        return self.cursor - self.scroll_offset.y

    def lines_changed(self) -> None:
        """Paint what differs; the cursor goes with its key, or stays at its place if that is gone."""
        found = self.find(self._key) if self._key is not None else None
        self.virtual_size = Size(self.size.width, self.count())
        before = self.cursor
        self.cursor = max(min(found if found is not None else self.cursor, self.count() - 1), 0)
        gone = found is None and self.count() > 0
        self._key = self.key(self.cursor) if self.count() else None
        if self.cursor != before:
            self._show_cursor()
        self._repaint()
        if gone:
            self.post_message(self.Moved(self))

    def move_to(self, index: int) -> None:
        """Put the cursor on a line and scroll to it."""
        index = max(min(index, self.count() - 1), 0)
        if index == self.cursor or not self.count():
            return
        before, self.cursor = self.cursor, index
        self._key = self.key(index)
        self._repaint_bars(before, index)
        self._show_cursor()
        self.post_message(self.Moved(self))

    def render_line(self, y: int) -> Strip:
        strip = self._strip(y)
        self._painted[y] = strip
        return strip

    def _strip(self, y: int) -> Strip:
        index = y + self.scroll_offset.y
        width = self.size.width
        if index >= self.count():
            return Strip.blank(width, Style.null())
        bar = _NO_CURSOR
        if index == self.cursor:
            bar = _CURSOR if self.has_focus else _CURSOR_UNFOCUSED
        line = self.line(index)
        line.truncate(max(width - BAR, 0), overflow="ellipsis")
        rendered = [
            Segment(text, style or Style.null(), None)
            for text, style, control in line.render(self.app.console, end="")
            if not control
        ]
        return Strip([bar, *rendered]).adjust_cell_length(width, Style.null())

    def _repaint(self) -> None:
        for y in range(self.size.height):
            strip = self._strip(y)
            if self._painted.get(y) != strip:
                self.refresh(Region(0, y, self.size.width, 1))

    def _repaint_bars(self, *indexes: int) -> None:
        for index in indexes:
            y = index - self.scroll_offset.y
            if 0 <= y < self.size.height:
                self.refresh(Region(0, y, BAR, 1))

    def _show_cursor(self) -> None:
        top, height = self.scroll_offset.y, max(self.size.height, 1)
        if top <= self.cursor < top + height:
            return
        # By half a page: a scroll paints the whole widget, so it should be rare.
        half = height // 2
        wanted = self.cursor - half if self.cursor >= top + height else self.cursor - height + half + 1
        if abs(self.cursor - top) > 2 * height:
            wanted = self.cursor - half
        last = max(self.count() - height, 0)
        self.scroll_to(y=max(min(wanted, last), 0), animate=False, force=True)

    def on_resize(self, event: events.Resize) -> None:
        """Keep the cursor's line on the screen."""
        self._painted.clear()
        self.virtual_size = Size(event.size.width, self.count())
        self.call_after_refresh(self._show_cursor)

    def on_focus(self) -> None:
        """Show the cursor as the one that keys move."""
        self._repaint_bars(self.cursor)

    def on_blur(self) -> None:
        """Show the cursor as one that keys do not move."""
        self._repaint_bars(self.cursor)

    def action_down(self) -> None:
        """One line down."""
        self.move_to(self.cursor + 1)

    def action_up(self) -> None:
        """One line up."""
        self.move_to(self.cursor - 1)

    def action_page_down(self) -> None:
        """One page down."""
        self.move_to(self.cursor + max(self.size.height - 1, 1))

    def action_page_up(self) -> None:
        """One page up."""
        self.move_to(self.cursor - max(self.size.height - 1, 1))

    def action_half_page_down(self) -> None:
        """Half a page down."""
        self.move_to(self.cursor + max(self.size.height // 2, 1))

    def action_half_page_up(self) -> None:
        """Half a page up."""
        self.move_to(self.cursor - max(self.size.height // 2, 1))

    def action_top(self) -> None:
        """To the first line."""
        self.move_to(0)

    def action_bottom(self) -> None:
        """To the last line."""
        self.move_to(self.count() - 1)

    def action_open(self) -> None:
        """Open the cursor's line."""
        if self.count():
            self._opened()


Line: TypeAlias = Text | Callable[[], Text]
"""A line, or what makes it when it is seen: of thousands of long ones only those are made."""


class TextLines(LineList):
    """A list whose lines are given, each with its key."""

    def __init__(self, opened: Callable[[], None] = lambda: None, id: str | None = None) -> None:
        super().__init__(opened, id)
        self._rows: Sequence[tuple[Hashable, Line]] = ()

    def show(self, rows: Sequence[tuple[Hashable, Line]]) -> None:
        """Show these rows: key and line."""
        self._rows = rows
        self.lines_changed()

    def count(self) -> int:
        return len(self._rows)

    def line(self, index: int) -> Text:
        line = self._rows[index][1]
        return line.copy() if isinstance(line, Text) else line()

    def key(self, index: int) -> Hashable:
        return self._rows[index][0]

    @property
    def current(self) -> Hashable:
        """The key of the cursor's line, None where there is none."""
        return self._rows[self.cursor][0] if self._rows else None
