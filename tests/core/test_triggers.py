"""Triggers that poll: what happens at a source makes its jobs, each once, whatever happens to the engine."""

from __future__ import annotations

import datetime as dt
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from core.connectors.declare import Found, Seen
from core.connectors.registry import registry
from core.errors import StepError, StoreError
from core.library import Library, Loaded
from core.polling import Polling
from core.triggers import Poller, Source
from data import recipes as recipe_store
from data.database import Database, sqlite_url
from data.states import Status

NOW = dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC)
STEPS = "steps: [{set: {a: 1}}]\n"
WATCH = """\
trigger:
  sql.{kind}: {{connection: shop, table: accounts, key: id, updated: updated_at, created: created{more}}}
title: "{{{{ trigger.id }}}} {{{{ trigger.name }}}}"
"""


@dataclass
class Shop:
    """A database that is not ours, watched by a recipe for new rows and by one for changes too."""

    workspace: Any
    url: str
    execute: Callable[..., None]

    def poll(self) -> dict[str, list[str]]:
        """Poll once and return the titles of the jobs that it made, by recipe."""
        return new_jobs(self.workspace)


def new_jobs(workspace: Any) -> dict[str, list[str]]:
    """Poll once and return the titles of the jobs that were not there before, by recipe."""
    before = workspace.statuses()
    workspace.poll()
    jobs = [workspace.automation.job(id) for id in workspace.statuses() if id not in before]
    return {name: [job.title for job in jobs if job.recipe == name] for name in {job.recipe for job in jobs}}


@pytest.fixture(params=["sqlite", "postgresql"])
def shop(request: pytest.FixtureRequest, workspace: Any) -> Iterator[Shop]:
    if request.param == "sqlite":
        url, seen = "sqlite:///shop.db", f"sqlite:///{workspace.path}/shop.db"
    else:
        url = seen = request.getfixturevalue("postgresql")
    outside = sa.create_engine(seen)

    def execute(*statements: str) -> None:
        with outside.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    execute(
        "DROP TABLE IF EXISTS accounts",
        "CREATE TABLE accounts (id INTEGER PRIMARY KEY, name VARCHAR(99), updated_at TIMESTAMP, created DATE)",
    )
    workspace.settings(f'[connections.shop]\ntype = "sql"\nurl = "{url}"\n')
    workspace.recipe(WATCH.format(kind="new", more="") + STEPS, "new")
    workspace.recipe(WATCH.format(kind="new_or_updated", more="") + STEPS, "changed")
    yield Shop(workspace, url, execute)
    workspace.close()
    outside.dispose()


def row(id: int, name: str, at: str = "2026-01-01 10:00:00", created: str = "2026-01-01") -> str:
    return f"INSERT INTO accounts VALUES ({id}, '{name}', '{at}', '{created}')"


# Rows


def test_what_is_there_at_the_first_poll_makes_jobs_and_nothing_does_twice(shop):
    shop.execute(row(1, "Ann"), row(2, "Bob"))
    assert shop.poll() == {"new": ["1 Ann", "2 Bob"], "changed": ["1 Ann", "2 Bob"]}
    assert shop.poll() == {}
    shop.execute(row(3, "Cyd"))
    assert shop.poll() == {"new": ["3 Cyd"], "changed": ["3 Cyd"]}


def test_an_update_makes_a_job_for_the_second_only(shop):
    shop.execute(row(1, "Ann"))
    shop.poll()
    shop.execute("UPDATE accounts SET name = 'Anna', updated_at = '2026-01-02 10:00:00'")
    assert shop.poll() == {"changed": ["1 Anna"]}
    assert shop.poll() == {}


def test_deleted_and_created_anew_makes_a_job_for_both(shop):
    shop.execute(row(1, "Ann"))
    shop.poll()
    shop.execute("DELETE FROM accounts")
    assert shop.poll() == {}
    # To the letter the same row: it is another incarnation all the same.
    shop.execute(row(1, "Ann"))
    assert shop.poll() == {"new": ["1 Ann"], "changed": ["1 Ann"]}
    assert shop.poll() == {}


