"""The demo without a terminal: its world starts, tells its story, adds up, and leaves nothing running."""

from __future__ import annotations

import base64
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from core.automation import Automation
from core.errors import WorkspaceError
from core.lock import holder
from core.reruns import Selection
from core.sandbox import desk_records
from core.sandbox.accounts import FIRST_ACCOUNTS, Accounts, correct_all
from core.sandbox.demo import CORRECTION, MISTAKE, staged
from core.sandbox.leads import FIRST_LEADS, Leads, correct_leads
from core.sandbox.stage import CRM, DESK, LEADS, LEADS_RECIPE, RECIPE
from data.job_records import JobFilter, Sort
from data.states import Status

ROOT = Path(__file__).parents[2]
DEMO = [sys.executable, "-c", "from tui.main import main; main()", "demo", "--no-ui"]


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


def accounts(workspace: Path) -> list[dict[str, Any]]:
    with closing(Accounts(workspace / CRM)) as crm:
        return crm.all()


def organizations(workspace: Path) -> dict[str, str]:
    """Return the names of the desk's organizations by their external ids."""
    with closing(desk_records.State(workspace / DESK)) as desk:
        return {one["external_id"]: one["name"] for _, one in desk.some("organizations", "1", tail="")}


def ended(automation: Automation) -> int:
    counts = automation.status().jobs
    return counts.get(Status.SUCCEEDED, 0) + counts.get(Status.FAILED, 0)


def numbers(out: str, line: str) -> list[int]:
    """Return the numbers of jobs in a line of the summary: all of them, then by status."""
    return list(map(int, re.findall(r"\b(?<!-)\d+\b", re.search(rf"^ *{line}(.*)$", out, re.MULTILINE)[1])))


def test_the_crm_has_every_kind_of_account_and_the_same_in_every_demo(tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        with closing(Accounts(tmp_path / name / CRM)) as crm:
            for _ in range(40):
                crm.act()
            found.append([(one["Name"], one["Website"], one["BillingCity"]) for one in crm.all()])
    assert found[0] == found[1]
    names = [name for name, _, _ in found[0]]
    assert len(names) > FIRST_ACCOUNTS
    assert len(set(names)) < len(names)
    assert None in [website for _, website, _ in found[0]]


def test_corrected_accounts_and_leads_are_flawed_no_more(tmp_path: Path) -> None:
    with closing(Accounts(tmp_path / CRM)) as crm, closing(Leads(tmp_path / LEADS)) as leads:
        for _ in range(60):
            crm.add()
            leads.add()
        flawed = [one["Id"] for one in crm.flawed()]
        assert len(flawed) > 3
        assert correct_all(tmp_path / CRM) == flawed
        assert crm.flawed() == []
    assert len(correct_leads(tmp_path / LEADS)) > 3
    assert correct_leads(tmp_path / LEADS) == []


def test_the_story_is_told_and_adds_up(tmp_path: Path) -> None:
    workspace = tmp_path / "demo"
    process = start(str(workspace), "--for", "10s")
    out, err = process.communicate(timeout=90)
    assert process.returncode == 0, out + err
    assert err == ""
    for reason in ("must be text, not null", "has already been taken", "Required fields are missing: [Name]", "503"):
        assert reason in out
    total, *parts = numbers(out, "(?=[0-9]+ jobs:)")
    assert sum(parts) == total
    synced, imported = (numbers(out, f"{recipe}: ") for recipe in (RECIPE, LEADS_RECIPE))
    updated, created = (
        numbers(out, f"{branch}: ") for branch in ("organization found, updated", "none found, created")
    )
    assert sum(synced[1:]) == synced[0]
    assert sum(imported[1:]) == imported[0]
    assert synced[0] + imported[0] == total
    assert updated[0] + created[0] == synced[0]
    assert min(updated[0], created[0]) > 0
    assert CORRECTION in (workspace / "recipes" / f"{RECIPE}.yaml").read_text()
    with Automation(workspace) as automation:
        jobs = list(automation.jobs(JobFilter(), Sort("id", descending=False)))
        assert len(jobs) >= total
        again = [job for job in jobs if job.versions == 2]
        assert numbers(out, "Rerun in place: ")[0] == len(again)
        mended = [job for job in again if job.status is Status.SUCCEEDED]
        pasts = [automation.history(job.id) for job in mended]
        assert {(new.recipe_revision, old.recipe_revision, old.status) for new, old in pasts} == {(2, 1, Status.FAILED)}
        assert any("must be text" in old.error.message for _, old in pasts)
        refused = {job.report["Account"] for job in again if job.status is Status.FAILED}
        through = {job.report["Account"] for job in jobs if job.recipe == RECIPE and job.status is Status.SUCCEEDED}
        assert refused
        assert refused <= through
    assert not running(workspace)


def test_every_lead_becomes_an_account_and_every_account_an_organization(tmp_path: Path) -> None:
    with staged(tmp_path / "demo") as workspace, Automation(workspace) as automation:
        assert automation.check() == []
        wait_for(lambda: ended(automation) >= FIRST_ACCOUNTS + FIRST_LEADS)
        recipe = automation.recipe_path(RECIPE)
        recipe.write_text(recipe.read_text().replace(MISTAKE, CORRECTION))
        correct_all(workspace / CRM)
        correct_leads(workspace / LEADS)
        with closing(Leads(workspace / LEADS)) as leads:
            signed_up = leads.count()
        wait_for(lambda: sum(one["External_Id__c"] is not None for one in accounts(workspace)) >= signed_up)
        names = {one["Id"]: one["Name"] for one in accounts(workspace)}
        failed = JobFilter(recipe=RECIPE, statuses=frozenset({Status.FAILED}))
        automation.rerun(Selection(filter=failed), by="somebody")
        wait_for(lambda: names.items() <= organizations(workspace).items())


def test_no_ticket_is_no_reason_to_fail(tmp_path: Path) -> None:
    with staged(tmp_path / "demo") as workspace, Automation(workspace) as automation:
        wait_for(lambda: automation.status().jobs.get(Status.SUCCEEDED, 0) > FIRST_LEADS)
        jobs = automation.jobs(JobFilter(recipe=RECIPE, statuses=frozenset({Status.SUCCEEDED})), Sort("id", False))
        steps = {step.id: step for step in automation.detail(next(iter(jobs)).id).steps}
    assert steps["welcome"].error is not None
    assert "503" in steps["unwelcomed"].input["message"]


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


def test_the_secrets_are_in_files_that_only_their_owner_reads_and_in_no_record(tmp_path: Path) -> None:
    with staged(tmp_path / "demo") as workspace, Automation(workspace) as automation:
        wait_for(lambda: automation.status().jobs.get(Status.SUCCEEDED, 0) > FIRST_LEADS)
    kept = [workspace / ".jobdeck" / name for name in ("crm.secret", "desk.token")]
    secrets = [path.read_bytes().strip() for path in kept]
    secrets.append(base64.b64encode(b"demo@desk.example/token:" + secrets[1]))
    assert all(path.stat().st_mode & 0o077 == 0 for path in kept)
    for path in workspace.rglob("*"):
        if path.is_file() and path not in kept:
            assert not any(secret in path.read_bytes() for secret in secrets), path


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
    assert number == signal.SIGKILL or "Rerun in place:" in out
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
