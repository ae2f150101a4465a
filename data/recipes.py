"""Recipes, their revisions, and what their triggers remember: every read and write of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects.sqlite import insert

from data.job_records import JsonValue
from data.records import Problem, RecipeState, Revision
from data.tables import objects, recipes, revisions


@dataclass(frozen=True, slots=True)
class Known:
    """What the last poll knew of an object at the source."""

    key: str
    incarnation: int
    present: bool
    mark: str | None
    stamp: str | None
    changed_at: dt.datetime | None = None
    """When a poll last saw a change of which no event was made."""


def states(connection: Connection) -> list[RecipeState]:
    """Return every recipe, by name."""
    newest = (
        select(revisions.c.recipe_id, func.max(revisions.c.number).label("number"))
        .group_by(revisions.c.recipe_id)
        .subquery()
    )
    rows = connection.execute(
        select(recipes, newest.c.number.label("revision"))
        .join(newest, newest.c.recipe_id == recipes.c.id, isouter=True)
        .order_by(recipes.c.name)
    )
    return [_state(row) for row in rows.mappings()]


def _state(row: Mapping[str, JsonValue]) -> RecipeState:
    return RecipeState(
        id=row["id"],
        name=row["name"],
        started=row["started"],
        revision=row["revision"],
        problems=tuple(Problem(**problem) for problem in row["problems"] or ()),
        present=row["present"],
        warning=row["warning"],
        polled_at=row["polled_at"],
        next_poll_at=row["next_poll_at"],
        poll_failures=row["poll_failures"],
        first_started_at=row["first_started_at"],
        since=row["since"],
    )


def ensure(connection: Connection, name: str, started: bool) -> int:
    """Return the recipe's id, making it when it is first seen; `started` counts only then."""
    known = connection.execute(select(recipes.c.id).where(recipes.c.name == name)).scalar()
    if known is not None:
        return known
    made = connection.execute(recipes.insert().values(name=name, started=started, present=True))
    return made.inserted_primary_key[0]


def tell_file(connection: Connection, recipe_id: int, problems: Sequence[Problem], present: bool) -> None:
    """Remember how the recipe's file was last seen."""
    connection.execute(
        update(recipes)
        .where(recipes.c.id == recipe_id)
        .values(problems=[asdict(problem) for problem in problems] or None, present=present)
    )


def add_revision(connection: Connection, recipe_id: int, text: str, now: dt.datetime) -> int:
    """Return the number of the last revision, adding one if its text is another."""
    last = connection.execute(
        select(revisions.c.number, revisions.c.text)
        .where(revisions.c.recipe_id == recipe_id)
        .order_by(revisions.c.number.desc())
        .limit(1)
    ).first()
    if last is not None and last.text == text:
        return last.number
    number = 1 if last is None else last.number + 1
    connection.execute(revisions.insert().values(recipe_id=recipe_id, number=number, text=text, stored_at=now))
    return number


def last_revisions(connection: Connection) -> dict[int, Revision]:
    """Return the last revision of every recipe that has one, by the recipe's id."""
    newest = select(func.max(revisions.c.id)).group_by(revisions.c.recipe_id)
    rows = connection.execute(_revisions().where(revisions.c.id.in_(newest)))
    return {row.recipe_id: _revision(row) for row in rows}


def newest_revision(connection: Connection) -> int | None:
    """Return the id of the revision that was stored last, of whatever recipe."""
    return connection.execute(select(func.max(revisions.c.id))).scalar()


def history(connection: Connection, recipe_id: int) -> list[Revision]:
    """Return a recipe's revisions, newest first."""
    rows = connection.execute(
        _revisions().where(revisions.c.recipe_id == recipe_id).order_by(revisions.c.number.desc())
    )
    return [_revision(row) for row in rows]


def revision(connection: Connection, revision_id: int) -> Revision:
    """Return one revision."""
    return _revision(connection.execute(_revisions().where(revisions.c.id == revision_id)).one())


def _revisions():
    return select(revisions, recipes.c.name).join(recipes, recipes.c.id == revisions.c.recipe_id)


def _revision(row) -> Revision:
    return Revision(row.id, row.name, row.number, row.text, row.stored_at)


def set_started(connection: Connection, recipe_id: int, started: bool) -> None:
    """Let a recipe take new events, or none; one that failed so far is polled at once when it is let again."""
    connection.execute(
        update(recipes).where(recipes.c.id == recipe_id).values(started=started, next_poll_at=None, poll_failures=0)
    )


def first_start(connection: Connection, recipe_id: int, since: str | None, now: dt.datetime) -> None:
    """Lock what `since` said when the recipe's trigger first ran; a later call changes nothing."""
    connection.execute(
        update(recipes)
        .where(recipes.c.id == recipe_id, recipes.c.first_started_at.is_(None))
        .values(first_started_at=now, since=since)
    )


def tell_poll(
    connection: Connection, recipe_id: int, now: dt.datetime, next_poll: dt.datetime | None, failures: int,
    warning: str | None,
) -> None:
    """Remember what a poll of the recipe's trigger came to."""
    connection.execute(
        update(recipes)
        .where(recipes.c.id == recipe_id)
        .values(polled_at=now, next_poll_at=next_poll, poll_failures=failures, warning=warning)
    )


def cursor(connection: Connection, recipe_id: int) -> JsonValue:
    """Return what the recipe's trigger remembers between polls."""
    return connection.execute(select(recipes.c.cursor).where(recipes.c.id == recipe_id)).scalar()


def set_cursor(connection: Connection, recipe_id: int, value: JsonValue) -> None:
    """Remember `value` for the recipe's trigger; belongs into the transaction that stores its events."""
    connection.execute(update(recipes).where(recipes.c.id == recipe_id).values(cursor=value))


def known_objects(connection: Connection, recipe_id: int) -> dict[str, Known]:
    """Return what the last poll knew, by key."""
    rows = connection.execute(
        select(
            objects.c.key, objects.c.incarnation, objects.c.present, objects.c.mark, objects.c.stamp,
            objects.c.changed_at,
        ).where(objects.c.recipe_id == recipe_id)
    )
    return {row.key: Known(*row) for row in rows}


def remember_objects(connection: Connection, recipe_id: int, known: Iterable[Known]) -> None:
    """Remember objects; belongs into the transaction that stores their events."""
    rows = [{"recipe_id": recipe_id, **asdict(one)} for one in known]
    if not rows:
        return
    statement = insert(objects)
    replaced = {name: statement.excluded[name] for name in ("incarnation", "present", "mark", "stamp", "changed_at")}
    connection.execute(
        statement.on_conflict_do_update(index_elements=["recipe_id", "key"], set_=replaced), rows
    )
