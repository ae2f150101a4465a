"""The start of the terminal: the first rows are there before all else is loaded, and what is wrong ends it."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
from terminal import Terminal, jobdeck

from core.automation import Automation
from core.errors import StoreError, WorkspaceError
from core.opening import Opening
from data.database import Database, sqlite_url
from data.job_records import JobFilter, Sort, Stopped
from tests.benchmarks.generate import make

JOBS = 300
NOT_FOR_A_ROW = {
    "alembic", "click", "core.automation", "core.parse", "core.settings", "data.records", "httpx", "jinja2", "pydantic",
    "ruamel", "smtplib", "sqlalchemy", "starlette", "tui.screens.detail", "tui.screens.diff", "tui.screens.help",
    "tui.screens.recipes", "uvicorn",
}  # fmt: skip
NOTED = """
import sys
from pathlib import Path
import core.opening
core.opening.PAINT_S = 600.0
from tui.main import main
from tui.widgets.job_table import JobTable
noted = Path(sys.argv.pop(1))
moved = JobTable.moved
def note(table):
    moved(table)
    if table.current is not None and not noted.exists():
        noted.write_text("\\n".join(sys.modules))
JobTable.moved = note
main()
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    make(tmp_path / "workspace", JOBS)
    return tmp_path / "workspace"


def test_the_first_row_waits_for_nothing_that_it_does_not_need(workspace: Path, tmp_path: Path) -> None:
    noted = tmp_path / "modules"
    environment = {"JOBDECK_WORKSPACE": str(workspace)}
    with Terminal([sys.executable, "-c", NOTED, str(noted)], environment=environment) as terminal:
        terminal.wait_for(f"{JOBS} ")
        loaded = set(noted.read_text().split("\n"))
        assert loaded & NOT_FOR_A_ROW == set()
        # The rows are there to be walked, though nothing else is loaded for as long as this test waits.
        terminal.send("j")
        terminal.wait_for(f"\n>{JOBS - 1:>9} ")
        terminal.process.kill()


def test_all_else_is_there_soon_after_the_first_row(workspace: Path) -> None:
    with jobdeck(workspace) as terminal:
        terminal.wait_for(f"{JOBS} jobs")
        terminal.send("\r")
        terminal.wait_for("d diff")


def test_keys_pressed_before_the_terminal_is_there_are_obeyed_in_their_order(workspace: Path) -> None:
    with jobdeck(workspace) as terminal:
        terminal.send("jjj\r")
        terminal.wait_for(f"jobs > {JOBS - 3}")


def test_who_quits_before_anything_is_there_leaves_without_a_word(workspace: Path) -> None:
    with jobdeck(workspace) as terminal:
        terminal.send("q")
        assert terminal.process.wait(10) == 0
        assert b"Warning" not in terminal.received


@pytest.mark.parametrize(
    ("wrong", "sentence"), [("[engine]\nslots = 0\n", "slots: must be greater"), ("[engine\n", "jobdeck.toml:1:8")]
)
def test_what_is_wrong_in_the_settings_ends_the_terminal_with_its_sentence(
    workspace: Path, wrong: str, sentence: str
) -> None:
    (workspace / "jobdeck.toml").write_text(wrong)
    with jobdeck(workspace) as terminal:
        # This terminal has one screen only: the sentence begins where the cursor was, and may go on in the next line.
        terminal.wait_for(lambda screen: "".join(sentence.split()) in "".join(screen.split()))
        assert terminal.process.wait(10) == 1


def test_early_rows_are_those_of_the_automation(workspace: Path) -> None:
    with Automation(workspace) as automation, Opening(workspace) as opening:
        expected = automation.report(JobFilter(), Sort()).rows(10, 20)
        report = opening.report(JobFilter(), Sort())
        found = report.rows(10, 20)
        assert not opening.ready
        assert [(job.id, job.title, job.status, job.trail) for job in found] == [
            (job.id, job.title, job.status, job.trail) for job in expected
        ]
        around = report.near(found[3], 2, 4)
        assert ([job.id for job in around[0]], around[1]) == ([job.id for job in found[1:7]], 2)
        assert report.count() == JOBS
        assert not opening.ready
        # What recipes say about a job comes with the automation.
        opening.opened()
        assert report.rows(10, 20) == expected


def test_a_store_of_another_schema_is_not_read_before_it_is_opened(workspace: Path) -> None:
    with closing(sqlite3.connect(workspace / ".jobdeck" / "jobdeck.db")) as raw, raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    with Opening(workspace) as opening, pytest.raises(StoreError, match="written by a newer Jobdeck"):
        opening.report(JobFilter(), Sort()).rows(0, 20)


def test_a_store_is_found_where_the_settings_put_it(workspace: Path, tmp_path: Path) -> None:
    (workspace / ".jobdeck" / "jobdeck.db").rename(tmp_path / "else where.db")
    (workspace / "jobdeck.toml").write_text(f'[store]\nurl = "sqlite:///{tmp_path}/else where.db"\n')
    with Opening(workspace) as opening:
        assert len(opening.report(JobFilter(), Sort()).rows(0, 20)) == 20
        assert not opening.ready


def test_a_report_given_up_early_raises_and_the_next_one_reads(workspace: Path) -> None:
    with Opening(workspace) as opening:
        first = opening.report(JobFilter(), Sort())
        first.stop()
        with pytest.raises(Stopped):
            first.rows(0, 20)
        assert len(opening.report(JobFilter(), Sort("id")).rows(0, 20)) == 20


def test_what_cannot_be_opened_is_told_to_everybody_who_asks(workspace: Path) -> None:
    (workspace / "jobdeck.toml").write_text("[engine]\nslots = 0\n")
    told = []
    with Opening(workspace) as opening:
        opening.failed = lambda: told.append(opening.failure)
        for _ in range(2):
            with pytest.raises(WorkspaceError, match="slots"):
                opening.engine()
    assert told == [opening.failure]


def test_a_new_store_is_made_by_the_start(tmp_path: Path) -> None:
    (tmp_path / "jobdeck.toml").write_text("")
    with jobdeck(tmp_path) as terminal:
        terminal.wait_for("No jobs yet")
    with Database(sqlite_url(tmp_path / ".jobdeck" / "jobdeck.db")).read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM jobs").scalar_one() == 0
