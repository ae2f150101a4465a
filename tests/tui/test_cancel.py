"""Canceling as its user meets it: the command and the key, on a real workspace."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from piloted import Seen, in_app

from core.automation import Automation
from core.selection import Selection
from data.job_records import JobFilter, Sort
from data.states import Status
from tui.app import JobdeckApp
from tui.cli import cli

RECIPE = """\
trigger:
  manual.event: {}
title: "{{ trigger.name }}"
steps:
  - {id: named, set: {name: "{{ trigger.name }}"}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "deck"
    (folder / "recipes").mkdir(parents=True)
    (folder / "jobdeck.toml").write_text('[engine]\nlisten = "127.0.0.1:0"\n')
    (folder / "recipes" / "sync.yaml").write_text(RECIPE)
    return folder


@pytest.fixture
def automation(folder: Path) -> Iterator[Automation]:
    """Give a workspace with four queued jobs: 1 to 4."""
    with Automation(folder) as automation:
        automation.send("sync", [{"name": name} for name in ("Ada", "Bea", "Cleo", "Dora")], by="ada")
        yield automation


@pytest.fixture
def run(automation: Automation, folder: Path) -> Any:
    def run(*words: str, input: str = "", expect: int = 0) -> Result:
        done = CliRunner().invoke(cli, ["-w", str(folder), *words], input=input, prog_name="jobdeck")
        assert done.exit_code == expect, done.output + repr(done.exception)
        return done

    return run


def statuses(automation: Automation) -> list[str]:
    return [job.status.value for job in automation.jobs(JobFilter(), Sort("id", descending=False))]


# The command


def test_jobs_are_canceled_by_id_without_a_question(run: Any, automation: Automation) -> None:
    done = run("cancel", "1", "3", "-o", "json")
    assert json.loads(done.stdout) == {"canceled": [1, 3], "stopping": [], "refused": []}
    assert statuses(automation) == ["canceled", "queued", "canceled", "queued"]
    assert run("cancel", "2", "--note", "no more").stdout == "1 job canceled: 2\n"


def test_what_cannot_be_canceled_is_told_with_a_reason_and_exit_status_1(run: Any, automation: Automation) -> None:
    automation.cancel(Selection(ids=(2,)), by="bob")
    done = run("cancel", "1", "2", "99", "-o", "json", expect=1)
    told = json.loads(done.stdout)
    assert told["canceled"] == [1]
    assert told["refused"] == [
        {"id": 2, "code": "ended", "message": "version 1 has ended: canceled by bob"},
        {"id": 99, "code": "no_such_job", "message": "there is no job 99"},
    ]
    assert "2 jobs not canceled:" in done.stderr
    assert "canceled by bob" in done.stderr


def test_all_of_a_filter_wants_a_yes(run: Any, automation: Automation, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "--yes" in run("cancel", "--search", "a", "--all", expect=2).stderr
    run("cancel", "--search", "a", expect=2)
    run("cancel", "1", "--all", expect=2)
    run("cancel", expect=2)
    assert statuses(automation) == ["queued"] * 4
    monkeypatch.setattr("tui.cli_cancel.on_terminal", lambda *streams: True)
    refused = run("cancel", "--search", "bea", "--all", input="n\n", expect=1)
    assert "Cancel 1 job (1 queued)?" in refused.stderr
    assert statuses(automation) == ["queued"] * 4
    assert run("cancel", "--search", "bea", "--all", input="y\n").stdout.endswith("1 job canceled: 2\n")
    assert run("cancel", "--all", "--yes").stdout == "3 jobs canceled: 1, 3, 4\n"
    assert run("cancel", "--all", "--yes").stdout == "0 jobs canceled\n"


def test_show_and_history_tell_who_canceled_and_not_that_it_failed(run: Any) -> None:
    run("cancel", "1")
    shown = run("show", "1").stdout
    assert "cancel canceled by " in " ".join(shown.split())
    assert not [line for line in shown.splitlines() if line.startswith("error")]
    (version,) = json.loads(run("history", "1", "-o", "json").stdout)
    assert (version["status"], version["error"]["kind"], version["error"]["group"]) == ("canceled", "canceled", None)
    assert version["error"]["message"].startswith("canceled by ")


# The key


@asynccontextmanager
async def running(automation: Automation, size: tuple[int, int] = (80, 24)) -> AsyncIterator[Seen]:
    app = JobdeckApp(automation)
    async with app.run_test(size=size) as pilot:
        yield Seen(app, pilot)  # type: ignore[arg-type]


@in_app
async def test_x_asks_first_and_cancels_the_job_under_the_cursor(automation: Automation) -> None:
    async with running(automation) as seen:
        await seen.sees("Dora", "x cancel")
        await seen.press("x")
        await seen.sees("Cancel 1 job?", "1 queued: at once")
        await seen.press("enter")
        await seen.sees_not("Cancel 1 job?")
        assert statuses(automation) == ["queued"] * 4
        await seen.press("x")
        await seen.sees("Cancel 1 job?")
        await seen.press("c")
        await seen.sees("4 canceled")
        assert statuses(automation) == ["queued"] * 3 + ["canceled"]
        # Greyed, and it says why.
        await seen.sees("(x cancel)")
        await seen.press("x")
        await seen.sees("version 1 has ended: canceled")


@in_app
async def test_marked_jobs_are_canceled_and_the_panel_counts_those_that_have_ended(automation: Automation) -> None:
    automation.cancel(Selection(ids=(3,)), by="bob")
    async with running(automation) as seen:
        await seen.sees("Dora")
        await seen.press("*", "x")
        await seen.sees("Cancel 3 jobs?", "3 queued: at once; they never run", "1 ended: nothing to cancel")
        await seen.press("c")
        await seen.sees("3 jobs canceled")
        await seen.sees_not(" marked")
        assert statuses(automation) == ["canceled"] * 4


@in_app
async def test_the_detail_cancels_and_tells_who_did(automation: Automation) -> None:
    async with running(automation, (100, 30)) as seen:
        await seen.sees("Dora")
        await seen.press("enter")
        await seen.sees("version 1 of 1", "x cancel")
        await seen.press("x")
        await seen.sees("Cancel 1 job?")
        await seen.press("c")
        await seen.sees("canceled by ", "(x cancel)")
        await seen.sees_not("error")
        assert automation.job(4).status is Status.CANCELED
        await seen.press("x")
        await seen.sees("version 1 has ended: canceled")


@in_app
async def test_a_version_that_is_not_the_latest_is_not_canceled(automation: Automation) -> None:
    automation.cancel(Selection(ids=(4,)), by="bob")
    automation.rerun(Selection(ids=(4,)), by="bob")
    async with running(automation, (100, 30)) as seen:
        await seen.sees("Dora")
        await seen.press("enter")
        await seen.sees("version 2 of 2")
        await seen.press("[")
        await seen.sees("version 1 of 2", "(x cancel)")
        await seen.press("x")
        await seen.sees("version 1 of 2 is not the latest")
        assert automation.job(4).status is Status.QUEUED
