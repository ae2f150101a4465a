"""Rehearsals: a job's cached event through a revision whose reads act and whose writes are answered, and compared."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from core import reruns
from core.comparing import Comparing
from core.diff import Diff, Place, Side, compare, same_error
from core.dryrun import DryRun, DryRunner
from core.errors import NotFound, RecipeProblems, Refused
from core.groups import error_group
from core.library import Library, Loaded
from core.recipe import ActionStep
from core.settings import Settings
from core.verdict import verdict
from data import coverage
from data import jobs as store
from data import recipes as recipe_store
from data import rehearsals as kept_store
from data.audit import note_act
from data.database import Database
from data.job_records import Error, Job, JsonValue
from data.records import RecipeState, Revision, StepRecord, Version
from data.report import jobs_of
from data.states import Status, StepStatus


@dataclass(frozen=True)
class Rehearsal:
    """What came of a rehearsal, beside the version that it rehearses: the old run of `diff`."""

    id: int
    job: int
    version: int
    ran: DryRun
    diff: Diff
    verdict: str


@dataclass(frozen=True, slots=True)
class Kept:
    """A rehearsal made earlier."""

    id: int
    job: int
    version: int
    revision: int
    status: Status
    by: str
    at: dt.datetime
    verdict: str


class Rehearsing:
    """What `jobdeck rehearse` does on an open workspace."""

    def __init__(
        self, workspace: Path, settings: Settings, database: Database, library: Library, comparing: Comparing
    ) -> None:
        self._workspace = workspace
        self._settings = settings
        self._database = database
        self._library = library
        self._comparing = comparing

    def rehearse(self, job_id: int, revision: int | None = None, *, by: str) -> Rehearsal:
        """Take a job's cached event through a revision, that of its latest version unless one is named.

        Reads act. A write is answered by what the newest version of the job that completed this step recorded, else by
        what the step last gave in a job of the recipe, else by its connector's example. What comes of it is kept apart
        from the versions, and in the audit. Raises NotFound, and Refused with the codes of rerunning.
        """
        job, latest, loaded = self._found(job_id, revision)
        recorded = self._comparing.side(job_id, latest.number)
        runner = self._runner(job_id, job.recipe)
        ran = runner.run(loaded, recorded.trigger, job=(job_id, latest.number), key=job.event_key)
        now = dt.datetime.now(dt.UTC)
        side = _side(job, latest, loaded.revision, ran, by, now)
        diff = compare(_comparable(recorded), _comparable(side))
        told = verdict(diff, ran.not_sent, _same_failure(recorded, ran, loaded))
        return Rehearsal(self._keep(job, latest, loaded, ran, told, by, now), job_id, latest.number, ran, diff, told)

    def kept(self, job_id: int) -> list[Kept]:
        """Return a job's rehearsals, newest first; raises NotFound."""
        with self._database.read() as connection:
            if job_id not in jobs_of(connection, [job_id]):
                raise NotFound(f"there is no job {job_id}")
            found = kept_store.of_job(connection, job_id)
        return [
            Kept(one.id, one.job_id, one.version, one.revision, one.status, one.by, one.at, one.content["verdict"])
            for one in found
        ]

    def _found(self, job_id: int, number: int | None) -> tuple[Job, Version, Loaded]:
        states = {state.name: state for state in self._library.refresh()}
        with self._database.read() as connection:
            job = jobs_of(connection, [job_id]).get(job_id)
            latest = store.version(connection, job_id, None)
            if job is None or latest is None:
                raise NotFound(f"there is no job {job_id}")
            state = states[job.recipe]
            revision = _revision(recipe_store.history(connection, state.id), job, number or latest.recipe_revision)
        loaded = self._loaded(state, revision)
        why = reruns.refusal(job, reruns.standing(state, loaded, self._settings))
        if why is not None:
            raise Refused(why.code, why.message)
        assert loaded is not None
        return job, latest, loaded

    def _loaded(self, state: RecipeState, revision: Revision) -> Loaded | None:
        try:
            return Loaded(state, revision, self._library.recipe(revision))
        except RecipeProblems:
            return None

    def _runner(self, job_id: int, recipe: str) -> DryRunner:
        def recorded(loaded: Loaded, step: ActionStep, path: str) -> tuple[JsonValue, str] | None:
            index = tuple(int(number) for number in re.findall(r"\[(\d+)\]", path))
            with self._database.read() as connection:
                if loaded.state.name == recipe:
                    own = coverage.own_output(connection, job_id, step.id, step.action.name, index)
                    if own is not None:
                        return own[0], f"{job_id}.{own[1]}"
                last = coverage.last_output(connection, loaded.state.id, step.id, step.action.name)
            return None if last is None else (last[0], f"{last[1]}.{last[2]}")

        return DryRunner(self._workspace, self._settings, self._library.named, recorded)

    def _keep(
        self, job: Job, latest: Version, loaded: Loaded, ran: DryRun, told: str, by: str, now: dt.datetime
    ) -> int:
        content = _content(ran, told)

        with self._database.write() as connection:
            made = kept_store.add(
                connection, job.id, latest.number, loaded.revision.id, by=by, now=now, status=ran.status,
                content=content,
            )
            if made is None:
                raise Refused("trigger_expired", f"retention removed the data of job {job.id} while it was rehearsed")
            note = f"rehearsal {made}: {job.id}.{latest.number} through r{ran.revision}: {ran.status.value}"
            note_act(connection, by, "rehearse", f"job {job.id}", note)
        return made


