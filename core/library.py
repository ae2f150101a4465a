"""The workspace's recipe files: changed ones become revisions, broken ones are told, and revisions become recipes."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from core.connectors.declare import Feed, Watcher
from core.errors import NotFound, RecipeProblems
from core.parse import decode, parse
from core.recipe import ActionStep, CallStep, Recipe
from core.settings import Settings
from core.wording import unknown
from data import recipes as store
from data.database import Database
from data.records import Problem, RecipeState, Revision

T = TypeVar("T")
Write = Callable[[Callable[[Any], T]], T]
"""Runs a function of a connection in a transaction and returns when it is durable."""

FOLDER = "recipes"


@dataclass(frozen=True)
class Loaded:
    """A recipe as it would run now: the last valid revision of its file."""

    state: RecipeState
    revision: Revision
    recipe: Recipe


class Library:
    """Reads recipe files for one process; safe to use from any thread."""

    def __init__(self, workspace: Path, database: Database, write: Write[Any]) -> None:
        """`write` is how this process writes to the store."""
        self._folder = workspace / FOLDER
        self._database = database
        self._write = write
        self._parsed: dict[int, Recipe] = {}
        self._lock = threading.Lock()

    def path(self, name: str) -> Path:
        """Return where the file of a recipe is, or would be."""
        return self._folder / f"{name}.yaml"

    def names(self) -> list[str]:
        """Return the names of the recipe files that are there."""
        try:
            files = [path for path in self._folder.glob("*.yaml") if not path.name.startswith(".") and path.is_file()]
        except OSError:
            return []
        return sorted(path.stem for path in files)

    def check(self, names: Sequence[str], settings: Settings) -> list[Problem]:
        """Return all that is wrong in these recipes' files, or in all, and what is worth a warning; raises NotFound.

        Connections and called recipes that are not there, recipes that call themselves, and another `since` than at
        the first start are wrong too.
        """
        known = self.names()
        for name in names:
            if name not in known:
                raise NotFound(unknown("recipe", name, known))
        calls = {name: self._calls(name) for name in known}
        with self._database.read() as connection:
            states = {state.name: state for state in store.states(connection)}
        return [
            problem for name in names or known for problem in self._checked(name, settings, calls, states.get(name))
        ]

    def _calls(self, name: str) -> frozenset[str]:
        """Return the recipes that a recipe's file calls; none where it is broken."""
        try:
            recipe = self._parse(name, self._text(name))
        except (RecipeProblems, FileNotFoundError):
            return frozenset()
        return frozenset(step.recipe for step in recipe.walk() if isinstance(step, CallStep))

    def _checked(
        self, name: str, settings: Settings, calls: Mapping[str, frozenset[str]], state: RecipeState | None
    ) -> list[Problem]:
        try:
            recipe = parse(
                name, self._text(name), file=f"{FOLDER}/{name}.yaml", connections=settings.connection_types,
                recipes=frozenset(calls), calls=calls,
            )
            if state is not None:
                _keep_since(recipe, state)
        except RecipeProblems as error:
            found = (*error.problems, *error.warnings)
        else:
            found = recipe.warnings
        return sorted(found, key=lambda problem: (problem.line, problem.column))

    def refresh(self) -> list[RecipeState]:
        """Read the files, store a revision of each changed valid one, and return every recipe, by name."""
        with self._database.read() as connection:
            states = store.states(connection)
            revisions = store.last_revisions(connection)
        known = {state.name: (state, revisions.get(state.id)) for state in states}
        names = self.names()
        changed = [name for name in names if self._differs(name, *known.get(name, (None, None)))]
        changed += [name for name, (state, _) in known.items() if state.present and name not in names]
        if not changed:
            return states
        self._write(lambda connection: [self._store(connection, name) for name in changed])
        with self._database.read() as connection:
            return store.states(connection)

    def _differs(self, name: str, state: RecipeState | None, last: Revision | None) -> bool:
        if state is None or not state.present:
            return True
        try:
            text = self._text(name)
        except FileNotFoundError:
            # It went between two looks.
            return True
        except RecipeProblems as error:
            return state.problems != error.problems
        if last is not None and text == last.text:
            return bool(state.problems)
        # Neither stored nor told as broken in just this way: only reading it tells.
        return not state.problems or self._problems_of(name, text, state) != state.problems

    def _problems_of(self, name: str, text: str, state: RecipeState) -> tuple[Problem, ...]:
        try:
            _keep_since(self._parse(name, text), state)
        except RecipeProblems as error:
            return error.problems
        return ()

    def _store(self, connection: Any, name: str) -> None:
        # The file is read while no other process can write: two that read it at once store its states in order.
        recipe_id = store.ensure(connection, name, started=True)
        try:
            text = self._text(name)
            recipe = self._parse(name, text)
            _keep_since(recipe, next(state for state in store.states(connection) if state.id == recipe_id))
        except FileNotFoundError:
            store.tell_file(connection, recipe_id, (), present=False)
        except RecipeProblems as error:
            store.tell_file(connection, recipe_id, error.problems, present=True)
        else:
            number = store.add_revision(connection, recipe_id, text, dt.datetime.now(dt.UTC))
            if number == 1:
                store.set_started(connection, recipe_id, recipe.start)
            store.tell_file(connection, recipe_id, (), present=True)

    def loaded(self, state: RecipeState) -> Loaded | None:
        """Return the last valid revision of a recipe, or None where there is none that this Jobdeck can read."""
        with self._database.read() as connection:
            last = store.last_revisions(connection).get(state.id)
        if last is None:
            return None
        try:
            return Loaded(state, last, self.recipe(last))
        except RecipeProblems:
            return None

    def named(self, name: str) -> Loaded | None:
        """Return the recipe of a name as it would run now, read from its file; None where there is none."""
        state = next((state for state in self.refresh() if state.name == name), None)
        return None if state is None else self.loaded(state)

    def recipe(self, revision: Revision) -> Recipe:
        """Return a stored revision as a recipe; raises RecipeProblems where this Jobdeck no longer knows its words."""
        with self._lock:
            found = self._parsed.get(revision.id)
        if found is None:
            found = self._parse(revision.recipe, revision.text)
            with self._lock:
                self._parsed[revision.id] = found
        return found

    def _text(self, name: str) -> str:
        """Return a recipe file's text; raises RecipeProblems, and FileNotFoundError where there is none."""
        file = f"{FOLDER}/{name}.yaml"
        try:
            return decode(self.path(name).read_bytes(), file)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise RecipeProblems([Problem(file, 1, 1, f"the file cannot be read: {error.strerror}")]) from error

    def _parse(self, name: str, text: str) -> Recipe:
        return parse(name, text, file=f"{FOLDER}/{name}.yaml", connections=None, recipes=None)


def connections_of(recipe: Recipe) -> frozenset[str]:
    """Return the names of the connections that a recipe uses."""
    used = {step.connection for step in recipe.walk() if isinstance(step, ActionStep)}
    return frozenset(name for name in used | {recipe.trigger.connection} if name)


def _keep_since(recipe: Recipe, state: RecipeState) -> None:
    """Raise RecipeProblems where `since` is another than when the recipe first started: it is locked from then on."""
    trigger = recipe.trigger
    compared = isinstance(trigger.declared.source, Watcher | Feed)
    if not compared or state.first_started_at is None or trigger.since == state.since:
        return
    then = f"it was {state.since}" if state.since else "there was none"
    now = f"not {trigger.since}" if trigger.since else "which is missing now"
    message = (
        f"'since' is locked since the recipe first started on {state.first_started_at:%Y-%m-%d}: {then}, {now}; write "
        "it as it was, or make a recipe of another name, which begins anew"
    )
    raise RecipeProblems([Problem(f"{FOLDER}/{recipe.name}.yaml", *trigger.place, message)], recipe.warnings)
