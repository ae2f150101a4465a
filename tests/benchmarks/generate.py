"""Makes a workspace with many jobs of plausible variety: `python tests/benchmarks/generate.py FOLDER [--jobs N]`."""

from __future__ import annotations

import argparse
import sqlite3
import time
from pathlib import Path

from data.database import Database, sqlite_url

RECIPES = ("sync_accounts", "invoices", "welcome_mail", "stock_levels", "tickets", "nightly_export", "refunds", "leads")
FIRST_WORDS = (
    "Acme", "Northwind", "Globex", "Initech", "Umbrella", "Stark", "Wayne", "Hooli", "Vandelay", "Contoso", "Ærø",
    "Müller", "Škoda", "Łódź", "東京", "Pied", "Soylent", "Tyrell", "Wonka", "Duff", "Fabrikam", "Gringotts", "Oscorp",
)
LAST_WORDS = (
    "Harbor", "Logistics", "& Sons", "Foods", "Systems", "Partners", "Clinic", "Energy", "Studios", "Bakery", "GmbH",
    "Freight", "Optics", "Textiles", "Robotics", "Cooperative", "Publishing", "Insurance Brokers of the Lower Rhine",
)
ERRORS = (
    "help desk answered 422: name is too short (minimum is 2 characters), organization {}",
    "connection to db-7 refused after 3 attempts",
    "trigger.Website is undefined for account {}",
    "answer took longer than 30s: POST /api/v2/organizations/{}",
    "help desk answered 429: too many requests, retry after 60",
    "no column `vat_id` in table `accounts_{}`",
    "exit status 1: Traceback (most recent call last): KeyError: {}",
    "certificate of api.example.com has expired",
    "file /srv/inbox/{}.csv is not UTF-8",
)
GAP_US = 2_900_000
STEPS_FOR_LAST = 2_000
"""Only the newest jobs get step records: the report reads none, and details are looked at one at a time."""


