"""Failed jobs by the group of their error: listed, and noted on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

from core.errors import NotFound
from core.library import Write
from core.text import storable
from core.wording import unknown
from data import failures as store
from data import recipes as recipe_store
from data.audit import note_act
from data.database import Database
from data.records import ErrorGroup, ErrorNote

PAGE = 200


class Failures:
    """The groups of errors that versions have failed with."""

    def __init__(self, database: Database, write: Write[Any]) -> None:
        self._database = database
        self._write = write

    def groups(
        self, *, recipe: str | None = None, since: dt.datetime | None = None, until: dt.datetime | None = None,
        limit: int | None = None,
    ) -> Iterator[ErrorGroup]:
        """Yield at most `limit` groups, those with the most jobs first, then those seen last.

        Only those that a version, of one recipe if named, failed with from `since` to before `until`; what is told of
        a group is of its whole time. Raises NotFound where there is no such recipe.
        """
        with self._database.read() as connection:
            recipe_id = None if recipe is None else self._recipe_id(connection, recipe)
            found = store.counted(connection, recipe_id, since, until)[:limit]
        for start in range(0, len(found), PAGE):
            with self._database.read() as connection:
                page = store.told(connection, found[start : start + PAGE])
            yield from page

    @staticmethod
    def _recipe_id(connection: Any, name: str) -> int:
        ids = {state.name: state.id for state in recipe_store.states(connection)}
        if name not in ids:
            raise NotFound(unknown("recipe", name, ids))
        return ids[name]

    def note(self, group: str, text: str, *, by: str) -> None:
        """Write a note on a group, in the place of an earlier one; an empty text removes that. Raises NotFound."""
        text = storable(text.strip())

        def write(connection: Any) -> None:
            if not store.exists(connection, group):
                raise NotFound(f"there is no group of errors {group}: `jobdeck errors` lists them")
            if text:
                store.write_note(connection, group, ErrorNote(text, by, dt.datetime.now(dt.UTC)))
                note_act(connection, by, "error note", f"error {group}", text)
            elif store.remove_note(connection, group):
                note_act(connection, by, "error note removed", f"error {group}")

        self._write(write)
