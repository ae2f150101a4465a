"""The list of error groups in the terminal: what it says, and where its keys lead."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from piloted import in_app, running
from stub_automation import StubAutomation

from core.automation import Automation
from data.job_records import JobFilter
from tests.benchmarks.generate import make
from tui.screens.errors import ErrorsScreen
from tui.screens.report import ReportScreen

JOBS = 600


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deck")
    make(folder, JOBS)
    return folder


@pytest.fixture
def automation(filled: Path) -> Iterator[Automation]:
    with Automation(filled) as opened:
        yield opened


async def errors(seen: Any) -> None:
    await seen.press("4")
    await seen.until(lambda: isinstance(seen.app.screen, ErrorsScreen), "the errors")


@in_app
async def test_groups_are_listed_with_their_counts_times_and_notes(automation: Automation) -> None:
    groups = list(automation.failures.groups())
    automation.failures.note(groups[0].group, "ask [b]Ada[/b]", by="ada")
    async with running(automation) as seen:
        await errors(seen)
        await seen.sees(f"{groups[0].jobs:>7,} {groups[0].versions:>8,}", "ask [b]Ada[/b] · ", "note by ada")
        await seen.press("j")
        await seen.sees("no note: n writes one")


@in_app
async def test_n_writes_a_note_on_the_group_and_an_empty_one_removes_it(automation: Automation) -> None:
    group = list(automation.failures.groups())[2]

    def note() -> str | None:
        kept = next(one.note for one in automation.failures.groups() if one.group == group.group)
        return kept and kept.text

    async with running(automation) as seen:
        await errors(seen)
        await seen.sees(f"{group.jobs:>7,}")
        await seen.press("j", "j", "n")
        await seen.sees("A note on: ", "Whoever meets this error reads it.")
        await seen.press("escape")
        await seen.sees_not("A note on: ")
        assert note() is None
        await seen.press("n", *"known", "enter")
        await seen.sees("the note is kept", "known · ")
        assert note() == "known"
        await seen.press("n")
        await seen.sees("In the place of: known", "Enter on an empty line removes it.")
        await seen.press("enter")
        await seen.sees("the note is removed", "no note: n writes one")
        assert note() is None


@in_app
async def test_enter_opens_the_jobs_of_the_group_and_escape_comes_back(automation: Automation) -> None:
    group = next(automation.failures.groups())
    async with running(automation) as seen:
        await errors(seen)
        await seen.sees(f"{group.jobs:>7,}")
        await seen.press("enter")
        await seen.until(lambda: isinstance(seen.app.screen, ReportScreen), "the jobs")
        assert seen.app.screen.table.filter == JobFilter(error_group=group.group)
        await seen.sees(f"error {group.group} — {group.jobs} of {JOBS}")
        await seen.press("!")
        await seen.until(lambda: seen.app.screen.table.filter.statuses, "a further filter")
        await seen.press("escape")
        await seen.until(lambda: not seen.app.screen.table.filter.statuses, "the group's jobs")
        await seen.press("escape")
        await seen.until(lambda: isinstance(seen.app.screen, ErrorsScreen), "the errors again")


@in_app
async def test_r_reruns_all_jobs_of_the_group(automation: Automation) -> None:
    group = next(automation.failures.groups())
    stub = StubAutomation()
    stub.error_groups = [group]
    async with running(stub) as seen:
        await errors(seen)
        await seen.sees(group.message)
        await seen.press("r")
        await seen.sees("would happen again")
        await seen.press("c")
        await seen.until(lambda: stub.asked, "a rerun")
        [(verb, selection, _)] = stub.asked
        assert (verb, selection.filter, selection.ids) == ("rerun", JobFilter(error_group=group.group), None)


@in_app
async def test_without_failures_the_next_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "jobdeck.toml").touch()
    (tmp_path / "recipes").mkdir()
    (tmp_path / ".jobdeck").mkdir()
    with Automation(tmp_path) as empty:
        async with running(empty) as seen:
            await errors(seen)
            await seen.sees("No job has failed. 1 shows the jobs.")
            await seen.press("r")
            await seen.sees("no job has failed")
            await seen.press("1")
            await seen.until(lambda: not isinstance(seen.app.screen, ErrorsScreen), "the jobs")
