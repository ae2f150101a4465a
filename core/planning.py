"""Reruns planned and begun: who would run, who not and why, what would happen again; then queued, many as a batch."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from core import reruns
from core.batches import late_refusals, queue_chunk
from core.errors import Refused
from core.library import Library
from core.reruns import WHOLE, How, Plan, Rerun, RevisionChange, Selection, Stale, Standing
from core.resuming import first_change
from core.settings import Settings
from core.text import storable
from core.textdiff import unified
from data import batches, plans
from data import jobs as store
from data import recipes as recipe_store
from data.audit import note_act
from data.batches import Wanted
from data.database import Database
from data.job_records import Job, Refusal, Sort
from data.jobs import Ran
from data.records import Revision
from data.report import Report, jobs_of
from data.states import Status

T = TypeVar("T")
Write = Callable[[Callable[[Any], T]], T]


@dataclass(frozen=True)
class _Planned:
    """A plan, and what it takes to go ahead with it."""

    plan: Plan
    content: Mapping[str, Any]
    wanted: tuple[Wanted, ...]


class Planner:
    """What `jobdeck rerun` and the rerun key do on an open workspace."""

    def __init__(self, database: Database, library: Library, settings: Settings, write: Write[Any]) -> None:
        self._database = database
        self._library = library
        self._settings = settings
        self._write = write

    def standings(self) -> dict[str, Standing]:
        """Return what reruns of each recipe would run. Reads the recipes' files and stores changed ones first."""
        states = self._library.refresh()
        return {state.name: reruns.standing(state, self._library.loaded(state), self._settings) for state in states}

    def plan(self, selection: Selection, how: How = WHOLE, *, digest: str | None = None) -> Plan:
        """Return what rerunning a selection would do, and remember what it said.

        Raises Refused (`plan_changed`) where it is no longer the plan with this digest, if one is given.
        """
        planned = self._planned(selection, how)
        if digest is not None and digest != planned.plan.digest:
            raise self._changed(digest, planned)
        now = dt.datetime.now(dt.UTC)
        self._write(lambda connection: plans.remember(connection, planned.plan.digest, planned.content, now))
        return planned.plan

    def rerun(
        self, selection: Selection, how: How = WHOLE, *, by: str, note: str | None = None, plan: str | None = None
    ) -> Rerun:
        """Queue a new version of each job that can be rerun; the others are in `refused`. More than one are a batch.

        With `plan`, a digest, nothing is done unless that plan still holds. Raises Refused: `plan_changed`, and
        `note_missing` where so many jobs want a note.
        """
        while True:
            planned = self._planned(selection, how)
            if plan is not None and plan != planned.plan.digest:
                raise self._changed(plan, planned)
            try:
                return self._begun(planned, by, note)
            except _Moved:
                # Somebody stored another revision in between: what is to run is looked at anew.
                continue

    def _begun(self, planned: _Planned, by: str, note: str | None) -> Rerun:
        above = self._settings.rerun.note_above
        if not (note or "").strip() and len(planned.wanted) > above:
            raise reruns.note_missing(len(planned.wanted), above)
        said = storable(note.strip()) if note and note.strip() else None
        if len(planned.wanted) > 1:
            return self._as_batch(planned, by, said)
        return self._alone(planned, by, said)

    def _changed(self, expected: str, planned: _Planned) -> Refused:
        with self._database.read() as connection:
            before = plans.recall(connection, expected)
        return reruns.plan_changed(expected, planned.plan, reruns.moves(before, planned.content))

    # Planned

    def _planned(self, selection: Selection, how: How) -> _Planned:
        standings = self.standings()
        found, refused = self._selected(selection)
        found.sort(key=lambda job: job.id)
        with self._database.read() as connection:
            ran = store.ran(connection, [job.id for job in found])
            text = cache(lambda revision_id: recipe_store.revision(connection, revision_id))
            judge = _Judge(selection, how, standings, ran, text)
            blocked = [(job, judge.blocked(job)) for job in found]
            jobs = [job for job, why in blocked if why is None]
            ids = [job.id for job in jobs]
            completed = store.completed_writes(connection, ids, from_failed=how.mode == "failed")
            stale = _stale(connection, ids)
            changes = _changes(jobs, judge, text)
        refused += [why for _, why in blocked if why is not None]
        wanted = tuple(Wanted(job.id, job.versions + 1, judge.revision_id(job)) for job in jobs)
        revisions = {job.recipe: loaded.revision.number for job in jobs if (loaded := standings[job.recipe].loaded)}
        content = reruns.content([(job.id, job.versions) for job in jobs], refused, revisions, how)
        plan = Plan(
            selection, tuple(ids), tuple(sorted(refused, key=lambda one: one.id)), changes,
            reruns.repeats(completed, {one.state.id: one for one in standings.values()}), reruns.digest(content),
            how, stale, reruns.estimate_ms(jobs, standings, self._settings.engine.slots, how.rate),
        )
        return _Planned(plan, content, wanted)

    def _selected(self, selection: Selection) -> tuple[list[Job], list[Refusal]]:
        if selection.filter is not None:
            found = Report(self._database, selection.filter, Sort("id", descending=False)).iterate()
            return [job for job in found if job.id not in selection.excluded], []
        ids = list(dict.fromkeys(selection.ids or ()))
        with self._database.read() as connection:
            there = jobs_of(connection, ids)
        return list(there.values()), [reruns.no_such_job(id) for id in ids if id not in there]

    # Begun

    def _alone(self, planned: _Planned, by: str, note: str | None) -> Rerun:
        now = dt.datetime.now(dt.UTC)
        how = planned.plan.how

        def write(connection: Any) -> list[Refusal]:
            _check_revisions(connection, planned)
            lost = [
                one.job_id for one in planned.wanted
                if not store.add_version(
                    connection, one.job_id, one.number, one.revision_id, mode=how.version_mode, by=by, note=note,
                    now=now,
                )
            ]
            for one in planned.wanted:
                if one.job_id not in lost:
                    note_act(connection, by, "rerun", f"job {one.job_id}.{one.number}", note)
            return late_refusals(connection, lost, standings)

        standings = self.standings()
        late = self._write(write) if planned.wanted else []
        gone = {one.id for one in late}
        return _done(planned, [one.job_id for one in planned.wanted if one.job_id not in gone], late, None)

    def _as_batch(self, planned: _Planned, by: str, note: str | None) -> Rerun:
        """Freeze the list in one transaction; from then on it goes on whatever becomes of this process."""
        how = planned.plan.how
        asked = {
            "requested_by": by, "note": note, "plan": planned.plan.digest, "mode": how.version_mode,
            "order": how.order, "rate": how.rate, "canary": how.canary, "stop_failures": how.stop_failures,
            "stop_share": how.stop_share,
        }
        now = dt.datetime.now(dt.UTC)

        def freeze(connection: Any) -> int:
            _check_revisions(connection, planned)
            batch_id = batches.create(connection, asked, planned.wanted, planned.plan.refused, now)
            subject = f"batch {batch_id}: {len(planned.wanted)} jobs"
            note_act(connection, by, "rerun", subject, note)
            return batch_id

        batch_id = self._write(freeze)
        # Looked up outside of the transactions: it may store a changed recipe.
        standings = self.standings()
        while self._write(lambda connection: queue_chunk(connection, batch_id, standings)):
            pass
        with self._database.read() as connection:
            refused = batches.refusals(connection, batch_id)
        known = {one.id for one in planned.plan.refused}
        late = [one for one in refused if one.id not in known]
        gone = {one.id for one in late}
        return _done(planned, [one.job_id for one in planned.wanted if one.job_id not in gone], late, batch_id)


