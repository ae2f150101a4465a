"""Shows JSON as folding lines with a search; big values cost what is seen of them."""

from __future__ import annotations

import asyncio
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Hashable, Sequence

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message

from data.job_records import JsonValue
from tui.actions import bindings
from tui.copying import place
from tui.json_lines import FOUND, JsonLines, Path, Section, row_text
from tui.units import count
from tui.widgets.bars import Bar
from tui.widgets.lines import LineList
from tui.widgets.typed import TypedLine
from tui.work import begin


class JsonView(LineList, inherit_bindings=False):
    """The lines of a `JsonLines`, with a cursor, folding and marks where a search found something."""

    WHERE = ("json", "lines")
    BINDINGS = [*bindings("json", "lines")]

    class Said(Message):
        """Something to tell in the message line."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class CopyWanted(Message):
        """The value under the cursor is to be copied."""

    def __init__(self, search_wanted: Callable[[], None]) -> None:
        """`search_wanted` is called when the search key is pressed."""
        super().__init__()
        self._search_wanted = search_wanted
        self.json = JsonLines(())
        self._shown: Hashable = None
        self._wanted = ""
        self._found: list[Path] = []

    def show(self, name: Hashable, sections: Sequence[Section]) -> None:
        """Show these sections; under the same name as before, folding, cursor and search stay."""
        if name == self._shown and tuple(sections) == self.json.sections:
            return
        same = name == self._shown
        self.json = JsonLines(sections, self.json if same else None)
        self._shown = name
        if not same:
            self.clear_search()
            self.cursor, self._key = 0, None
            self.scroll_to(y=0, animate=False, force=True)
        self.lines_changed()

    def on_unmount(self) -> None:
        """Let go of the data."""
        self.json = JsonLines(())

    def count(self) -> int:
        return len(self.json.rows)

    def key(self, index: int) -> Path:
        return self.json.rows[index].key

    def find(self, key: Path) -> int | None:  # type: ignore[override]
        return self.json.find(key)

    def line(self, index: int) -> Text:
        row = self.json.rows[index]
        text = row_text(row, self.json.opened(row), max(self.size.width, 20))
        if self._wanted:
            text.highlight_regex(re.compile(re.escape(self._wanted), re.IGNORECASE), "bold reverse")
        return text

    def under_cursor(self) -> tuple[str, JsonValue] | None:
        """Return the place of the value under the cursor, as an expression finds it, and the value; None if empty."""
        if not self.count():
            return None
        row = self.json.rows[self.cursor]
        section, *positions = row.path
        keys: list[str | int] = []
        inside = self.json.sections[section].value
        for position in positions:
            keys.append(list(inside)[position] if isinstance(inside, dict) else position)
            inside = inside[keys[-1]]  # type: ignore[index, call-overload]
        return place(self.json.sections[section].name, keys), inside

    def action_copy_value(self) -> None:
        """Copy the value under the cursor."""
        self.post_message(self.CopyWanted())

    # Folding

    def action_expand(self) -> None:
        """Open the value, or show more of it."""
        if self.count():
            self.json.open(self.cursor)
            self.lines_changed()

    def action_collapse(self) -> None:
        """Fold the value; on one that is folded, go to what it is in."""
        if not self.count():
            return
        if self.json.opened(self.json.rows[self.cursor]):
            self.json.close(self.cursor)
            self.lines_changed()
        else:
            self.move_to(self.json.parent(self.cursor))

    def action_open(self) -> None:
        """Open or fold the value."""
        if self.count() and self.json.opened(self.json.rows[self.cursor]):
            self.action_collapse()
        else:
            self.action_expand()

    def action_expand_all(self) -> None:
        """Open all, up to a number of lines."""
        self.json.open_all()
        self.lines_changed()

    def action_collapse_all(self) -> None:
        """Fold all."""
        self._key = self._path()[:1]
        self.json.close_all()
        self.lines_changed()

    # Searching

    @property
    def searching(self) -> bool:
        """Whether places that a search found are marked."""
        return bool(self._wanted)

    def action_search(self) -> None:
        """Ask for the text to search."""
        self._search_wanted()

    def clear_search(self) -> None:
        """Take the marks of a search away."""
        if self._wanted:
            self._wanted, self._found = "", []
            self.lines_changed()

    async def search(self, text: str) -> None:
        """Mark where `text` is and go to the next place; the reading is done in a thread."""
        json = self.json
        self._wanted = text
        found = await asyncio.to_thread(json.search, text)
        if json is not self.json or self._wanted != text:
            return
        self._found = found
        self.lines_changed()
        if found:
            self._go(bisect_left(found, self._path()) % len(found))
        else:
            self.post_message(self.Said(f"{text!r} is nowhere in the data"))

    def action_search_next(self) -> None:
        """To the next place found, from the last to the first."""
        if self._found:
            self._go(bisect_right(self._found, self._path()) % len(self._found))

    def action_search_previous(self) -> None:
        """To the place found before, from the first to the last."""
        if self._found:
            self._go((bisect_left(self._found, self._path()) - 1) % len(self._found))

    def _path(self) -> Path:
        return self.json.rows[self.cursor].path if self.cursor < self.count() else ()

    def _go(self, number: int) -> None:
        path = self._found[number]
        index = self.json.reveal(path)
        self._key = path
        self.lines_changed()
        self.move_to(index)
        many = count(len(self._found), "place") if len(self._found) < FOUND else f"the first {FOUND:,} places"
        self.post_message(self.Said(f"{self._wanted!r}: {number + 1:,} of {many}"))


class SearchLine(TypedLine):
    """The line where the text to search is typed; Esc leaves it."""

    def __init__(self, entered: Callable[[str], None]) -> None:
        super().__init__("search: keys and values", entered)
        self.display = False

    def on_key(self, event: events.Key) -> None:
        """Leave on Esc, before it means back."""
        if event.key == "escape":
            event.stop()
            self.leave()

    def leave(self) -> None:
        """Hide, and give the focus back to the data."""
        self.display = False
        self.screen.set_focus(self.screen.query_one(JsonView))


class JsonPane(Vertical):
    """A title, the JSON below it, and the search line while one types."""

    def compose(self) -> ComposeResult:
        yield Bar(id="json-title")
        yield JsonView(self.type_search)
        yield SearchLine(self._search)

    def show(self, name: Hashable, title: Text, sections: Sequence[Section]) -> None:
        """Show sections under a title; `name` says whether it is the same thing as before."""
        self.query_one("#json-title", Bar).show(title)
        self.query_one(JsonView).show(name, sections)

    def type_search(self) -> None:
        """Ask for the text to search."""
        search = self.query_one(SearchLine)
        search.display = True
        search.value = ""
        self.screen.set_focus(search)

    def _search(self, text: str) -> None:
        """Search for what was typed; nothing typed takes the marks away."""
        self.query_one(SearchLine).leave()
        view = self.query_one(JsonView)
        if text:
            begin(self, view.search(text), "search", exclusive=True)
        else:
            view.clear_search()
