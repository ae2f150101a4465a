"""What the report's user chooses: filters, order, columns, marks; that it stays, is undone, saved and written."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from piloted import DEADLINE, in_app
from reported import FAILED, JOBS, Shown, Stub, change, new_jobs, order, running
from terminal import jobdeck

from core.errors import StoreError
from data.job_records import Job, JobFilter, Sort
from data.report import Report
from data.states import Status
from tests.benchmarks.generate import fill
from tui import exports, output, views
from tui.arrangement import Arrangement, arranged, columns_with, own_names, visible
from tui.columns import COLUMNS, place
from tui.exports import Abandoned, Export
from tui.filters import both, command, described
from tui.marks import shows
from tui.screens.report import ReportScreen
from tui.screens.report_files import times_of
from tui.views import View
from tui.widgets import report_rows

SYNC = JobFilter(recipe="sync_accounts")


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


async def go_to(seen: Shown, column: str) -> None:
    """Put the column cursor on a column."""
    seen.table._choose_column(column)
    assert seen.table.column is not None


def titles(seen: Shown) -> str:
    return seen.text().splitlines()[2]


# Columns


@in_app
async def test_a_recipes_report_columns_are_columns_where_one_recipe_is_shown(stub: Stub) -> None:
    async with running(stub, columns=120) as seen:
        assert "Account" not in titles(seen)
        seen.table.change(SYNC, Sort())
        await seen.until(lambda: "Account" in titles(seen))
        await seen.sees(" 001")
        await go_to(seen, "report:Account")
        await seen.press("s")
        await seen.sees("Account cannot be sorted by: what recipes report has no index")
        await seen.press("escape")
        await seen.until(lambda: "Account" not in titles(seen))


@in_app
async def test_a_recipes_column_is_shown_on_a_narrow_screen_and_its_title_is_text(stub: Stub, path: Path) -> None:
    name = "[red]\x1b]0;x"
    async with running(stub) as seen:
        newest = order(stub, SYNC)[0]
        with closing(sqlite3.connect(path)) as raw:
            raw.execute("UPDATE versions SET report = ? WHERE job_id = ?", (json.dumps({name: "v\x1b[2J"}), newest))
            raw.commit()
        seen.table.change(JobFilter(recipe="sync_accounts", search=f"#{newest}"), Sort())
        await seen.until(lambda: "[red]^[" in titles(seen))
        await seen.sees("v^[[2J")


@in_app
async def test_the_trail_shows_the_outcomes_of_the_last_versions(stub: Stub) -> None:
    with closing(sqlite3.connect(stub.workspace / "jobdeck.db")) as raw:
        [(id,)] = raw.execute(
            "SELECT job_id FROM versions WHERE number = 3 AND latest AND status = 'succeeded' LIMIT 1")
    async with running(stub, columns=200) as seen:
        seen.table.change(JobFilter(search=f"#{id}"), Sort())
        await seen.until(lambda: seen.ids == [id])
        assert re.search(r"✗✗✓|xx\+", seen.text())


@in_app
async def test_columns_are_hidden_shown_and_moved_and_that_is_undone(stub: Stub) -> None:
    async with running(stub) as seen:
        await seen.press("|")
        await seen.sees("jobs > columns")
        await seen.press("j", "j", "j", ">", "space", "space")
        await seen.sees("recipe                   hidden")
        await seen.press("G", "k", "k", "space")
        await seen.sees("event key                always")
        await seen.press("escape")
        await seen.sees("all — 3,000 jobs")
        assert "event key" in titles(seen)
        assert "recipe" not in titles(seen)
        await seen.press("z", "z")
        await seen.until(lambda: "recipe" in titles(seen) and "event key" not in titles(seen))
        assert titles(seen).index("received") < titles(seen).index("recipe")
        await seen.press("z", "z")
        await seen.until(lambda: titles(seen).index("received") > titles(seen).index("recipe"))
        await seen.press("z")
        await seen.sees("there is nothing to undo")


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_columns_always_shown_give_way_last(width: int) -> None:
    chosen = Arrangement(shown=frozenset({"finished"}), hidden=frozenset({"title"}))
    placed = [one.column.id for one in place(width, 2, visible(COLUMNS, chosen))]
    assert "title" not in placed
    assert "finished" in placed
    assert {one.id for one in arranged(COLUMNS, chosen)} == {column.id for column in COLUMNS}


def test_a_column_that_is_not_in_the_chosen_order_stands_behind_its_neighbour() -> None:
    columns = columns_with(["A", "B"])
    chosen = Arrangement(order=("status", "id", "gone"))
    ids = [column.id for column in arranged(columns, chosen)]
    assert ids[:3] == ["status", "title", "recipe"]
    assert ids[-1] == "id"
    moved = chosen.moved("report:B", -1, arranged(columns, chosen))
    ids = [column.id for column in arranged(columns, moved)]
    assert ids.index("report:B") == ids.index("report:A") - 1


def test_no_column_at_all_is_never_shown() -> None:
    everything = frozenset(column.id for column in COLUMNS)
    assert [column.id for column in visible(COLUMNS, Arrangement(hidden=everything))] == ["id"]


# Order


@in_app
async def test_a_second_key_orders_within_the_first_and_turns_round_alone(stub: Stub) -> None:
    async with running(stub, columns=160) as seen:
        await go_to(seen, "status")
        await seen.press("s")
        await seen.sees("by status, ascending")
        await go_to(seen, "took")
        await seen.press("S")
        await seen.sees("by status, ascending, then by took, descending".replace("then by", "then"))
        rows = order(stub, JobFilter(), Sort("status", False, "duration_ms", True))
        await seen.press("g")
        await seen.until(lambda: seen.ids == rows[:19])
        await seen.press("S")
        await seen.sees("then took, ascending")
        await seen.press("I")
        await seen.sees("by status, descending, then took, descending")
        await seen.press("G")
        rows = order(stub, JobFilter(), Sort("status", True, "duration_ms", True))
        await seen.cursor_on(rows[-1])


@in_app
async def test_a_second_key_without_an_index_is_refused_with_what_is_possible(stub: Stub) -> None:
    async with running(stub, columns=160) as seen:
        await go_to(seen, "recipe")
        await seen.press("S")
        await seen.sees("by received hardly two jobs are equal", "sort by status or recipe first")
        await go_to(seen, "status")
        await seen.press("s")
        await seen.sees("by status, ascending")
        await go_to(seen, "title")
        await seen.press("S")
        await seen.sees("no index has title within status: second there can be id, recipe, received")
        await seen.sees("by status, ascending")


# Filters


@in_app
async def test_values_are_left_out_one_after_the_other(stub: Stub) -> None:
    async with running(stub) as seen:
        first = seen.table.current
        await go_to(seen, "recipe")
        await seen.press("-")
        await seen.sees(f"not recipe {first.recipe} — ")
        second = seen.table.current
        assert second.recipe != first.recipe
        await seen.press("-")
        wanted = JobFilter(not_recipes=frozenset({first.recipe, second.recipe}))
        await seen.until(lambda: seen.ids == order(stub, wanted)[:19])
        await go_to(seen, "status")
        gone = seen.table.current.status
        await seen.press("-")
        await seen.sees("not " + {"in_doubt": "in doubt"}.get(gone, gone))
        assert all(stub_job.status != gone for stub_job in seen.table._window.rows)
        await go_to(seen, "last_ran")
        await seen.press("-")
        await seen.sees("`-` leaves out a status or a recipe")


@in_app
async def test_the_day_and_the_text_under_the_cursor_filter(stub: Stub) -> None:
    async with running(stub) as seen:
        job = seen.table.current
        await seen.press(",")
        day = job.received_at.astimezone().strftime("%Y-%m-%d")
        await seen.sees(f"since {day} 00:00 · until ")
        assert seen.table.filter.since <= job.received_at < seen.table.filter.until
        await seen.press("escape")
        await seen.sees("all — 3,000 jobs")
        await go_to(seen, "title")
        await seen.press(",")
        await seen.sees('text "')
        assert {one.title for one in seen.table._window.rows} == {job.title}


@in_app
async def test_since_and_until_are_typed(stub: Stub) -> None:
    async with running(stub) as seen:
        await seen.press("T", *"1h .. 5m", "enter")
        await seen.sees("since ", "until ", " of 3,000 jobs")
        found = len(order(stub, seen.table.filter))
        assert 0 < found < JOBS
        await seen.sees(f"{found:,} of 3,000 jobs")
        await seen.press("T")
        await seen.sees("1h .. 5m")
        await seen.press("ctrl+u", *"yesterday", "enter")
        await seen.sees("'yesterday' is no time: write 2h, 7d")
        await seen.press("ctrl+u", "enter")
        await seen.sees("all — 3,000 jobs")
        await seen.press("T", "escape", "g", "j")
        await seen.cursor_on(order(stub)[1])


def test_times_in_the_wrong_order_are_told() -> None:
    assert times_of("") == (None, None)
    now = dt.datetime(2026, 7, 30, 12, tzinfo=dt.UTC)
    assert times_of(".. 2h", now) == (None, now - dt.timedelta(hours=2))
    with pytest.raises(ValueError, match="1h is not before 2h"):
        times_of("1h .. 2h", now)


def test_what_two_filters_show_together(stub: Stub) -> None:
    jobs = list(Report(stub.database, JobFilter(), Sort()).iterate())
    some = (FAILED, JobFilter(recipe="leads"), JobFilter(recipe="invoices", up_to=900), JobFilter(search="harbor"),
            JobFilter(not_recipes=frozenset({"leads"})), JobFilter(ids=frozenset(range(1, 99, 2))),
            JobFilter(statuses=frozenset({Status.SUCCEEDED, Status.FAILED}), without=frozenset(range(1, 500))),
            JobFilter(since=jobs[1000].received_at),
            JobFilter(since=jobs[2000].received_at, until=jobs[10].received_at))
    for one in some:
        for other in some:
            together = both(one, other)
            assert together is not None
            wanted = [job.id for job in jobs if shows(one, job) and shows(other, job)]
            assert order(stub, together) == wanted, (one, other)
    assert both(JobFilter(search="a"), JobFilter(search="b")) is None


def test_the_command_says_everything_that_the_line_does() -> None:
    since = dt.datetime(2026, 7, 30, tzinfo=dt.UTC)
    filter = JobFilter(not_recipes=frozenset({"b", "a"}), since=since)
    assert command(filter, Sort("status", False, "received_at", True)) == (
        "jobdeck jobs --not-recipe a --not-recipe b --since 2026-07-30T00:00:00+00:00 --sort=status,-received_at")
    assert command(JobFilter(ids=frozenset({1})), Sort()) is None
    assert described(JobFilter(statuses=frozenset(Status) - {Status.SUCCEEDED})) == "not succeeded"


# Counts and states


class Slow(Report):
    """A report that is counted when told so."""

    go = threading.Event()

    def count(self) -> int:
        if self.filter.search:
            assert self.go.wait(DEADLINE)
        return super().count()


@in_app
async def test_while_it_counts_no_total_is_told_but_how_many_there_are_at_least(
    stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_rows, "MANY", 1_000)
    monkeypatch.setattr(Slow, "go", threading.Event())
    monkeypatch.setattr(stub, "report", lambda filter, sort: Slow(stub.database, filter, sort))
    async with running(stub) as seen:
        seen.table.change(JobFilter(search="e"), Sort())
        await seen.sees('text "e" — counting…')
        await seen.sees('text "e" — 1,000+, counting… of 3,000 jobs')
        Slow.go.set()
        await seen.sees(f'text "e" — {len(order(stub, JobFilter(search="e"))):,} of 3,000 jobs')


class Broken(Report):
    """A report whose store cannot be read."""

    on = True

    def rows(self, start: int, count: int) -> list[Job]:
        if self.on:
            raise StoreError("the disk is gone")
        return super().rows(start, count)


@in_app
async def test_what_cannot_be_read_says_so_and_which_key_reads_again(
    stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Broken, "on", True)
    monkeypatch.setattr(stub, "report", lambda filter, sort: Broken(stub.database, filter, sort))
    from tui.app import JobdeckApp

    app = JobdeckApp(stub)  # type: ignore[arg-type]
    async with app.run_test(size=(80, 24)) as pilot:
        seen = Shown(app, pilot)  # type: ignore[arg-type]
        await seen.sees("The jobs could not be read", "Ctrl+R reads again", "the disk is gone")
        Broken.on = False
        await seen.press("ctrl+r")
        await seen.cursor_on(JOBS)


# Marks


@in_app
async def test_marks_that_the_filter_does_not_show_are_counted_and_shown_alone(stub: Stub) -> None:
    async with running(stub) as seen:
        await seen.press('"')
        await seen.sees("no job is marked; Space marks one")
        await seen.press("v", "j", "j", "j", "j", "j", "v")
        marked = order(stub)[:6]
        seen.table.change(JobFilter(recipe=seen.table.current.recipe), Sort())
        inside = [id for id in marked if id in order(stub, seen.table.filter)]
        await seen.sees(f"6 marked ({6 - len(inside)} not in this filter)")
        await seen.press('"')
        await seen.sees("marked only — 6 of 3,000 jobs")
        assert seen.ids == marked
        await seen.press("I")
        await seen.until(lambda: seen.ids == marked[::-1])
        await seen.press('"')
        await seen.sees("recipe ")
        await seen.press("escape")
        await seen.sees("all — 3,000 jobs")


@in_app
async def test_all_that_matched_less_one_are_shown_alone(stub: Stub, path: Path) -> None:
    async with running(stub) as seen:
        failed = order(stub, FAILED)
        await seen.press("!")
        await seen.sees("failed — ")
        await seen.press("*")
        await seen.sees(f"{len(failed):,} marked")
        await seen.press("space")
        await seen.sees(f"{len(failed) - 1:,} marked")
        await seen.press("!")
        await seen.sees("all — 3,000")
        await seen.press('"')
        await seen.sees(f"less 1 — {len(failed) - 1:,} of 3,000 jobs")
        assert failed[0] not in seen.ids
        await seen.press("escape", "g")
        await seen.cursor_on(JOBS)
        await seen.press("space")
        await seen.sees("this is none of the jobs that a filter marked; U takes")
        await seen.press("U", "z")
        await seen.sees(f"{len(failed) - 1:,} marked")


# Live


@in_app
async def test_the_screen_goes_with_the_cursors_job_or_holds_its_place(stub: Stub, path: Path) -> None:
    async with running(stub) as seen:
        seen.table.change(JobFilter(), Sort("started_at", True))
        await seen.sees("following")
        await seen.press("g", "j", "j")
        rows = order(stub, JobFilter(), Sort("started_at", True))
        await seen.cursor_on(rows[2])
        change(path, f"UPDATE versions SET started_at = 5 WHERE latest AND job_id = {rows[2]}")
        await seen.cursor_on(rows[2])
        await seen.until(lambda: rows[1] not in seen.ids)
        await seen.press("F")
        await seen.sees("holding: F follows")
        await seen.press("g", "j")
        await seen.cursor_on(rows[1])
        change(path, f"UPDATE versions SET started_at = 4 WHERE latest AND job_id = {rows[1]}")
        await seen.cursor_on(rows[3])
        assert rows[1] not in seen.ids


@in_app
async def test_follow_is_not_told_where_nothing_moves(stub: Stub) -> None:
    async with running(stub) as seen:
        await seen.sees("by received, newest first")
        assert "following" not in seen.text()


# Undo


@in_app
async def test_several_changes_are_undone_one_after_the_other(stub: Stub) -> None:
    async with running(stub, columns=120) as seen:
        await seen.press("space", "!")
        await seen.sees("failed — ")
        await seen.press("I")
        await seen.sees("oldest first")
        await seen.press("/", *"wonka", "enter")
        await seen.sees('failed · text "wonka" — ')
        await seen.press("z")
        await seen.sees("failed — ", "back to the filter before")
        await seen.press("z")
        await seen.sees("newest first", "back to the sort before")
        await seen.press("z")
        await seen.sees("all — 3,000 jobs")
        assert seen.table.marks
        await seen.press("z")
        await seen.sees("back to the marks before")
        await seen.sees_not("1 marked")
        await seen.press("z")
        await seen.sees("there is nothing to undo")


# What stays


@in_app
async def test_the_view_that_was_left_is_there_again(stub: Stub) -> None:
    async with running(stub) as seen:
        await seen.press("!")
        await seen.sees("failed — ")
        await go_to(seen, "status")
        await seen.press("T", *"2d", "enter")
        await seen.sees("since ")
        seen.table.choose_columns(Arrangement(hidden=frozenset({"recipe"})))
        await seen.press("j", "j")
        job = seen.cursor[0]
    stored = json.loads((stub.workspace / views.LEFT).read_text())
    assert stored["view"]["since"] == "2d"
    assert (stub.workspace / views.LEFT).stat().st_mode & 0o077 == 0
    async with running(stub) as seen:
        await seen.sees("failed · since ")
        await seen.cursor_on(job)
        assert "recipe" not in titles(seen)
        await seen.press("escape", "g")
    views.forget(stub.workspace)
    async with running(stub) as seen:
        await seen.sees("all — 3,000 jobs")
        assert "recipe" in titles(seen)


@in_app
async def test_the_jobs_of_an_error_are_not_what_is_there_again(stub: Stub) -> None:
    async with running(stub) as seen:
        seen.app.push_screen(ReportScreen(FAILED))
        await seen.sees("failed — ")
        await seen.press("I", "escape")
        await seen.sees("all — 3,000 jobs", "newest first")
    assert views.load(stub.workspace) == (View(), None, "")


@in_app
@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b'{"view": {"sort": [["nothing", true]]}}',
                                     b'{"view": {"statuses": ["sleeping"]}}', b'{"view": 7}'])
async def test_a_damaged_file_is_told_kept_and_ignored(stub: Stub, content: bytes) -> None:
    left = stub.workspace / views.LEFT
    left.parent.mkdir(exist_ok=True)
    left.write_bytes(content)
    async with running(stub) as seen:
        await seen.sees("view.json cannot be read and is ignored", "all — 3,000 jobs")
    assert left.with_name("view.json.damaged").read_bytes() == content


@in_app
async def test_views_are_saved_counted_opened_and_deleted(stub: Stub) -> None:
    async with running(stub) as seen:
        await seen.press("b")
        await seen.sees("No view is saved yet. w saves")
        await seen.press("escape", "!", "I")
        await seen.sees("failed — ", "oldest first")
        await seen.press("b", "w", *"to [red]do[/]", "enter")
        failed = len(order(stub, FAILED))
        await seen.sees("to [red]do[/]", f"{failed:,} jobs  failed · by received, oldest first", "saved as to [red]do")
        await seen.press("escape", "escape", "I")
        await seen.sees("all — 3,000 jobs", "newest first")
        await seen.press("b")
        await seen.sees("to [red]do[/]")
        await seen.press("enter")
        await seen.sees("failed — ", "oldest first")
        await seen.press("z")
        await seen.sees("all — 3,000 jobs", "newest first")
        await seen.press("b")
        await seen.sees("to [red]do[/]")
        await seen.press("x")
        await seen.sees("Delete the saved view to [red]do[/]?")
        await seen.press("c")
        await seen.sees("No view is saved yet")
    assert views.saved(stub.workspace) == ({}, "")


def test_a_view_is_read_as_it_was_written(tmp_path: Path) -> None:
    moment = dt.datetime(2026, 7, 30, 12, tzinfo=dt.UTC)
    view = View(
        JobFilter("a", frozenset({Status.FAILED}), moment, None, "tëxt", "g1", not_recipes=frozenset({"b"})),
        Sort("status", True, "error", False), Arrangement(("id", "title"), frozenset({"trail"}), frozenset({"error"})),
    )
    views.leave(tmp_path, view, 812)
    assert views.load(tmp_path) == (view, 812, "")
    views.save(tmp_path, "one", view)
    views.save(tmp_path, "two", View(since="2h"))
    assert list(views.saved(tmp_path)[0]) == ["one", "two"]
    since = views.saved(tmp_path)[0]["two"].now().filter.since
    assert since is not None
    assert dt.timedelta(0) <= dt.datetime.now(dt.UTC) - dt.timedelta(hours=2) - since < dt.timedelta(minutes=1)


def test_the_option_opens_the_report_as_it_was_at_first(filled: Path, tmp_path: Path) -> None:
    (tmp_path / ".jobdeck").mkdir()
    (tmp_path / "recipes").mkdir()
    (tmp_path / "jobdeck.toml").touch()
    (tmp_path / ".jobdeck" / "jobdeck.db").write_bytes(filled.read_bytes())
    with jobdeck(tmp_path) as terminal:
        terminal.wait_for("all — 3,000 jobs")
        terminal.send("!")
        terminal.wait_for("failed — ")
        terminal.send("\x11")
        assert terminal.process.wait(15) == 0
    with jobdeck(tmp_path) as terminal:
        terminal.wait_for("failed — ")
        terminal.send("\x11")
        assert terminal.process.wait(15) == 0
    with jobdeck(tmp_path, arguments=["--reset-view"]) as terminal:
        terminal.wait_for("all — 3,000 jobs")


# Files


@in_app
@pytest.mark.parametrize("format", ["csv", "jsonl"])
async def test_the_jobs_shown_are_written_as_the_command_writes_them(stub: Stub, format: str) -> None:
    async with running(stub) as seen:
        await seen.press("!")
        await seen.sees("failed — ")
        await seen.press("w")
        await seen.sees("Write the jobs shown (failed) to which", "exports/jobs-")
        await seen.press("ctrl+u", *f"exports/f.{format}", "enter")
        await seen.sees(f"wrote {len(order(stub, FAILED)):,} jobs to ")
        wanted = io.StringIO()
        output.WRITERS[format](map(output.job_json, stub.jobs(FAILED, Sort())), output.JOB_FIELDS, wanted)
        written = stub.workspace / "exports" / f"f.{format}"
        assert written.read_bytes() == wanted.getvalue().encode()
        assert list(written.parent.iterdir()) == [written]


@in_app
async def test_the_marked_jobs_are_written_and_nothing_is_written_over_unasked(stub: Stub) -> None:
    (stub.workspace / "mine.csv").write_text("precious")
    async with running(stub) as seen:
        await seen.press("space", "space", "w")
        await seen.sees("Write the marked jobs to which")
        await seen.press("ctrl+u", *"mine.txt", "enter")
        await seen.sees("the name says the format: end it in .csv, .jsonl, .json")
        await seen.press("ctrl+u", *"mine.csv", "enter")
        await seen.sees("is there already. Write over it?")
        await seen.press("enter")
        await seen.sees("Write the marked jobs to which")
        assert (stub.workspace / "mine.csv").read_text() == "precious"
        await seen.press("enter")
        await seen.sees("is there already. Write over it?")
        await seen.press("c")
        await seen.sees("wrote 2 jobs to ")
        with (stub.workspace / "mine.csv").open(newline="") as file:
            assert [int(row["id"]) for row in csv.DictReader(file)] == order(stub)[:2]


@in_app
async def test_writing_can_be_stopped_and_leaves_nothing(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    going = threading.Event()
    plain = stub.jobs

    def jobs(filter: JobFilter, sort: Sort, limit: int | None = None) -> Iterator[Job]:
        for number, job in enumerate(plain(filter, sort, limit)):
            if number == 1000:
                assert going.wait(DEADLINE)
            yield job

    monkeypatch.setattr(stub, "jobs", jobs)
    monkeypatch.setattr(exports, "TOLD_EVERY", 0.0)
    async with running(stub) as seen:
        await seen.press("w", "enter")
        await seen.sees("writing jobs-", "of 3,000; w stops it")
        await seen.press("w")
        await seen.sees("Stop writing jobs-")
        await seen.press("c")
        going.set()
        await seen.sees("stopped: ", "was not written")
        assert list((stub.workspace / "exports").iterdir()) == []


def test_a_file_that_breaks_off_is_not_there(tmp_path: Path) -> None:
    export = Export(tmp_path / "a" / "jobs.jsonl", lambda written: None)
    export.stop()
    with pytest.raises(Abandoned):
        export.write(iter([None]))  # type: ignore[list-item]
    assert list((tmp_path / "a").iterdir()) == []


def test_names_of_a_report_are_learnt_as_they_come(stub: Stub) -> None:
    jobs = list(Report(stub.database, SYNC, Sort()).iterate(3))
    assert own_names(("Before",), jobs) == ("Before", "Account")


@in_app
async def test_new_jobs_are_counted_while_it_is_paused_under_a_filter(stub: Stub, path: Path) -> None:
    async with running(stub) as seen:
        await seen.press("t", "c")
        await seen.sees("canceled — ")
        await seen.press("Z")
        await seen.sees("paused: Z goes on")
        change(path, *new_jobs(14))
        await seen.sees("14 new")
        await seen.press("Z", "g")
        await seen.cursor_on(JOBS + 14)
        await seen.sees_not("14 new")
