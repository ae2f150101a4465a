"""Failed versions by the group of their error: how many, since when, and what people have noted on a group."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, and_, bindparam, delete, func, select, type_coerce
from sqlalchemy.dialects.sqlite import insert

from data.encoding import from_micros
from data.records import ErrorGroup, ErrorNote
from data.tables import error_notes, recipes, revisions, steps, versions


@dataclass(slots=True)
class Counted:
    """What the index alone tells of a group."""

    group: str
    jobs: int
    versions: int
    first_seen: int
    """In microseconds, as the store has it; of the recipe `first_recipe_id`."""
    last_seen: int
    first_recipe_id: int
    last_recipe_id: int
    recipe_ids: list[int]
    in_period: bool


def counted(
    connection: Connection, recipe_id: int | None, since: dt.datetime | None, until: dt.datetime | None
) -> list[Counted]:
    """Return the groups that a version failed with from `since` to before `until`: most jobs first, then last seen.

    What is told of a group is of all its versions, of one recipe if named, not only of those in the period.
    """
    within = list(_period(since, until))
    statement = _COUNTED.add_columns(func.count().filter(*within) if within else func.count())
    if recipe_id is not None:
        statement = statement.where(versions.c.recipe_id == recipe_id)
    found: dict[str, Counted] = {}
    for group, recipe, jobs, number, first, last, in_period in connection.execute(statement):
        known = found.setdefault(group, Counted(group, 0, 0, first, last, recipe, recipe, [], False))
        known.jobs += jobs
        known.versions += number
        known.recipe_ids.append(recipe)
        known.in_period |= in_period > 0
        if first < known.first_seen:
            known.first_seen, known.first_recipe_id = first, recipe
        if last > known.last_seen:
            known.last_seen, known.last_recipe_id = last, recipe
    return sorted((one for one in found.values() if one.in_period), key=lambda one: (-one.jobs, -one.last_seen))


def _period(since: dt.datetime | None, until: dt.datetime | None) -> Iterator[ColumnElement[bool]]:
    if since is not None:
        yield versions.c.finished_at >= since
    if until is not None:
        yield versions.c.finished_at < until


def told(connection: Connection, groups: Sequence[Counted]) -> list[ErrorGroup]:
    """Return the groups with what their first and newest versions and their notes tell."""
    first = {one.group: _seek(connection, _FIRST, one.group, one.first_recipe_id) for one in groups}
    newest = {one.group: _seek(connection, _NEWEST, one.group, one.last_recipe_id) for one in groups}
    rows = {row.id: row for row in connection.execute(_FACTS, {"ids": [*first.values(), *newest.values()]})}
    names: dict[int, str] = dict(connection.execute(select(recipes.c.id, recipes.c.name)).all())
    notes = _notes(connection, [one.group for one in groups])
    made = []
    for one in groups:
        began, last = rows[first[one.group]], rows[newest[one.group]]
        made.append(
            ErrorGroup(
                one.group, tuple(sorted(names[id] for id in one.recipe_ids)), one.jobs, one.versions,
                from_micros(one.first_seen), from_micros(one.last_seen), last.error_message, last.error_kind or "",
                last.error_step, last.action, names[one.first_recipe_id], began.number, notes.get(one.group),
            )
        )
    return made


def _seek(connection: Connection, statement: Any, group: str, recipe_id: int) -> int:
    return connection.execute(statement, {"group": group, "recipe": recipe_id}).scalar_one()


def _notes(connection: Connection, groups: Iterable[str]) -> dict[str, ErrorNote]:
    rows = connection.execute(select(error_notes).where(error_notes.c.error_group.in_(list(groups))))
    return {row.error_group: ErrorNote(row.note, row.noted_by, row.noted_at) for row in rows}


def exists(connection: Connection, group: str) -> bool:
    """Return whether a version ever failed with this group."""
    return connection.execute(select(versions.c.id).where(versions.c.error_group == group).limit(1)).first() is not None


def write_note(connection: Connection, group: str, note: ErrorNote) -> None:
    """Write a note on a group, in the place of an earlier one."""
    values = {"note": note.text, "noted_by": note.by, "noted_at": note.at}
    statement = insert(error_notes).values(error_group=group, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["error_group"], set_=values))


def remove_note(connection: Connection, group: str) -> bool:
    """Remove the note on a group; False if there is none."""
    return bool(connection.execute(delete(error_notes).where(error_notes.c.error_group == group)).rowcount)


# `versions_by_error` alone answers these; moments stay numbers, as there is no need to make them and back.
_SEEN: Any = func.min(versions.c.finished_at), func.max(versions.c.finished_at)
_COUNTED = (
    select(
        versions.c.error_group, versions.c.recipe_id, func.count().filter(versions.c.latest.is_(True)), func.count(),
        *(type_coerce(moment, BigInteger) for moment in _SEEN),
    )
    .where(versions.c.error_group.is_not(None))
    .group_by(versions.c.error_group, versions.c.recipe_id)
)
_OF_GROUP = versions.c.error_group == bindparam("group"), versions.c.recipe_id == bindparam("recipe")
_ORDER = versions.c.finished_at, versions.c.latest, versions.c.id
_FIRST = select(versions.c.id).where(*_OF_GROUP).order_by(*_ORDER).limit(1)
_NEWEST = select(versions.c.id).where(*_OF_GROUP).order_by(*(column.desc() for column in _ORDER)).limit(1)
_FACTS = (
    select(
        versions.c.id, versions.c.error_message, versions.c.error_kind, versions.c.error_step, steps.c.action,
        revisions.c.number,
    )
    .join(steps, and_(steps.c.version_id == versions.c.id, steps.c.path == versions.c.error_step), isouter=True)
    .join(revisions, revisions.c.id == versions.c.revision_id, isouter=True)
    .where(versions.c.id.in_(bindparam("ids", expanding=True)))
)
