"""Reads the jobs report: any stretch of it by position or by job, its counts, and all of it in constant memory."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from data.encoding import from_micros, to_micros
from data.job_records import Error, Hold, Job, JobFilter, Sort, Stopped
from data.order import Order, Place, order_of, values_of
from data.states import Status

ANCHOR_EVERY = 4096
"""Rows from one remembered place to the next: a walk over so many index entries takes well under a millisecond."""
PAGE = 1000
TRAIL = 8
"""Versions of a job whose statuses a row remembers."""
_STEPS_A_TRANSACTION = 64
_INSTRUCTIONS_A_CHECK = 20_000
T = TypeVar("T")


class Store(Protocol):
    """What a report reads."""

    def snapshot(self) -> AbstractContextManager[sqlite3.Connection]:
        """Give a connection that sees one state of the store until the end of the block; raises StoreError."""


class Report:
    """The jobs of a filter in the order of a sort, as they stand now. Every method may be called from any thread."""

    def __init__(
        self, store: Store, filter: JobFilter, sort: Sort,
        complete: Callable[[list[Job]], list[Job]] = lambda found: found,
    ) -> None:
        """`complete` fills in of jobs that were read what the store does not know; called in the reading thread."""
        self._complete = complete
        self.filter = filter
        self.sort = sort
        self._store = store
        self._orders: dict[tuple[tuple[str, int], ...], tuple[Order, Order]] = {}
        self._known_count: int | None = None
        # Of the rows at 0, ANCHOR_EVERY, 2 * ANCHOR_EVERY…, ascending; empty until collected.
        self._anchors: Sequence[Place] = ()
        self._stopped = False

    def stop(self) -> None:
        """Give the report up: a read under way, in another thread, and every later one raises Stopped."""
        self._stopped = True

    def rows(self, start: int, count: int) -> list[Job]:
        """Return at most `count` jobs from position `start`, counted from 0.

        From an anchor if there are any, else from the nearer end. A position is as true as the last `count()`.
        """
        with self._reading() as reading:
            found = reading.trailed(reading.jobs(place.id for place in self._places(reading, start, count)))
        return self._complete(found)

    def near(
        self, job: Job, before: int, after: int, *, held: bool = False, stay: bool = True
    ) -> tuple[list[Job], int]:
        """Return the jobs around `job` as they stand now, and how many of them come before it.

        `after` counts the job itself. If it is not in the report any more, or with `held` if it has moved in the order,
        its neighbours are those of the place that its record names; without `stay` there are none then.
        """
        with self._reading() as reading:
            place = None if held else reading.find(job.id)
            if place is None and not stay:
                return [], 0
            place = place or reading.order.place_of(job)
            above = reading.walk(place, before, forward=False, inclusive=False)[::-1]
            below = reading.walk(place, after, forward=True, inclusive=True)
            found = reading.trailed(reading.jobs(place.id for place in (*above, *below)))
        return self._complete(found), len(above)

    def job(self, job_id: int) -> Job | None:
        """Return one job of those that the store has, in the report or not; None where there is none."""
        with self._reading() as reading:
            return next(iter(reading.jobs([job_id])), None)

    def count(self) -> int:
        """Return how many jobs there are; takes as long as looking at each does where no index counts them."""
        with self._reading() as reading:
            self._known_count = reading.count()
            return self._known_count

    def has_more_than(self, number: int) -> bool:
        """Return whether there are more jobs than `number`; it takes no longer than finding so many."""
        with self._reading() as reading:
            return reading.has_more_than(number)

    def position(self, job_id: int) -> int | None:
        """Return where a job stands now, counted from 0, or None if it is not in the report."""
        with self._reading() as reading:
            place = reading.find(job_id)
            return None if place is None else reading.position(place)

    def statuses(self) -> dict[Status, int]:
        """Return how many jobs have each status, whatever statuses the filter names; none is left out."""
        counts = {}
        for status in Status:
            only = Report(self._store, replace(self.filter, statuses=frozenset({status})), Sort("id"))
            counts[status] = only.count()
        return counts

    def ids(self) -> Iterator[int]:
        """Yield every job's id in order."""
        for page in self._pages(None, lambda reading, ids: ids):
            yield from page

    def iterate(self, limit: int | None = None) -> Iterator[Job]:
        """Yield the jobs in order, at most `limit`, in constant memory and without holding a snapshot open."""
        for page in self._pages(limit, _Reading.jobs):
            yield from self._complete(page)

    def collect_anchors(self, stop: Callable[[], bool]) -> None:
        """Remember every `ANCHOR_EVERY`th place, so that `rows` is as fast in the middle; gives up when `stop()`."""
        found: list[Place] = []
        while not stop():
            with self._reading(descending=False) as reading:
                for _ in range(_STEPS_A_TRANSACTION):
                    step = (reading.walk(found[-1], 1, skip=ANCHOR_EVERY - 1, inclusive=False) if found
                            else reading.walk(None, 1))
                    if not step or stop():
                        break
                    found += step
                else:
                    continue
            if not stop():
                self._anchors = found
            return

    def _places(self, reading: _Reading, start: int, count: int) -> list[Place]:
        # Anchors count from the ascending start: new jobs come behind them all under the usual sort.
        anchored = range(ANCHOR_EVERY, len(self._anchors) * ANCHOR_EVERY)
        total = self._known_count or 0
        left, wanted = max(total - start - count, 0), min(count, total - start)
        if self.sort.descending and left in anchored and wanted > 0:
            return self._from_anchor(reading, left, wanted)[::-1]
        if not self.sort.descending and start in anchored:
            return self._from_anchor(reading, start, count)
        if left < start and wanted > 0:
            return reading.walk(None, wanted, skip=left, forward=False)[::-1]
        return reading.walk(None, count, skip=start)

    def _from_anchor(self, reading: _Reading, ascending: int, count: int) -> list[Place]:
        anchor, skip = divmod(ascending, ANCHOR_EVERY)
        return reading.walk(
            self._anchors[anchor], count, skip=skip, forward=not self.sort.descending, inclusive=True
        )

    def _pages(self, limit: int | None, read: Callable[[_Reading, list[int]], list[T]]) -> Iterator[list[T]]:
        place: Place | None = None
        left = limit
        while left is None or left > 0:
            with self._reading() as reading:
                places = reading.walk(place, PAGE if left is None else min(PAGE, left), inclusive=False)
                page = read(reading, [place.id for place in places])
            if not places:
                return
            yield page
            place = places[-1]
            left = None if left is None else left - len(places)

    @contextmanager
    def _reading(self, *, descending: bool | None = None) -> Iterator[_Reading]:
        with self._store.snapshot() as connection, _stoppable(connection, lambda: self._stopped):
            order, counted = self._order(connection)
            yield _Reading(connection, order, counted, self.sort.descending if descending is None else descending,
                           _bound(connection, self.filter))

    def _order(self, connection: sqlite3.Connection) -> tuple[Order, Order]:
        recipe_ids: dict[str, int] = dict(connection.execute(_RECIPES).fetchall())
        key = tuple(recipe_ids.items())
        if key not in self._orders:
            # Counting asks for no order: by id there is the least to walk.
            self._orders = {key: (order_of(self.filter, self.sort, recipe_ids),
                                  order_of(self.filter, Sort("id"), recipe_ids))}
        return self._orders[key]


