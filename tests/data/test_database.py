"""The store's database: opened as durability needs it, migrated once, and told in a sentence when it cannot be used."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from data.database import Database, sqlite_url
from data.errors import StoreError
from data.job_records import JobFilter, Sort
from data.report import Report
from data.snapshots import SCHEMA
from data.tables import metadata


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobdeck.db"


def pragma(database: Database, name: str) -> object:
    with database.read() as connection:
        return connection.exec_driver_sql(f"PRAGMA {name}").scalar()


def test_the_migrated_schema_is_the_one_that_the_code_knows(path):
    database = Database(sqlite_url(path))
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        told = {row.name: row.sql for row in connection.execute(text("SELECT name, sql FROM sqlite_master"))}
    database.close()
    # What the comparison does not look at: the conditions of partial indexes, and ids that are never used again.
    for index in (index for table in metadata.tables.values() for index in table.indexes):
        where = index.dialect_options["sqlite"]["where"]
        assert (" WHERE " in told[index.name]) is (where is not None), index.name
    for table in metadata.tables.values():
        keeps_ids = table.dialect_options["sqlite"]["autoincrement"]
        assert ("AUTOINCREMENT" in told[table.name]) is bool(keeps_ids), table.name


def test_it_is_durable_and_checked_on_every_connection(path):
    database = Database(sqlite_url(path))
    assert pragma(database, "journal_mode") == "wal"
    assert pragma(database, "synchronous") == 2  # FULL
    assert pragma(database, "foreign_keys") == 1
    assert pragma(database, "busy_timeout") >= 10_000
    with database.write() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        with pytest.raises(IntegrityError, match="FOREIGN KEY"):
            connection.execute(text("INSERT INTO payloads (job_id, event) VALUES (999, 'null')"))
    database.close()


def test_only_the_engine_moves_the_log_into_the_file(path):
    with_checkpoints = Database(sqlite_url(path), checkpoints=True)
    without = Database(sqlite_url(path))
    assert pragma(with_checkpoints, "wal_autocheckpoint") > 0
    assert pragma(without, "wal_autocheckpoint") == 0
    with_checkpoints.close()
    without.close()


def test_a_write_that_raises_leaves_nothing(path):
    database = Database(sqlite_url(path))

    def broken() -> None:
        with database.write() as connection:
            connection.execute(text("INSERT INTO meta VALUES ('a', 'b')"))
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        broken()
    with database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM meta")).scalar() == 0
    database.close()


def test_a_read_sees_one_state_while_others_write(path):
    database = Database(sqlite_url(path))
    count = text("SELECT count(*) FROM meta")
    with database.read() as reading:
        assert reading.execute(count).scalar() == 0
        with database.write() as connection:
            connection.execute(text("INSERT INTO meta VALUES ('a', 'b')"))
        assert reading.execute(count).scalar() == 0
    with database.read() as reading:
        assert reading.execute(count).scalar() == 1
    database.close()


def test_a_newer_schema_is_refused_with_a_sentence_and_left_alone(path):
    Database(sqlite_url(path)).close()
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    raw.close()
    with pytest.raises(StoreError) as caught:
        Database(sqlite_url(path))
    assert str(caught.value) == (
        f"the store {path} was written by a newer Jobdeck (schema 9999, this one knows {SCHEMA}): "
        "install the newer Jobdeck again"
    )
    with sqlite3.connect(path) as raw:
        assert raw.execute("SELECT version_num FROM alembic_version").fetchone() == ("9999",)
    raw.close()


OPEN = """
import sys
from data.database import Database, sqlite_url
sys.stdin.readline()
database = Database(sqlite_url(sys.argv[1]))
with database.read() as connection:
    print(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar())
"""


def test_processes_that_open_a_new_store_at_once_all_can(path):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )
        for _ in range(3)
    ]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    told = [process.communicate(timeout=60) for process in processes]
    assert told == [(f"{SCHEMA}\n", "")] * 3


@pytest.mark.parametrize(
    "content", [b"this is no database" * 100, b"\x00" * 8192, b"SQLite format 3\x00" + b"\xff" * 8192]
)
def test_a_file_that_is_no_store_gives_a_sentence(path, content):
    path.write_bytes(content)
    with pytest.raises(StoreError, match=f"the store {path} cannot be used: .*; "):
        Database(sqlite_url(path))


def test_a_damaged_store_never_gives_anything_but_a_sentence(path):
    database = Database(sqlite_url(path), checkpoints=True)
    with database.write() as connection:
        connection.execute(text("INSERT INTO recipes (id, name, started, present) VALUES (1, 'r', 1, 1)"))
        for n in range(1, 200):
            values = {"n": n, "title": f"job {n} " + "x" * 200}
            columns = "id, recipe_id, event_key, title, received_at"
            insert = f"INSERT INTO jobs ({columns}) VALUES (:n, 1, 'k' || :n, :title, :n)"
            connection.execute(text(insert), values)
            connection.execute(
                text(
                    "INSERT INTO versions (job_id, recipe_id, number, latest, status, mode, requested_by,"
                    " requested_at, priority, attempt) VALUES (:n, 1, 1, 1, 'failed', 'first', 'a', :n, 0, 1)"
                ),
                {"n": n},
            )
    database.close()
    whole = path.read_bytes()
    dice = random.Random(7)
    told: list[str] = []
    for _ in range(25):
        damaged = bytearray(whole)
        for _ in range(40):
            at = dice.randrange(len(damaged))
            damaged[at] = dice.randrange(256)
        path.write_bytes(damaged)
        try:
            database = Database(sqlite_url(path))
            try:
                list(Report(database, JobFilter(search="job"), Sort()).iterate())
            finally:
                database.close()
        except StoreError as error:
            told.append(str(error))
        except (ValueError, TypeError, OverflowError, KeyError):
            # A flipped bit inside a value, which SQLite cannot notice.
            continue
    assert told
    assert all(str(path) in sentence for sentence in told)


def test_a_folder_that_is_not_there_gives_a_sentence(tmp_path):
    with pytest.raises(StoreError, match="unable to open database file; see that the folder is there"):
        Database(sqlite_url(tmp_path / "none" / "jobdeck.db"))


def test_a_full_disk_gives_a_sentence_and_the_store_stays_whole(path):
    database = Database(sqlite_url(path))

    def fill() -> None:
        with database.write() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
            connection.execute(text("INSERT INTO meta VALUES ('a', :big)"), {"big": "x" * 1_000_000})

    with pytest.raises(StoreError, match="make room on the disk"):
        fill()
    assert pragma(database, "integrity_check") == "ok"
    database.close()


def test_data_version_moves_with_what_others_commit(path):
    database, other = Database(sqlite_url(path)), Database(sqlite_url(path))
    before = database.data_version()
    assert database.data_version() == before
    with other.write() as connection:
        connection.execute(text("INSERT INTO meta VALUES ('a', 'b')"))
    assert database.data_version() != before
    database.close()
    other.close()
