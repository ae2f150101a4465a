"""Two runs found for a comparison: versions by number, the one before, the last good one."""

from __future__ import annotations

from typing import Any

from core.diff import Diff, Place, Side, compare
from core.errors import NotFound, RecipeProblems, Refused
from core.layout import laid_out
from core.letting_go import data_of, let_go
from core.library import Library
from core.recipe import Recipe
from core.reruns import removed
from data import coverage
from data import jobs as store
from data import recipes as recipe_store
from data.database import Database
from data.job_records import Job
from data.records import Revision, Version
from data.report import jobs_of
from data.states import Status


class Comparing:
    """What `jobdeck diff` does on an open workspace; it only reads."""

    def __init__(self, database: Database, library: Library) -> None:
        self._database = database
        self._library = library

    def versions(self, old: tuple[int, int], new: tuple[int, int]) -> Diff:
        """Return what differs between two versions, each (job, number), of one job or of two; raises NotFound."""
        with self._database.read() as connection:
            sides = [self._side(connection, *one) for one in (old, new)]
        return _compared(sides)

    def with_previous(self, job_id: int, number: int | None = None) -> Diff:
        """Return what differs between a version, the latest unless one is named, and the one before.

        Raises NotFound, Refused (`only_version`).
        """
        with self._database.read() as connection:
            sides = [self._side(connection, job_id, number)]
            place = sides[0].place
            if place.version == 1:
                why = f"{place.name} is the first version: there is none before it"
                raise Refused("only_version", f"{why}; `jobdeck diff {job_id} --last-good` looks for a good run")
            sides.insert(0, self._side(connection, job_id, place.version - 1))
        return _compared(sides)

    def with_last_good(self, job_id: int) -> Diff:
        """Return what differs between a job's latest version and the last one before it that succeeded.

        Where the job has none, it is compared with the newest job of its recipe whose latest version succeeded, and the
        note says so. Raises NotFound, and Refused (`no_good_version`) where there is none at all.
        """
        with self._database.read() as connection:
            sides, note = [self._side(connection, job_id, None)], ""
            place = sides[0].place
            good = next((one for one in store.history(connection, job_id) if _good_before(one, place)), None)
            other = (job_id, good.number) if good else coverage.newest_success(connection, place.recipe, besides=job_id)
            if other is None:
                why = f"no version before {place.name} succeeded, and no other job of {place.recipe} either"
                raise Refused("no_good_version", f"{why}: there is nothing to compare it with")
            if good is None:
                instead = f"compared with the newest job of {place.recipe} that did"
                note = f"no version before {place.name} succeeded: {instead}"
            sides.insert(0, self._side(connection, *other))
        return _compared(sides, note)

    def side(self, job_id: int, number: int | None) -> Side:
        """Return all that is compared of a version, the latest where no number is given; raises NotFound."""
        with self._database.read() as connection:
            return self._side(connection, job_id, number)

    def _side(self, connection: Any, job_id: int, number: int | None) -> Side:
        job = jobs_of(connection, [job_id]).get(job_id)
        if job is None:
            raise NotFound(f"there is no job {job_id}")
        version = store.version(connection, job_id, number)
        if version is None:
            raise NotFound(f"job {job_id} has no version {number}; its latest is {job_id}.{job.versions}")
        revision_id = store.revision_id_of(connection, version.id)
        revision = None if revision_id is None else recipe_store.revision(connection, revision_id)
        records = store.step_records(connection, version.id)
        return Side(
            _place(job, version),
            revision,
            store.event_of(connection, version.id),
            () if version.expired else laid_out(self._recipe(revision), records),
            _gone(job) if version.expired else "",
        )

    def _recipe(self, revision: Revision | None) -> Recipe | None:
        try:
            return None if revision is None else self._library.recipe(revision)
        except RecipeProblems:
            # An older revision may use words that are gone; its records are there all the same.
            return None


def _compared(sides: list[Side], note: str = "") -> Diff:
    """Return what differs, and free what the two, which nobody else has, hold besides."""
    made = compare(*sides, note)
    data = [value for side in sides for value in data_of(side.trigger, side.steps)]
    sides.clear()
    let_go(data)
    return made


def _good_before(version: Version, after: Place) -> bool:
    return version.number < after.version and version.status is Status.SUCCEEDED


def _place(job: Job, version: Version) -> Place:
    return Place(
        f"{job.id}.{version.number}", job.id, version.number, job.recipe, version.status, version.recipe_revision,
        version.started_at or version.requested_at, version.requested_by, version.error,
    )


def _gone(job: Job) -> str:
    return (
        f"of job {job.id} only statuses, times, revisions and the kinds of its errors are left: {removed(job)}, and "
        "with it what its steps were given and gave"
    )
