"""Reads the jobs report: any stretch of it by position or by job, its counts, and all of it in constant memory."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

from sqlalchemy import Connection, bindparam, exists, func, select
from sqlalchemy.exc import OperationalError

from data.database import Database
from data.order import Order, Place, order_of, recipe_names
from data.records import Error, Hold, Job, JobFilter, Sort, Stopped
from data.states import Status
from data.tables import holds, jobs, payloads, recipes, versions

ANCHOR_EVERY = 4096
"""Rows from one remembered place to the next: a walk over so many index entries takes well under a millisecond."""
PAGE = 1000
TRAIL = 8
"""Versions of a job whose statuses a row remembers."""
_STEPS_A_TRANSACTION = 64
_INSTRUCTIONS_A_CHECK = 20_000
T = TypeVar("T")


class Report:
    """The jobs of a filter in the order of a sort, as they stand now. Every method may be called from any thread."""

    def __init__(
        self, database: Database, filter: JobFilter, sort: Sort,
        complete: Callable[[list[Job]], list[Job]] = lambda found: found,
    ) -> None:
        """`complete` fills in of jobs that were read what the store does not know; called in the reading thread."""
        self._complete = complete
        self.filter = filter
        self.sort = sort
        self._database = database
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
            found = reading.trailed(reading.jobs(self._places(reading, start, count)))
        return self._complete(found)

    def near(self, job: Job, before: int, after: int, *, held: bool = False) -> tuple[list[Job], int]:
        """Return the jobs around `job` as they stand now, and how many of them come before it.

        `after` counts the job itself. If it is no longer in the report, or with `held` if it has moved in the order,
        its neighbours are those of the place that its record names.
        """
        with self._reading() as reading:
            place = None if held else reading.find(job.id)
            place = place or reading.order.place_of(job)
            above = reading.walk(place, before, forward=False, inclusive=False)[::-1]
            below = reading.walk(place, after, forward=True, inclusive=True)
            found = reading.trailed(reading.jobs([*above, *below]))
        return self._complete(found), len(above)

    def job(self, job_id: int) -> Job | None:
        """Return one job of those that the store has, in the report or not; None where there is none."""
        with self._reading() as reading:
            return jobs_of(reading.connection, [job_id]).get(job_id)

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
            only = Report(self._database, replace(self.filter, statuses=frozenset({status})), Sort("id"))
            counts[status] = only.count()
        return counts

    def ids(self) -> Iterator[int]:
        """Yield every job's id in order."""
        for page in self._pages(None, lambda reading, places: [place.id for place in places]):
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

    def _pages(self, limit: int | None, read: Callable[[_Reading, list[Place]], list[T]]) -> Iterator[list[T]]:
        place: Place | None = None
        left = limit
        while left is None or left > 0:
            with self._reading() as reading:
                places = reading.walk(place, PAGE if left is None else min(PAGE, left), inclusive=False)
                page = read(reading, places)
            if not places:
                return
            yield page
            place = places[-1]
            left = None if left is None else left - len(places)

    @contextmanager
    def _reading(self, *, descending: bool | None = None) -> Iterator[_Reading]:
        with self._database.read() as connection, _stoppable(connection, lambda: self._stopped):
            order, counted = self._order(connection)
            yield _Reading(connection, order, counted, self.sort.descending if descending is None else descending,
                           _bound(connection, self.filter))

    def _order(self, connection: Connection) -> tuple[Order, Order]:
        recipe_ids: dict[str, int] = dict(connection.execute(_RECIPES).all())
        key = tuple(recipe_ids.items())
        if key not in self._orders:
            # Counting asks for no order: by id there is the least to walk.
            self._orders = {key: (order_of(self.filter, self.sort, recipe_ids),
                                  order_of(self.filter, Sort("id"), recipe_ids))}
        return self._orders[key]


class _Reading:
    """One snapshot of a report."""

    def __init__(
        self, connection: Connection, order: Order, counted: Order, descending: bool, bound: dict[str, int | str]
    ) -> None:
        self.order = order
        self.connection = connection
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
        rows = self.connection.execute(statement, self._values(place, count=count, skip=skip))
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
            some = select(func.count()).select_from(run.walk(False, False, False).subquery())
            left -= self.connection.execute(some, self._values(None, count=left, skip=0)).scalar_one()
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
            row = self.connection.execute(run.find, {**self._bound, "id": job_id}).first()
            if row is not None:
                return Place(number, row[0], job_id)
        return None

    def jobs(self, places: Iterable[Place]) -> list[Job]:
        ids = [place.id for place in places]
        found = {row[0]: _job(row) for row in self.connection.execute(_JOBS, {"ids": ids})} if ids else {}
        return [found[id] for id in ids]

    def trailed(self, found: list[Job]) -> list[Job]:
        """Return the jobs with the statuses of their last versions; of a first version it is that one's alone."""
        rerun = [job.id for job in found if job.versions > 1]
        trails: dict[int, list[Status]] = {}
        for id, _, status in sorted(map(tuple, self.connection.execute(_TRAILS, {"ids": rerun}))) if rerun else ():
            trails.setdefault(id, []).append(Status(status))
        return [replace(job, trail=tuple(trails[job.id])) if job.id in trails else job for job in found]

    def _sum(self, statement: Any, place: Place | None) -> int:
        return sum(self.connection.execute(statement, self._values(place)).scalars())

    def _values(self, place: Place | None, **more: int) -> dict[str, Any]:
        values = {**self._bound, **more}
        return values if place is None else {**values, "key": place.key, "id": place.id}


