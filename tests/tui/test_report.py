"""The jobs report as its user meets it: order, cursor, marks, filters, live updates, rerun, bytes written."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import budgets
import pytest
from piloted import DEADLINE, in_app
from reported import FAILED, JOBS, Stub, change, new_jobs, order, running
from rich.cells import cell_len
from terminal import Terminal, jobdeck
from textual import events

from core.reruns import Rerun, Selection
from data.job_records import Job, JobFilter, Sort, Stopped
from data.report import Report
from data.states import Status
from tests.benchmarks.generate import fill
from tui.columns import COLUMNS, ESSENTIAL, fit, place
from tui.filters import command
from tui.marks import Marks, shows
from tui.screens.report import ReportScreen
from tui.widgets.job_table import BAR


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "jobdeck.db"
    fill(path, JOBS)
    return path


@pytest.fixture
def path(filled: Path, tmp_path: Path) -> Path:
    path = tmp_path / "jobdeck.db"
    path.write_bytes(filled.read_bytes())
    return path


@pytest.fixture
def stub(path: Path) -> Iterator[Stub]:
    stub = Stub(path)
    yield stub
    stub.database.close()


# Order and cursor


@in_app
async def test_it_opens_with_the_newest_job_first_and_says_what_it_shows(stub: Stub) -> None:
    async with running(stub) as seen:
        await seen.sees("all — 3,000 jobs · by received, newest first", "✓ succeeded")
        assert seen.ids == order(stub)[: len(seen.ids)]
        assert seen.cursor == (JOBS, 3)
        assert len(seen.ids) == 19


@in_app
async def test_moving_shows_every_row_of_the_order_to_the_end_and_back(stub: Stub) -> None:
    async with running(stub) as seen:
        rows, page = order(stub), 19
        for number in range(1, 40):
            await seen.press("pagedown")
            await seen.cursor_on(rows[number * page])
            assert seen.ids == rows[rows.index(seen.ids[0]) :][: len(seen.ids)]
        await seen.press("G")
        await seen.cursor_on(rows[-1])
        assert seen.ids == rows[-19:]
        await seen.press("k", "k", "ctrl+u")
        await seen.cursor_on(rows[-3 - 9])
        await seen.press("g")
        await seen.cursor_on(rows[0])
        assert seen.ids == rows[:19]


@in_app
async def test_keys_typed_faster_than_rows_arrive_all_count(stub: Stub) -> None:
    async with running(stub) as seen:
        rows = order(stub)
        for _ in range(60):
            seen.table.action_page_down()
        seen.table.action_down()
        await seen.cursor_on(rows[60 * 19 + 1])
        seen.table.action_bottom()
        seen.table.action_up()
        await seen.cursor_on(rows[-2])


@in_app
@pytest.mark.parametrize("column", [column for column in COLUMNS if column.sort], ids=lambda column: column.id)
async def test_every_column_sorts_both_ways_and_the_cursor_stays_on_its_job(stub: Stub, column) -> None:
    async with running(stub, columns=200) as seen:
        await seen.press("j", "j", "j")
        job_id = seen.cursor[0]
        for _ in range(2):
            before = seen.table.sort
            seen.table.sort_by(column.sort)
            await seen.until(lambda before=before: seen.table.sort != before and seen.table.total is not None)
            rows = order(stub, JobFilter(), seen.table.sort)
            await seen.until(lambda rows=rows: seen.ids == rows[rows.index(seen.ids[0]) :][:19], "in order")
            assert seen.cursor[0] == job_id
            seen.table.action_bottom()
            await seen.cursor_on(rows[-1])
            seen.table.action_top()
            await seen.cursor_on(rows[0])
            seen.table.action_page_down()
            await seen.cursor_on(rows[19])
            job_id = rows[19]


class Unplaced(Report):
    """A report that takes its time to find where a job stands in the whole."""

    asked, answer = threading.Event(), threading.Event()

    def position(self, job_id: int) -> int | None:
        self.asked.set()
        assert self.answer.wait(DEADLINE)
        return super().position(job_id)


@in_app
@pytest.mark.parametrize(("keys", "times", "wanted"), [
    ("g", 1, 0), ("gjj", 1, 2), ("G", 1, -1), ("Gk", 1, -2), ("vG", 1, -1), ("\x04", 40, 2352 + 360),
    ("\x15", 40, 2352 - 360), ("\x04", 300, -1), ("\x15", 300, 0),
])  # fmt: skip
async def test_keys_move_as_meant_while_the_place_in_the_order_is_looked_up(
    stub: Stub, monkeypatch: pytest.MonkeyPatch, keys: str, times: int, wanted: int
) -> None:
    monkeypatch.setattr(stub, "report", lambda filter, sort: Unplaced(stub.database, filter, sort))
    monkeypatch.setattr(Unplaced, "asked", threading.Event())
    monkeypatch.setattr(Unplaced, "answer", threading.Event())
    Unplaced.answer.set()
    async with running(stub) as seen:
        rows = order(stub, sort=Sort("title", False))
        middle = rows[2352]
        await seen.press("/", *f"#{middle}", "enter")
        await seen.cursor_on(middle)
        Unplaced.answer.clear()
        Unplaced.asked.clear()
        seen.table.change(JobFilter(), Sort("title", False))
        await seen.until(Unplaced.asked.is_set)
        for key in keys * times:
            seen.app.post_message(events.Key({"\x04": "ctrl+d", "\x15": "ctrl+u"}.get(key, key), key))
        await seen.press("f5")
        # Some of what is wanted lies further off than what is at hand.
        await seen.until(lambda: not seen.table._reading)
        Unplaced.answer.set()
        await seen.cursor_on(rows[wanted])
        if "v" in keys:
            await seen.sees(f"{JOBS - 2352} marked")
        await seen.press("j", "k")
        await seen.cursor_on(rows[wanted] if wanted != -1 else rows[-2])


class Held(Unplaced):
    """A report that gives the rows around one only when it is let."""

    let = threading.Semaphore(0)
    waiting = threading.Event()

    def near(
        self, job: Job, before: int, after: int, *, held: bool = False, stay: bool = True
    ) -> tuple[list[Job], int]:
        self.waiting.set()
        assert self.let.acquire(timeout=DEADLINE)
        return super().near(job, before, after, held=held, stay=stay)


@in_app
async def test_what_is_read_again_on_the_way_to_a_row_far_off_leads_nowhere_else(
    stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stub, "report", lambda filter, sort: Held(stub.database, filter, sort))
    monkeypatch.setattr(Held, "let", threading.Semaphore(1_000))
    monkeypatch.setattr(Unplaced, "asked", threading.Event())
    monkeypatch.setattr(Unplaced, "answer", threading.Event())
    Unplaced.answer.set()
    async with running(stub) as seen:
        rows = order(stub, sort=Sort("title", False))
        await seen.press("/", *f"#{rows[2352]}", "enter")
        await seen.cursor_on(rows[2352])
        Unplaced.answer.clear()
        Unplaced.asked.clear()
        seen.table.change(JobFilter(), Sort("title", False))
        await seen.until(Unplaced.asked.is_set)
        await seen.until(lambda: not seen.table._reading)
        monkeypatch.setattr(Held, "let", threading.Semaphore(0))
        Held.waiting.clear()
        for _ in range(100):
            seen.app.post_message(events.Key("ctrl+u", "\x15"))
        await seen.until(Held.waiting.is_set)
        while seen.table.current is not None:
            Held.waiting.clear()
            Held.let.release()
            await seen.until(Held.waiting.is_set)
        await seen.press("f5")
        Held.let.release(1_000)
        await seen.until(lambda: not seen.table._reading)
        Unplaced.answer.set()
        await seen.cursor_on(rows[2352 - 900])


@in_app
async def test_s_sorts_by_the_column_under_the_cursor_and_I_turns_it_round(stub: Stub) -> None:
    async with running(stub) as seen:
        await seen.press("h", "h", "s")
        await seen.sees("by title, ascending")
        await seen.press("s")
        await seen.sees("by title, descending")
        await seen.press("I")
        await seen.sees("by title, ascending")
        await seen.press(">")
        await seen.sees("by recipe, ascending")
        await seen.press("o")
        await seen.sees("Sort by?")
        await seen.press("b")
        await seen.sees("by status, ascending")


@in_app
async def test_who_quits_waits_for_no_read(stub: Stub) -> None:
    async with running(stub) as seen:
        report = seen.table._report
    with pytest.raises(Stopped):
        report.count()


# Filters


@in_app
async def test_failed_only_and_back(stub: Stub) -> None:
    async with running(stub) as seen:
        failed = order(stub, FAILED)
        await seen.press("!")
        await seen.sees(f"failed — {len(failed):,} of 3,000 jobs")
        assert seen.ids == failed[:19]
        await seen.press("!")
        await seen.sees("all — 3,000 jobs")


@in_app
async def test_text_filters_while_it_is_typed_and_escape_clears_it(stub: Stub) -> None:
    async with running(stub) as seen:
        found = order(stub, JobFilter(search="wonka"))
        await seen.press("/", *"wonka")
        await seen.sees(f'text "wonka" — {len(found):,} of 3,000 jobs')
        assert seen.ids == found[: len(seen.ids)]
        await seen.press("enter", "j")
        await seen.cursor_on(found[1])
        await seen.press("/")
        await seen.press("escape")
        await seen.sees("all — 3,000 jobs")
        await seen.cursor_on(found[1])


@in_app
async def test_a_job_is_found_by_its_number(stub: Stub) -> None:
    async with running(stub) as seen:
        await seen.press("/", *"#812", "enter")
        await seen.sees('text "#812" — 1 of 3,000 jobs')
        assert seen.ids == [812]


@in_app
async def test_the_value_under_the_cursor_filters_and_escape_takes_it_away(stub: Stub) -> None:
    async with running(stub) as seen:
        recipe = seen.table.current.recipe
        await seen.press("h", ",")
        await seen.sees(f"recipe {recipe} — ")
        assert seen.ids == order(stub, JobFilter(recipe=recipe))[:19]
        await seen.press("escape")
        await seen.sees("all — 3,000 jobs")
        await seen.press("t", "f")
        await seen.sees("failed — ")


@in_app
async def test_what_matches_nothing_says_which_key_goes_on(stub: Stub) -> None:
    async with running(stub) as seen:
        await seen.press("/", *"no such text", "enter")
        await seen.sees("No job matches. Esc shows all again.")
        await seen.press("r", "j", "G", "space", "enter", "escape")
        await seen.sees("all — 3,000 jobs")


@in_app
async def test_an_empty_store_says_how_to_begin_and_shows_the_first_job(tmp_path: Path) -> None:
    fill(tmp_path / "jobdeck.db", 0)
    stub = Stub(tmp_path / "jobdeck.db")
    async with running(stub) as seen:
        await seen.sees("No jobs yet. a starts the engine; jobdeck send", "(r rerun)")
        change(tmp_path / "jobdeck.db", *new_jobs(2))
        await seen.cursor_on(2)
        assert seen.ids == [2, 1]
        await seen.sees_not("(r rerun)")
    stub.database.close()


# Live


@in_app
async def test_new_jobs_do_not_move_the_cursors_job_and_are_counted(stub: Stub, path: Path) -> None:
    async with running(stub) as seen:
        await seen.press("j", "j")
        before, shown = seen.cursor, seen.ids
        change(path, *new_jobs(14))
        await seen.sees("14 new", "3,014 jobs")
        assert seen.cursor == before
        assert seen.ids == shown
        await seen.press("g")
        await seen.cursor_on(JOBS + 14)
        await seen.sees_not("14 new")


@in_app
async def test_a_row_changes_in_its_place(stub: Stub, path: Path) -> None:
    async with running(stub) as seen:
        await seen.press("!")
        await seen.sees("failed — ")
        failed = order(stub, FAILED)
        await seen.press("j")
        await seen.cursor_on(failed[1])
        change(path, f"UPDATE versions SET status = 'succeeded' WHERE latest AND job_id = {failed[1]}")
        await seen.cursor_on(failed[2])
        await seen.sees(f"{failed[1]} is not here any more, the cursor is on {failed[2]}")
        assert seen.ids == [failed[0], *failed[2:20]]
        await seen.press("!")
        await seen.sees("all — ")
        change(path, f"UPDATE jobs SET title = 'renamed' WHERE id = {failed[2]}")
        await seen.sees("renamed")
        assert seen.cursor[0] == failed[2]


@in_app
async def test_a_rerun_that_takes_the_job_out_of_the_filter_says_where_the_cursor_is(
    stub: Stub, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rerun = stub.rerun

    def rerun_and_queue(selection: Selection, *how: Any, **more: Any) -> Rerun:
        change(path, f"UPDATE versions SET status = 'queued' WHERE latest AND job_id = {selection.ids[0]}")
        return rerun(selection, *how, **more)

    monkeypatch.setattr(stub, "rerun", rerun_and_queue)
    failed = order(stub, FAILED)
    async with running(stub) as seen:
        await seen.press("!", "j")
        await seen.cursor_on(failed[1])
        await seen.press("r")
        await seen.sees("Rerun: 1 run")
        await seen.press("c")
        await seen.sees(f"{failed[1]} runs again")
        told = f"{failed[1]} is not here any more, the cursor is on {failed[2]}"
        await seen.until(lambda: told in " ".join(seen.text().split()))


@in_app
async def test_paused_nothing_moves_until_it_goes_on(stub: Stub, path: Path) -> None:
    async with running(stub) as seen:
        await seen.press("Z")
        await seen.sees("paused: Z goes on")
        change(path, *new_jobs(3), f"UPDATE jobs SET title = 'renamed' WHERE id = {JOBS}")
        await seen.sees("3 new")
        assert "renamed" not in seen.text()
        await seen.press("Z")
        await seen.sees("renamed")
        await seen.sees_not("paused: ")


@in_app
async def test_positions_stay_true_while_jobs_come_in(stub: Stub, path: Path) -> None:
    async with running(stub) as seen:
        await seen.press("G")
        await seen.cursor_on(1)
        change(path, *new_jobs(300))
        await seen.sees("3,300 jobs")
        rows = order(stub)
        for keys, wanted in ((["pageup"] * 9, -1 - 9 * 19), (["g"], 0), (["G"], -1), (["k"], -2)):
            await seen.press(*keys)
            await seen.cursor_on(rows[wanted])


# Marks and rerun


@in_app
async def test_marks_stay_on_their_jobs_under_another_order_or_filter(stub: Stub) -> None:
    async with running(stub) as seen:
        await seen.press("space", "j", "space")
        await seen.sees("2 marked")
        marked = seen.marked
        assert len(marked) == 2
        assert seen.cursor[0] not in marked
        await seen.press("I")
        await seen.sees("oldest first")
        await seen.press("!")
        await seen.sees("failed — ")
        await seen.sees("2 marked")
        await seen.press("escape")
        await seen.sees("all — ")
        await seen.press("I", "g")
        await seen.cursor_on(JOBS)
        assert seen.marked == marked
        await seen.press("U")
        await seen.sees_not(" marked")


@in_app
async def test_a_range_marks_while_moving_and_shrinks_again(stub: Stub) -> None:
    async with running(stub) as seen:
        await seen.press("v", "j", "j", "j", "k")
        await seen.sees("3 marked", "marking: v ends")
        assert seen.marked == order(stub)[:3]
        await seen.press("v", "j", "j")
        await seen.sees_not("marking: ")
        assert seen.marked == order(stub)[:3]
        await seen.press("g", "v", "G")
        await seen.sees("3,000 marked")
        await seen.press("escape")
        await seen.sees_not("marking: ")


@in_app
async def test_all_matching_is_asked_for_as_a_filter_as_of_now(stub: Stub, path: Path) -> None:
    async with running(stub) as seen:
        failed = order(stub, FAILED)
        await seen.press("!")
        await seen.sees("failed — ")
        await seen.press("*")
        await seen.sees(f"{len(failed):,} marked")
        await seen.press("space")
        await seen.sees(f"{len(failed) - 1:,} marked")
        change(path, *new_jobs(1), f"UPDATE versions SET status = 'failed' WHERE job_id = {JOBS + 1}")
        await seen.sees("1 new")
        await seen.press("g")
        await seen.cursor_on(JOBS + 1)
        assert seen.marked[:1] == [failed[1]]
        await seen.press("r")
        await seen.sees("Rerun: ")
    [selection] = stub.planned
    assert selection.filter == JobFilter(statuses=FAILED.statuses, up_to=JOBS)
    assert selection.excluded == {failed[0]}
    assert selection.ids is None


@in_app
async def test_marks_turned_round(stub: Stub) -> None:
    async with running(stub) as seen:
        await seen.press("space", "~")
        await seen.until(lambda: seen.marked == order(stub)[1:19])


@in_app
async def test_rerun_asks_first_and_says_what_was_asked_for_and_refused(stub: Stub) -> None:
    async with running(stub) as seen:
        await seen.press("j", "r")
        await seen.sees("Rerun: 1 run, 1 not")
        await seen.press("enter")
        await seen.sees_not("Rerun: 1 run")
        assert stub.rerun_with == []
        await seen.press("r")
        await seen.sees("Rerun: 1 run, 1 not")
        await seen.press("c")
        await seen.sees(f"{JOBS - 1} runs again; not 7: 7 is running")
        assert stub.rerun_with == [(Selection(ids=(JOBS - 1,)), "digest")]
        assert seen.cursor[0] == JOBS - 1


@in_app
async def test_marked_jobs_are_rerun_instead_of_the_cursors(stub: Stub) -> None:
    async with running(stub) as seen:
        await seen.press("space", "space", "j", "r")
        await seen.sees("Rerun: 2 run")
        await seen.press("c")
        await seen.sees("2 jobs run again")
        await seen.sees_not(" marked")
        assert stub.rerun_with[0][0] == Selection(ids=(JOBS - 1, JOBS))


def test_marks_know_what_a_filter_shows(stub: Stub) -> None:
    jobs = list(Report(stub.database, JobFilter(), Sort()).iterate())
    for filter in (FAILED, JobFilter(recipe="leads", up_to=900), JobFilter(search="harbor"), JobFilter(search="#7"),
                   JobFilter(since=jobs[1000].received_at, until=jobs[10].received_at)):
        assert [job.id for job in jobs if shows(filter, job)] == order(stub, filter)
    marks = Marks(filter=FAILED).toggled(jobs[:100])
    assert marks.excluded == {job.id for job in jobs[:100] if job.status is Status.FAILED}


# What it looks like


@in_app
async def test_data_is_shown_as_text(stub: Stub, path: Path) -> None:
    async with running(stub, columns=160) as seen:
        change(path, *new_jobs(1, "[red]a[/] \x1b[2J\u202e 宽宽宽"))
        await seen.sees("1 new")
        await seen.press("g")
        await seen.sees("[red]a[/] ^[[2J<RLO")
        assert not set(seen.text()) & set("\x1b\u202e")


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 120, 200])
def test_columns_fit_and_give_way_in_their_order(width: int) -> None:
    placed = place(width, BAR)
    assert placed[0].x == BAR
    assert all(one.x + one.width < other.x + 1 for one, other in pairwise(placed))
    assert placed[-1].x + placed[-1].width <= width
    shown = {one.column.id for one in placed}
    left_out = [column for column in COLUMNS if column.id not in shown]
    assert all(one.column.priority < column.priority for one in placed for column in left_out)
    if width >= 80:
        assert shown >= {column.id for column in COLUMNS if column.priority < ESSENTIAL}


@pytest.mark.parametrize("text", ["", "plain", "宽宽宽宽", "e\u0301a\u0300" * 9, "a\x00b", "x" * 5000])
@pytest.mark.parametrize("width", [1, 2, 7, 20])
def test_a_cell_has_exactly_its_width(text: str, width: int) -> None:
    assert cell_len(fit(text, width)) == width
    assert cell_len(fit(text, width, right=True)) == width


def test_the_command_that_lists_the_same_jobs() -> None:
    filter = JobFilter(recipe="a b", statuses=frozenset({Status.QUEUED, Status.FAILED}), search="it's")
    assert command(filter, Sort("title", False)) == (
        "jobdeck jobs --status failed,queued --recipe 'a b' --search 'it'\"'\"'s' --sort=title")
    assert command(JobFilter(), Sort()) == "jobdeck jobs"


@in_app
@pytest.mark.parametrize("size", [(40, 10), (20, 5), (200, 60)])
async def test_it_works_at_any_size(stub: Stub, size: tuple[int, int]) -> None:
    async with running(stub, *size) as seen:
        await seen.press("j", "pagedown", "G")
        await seen.cursor_on(1)
        await seen.pilot.resize_terminal(80, 24)
        await seen.until(lambda: len(seen.ids) == 19)
        await seen.cursor_on(1)
        assert isinstance(seen.app.screen, ReportScreen)


# On a terminal


@pytest.fixture
def workspace(filled: Path, tmp_path: Path) -> Path:
    (tmp_path / ".jobdeck").mkdir()
    (tmp_path / "recipes").mkdir()
    (tmp_path / "jobdeck.toml").touch()
    (tmp_path / ".jobdeck" / "jobdeck.db").write_bytes(filled.read_bytes())
    return tmp_path


def shown_on(terminal: Terminal) -> str:
    terminal.wait_for("3,000 jobs")
    terminal.wait_for("no engine")
    terminal.wait_until_quiet(0.6)
    return terminal.text()


def test_what_a_key_writes_stays_within_its_budget(workspace: Path) -> None:
    with jobdeck(workspace) as terminal:
        shown_on(terminal)
        spent = budgets.spent(terminal)
    over = {name: (number, budgets.BYTES[name]) for name, number in spent.items() if number > budgets.BYTES[name]}
    assert over == {}
    assert spent.keys() == budgets.BYTES.keys()


@pytest.mark.parametrize("draw", ["diff", "paced"])
def test_the_screen_of_a_terminal_is_the_one_meant(workspace: Path, draw: str) -> None:
    """Only differences are written: whatever the keys, no stale cell may be left."""
    with jobdeck(workspace, JOBDECK_DRAW=draw) as terminal:
        shown_on(terminal)
        for keys, then in _WALK:
            terminal.written_by(keys)
            terminal.wait_for(lambda screen, then=then: re.search(then, screen) is not None)
            terminal.wait_until_quiet()
            before = terminal.text()
            assert terminal.redrawn() == before, keys


_WALK = (
    ("j\x1b[6~ vjjs", "oldest first · 4 marked"), ("G!", "failed — [0-9,]+ of"), ("\x1b", "all — 3,000 jobs"),
    ("kh\x1b[5~", "all — 3,000 jobs"), ("\r", r"jobs > \d+\.1"), ("\tj", r"jobs > \d+\.1"),
    ("\x1b", "all — 3,000 jobs"), ("H", "1 version"), ("\x1b", "all — 3,000 jobs"),
    ("?x", "keys of"), ("\x1b", "all — 3,000 jobs"), (":fil", "filter by text"), ("\x1b", "all — 3,000 jobs"),
    ("2", r"leads +started .* its file is gone"), ("1", "all — 3,000 jobs"),
    ("/wonka\r", r'text "wonka" — [0-9,]+ of'), ("r", "put it back"), ("t", "Cancel"),
)
"""Keys, and what the screen says once what they ask for is there."""


def test_keys_of_one_read_go_where_those_before_them_led(workspace: Path) -> None:
    with jobdeck(workspace) as terminal:
        shown_on(terminal)
        terminal.send("/wonka q1a-!\rj")
        terminal.wait_for('text "wonka q1a-!" — 0 of')
        terminal.send("/\x15wonka\rjj")
        terminal.wait_for(lambda screen: 'text "wonka"' in screen and screen.splitlines()[5].startswith(">"))
        terminal.send("?pau")
        terminal.wait_for(lambda screen: "pause live" in screen and "rerun" not in screen)
        terminal.send("\x1b")
        terminal.wait_for('text "wonka"')
        terminal.send("\rjk\t")
        terminal.wait_for("Name: ")
        terminal.send("/name\rn")
        terminal.wait_for("'name': 1 of 1")
        terminal.send("\x1b\x1b")
        terminal.wait_for('text "wonka"')
        terminal.send(":qui")
        terminal.wait_for("Ctrl+Q  quit")
        terminal.send("\r")
        assert terminal.process.wait(15) == 0


def test_without_colour_no_colour_is_written(workspace: Path) -> None:
    with jobdeck(workspace, NO_COLOR="1") as terminal:
        screen = shown_on(terminal)
        terminal.written_by("j")
        written = bytes(terminal.received).decode()
    assert "✗ failed" in screen
    codes = {code for found in re.findall(r"\x1b\[([\d;]*)m", written) for code in found.split(";")}
    assert not {code for code in codes if re.fullmatch(r"[349]\d|10[0-7]", code)} - {"39", "49"}


@pytest.mark.parametrize("python", [{}, {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}], ids=["UTF-8 mode", "without"])
def test_a_terminal_without_unicode_gets_ascii(workspace: Path, python: dict[str, str]) -> None:
    with jobdeck(workspace, LC_ALL="C", **python) as terminal:
        screen = shown_on(terminal)
        terminal.written_by("j")
        rows = [line for line in screen.splitlines()[2:22] if line.strip()]
    assert "+ succeeded" in screen
    assert all(row.isascii() and "\\u" not in row for row in rows)


def test_nothing_in_the_data_reaches_the_terminal_as_a_command(workspace: Path) -> None:
    database = workspace / ".jobdeck" / "jobdeck.db"
    change(database, *new_jobs(1, "\x1b]0;owned\x07\x9b2J\x1b[2J"))
    with jobdeck(workspace) as terminal:
        terminal.wait_for("^[]0;owned")
        assert b"\x1b]0;" not in terminal.received
        assert b"\x1b[2J" not in terminal.received
        assert "\x9b".encode() not in terminal.received
