"""The terminal's shell: keys, help, palette, engine, recipes, and how it leaves the terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from piloted import Seen, in_app, running
from rich.text import Text
from stub_automation import StubAutomation
from terminal import Terminal
from textual import events
from textual.command import CommandPalette
from textual.widgets import Input

from core.errors import UsageError
from core.reruns import Plan, Repeat, RevisionChange, Selection
from data.job_records import Refusal
from data.states import Status
from tui import app as app_module
from tui import start
from tui.actions import ACTIONS, actions, bindings
from tui.app import JobdeckApp
from tui.dialogs import plan_panel
from tui.keymap import CHANGING
from tui.screens.activity import ActivityScreen
from tui.screens.base import DeckScreen
from tui.screens.batch import BatchScreen
from tui.screens.columns import ColumnsScreen
from tui.screens.detail import DetailScreen
from tui.screens.diff import DiffScreen
from tui.screens.errors import ErrorsScreen
from tui.screens.help import HelpScreen
from tui.screens.history import HistoryScreen
from tui.screens.recipes import RecipesScreen
from tui.screens.revision import RecipeDiffScreen, RevisionScreen
from tui.screens.views import ViewsScreen
from tui.widgets.diff_view import DiffView
from tui.widgets.json_view import JsonView
from tui.widgets.step_tree import StepTree

SENT_BY_BROKEN_ARROW_KEYS = {"escape", "[", "O", *"ABCDFHPQRS", "~"}
TAKEN_BY_MULTIPLEXERS_AND_TERMINALS = {f"ctrl+{letter}" for letter in "abhijmsz["}


@pytest.fixture
def automation() -> StubAutomation:
    return StubAutomation()


# The table of actions


@pytest.mark.parametrize(
    ("place", "owner"),
    [
        ("global", JobdeckApp), ("screen", DeckScreen), ("detail", DetailScreen), ("history", HistoryScreen),
        ("diff", DiffScreen), ("tree", DiffView), ("recipes", RecipesScreen), ("revision", RevisionScreen),
        ("recipe_diff", RecipeDiffScreen), ("errors", ErrorsScreen),
        ("activity", ActivityScreen), ("batch", BatchScreen), ("steps", StepTree), ("tree", StepTree),
        ("json", JsonView), ("lines", JsonView), ("columns", ColumnsScreen), ("views", ViewsScreen),
    ],
)  # fmt: skip
def test_every_action_has_its_method(place: str, owner: type) -> None:
    assert [action.id for action in actions(place) if not hasattr(owner, f"action_{action.id}")] == []


def test_no_state_changes_on_a_key_that_a_parted_arrow_key_may_send() -> None:
    keys = {key for action in ACTIONS if action.id in CHANGING for key in action.keys}
    assert not keys & SENT_BY_BROKEN_ARROW_KEYS


def test_every_action_has_a_key_that_terminals_and_multiplexers_leave_alone() -> None:
    keys = {action.id: set(action.keys) for action in ACTIONS if action.keys}
    assert [id for id, its in keys.items() if its <= TAKEN_BY_MULTIPLEXERS_AND_TERMINALS] == []


@pytest.mark.parametrize("places", [("report", "screen", "global"), ("detail", "steps", "tree", "lines", "screen"),
                                    ("detail", "json", "lines", "screen"), ("history", "lines", "screen"),
                                    ("diff", "tree", "lines", "screen"), ("errors", "lines", "screen", "global"),
                                    ("batch", "lines", "screen"), ("columns", "lines", "screen", "global"),
                                    ("views", "lines", "screen", "global")])  # fmt: skip
def test_no_key_means_two_things_in_one_place(places: tuple[str, ...]) -> None:
    keys = [key for action in actions(*places) for key in action.keys]
    twice = {key for key in keys if keys.count(key) > 1}
    # In the data, what has the focus is a value: it is what is copied.
    assert twice == ({"y"} if "json" in places else set())


def test_every_binding_has_the_id_by_which_a_keymap_names_it() -> None:
    assert all(binding.id for place in ("report", "detail", "global") for binding in bindings(place))


# The shell


@in_app
async def test_the_engine_starts_and_stops_behind_a_question(automation: StubAutomation) -> None:
    async with running(automation) as seen:
        await seen.sees("no engine — a starts one")
        await seen.press("a")
        await seen.sees("Start the engine?")
        await seen.press("enter")
        await seen.sees_not("Start the engine?")
        assert not automation.state.running
        await seen.press("a")
        await seen.sees("Start the engine?")
        await seen.press("c")
        await seen.sees("engine running · pid 4711 · 127.0.0.1:8321")
        await seen.press("a")
        await seen.sees("Stop the engine?", "finishes the jobs that run")
        await seen.press("c")
        await seen.sees("no engine — a starts one")


@in_app
async def test_an_error_goes_with_the_next_key_once_it_was_there_to_be_read(
    automation: StubAutomation, monkeypatch: pytest.MonkeyPatch
) -> None:
    automation.add_version(Status.FAILED)
    async with running(automation) as seen:
        seen.app.open_job(812, 1)
        await seen.sees("not the latest")
        await seen.press("r", "j")
        await seen.sees("! version 1 of 2 is not the latest")
        monkeypatch.setattr(app_module, "READ", 0.0)
        await seen.press("k")
        await seen.sees_not("! version")
        await seen.press("r")
        await seen.sees("! version 1 of 2 is not the latest")
        await seen.press("escape")
        await seen.sees_not("! version")


@in_app
async def test_keys_typed_before_the_question_was_painted_do_not_answer_it(automation: StubAutomation) -> None:
    async with running(automation) as seen:
        await seen.sees("no engine")
        ahead = [events.Key("a", "a"), events.Key("c", "c"), events.Key("enter", "\r")]
        for key in ahead:
            seen.app.post_message(key)
        await seen.sees("Start the engine?")
        late = events.Key("c", "c")
        late.time = ahead[-1].time
        seen.app.post_message(late)
        await seen.press("x")
        await seen.sees("Start the engine?")
        assert not automation.state.running


@in_app
async def test_q_at_the_root_quits_and_escape_does_not(automation: StubAutomation) -> None:
    async with running(automation) as seen:
        await seen.sees("no engine")
        await seen.press("escape", "escape")
        assert seen.app.is_running
        await seen.press("2", "q")
        await seen.until(lambda: seen.app.current_mode == "jobs")
        assert seen.app.is_running
        await seen.press("q")
        await seen.until(lambda: not seen.app.is_running)


@in_app
async def test_ctrl_c_twice_quits(automation: StubAutomation) -> None:
    async with running(automation) as seen:
        await seen.press("ctrl+c")
        await seen.sees("Ctrl+C again quits")
        await seen.press("ctrl+c")
        await seen.until(lambda: not seen.app.is_running)


@in_app
async def test_help_tells_the_keys_of_what_has_the_focus_and_filters(automation: StubAutomation) -> None:
    async with running(automation, size=(120, 60)) as seen:
        seen.app.open_job(812)
        await seen.sees("tell log.write")
        await seen.press("?")
        await seen.sees("open the latest version — off: version 1 is the latest", "fold, or go to what it is in")
        await seen.press(*"versions")
        await seen.sees_not("fold, or go to")
        await seen.sees("versions of the job")
        await seen.press("escape")
        await seen.until(lambda: not isinstance(seen.app.screen, HelpScreen))


@in_app
async def test_help_breaks_a_reason_that_a_narrow_screen_would_cut_off(automation: StubAutomation) -> None:
    async with running(automation, size=(60, 60)) as seen:
        seen.app.open_job(812)
        await seen.sees("tell log.write")
        await seen.press("?")
        await seen.sees("open the latest version — off: version 1", "    is the latest")


@pytest.mark.parametrize("query", ["versions of", "history"])
@in_app
async def test_the_palette_runs_an_action_found_by_what_it_does_or_by_its_name(
    automation: StubAutomation, query: str
) -> None:
    async with running(automation) as seen:
        seen.app.open_job(812)
        await seen.sees("tell log.write")
        await seen.press("ctrl+p", *query, "enter")
        await seen.sees("1 version", "jobs > 812 > versions")


@in_app
async def test_the_palettes_cursor_does_not_blink(automation: StubAutomation) -> None:
    async with running(automation) as seen:
        await seen.press("ctrl+p")
        await seen.until(lambda: isinstance(seen.app.screen, CommandPalette))
        await seen.until(lambda: not seen.app.screen.query_one(Input).cursor_blink)


@in_app
async def test_the_palette_shows_all_that_was_told(automation: StubAutomation) -> None:
    async with running(automation) as seen:
        await seen.press("ctrl+c")
        await seen.sees("Ctrl+C again quits")
        seen.app.say("a [b]second[/b] one \x1b[2J", error=True)
        await seen.press(":", *"messages", "enter")
        await seen.sees("! a [b]second[/b] one ^[[2J", "Ctrl+C again quits")
        assert re.search(r"^> \d\d:\d\d:\d\d ! a \[b", seen.text(), re.MULTILINE)
        seen.app.say("a third one")
        await seen.until(lambda: re.search(r"^  \d\d:\d\d:\d\d a third one", seen.text(), re.MULTILINE))
        await seen.press("escape")
        await seen.until(lambda: seen.app.screen.place() == "report")


@in_app
async def test_recipes_are_listed_started_and_stopped(automation: StubAutomation) -> None:
    async with running(automation) as seen:
        await seen.press("2")
        await seen.sees("sync", "started", "r3", "stopped")
        await seen.press("a")
        await seen.sees("Stop sync: it then takes no new events")
        await seen.press("c")
        await seen.sees("sync is stopped")
        assert [state.started for state in automation.recipe_states] == [False, False]
        automation.broken()
        await seen.sees('broken at 12:5 — r3 keeps running: unknown key "actoin"')
        await seen.press("1")
        await seen.sees("sync.yaml is broken at 12:5")


@in_app
async def test_text_that_is_typed_wins_over_keys(automation: StubAutomation) -> None:
    async with running(automation) as seen:
        seen.app.open_job(812)
        await seen.sees("tell log.write")
        await seen.press("tab", "/", *"rqa12?")
        await seen.sees("rqa12?")
        assert isinstance(seen.app.screen, DetailScreen)
        assert seen.app.current_mode == "jobs"


@in_app
async def test_nothing_is_painted_while_nothing_changes(automation: StubAutomation) -> None:
    async with running(automation) as seen:
        seen.app.open_job(812)
        await seen.sees("tell log.write", "no engine")
        before = await _settled(seen)
        looked = automation.looks
        await seen.until(lambda: automation.looks >= looked + 6)
        assert seen.app.painted == before


async def _settled(seen: Seen) -> int:
    looked = automation_looks(seen)
    await seen.until(lambda: automation_looks(seen) >= looked + 2)
    return seen.app.painted


def automation_looks(seen: Seen) -> int:
    looks = seen.app.automation.looks  # type: ignore[attr-defined]
    assert isinstance(looks, int)
    return looks


# The plan


def test_a_plan_tells_who_runs_who_not_and_why_and_what_happens_again() -> None:
    refused = [Refusal(number, "trigger_expired", "removed by retention") for number in range(1, 8)]
    plan = Plan(
        Selection(), tuple(range(10, 1010)), (*refused, Refusal(9, "running", "it runs")),
        (RevisionChange("sync", 3, 7, 990), RevisionChange("sync", 7, 7, 9), RevisionChange("sync", None, 7, 1)),
        (Repeat("sync", "3.then.1", "zendesk.update_organization", 7), Repeat("[b]", "1", "http.request", 1)), "d",
    )  # fmt: skip
    lines = [line.plain if isinstance(line, Text) else "" for line in plan_panel(plan)]
    assert lines == [
        "Rerun: 1,000 run, 8 not",
        "  not 7 (trigger_expired): 1, 2, 3, 4, 5, … — removed by retention",
        "  not 1 (running): 9 — it runs",
        "  sync: ran r3, will run r7 (990 jobs)",
        "  sync: r7, as it ran (9 jobs)",
        "  sync: ran no revision, will run r7 (1 job)",
        "  Completed before, and would happen again:",
        "    sync: 3.then.1 zendesk.update_organization — 7 jobs",
        "    [b]: 1 http.request — 1 job",
    ]


# The terminal


def test_without_a_terminal_it_points_to_the_command_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="jobdeck jobs"):
        start.run(tmp_path)


RUN = """
import sys
sys.path[:0] = [{root!r}, {helpers!r}]
from piloted import PilotedApp
from stub_automation import StubAutomation
app = PilotedApp(StubAutomation())
app.run(mouse=False)
print("left", app.return_code, flush=True)
"""


class Tty:
    """A process on a terminal of its own."""

    def __init__(self, **environment: str) -> None:
        here = Path(__file__).parent
        program = RUN.format(root=str(here.parent.parent), helpers=str(here))
        self.main, self.side = pty.openpty()
        termios.tcsetwinsize(self.side, (24, 80))
        self.before = termios.tcgetattr(self.side)
        self.received = b""
        self.process = subprocess.Popen(
            [sys.executable, "-c", program], stdin=self.side, stdout=self.side, stderr=self.side,
            env={**os.environ, "TERM": "xterm-256color", "PYTHONUTF8": "1", **environment}, start_new_session=True,
        )  # fmt: skip

    def reads(self, wanted: bytes) -> None:
        """Read until `wanted` was written."""
        deadline = time.monotonic() + 20
        while wanted not in self.received:
            assert time.monotonic() < deadline, self.received[-2000:]
            if select.select([self.main], [], [], 0.1)[0]:
                self.received += os.read(self.main, 65536)

    def hang_up(self) -> None:
        """Be gone; a process that this is not the controlling terminal of is sent no signal."""
        for end in (self.main, self.side):
            os.close(end)
        self.main = self.side = -1

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.main >= 0:
            self.hang_up()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_the_terminal_as_it_was(number: signal.Signals) -> None:
    tty = Tty()
    try:
        tty.reads(b"no engine")
        assert termios.tcgetattr(tty.side) != tty.before
        tty.process.send_signal(number)
        tty.reads(f"left {128 + number}".encode())
        tty.process.wait(10)
        assert termios.tcgetattr(tty.side) == tty.before
        assert b"\x1b[?1049l" in tty.received
    finally:
        tty.close()


def test_after_the_editor_the_screen_is_whole_again() -> None:
    here = Path(__file__).parent
    program = RUN.format(root=str(here.parent.parent), helpers=str(here))
    with Terminal([sys.executable, "-c", program], environment={"EDITOR": r"printf \033[2Jscribbled"}) as terminal:
        terminal.wait_for("no engine")
        terminal.written_by("2")
        before = terminal.wait_for("started")
        terminal.written_by("e")
        after = terminal.wait_for(lambda screen: "sync is unchanged" in screen)
        assert after.replace("sync is unchanged: r3", "").split() == before.split()


def test_it_ends_when_the_terminal_is_gone() -> None:
    tty = Tty()
    try:
        tty.reads(b"no engine")
        tty.hang_up()
        assert tty.process.wait(15) != 0
    finally:
        tty.close()


def test_without_colour_no_colour_is_written() -> None:
    tty = Tty(NO_COLOR="1")
    try:
        tty.reads(b"no engine")
        os.write(tty.main, b"2")
        tty.reads(b"started")
        os.write(tty.main, b"a")
        tty.reads(b"Stop sync")
        colours = {str(code).encode() for code in [*range(30, 39), *range(40, 49), *range(90, 98), *range(100, 108)]}
        for codes in re.findall(rb"\x1b\[([\d;]*)m", tty.received):
            assert not set(codes.split(b";")) & colours, codes
    finally:
        tty.close()


def test_what_the_encoding_lacks_is_written_in_ascii() -> None:
    tty = Tty(PYTHONIOENCODING="ascii:backslashreplace", PYTHONUTF8="0")
    try:
        tty.reads(b"no engine - a starts one")
        assert b"\\u" not in tty.received
    finally:
        tty.close()