class _Reading:
    """One snapshot of a report."""

    def __init__(
        self, connection: sqlite3.Connection, order: Order, counted: Order, descending: bool,
        bound: dict[str, int | str],
    ) -> None:
        self.order = order
        self._connection = connection
        self._counted = counted
        self._descending = descending
        self._bound = bound

    def walk(
        self, place: Place | None, count: int, *, skip: int = 0, forward: bool = True, inclusive: bool = True
    ) -> list[Place]:
        """Return at most `count` places after `skip` from `place` (from an end without one), in walking order."""
        descending = self._descending is forward
        numbers = range(len(self.order.runs))
        found: list[Place] = []
        for number in reversed(numbers) if descending else numbers:
            if place is not None and (number > place.run if descending else number < place.run):
                continue
            here = place if place is not None and number == place.run else None
            part = self._walk_run(number, here, count - len(found), skip, descending, inclusive)
            if part:
                found += part
                skip = 0
            elif skip:
                skip -= min(skip, self._count_behind(number, here, descending, inclusive))
            if len(found) >= count:
                break
        return found

    def _walk_run(
        self, number: int, place: Place | None, count: int, skip: int, descending: bool, inclusive: bool
    ) -> list[Place]:
        run = self.order.runs[number]
        statement = run.walk(descending is not run.turned, place is not None, inclusive)
        rows = self._connection.execute(statement, self._values(place, count=count, skip=skip))
        return [Place(number, key, id) for key, id in rows]

    def _count_behind(self, number: int, place: Place | None, descending: bool, inclusive: bool) -> int:
        run = self.order.runs[number]
        if place is None:
            return self._sum(run.count(None), None)
        return self._sum(run.count(descending is not run.turned), place) + inclusive

    def count(self) -> int:
        return sum(self._sum(run.count(None), None) for run in self._counted.runs)

    def has_more_than(self, number: int) -> bool:
        left = number + 1
        for run in self._counted.runs:
            some = f"SELECT count(*) FROM ({run.walk(False, False, False)})"
            left -= self._connection.execute(some, self._values(None, count=left, skip=0)).fetchone()[0]
            if left <= 0:
                return True
        return False

    def position(self, place: Place) -> int:
        """Return how many rows come before a place."""
        runs = list(enumerate(self.order.runs))
        earlier = runs[place.run + 1 :] if self._descending else runs[: place.run]
        whole = sum(self._sum(run.count(None), None) for _, run in earlier)
        run = self.order.runs[place.run]
        return whole + self._sum(run.count(self._descending is run.turned), place)

    def find(self, job_id: int) -> Place | None:
        for number, run in enumerate(self.order.runs):
            row = self._connection.execute(run.find(), {**self._bound, "id": job_id}).fetchone()
            if row is not None:
                return Place(number, row[0], job_id)
        return None

    def jobs(self, ids: Iterable[int]) -> list[Job]:
        """Return the jobs of these ids that there are, in their order."""
        wanted = list(ids)
        found = _by_id(self._connection.execute(_JOBS, {"ids": json.dumps(wanted)})) if wanted else {}
        return [found[id] for id in wanted if id in found]

    def trailed(self, found: list[Job]) -> list[Job]:
        """Return the jobs with the statuses of their last versions; of a first version it is that one's alone."""
        rerun = [job.id for job in found if job.versions > 1]
        trails: dict[int, list[Status]] = {}
        rows = self._connection.execute(_TRAILS, {"ids": json.dumps(rerun)}) if rerun else ()
        for id, _, status in sorted(rows):
            trails.setdefault(id, []).append(Status(status))
        return [job._replace(trail=tuple(trails[job.id])) if job.id in trails else job for job in found]

    def _sum(self, statement: str, place: Place | None) -> int:
        return sum(count for count, in self._connection.execute(statement, self._values(place)))

    def _values(self, place: Place | None, **more: int) -> dict[str, Any]:
        values = {**self._bound, **more}
        return values if place is None else {**values, "key": place.key, "id": place.id}


