"""The whole of it from outside: the command line in processes of its own, webhooks over HTTP, jobs, a rerun."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.lock import holder

ROOT = Path(__file__).parents[1]
JOBDECK = [sys.executable, "-c", "from tui.main import main; main()"]
SECRET = "an orange umbrella"
DELIVERIES = 50
ISSUES = """\
description: Notes every issue that is opened
trigger:
  webhook.received:
    path: github
    verify: github
    secret: {env: GITHUB_SECRET}
title: "{{ trigger.body.issue.title }}"
report:
  Repository: "{{ trigger.body.repository.full_name }}"
steps:
  - if: trigger.body.issue.labels
    then:
      - id: owner
        set: {name: "{{ trigger.body.issue.assignee.login }}"}
    else:
      - id: nobody
        set: {name: nobody}
  - id: note
    action: files.append
    with:
      path: issues.log
      text: "{{ trigger.body.issue.number }} {{ steps.owner.name or steps.nobody.name }}\\n"
"""
MENDED = ISSUES.replace("assignee.login }}", "assignee.login | default('nobody') }}")


def issue(number: int, labels: tuple[str, ...] = ()) -> bytes:
    """Return the body of a delivery in GitHub's shape."""
    payload = {
        "action": "opened",
        "issue": {"number": number, "title": f"Issue {number}: café ✓", "labels": [{"name": name} for name in labels]},
        "repository": {"full_name": "octo-org/octo-repo"},
        "sender": {"login": "octocat"},
    }
    return json.dumps(payload, ensure_ascii=False).encode()


def headers(body: bytes, delivery: str, secret: str = SECRET) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "User-Agent": "GitHub-Hookshot/0000000",
        "X-GitHub-Event": "issues",
        "X-GitHub-Delivery": delivery,
        "X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(),
    }


