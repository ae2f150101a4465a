"""An automation that remembers a few jobs in memory, for the tests of screens alone."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from stub_batches import StubBatches

from core.automation import EngineState
from core.coverage import Coverage, Covered
from core.diff import Diff, Place, Side, compare
from core.errors import NotFound, Refused
from core.overview import Declared, RecipeChange
from core.reruns import WHOLE, How, Plan, Repeat, Rerun, RevisionChange, Selection
from core.textdiff import unified
from data.job_records import Error, Job, JobFilter, Refusal, Sort
from data.records import (
    ErrorGroup,
    Hour,
    JobDetail,
    Link,
    Problem,
    RecipeState,
    Revision,
    StepRecord,
    Tally,
    Version,
)
from data.states import Status, StepStatus

BEGAN = dt.datetime(2026, 5, 4, 10, 11, 12, tzinfo=dt.UTC)


def step(path: str, id: str, status: StepStatus, action: str | None = None, **more: Any) -> StepRecord:
    """Return a step record."""
    more.setdefault("kind", "action" if action else "")
    return StepRecord(path=path, id=id, status=status, action=action, has_input="input" in more, **more)


def revision(number: int, text: str) -> Revision:
    """Return a revision of the recipe."""
    return Revision(number, "sync", number, text, BEGAN + dt.timedelta(days=number))


def tally(received: int, failed: int = 0) -> Tally:
    """Return the tally of a recipe whose busiest hour brought so many jobs, and the one before it the failed ones."""
    numbers = [received * hour // 23 for hour in range(24)]
    began = [BEGAN.replace(minute=0, second=0) + dt.timedelta(hours=hour) for hour in range(24)]
    hours = tuple(Hour(*one, failed if at == 22 else 0) for at, one in enumerate(zip(began, numbers, strict=True)))
    statuses = {Status.SUCCEEDED: sum(numbers) - failed, Status.FAILED: failed}
    return Tally({status: number for status, number in statuses.items() if number}, hours, None)


FAILED_STEPS = (
    step("1", "find", StepStatus.SUCCEEDED, "http.request", effect="reads", attempts=2, duration_ms=120,
         input={"method": "GET", "url": "https://desk.test/organizations", "params": {"external_id": "A-7"}},
         output={"status": 200, "body": {"count": 0, "organizations": []}}),
    step("2", "s2", StepStatus.SUCCEEDED, kind="condition", branch="else"),
    step("2.then.1", "update", StepStatus.NOT_REACHED, "http.request"),
    step("2.else.1", "create", StepStatus.FAILED, "http.request", effect="writes", attempts=1, duration_ms=1520,
         input={"method": "POST", "url": "https://desk.test/organizations", "json": {"name": "[red]Acme[/red]"}},
         error=Error("422: name is taken\x1b[2J", "http", "2.else.1", 422)),
    step("3", "tell", StepStatus.NOT_REACHED, "log.write"),
)  # fmt: skip


class NoReport:
    """A report without jobs, for what only wants to be made ready."""

    def rows(self, start: int, count: int) -> list[Job]:
        return []


class StubAutomation:
    """One job, 812, whose versions grow by `rerun`."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.moved = 1
        self.looks = 0
        """How often somebody asked whether anything moved."""
        self.state = EngineState(False)
        self.recipe_states = [RecipeState(1, "sync", True, 3, (), True), RecipeState(2, "tidy", False, 1, (), True)]
        self.blocked: Refusal | None = None
        self.trigger: Any = {"Id": "A-7", "Name": "[red]Acme[/red]", "Website": "https://acme.test"}
        self.steps: tuple[StepRecord, ...] = FAILED_STEPS
        self.steps_of: dict[int, tuple[StepRecord, ...]] = {}
        """By the number of a version whose steps are not `steps`."""
        self.texts: dict[int, str] = {}
        """Of the recipe, by the number of the version that ran it."""
        self.parents: dict[int, Link] = {}
        """By the number of the version that was called."""
        self.kin: tuple[int | None, int | None, dt.datetime | None] = (None, None, None)
        self.error_groups: list[ErrorGroup] = []
        self.repeats: tuple[Repeat, ...] = (Repeat("sync", "2.else.1", "http.request", 1),)
        refused = Error("422: name is taken", "http", "2.else.1", 422)
        self.versions = [
            self._version(1, Status.FAILED, error=refused, duration_ms=1640)
        ]
        self.asked: list[Any] = []
        self.path = Path("sync.yaml")
        self.declarations = {"sync": Declared("sql.new_or_updated", True, 1),
                             "tidy": Declared("manual.event", False, 0)}
        self.tallied = {1: tally(30, failed=3), 2: tally(0)}
        self.revised = [revision(3, "steps:\n  - find: [b]Acme[/b]\n  - stop\n"), revision(2, "steps:\n  - find\n"),
                        revision(1, "steps: \x1b[2J\n")]
        self.batches = StubBatches()
        self.settings = SimpleNamespace(rerun=SimpleNamespace(note_above=20, type_count_above=100))
        self.workspace = Path(os.devnull)

    def _version(self, number: int, status: Status, **more: Any) -> Version:
        began = BEGAN + dt.timedelta(minutes=number)
        facts: dict[str, Any] = {"started_at": began, "finished_at": began + dt.timedelta(seconds=2)}
        facts |= {"error": None, "duration_ms": None, "note": None, "mode": "first" if number == 1 else "start"}
        return Version(
            id=number, job_id=812, number=number, latest=True, status=status, recipe_revision=number,
            requested_by="" if number == 1 else "ops@10.0.0.3", requested_at=began, **(facts | more),
        )  # fmt: skip

    # What tests do to it

    def add_version(self, status: Status, **more: Any) -> None:
        """A further version, as somebody's rerun makes it."""
        with self.lock:
            self.versions = [dataclasses.replace(version, latest=False) for version in self.versions]
            self.versions.append(self._version(len(self.versions) + 1, status, **more))
            self.moved += 1

    def set_latest(self, **changes: Any) -> None:
        """The latest version as it goes on."""
        with self.lock:
            self.versions[-1] = dataclasses.replace(self.versions[-1], **changes)
            self.moved += 1

    # What the terminal asks

    def changes(self) -> int:
        self.looks += 1
        return self.moved

    def engine(self) -> EngineState:
        return self.state

    def start_engine(self) -> EngineState:
        self.state = EngineState(True, 4711, "here", BEGAN, "127.0.0.1:8321")
        return self.state

    def stop_engine(self, timeout: float = 30.0) -> EngineState:
        self.state = EngineState(False)
        return self.state

    def report(self, filter: JobFilter, sort: Sort) -> NoReport:
        return NoReport()

    def recipes(self) -> list[RecipeState]:
        return list(self.recipe_states)

    def recipe(self, name: str) -> RecipeState:
        return next(state for state in self.recipe_states if state.name == name)

    @property
    def trials(self) -> StubAutomation:
        return self

    @property
    def overview(self) -> StubAutomation:
        return self

    def declared(self) -> dict[str, Declared]:
        return self.declarations

    def tallies(self) -> dict[int, Tally]:
        return self.tallied

    def revisions(self, name: str) -> list[Revision]:
        return self.revised

    def compared(self, name: str, old: int, new: int) -> RecipeChange:
        numbered = {one.number: one for one in self.revised}
        return RecipeChange(numbered[old], numbered[new], unified(numbered[old], numbered[new]))

    def coverage(self, name: str) -> Coverage:
        warning = Problem("recipes/sync.yaml", 9, 3, "steps.create is null here", warning=True)
        ways = (
            Covered("2", "s2", 7, "branch", "then", "if steps.find.count > 0", 0, None),
            Covered("2", "s2", 7, "branch", "else", "where no other holds", 1204, (812, 1)),
            Covered("4", "s4", 20, "stop", "reached", "ends the job as failed", 3, (812, 1)),
        )
        return Coverage(name, 3, 1204, True, ways, (warning,))

    @property
    def failures(self) -> StubAutomation:
        return self

    def groups(self, limit: int | None = None) -> list[ErrorGroup]:
        return self.error_groups[:limit]

    def recipe_path(self, name: str) -> Path:
        return self.path

    def start_recipe(self, name: str, *, by: str) -> RecipeState:
        return self._run_recipe(name, True)

    def stop_recipe(self, name: str, *, by: str) -> RecipeState:
        return self._run_recipe(name, False)

    def _run_recipe(self, name: str, started: bool) -> RecipeState:
        self.recipe_states = [
            dataclasses.replace(state, started=started) if state.name == name else state for state in self.recipe_states
        ]
        self.moved += 1
        return next(state for state in self.recipe_states if state.name == name)

    def job(self, job_id: int) -> Job:
        latest = self.versions[-1]
        if job_id != 812:
            raise NotFound(f"there is no job {job_id}")
        return Job(
            id=812, recipe="sync", title="[red]Acme[/red] \x1b]0;x\x07", status=latest.status, event_key="A-7@1",
            received_at=BEGAN, first_started_at=self.versions[0].started_at, started_at=latest.started_at,
            finished_at=latest.finished_at, duration_ms=latest.duration_ms, versions=len(self.versions),
            error=latest.error, report={}, trigger_stored=self.trigger is not None, rerun_blocked=self.blocked,
        )  # fmt: skip

    def detail(self, job_id: int, version: int | None = None) -> JobDetail:
        job = self.job(job_id)
        shown = self.versions[(version or len(self.versions)) - 1]
        steps = self.steps_of.get(shown.number, self.steps)
        return JobDetail(job, shown, self.trigger, steps, self.parents.get(shown.number), *self.kin)

    def same_object(self, job_id: int) -> tuple[int | None, int | None, dt.datetime | None]:
        return self.kin

    def history(self, job_id: int) -> list[Version]:
        self.job(job_id)
        return self.versions[::-1]

    @property
    def comparing(self) -> StubComparing:
        return StubComparing(self)

    def plan(self, selection: Selection, how: How = WHOLE, *, digest: str | None = None) -> Plan:
        refused = (self.blocked,) if self.blocked else ()
        wanted = () if refused else (812,)
        change = RevisionChange("sync", self.versions[-1].recipe_revision, 7, 1)
        return Plan(selection, wanted, refused, (change,), self.repeats, f"digest{len(self.versions)}")

    def rerun(
        self, selection: Selection, how: How = WHOLE, *, by: str, note: str | None = None, plan: str | None = None
    ) -> Rerun:
        self.asked.append(("rerun", selection, plan))
        self.add_version(Status.RUNNING, finished_at=None)
        return Rerun((812,), (), None, plan or "")

    def resolve(self, job_id: int, path: str, *, happened: bool, output: Any = None, by: str) -> None:
        self.asked.append(("resolve", path, happened))
        self.set_latest(status=Status.QUEUED)

    def reveal(self, job_id: int, version: int, path: str | None, *, by: str) -> None:
        self.asked.append(("reveal", job_id, version, path))

    @property
    def rehearsing(self) -> StubAutomation:
        return self

    def rehearse(self, job_id: int, revision: int | None = None, *, by: str) -> SimpleNamespace:
        self.asked.append(("rehearse", job_id))
        latest = len(self.versions)
        diff = self.comparing.versions((job_id, latest), (job_id, latest))
        made = dataclasses.replace(diff, new=dataclasses.replace(diff.new, name=f"rehearsal of {job_id}.{latest}"))
        return SimpleNamespace(verdict="nothing has changed: r1 comes out as 812.1 did", diff=made)

    def broken(self) -> None:
        """The recipe's file as somebody left it."""
        problem = Problem("recipes/sync.yaml", 12, 5, 'unknown key "actoin": did you mean "action"?')
        self.recipe_states[0] = dataclasses.replace(self.recipe_states[0], problems=(problem,))
        self.moved += 1


class StubComparing:
    """Compares versions of the stub's job."""

    def __init__(self, stub: StubAutomation) -> None:
        self._stub = stub

    def versions(self, old: tuple[int, int], new: tuple[int, int]) -> Diff:
        return compare(self._side(old[1]), self._side(new[1]))

    def with_last_good(self, job_id: int) -> Diff:
        versions = self._stub.versions
        good = next((one.number for one in versions[-2::-1] if one.status is Status.SUCCEEDED), None)
        if good is None:
            raise Refused("no_good_version", "no version before succeeded: there is nothing to compare it with")
        return compare(self._side(good), self._side(len(versions)))

    def _side(self, number: int) -> Side:
        detail = self._stub.detail(812, number)
        version = detail.version
        place = Place(f"812.{number}", 812, number, "sync", version.status, version.recipe_revision,
                      version.started_at or BEGAN, version.requested_by, version.error)
        revision = Revision(number, "sync", number, self._stub.texts.get(number, ""), BEGAN)
        return Side(place, revision, detail.trigger, detail.steps)