_RECIPES = "SELECT name, id FROM recipes"
_JOBS = """
SELECT jobs.id, recipes.name, jobs.title, versions.status, jobs.event_key, jobs.received_at, first_version.started_at,
  versions.started_at, versions.finished_at, versions.duration_ms, versions.number,
  versions.error_message, versions.error_kind, versions.error_step, versions.error_status, versions.error_group,
  versions.report, EXISTS (SELECT 1 FROM payloads WHERE payloads.job_id = jobs.id),
  jobs.trigger_expired_at, jobs.trigger_expired_by, versions.requested_by, versions.mode, versions.requested_at,
  holds.reason, holds.held_by, holds.held_at
FROM jobs
JOIN versions ON versions.job_id = jobs.id AND versions.latest IS 1
JOIN recipes ON recipes.id = jobs.recipe_id
LEFT JOIN versions AS first_version ON first_version.job_id = jobs.id AND first_version.number = 1
LEFT JOIN holds ON holds.job_id = jobs.id
WHERE jobs.id IN (SELECT value FROM json_each(:ids))
"""
_TRAILS = f"""
SELECT versions.job_id, versions.number, versions.status
FROM versions
JOIN versions AS last_version ON last_version.job_id = versions.job_id AND last_version.latest IS 1
WHERE versions.job_id IN (SELECT value FROM json_each(:ids)) AND versions.number > last_version.number - {TRAIL}
"""