def test_deleted_and_recreated_between_two_polls_is_a_change(shop):
    shop.execute(row(1, "Ann"))
    shop.poll()
    shop.execute("DELETE FROM accounts", row(1, "Anna", "2026-01-02 10:00:00"))
    assert shop.poll() == {"changed": ["1 Anna"]}


def test_several_changes_between_two_polls_make_one_job(shop):
    shop.execute(row(1, "Ann"))
    shop.poll()
    for second in (1, 2, 3):
        shop.execute(f"UPDATE accounts SET name = 'v{second}', updated_at = '2026-01-02 10:00:0{second}'")
    assert shop.poll() == {"changed": ["1 v3"]}


def test_equal_stamps_and_late_commits_are_neither_lost_nor_doubled(shop):
    shop.execute(row(5, "Eve", "2026-01-05 10:00:00"))
    shop.poll()
    # The same stamp, a lower id, and stamps long before what was seen already: all of them commit only now.
    shop.execute(row(6, "Fay", "2026-01-05 10:00:00"), row(2, "Bob", "2026-01-05 10:00:00"), row(1, "Ann"))
    assert shop.poll() == {"new": ["1 Ann", "2 Bob", "6 Fay"], "changed": ["1 Ann", "2 Bob", "6 Fay"]}
    assert shop.poll() == {}


def test_since_leaves_out_what_is_older_and_is_locked_after_the_first_start(shop):
    for kind, name in (("new", "new"), ("new_or_updated", "changed")):
        shop.workspace.recipe(WATCH.format(kind=kind, more=", since: 2026-02-01") + STEPS, name)
    shop.execute(row(1, "Ann"), row(2, "Bob", "2026-02-01 00:00:00", "2026-02-01"))
    assert shop.poll() == {"new": ["2 Bob"], "changed": ["2 Bob"]}
    for kind, name in (("new", "new"), ("new_or_updated", "changed")):
        shop.workspace.recipe(WATCH.format(kind=kind, more=", since: 2020-01-01") + STEPS, name)
    assert shop.poll() == {}
    state = shop.workspace.automation.recipe("new")
    assert state.since == "2026-02-01"
    assert "'since' is locked since the recipe first started" in state.problems[0].message
    assert "it was 2026-02-01, not 2020-01-01" in state.problems[0].message
    assert shop.workspace.automation.revisions("new")[0].number == 1
    # A row that was too old and changes now is no longer too old.
    shop.execute("UPDATE accounts SET updated_at = '2026-03-01 10:00:00' WHERE id = 1")
    assert shop.poll() == {"changed": ["1 Ann"]}


def test_a_row_whose_time_since_cannot_read_makes_a_job_with_a_warning(shop):
    shop.workspace.recipe(WATCH.format(kind="new", more=", since: 2026-02-01") + STEPS, "new")
    (shop.workspace.path / "recipes" / "changed.yaml").unlink()
    shop.execute("INSERT INTO accounts VALUES (1, 'Ann', NULL, NULL)")
    assert shop.poll() == {"new": ["1 Ann"]}
    (warning,) = shop.workspace.detail(1).version.warnings
    assert warning.startswith("since: created")


def test_when_false_makes_no_job_and_remembers_the_key(shop):
    (shop.workspace.path / "recipes" / "changed.yaml").unlink()
    watch = WATCH.format(kind="new", more="").replace("title:", "  when: trigger.name != 'Ann'\ntitle:")
    shop.workspace.recipe(watch + STEPS, "new")
    shop.execute(row(1, "Ann"), row(2, "Bob"))
    assert shop.poll() == {"new": ["2 Bob"]}
    shop.workspace.recipe(WATCH.format(kind="new", more="") + STEPS, "new")
    assert shop.poll() == {}


