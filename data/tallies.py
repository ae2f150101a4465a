"""How many jobs each recipe has, by status, and how many it received in each of the last hours; from indexes alone."""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left
from collections import defaultdict
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection, Integer, Select, bindparam, column, func, select, values

from data.records import Hour, Tally
from data.states import Status
from data.tables import LATEST, jobs, recipes, versions

HOURS = 24
"""The hour under way and those before it."""
LOOKED_AT = 100_000
"""How many jobs, the newest of all recipes, are looked at for the hours: a busy day must not slow the screen down."""
HOUR = dt.timedelta(hours=1)

# By far the most jobs have succeeded: they are what is left of all, so that their entries need no walk.
_REST = tuple(status for status in Status if status is not Status.SUCCEEDED)
_JOBS = select(
    recipes.c.id, select(func.count()).select_from(jobs).where(jobs.c.recipe_id == recipes.c.id).scalar_subquery()
)
_BY_STATUS = (
    select(versions.c.recipe_id, versions.c.status, func.count())
    .where(LATEST, versions.c.status.in_(_REST))
    .group_by(versions.c.recipe_id, versions.c.status)
)
_LAST_ID = select(func.coalesce(func.max(jobs.c.id), 0))
_RECEIVED = select(jobs.c.received_at).where(jobs.c.id >= bindparam("id")).order_by(jobs.c.id).limit(1)


def tallies(connection: Connection, now: dt.datetime) -> dict[int, Tally]:
    """Return every recipe's tally by the recipe's id."""
    statuses = _statuses(connection)
    hours, looked_at = _hours(connection, now)
    return {
        recipe_id: Tally({status: number for status, number in found.items() if number}, hours[recipe_id], looked_at)
        for recipe_id, found in statuses.items()
    }


def _statuses(connection: Connection) -> dict[int, dict[Status, int]]:
    found: dict[int, dict[Status, int]] = {id: {Status.SUCCEEDED: number} for id, number in connection.execute(_JOBS)}
    for recipe_id, status, number in connection.execute(_BY_STATUS):
        found[recipe_id][Status(status)] = number
        found[recipe_id][Status.SUCCEEDED] -= number
    return found


def _hours(connection: Connection, now: dt.datetime) -> tuple[defaultdict[int, tuple[Hour, ...]], int | None]:
    """Return the hours of each recipe, the oldest first, and `Tally.looked_at`."""
    last_id: int = connection.execute(_LAST_ID).scalar_one()
    newest = range(max(last_id - LOOKED_AT, 0) + 1, last_id + 1)
    began = now.replace(minute=0, second=0, microsecond=0)
    starts = [began - HOUR * back for back in range(HOURS - 1, -1, -1)]
    bounds = [*(_first_since(connection, newest, start) for start in starts), newest.stop]
    whole = newest.start == 1 or _received(connection, newest.start) < starts[0]
    nothing = tuple(Hour(start, 0, 0) for start in starts)
    found: defaultdict[int, tuple[Hour, ...]] = defaultdict(lambda: nothing)
    for number, recipe_id, received, failed in connection.execute(hourly(bounds)):
        before = found[recipe_id]
        found[recipe_id] = (*before[:number], Hour(starts[number], received, failed), *before[number + 1 :])
    return found, None if whole else LOOKED_AT


def _first_since(connection: Connection, ids: range, moment: dt.datetime) -> int:
    """Return the lowest of some ids received at or after a moment, or the one above them; by halving."""
    return ids.start + bisect_left(ids, moment, key=lambda id: _received(connection, id))


def _received(connection: Connection, id: int) -> dt.datetime:
    """Return when the first job from an id on was received."""
    return connection.execute(_RECEIVED, {"id": id}).scalar_one()


def hourly(bounds: list[int]) -> Select[Any]:
    """Return what counts jobs, and those that failed, by recipe and stretch of ids, each up to where the next begins.

    `received_at` is never before that of a lower id, so an hour is a stretch of ids.
    """
    stretches = [(number, first, past) for number, (first, past) in enumerate(pairwise(bounds))]
    hours = values(
        column("number", Integer), column("first_id", Integer), column("past_id", Integer), name="hours"
    ).data(stretches).cte()
    failed = func.count().filter(versions.c.status == Status.FAILED)
    return (
        select(hours.c.number, versions.c.recipe_id, func.count(), failed)
            # With every status named, the index is entered at the first id of each.
        .where(LATEST, versions.c.status.in_(list(Status)), versions.c.job_id >= hours.c.first_id,
               versions.c.job_id < hours.c.past_id)
        .group_by(hours.c.number, versions.c.recipe_id)
    )
