"""Kills engines at random moments of many jobs, then holds the store against what really happened outside."""

from __future__ import annotations

import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from processes import EngineProcess, run_until_idle
from world import Effect, World

from core.automation import Automation
from data.states import ENDED, Status

RECIPE = """\
trigger:
  manual.event: {{}}
title: "event {{{{ trigger.number }}}}"
concurrency: 8
steps:
  - id: look
    action: http.request
    with: {{url: "{url}/look"}}
  - id: post
    action: http.request
    with:
      method: POST
      url: "{url}/effects"
      json: {{job: "{{{{ job.id }}}}", version: "{{{{ job.version }}}}", step: post}}
  - id: append
    action: files.append
    with:
      path: {appended}
      text: "{{{{ job.id }}}} {{{{ job.version }}}} append\\n"
"""
WRITING = ("post", "append")
MOMENTS_A_JOB = 5
"""Of the world: two of the look, three of the post."""
KILLED_AT_START = 0.15
"""The share of kills that meet an engine while it takes back what the one before it left."""
DEADLINE_S = 60.0


@dataclass
class Figures:
    """What a run came to."""

    seed: int
    jobs: int
    kills: int = 0
    killed_at_start: int = 0
    killed_idle: int = 0
    lost: int = 0
    """Events without a job, and jobs that neither ended nor are in doubt."""
    doubled_jobs: int = 0
    doubled: int = 0
    """Effects that stand in the world more than once."""
    unrecorded: int = 0
    """Effects whose step is recorded neither as succeeded nor as in doubt."""
    invented: int = 0
    """Steps recorded as succeeded whose effect never happened."""
    doubted_happened: int = 0
    doubted_not: int = 0
    given_up: int = 0
    """Versions whose process died too often at the same step."""
    seconds: float = 0.0
    violations: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        doubted = self.doubted_happened + self.doubted_not
        return "\n".join(
            (
                f"seed {self.seed}: {self.jobs} jobs of 3 steps, {self.kills} kills ({self.killed_at_start} during "
                f"recovery, {self.killed_idle} idle) in {self.seconds:.0f} s",
                f"lost {self.lost}, doubled jobs {self.doubled_jobs}, doubled effects {self.doubled}, effects without "
                f"record {self.unrecorded}, records without effect {self.invented}",
                f"in doubt {doubted} (really happened {self.doubted_happened} / not {self.doubted_not}), "
                f"given up {self.given_up}",
                *(f"VIOLATION: {text}" for text in self.violations[:20]),
                f"{len(self.violations)} violations",
            )
        )


def run(folder: Path, *, jobs: int, kills: int, seed: int, say: Callable[[str], None] = lambda line: None) -> Figures:
    """Send `jobs` events, kill the engine `kills` times meanwhile, let it finish, and return what became of them."""
    figures = Figures(seed, jobs)
    began = time.monotonic()
    world = World(folder)
    try:
        workspace = make_workspace(folder / "deck", world)
        _kills(workspace, world, figures, random.Random(seed), kills, say)
        run_until_idle(workspace)
        world.quiet()
        _settle(workspace, world, figures)
    finally:
        world.close()
    figures.seconds = time.monotonic() - began
    return figures


def make_workspace(workspace: Path, world: World) -> Path:
    """Make a workspace whose one recipe, `work`, acts on the world."""
    (workspace / "recipes").mkdir(parents=True)
    (workspace / "jobdeck.toml").write_text('[engine]\nlisten = "127.0.0.1:0"\n')
    (workspace / "recipes" / "work.yaml").write_text(RECIPE.format(url=world.url, appended=world.appended))
    return workspace


def send(workspace: Path, numbers: range) -> None:
    """Hand in the events of these numbers, which are their keys."""
    with Automation(workspace) as automation:
        automation.send("work", ({"number": number} for number in numbers), key="trigger.number", by="harness")


# Kills


def _kills(
    workspace: Path, world: World, figures: Figures, chance: random.Random, kills: int, say: Callable[[str], None]
) -> None:
    sent = 0
    mean = figures.jobs * MOMENTS_A_JOB / kills
    for kill in range(1, kills + 1):
        share = figures.jobs * kill // kills
        half = (sent + share) // 2
        # Half of a share comes while no engine runs, half while one works; some come again, under the same keys.
        send(workspace, range(max(0, sent - 5), half))
        engine = EngineProcess(workspace)
        engine.locked()
        if chance.random() < KILLED_AT_START:
            engine.kill()
            figures.killed_at_start += 1
            send(workspace, range(half, share))
        else:
            world.arm(chance.randint(1, int(2 * mean)), lambda engine=engine: engine.signal(signal.SIGKILL))
            send(workspace, range(max(0, half - 5), share))
            figures.killed_idle += not _struck(workspace, world)
            engine.kill()
        sent = share
        figures.kills += 1
        world.quiet()
        _check_file(workspace, figures)
        say(f"kill {kill}: {sum(world.effects().values())} effects so far")