def test_a_row_is_an_event_as_it_was_when_it_was_read(shop):
    shop.execute(row(1, "Ann"))
    shop.poll()
    detail = shop.workspace.detail(1)
    assert detail.trigger["name"] == "Ann"
    assert detail.trigger["updated_at"].startswith("2026-01-01")
    keys = {shop.workspace.automation.job(id).event_key for id in shop.workspace.statuses()}
    assert "1#1" in keys
    assert any(key.startswith("1#1@2026-01-01") for key in keys)


def test_many_rows_come_in_chunks_each_once(shop):
    (shop.workspace.path / "recipes" / "changed.yaml").unlink()
    shop.execute(*(row(id, f"n{id}") for id in range(1, 211)))
    assert shop.poll() == {"new": [f"{id} n{id}" for id in range(1, 211)]}
    assert shop.poll() == {}


# Trouble


def test_a_failing_trigger_is_a_warning_with_back_off_and_no_failed_job(shop):
    shop.execute("DROP TABLE accounts")
    assert shop.poll() == {}
    state = shop.workspace.automation.recipe("new")
    assert "accounts" in state.warning
    assert state.next_poll_at > state.polled_at + dt.timedelta(seconds=30)
    first_wait = state.next_poll_at - state.polled_at
    with shop.workspace.engine(polls=True) as engine:
        engine.poll_once()
        engine.poll_once()
        state = shop.workspace.automation.recipe("new")
        assert state.next_poll_at - state.polled_at > first_wait
    assert shop.workspace.statuses() == {}
    shop.execute(
        "CREATE TABLE accounts (id INTEGER PRIMARY KEY, name VARCHAR(99), updated_at TIMESTAMP, created DATE)",
        row(1, "Ann"),
    )
    assert shop.poll() == {"new": ["1 Ann"], "changed": ["1 Ann"]}
    assert shop.workspace.automation.recipe("new").warning is None


def test_the_back_off_outlives_the_engine_until_the_recipe_is_mended(shop):
    shop.execute("DROP TABLE accounts")
    automation = shop.workspace.automation
    shop.poll()
    shop.poll()
    told = automation.recipe("new")
    assert told.poll_failures == 2
    with shop.workspace.engine(polls=True) as engine:
        engine.tick()
    # Not due yet: another engine is no reason to ask earlier.
    assert automation.recipe("new") == told
    automation.stop_recipe("new", by="ada")
    automation.start_recipe("new", by="ada")
    shop.workspace.recipe(WATCH.format(kind="new_or_updated", more=", every: 45s") + STEPS, "changed")
    with shop.workspace.engine(polls=True) as engine:
        engine.tick()
    # Both were polled at once: one was started anew, the other has another file.
    assert automation.recipe("new").poll_failures == 1
    assert automation.recipe("changed").poll_failures == 3


@dataclass
class Polled:
    """A poller outside of an engine, whose moments and crashes the test chooses."""

    loaded: Loaded
    source: Source
    database: Database

    def poller(self, write: Any = None) -> Poller:
        """Return a poller as a new process would make it."""
        with self.database.read() as connection:
            known = recipe_store.known_objects(connection, self.loaded.state.id)
            since = next(one for one in recipe_store.states(connection) if one.id == self.loaded.state.id).since
        return Poller(self.loaded.state.id, write or self.write, known, since)

    def write(self, work: Any) -> Any:
        with self.database.write() as connection:
            return work(connection)

    def poll(self, now: dt.datetime = NOW) -> int:
        return self.poller().poll(self.loaded, self.source, now)


@pytest.fixture
def polled(workspace: Any) -> Iterator[Callable[[str], Polled]]:
    """Give what makes a Polled of a recipe."""
    database = Database(sqlite_url(workspace.path / ".jobdeck" / "jobdeck.db"))

    def make(text: str) -> Polled:
        workspace.recipe(text)
        library = Library(workspace.path, database, write)
        loaded = library.loaded(library.refresh()[0])
        source = Source(workspace.path, {}, lambda name: None, (), threading.Event())
        return Polled(loaded, source, database)

    def write(work: Any) -> Any:
        with database.write() as connection:
            return work(connection)

    yield make
    database.close()


