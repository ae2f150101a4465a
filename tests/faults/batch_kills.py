"""Kills engines, and the one who asked, while a bulk rerun goes on; then counts what became of every job of it.

    python -m tests.faults.batch_kills --jobs 10000 --kills 10
"""

from __future__ import annotations

import argparse
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from processes import ROOT, EngineProcess, run_until_idle
from world import wait_until

from core.automation import Automation
from core.reruns import Selection
from data.job_records import JobFilter
from data.states import BatchStatus, Status

KEYS = 40
RECIPE = """\
trigger: {manual.event: {}}
concurrency: 8
steps:
"""
BROKEN = RECIPE + "  - stop: failed\n    reason: it was down\n"
MENDED = RECIPE + '  - {id: say, action: files.append, with: {path: log, text: "{{ job.id }}.{{ job.version }}\\n"}}\n'
ASK = """
import sys
from pathlib import Path
from core.automation import Automation
from core.reruns import Selection
from data.job_records import JobFilter
with Automation(Path(sys.argv[1])) as automation:
    automation.rerun(Selection(filter=JobFilter()), by="harness", note="after the outage")
"""


@dataclass
class Figures:
    """What a run came to."""

    seed: int
    jobs: int
    kills: int = 0
    asker_killed_at: int = 0
    """Jobs that were queued when the one who asked was killed."""
    in_doubt: int = 0
    seconds: float = 0.0
    violations: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return "\n".join((
            f"seed {self.seed}: {self.jobs} failed jobs in one batch, the one who asked killed after "
            f"{self.asker_killed_at} were queued, the engine killed {self.kills} times, {self.seconds:.0f} s",
            f"in doubt, then settled: {self.in_doubt}",
            *(f"VIOLATION: {text}" for text in self.violations[:20]),
            f"{len(self.violations)} violations",
        ))  # fmt: skip


def run(folder: Path, *, jobs: int, kills: int, seed: int) -> Figures:
    """Rerun `jobs` failed jobs as one batch while everybody who works on it is killed; return what became of them."""
    figures, chance, began = Figures(seed, jobs), random.Random(seed), time.monotonic()
    workspace = _failed_jobs(folder / "deck", jobs)
    figures.asker_killed_at = _ask_and_kill(workspace, jobs)
    for _ in range(kills):
        _kill_at(workspace, chance.randint(1, max(jobs // kills, 2)))
        figures.kills += 1
    run_until_idle(workspace)
    figures.in_doubt = _settle(workspace)
    _check(workspace, figures)
    figures.seconds = time.monotonic() - began
    return figures


def _failed_jobs(workspace: Path, jobs: int) -> Path:
    (workspace / "recipes").mkdir(parents=True)
    (workspace / "jobdeck.toml").write_text("")
    (workspace / "recipes" / "work.yaml").write_text(BROKEN)
    with Automation(workspace) as automation:
        automation.send("work", ({"number": number} for number in range(jobs)), by="harness")
    run_until_idle(workspace)
    (workspace / "recipes" / "work.yaml").write_text(MENDED)
    with _opened(workspace) as database, database:
        # As a trigger that watches objects says it: many jobs of a few objects.
        database.execute(f"UPDATE jobs SET object_key = 'object ' || (id % {KEYS})")
    return workspace


def _opened(workspace: Path) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(workspace / ".jobdeck" / "jobdeck.db", timeout=30))


def _queued(workspace: Path) -> int:
    with _opened(workspace) as database:
        return database.execute("SELECT count(*) FROM versions WHERE number = 2").fetchone()[0]


def _ask_and_kill(workspace: Path, jobs: int) -> int:
    """Ask for the rerun of all in a process that is killed as soon as some are queued; return how many were."""
    asking = subprocess.Popen([sys.executable, "-c", ASK, str(workspace)], env={"PYTHONPATH": str(ROOT)})
    wait_until(lambda: _queued(workspace) or asking.poll() is not None, "the first jobs queued")
    asking.kill()
    asking.wait()
    return _queued(workspace)


def _kill_at(workspace: Path, ended: int) -> None:
    """Run an engine and kill it when so many more versions have ended, or all have."""
    before = _ended(workspace)
    engine = EngineProcess(workspace, until_idle=True)
    wait_until(lambda: _ended(workspace) >= before + ended or _over(engine), "more versions that ended", 300)
    engine.signal(signal.SIGKILL)
    engine.kill()


def _over(engine: EngineProcess) -> bool:
    try:
        engine.holds()
    except RuntimeError:
        return True
    return False


def _ended(workspace: Path) -> int:
    with _opened(workspace) as database:
        query = "SELECT count(*) FROM versions WHERE batch_id = 1 AND status IN ('succeeded', 'failed', 'in_doubt')"
        return database.execute(query).fetchone()[0]


def _settle(workspace: Path) -> int:
    """Settle every doubt by what stands in the log, and let the engine finish; return how many there were."""
    log = (workspace / "log").read_text().split()
    with Automation(workspace) as automation:
        filter = JobFilter(statuses=frozenset({Status.IN_DOUBT}))
        doubted = list(automation.plan(Selection(filter=filter)).refused)
        for one in doubted:
            happened = f"{one.id}.2" in log
            automation.resolve(one.id, "1", happened=happened, output={}, by="harness")
    run_until_idle(workspace)
    return len(doubted)


def _check(workspace: Path, figures: Figures) -> None:
    tell = figures.violations.append
    with Automation(workspace) as automation:
        (batch,) = automation.batches.all()
    counts = batch.counts
    if batch.status is not BatchStatus.DONE:
        tell(f"the batch is {batch.status}")
    if (counts.jobs, counts.succeeded) != (figures.jobs, figures.jobs):
        tell(f"the counts do not add up: {counts}")
    log = Counter((workspace / "log").read_text().split())
    if wrong := {line: count for line, count in log.items() if count > 1}:
        tell(f"happened more than once: {dict(list(wrong.items())[:3])}")
    if missing := [id for id in range(1, figures.jobs + 1) if f"{id}.2" not in log]:
        tell(f"{len(missing)} never happened: {missing[:3]}")
    with _opened(workspace) as database:
        versions = database.execute("SELECT job_id, count(*), max(number) FROM versions GROUP BY job_id").fetchall()
        if wrong_versions := [row for row in versions if row[1:] != (2, 2)]:
            tell(f"not one new version each: {wrong_versions[:3]}")
        _check_order(database, tell)


def _check_order(database: sqlite3.Connection, tell) -> None:
    rows = database.execute(
        "SELECT object_key, jobs.id, started_at FROM versions JOIN jobs ON jobs.id = job_id WHERE number = 2"
        " ORDER BY object_key, jobs.id"
    ).fetchall()
    for (key, earlier, began), (next_key, later, next_began) in pairwise(rows):
        if key == next_key and next_began < began:
            tell(f"job {later} of {key} began before job {earlier}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = run(Path(folder), jobs=asked.jobs, kills=asked.kills, seed=asked.seed)
    print(found)
    sys.exit(1 if found.violations else 0)
