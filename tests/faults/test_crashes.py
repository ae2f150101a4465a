"""Engines that are killed, frozen and broken off: nothing is lost, nothing happens twice, every doubt is shown."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from crash_points import SCENARIOS
from deliveries import RECIPE as HOOKED
from deliveries import deliver
from harness import make_workspace, run, send
from processes import ROOT, EngineProcess, run_until_idle
from world import World, wait_until

from core.automation import Automation
from data.job_records import JobFilter, Sort
from data.states import Status

CRASH_POINTS = Path(__file__).parent / "crash_points.py"


def test_random_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    figures = run(tmp_path, jobs=300, kills=6, seed=7)
    print(figures)
    assert figures.violations == []
    assert figures.kills == 6
    assert figures.doubted_happened + figures.doubted_not > 0, "no kill met a step that was acting: nothing was tested"


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_crash_at_any_point_loses_nothing_and_doubles_nothing(name: str) -> None:
    # A process of its own: it forks, which a process with threads may not.
    done = subprocess.run(
        [sys.executable, str(CRASH_POINTS), "--json", "--scenario", name], capture_output=True, text=True, timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout, done.stderr
    explored = json.loads(done.stdout)[name]
    print(f"{name}: {explored}")
    assert explored["violations"] == []
    assert explored["points"] > 20
    assert explored["happened"] > 0
    # A cancellation may come while each write is under way, and then all of them have happened.
    assert explored["not_happened"] > 0 or name == "canceled while it writes"


def test_deliveries_that_are_resent_over_kills_make_one_job_each(tmp_path: Path) -> None:
    workspace = tmp_path / "deck"
    (workspace / "recipes").mkdir(parents=True)
    (workspace / "jobdeck.toml").write_text('[engine]\nlisten = "127.0.0.1:0"\n')
    (workspace / "recipes" / "hooked.yaml").write_text(HOOKED)
    keys = [f"delivery-{number}" for number in range(300)]
    answers = deliver(workspace, keys=keys, kills=5, seed=11)
    run_until_idle(workspace)
    with Automation(workspace) as automation:
        jobs = list(automation.jobs(JobFilter(), Sort("id", descending=False)))
    print(f"{len(keys)} deliveries, {answers.resent} unanswered and sent again")
    assert Counter(job.event_key for job in jobs) == Counter(keys)
    assert answers.jobs == {job.event_key: {job.id} for job in jobs}
    assert max(answers.made.values()) == 1, "a delivery was called new twice"
    assert answers.resent > 0, "no kill met a delivery under way: nothing was tested"
    # log.write is harmless to repeat: none of them may be in doubt. Kills may meet a job so often that it is given up.
    given_up = [job for job in jobs if job.error is not None and job.error.kind == "poison"]
    assert {job.status for job in jobs if job not in given_up} == {Status.SUCCEEDED}
    assert len(given_up) <= 16, "more than the engine runs at once"


@pytest.fixture
def world(tmp_path: Path):
    world = World(tmp_path)
    yield world
    world.close()


def test_a_second_engine_is_refused_while_the_first_is_frozen(tmp_path: Path, world: World) -> None:
    workspace = make_workspace(tmp_path / "deck", world)
    first = EngineProcess(workspace)
    try:
        first.started()
        first.freeze()
        second = EngineProcess(workspace)
        assert second.ended() == 1
        assert f"process {first.pid}" in second.said
        send(workspace, range(3))
        with Automation(workspace) as automation:
            assert automation.engine().pid == first.pid
            first.signal(signal.SIGCONT)
            wait_until(lambda: automation.status().jobs == {Status.SUCCEEDED: 3}, "the end of the jobs")
        first.signal(signal.SIGTERM)
        assert first.ended() == 0
    finally:
        first.kill()
    assert set(world.effects().values()) == {1}
    assert sum(world.effects().values()) == 6


def test_a_frozen_engine_that_is_killed_gives_the_workspace_free(tmp_path: Path, world: World) -> None:
    workspace = make_workspace(tmp_path / "deck", world)
    first = EngineProcess(workspace)
    first.started()
    first.signal(signal.SIGSTOP)
    first.kill()
    send(workspace, range(1))
    run_until_idle(workspace)
    with Automation(workspace) as automation:
        assert automation.status().jobs == {Status.SUCCEEDED: 1}
