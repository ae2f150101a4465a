"""The purge of the store: whole jobs or nothing of them, however it ends; open and held ones never; by an index."""

from __future__ import annotations

import datetime as dt
import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from data import purge, rehearsals
from data.database import Database, sqlite_url
from data.job_records import Hold
from data.purge import START, Batch, Due
from data.states import ENDED, Status
from tests.benchmarks.generate import RECIPES, fill

JOBS = 1_500
NOW = dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC)
LATER = NOW + dt.timedelta(days=60)
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Give the content of a store of many jobs, each with two step records."""
    path = tmp_path_factory.mktemp("store") / "jobdeck.db"
    fill(path, JOBS, int(NOW.timestamp() * 1e6))
    return path.read_bytes()


@pytest.fixture
def path(filled: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "jobdeck.db"
    path.write_bytes(filled)
    return path


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    database = Database(sqlite_url(path))
    yield database
    database.close()


def purge_all(database: Database, before: dt.datetime = LATER) -> list[Batch]:
    """Remove what ended before a moment, of every recipe and status."""
    batches = []
    for recipe_id in range(1, len(RECIPES) + 1):
        for status in sorted(ENDED):
            place: Any = START
            while place is not None:
                with database.write() as connection:
                    due = Due(recipe_id, status, before)
                    batches.append(purge.remove(connection, due, place, LATER, "retention 30d of the workspace"))
                place = batches[-1].next
    return batches


def asked(path: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


OPEN = "SELECT job_id FROM versions WHERE latest AND status IN ('queued', 'running', 'in_doubt')"
BROKEN = {
    "a job of which only some versions are marked":
        "SELECT job_id FROM versions GROUP BY job_id HAVING min(expired) <> max(expired)",
    "a marked version that has data":
        """SELECT id FROM versions WHERE expired AND (event IS NOT NULL OR report IS NOT NULL OR warnings IS NOT NULL
           OR error_message <> 'removed by retention' OR id IN (SELECT version_id FROM steps)
           OR job_id IN (SELECT job_id FROM payloads) OR job_id IN (SELECT job_id FROM rehearsals))""",
    "a job that does not say when and by what it lost its data":
        """SELECT jobs.id FROM jobs JOIN versions ON job_id = jobs.id AND latest
           WHERE expired <> (trigger_expired_at IS NOT NULL AND trigger_expired_by IS NOT NULL)""",
    "a job with data and without its event":
        "SELECT job_id FROM versions WHERE NOT expired AND job_id NOT IN (SELECT job_id FROM payloads)",
    "a version with data and without its steps":
        """SELECT id FROM versions WHERE NOT expired AND status IN ('succeeded', 'failed')
           AND id NOT IN (SELECT version_id FROM steps)""",
    "an event without a job": "SELECT job_id FROM payloads WHERE job_id NOT IN (SELECT id FROM jobs)",
    "a step without a version": "SELECT version_id FROM steps WHERE version_id NOT IN (SELECT id FROM versions)",
    "an open job without its data":
        f"{OPEN} AND (expired OR job_id NOT IN (SELECT job_id FROM payloads))",
}


def broken(path: Path) -> dict[str, list[Any]]:
    """Return what is neither whole nor gone."""
    return {what: found for what, sql in BROKEN.items() if (found := asked(path, sql))}


def test_what_has_ended_goes_whole_and_what_is_open_stays(database: Database, path: Path) -> None:
    before = {row[0]: row[1:] for row in asked(path, FACTS)}
    batches = purge_all(database)
    assert sum(batch.jobs for batch in batches) == JOBS - len(asked(path, OPEN))
    assert sum(batch.bytes for batch in batches) > JOBS * 100
    assert broken(path) == {}
    assert asked(path, "SELECT count(*) FROM payloads") == [(len(asked(path, OPEN)),)]
    assert {row[0]: row[1:] for row in asked(path, FACTS)} == before
    assert sum(batch.jobs for batch in purge_all(database)) == 0


FACTS = """
SELECT versions.id, jobs.id, event_key, received_at, jobs.recipe_id, number, status, mode, requested_by, requested_at,
       note, revision_id, started_at, finished_at, duration_ms, error_kind, error_step, error_status, error_group