def _revision(revisions: list[Revision], job: Job, number: int | None) -> Revision:
    """Return the revision of a number, the last one where none is given; raises NotFound."""
    found = next((one for one in revisions if number in (None, one.number)), None)
    if found is None:
        last = f"its last is r{revisions[0].number}" if revisions else "it has none"
        raise NotFound(f"{job.recipe} has no revision {number}; {last}")
    return found


def _side(job: Job, latest: Version, revision: Revision, ran: DryRun, by: str, now: dt.datetime) -> Side:
    name = f"rehearsal of {job.id}.{latest.number}"
    place = Place(name, job.id, latest.number, job.recipe, ran.status, ran.revision, now, by, ran.error)
    return Side(place, revision, ran.trigger, ran.steps)


def _comparable(side: Side) -> Side:
    """Return a side without what a rehearsal cannot have: steps reused, jobs of called recipes."""
    return replace(side, steps=tuple(map(_plain, side.steps)))


def _plain(step: StepRecord) -> StepRecord:
    if step.status is StepStatus.REUSED:
        step = step._replace(status=StepStatus.SUCCEEDED)
    if step.kind == "call" and isinstance(step.output, Mapping):
        return step._replace(output={key: value for key, value in step.output.items() if key != "job"})
    return step


def _same_failure(recorded: Side, ran: DryRun, loaded: Loaded) -> bool:
    old, new = recorded.place.error, ran.error
    if old is None or new is None or (recorded.place.revision == ran.revision and old.step != new.step):
        return False
    if old.kind == new.kind == "call":
        # The one names the job that was called, the other the dry run in its stead.
        return old.message.partition(" failed: ")[2] == new.message.partition(" failed: ")[2]
    return same_error(old, new) or old.group == error_group(new, loaded.recipe)


def _content(ran: DryRun, told: str) -> dict[str, JsonValue]:
    return {
        "verdict": told,
        "title": ran.title,
        "error": _error(ran.error),
        "report": dict(ran.report),
        "warnings": list(ran.warnings),
        "steps": [_step(step, ran.not_sent.get(step.path)) for step in ran.steps],
    }


def _step(step: StepRecord, not_sent: str | None) -> dict[str, JsonValue]:
    return {
        "path": step.path, "id": step.id, "status": step.status.value, "action": step.action, "branch": step.branch,
        "index": list(step.index), "input": step.input, "output": step.output, "error": _error(step.error),
        "not_sent": not_sent,
    }


def _error(error: Error | None) -> dict[str, JsonValue] | None:
    return None if error is None else error._asdict()
