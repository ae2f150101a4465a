"""The line in which the versions of a batch wait: who goes next, so that the jobs of one object keep their order.

Nothing here is the truth: it is read from the store when an engine begins with a batch, or a batch is resumed, and each
job of it is looked at a few times, however many there are.
"""

from __future__ import annotations

import heapq
from typing import Any

from data import batches as store
from data.batches import Listed
from data.records import Batch

WINDOW = 200
"""Versions of a recipe that are let go and not claimed yet, at the most: what is let go cannot be reordered."""
_PAGE = 200
_PAGES = 20
"""Pages that are walked at once in search of jobs that may go."""


class Line:
    """Of one batch, from when it was last resumed."""

    def __init__(self, batch: Batch) -> None:
        self.begun_at = batch.resumed_at
        self._batch_id = batch.id
        self._keyed = batch.order == "key"
        # How far the list was walked, by recipe; who was found and may go; and, of each object with somebody under way
        # or in `_ready`, nobody else: the next of them is looked up when that one has ended.
        self._walked: dict[int, int] = {}
        self._ready: dict[int, list[Listed]] = {}
        self._started: set[tuple[int, str]] = set()
        self._gone: dict[int, tuple[int, Listed]] | None = None

    def next(self, connection: Any, limit: int | None) -> list[int]:
        """Return the versions to let go now, at most `limit`, in the order in which their events came."""
        self._see_ended(connection)
        chosen: list[tuple[int, Listed]] = []
        for recipe_id, unclaimed in store.recipes_waiting(connection, self._batch_id).items():
            room = WINDOW - unclaimed if limit is None else min(WINDOW - unclaimed, limit)
            self._find(connection, recipe_id, room)
            chosen += [(recipe_id, one) for one in heapq.nsmallest(room, self._ready.get(recipe_id, []))]
        chosen = sorted(chosen, key=lambda one: one[1].job_id)[:limit]
        for recipe_id, one in chosen:
            self._ready[recipe_id].remove(one)
            self._go(recipe_id, one)
        return [one.version_id for _, one in chosen]

    def _see_ended(self, connection: Any) -> None:
        """Look up the next of each object whose job was let go and has ended."""
        if not self._keyed:
            return
        under_way = {one.version_id: (recipe_id, one) for recipe_id, one in store.gone(connection, self._batch_id)}
        if self._gone is None:
            self._gone = {}
            for recipe_id, one in under_way.values():
                self._go(recipe_id, one)
        for version_id in self._gone.keys() - under_way.keys():
            recipe_id, ended = self._gone.pop(version_id)
            key = str(ended.object_key)
            following = store.waiting_of_object(connection, self._batch_id, recipe_id, key)
            if following is None:
                self._started.discard((recipe_id, key))
            else:
                self._ready.setdefault(recipe_id, []).append(following)

    def _go(self, recipe_id: int, one: Listed) -> None:
        if self._keyed and one.object_key is not None and self._gone is not None:
            self._gone[one.version_id] = (recipe_id, one)
            self._started.add((recipe_id, one.object_key))

    def _find(self, connection: Any, recipe_id: int, room: int) -> None:
        """Walk on through the list until there are enough to fill the room."""
        ready = self._ready.setdefault(recipe_id, [])
        for _ in range(_PAGES):
            if len(ready) >= room:
                return
            after = self._walked.get(recipe_id, 0)
            page = store.waiting_after(connection, self._batch_id, recipe_id, after, _PAGE)
            for one in page:
                self._walked[recipe_id] = one.job_id
                if self._may_go(recipe_id, one):
                    ready.append(one)
            if len(page) < _PAGE:
                return

    def _may_go(self, recipe_id: int, one: Listed) -> bool:
        if not self._keyed or one.object_key is None:
            return True
        new = (recipe_id, one.object_key) not in self._started
        self._started.add((recipe_id, one.object_key))
        return new
