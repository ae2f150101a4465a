"""Jobs per second of the engine, everything recorded and durable, beside the raw group-commit limit of sqlite3.

    python tests/benchmarks/engine.py [--events 2000] [--rounds 5] [--floor 0.15]

The workload: events of about 600 bytes, three steps each, input and output of every step recorded, `synchronous=FULL`.
Prints the medians of interleaved rounds, and of their ratios, because a machine's speed drifts. Exits 1 where the
ratio is below the floor.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from core.automation import Automation
from core.runner import Engine, settle_in
from data.states import Status

RECIPE = """
trigger:
  manual.event: {}
title: "{{ trigger.name }}"
concurrency: 50
steps:
  - id: one
    action: log.write
    with: {level: debug, message: "{{ trigger.name }} {{ trigger.filler }}"}
  - id: two
    action: log.write
    with: {level: debug, message: "{{ trigger.number + 1 }} {{ trigger.filler }}"}
  - id: three
    action: log.write
    with: {level: debug, message: "{{ trigger.name }} {{ trigger.filler }}"}
"""
COMMIT_EVERY = 50


def event(number: int) -> dict[str, object]:
    """Return an event of about 600 bytes."""
    return {"number": number, "name": f"account {number}", "filler": "x" * 540}


def raw_limit(folder: Path, events: int) -> float:
    """Return jobs per second when bare sqlite3 writes what the engine writes, 50 jobs a commit, with nothing around it.

    The same tables and indexes, the same rows: each version claimed, each step begun and ended, the version ended.
    """
    workspace(folder)
    with Automation(folder) as automation:
        automation.send("bench", (event(number) for number in range(events)), by="benchmark")
    database = sqlite3.connect(folder / ".jobdeck" / "jobdeck.db", isolation_level=None)
    database.execute("PRAGMA synchronous = FULL")
    database.execute("PRAGMA foreign_keys = ON")
    document = json.dumps({"level": "debug", "message": "account 1 " + "x" * 540})
    began = time.perf_counter()
    for start in range(0, events, COMMIT_EVERY):
        database.execute("BEGIN IMMEDIATE")
        for id in range(start + 1, start + 1 + COMMIT_EVERY):
            _write_run(database, id, document, time.time_ns() // 1000)
        database.execute("COMMIT")
    took = time.perf_counter() - began
    database.close()
    return events / took


def _write_run(database: sqlite3.Connection, id: int, document: str, now: int) -> None:
    database.execute(
        "UPDATE versions SET status = 'running', owner = 'raw', revision_id = 1, started_at = ? WHERE id = ?", (now, id)
    )
    for number, step in enumerate(("one", "two", "three"), start=1):
        database.execute(
            "INSERT INTO steps (version_id, path, ordinal, step_id, action, effect, on_doubt, status, attempts, input,"
            " started_at) VALUES (?, ?, ?, ?, 'log.write', 'idempotent', 'retry', 'running', 1, ?, ?)",
            (id, str(number), number, step, document, now),
        )
        database.execute(
            "UPDATE steps SET status = 'succeeded', output = ?, duration_ms = 1 WHERE version_id = ? AND path = ?",
            (document, id, str(number)),
        )
    database.execute(
        "UPDATE versions SET status = 'succeeded', owner = NULL, finished_at = ?, duration_ms = 1 WHERE id = ?",
        (now, id),
    )


def workspace(folder: Path) -> None:
    """Make a workspace with the recipe of the workload."""
    (folder / "recipes").mkdir(parents=True)
    (folder / "jobdeck.toml").write_text("[engine]\nslots = 50\n")
    (folder / "recipes" / "bench.yaml").write_text(RECIPE)


def engine_rate(folder: Path, events: int) -> float:
    """Return jobs per second from the engine's start, with all events queued, to the last job's end."""
    workspace(folder)
    with Automation(folder) as automation:
        automation.send("bench", (event(number) for number in range(events)), by="benchmark")
        engine = Engine(folder, listens=False, polls=False)
        began = time.perf_counter()
        engine.start()
        while not engine.idle():
            time.sleep(0.05)
        took = time.perf_counter() - began
        engine.close()
        ended = automation.status().jobs
    if ended != {Status.SUCCEEDED: events}:
        raise SystemExit(f"not every job succeeded: {ended}")
    return events / took


def main() -> None:
    """Measure both in one run and print them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--floor", type=float, default=0.15)
    arguments = parser.parse_args()
    settle_in()
    raws, engines = [], []
    for number in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as folder:
            raws.append(raw_limit(Path(folder, "raw"), arguments.events))
            engines.append(engine_rate(Path(folder, "engine"), arguments.events))
        print(f"round {number + 1}: raw {raws[-1]:,.0f}, engine {engines[-1]:,.0f}", file=sys.stderr)
    ratio = median(engine / raw for engine, raw in zip(engines, raws, strict=True))
    print(f"raw sqlite3, {COMMIT_EVERY} jobs a commit: {median(raws):8,.0f} jobs/s")
    print(f"engine, 3 steps, all recorded:    {median(engines):8,.0f} jobs/s")
    print(f"ratio: {ratio:.3f} (floor {arguments.floor})")
    sys.exit(ratio < arguments.floor)


if __name__ == "__main__":
    main()