_RECIPES = recipe_names()
_first = versions.alias("first_version")
_JOBS = (
    select(
        jobs.c.id, recipes.c.name, jobs.c.title, versions.c.status, jobs.c.event_key, jobs.c.received_at,
        _first.c.started_at, versions.c.started_at, versions.c.finished_at, versions.c.duration_ms, versions.c.number,
        versions.c.error_message, versions.c.error_kind, versions.c.error_step, versions.c.error_status,
        versions.c.error_group, versions.c.report, exists().where(payloads.c.job_id == jobs.c.id),
        jobs.c.trigger_expired_at, jobs.c.trigger_expired_by, versions.c.requested_by, versions.c.requested_at,
        versions.c.mode, holds.c.reason, holds.c.held_by, holds.c.held_at,
    )
    .join(versions, (versions.c.job_id == jobs.c.id) & versions.c.latest.is_(True))
    .join(recipes, recipes.c.id == jobs.c.recipe_id)
    .outerjoin(_first, (_first.c.job_id == jobs.c.id) & (_first.c.number == 1))
    .outerjoin(holds, holds.c.job_id == jobs.c.id)
    .where(jobs.c.id.in_(bindparam("ids", expanding=True)))
)

_TRAILS = (
    select(versions.c.job_id, versions.c.number, versions.c.status)
    .join(_last := versions.alias("last_version"),
          (_last.c.job_id == versions.c.job_id) & _last.c.latest.is_(True))
    .where(versions.c.job_id.in_(bindparam("ids", expanding=True)), versions.c.number > _last.c.number - TRAIL)
)


def jobs_of(connection: Connection, ids: Sequence[int]) -> dict[int, Job]:
    """Return the jobs of these ids that there are, by id."""
    return {row[0]: _job(row) for start in range(0, len(ids), PAGE)
            for row in connection.execute(_JOBS, {"ids": list(ids[start : start + PAGE])})}


def _job(row: Any) -> Job:
    (id, recipe, title, status, event_key, received_at, first_started_at, started_at, finished_at, duration_ms, number,
     message, kind, step, answer, group, report, stored, expired_at, expired_by, requested_by, requested_at, mode,
     *hold) = row
    status = Status(status)
    return Job(
        id, recipe, title, status, event_key, received_at, first_started_at, started_at, finished_at,
        duration_ms, number, None if message is None else Error(message, kind or "", step, answer, group),
        report or {}, bool(stored), expired_at, expired_by, requested_by, mode, requested_at,
        held=None if hold[0] is None else Hold(*hold), trail=(status,) if number == 1 else (),
    )


def _bound(connection: Connection, filter: JobFilter) -> dict[str, int | str]:
    """Return the ids that a filter names or its times mean: `received_at` is never before that of a lower id."""
    bound: dict[str, int | str] = {}
    if filter.ids is not None:
        bound["ids"] = json.dumps(sorted(filter.ids))
    if filter.without:
        bound["without"] = json.dumps(sorted(filter.without))
    if filter.since is not None:
        bound["first_id"] = _first_id_since(connection, filter.since)
    if filter.until is not None or filter.up_to is not None:
        last = 2**63 - 1 if filter.up_to is None else filter.up_to
        bound["last_id"] = last if filter.until is None else min(last, _first_id_since(connection, filter.until) - 1)
    return bound


_LAST_ID = select(func.coalesce(func.max(jobs.c.id), 0))
_PROBE = (select(jobs.c.id, jobs.c.received_at).where(jobs.c.id >= bindparam("id")).order_by(jobs.c.id).limit(1))


def _first_id_since(connection: Connection, moment: dt.datetime) -> int:
    """Return the lowest id received at or after `moment`, or one above all; by halving: no index has the times."""
    low, high = 1, connection.execute(_LAST_ID).scalar_one() + 1
    while low < high:
        middle = (low + high) // 2
        id, received_at = connection.execute(_PROBE, {"id": middle}).one()
        if received_at < moment:
            low = id + 1
        else:
            high = middle
    return low


@contextmanager
def _stoppable(connection: Connection, stopped: Callable[[], bool]) -> Iterator[None]:
    if stopped():
        raise Stopped
    raw: Any = connection.connection.driver_connection
    raw.set_progress_handler(stopped, _INSTRUCTIONS_A_CHECK)
    try:
        yield
    except OperationalError as error:
        if stopped():
            raise Stopped from error
        raise
    finally:
        raw.set_progress_handler(None, 0)
