"""The demo without a terminal: its world starts, tells its story, adds up, and leaves nothing running."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from core.automation import Automation
from core.errors import WorkspaceError
from core.lock import holder
from core.sandbox.accounts import FIRST_ACCOUNTS, FLAWED, LONGEST_NAME, Accounts, correct_all
from core.sandbox.demo import CORRECTION, MISTAKE, staged
from data.records import JobFilter, Sort
from data.states import Status

ROOT = Path(__file__).parents[2]
DEMO = [sys.executable, "-c", "from tui.cli import main; main()", "demo", "--no-ui"]


def wait_for(condition: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass in time"
        time.sleep(0.05)


def start(*words: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([*DEMO, *words], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def running(workspace: Path) -> bool:
    return holder(workspace) is not None


def names(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as db:
        return [name for (name,) in db.execute("SELECT name FROM accounts ORDER BY id")]


def flawed(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as db:
        return [id for (id,) in db.execute(FLAWED)]


def test_the_crm_has_every_kind_of_account_and_the_same_in_every_demo(tmp_path: Path) -> None:
    for name in ("one.db", "two.db"):
        with closing(Accounts(tmp_path / name)) as accounts:
            for _ in range(40):
                accounts.act()
    found = names(tmp_path / "one.db")
    assert found == names(tmp_path / "two.db")
    assert len(found) > FIRST_ACCOUNTS
    assert "" in found
    assert max(map(len, found)) > LONGEST_NAME
    assert len(set(found)) < len(found)


def test_corrected_accounts_have_names_that_the_desk_takes(tmp_path: Path) -> None:
    with closing(Accounts(tmp_path / "crm.db")) as accounts:
        for _ in range(60):
            accounts.add()
    found = flawed(tmp_path / "crm.db")
    assert len(found) > 3
    assert correct_all(tmp_path / "crm.db") == found
    assert flawed(tmp_path / "crm.db") == []


def test_the_story_is_told_and_adds_up(tmp_path: Path) -> None:
    workspace = tmp_path / "demo"
    process = start(str(workspace), "--for", "6s")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, out + err
    assert err == ""
    assert "must be an array of strings" in out
    assert "Name: cannot be blank" in out
    total, *parts = map(int, re.findall(r"\d+", next(line for line in out.splitlines() if re.match(r"\d+ jobs", line))))
    assert sum(parts) == total
    assert re.search(r"Branches: \d+ created an organization, \d+ updated an organization", out)
    assert CORRECTION in (workspace / "recipes" / "sync_accounts.yaml").read_text()
    with Automation(workspace) as automation:
        jobs = list(automation.jobs(JobFilter(), Sort("id", descending=False)))
        assert len(jobs) >= total
        again = [job for job in jobs if job.versions == 2]
        assert f"Reruns: {len(again)}, of {len(again)} jobs" in out
        mended = [job for job in again if job.status is Status.SUCCEEDED]
        second, first = automation.history(mended[0].id)
        assert (second.recipe_revision, first.recipe_revision, first.status) == (2, 1, Status.FAILED)
        assert "array of strings" in first.error.message
        refused = {job.report["Account"] for job in again if job.status is Status.FAILED}
        synced = {job.report["Account"] for job in jobs if job.status is Status.SUCCEEDED}
        assert refused
        assert refused <= synced
    assert not running(workspace)


def test_every_account_of_the_crm_is_an_organization_of_the_desk_at_the_end(tmp_path: Path) -> None:
    with staged(tmp_path / "demo") as workspace, Automation(workspace) as automation:
        recipe = automation.recipe_path("sync_accounts")
        recipe.write_text(recipe.read_text().replace(MISTAKE, CORRECTION))
        assert automation.check() == []
        correct_all(workspace / "crm.db")
        wait_for(lambda: automation.status().jobs.get(Status.SUCCEEDED, 0) >= FIRST_ACCOUNTS)
    accounts = names(workspace / "crm.db")
    with closing(sqlite3.connect(workspace / "desk.db")) as db:
        organizations = [json.loads(body)["name"] for (body,) in db.execute("SELECT body FROM organizations")]
    assert set(accounts[:FIRST_ACCOUNTS]) <= set(organizations)


def test_the_temporary_folder_goes_and_a_named_one_goes_on(tmp_path: Path) -> None:
    with staged(None) as workspace:
        assert running(workspace)
    assert not workspace.exists()
    with staged(tmp_path / "kept") as workspace:
        settings = (workspace / "jobdeck.toml").read_text()
    with staged(tmp_path / "kept") as workspace:
        assert running(workspace)
        assert (workspace / "jobdeck.toml").read_text() == settings
        with pytest.raises(WorkspaceError, match="another `jobdeck demo`"), staged(workspace):
            pass
    assert not running(workspace)


def test_a_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(WorkspaceError, match="not empty"), staged(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_the_secret_is_in_a_file_that_only_its_owner_reads_and_in_no_record(tmp_path: Path) -> None:
    with staged(tmp_path / "demo") as workspace, Automation(workspace) as automation:
        wait_for(lambda: automation.status().jobs.get(Status.SUCCEEDED, 0) > 0)
    secret = (workspace / "desk.secret").read_text().strip()
    assert (workspace / "desk.secret").stat().st_mode & 0o077 == 0
    coded = secret.split()[-1].encode()
    for path in workspace.rglob("*"):
        assert path.name == "desk.secret" or not path.is_file() or coded not in path.read_bytes(), path


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 0), (signal.SIGKILL, -9)])
def test_however_it_ends_nothing_is_left_running(tmp_path: Path, number: int, status: int) -> None:
    workspace = tmp_path / "demo"
    process = start(str(workspace))
    wait_for(lambda: running(workspace))
    engine = holder(workspace)
    assert process.stdout is not None
    while "polls" not in process.stdout.readline():
        assert process.poll() is None
    os.kill(process.pid, number)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == status
    assert number == signal.SIGKILL or "Branches:" in out
    assert engine is not None
    wait_for(lambda: not Path(f"/proc/{engine.pid}").exists())
    wait_for(lambda: not running(workspace))


def test_words_that_cannot_be_meant() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for words, says in ((["--for", "5s"], "--no-ui"), ([], "--no-ui --for 10s")):
        command = [*DEMO[:-1], *words]
        done = subprocess.run(
            command, env=environment, text=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=30, check=False
        )
        assert done.returncode == 2
        assert says in done.stderr
