"""Which jobs are marked: some by id, or all that a filter shows, less those taken out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from core.selection import Selection
from data.job_records import Job, JobFilter


@dataclass(frozen=True, slots=True)
class Marks:
    """The marked jobs. With `filter`, all that it shows up to its `up_to`, but `excluded`; else those of `ids`."""

    ids: frozenset[int] = frozenset()
    filter: JobFilter | None = None
    excluded: frozenset[int] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.ids) or self.filter is not None

    def has(self, job: Job) -> bool:
        """Return whether a job is marked."""
        if self.filter is None:
            return job.id in self.ids
        return job.id not in self.excluded and shows(self.filter, job)

    def toggled(self, jobs: Iterable[Job]) -> Marks:
        """Return the marks with those of these jobs turned round."""
        marks = self
        for job in jobs:
            marks = marks.without([job]) if marks.has(job) else marks.with_([job])
        return marks

    def with_(self, jobs: Iterable[Job]) -> Marks:
        """Return the marks with these jobs marked; of a filter's, only those that it shows can be."""
        ids = frozenset(job.id for job in jobs)
        if self.filter is None:
            return replace(self, ids=self.ids | ids)
        return replace(self, excluded=self.excluded - ids)

    def without(self, jobs: Iterable[Job]) -> Marks:
        """Return the marks without these jobs."""
        ids = frozenset(job.id for job in jobs)
        if self.filter is None:
            return replace(self, ids=self.ids - ids)
        return replace(self, excluded=self.excluded | ids)

    def as_filter(self) -> JobFilter:
        """Return the filter that shows the marked jobs and no others."""
        if self.filter is None:
            return JobFilter(ids=self.ids)
        return replace(self.filter, without=self.filter.without | self.excluded)

    def selection(self) -> Selection:
        """Return the marked jobs as the core takes them."""
        if self.filter is None:
            return Selection(ids=tuple(sorted(self.ids)))
        return Selection(filter=self.filter, excluded=self.excluded)


def shows(filter: JobFilter, job: Job) -> bool:
    """Return whether a filter shows a job."""
    return (
        (filter.recipe is None or job.recipe == filter.recipe)
        and (not filter.statuses or job.status in filter.statuses)
        and (filter.since is None or job.received_at >= filter.since)
        and (filter.until is None or job.received_at < filter.until)
        and (filter.up_to is None or job.id <= filter.up_to)
        and job.recipe not in filter.not_recipes
        and (filter.ids is None or job.id in filter.ids)
        and job.id not in filter.without
        and (filter.error_group is None or (job.error is not None and job.error.group == filter.error_group))
        and _found(filter.search.strip(), job)
    )


def _found(text: str, job: Job) -> bool:
    if text.startswith("#") and text[1:].isdecimal():
        return job.id == int(text[1:])
    error = job.error.message if job.error else ""
    return any(text.casefold() in part.casefold() for part in (job.title, job.event_key, error))
