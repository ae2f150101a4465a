"""The demo: a workspace on its stage, and, for where no terminal is, the story of a rerun told line by line."""

from __future__ import annotations

import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from core.automation import Automation
from core.errors import WorkspaceError
from core.places import FILE as SETTINGS
from core.reruns import Selection
from core.sandbox.accounts import FIRST_ACCOUNTS, correct_all
from core.sandbox.leads import FIRST_LEADS, correct_leads
from core.sandbox.stage import CRM, LEADS, LEADS_RECIPE, READY, RECIPE
from core.who import actor
from data.job_records import Job, JobFilter, Sort
from data.states import ENDED, Status

MISTAKE = 'domains: ["{{ trigger.Website }}"]'
CORRECTION = 'domains: "{{ [trigger.Website] if trigger.Website else [] }}"'

LOOK_S = 4.0
"""How long jobs fail before the recipe is corrected, unless the demo is shorter than that."""

_LONGEST_S = 30.0
_END_S = 60.0
_BRANCHES = {"then": "organization found, updated", "else": "none found, created", None: "failed before it was known"}


@contextmanager
def staged(directory: Path | None) -> Iterator[Path]:
    """Give the demo's workspace with everything running; at the end all of it is stopped.

    `directory` is new, empty, or that of an earlier demo, and stays; without one it is a temporary folder, which
    goes. Raises WorkspaceError.
    """
    if directory is not None:
        with _running(_usable(directory)) as workspace:
            yield workspace
        return
    made = Path(tempfile.mkdtemp(prefix="jobdeck-demo-"))
    try:
        with _running(made) as workspace:
            yield workspace
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _usable(directory: Path) -> Path:
    workspace = directory.absolute()
    try:
        workspace.mkdir(parents=True, exist_ok=True)
        there = {path.name for path in workspace.iterdir()}
    except OSError as error:
        raise WorkspaceError(f"{workspace} cannot hold the demo: {error.strerror}") from error
    if there and not {SETTINGS, CRM} <= there:
        raise WorkspaceError(f"{workspace} is not empty, nor that of an earlier demo: name a new folder")
    return workspace


@contextmanager
def _running(workspace: Path) -> Iterator[Path]:
    """Run the stage as a process of its own while the context lasts; the terminal's signals do not reach it."""
    log_path = workspace / ".jobdeck" / "demo.log"
    log_path.parent.mkdir(mode=0o700, exist_ok=True)
    with log_path.open("wb") as log:
        stage = subprocess.Popen(
            [sys.executable, "-m", "core.sandbox.stage", str(workspace)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True,
        )  # fmt: skip
    assert stage.stdin is not None
    assert stage.stdout is not None
    try:
        said = os.read(stage.stdout.fileno(), 65536).decode("utf-8", "replace").strip()
        if said != READY:
            raise WorkspaceError(f"the demo did not start: {said or f'{log_path} says why'}")
        yield workspace
    finally:
        stage.stdin.close()
        try:
            stage.wait(_END_S)
        except subprocess.TimeoutExpired:
            stage.kill()
            stage.wait()
        stage.stdout.close()


# Without a terminal


def show(workspace: Path, seconds: float | None) -> Iterator[str]:
    """Yield, line by line, what happens in `seconds`, or until SIGINT or SIGTERM: jobs fail, are mended and rerun.

    At least as long as the story takes. Raises JobdeckError.
    """
    with Automation(workspace) as automation, _ended_by_signal() as ended:
        yield from _Story(automation, seconds, ended).told()


@contextmanager
def _ended_by_signal() -> Iterator[threading.Event]:
    ended = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: ended.set()) for number in numbers]
    try:
        yield ended
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


