"""The report's reads: the order of every sort, filters, positions, and that each is served by its index."""

from __future__ import annotations

import datetime as dt
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

import data.report
from data.database import Database, sqlite_url
from data.job_records import SECOND_COLUMNS, SORT_COLUMNS, Job, JobFilter, Sort, Stopped
from data.report import Report
from data.states import Status
from tests.benchmarks.generate import fill
from tests.benchmarks.report import Noted

JOBS = 2_000
NOW = dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC)
BY_ID = Sort("id", descending=False)
FILTERS = {
    "all": JobFilter(),
    "failed": JobFilter(statuses=frozenset({Status.FAILED})),
    "open": JobFilter(statuses=frozenset({Status.QUEUED, Status.RUNNING, Status.IN_DOUBT})),
    "recipe": JobFilter(recipe="invoices"),
    "failed of a recipe": JobFilter(recipe="invoices", statuses=frozenset({Status.FAILED})),
    "search": JobFilter(search="LOGISTICS"),
    "failed search": JobFilter(search="desk", statuses=frozenset({Status.FAILED, Status.CANCELED})),
    "times": JobFilter(since=NOW - dt.timedelta(hours=1), until=NOW - dt.timedelta(minutes=20)),
    "up to": JobFilter(up_to=700, recipe="leads"),
    "error": JobFilter(error_group="1b1b1b1b"),
    "error of open or failed": JobFilter(error_group="1b1b1b1b", statuses=frozenset({Status.FAILED, Status.QUEUED})),
    "none": JobFilter(recipe="no such recipe"),
    "other recipes": JobFilter(not_recipes=frozenset({"invoices", "leads", "no such recipe"})),
    "failed of other recipes": JobFilter(not_recipes=frozenset({"leads"}), statuses=frozenset({Status.FAILED})),
    "marked": JobFilter(ids=frozenset(range(40, 900, 3)) | {5000}, recipe="leads"),
    "less some": JobFilter(without=frozenset(range(100, 1900, 2)), statuses=frozenset({Status.FAILED})),
}
PAIRS = [(first, then) for first, seconds in SECOND_COLUMNS.items() for then in seconds]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "jobdeck.db"
    fill(path, JOBS, int(NOW.timestamp() * 1e6))
    return path


@pytest.fixture(scope="module")
def database(path: Path) -> Iterator[Database]:
    database = Database(sqlite_url(path))
    yield database
    database.close()


@pytest.fixture(scope="module")
def everything(database: Database) -> list[Job]:
    return list(Report(database, JobFilter(), BY_ID).iterate())


@pytest.fixture(autouse=True)
def narrow_anchors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data.report, "ANCHOR_EVERY", 64)


def value(job: Job, column: str) -> Any:
    return (job.error.message if job.error else None) if column == "error" else getattr(job, column)


def expected(jobs: list[Job], sort: Sort) -> list[int]:
    """Ascending with the jobs without a value last, ties by id; descending is its exact reverse."""
    def key(job: Job) -> Any:
        shown = value(job, sort.column)
        return (shown is None, shown if shown is not None else 0, job.id)

    return [job.id for job in sorted(jobs, key=key, reverse=sort.descending)]


def wanted(job: Job, filter: JobFilter) -> bool:
    text = "\n".join([job.title, job.event_key, job.error.message if job.error else ""]).lower()
    return (
        (filter.recipe is None or job.recipe == filter.recipe)
        and (not filter.statuses or job.status in filter.statuses)
        and (filter.since is None or job.received_at >= filter.since)
        and (filter.until is None or job.received_at < filter.until)
        and (filter.up_to is None or job.id <= filter.up_to)
        and (filter.error_group is None or (job.error is not None and job.error.group == filter.error_group))
        and job.recipe not in filter.not_recipes
        and (filter.ids is None or job.id in filter.ids)
        and job.id not in filter.without
        and filter.search.lower() in text
    )


def ids(jobs: list[Job]) -> list[int]:
    return [job.id for job in jobs]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("column", SORT_COLUMNS)
@pytest.mark.parametrize("name", FILTERS)
def test_every_sort_of_every_filter_has_its_order(
    database: Database, everything: list[Job], name: str, column: str, descending: bool
) -> None:
    filter, sort = FILTERS[name], Sort(column, descending)
    order = expected([job for job in everything if wanted(job, filter)], sort)
    holds(Report(database, filter, sort), order, everything)