FOLDER = "trigger: {files.new_or_updated: {path: in, settle: 0s}}\ntitle: \"{{ trigger.name }}\"\n" + STEPS


@pytest.fixture
def inbox(workspace: Any) -> Path:
    (workspace.path / "in").mkdir()
    return workspace.path / "in"


def put(path: Path, text: str, at: float) -> None:
    """Write a file whole, dated."""
    path.write_text(text)
    os.utime(path, (at, at))


def test_a_crash_between_polls_and_inside_one_loses_and_doubles_nothing(workspace, polled, inbox):
    for n in range(5):
        put(inbox / f"f{n}", str(n), 1000 + n)
    one = polled(FOLDER)

    def dies_before(work: Any) -> Any:
        raise KeyboardInterrupt

    def dies_inside(work: Any) -> Any:
        with one.database.write() as connection:
            work(connection)
            raise KeyboardInterrupt

    def dies_after(work: Any) -> Any:
        one.write(work)
        raise KeyboardInterrupt

    for crash in (dies_before, dies_inside):
        with pytest.raises(KeyboardInterrupt):
            one.poller(crash).poll(one.loaded, one.source, NOW)
        assert workspace.statuses() == {}
    with pytest.raises(KeyboardInterrupt):
        one.poller(dies_after).poll(one.loaded, one.source, NOW)
    assert len(workspace.statuses()) == 5
    assert one.poll() == 0
    put(inbox / "f0", "changed", 2000)
    with pytest.raises(KeyboardInterrupt):
        one.poller(dies_after).poll(one.loaded, one.source, NOW)
    assert one.poll() == 0
    assert len(workspace.statuses()) == 6


def test_a_content_that_comes_back_is_a_change_of_its_own(workspace, polled, inbox):
    one = polled(FOLDER)
    for n, text in enumerate(["A", "B", "A", "A", "B"]):
        put(inbox / "f", text, 1000 + n)
        # Every poll is that of a new process: nothing is known but what is in the store.
        assert one.poll() == (0 if n == 3 else 1), n
        assert one.poll() == 0
    assert len(workspace.statuses()) == 4


def test_what_cannot_be_read_in_one_chunk_does_not_stop_the_others(polled, monkeypatch):
    one = polled(FOLDER)
    watcher = registry().triggers["files.new_or_updated"].source
    seen = [Seen(f"k{n}", "x") for n in range(450)]

    def fetch(inputs: Any, watch: Any, keys: Any) -> Any:
        for key in keys:
            if key != "k10":
                yield Found(key, "x", {"name": key})
        if "k10" in keys:
            raise StepError("k10: permission denied", "file")

    broken = replace(watcher, scan=lambda inputs, watch: seen, fetch=fetch)
    trigger = replace(one.loaded.recipe.trigger, declared=replace(one.loaded.recipe.trigger.declared, source=broken))
    loaded = replace(one.loaded, recipe=replace(one.loaded.recipe, trigger=trigger))
    with pytest.raises(StepError, match="k10: permission denied"):
        one.poller().poll(loaded, one.source, NOW)
    with one.database.read() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM jobs")).scalar() == 449


# Files