def jobs_of(connection: Any, ids: Sequence[int]) -> dict[int, Job]:
    """Return the jobs of these ids that there are, by id; `connection` is of `Database.read` or `Database.write`."""
    return _by_id(row for start in range(0, len(ids), PAGE)
                  for row in connection.exec_driver_sql(_JOBS, {"ids": json.dumps(list(ids[start : start + PAGE]))}))


def _by_id(rows: Iterable[Any]) -> dict[int, Job]:
    return {row[0]: _job(row) for row in rows}


def _job(row: Any) -> Job:
    (id, recipe, title, status, event_key, received_at, first_started_at, started_at, finished_at, duration_ms, number,
     message, kind, step, answer, group, report, stored, expired_at, expired_by, requested_by, mode, requested_at,
     reason, held_by, held_at) = row
    status = Status(status)
    return Job(
        id, recipe, title, status, event_key, from_micros(received_at), _moment(first_started_at), _moment(started_at),
        _moment(finished_at), duration_ms, number,
        None if message is None else Error(message, kind or "", step, answer, group),
        (report and json.loads(report)) or {}, bool(stored), _moment(expired_at), expired_by, requested_by, mode,
        _moment(requested_at), held=None if reason is None else Hold(reason, held_by, from_micros(held_at)),
        trail=(status,) if number == 1 else (),
    )


def _moment(micros: int | None) -> dt.datetime | None:
    return None if micros is None else from_micros(micros)


def _bound(connection: sqlite3.Connection, filter: JobFilter) -> dict[str, int | str]:
    """Return what a filter binds; ids for its times: `received_at` is never before that of a lower id."""
    bound = values_of(filter)
    if filter.since is not None:
        bound["first_id"] = _first_id_since(connection, filter.since)
    if filter.until is not None or filter.up_to is not None:
        last = 2**63 - 1 if filter.up_to is None else filter.up_to
        bound["last_id"] = last if filter.until is None else min(last, _first_id_since(connection, filter.until) - 1)
    return bound


_LAST_ID = "SELECT coalesce(max(id), 0) FROM jobs"
_PROBE = "SELECT id, received_at FROM jobs WHERE id >= ? ORDER BY id LIMIT 1"


def _first_id_since(connection: sqlite3.Connection, moment: dt.datetime) -> int:
    """Return the lowest id received at or after `moment`, or one above all; by halving: no index has the times."""
    since = to_micros(moment)
    low, high = 1, connection.execute(_LAST_ID).fetchone()[0] + 1
    while low < high:
        middle = (low + high) // 2
        id, received_at = connection.execute(_PROBE, (middle,)).fetchone()
        if received_at < since:
            low = id + 1
        else:
            high = middle
    return low


@contextmanager
def _stoppable(connection: sqlite3.Connection, stopped: Callable[[], bool]) -> Iterator[None]:
    if stopped():
        raise Stopped
    connection.set_progress_handler(stopped, _INSTRUCTIONS_A_CHECK)
    try:
        yield
    except sqlite3.OperationalError as error:
        if stopped():
            raise Stopped from error
        raise
    finally:
        connection.set_progress_handler(None, 0)