class _Moved(Exception):
    """A recipe has another latest revision than the one that was planned with."""


def _check_revisions(connection: Any, planned: _Planned) -> None:
    """Raise _Moved unless what is planned is still the latest; belongs into the transaction that queues."""
    last = {one.recipe: one.number for one in recipe_store.last_revisions(connection).values()}
    if any(last.get(name) != number for name, number in planned.content["revisions"].items()):
        raise _Moved


def _done(planned: _Planned, queued: Iterable[int], late: Iterable[Refusal], batch_id: int | None) -> Rerun:
    refused = sorted([*planned.plan.refused, *late], key=lambda one: one.id)
    return Rerun(tuple(queued), tuple(refused), batch_id, planned.plan.digest)


class _Judge:
    """Says of each job whether it can be rerun as is asked, and at which revision."""

    def __init__(
        self, selection: Selection, how: How, standings: Mapping[str, Standing], ran: Mapping[int, Ran],
        revision: Callable[[int], Revision],
    ) -> None:
        self._selection = selection
        self._how = how
        self._standings = standings
        self._ran = ran
        self._revision = revision
        self._first_change = cache(first_change)

    def ran_id(self, job: Job) -> int | None:
        """Return the revision that the job's latest version ran."""
        return self._ran[job.id].latest

    def revision_id(self, job: Job) -> int:
        """Return the revision that a job which can be rerun would run."""
        loaded = self._standings[job.recipe].loaded
        original = self._ran[job.id].original
        if self._how.revision == "original" and original is not None:
            return original
        assert loaded is not None
        return loaded.revision.id

    def blocked(self, job: Job) -> Refusal | None:
        """Return why a job cannot be rerun, or None."""
        version = self._selection.version
        if version is not None and not 1 <= version <= job.versions:
            return reruns.no_such_version(job.id, version, job.versions)
        if version is not None and version != job.versions:
            return reruns.not_latest(job.id, version, job.versions)
        why = reruns.refusal(job, self._standings.get(job.recipe))
        if why is not None:
            return why
        if self._how.revision == "original" and self._ran[job.id].original is None:
            return reruns.no_revision(job.id)
        return self._not_from_failed(job) if self._how.mode == "failed" else None

    def _not_from_failed(self, job: Job) -> Refusal | None:
        failed = job.error.step if job.error and job.status is Status.FAILED else None
        ran = self.ran_id(job)
        if failed is None or ran is None:
            return reruns.not_failed(job)
        will_run = self.revision_id(job)
        if ran == will_run:
            return None
        changed = self._first_change(self._revision(ran).text, self._revision(will_run).text, failed)
        return None if changed is None else reruns.recipe_changed(job.id, changed, failed)


def _changes(
    jobs: Iterable[Job], judge: _Judge, revision: Callable[[int], Revision]
) -> tuple[RevisionChange, ...]:
    """Return from which revision to which the jobs of each recipe would go, most jobs first."""
    counted: dict[tuple[str, int | None, int], int] = {}
    for job in jobs:
        key = (job.recipe, judge.ran_id(job), judge.revision_id(job))
        counted[key] = counted.get(key, 0) + 1
    found = []
    for (name, ran_id, will_run_id), number in sorted(counted.items(), key=lambda one: -one[1]):
        ran, will_run = (None if ran_id is None else revision(ran_id)), revision(will_run_id)
        diff = () if ran is None or ran.id == will_run.id else unified(ran, will_run)
        found.append(RevisionChange(name, ran.number if ran else None, will_run.number, number, diff))
    return tuple(found)


def _stale(connection: Any, ids: list[int]) -> tuple[Stale, ...]:
    newer, changed = store.superseded(connection, ids), store.changed_since(connection, ids)
    return tuple(Stale(id, newer.get(id), changed.get(id)) for id in ids if id in newer or id in changed)