class Deck:
    """A workspace with an engine on it, both by the command line."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT), "GITHUB_SECRET": SECRET}
        self._environment.pop("JOBDECK_WORKSPACE", None)

    def start(self, *words: str) -> subprocess.Popen[str]:
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        cwd = self.folder if self.folder.exists() else self.folder.parent
        return subprocess.Popen([*JOBDECK, *words], cwd=cwd, env=self._environment, text=True, **pipes)

    def run(self, *words: str, expect: int = 0) -> str:
        out, err = (process := self.start(*words)).communicate(timeout=60)
        assert process.returncode == expect, out + err
        return out

    def json(self, *words: str, expect: int = 0) -> Any:
        return json.loads(self.run(*words, "-o", "json", expect=expect))

    def until_ended(self, number: int, seconds: float = 30.0) -> list[Any]:
        """Return the jobs, oldest first, as soon as there are so many and all have ended."""
        deadline = time.monotonic() + seconds
        while True:
            jobs = self.json("jobs", "--sort", "id")
            if len(jobs) >= number and all(job["finished_at"] for job in jobs):
                return jobs
            assert time.monotonic() < deadline, f"{len(jobs)} jobs, of which not all ended"


@pytest.fixture
def deck(tmp_path: Path) -> Deck:
    deck = Deck(tmp_path / "deck")
    deck.run("init", str(deck.folder))
    settings = deck.folder / "jobdeck.toml"
    settings.write_text(settings.read_text() + 'listen = "127.0.0.1:0"\n')
    (deck.folder / "recipes" / "issues.yaml").write_text(ISSUES)
    assert deck.run("check") == "2 recipes are valid\n"
    return deck


@pytest.fixture
def engine(deck: Deck) -> Iterator[subprocess.Popen[str]]:
    """An engine; it is killed at the end if the test has not ended it."""
    with deck.start("engine") as engine:
        assert engine.stdout is not None
        started = engine.stdout.readline()
        assert "listening on 127.0.0.1:" in started, started + (engine.stderr.read() if engine.stderr else "")
        yield engine
        engine.kill()


@pytest.fixture
def hook(deck: Deck, engine: subprocess.Popen[str]) -> Iterator[httpx.Client]:
    held = holder(deck.folder)
    assert held is not None
    with httpx.Client(base_url=f"http://{held.listen}", timeout=30, trust_env=False) as client:
        yield client


def post(hook: httpx.Client, body: bytes, delivery: str, secret: str = SECRET) -> httpx.Response:
    return hook.post("/hooks/github", content=body, headers=headers(body, delivery, secret))


def test_deliveries_become_jobs_that_are_mended_and_rerun_in_place(
    deck: Deck, engine: subprocess.Popen[str], hook: httpx.Client
) -> None:
    deliveries = [(issue(number), str(uuid.UUID(int=number))) for number in range(1, DELIVERIES + 1)]
    with ThreadPoolExecutor(8) as pool:
        first = list(pool.map(lambda one: post(hook, *one), deliveries))
        assert {answer.status_code for answer in first} == {202}
        again = list(pool.map(lambda one: post(hook, *one), deliveries))
    assert {answer.status_code for answer in again} == {200}
    assert [answer.json() for answer in again] == [answer.json() for answer in first]
    jobs = deck.until_ended(DELIVERIES)
    assert len(jobs) == DELIVERIES
    assert {job["status"] for job in jobs} == {"succeeded"}
    assert sorted(answer.json()["job"] for answer in first) == [job["id"] for job in jobs]
    noted = sorted((deck.folder / "issues.log").read_text().splitlines())
    assert noted == sorted(f"{number} nobody" for number in range(1, DELIVERIES + 1))

    # Nothing of what is refused becomes a job.
    assert post(hook, issue(90), "90", "another secret").status_code == 401
    assert hook.post("/hooks/github", content=issue(91)).status_code == 401
    assert post(hook, b"{not JSON", "92").status_code == 400
    assert post(hook, b'"' + b"x" * 20_000_000 + b'"', "93").status_code == 413
    assert post(hook, issue(94), "94").status_code == 202

    # An issue with a label and without an assignee is what the recipe was not written for.
    failing = post(hook, issue(95, labels=("bug",)), "95").json()["job"]
    before = deck.until_ended(DELIVERIES + 2)
    assert len(before) == DELIVERIES + 2
    failed = before[-1]
    assert (failed["id"], failed["status"], failed["rerunnable"]) == (failing, "failed", True)
    assert "assignee" in failed["error"]["message"]
    assert failed["error"]["step"] == "1.then.1"

    (deck.folder / "recipes" / "issues.yaml").write_text(MENDED)
    done = deck.json("rerun", str(failing), "--yes", "--wait", "--note", "nobody is assigned")
    assert (done["requested"], done["refused"]) == ([failing], [])
    second, one = deck.json("history", str(failing))
    assert [(version["version"], version["status"]) for version in (second, one)] == [(2, "succeeded"), (1, "failed")]
    assert (second["recipe_revision"], one["recipe_revision"]) == (2, 1)
    assert (second["note"], one["error"]) == ("nobody is assigned", failed["error"])
    after = deck.json("jobs", "--sort", "id")
    assert [(job["id"], job["received_at"]) for job in after] == [(job["id"], job["received_at"]) for job in before]
    assert [job["id"] for job in deck.json("jobs")] == [job["id"] for job in reversed(after)]
    assert (after[-1]["status"], after[-1]["versions"], after[-1]["error"]) == ("succeeded", 2, None)
    shown = deck.json("show", str(failing))
    assert shown["trigger"]["body"] == json.loads(issue(95, labels=("bug",)))
    assert "x-hub-signature-256" not in shown["trigger"]["headers"]
    assert (deck.folder / "issues.log").read_text().splitlines()[-1] == "95 nobody"

    engine.send_signal(signal.SIGTERM)
    out, err = engine.communicate(timeout=30)
    assert (engine.returncode, err) == (0, "")
    assert out.splitlines()[-1] == "engine stopped"
    assert deck.json("status")["engine"]["running"] is False


def test_an_engine_that_is_killed_has_lost_no_delivery(
    deck: Deck, engine: subprocess.Popen[str], hook: httpx.Client
) -> None:
    for number in range(1, 21):
        assert post(hook, issue(number), str(number)).status_code == 202
    engine.kill()
    engine.wait(10)
    deck.run("engine", "--until-idle")
    jobs = deck.json("jobs", "--sort", "id")
    assert [job["title"] for job in jobs] == [f"Issue {number}: café ✓" for number in range(1, 21)]
    assert {job["status"] for job in jobs} <= {"succeeded", "in_doubt"}
