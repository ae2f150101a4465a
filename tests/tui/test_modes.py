"""That a version was rerun from its failed step, or at the original revision, is said wherever it is listed."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from piloted import in_app, running
from reported import Stub, change
from reported import running as reported
from stub_automation import StubAutomation

from data.job_records import Job
from data.states import Status
from tests.benchmarks.generate import fill
from tui import cli_tables
from tui.columns import COLUMNS

MODES = [("original", "=2", "original revision"), ("failed", "~2", "from failed step")]


def job(mode: str) -> Job:
    return StubAutomation().job(812)._replace(mode=mode, versions=2, trail=(Status.FAILED, Status.FAILED))


def cells(job: Job) -> dict[str, str]:
    return {column.id: column.text(job, 17) for column in COLUMNS}


@pytest.mark.parametrize(("mode", "counted", "words"), MODES)
def test_the_row_marks_the_count_of_versions_and_has_it_in_words(mode: str, counted: str, words: str) -> None:
    told = cells(job(mode))
    assert (told["versions"], told["mode"], told["trail"][2:]) == (counted, words, counted[0])


@pytest.mark.parametrize("mode", ["first", "start", "call", "test"])
def test_a_rerun_of_the_whole_latest_revision_has_no_mark(mode: str) -> None:
    told = cells(job(mode))
    assert (told["versions"], told["mode"], told["trail"][2:]) == ("2", "", "")


@in_app
async def test_the_mark_is_in_the_row_at_80_columns(tmp_path: Path) -> None:
    path = tmp_path / "jobdeck.db"
    fill(path, 60)
    stub = Stub(path)
    try:
        async with reported(stub) as seen:
            newest = seen.ids[0]
            change(path, f"UPDATE versions SET mode = 'original', number = 12 WHERE latest AND job_id = {newest}")
            await seen.until(lambda: seen.text().splitlines()[3].endswith(" =12"))
    finally:
        stub.database.close()


@in_app
@pytest.mark.parametrize(("mode", "counted", "words"), MODES)
async def test_the_detail_and_the_versions_say_it(mode: str, counted: str, words: str) -> None:
    automation = StubAutomation()
    automation.add_version(Status.FAILED, mode=mode)
    async with running(automation, size=(120, 24)) as seen:
        seen.app.open_job(812)
        await seen.sees(f"version 2 of 2 · sync r2 · {words} · by ops@10.0.0.3")
        await seen.press("H")
        await seen.sees("2 versions", f"{words} by ops")


@pytest.mark.parametrize(("mode", "counted", "words"), MODES)
def test_the_commands_tables_say_it(mode: str, counted: str, words: str) -> None:
    automation = StubAutomation()
    automation.add_version(Status.FAILED, mode=mode)
    listed, shown, versions = io.StringIO(), io.StringIO(), io.StringIO()
    cli_tables.write_table([job(mode)], cli_tables.JOBS, listed)
    cli_tables.write_show(automation.detail(812), shown)
    cli_tables.write_table(automation.history(812), cli_tables.VERSIONS, versions)
    assert listed.getvalue().splitlines()[1].split()[:2] == ["812", counted]
    assert words in shown.getvalue()
    assert mode in versions.getvalue().splitlines()[1].split()
