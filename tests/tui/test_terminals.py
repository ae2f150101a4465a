"""The same UI on terminals that differ: what is written to each, and what is shown there."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from terminal import Terminal

HERE = Path(__file__).parent
PROGRAM = f"""
import sys
sys.path[:0] = [{str(HERE.parents[1])!r}, {str(HERE)!r}]
from piloted import PilotedApp
from stub_automation import StubAutomation
PilotedApp(StubAutomation()).run(mouse=False)
"""
NEWER = (b"\x1b[>25u", b"\x1b[<u", b"?2026", b"?2048", b"?2004")
NEVER = (b"?1004", b"\x1b]22;", b"?1000", b"?1003")


def on(**environment: str) -> Terminal:
    return Terminal([sys.executable, "-c", PROGRAM], environment=environment)


def left(terminal: Terminal) -> bytes:
    """Go to the recipes and the palette, quit, and return all that was written."""
    terminal.wait_for(lambda screen: "no engine" in screen)
    terminal.send("2")
    terminal.wait_for("started")
    terminal.send(":")
    terminal.wait_for("start or stop the recipe")
    terminal.wait_until_quiet()
    terminal.send("\x1b")
    terminal.wait_until_quiet(0.5)
    terminal.send("\x11")
    terminal.process.wait(15)
    terminal.wait_until_quiet()
    return bytes(terminal.received)


def codes(written: bytes) -> set[bytes]:
    """Return the codes of all styles that were set."""
    return {code for together in re.findall(rb"\x1b\[([\d;]*)m", written) for code in together.split(b";")}


@pytest.mark.parametrize("term", ["linux", "vt100", "screen", "screen-256color"])
def test_a_terminal_is_told_nothing_that_it_may_not_know(term: str) -> None:
    with on(TERM=term) as terminal:
        written = left(terminal)
    assert [switch for switch in (*NEWER, *NEVER) if switch in written] == []
    if term in ("linux", "vt100"):
        # It has no second screen to go back from: the first one is left clean.
        assert written.rstrip().endswith(b"\x1b[m\x1b[2J\x1b[H\x1b[?25h")
        assert not {b"38", b"48"} & codes(written)


def test_focus_and_pointer_are_reported_by_none() -> None:
    with on(TERM="xterm-256color") as terminal:
        written = left(terminal)
    assert [switch for switch in NEVER if switch in written] == []
    assert b"?2004h" in written


@pytest.mark.parametrize(
    "environment", [{"PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii:backslashreplace"}, {"TERM": "linux"}]
)
def test_signs_and_lines_are_ascii_where_there_are_no_others(environment: dict[str, str]) -> None:
    with on(**environment) as terminal:
        written = left(terminal)
    assert written.isascii()
    assert b"\\u" not in written


def test_for_a_screen_reader_the_cursor_is_on_the_row_and_errors_stay() -> None:
    with on(JOBDECK_ACCESSIBLE="1") as terminal:
        terminal.wait_for("no engine")
        terminal.send("2")
        terminal.wait_for("tidy")
        terminal.send("j")

        def on_the_row(screen: str) -> bool:
            return screen.splitlines()[terminal.screen.cursor.y].startswith("> tidy") and terminal.screen.cursor.x == 0

        terminal.wait_for(on_the_row)
        assert not terminal.screen.cursor.hidden
        terminal.send("a")
        terminal.wait_for(lambda screen: "Cancel" in screen.splitlines()[terminal.screen.cursor.y])
        terminal.wait_until_quiet(0.6)
        terminal.send("\x1b")
        terminal.wait_for(on_the_row)
        assert bytes(terminal.received).isascii()


@pytest.mark.parametrize("colours", [{"COLORFGBG": "0;15"}, {"COLORFGBG": "15;0"}])
def test_the_ground_is_the_terminals_own_light_or_dark(colours: dict[str, str]) -> None:
    with on(**colours) as terminal:
        written = left(terminal)
    # No background at all, and no foreground that is white or black: reverse shows the cursor on any ground.
    grounds = {str(code).encode() for code in (30, 37, 90, 97, *range(40, 50), *range(100, 108))}
    assert not codes(written) & grounds
    assert b"7" in codes(written)


def test_a_storm_of_sizes_ends_with_a_whole_screen() -> None:
    with on() as terminal:
        terminal.wait_for("no engine")
        terminal.send("2")
        before = terminal.wait_for(lambda screen: "started" in screen and "counting" not in screen)
        for number in range(40):
            terminal.resize(20 + number * 3, 5 + number)
        terminal.resize(80, 24)
        terminal.wait_for(lambda screen: "no engine — a starts one" in screen and "started" in screen)
        terminal.wait_until_quiet(0.6)
        assert terminal.text() == before