@pytest.mark.parametrize(("descending", "then_descending"), [(False, True), (True, False), (True, True)])
@pytest.mark.parametrize(("column", "then"), PAIRS)
def test_a_second_key_orders_the_jobs_with_the_same_first(
    database: Database, everything: list[Job], column: str, then: str, descending: bool, then_descending: bool
) -> None:
    filter = JobFilter(statuses=frozenset(Status) - {Status.SUCCEEDED}, not_recipes=frozenset({"leads"}))
    inner = expected([job for job in everything if wanted(job, filter)], Sort(then, then_descending))
    firsts = [(value(everything[id - 1], column), at, id) for at, id in enumerate(inner)]
    order = [id for *_, id in sorted(firsts, key=lambda one: one[0], reverse=descending)]
    holds(Report(database, filter, Sort(column, descending, then, then_descending)), order, everything)


def holds(report: Report, order: list[int], everything: list[Job]) -> None:
    """Have every way of reading a report give this order."""
    assert list(report.ids()) == order
    assert report.count() == len(order)
    assert report.has_more_than(len(order) - 1) or not order
    assert not report.has_more_than(len(order))
    middle = len(order) // 2
    for _ in range(2):
        assert ids(report.rows(0, 50)) == order[:50]
        assert ids(report.rows(middle, 50)) == order[middle : middle + 50]
        assert ids(report.rows(max(len(order) - 30, 0), 30)) == order[-30:]
        assert ids(report.rows(len(order), 30)) == []
        report.collect_anchors(lambda: False)
    for job_id in order[:: max(len(order) // 5, 1)]:
        at = order.index(job_id)
        assert report.position(job_id) == at
        around, above = report.near(everything[job_id - 1], 20, 20)
        assert ids(around) == order[max(at - 20, 0) : at + 20]
        assert around[above].id == job_id


def test_rows_reach_the_middle_before_the_count_is_known(database: Database) -> None:
    report = Report(database, JobFilter(), Sort("started_at"))
    assert ids(report.rows(JOBS - 5, 10)) == list(report.ids())[-5:]


def test_what_a_job_says(database: Database, path: Path, everything: list[Job]) -> None:
    rerun = next(job for job in everything if job.versions == 3)
    with closing(sqlite3.connect(path)) as raw:
        versions = raw.execute(
            "SELECT number, status, started_at, duration_ms FROM versions WHERE job_id = ? ORDER BY number", (rerun.id,)
        ).fetchall()
    assert [number for number, *_ in versions] == [1, 2, 3]
    assert (rerun.status, rerun.duration_ms) == (versions[2][1], versions[2][3])
    assert rerun.first_started_at == dt.datetime.fromtimestamp(versions[0][2] / 1e6, dt.UTC)
    assert rerun.trigger_stored
    assert rerun.requested_by == "ops@10.0.0.7"
    failed = next(job for job in everything if job.status is Status.FAILED)
    assert failed.error is not None
    assert failed.error.step == "2.then.1"


@pytest.mark.parametrize(
    ("text", "title", "found"),
    [
        ("100%", "costs 100% more", True),
        ("100%", "costs 1000 more", False),
        ("a_b", "a_b", True),
        ("a_b", "axb", False),
        ("back\\slash", "a back\\slash", True),
        ("müller", "MÜLLER", True),
        ("ÆRØ", "Ærø Harbor", True),
        ("ærø", "Ærø Harbor", True),
        ("\udcff", "anything", False),
        ("#3", "three", True),
        ("#30", "three", False),
        ("#x", "ticket #x9", True),
        ("#" + "9" * 30, "three", False),
    ],
)
def test_search_takes_text_literally(tmp_path: Path, text: str, title: str, found: bool) -> None:
    database = _three_jobs(tmp_path, title)
    try:
        assert ids(list(Report(database, JobFilter(search=text), BY_ID).iterate())) == ([3] if found else [])
    finally:
        database.close()


def _three_jobs(folder: Path, last_title: str) -> Database:
    fill(folder / "jobdeck.db", 3)
    with closing(sqlite3.connect(folder / "jobdeck.db", isolation_level=None)) as raw:
        raw.execute("UPDATE jobs SET title = CASE id WHEN 3 THEN ? ELSE '' END, event_key = id", (last_title,))
    return Database(sqlite_url(folder / "jobdeck.db"))


def test_a_row_has_the_outcomes_of_its_last_versions(database: Database, path: Path, everything: list[Job]) -> None:
    with closing(sqlite3.connect(path)) as raw:
        told = raw.execute("SELECT job_id, status FROM versions ORDER BY job_id, number").fetchall()
    report = Report(database, JobFilter(), BY_ID)
    for job in [*report.rows(0, 900), *report.near(everything[1000], 200, 200)[0]]:
        assert list(job.trail) == [status for id, status in told if id == job.id]
    noted = Noted(database)
    Report(noted, JobFilter(), BY_ID).rows(0, 300)
    assert sum("AS last_version" in sql for sql, _ in noted.sent) == 1


def test_of_many_versions_the_last_eight_are_told(tmp_path: Path) -> None:
    fill(tmp_path / "jobdeck.db", 1)
    with closing(sqlite3.connect(tmp_path / "jobdeck.db", isolation_level=None)) as raw:
        raw.execute("UPDATE versions SET latest = 0, status = 'failed'")
        for number in range(2, 13):
            raw.execute("INSERT INTO versions (job_id, recipe_id, number, latest, status, mode, requested_by, "
                        "requested_at, priority, attempt) VALUES (1, 1, ?, ?, ?, 'start', 'ops', 0, 0, 0)",
                        (number, number == 12, "succeeded" if number == 12 else "canceled"))
    database = Database(sqlite_url(tmp_path / "jobdeck.db"))
    try:
        [job] = Report(database, JobFilter(), Sort()).rows(0, 5)
        assert job.trail == (Status.CANCELED,) * 7 + (Status.SUCCEEDED,)
    finally:
        database.close()


def test_near_a_job_that_left_the_report_shows_its_neighbours(tmp_path: Path) -> None:
    fill(tmp_path / "jobdeck.db", JOBS)
    database = Database(sqlite_url(tmp_path / "jobdeck.db"))
    try:
        for column in SORT_COLUMNS:
            report = Report(database, JobFilter(statuses=frozenset({Status.FAILED})), Sort(column))
            before = report.rows(0, 60)
            left = before[30]
            with database.write() as connection:
                connection.exec_driver_sql(
                    "UPDATE versions SET status = 'queued' WHERE latest IS 1 AND job_id = ?", (left.id,))
            around, above = report.near(left, 10, 10)
            assert ids(around) == ids(before[20:30] + before[31:41]), column
            assert above == 10
            assert report.position(left.id) is None
            assert report.near(left, 10, 10, stay=False) == ([], 0)
    finally:
        database.close()


def test_a_place_is_held_when_its_job_moves_in_the_order(tmp_path: Path) -> None:
    fill(tmp_path / "jobdeck.db", JOBS)
    database = Database(sqlite_url(tmp_path / "jobdeck.db"))
    try:
        report = Report(database, JobFilter(), Sort("finished_at"))
        before = report.rows(100, 60)
        moved = before[30]
        with database.write() as connection:
            connection.exec_driver_sql(
                "UPDATE versions SET finished_at = 0 WHERE latest IS 1 AND job_id = ?", (moved.id,))
        around, above = report.near(moved, 10, 10, held=True)
        assert ids(around) == ids(before[20:30] + before[31:41])
        around, above = report.near(moved, 10, 10)
        assert around[above].id == moved.id
        assert ids(around[:above]) != ids(before[20:30])
    finally:
        database.close()


def test_anchors_stay_true_while_jobs_come_in(tmp_path: Path) -> None:
    fill(tmp_path / "jobdeck.db", 500)
    database = Database(sqlite_url(tmp_path / "jobdeck.db"))
    try:
        report = Report(database, JobFilter(), Sort())
        report.collect_anchors(lambda: False)
        _add_jobs(database, 90)
        order = list(report.ids())
        assert report.count() == len(order) == 590
        assert ids(report.rows(300, 20)) == order[300:320]
    finally:
        database.close()


def _add_jobs(database: Database, count: int) -> None:
    with database.write() as connection:
        for number in range(count):
            connection.exec_driver_sql(
                "INSERT INTO jobs (recipe_id, event_key, title, received_at) "
                "SELECT 1, 'new' || ?, 'new', max(received_at) FROM jobs", (number,))
            connection.exec_driver_sql(
                "INSERT INTO versions (job_id, recipe_id, number, latest, status, mode, requested_by, requested_at, "
                "priority, attempt) SELECT max(id), 1, 1, 1, 'canceled', 'first', 'engine', 0, 0, 0 FROM jobs")


def test_counts_by_status(database: Database, everything: list[Job]) -> None:
    counts = Report(database, JobFilter(recipe="leads"), Sort()).statuses()
    assert counts == {
        status: sum(job.status is status and job.recipe == "leads" for job in everything) for status in Status
    }


def test_a_listing_holds_no_snapshot_between_pages(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data.report, "PAGE", 10)
    listing = Report(database, JobFilter(), Sort()).iterate(25)
    assert ids(list(islice(listing, 12)))[-1] == JOBS - 11
    assert len(database._snapshots._idle) == 1
    assert len(list(listing)) == 13


def test_a_stopped_report_ends_the_read_under_way(database: Database) -> None:
    report = Report(database, JobFilter(search="nothing has this text"), Sort("title"))
    counting, outcome = threading.Event(), []

    def count() -> None:
        counting.set()
        try:
            while True:
                report.count()
        except Stopped:
            outcome.append("stopped")

    thread = threading.Thread(target=count)
    thread.start()
    counting.wait(5)
    report.stop()
    thread.join(5)
    assert outcome == ["stopped"]
    with pytest.raises(Stopped):
        report.rows(0, 1)


INDEX_OF = {
    "recipe": "jobs_by_recipe", "title": "jobs_by_title", "event_key": "jobs_by_event_key",
    "status": "latest_by_status", "started_at": "latest_by_started", "finished_at": "latest_by_finished",
    "duration_ms": "latest_by_duration", "versions": "latest_by_number", "error": "latest_by_error",
    "first_started_at": "first_by_started",
}


def index_of(column: str, filter: JobFilter) -> str:
    if column in ("id", "received_at", "recipe") and filter.statuses:
        return "latest_by_status"
    if column in ("id", "received_at") and filter.recipe:
        return "jobs_by_recipe"
    return INDEX_OF.get(column, "INTEGER PRIMARY KEY")


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("column", SORT_COLUMNS)
@pytest.mark.parametrize("name", ["all", "failed", "open", "recipe", "failed of a recipe", "times", "other recipes"])
def test_hot_reads_are_held_to_their_index(
    path: Path, database: Database, name: str, column: str, descending: bool
) -> None:
    statements = _sent(database, FILTERS[name], Sort(column, descending))
    assert "TEMP B-TREE" not in "".join(_plan(path, statements))
    walks = [(sent, values) for sent, values in statements if "ORDER BY row_" in sent]
    assert walks
    for step in _plan(path, walks):
        if step.startswith(("SCAN", "SEARCH")) and "latest_version" not in step:
            assert index_of(column, FILTERS[name]) in step or step == "SCAN jobs"


@pytest.mark.parametrize(("column", "then"), PAIRS)
def test_reads_by_two_keys_are_held_to_an_index(path: Path, database: Database, column: str, then: str) -> None:
    statements = _sent(database, JobFilter(), Sort(column, False, then, True))
    assert "TEMP B-TREE" not in "".join(_plan(path, statements))


def _sent(database: Database, filter: JobFilter, sort: Sort) -> list[tuple[str, Any]]:
    """Return the statements, with their values, of everything that a screen asks of a report."""
    noted = Noted(database)
    report = Report(noted, filter, sort)
    jobs = report.rows(0, 50)
    report.rows(report.count() // 2, 50)
    report.collect_anchors(lambda: False)
    report.rows(70, 50)
    report.near(jobs[0], 20, 20)
    report.position(jobs[-1].id)
    return noted.sent


def _plan(path: Path, statements: list[tuple[str, Any]]) -> list[str]:
    with closing(sqlite3.connect(path)) as raw:
        return [row[3] for statement, values in statements
                for row in raw.execute("EXPLAIN QUERY PLAN " + statement, values)]
