"""Dispatch on one machine: the queued versions in the store are the queue, threads of this process run them."""

from __future__ import annotations

import datetime as dt
import logging
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from core.errors import StoreError
from core.library import Loaded
from data import runs
from data.database import Database
from data.runs import Claimed
from data.writer import Writer

LOOK_EVERY_S = 0.05
"""How soon a version that another process queued is seen."""

_log = logging.getLogger(__name__)


class EmbeddedDispatcher:
    """Claims queued versions while slots are free and hands each to a thread."""

    def __init__(
        self, database: Database, writer: Writer, owner: str, slots: int, recipe: Callable[[int], Loaded | None],
        run: Callable[[Claimed], None],
    ) -> None:
        """`recipe` gives what a recipe's id would run now, `run` carries out a claimed version."""
        self._database = database
        self._writer = writer
        self._owner = owner
        self._slots = slots
        self._recipe = recipe
        self._run = run
        self._running: Counter[int] = Counter()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(slots, "slot")
        self._seen = -1
        self._thread = threading.Thread(target=self._serve, name="dispatch", daemon=True)

    def start(self) -> None:
        """Begin to claim."""
        self._thread.start()

    def stop(self) -> None:
        """Claim nothing more and return when all that runs has settled."""
        self._stopping.set()
        self._wake.set()
        self._thread.join()
        self._pool.shutdown(wait=True)

    def wake(self) -> None:
        """Look at once: something was queued."""
        self._wake.set()

    @property
    def alive(self) -> bool:
        """Whether it claims."""
        return self._thread.is_alive()

    @property
    def running(self) -> int:
        """How many versions run now."""
        with self._lock:
            return self._running.total()

    def _serve(self) -> None:
        while not self._stopping.is_set():
            try:
                if self._moved():
                    self._fill()
            except StoreError as error:
                _log.warning("cannot claim: %s", error)
                self._stopping.wait(1)
            self._wake.wait(LOOK_EVERY_S)

    def _moved(self) -> bool:
        """Whether anything may have been queued, or a slot may have come free, since the last look."""
        woken = self._wake.is_set()
        self._wake.clear()
        seen = self._database.data_version()
        moved = woken or seen != self._seen
        self._seen = seen
        return moved

    def _fill(self) -> None:
        with self._database.read() as connection:
            waiting = runs.waiting_recipes(connection)
        for recipe_id in waiting:
            room = self._room(recipe_id)
            if room > 0 and not self._stopping.is_set():
                self._claim(recipe_id, room)

    def _room(self, recipe_id: int) -> int:
        loaded = self._recipe(recipe_id)
        with self._lock:
            free = self._slots - self._running.total()
            return min(free, loaded.recipe.concurrency - self._running[recipe_id]) if loaded else 0

    def _claim(self, recipe_id: int, room: int) -> None:
        loaded = self._recipe(recipe_id)
        if loaded is None:
            return
        claimed = self._writer.call(
            lambda connection: runs.claim(
                connection, recipe_id, room, serial=loaded.recipe.concurrency == 1, owner=self._owner,
                now=dt.datetime.now(dt.UTC),
            )
        )
        with self._lock:
            self._running[recipe_id] += len(claimed)
        for one in claimed:
            self._pool.submit(self._carry_out, one)

    def _carry_out(self, claimed: Claimed) -> None:
        try:
            self._run(claimed)
        except Exception:
            _log.exception("version %s broke off", claimed.token.version_id)
            self._give_back(claimed)
        finally:
            with self._lock:
                self._running[claimed.recipe_id] -= 1
            self._wake.set()

    def _give_back(self, claimed: Claimed) -> None:
        # Left running it would wait for the next start; it goes on as after a crash, and not for ever.
        try:
            self._writer.call(lambda connection: runs.take_back(connection, claimed.token, dt.datetime.now(dt.UTC)))
        except Exception:
            _log.exception("version %s cannot be taken back before the next start", claimed.token.version_id)
