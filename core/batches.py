"""Bulk reruns as people see and steer them, and the policy by which an engine carries one on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from core import reruns
from core.errors import NotFound, Refused
from core.reruns import Standing
from core.selection import rate_words
from data import batches as store
from data.audit import note_act
from data.database import Database
from data.records import Batch, BatchJob
from data.report import jobs_of
from data.states import BatchStatus

T = TypeVar("T")
Write = Callable[[Callable[[Any], T]], T]

CHUNK = 250
"""Jobs that are queued, or canceled, in one transaction: other writers wait so long."""
JUDGED_AFTER = 10
"""How many must have ended before their failed share says anything."""
_PAGE = 500


# The policy


@dataclass(frozen=True, slots=True)
class Pause:
    """Let nothing more go, because of this."""

    reason: str


@dataclass(frozen=True, slots=True)
class Release:
    """Let at most so many go; None for as many as its windows take."""

    most: int | None


def watched(batch: Batch) -> bool:
    """Return whether failures are to pause a batch."""
    return batch.stop_failures is not None or batch.stop_share is not None


def judged(batch: Batch, ended: int, failed: int, new_group: str | None) -> Pause | Release:
    """Return what is next for a batch that runs: `ended` and `failed` since it was last resumed, of which one failed in
    a way that nothing had before.

    A new kind of error pauses it only where failures are to.
    """
    counts = batch.counts
    if batch.stop_failures is not None and failed >= batch.stop_failures:
        return Pause(f"{failed} of {ended} failed, {batch.stop_failures} are enough to stop")
    enough = ended >= JUDGED_AFTER or ended >= counts.jobs - counts.refused
    if batch.stop_share is not None and enough and failed >= batch.stop_share * ended > 0:
        return Pause(f"{failed} of {ended} failed, {batch.stop_share:.0%} are enough to stop")
    if watched(batch) and new_group is not None:
        return Pause(f"a job failed with an error that was never seen before: group {new_group}")
    begun = counts.queued + counts.running + counts.ended
    if batch.canary is not None:
        if counts.ended >= min(batch.canary, counts.jobs - counts.refused) and counts.waiting:
            told = f"{counts.succeeded} succeeded, {counts.failed} failed"
            if counts.in_doubt:
                told += f", {counts.in_doubt} in doubt"
            return Pause(f"the canary ran: {told}; resume runs the other {counts.waiting:,}")
        return Release(max(batch.canary - begun, 0))
    if batch.order == "strict":
        return Release(0 if counts.queued + counts.running else 1)
    return Release(None)


# What people do


class Batches:
    """The batches of an open workspace."""

    def __init__(self, database: Database, write: Write[Any]) -> None:
        self._database = database
        self._write = write

    def all(self, limit: int | None = None) -> list[Batch]:
        """Return the batches, newest first."""
        with self._database.read() as connection:
            found = [store.batch(connection, id) for id in store.all_ids(connection, limit)]
        return [one for one in found if one is not None]

    def get(self, batch_id: int) -> Batch:
        """Return one batch; raises NotFound."""
        with self._database.read() as connection:
            found = store.batch(connection, batch_id)
        if found is None:
            raise NotFound(f"there is no batch {batch_id}; `jobdeck batches` lists them")
        return found

    def jobs(self, batch_id: int) -> Iterator[BatchJob]:
        """Yield what became of each job of a batch, in the order in which the events came; raises NotFound."""
        self.get(batch_id)
        after = 0
        while True:
            with self._database.read() as connection:
                page = store.jobs_of(connection, batch_id, after, _PAGE)
            if not page:
                return
            yield from page
            after = page[-1].job_id

    def failed(self, batch_id: int) -> tuple[int, ...]:
        """Return the jobs that failed in a batch and have not run since; raises NotFound."""
        self.get(batch_id)
        with self._database.read() as connection:
            return tuple(store.failed_ids(connection, batch_id))

    def pause(self, batch_id: int, *, by: str) -> Batch:
        """Let nothing more of a batch begin; what runs ends. Raises NotFound, Refused (`not_running`)."""
        return self._moved(batch_id, by, "pause", lambda connection: store.pause(connection, batch_id, f"by {by}"))

    def resume(self, batch_id: int, *, by: str) -> Batch:
        """Go on with a paused batch, the yes to a canary too; raises NotFound, Refused (`not_paused`)."""
        now = dt.datetime.now(dt.UTC)
        return self._moved(batch_id, by, "resume", lambda connection: store.resume(connection, batch_id, now))

    def cancel(self, batch_id: int, *, by: str) -> Batch:
        """Cancel what has not begun; what runs ends. Raises NotFound, Refused (`ended`)."""
        self._moved(batch_id, by, "cancel", lambda connection: store.cancel(connection, batch_id, by))
        while self._write(lambda connection: cancel_chunk(connection, batch_id, by)):
            pass
        return self.get(batch_id)

    def set_rate(self, batch_id: int, per_second: float | None, *, by: str) -> Batch:
        """Have at most so many jobs a second begin, None for no limit; raises NotFound, Refused (`ended`)."""
        told = "no limit" if per_second is None else rate_words(per_second)
        return self._moved(
            batch_id, by, "rate", lambda connection: store.set_rate(connection, batch_id, per_second), told
        )

    def _moved(
        self, batch_id: int, by: str, verb: str, work: Callable[[Any], bool], note: str | None = None
    ) -> Batch:
        batch = self.get(batch_id)

        def write(connection: Any) -> bool:
            moved = work(connection)
            if moved:
                note_act(connection, by, f"batch {verb}", f"batch {batch_id}", note)
            return moved

        if not self._write(write):
            raise _not_moved(replace(batch, status=self.get(batch_id).status), verb)
        return self.get(batch_id)


def _not_moved(batch: Batch, verb: str) -> Refused:
    if batch.status in (BatchStatus.DONE, BatchStatus.CANCELED):
        return Refused("ended", f"batch {batch.id} has ended: it is {batch.status}")
    codes = {"pause": "not_running", "resume": "not_paused"}
    return Refused(codes.get(verb, "ended"), f"batch {batch.id} is {batch.status} already")


# Carried on, by whoever works on it


def queue_chunk(connection: Any, batch_id: int, standings: Mapping[str, Standing]) -> bool:
    """Queue the next jobs of a batch's list, refuse those that have moved meanwhile; return whether more are left."""
    late, more = store.queue_next(connection, batch_id, CHUNK)
    if late:
        store.refuse_late(connection, batch_id, late_refusals(connection, late, standings))
    return more


def late_refusals(connection: Any, ids: Sequence[int], standings: Mapping[str, Standing]) -> list[reruns.Refusal]:
    """Return why jobs that a plan had let run cannot be rerun any more."""
    there = jobs_of(connection, ids)
    # A version that another queued meanwhile may have ended by now: it is the latest, and not what was asked for.
    return [
        reruns.refusal(job, standings.get(job.recipe)) or reruns.not_latest(job.id, job.versions - 1, job.versions)
        for job in there.values()
    ]


def cancel_chunk(connection: Any, batch_id: int, by: str) -> bool:
    """Cancel some of what has not begun of a canceled batch; return whether more is left."""
    now = dt.datetime.now(dt.UTC)
    more = store.cancel_next(connection, batch_id, by, CHUNK, now)
    if not more:
        store.finish(connection, batch_id, now)
    return more