class _Story:
    def __init__(self, automation: Automation, seconds: float | None, ended: threading.Event) -> None:
        self._automation = automation
        self._seconds = seconds
        self._ended = ended
        self._began = time.monotonic()

    def told(self) -> Iterator[str]:
        connections = self._automation.settings.connections
        yield f"Workspace: {self._automation.workspace}"
        yield f"CRM: {connections['crm']['instance_url']}, a stand-in for Salesforce on this machine"
        yield f"Help desk: {connections['desk']['base_url']}, a stand-in for Zendesk; nothing goes to another machine"
        yield ""
        yield self._at("the engine polls: each lead and each account that is new, or has changed, becomes a job")
        self._await(lambda: sum(self._counts().values()) >= FIRST_ACCOUNTS + FIRST_LEADS and self._idle())
        self._ended.wait(min(LOOK_S, self._left() / 2))
        self._await(self._idle)
        yield self._at(f"{_sentence(self._jobs())}; why:")
        yield from _errors(self._jobs())
        yield from self._mended()
        self._ended.wait(None if self._seconds is None else self._left())
        self._await(self._idle)
        yield ""
        yield from self._summary()

    def _mended(self) -> Iterator[str]:
        """The recipe's mistake is corrected and its failed jobs rerun; then the data that the apps refuse."""
        path = self._automation.recipe_path(RECIPE)
        text = path.read_text(encoding="utf-8")
        if MISTAKE not in text:
            return
        path.write_text(text.replace(MISTAKE, CORRECTION), encoding="utf-8")
        failed = Selection(filter=JobFilter(recipe=RECIPE, statuses=frozenset({Status.FAILED})))
        done = self._automation.rerun(failed, by=actor(), note="accounts without a website")
        yield self._at(f"recipes/{path.name} is corrected; its {len(done.requested)} failed jobs are rerun in place")
        self._await(self._idle)
        again = [self._automation.job(id) for id in done.requested]
        yield self._at(f"{_sentence(again)}: what is wrong with the accounts themselves, no recipe mends")
        accounts = correct_all(self._automation.workspace / CRM)
        leads = correct_leads(self._automation.workspace / LEADS)
        yield self._at(
            f"corrected where they come from: {', '.join([*leads, *accounts])}; "
            "a change is a new event, so each is a new job"
        )
        self._await(lambda: self._idle() and {*accounts, *leads} <= self._through())

    def _summary(self) -> Iterator[str]:
        jobs = self._jobs()
        yield _sentence(jobs)
        for recipe in sorted({job.recipe for job in jobs}):
            own = [job for job in jobs if job.recipe == recipe]
            yield f"  {recipe}: {_sentence(own)}"
            if recipe == RECIPE:
                yield from self._branches(own)
        again = [job for job in jobs if job.versions > 1]
        yield f"Rerun in place: {_sentence(again)}"
        if any(job.error for job in jobs):
            yield "Failed (a rerun takes the event as it came; what was corrected since then has a job of its own):"
            yield from _errors(jobs)

    def _branches(self, jobs: Iterable[Job]) -> Iterator[str]:
        """Yield what became of the jobs of each branch."""
        by_branch: dict[str | None, list[Job]] = {"then": [], "else": [], None: []}
        for job in jobs:
            steps = self._automation.detail(job.id).steps
            by_branch[next((step.branch for step in steps if step.branch), None)].append(job)
        for branch, taken in by_branch.items():
            if taken:
                yield f"    {_BRANCHES[branch]}: {_sentence(taken)}"

    def _jobs(self) -> list[Job]:
        return list(self._automation.jobs(JobFilter(), Sort("id", descending=False)))

    def _through(self) -> set[str]:
        """Return the accounts whose organization is there, and the leads whose account is."""
        names = {RECIPE: "Account", LEADS_RECIPE: "Lead"}
        done = (job for job in self._jobs() if job.status is Status.SUCCEEDED)
        return {str(job.report.get(names[job.recipe])) for job in done if job.recipe in names}

    def _counts(self) -> dict[Status, int]:
        return dict(self._automation.status().jobs)

    def _idle(self) -> bool:
        return not self._counts().keys() - ENDED

    def _at(self, what: str) -> str:
        return f"{time.monotonic() - self._began:4.0f} s  {what}"

    def _left(self) -> float:
        if self._seconds is None:
            return math.inf
        return max(0.0, self._began + self._seconds - time.monotonic())

    def _await(self, condition: Callable[[], bool]) -> None:
        """Wait for the condition, until the demo is ended, or so long that something must be wrong."""
        deadline = time.monotonic() + _LONGEST_S
        while not condition() and time.monotonic() < deadline and not self._ended.wait(0.1):
            pass


def _sentence(jobs: list[Job]) -> str:
    counts = Counter(job.status for job in jobs)
    told = ", ".join(f"{counts[status]} {status.value}" for status in Status if counts[status])
    return f"{len(jobs)} job{'' if len(jobs) == 1 else 's'}" + (f": {told}" if told else "")


def _errors(jobs: Iterable[Job]) -> Iterator[str]:
    """Yield the groups of errors that jobs ended with, the most frequent first, each by one of its messages."""
    errors = [job.error for job in jobs if job.error]
    told = {error.group: error.message for error in errors}
    for group, count in Counter(error.group for error in errors).most_common():
        yield f"{count:10}  {told[group]}"