def test_a_folder_of_csv_files_dropped_in_while_the_engine_runs(workspace, inbox, until):
    workspace.recipe("""\
trigger: {files.new: {path: in, glob: "*.csv", parse: csv, settle: 0s, every: 1s}}
title: "{{ trigger.name }}"
steps:
  - repeat: trigger.data
    as: row
    do: [{action: files.append, with: {path: log, text: "{{ row.name }}\\n"}}]
""")
    put(inbox / "before.csv", "name,age\nAnn,1\n", 1000)
    with workspace.engine(polls=True) as engine:
        until(lambda: (engine.tick(), workspace.lines() == ["Ann"])[1], "the first file")
        put(inbox / "bad.csv", "name,age\nonly one field\n", 1001)
        put(inbox / "during.csv", 'name,age\n"Bob, B",2\nCyd,3\n', 1002)
        (inbox / "other.txt").write_text("no")
        until(lambda: (engine.tick(), len(workspace.lines()) == 3 and engine.idle())[1], "the second file")
    assert workspace.lines() == ["Ann", "Bob, B", "Cyd"]
    jobs = {workspace.automation.job(id).title: workspace.automation.job(id) for id in workspace.statuses()}
    bad = next(jobs.pop(title) for title in list(jobs) if "bad.csv" in title)
    assert (bad.status, bad.error.kind) == (Status.FAILED, "parse")
    assert {title: job.status.value for title, job in jobs.items()} == {
        "before.csv": "succeeded", "during.csv": "succeeded",
    }


def test_since_compares_a_files_modification_time(workspace, inbox):
    workspace.recipe("trigger: {files.new: {path: in, settle: 0s, since: 2026-01-01}}\n" + STEPS)
    put(inbox / "old", "x", dt.datetime(2025, 12, 31, tzinfo=dt.UTC).timestamp())
    put(inbox / "new", "x", dt.datetime(2026, 1, 1, tzinfo=dt.UTC).timestamp())
    workspace.poll()
    assert [workspace.detail(id).trigger["name"] for id in workspace.statuses()] == ["new"]


# The clock


EVERY = "trigger: {schedule.every: {every: 10m}}\n" + STEPS
CRON = "trigger: {schedule.cron: {cron: '0 6 * * *', timezone: Europe/Berlin}}\n" + STEPS


def scheduled(workspace: Any) -> list[str]:
    return [workspace.detail(id).trigger["scheduled_at"] for id in workspace.statuses()]


def test_a_schedule_makes_an_event_when_it_is_due_and_catches_up_once(workspace, polled):
    one = polled(EVERY)
    minute = dt.timedelta(minutes=1)
    assert one.poll(NOW + minute) == 0
    assert one.poll(NOW + 9 * minute) == 0
    assert one.poll(NOW + 10 * minute) == 1
    assert one.poll(NOW + 19 * minute) == 0
    # Five times were missed: the last of them stands for all.
    assert one.poll(NOW + 75 * minute) == 1
    assert scheduled(workspace) == ["2026-07-01T12:10:00Z", "2026-07-01T13:10:00Z"]


def test_a_clock_set_back_fires_no_time_twice(workspace, polled):
    one = polled(EVERY)
    minute = dt.timedelta(minutes=1)
    for at in (0, 10, 20, 5, 10, 20, 30):
        one.poll(NOW + at * minute)
    assert scheduled(workspace) == ["2026-07-01T12:10:00Z", "2026-07-01T12:20:00Z", "2026-07-01T12:30:00Z"]


def test_a_year_of_missed_times_costs_nothing(workspace, polled):
    one = polled("trigger: {schedule.every: {every: 1s}}\n" + STEPS)
    asked = 0
    declared = one.loaded.recipe.trigger.declared

    def due(inputs: Any, after: dt.datetime) -> dt.datetime:
        nonlocal asked
        asked += 1
        return declared.source.due(inputs, after)

    trigger = replace(one.loaded.recipe.trigger, declared=replace(declared, source=replace(declared.source, due=due)))
    one.loaded = replace(one.loaded, recipe=replace(one.loaded.recipe, trigger=trigger))
    one.poll(NOW)
    assert one.poll(NOW + dt.timedelta(days=365, milliseconds=10)) == 1
    assert asked < 10
    assert scheduled(workspace) == ["2027-07-01T12:00:00Z"]


def test_a_cron_schedule_fires_in_its_zone(workspace, polled):
    one = polled(CRON)
    for day in range(4):
        one.poll(NOW + dt.timedelta(days=day))
    assert scheduled(workspace) == [f"2026-07-0{day}T04:00:00Z" for day in (2, 3, 4)]
    one.poll(NOW + dt.timedelta(days=200))
    assert scheduled(workspace)[3:] == ["2027-01-17T05:00:00Z"]