FROM jobs JOIN versions ON job_id = jobs.id
"""


def test_rehearsals_go_with_their_job_and_none_is_kept_of_one_that_is_gone(database: Database, path: Path) -> None:
    (job, version, revision), *_ = asked(path, "SELECT job_id, number, revision_id FROM versions WHERE latest"
                                               " AND status = 'succeeded' AND revision_id IS NOT NULL LIMIT 1")
    rehearsed = {"by": "ops", "now": NOW, "status": Status.FAILED, "content": {"verdict": "x" * 5_000}}
    with database.write() as connection:
        assert rehearsals.add(connection, job, version, revision, **rehearsed) is not None
    before = sum(batch.bytes for batch in purge_all(database, NOW - dt.timedelta(days=999)))
    assert (before, len(asked(path, "SELECT id FROM rehearsals"))) == (0, 1)
    assert sum(batch.bytes for batch in purge_all(database)) > 5_000
    assert asked(path, "SELECT id FROM rehearsals") == []
    with database.write() as connection:
        assert rehearsals.add(connection, job, version, revision, **rehearsed) is None


def test_only_what_ended_before_the_moment_goes(database: Database, path: Path) -> None:
    middle = NOW - dt.timedelta(minutes=30)
    purge_all(database, middle)
    assert broken(path) == {}
    micros = int(middle.timestamp() * 1e6)
    late = f"SELECT count(*) FROM versions WHERE latest AND expired AND finished_at >= {micros}"
    early = f"SELECT count(*) FROM versions WHERE latest AND NOT expired AND finished_at < {micros}"
    assert asked(path, late) == asked(path, early) == [(0,)]
    assert asked(path, "SELECT count(*) > 100 FROM versions WHERE expired") == [(1,)]


def test_held_jobs_stay_and_keep_nobody_else(database: Database, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purge, "BATCH", 7)
    held = [id for (id,) in asked(path, "SELECT id FROM jobs WHERE id < 900") if (id,) not in asked(path, OPEN)]
    with database.write() as connection:
        assert all(purge.hold(connection, id, Hold("a dispute", "ada", NOW)) for id in held)
    purge_all(database)
    assert broken(path) == {}
    kept = {id for (id,) in asked(path, "SELECT DISTINCT job_id FROM versions WHERE NOT expired")}
    assert kept == set(held) | {id for (id,) in asked(path, OPEN)}
    with database.write() as connection:
        assert all(purge.release(connection, id) for id in held)
        assert not purge.release(connection, held[0])
    assert sum(batch.jobs for batch in purge_all(database)) == len(held)


def test_a_look_counts_what_would_go_and_touches_nothing(database: Database, path: Path) -> None:
    due = Due(2, Status.SUCCEEDED, LATER)
    with database.read() as connection:
        looked = purge.look(connection, due, START)
        assert looked == purge.look(connection, due, START)
    with database.write() as connection:
        assert purge.remove(connection, due, START, LATER, "a rule") == looked
    assert looked.jobs == purge.BATCH


def test_due_jobs_are_found_by_their_index_in_order(database: Database) -> None:
    statements: list[tuple[str, Any]] = []
    with database.read() as connection:
        event.listen(connection, "before_cursor_execute", lambda *told: statements.append((told[2], told[3])))
        purge.look(connection, Due(2, Status.SUCCEEDED, LATER), START)
        plans = ["; ".join(row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values))
                 for sql, values in list(statements) if sql.startswith("SELECT")]
    assert plans[0] == (
        "SEARCH versions USING INDEX versions_due"
        " (recipe_id=? AND status=? AND (finished_at,job_id)>(?,?) AND finished_at<?)"
    )
    assert not [plan for plan in plans if plan.startswith("SCAN")]


PURGING = """
import sys
from pathlib import Path
from data import purge, rehearsals
from data.database import Database, sqlite_url
from tests.data.test_purge import purge_all
purge.BATCH = 10
whole = purge.remove
def told(*given):
    batch = whole(*given)
    print(batch.jobs, flush=True)
    return batch
purge.remove = told
purge_all(Database(sqlite_url(Path(sys.argv[1]))))
print("done", flush=True)
"""


def test_killed_at_any_batch_it_leaves_whole_jobs_and_the_next_goes_on(path: Path) -> None:
    chosen = random.Random(22)
    left, killed = JOBS, 0
    while True:
        command = [sys.executable, "-c", PURGING, str(path)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        with process.stdout:
            said = [process.stdout.readline() for _ in range(chosen.randint(1, 50))]
            process.kill()
        process.wait()
        assert broken(path) == {}
        kept = asked(path, "SELECT count(*) FROM versions WHERE latest AND NOT expired")[0][0]
        assert kept <= left
        left = kept
        if "done\n" in said:
            break
        killed += 1
    assert killed >= 3
    assert left == len(asked(path, OPEN))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
