"""The terminal behind a slow line: it keeps up with the keys, and what the line still carries disturbs nobody."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from terminal import Link, Terminal, jobdeck

from core.errors import UsageError
from tests.benchmarks.generate import make
from tui.surroundings import Drawing, drawing

SLOW = Link(bytes_per_second=4_000, latency=0.075)
HERE = Path(__file__).parent
PILOTED = f"""
import sys
sys.path[:0] = [{str(HERE.parents[1])!r}, {str(HERE)!r}]
from piloted import PilotedApp
from stub_automation import StubAutomation
PilotedApp(StubAutomation()).run(mouse=False)
"""

LEFT_OVER = """
import os, select, tty
tty.setcbreak(0)
print("over:", os.read(0, 999) if select.select([0], [], [], 1.0)[0] else b"", flush=True)
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    make(tmp_path / "workspace", 200)
    return tmp_path / "workspace"


def on_link(program: str = PILOTED, link: Link = SLOW, answers: bool = True) -> Terminal:
    return Terminal([sys.executable, "-c", program], environment={"JOBDECK_DRAW": "paced"}, link=link, answers=answers)


def test_held_keys_are_caught_up_with_at_once(workspace: Path) -> None:
    with jobdeck(workspace, link=SLOW, JOBDECK_DRAW="paced") as terminal:
        terminal.wait_for("200 jobs")
        terminal.wait_until_quiet(0.6)
        before, began = len(terminal.received), time.monotonic()
        for number in range(1, 61):
            terminal.send("j")
            time.sleep(max(began + number / 20 - time.monotonic(), 0))
        last = time.monotonic()
        terminal.wait_for("\n>      140 ")
        assert time.monotonic() - last < 1.5
        terminal.wait_until_quiet(0.6)
        assert len(terminal.received) - before < 8_000


def test_nothing_is_written_before_the_terminal_has_painted_what_was() -> None:
    with on_link(link=Link(latency=0.2)) as terminal:
        terminal.wait_for("no engine")
        terminal.wait_until_quiet(0.8)
        before = terminal.received.count(b"\x1b[6n")
        for _ in range(8):
            terminal.send("2")
            terminal.send("1")
        terminal.wait_until_quiet(0.8)
        assert terminal.received.count(b"\x1b[6n") - before <= 3


def test_keys_typed_before_a_question_was_seen_do_not_answer_it() -> None:
    with on_link(link=Link(latency=0.25)) as terminal:
        terminal.wait_for("no engine")
        terminal.send("a")
        terminal.send("c")
        terminal.wait_for("Start the engine?")
        terminal.wait_until_quiet(0.8)
        assert "Start the engine?" in terminal.text()
        terminal.send("c")
        terminal.wait_for("engine running")


def test_a_terminal_that_does_not_answer_is_not_waited_for() -> None:
    with on_link(link=Link(), answers=False) as terminal:
        terminal.wait_for("no engine")
        terminal.send("2")
        terminal.wait_for("started")
        terminal.wait_until_quiet(1.7)
        asked = terminal.received.count(b"\x1b[6n")
        for key, then in (("1", "report"), ("2", "started"), ("1", "report"), ("2", "started")):
            terminal.send(key)
            terminal.wait_for(then, 1.0)
        assert terminal.received.count(b"\x1b[6n") == asked


def test_no_answer_of_the_terminal_is_left_to_the_shell() -> None:
    with on_link(PILOTED + LEFT_OVER, Link(latency=0.3)) as terminal:
        terminal.wait_for("no engine")
        terminal.send("2")
        terminal.send("q")
        terminal.send("q")
        terminal.wait_for(lambda screen: b"over: b''" in terminal.received)


def test_after_a_resize_and_on_demand_everything_is_drawn_again() -> None:
    with on_link(link=Link(latency=0.1)) as terminal:
        terminal.wait_for("no engine")
        terminal.send("2")
        before = terminal.wait_for("started")
        terminal.wait_until_quiet(0.6)
        assert terminal.redrawn() == before
        assert terminal.written_by("\x0c").count(b"started") == 1
        for columns, lines in ((60, 12), (20, 5), (120, 40), (80, 24)):
            terminal.resize(columns, lines)
        terminal.wait_for("no engine — a starts one")
        terminal.wait_until_quiet(0.6)
        assert terminal.text() == before


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, Drawing.DIFF),
        ({"SSH_CONNECTION": "10.0.0.7 50000 10.0.0.1 22"}, Drawing.PACED),
        ({"SSH_CONNECTION": "10.0.0.7 50000 10.0.0.1 22", "TMUX": "/tmp/tmux-0/default,1,0"}, Drawing.DIFF),
        ({"SSH_CONNECTION": "10.0.0.7 50000 10.0.0.1 22", "STY": "1.pts"}, Drawing.DIFF),
        ({"SSH_CONNECTION": "10.0.0.7 50000 10.0.0.1 22", "JOBDECK_DRAW": "plain"}, Drawing.PLAIN),
        ({"JOBDECK_DRAW": "paced"}, Drawing.PACED),
    ],
)
def test_it_is_paced_over_ssh_and_as_it_was_told(environment: dict[str, str], expected: Drawing) -> None:
    assert drawing(environment) is expected


def test_an_unknown_way_to_draw_is_told() -> None:
    with pytest.raises(UsageError, match="JOBDECK_DRAW='fast' is none of plain, diff, paced"):
        drawing({"JOBDECK_DRAW": "fast"})


def test_drawn_plainly_it_shows_the_same() -> None:
    screens = []
    for draw in ("plain", "diff"):
        with Terminal([sys.executable, "-c", PILOTED], environment={"JOBDECK_DRAW": draw}) as terminal:
            terminal.wait_for("no engine")
            terminal.send("2")
            terminal.wait_for(lambda screen: "received, " in screen and "(e edit" not in screen)
            terminal.wait_until_quiet()
            screens.append(terminal.text())
    assert screens[0] == screens[1]