def test_a_clock_set_back_does_not_reorder_jobs(workspace):
    workspace.recipe(STEPS)
    workspace.send({"n": 1})
    late = workspace.automation.job(1).received_at + dt.timedelta(days=1)
    database = sqlite3.connect(workspace.path / ".jobdeck" / "jobdeck.db")
    with database:
        database.execute("UPDATE jobs SET received_at = received_at + 86400000000")
    database.close()
    workspace.send({"n": 2})
    assert workspace.automation.job(2).received_at >= late


# When polls are due


class Dial:
    """A Polling whose clock the test turns."""

    def __init__(self, workspace: Any, database: Database) -> None:
        self.library = Library(workspace.path, database, self.write)
        self.database = database
        source = Source(workspace.path, {}, lambda name: None, (), threading.Event())
        self.polling = Polling(database, self.write, lambda: source)

    def write(self, work: Any) -> Any:
        with self.database.write() as connection:
            return work(connection)

    def tick(self, now: dt.datetime) -> Any:
        """Begin what is due, wait for its end, and return the recipe's state."""
        states = self.library.refresh()
        self.polling.tick({state.id: self.library.loaded(state) for state in states}, now)
        for turn in self.polling._turns.values():
            if turn.under_way is not None:
                turn.under_way.result(10)
        return self.library.refresh()[0]


@pytest.fixture
def dial(workspace: Any) -> Iterator[Dial]:
    database = Database(sqlite_url(workspace.path / ".jobdeck" / "jobdeck.db"))
    found = Dial(workspace, database)
    yield found
    found.polling.close()
    database.close()


def test_a_recipe_is_polled_at_its_interval(workspace, inbox, dial):
    workspace.recipe("trigger: {files.new: {path: in, settle: 0s, every: 10m}}\n" + STEPS)
    now = dt.datetime.now(dt.UTC)
    first = dial.tick(now)
    assert first.next_poll_at - first.polled_at == dt.timedelta(minutes=10)
    assert dial.tick(now + dt.timedelta(minutes=9)).polled_at == first.polled_at
    assert dial.tick(now + dt.timedelta(minutes=11)).polled_at > first.polled_at


def test_a_changed_recipe_does_not_wait_for_what_the_former_one_planned(workspace, dial):
    workspace.recipe("trigger: {files.new: {path: in, settle: 0s, every: 10h}}\n" + STEPS)
    now = dt.datetime.now(dt.UTC)
    first = dial.tick(now)
    assert "in" in first.warning
    (workspace.path / "in").mkdir()
    workspace.recipe("trigger: {files.new: {path: in, settle: 0s, every: 9h}}\n" + STEPS)
    assert dial.tick(now + dt.timedelta(seconds=1)).warning is None


def test_a_stopped_recipe_is_not_polled(workspace, inbox, dial):
    workspace.recipe(FOLDER + "start: false\n")
    put(inbox / "f", "x", 1000)
    assert dial.tick(dt.datetime.now(dt.UTC)).polled_at is None
    assert workspace.statuses() == {}
    workspace.automation.start_recipe("sync", by="ada")
    dial.tick(dt.datetime.now(dt.UTC))
    assert len(workspace.statuses()) == 1


def test_a_store_that_cannot_be_written_stops_no_engine(workspace, inbox, dial, monkeypatch):
    workspace.recipe(FOLDER)
    put(inbox / "f", "x", 1000)
    dial.library.refresh()
    write = dial.polling._write

    def full(work: Any) -> Any:
        raise StoreError("the store cannot be used: database or disk is full; make room on the disk")

    dial.polling._write = full
    dial.tick(dt.datetime.now(dt.UTC))
    dial.polling._write = write
    dial.tick(dt.datetime.now(dt.UTC))
    assert len(workspace.statuses()) == 1
