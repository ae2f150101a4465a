"""How long a job's data is kept, as the report, the detail and the commands say it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from piloted import in_app, running
from stub_automation import BEGAN, StubAutomation

from core.runner import Engine
from data.job_records import Hold, Job
from data.records import JobDetail
from tui import kept
from tui.cli import cli
from tui.columns import COLUMNS, place
from tui.units import until

NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)
HELD = Hold("a dispute \x1b[2J", "ada", BEGAN)
GONE = {"trigger_stored": False, "trigger_expired_at": BEGAN, "trigger_expired_by": "retention 30d of recipe sync"}


def job(**changed: object) -> Job:
    return StubAutomation().job(812)._replace(**changed)


@pytest.mark.parametrize(
    ("ahead", "says"),
    [(DAY * 3.9, "3 d"), (DAY, "1 d"), (DAY * 0.9, "21 h"), (dt.timedelta(minutes=59), "59 m"), (-DAY, "0 m"),
     (DAY * 400_000, "400,000 d")],
)
def test_the_time_left_is_told_in_one_unit(ahead: dt.timedelta, says: str) -> None:
    assert until(NOW + ahead, NOW) == says


@pytest.mark.parametrize(
    ("changed", "narrow", "wide", "detail"),
    [
        ({}, "", "", ""),
        ({"expires_at": NOW + 3.5 * DAY}, "in 3 d", "in 3 d", "expires in 3 d"),
        ({"expires_at": NOW - DAY}, "due", "due", "expires with the next purge"),
        ({"held": HELD}, "held", "held: a dispute", "held by ada since"),
        (GONE, "removed", "by retention 30d of recipe sync", ""),
    ],
)
def test_the_column_and_the_detail_say_it(changed: dict[str, object], narrow: str, wide: str, detail: str) -> None:
    assert kept.cell(job(**changed), 7) == narrow
    assert wide in kept.cell(job(**changed), 40)
    assert kept.kept(job(**changed)).startswith(detail)
    assert "\x1b" not in kept.kept(job(**changed))


def test_the_column_gives_way_at_80_cells() -> None:
    assert "expires" not in [placed.column.id for placed in place(80, 2)]
    assert "expires" in [placed.column.id for placed in place(190, 2)]
    assert len({column.priority for column in COLUMNS}) == len(COLUMNS)


@in_app
async def test_the_detail_of_a_held_job_says_by_whom_and_why() -> None:
    automation = StubAutomation()
    automation.job = lambda job_id: job(held=HELD)  # type: ignore[method-assign]
    async with running(automation) as seen:
        seen.app.open_job(812, None)
        await seen.sees("data held by ada since", "a dispute")


@in_app
async def test_the_detail_of_a_job_whose_data_is_gone_shows_no_step_as_never_reached() -> None:
    automation = StubAutomation()

    def detail(job_id: int, version: int | None = None) -> JobDetail:
        return JobDetail(job(**GONE), dataclasses.replace(automation.versions[0], expired=True), None, ())

    automation.job = lambda job_id: job(**GONE)  # type: ignore[method-assign]
    automation.detail = detail  # type: ignore[method-assign]
    async with running(automation) as seen:
        seen.app.open_job(812, None)
        await seen.sees("by retention 30d of recipe sync")
        assert "not reached" not in seen.text()


@pytest.fixture
def deck(tmp_path: Path) -> Path:
    """Give a workspace with two jobs that have ended, whose data is kept for a second."""
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "sync.yaml").write_text(
        'retention: 1s\ntrigger: {manual.event: {}}\ntitle: "{{ trigger.name }}"\nsteps: [{id: say, set: {x: 1}}]\n')
    (tmp_path / "jobdeck.toml").write_text("")
    run(tmp_path, "send", "sync", "--lines", input='{"name": "Ada"}\n{"name": "Eve"}\n')
    engine = Engine(tmp_path, listens=False, polls=False)
    try:
        engine.start()
        deadline = time.monotonic() + 20
        while not engine.idle() or _ended_ago(tmp_path) < 1:
            assert time.monotonic() < deadline
            engine.tick()
    finally:
        engine.close()
    return tmp_path


def _ended_ago(folder: Path) -> float:
    told = json.loads(run(folder, "jobs", "-o", "json").stdout)
    ended = [dt.datetime.fromisoformat(one["finished_at"]) for one in told if one["finished_at"]]
    return (dt.datetime.now(dt.UTC) - max(ended)).total_seconds() if len(ended) == 2 else 0


def run(folder: Path, *words: str, input: str = "", expect: int = 0) -> Result:
    done = CliRunner().invoke(cli, ["-w", str(folder), *words], input=input)
    assert done.exit_code == expect, done.output
    return done


def test_hold_purge_and_release(deck: Path) -> None:
    assert "2: held" in run(deck, "hold", "2", "--reason", "a dispute").output
    assert "a dispute (held)" in run(deck, "hold", "2", "--reason", "again", expect=1).stderr
    run(deck, "hold", "2", expect=2)
    assert "a dispute" in run(deck, "show", "2").stdout
    planned = json.loads(run(deck, "purge", "--dry-run", "-o", "json").stdout)
    assert len(planned) == 1
    assert {**planned[0], "bytes": 0} == {
        "recipe": "sync", "rule": "retention 1s of recipe sync", "jobs": 1, "bytes": 0,
    }
    assert planned[0]["bytes"] > 0
    assert json.loads(run(deck, "purge", "-o", "json").stdout) == planned
    shown = json.loads(run(deck, "show", "1", "-o", "json").stdout)
    assert shown["trigger"] is None
    assert shown["trigger_expired_at"].startswith(dt.datetime.now(dt.UTC).date().isoformat())
    assert shown["rerun_blocked"]["code"] == "trigger_expired"
    assert shown["steps"] == []
    text = run(deck, "show", "1").stdout
    assert "by retention 1s of recipe sync" in text
    assert "STEP" not in text
    assert "released; its data expires with the next purge" in run(deck, "release", "2").output
    assert "nobody holds job 2 (not_held)" in run(deck, "release", "2", expect=1).stderr
    assert run(deck, "purge").stdout.split()[:4] == ["RECIPE", "JOBS", "BYTES", "RULE"]
    assert json.loads(run(deck, "purge", "-o", "json").stdout) == []
