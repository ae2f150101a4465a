"""What the jobs of a recipe have done so far: the branches that they took, and what a step last gave."""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from data.job_records import JsonValue
from data.states import Status, StepStatus
from data.tables import KEPT, LATEST, jobs, recipes, steps, versions

LOOKED_AT = 10_000
"""How many versions, the newest, are looked at: what a screen shows must not take longer with every job."""
RECENT = 200
"""How many jobs are looked at for a step's last output."""


@dataclass(frozen=True, slots=True)
class Taken:
    """How often the versions of a revision came through a step in one way."""

    step_id: str
    branch: str | None
    status: StepStatus
    versions: int
    job_id: int
    """The newest that did."""
    version: int


def taken(connection: Connection, revision_id: int) -> tuple[list[Taken], int, bool]:
    """Return how the newest versions of a revision came through its steps that call nothing, how many they were, and
    whether that is all of them.

    Versions whose data retention has removed are none of them: nobody knows where they came through.
    """
    newest = (
        select(versions.c.id, versions.c.expired)
        .where(versions.c.revision_id == revision_id)
        .order_by(versions.c.id.desc())
        .limit(LOOKED_AT)
        .cte("newest")
    )
    seen, expired = connection.execute(select(func.count(), func.coalesce(func.sum(newest.c.expired), 0))).one()
    ran = select(newest.c.id).where(newest.c.expired.is_(False))
    ways = (
        select(
            steps.c.step_id, steps.c.branch, steps.c.status, func.count(steps.c.version_id.distinct()).label("times"),
            func.max(steps.c.version_id).label("newest"),
        )
        .where(steps.c.version_id.in_(ran), steps.c.action.is_(None))
        .group_by(steps.c.step_id, steps.c.branch, steps.c.status)
        .subquery()
    )
    rows = connection.execute(
        select(ways, versions.c.job_id, versions.c.number).join(versions, versions.c.id == ways.c.newest)
    )
    found = [
        Taken(row.step_id, row.branch, StepStatus(row.status), row.times, row.job_id, row.number) for row in rows
    ]
    return found, seen - int(expired), seen < LOOKED_AT


def last_output(
    connection: Connection, recipe_id: int, step_id: str, action: str
) -> tuple[JsonValue, int, int] | None:
    """Return (output, job, version) of a step's last success, if the newest jobs of its recipe still hold one."""
    recent = select(jobs.c.id).where(jobs.c.recipe_id == recipe_id).order_by(jobs.c.id.desc()).limit(RECENT)
    row = connection.execute(
        select(steps.c.output, versions.c.job_id, versions.c.number)
        .join(versions, versions.c.id == steps.c.version_id)
        .where(
            versions.c.job_id.in_(recent),
            steps.c.step_id == step_id,
            steps.c.action == action,
            steps.c.status == StepStatus.SUCCEEDED,
            steps.c.output.is_not(None),
        )
        .order_by(versions.c.id.desc(), steps.c.ordinal.desc())
        .limit(1)
    ).first()
    return None if row is None else (json.loads(row.output), row.job_id, row.number)


def own_output(
    connection: Connection, job_id: int, step_id: str, action: str, index: tuple[int, ...]
) -> tuple[JsonValue, int] | None:
    """Return (output, version) of the newest version of a job that completed a step, in this iteration of its loops."""
    rows = connection.execute(
        select(steps.c.output, steps.c.index, versions.c.number)
        .join(versions, versions.c.id == steps.c.version_id)
        .where(
            versions.c.job_id == job_id,
            steps.c.step_id == step_id,
            steps.c.action == action,
            steps.c.status.in_([StepStatus.SUCCEEDED, StepStatus.REUSED]),
            steps.c.output.is_not(None),
        )
        .order_by(versions.c.number.desc())
    )
    return next(((json.loads(row.output), row.number) for row in rows if tuple(row.index or ()) == index), None)


def newest_success(connection: Connection, recipe: str, besides: int) -> tuple[int, int] | None:
    """Return (job, version) of the recipe's job that succeeded last and still has its data, other than one job."""
    recipe_id = select(recipes.c.id).where(recipes.c.name == recipe).scalar_subquery()
    row = connection.execute(
        select(versions.c.job_id, versions.c.number)
        .where(
            LATEST, KEPT, versions.c.recipe_id == recipe_id,
            versions.c.status == Status.SUCCEEDED, versions.c.finished_at.is_not(None), versions.c.job_id != besides,
        )
        .order_by(versions.c.finished_at.desc(), versions.c.job_id.desc())
        .limit(1)
    ).first()
    return None if row is None else (row.job_id, row.number)