def fill(database: Path, jobs: int, now_us: int | None = None) -> None:
    """Write `jobs` jobs, their versions and payloads into the empty store at `database`; made if it is not there."""
    Database(sqlite_url(database)).close()
    connection = sqlite3.connect(database, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -200000")
        indexes = connection.execute(_INDEXES).fetchall()
        connection.execute("BEGIN IMMEDIATE")
        for name, _ in indexes:
            connection.execute(f'DROP INDEX "{name}"')
        _fill(connection, jobs, time.time_ns() // 1000 if now_us is None else now_us)
        for _, sql in indexes:
            connection.execute(sql)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()


def _fill(connection: sqlite3.Connection, jobs: int, now_us: int) -> None:
    _write_recipes(connection, now_us)
    for table, words in (("first_words", FIRST_WORDS), ("last_words", LAST_WORDS), ("errors", ERRORS)):
        connection.execute(f"CREATE TEMP TABLE {table} (n INTEGER PRIMARY KEY, word TEXT)")
        connection.executemany(f"INSERT INTO {table} VALUES (?, ?)", enumerate(words))
    values = {"jobs": jobs, "start": now_us - jobs * GAP_US, "gap": GAP_US, "recipes": len(RECIPES)}
    for statement in (_JOBS, _VERSIONS, _PAYLOADS, _STEPS):
        connection.execute(statement.format(**_SIZES), values)


def _write_recipes(connection: sqlite3.Connection, now_us: int) -> None:
    for number, name in enumerate(RECIPES, 1):
        connection.execute("INSERT INTO recipes (id, name, started) VALUES (?, ?, 1)", (number, name))
        for revision in (1, 2, 3):
            connection.execute(
                "INSERT INTO revisions (recipe_id, number, text, stored_at) VALUES (?, ?, ?, ?)",
                (number, revision, f"description: {name}, revision {revision}\n", now_us),
            )


_INDEXES = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql <> ''"
_SIZES = {"first": len(FIRST_WORDS), "last": len(LAST_WORDS), "errors": len(ERRORS), "steps_for": STEPS_FOR_LAST}

# `h` scatters what a job is made of over the ids; the same number of jobs is always the same jobs.
_JOBS = """
WITH RECURSIVE numbers(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < :jobs),
     scattered AS (SELECT i, (i * 2654435761) % 4294967291 AS h FROM numbers WHERE i <= :jobs)
INSERT INTO jobs (id, recipe_id, event_key, title, received_at)
SELECT i, 1 + (h >> 3) % :recipes, printf('%08x@%d', h, i % 5),
       first_words.word || ' ' || last_words.word || ' ' || ((h >> 7) % 1000),
       :start + i * :gap + h % 1000000
FROM scattered
JOIN first_words ON first_words.n = (h >> 5) % {first}
JOIN last_words ON last_words.n = (h >> 11) % {last}
"""

# One job in eleven was rerun, one in ninety-seven twice; earlier versions failed. Only the newest are still open.
_VERSIONS = """
WITH numbers(number) AS (VALUES (1), (2), (3)),
     planned AS (
        SELECT id, recipe_id, received_at, (id * 2654435761) % 4294967291 AS h,
               1 + (id % 11 = 0) + (id % 97 = 0) AS versions FROM jobs),
     runs AS (
        SELECT *, number = versions AS latest,
               min(received_at + 1000000 + h % 5000000 + (number - 1) * (3600000000 + h % 90000000000),
                   :start + :jobs * :gap - (4 - number) * 200000) AS began,
               40 + (h >> 4) % 977 + ((h >> 4) % 50 = 0) * (h % 120000) AS took
        FROM planned JOIN numbers ON number <= versions),
     judged AS (
        SELECT *, CASE
            WHEN NOT latest THEN 'failed'
            WHEN id > :jobs - 12 AND id % 3 > 0 THEN 'queued'
            WHEN id > :jobs - 15 THEN 'running'
            WHEN (h >> 6) % 1000 < 893 THEN 'succeeded'
            WHEN (h >> 6) % 1000 < 985 THEN 'failed'
            WHEN (h >> 6) % 1000 < 998 THEN 'canceled'
            ELSE 'in_doubt' END AS status
        FROM runs)
INSERT INTO versions (job_id, recipe_id, number, latest, status, revision_id, mode, requested_by, requested_at,
                      priority, attempt, started_at, finished_at, duration_ms, error_message, error_kind, error_step,
                      error_status, error_group, report, warnings)
SELECT id, recipe_id, number, latest, status, CASE WHEN status <> 'queued' THEN recipe_id * 3 - 2 + id % 3 END,
       CASE number WHEN 1 THEN 'first' ELSE 'start' END, CASE number WHEN 1 THEN 'engine' ELSE 'ops@10.0.0.7' END,
       CASE number WHEN 1 THEN received_at ELSE began - 500000 END, 0, 1,
       CASE WHEN status <> 'queued' THEN began END,
       CASE WHEN status IN ('succeeded', 'failed', 'canceled') THEN began + took * 1000 END,
       CASE WHEN status IN ('succeeded', 'failed', 'canceled') THEN took END,
       CASE WHEN status = 'failed' THEN replace(word, '{{}}', h % 5000) END,
       CASE WHEN status = 'failed' THEN 'action' END, CASE WHEN status = 'failed' THEN '2.then.1' END,
       CASE WHEN status = 'failed' AND word LIKE 'help desk answered%' THEN substr(word, 20, 3) END,
       CASE WHEN status = 'failed' THEN printf('%08x', (n + 1) * 454761243 % 4294967291) END,
       CASE WHEN recipe_id = 1 THEN '{{"Account":"001' || h || '"}}' END, '[]'
FROM judged JOIN errors ON errors.n = (h >> 9) % {errors}
ORDER BY began
"""

_PAYLOADS = """
INSERT INTO payloads (job_id, event)
SELECT id, json_object('Id', event_key, 'Name', title) FROM jobs
"""

_STEPS = """
INSERT INTO steps (version_id, path, ordinal, step_id, action, effect, status, attempts, input, output, error,
                   started_at, duration_ms)
SELECT versions.id, path, path, step, action, effect,
       CASE WHEN path = '1' THEN 'succeeded' ELSE versions.status END, 1,
       '{{"external_id":"' || jobs.event_key || '"}}',
       CASE WHEN path = '1' OR versions.status = 'succeeded' THEN '{{"count":1,"organizations":[{{"id":7}}]}}' END,
       CASE WHEN path = '2' AND versions.status = 'failed'
            THEN json_object('message', error_message, 'kind', error_kind, 'step', '2', 'status', error_status) END,
       versions.started_at, versions.duration_ms / 2
FROM versions
JOIN jobs ON jobs.id = versions.job_id
JOIN (SELECT '1' AS path, 'find' AS step, 'zendesk.search_organizations' AS action, 'reads' AS effect
      UNION ALL SELECT '2', 'update', 'zendesk.update_organization', 'idempotent')
WHERE versions.job_id > :jobs - {steps_for} AND versions.status IN ('succeeded', 'failed')
"""


def make(workspace: Path, jobs: int) -> Path:
    """Make a workspace with `jobs` jobs and no recipe file; return its database."""
    database = workspace / ".jobdeck" / "jobdeck.db"
    database.parent.mkdir(parents=True, exist_ok=True)
    (workspace / "recipes").mkdir(exist_ok=True)
    (workspace / "jobdeck.toml").touch()
    fill(database, jobs)
    return database


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace", type=Path, help="a new folder")
    parser.add_argument("--jobs", type=int, default=1_000_000)
    arguments = parser.parse_args()
    if (arguments.workspace / ".jobdeck").exists():
        parser.error(f"{arguments.workspace} is a workspace already; name a new folder")
    began = time.perf_counter()
    database = make(arguments.workspace, arguments.jobs)
    megabytes = database.stat().st_size / 1e6
    print(f"{arguments.jobs:,} jobs in {time.perf_counter() - began:.1f} s, {megabytes:,.0f} MB: {database}")


if __name__ == "__main__":
    main()
