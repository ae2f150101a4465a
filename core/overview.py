"""What a screen of recipes shows of each beside its state: trigger, warnings, jobs, and what changed by revision."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from core.errors import NotFound, RecipeProblems
from core.library import Library
from core.textdiff import unified
from core.wording import unknown
from data import recipes as store
from data import tallies
from data.database import Database
from data.records import Revision, Tally


@dataclass(frozen=True, slots=True)
class Declared:
    """What the last valid revision of a recipe says that its list tells."""

    trigger: str
    """`<connector>.<trigger>`."""
    polled: bool
    """Whether the engine looks for its events, by a poll or by the clock."""
    warnings: int
    """How many things in its file are allowed but probably not meant."""


@dataclass(frozen=True, slots=True)
class RecipeChange:
    """Two revisions of a recipe, and what differs."""

    old: Revision
    new: Revision
    lines: tuple[str, ...]
    """The unified diff; empty where their texts are the same."""


class Overview:
    """What the recipes' screens read on an open workspace."""

    def __init__(self, database: Database, library: Library) -> None:
        self._database = database
        self._library = library

    def declared(self) -> Mapping[str, Declared]:
        """Return what each recipe's last valid revision says, by name; without those that this Jobdeck cannot read."""
        with self._database.read() as connection:
            revisions = store.last_revisions(connection).values()
        found = {revision.recipe: self._declared(revision) for revision in revisions}
        return {name: declared for name, declared in found.items() if declared is not None}

    def _declared(self, revision: Revision) -> Declared | None:
        try:
            recipe = self._library.recipe(revision)
        except RecipeProblems:
            return None
        return Declared(recipe.trigger.declared.name, recipe.trigger.polled, len(recipe.warnings))

    def tallies(self, now: dt.datetime | None = None) -> Mapping[int, Tally]:
        """Return each recipe's jobs by status and by hour, by the recipe's id; takes longer the more jobs there are."""
        with self._database.read() as connection:
            return tallies.tallies(connection, now or dt.datetime.now(dt.UTC))

    def compared(self, name: str, old: int, new: int) -> RecipeChange:
        """Return what differs between two revisions of a recipe; raises NotFound."""
        with self._database.read() as connection:
            ids = {state.name: state.id for state in store.states(connection)}
            if name not in ids:
                raise NotFound(unknown("recipe", name, ids))
            numbered = {revision.number: revision for revision in store.history(connection, ids[name])}
        for number in (old, new):
            if number not in numbered:
                raise NotFound(f"{name} has no revision {number}; its latest is r{max(numbered, default=0)}")
        before, after = numbered[old], numbered[new]
        return RecipeChange(before, after, unified(before, after))
