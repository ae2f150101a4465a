"""When which trigger is polled: on time, never twice at once, less often while its source fails."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass
from typing import Any

from core.errors import JobdeckError, StoreError
from core.library import Loaded, Write
from core.triggers import Poller, Source, next_poll
from data import recipes as store
from data.database import Database
from data.records import RecipeState

AT_ONCE = 4
LONGEST_BACK_OFF = dt.timedelta(minutes=5)

_log = logging.getLogger(__name__)


@dataclass
class _Turn:
    """Where the polling of one recipe stands."""

    poller: Poller
    revision: int
    due: dt.datetime
    failures: int = 0
    warning: str | None = None
    under_way: Future[None] | None = None


class Polling:
    """Polls the triggers of started recipes; `tick` is called every moment by the engine's main loop."""

    def __init__(self, database: Database, write: Write[Any], source: Callable[[], Source]) -> None:
        self._database = database
        self._write = write
        self._source = source
        self._turns: dict[int, _Turn] = {}
        self._pool = ThreadPoolExecutor(AT_ONCE, "poll")

    def tick(self, loaded: Mapping[int, Loaded], now: dt.datetime) -> None:
        """Begin the polls that are due; forget recipes that are no longer started."""
        polled = {id: one for id, one in loaded.items() if _wanted(one)}
        for id in [id for id in self._turns if id not in polled]:
            if self._idle(self._turns[id]):
                del self._turns[id]
        for id, one in polled.items():
            try:
                turn = self._turn(id, one, now)
            except StoreError as error:
                _log.warning("the trigger of %s cannot be polled: %s", one.state.name, error)
                continue
            if turn.due <= now and self._idle(turn):
                turn.under_way = self._pool.submit(self._poll, turn, one)

    def once(self, loaded: Mapping[int, Loaded], now: dt.datetime) -> None:
        """Poll every started trigger once, whenever it would be due, and return when all have answered."""
        turns = [(self._turn(id, one, now), one) for id, one in loaded.items() if _wanted(one)]
        for turn, one in turns:
            turn.under_way = self._pool.submit(self._poll, turn, one)
        wait_for([turn.under_way for turn, _ in turns if turn.under_way])

    def close(self) -> None:
        """Begin no more polls and return when those under way have ended."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    @staticmethod
    def _idle(turn: _Turn) -> bool:
        return turn.under_way is None or turn.under_way.done()

    def _turn(self, recipe_id: int, loaded: Loaded, now: dt.datetime) -> _Turn:
        if recipe_id not in self._turns:
            self._turns[recipe_id] = self._first_turn(recipe_id, loaded, now)
        turn = self._turns[recipe_id]
        if turn.revision != loaded.revision.id and self._idle(turn):
            # The recipe may poll more often now, or be mended: neither waits for what the former one planned.
            turn.revision, turn.due = loaded.revision.id, now
        return turn

    def _first_turn(self, recipe_id: int, loaded: Loaded, now: dt.datetime) -> _Turn:
        # What `since` said at the very first start stays, whatever a later revision says.
        since = loaded.recipe.trigger.since
        self._write(lambda connection: store.first_start(connection, recipe_id, since, now))
        with self._database.read() as connection:
            state = next(state for state in store.states(connection) if state.id == recipe_id)
            known = store.known_objects(connection, recipe_id)
        poller = Poller(recipe_id, self._write, known, state.since)
        due = _failing_until(state, loaded, now) or now
        return _Turn(poller, loaded.revision.id, due, state.poll_failures, state.warning)

    def _poll(self, turn: _Turn, loaded: Loaded) -> None:
        now = dt.datetime.now(dt.UTC)
        try:
            turn.poller.poll(loaded, self._source(), now)
            due = next_poll(loaded, now)
        except JobdeckError as error:
            self._failed(turn, loaded, now, str(error))
        except Exception as bug:
            _log.exception("polling %s broke off", loaded.state.name)
            self._failed(turn, loaded, now, f"{type(bug).__name__}: {bug}")
        else:
            turn.failures, turn.warning, turn.due = 0, None, due
        self._tell(turn, loaded, now)

    def _failed(self, turn: _Turn, loaded: Loaded, now: dt.datetime, warning: str) -> None:
        turn.failures += 1
        if warning != turn.warning:
            _log.warning("the trigger of %s: %s", loaded.state.name, warning)
        turn.warning = warning
        usual = dt.timedelta(seconds=loaded.recipe.trigger.every)
        turn.due = now + min(usual * 2 ** min(turn.failures, 20), _longest(loaded))

    def _tell(self, turn: _Turn, loaded: Loaded, now: dt.datetime) -> None:
        try:
            self._write(
                lambda connection: store.tell_poll(
                    connection, loaded.state.id, now, turn.due, turn.failures, turn.warning
                )
            )
        except StoreError as error:
            _log.warning("the poll of %s cannot be told: %s", loaded.state.name, error)


def _longest(loaded: Loaded) -> dt.timedelta:
    return max(dt.timedelta(seconds=loaded.recipe.trigger.every), LONGEST_BACK_OFF)


def _failing_until(state: RecipeState, loaded: Loaded, now: dt.datetime) -> dt.datetime | None:
    """Return when an earlier engine, whose polls failed, would have polled; None where the recipe was mended since."""
    if not state.poll_failures or state.next_poll_at is None or state.polled_at is None:
        return None
    # A clock that was set back must not put it off for longer than any failure does.
    return min(state.next_poll_at, now + _longest(loaded)) if loaded.revision.stored_at <= state.polled_at else None


def _wanted(loaded: Loaded) -> bool:
    return loaded.state.started and loaded.recipe.trigger.polled
