"""The rules of canceling: which jobs can be, and what is told of those that cannot."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from core.reruns import no_such_job
from core.selection import Selection
from data import cancels
from data.audit import note_act
from data.cancels import Became
from data.database import Database
from data.job_records import JobFilter, Refusal, Sort
from data.report import Report, jobs_of
from data.states import OPEN, Status

CHUNK = 200
"""Jobs that are canceled in one transaction."""


@dataclass(frozen=True, slots=True)
class Cancellation:
    """What a cancellation did; ids ascending."""

    canceled: tuple[int, ...]
    stopping: tuple[int, ...]
    """Jobs whose writing step is let finish: each then ends as canceled, or in doubt if nobody knows of the write."""
    refused: tuple[Refusal, ...]
    goes_on: tuple[int, ...]
    """Jobs that a canceled one had called; nobody waits for them any more."""


def cancel(database: Database, selection: Selection, *, by: str, note: str | None) -> Cancellation:
    """Cancel the jobs of a selection that have not ended; of a filter, those that have are not spoken of.

    The newest first: an engine takes the oldest, and would begin what is canceled a moment later.
    """
    found: list[Became] = []
    wanted = _wanted(database, selection)
    while chunk := list(islice(wanted, CHUNK)):
        found += _canceled(database, chunk, selection.version, by, note)
    found.sort(key=lambda one: one.job_id)
    refused = [why for one in found if (why := refusal(one, selection.version)) is not None]
    known = {one.job_id for one in found}
    refused += [no_such_job(id) for id in dict.fromkeys(selection.ids or ()) if id not in known]
    return Cancellation(
        tuple(one.job_id for one in found if one.ended),
        tuple(one.job_id for one in found if _asked(one, selection.version)),
        tuple(sorted(refused, key=lambda one: one.id)),
        tuple(sorted(id for one in found for id in one.goes_on)),
    )


def _wanted(database: Database, selection: Selection) -> Iterator[int]:
    if selection.filter is None:
        return iter(sorted(set(selection.ids or ()), reverse=True))
    statuses = (selection.filter.statuses or OPEN) & OPEN
    ids = Report(database, replace(selection.filter, statuses=statuses), Sort("id")).ids() if statuses else iter(())
    return (id for id in ids if id not in selection.excluded)


def _canceled(
    database: Database, ids: Sequence[int], version: int | None, by: str, note: str | None
) -> list[Became]:
    with database.write() as connection:
        found = cancels.cancel(connection, ids, by, dt.datetime.now(dt.UTC), number=version)
        for one in found:
            if one.ended or _asked(one, version):
                note_act(connection, by, "cancel", f"job {one.job_id}", note)
    return found


def _asked(became: Became, version: int | None) -> bool:
    return became.status is Status.RUNNING and version in (None, became.number)


def refusal(became: Became, version: int | None) -> Refusal | None:
    """Return why a job was not canceled, or None if it was, or was asked to end; `version` is the one looked at."""
    if became.ended or _asked(became, version):
        return None
    if version not in (None, became.number):
        message = f"version {version} of {became.number} is not the latest"
        return Refusal(became.job_id, "not_latest", message)
    told = became.error if became.status is Status.CANCELED and became.error else became.status.value
    return Refusal(became.job_id, "ended", f"version {became.number} has ended: {told}")


def counted(database: Database, selection: Selection) -> Mapping[Status, int]:
    """Return how many jobs of a selection have each status; one that none has is left out."""
    ids = selection.excluded if selection.filter is not None else selection.ids or ()
    with database.read() as connection:
        of_them = Counter(job.status for job in jobs_of(connection, sorted(set(ids))).values())
    if selection.filter is None:
        return of_them
    shown = _shown(database, selection.filter)
    shown.subtract(of_them)
    return +shown


def _shown(database: Database, filter: JobFilter) -> Counter[Status]:
    found = Report(database, filter, Sort("id")).statuses()
    return Counter({status: count for status, count in found.items() if status in (filter.statuses or Status)})

