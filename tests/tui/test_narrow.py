"""What is written for a change brings any terminal from the old screen to the new one, in few bytes."""

from __future__ import annotations

import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from tui.narrow import Shown

WIDTH, HEIGHT = 34, 9
STYLES = [
    None, Style.null(), Style.parse("default on default"), Style(bold=True), Style(reverse=True),
    Style.parse("underline"), Style.parse("red"), Style.parse("bold color(49) on color(39)"),
]  # fmt: skip
WORDS = ["", " ", "   ", "queued", "東京", "Łódź", "x", "a longer text than others", "e\u0301", "9"]
CONSOLE = Console(color_system="256", force_terminal=True)


def strip(parts: list[tuple[str, Style | None]]) -> Strip:
    return Strip([Segment(text, style) for text, style in parts]).adjust_cell_length(WIDTH, Style.null())


lines = st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(STYLES)), max_size=6).map(strip)
screens = st.lists(lines, min_size=HEIGHT, max_size=HEIGHT)


class Seen:
    """A terminal, written to by differences."""

    def __init__(self) -> None:
        self.shown = Shown()
        self.screen = pyte.Screen(WIDTH, HEIGHT)
        # Without it, pyte's next line (ESC E) goes down and not to the left, as terminals do.
        self.screen.set_mode(pyte.modes.LNM)
        # As the application has it: what is written in the last column stays there.
        self.screen.reset_mode(pyte.modes.DECAWM)
        self.stream = pyte.Stream(self.screen)

    def show(self, wanted: list[Strip]) -> str:
        written = self.shown.narrow([(0, y, line) for y, line in enumerate(wanted)], CONSOLE)
        self.stream.feed(written)
        return written

    def cells(self) -> list[list[tuple[object, ...]]]:
        return [[_seen(self.screen.buffer[y][x]) for x in range(WIDTH)] for y in range(HEIGHT)]


def _seen(cell: pyte.screens.Char) -> tuple[object, ...]:
    # A space without background looks the same in every colour.
    plain = cell.data == " " and not cell.reverse and not cell.underscore
    return (cell.data, cell.bg) if plain else tuple(cell)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.one_of(screens, st.integers(-HEIGHT, HEIGHT)), min_size=2, max_size=6))
def test_any_change_leads_to_the_screen_that_was_meant(steps: list[list[Strip] | int]) -> None:
    by_differences = Seen()
    wanted = [strip([("first " * (y % 3), None), (f"line {y} of the screen", None)]) for y in range(HEIGHT)]
    by_differences.show(wanted)
    for step in steps:
        # A number turns the lines round, which the terminal may be told to scroll.
        wanted = step if isinstance(step, list) else [wanted[(y + step) % HEIGHT] for y in range(HEIGHT)]
        by_differences.show(wanted)
        whole = Seen()
        whole.show(wanted)
        assert by_differences.cells() == whole.cells()


def rows(first: int, cursor: int) -> list[Strip]:
    bars = [(">" if number == cursor else " ") for number in range(first, first + HEIGHT - 2)]
    body = [
        strip([(f"{bar}  {number:5} ", None), (chr(97 + number % 26) * (9 + number % 11), Style(bold=True))])
        for bar, number in zip(bars, range(first, first + HEIGHT - 2), strict=True)
    ]
    return [strip([("titles that stay", None)]), *body, strip([("the footer", None)])]


@pytest.mark.parametrize(("first", "cursor"), [(101, 107), (99, 99), (103, 109)])
def test_what_only_moved_is_scrolled_by_the_terminal(first: int, cursor: int) -> None:
    seen = Seen()
    seen.show(rows(100, 106 if first > 100 else 100))
    written = seen.show(rows(first, cursor))
    assert len(written) <= 60 + abs(first - 100) * (WIDTH + 8)
    assert seen.screen.display[0].startswith("titles that stay")
    assert seen.screen.display[-1].startswith("the footer")
    assert seen.screen.margins is None


def test_nothing_is_written_where_nothing_differs() -> None:
    seen = Seen()
    seen.show(rows(100, 103))
    assert seen.show(rows(100, 103)) == ""
    seen.shown.forget()
    assert "titles that stay" in seen.show(rows(100, 103))


def test_what_is_left_empty_is_erased_and_not_written_over() -> None:
    seen = Seen()
    seen.show(rows(100, 103))
    assert len(seen.show([strip([("x", None)])] * HEIGHT)) <= HEIGHT * 11
