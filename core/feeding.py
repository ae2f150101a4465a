"""The engine's part in bulk reruns: it queues what is left of a list, and lets versions go in order and in measure."""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Callable, Mapping

from core.batches import Pause, cancel_chunk, judged, queue_chunk, watched
from core.lines import Line
from core.reruns import Standing
from data import batches as store
from data.database import Database
from data.records import Batch
from data.states import BatchStatus
from data.writer import Writer

LOOK_EVERY_S = 0.05
"""How often a batch is looked at: its window is wide enough for so long."""
SHARE = 4
"""A look that takes long is followed by a pause this many times as long: the dispatcher has other things to do."""

_log = logging.getLogger(__name__)


class Feeder:
    """Carries on the batches that have not ended; called by the dispatcher's thread, whenever something has moved."""

    def __init__(
        self, database: Database, writer: Writer, standings: Callable[[], Mapping[str, Standing]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`standings` tells, by name, what reruns of each recipe would run."""
        self._database = database
        self._writer = writer
        self._standings = standings
        self._clock = clock
        self._credit: dict[int, tuple[float, float]] = {}
        """By batch: jobs that its rate allows now, and when that was reckoned."""
        self._look_at: dict[int, float] = {}
        self._lines: dict[int, Line] = {}

    def feed(self) -> float | None:
        """Carry every batch on by one step; return in how many seconds another is due though nothing moves."""
        with self._database.read() as connection:
            open_ = store.open_ids(connection)
        dues = [due for id, order in open_.items() if (due := self._due(id, order)) is not None]
        for kept in (self._credit, self._look_at, self._lines):
            for gone in kept.keys() - open_.keys():
                del kept[gone]
        return min(dues, default=None)

    def _due(self, batch_id: int, order: str) -> float | None:
        """Carry a batch on, if that is not too soon: counting its jobs takes the longer, the more they are."""
        if order == "strict":
            with self._database.read() as connection:
                if store.any_gone(connection, batch_id):
                    return None
        elif (rest := self._look_at.get(batch_id, float("-inf")) - self._clock()) > 0:
            return rest
        began = self._clock()
        due = self._carry_on(batch_id)
        self._look_at[batch_id] = self._clock() + max(LOOK_EVERY_S, SHARE * (self._clock() - began))
        return due

    def _carry_on(self, batch_id: int) -> float | None:
        with self._database.read() as connection:
            batch = store.batch(connection, batch_id)
            if batch is None:
                return None
            failures = store.since_resumed(connection, batch) if watched(batch) else (0, 0, None)
        verdict = judged(batch, *failures)
        if not batch.whole:
            standings = self._standings()
            self._writer.call(lambda connection: queue_chunk(connection, batch_id, standings))
            return 0.0
        if batch.status is BatchStatus.CANCELED:
            by = batch.canceled_by or ""
            more = self._writer.call(lambda connection: cancel_chunk(connection, batch_id, by))
            return 0.0 if more else None
        if batch.status is BatchStatus.PAUSED:
            return None
        if not batch.counts.waiting + batch.counts.queued + batch.counts.running:
            self._writer.call(lambda connection: store.finish(connection, batch_id, dt.datetime.now(dt.UTC)))
            return None
        if isinstance(verdict, Pause):
            _log.warning("batch %s is paused: %s", batch_id, verdict.reason)
            self._writer.call(lambda connection: store.pause(connection, batch_id, verdict.reason))
            return None
        return self._let_go(batch, verdict.most) if batch.counts.waiting else None

    def _let_go(self, batch: Batch, most: int | None) -> float | None:
        allowed, due = self._allowed(batch)
        limit = min((one for one in (most, allowed) if one is not None), default=None)
        if limit == 0:
            return due
        chosen = self._chosen(batch, limit)
        if chosen:
            self._writer.call(lambda connection: store.let_go(connection, batch.id, chosen))
            if allowed is not None:
                credit, at = self._credit[batch.id]
                self._credit[batch.id] = (credit - len(chosen), at)
        return due

    def _chosen(self, batch: Batch, limit: int | None) -> list[int]:
        """Return the versions to let go next, in the order in which their events came."""
        line = self._lines.get(batch.id)
        if line is None or line.begun_at != batch.resumed_at:
            line = self._lines[batch.id] = Line(batch)
        with self._database.read() as connection:
            return line.next(connection, limit)

    def _allowed(self, batch: Batch) -> tuple[int | None, float | None]:
        """Return how many jobs the batch's rate allows now, None for any number, and when it allows another one."""
        if batch.rate is None:
            return None, None
        now = self._clock()
        credit, at = self._credit.get(batch.id, (1.0, now))
        # What was not used for a while does not come all at once.
        credit = min(credit + (now - at) * batch.rate, max(batch.rate, 1.0))
        self._credit[batch.id] = (credit, now)
        missing = max(1.0 - (credit - int(credit)), 0.0) / batch.rate
        return int(credit), max(missing, 0.02)