def _struck(workspace: Path, world: World) -> bool:
    """Wait until the armed moment has killed the engine, or nothing is left to do; return which of them it was."""
    deadline = time.monotonic() + DEADLINE_S
    with Automation(workspace) as automation:
        while not world.wait(0.1):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the engine neither met its moment nor became idle within {DEADLINE_S:g} s")
            if not automation.status().jobs.keys() & {Status.QUEUED, Status.RUNNING}:
                return world.disarm()
    return True


def _check_file(workspace: Path, figures: Figures) -> None:
    with _opened(workspace) as database:
        found = [row for name in ("integrity", "foreign_key") for row in database.execute(f"PRAGMA {name}_check")]
    if found != [("ok",)]:
        figures.violations.append(f"the database is damaged after kill {figures.kills}: {found[:3]}")


def _opened(workspace: Path) -> closing[sqlite3.Connection]:
    # Looked at without the code under test.
    return closing(sqlite3.connect(workspace / ".jobdeck" / "jobdeck.db"))


# What became of it


def _settle(workspace: Path, world: World, figures: Figures) -> None:
    """Check, settle every doubt by what the world says, let the engine finish, and check again."""
    doubted = _check(workspace, world.effects(), figures)
    effects = world.effects()
    with Automation(workspace) as automation:
        for effect, path in doubted:
            happened = effect in effects
            figures.doubted_happened += happened
            figures.doubted_not += not happened
            automation.resolve(effect.job, path, happened=happened, output={}, by="harness")
    run_until_idle(workspace)
    left = _check(workspace, world.effects(), figures)
    if left:
        figures.violations.append(f"{len(left)} steps are in doubt after all were settled and no engine died")
    _check_end(workspace, world.effects(), figures)


def _check(workspace: Path, effects: Counter[Effect], figures: Figures) -> list[tuple[Effect, str]]:
    """Hold the store against the world; return the writing steps in doubt, with their paths."""
    with _opened(workspace) as database:
        statuses, keys = _jobs(database)
        steps = dict(_steps(database))
    tell = figures.violations.append
    lost = set(map(str, range(figures.jobs))) - keys.keys()
    stuck = [job for job, status in statuses.items() if status not in ENDED and status is not Status.IN_DOUBT]
    figures.lost = len(lost) + len(stuck)
    figures.doubled_jobs = sum(count - 1 for count in keys.values())
    figures.doubled = sum(count - 1 for count in effects.values())
    unrecorded = [one for one in effects if steps.get(one, ("none", ""))[0] not in ("succeeded", "in_doubt")]
    invented = [one for one, (status, _) in steps.items() if status == "succeeded" and one not in effects]
    figures.unrecorded, figures.invented = len(unrecorded), len(invented)
    for wrong, what in (
        (sorted(lost), "events without a job"), (stuck, "jobs that neither ended nor are in doubt"),
        ([key for key, count in keys.items() if count > 1], "events with several jobs"),
        ([one for one, count in effects.items() if count > 1], "effects that happened more than once"),
        (unrecorded, "effects without their step's record"), (invented, "recorded effects that never happened"),
    ):  # fmt: skip
        if wrong:
            tell(f"{len(wrong)} {what}: {wrong[:3]}")
    return [(one, path) for one, (status, path) in steps.items() if status == "in_doubt"]


def _check_end(workspace: Path, effects: Counter[Effect], figures: Figures) -> None:
    with _opened(workspace) as database:
        statuses, _ = _jobs(database)
        poisoned = {
            job for (job,) in database.execute("SELECT job_id FROM versions WHERE latest AND error_kind = 'poison'")
        }
    figures.given_up = len(poisoned)
    for job, status in statuses.items():
        if job in poisoned:
            continue
        missing = [step for step in WRITING if effects[Effect(job, 1, step)] != 1]
        if status is not Status.SUCCEEDED or missing:
            figures.violations.append(f"job {job} is {status.value} at the end, and not once happened: {missing}")


def _jobs(database: sqlite3.Connection) -> tuple[dict[int, Status], Counter[str]]:
    rows = database.execute(
        "SELECT jobs.id, event_key, status FROM jobs LEFT JOIN versions ON versions.job_id = jobs.id AND latest"
    ).fetchall()
    return {job: Status(status) for job, _, status in rows}, Counter(key for _, key, _ in rows)


def _steps(database: sqlite3.Connection) -> Iterator[tuple[Effect, tuple[str, str]]]:
    rows = database.execute(
        "SELECT job_id, number, step_id, steps.status, path FROM steps JOIN versions ON versions.id = version_id"
        " WHERE step_id IN (?, ?)", WRITING,
    )  # fmt: skip
    for job, version, step, status, path in rows:
        yield Effect(job, version, step), (status, path)
