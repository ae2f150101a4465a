"""Dispatch on one machine: the queued versions in the store are the queue, threads of this process run them."""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from core.errors import StoreError
from core.library import Loaded
from data import batches, calls, runs
from data.database import Database
from data.runs import Claimed, Progress, Settled, Token
from data.states import Status
from data.writer import Writer

LOOK_EVERY_S = 0.05
"""How soon a version that another process queued is seen."""

GATHER_S = 0.003
"""How long a busy dispatcher lets more slots come free before it claims."""

_log = logging.getLogger(__name__)


class EmbeddedDispatcher:
    """Claims queued versions while slots are free and hands each to a thread."""

    def __init__(
        self, database: Database, writer: Writer, owner: str, slots: int, recipe: Callable[[int], Loaded | None],
        run: Callable[[Claimed, bool], int | None], give_up: Callable[[Token], None],
        feed: Callable[[], float | None] = lambda: None,
    ) -> None:
        """`recipe` gives what a recipe's id would run now.

        `run` carries out a claimed version, the second time resumed, and returns which version it waits for, if any;
        `give_up` ends such a run as soon as it can be.
        `feed` lets more versions be claimed, and returns in how many seconds it wants to be asked again at the latest.
        """
        self._database = database
        self._writer = writer
        self._owner = owner
        self._slots = slots
        self._recipe = recipe
        self._run = run
        self._give_up = give_up
        self._feed = feed
        self._feed_at = float("inf")
        self._turns: Counter[int] = Counter()
        self._holders: dict[Token, int] = {}
        self._busy = 0
        self._parked: list[tuple[Claimed, int]] = []
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(slots, "slot")
        self._seen = -1
        self._judged = -1
        self._judge_at = 0.0
        self._thread = threading.Thread(target=self._serve, name="dispatch", daemon=True)

    def start(self) -> None:
        """Begin to claim."""
        self._thread.start()

    def claim_no_more(self) -> None:
        """Begin nothing more; what runs goes on."""
        self._stopping.set()
        self._wake.set()

    def stop(self) -> None:
        """Claim nothing more and return when all that runs has settled."""
        self.claim_no_more()
        # An engine that could not start has no thread to wait for.
        if self._thread.ident is not None:
            self._thread.join()
        self._pool.shutdown(wait=True)
        self._unpark()

    def wake(self) -> None:
        """Look at once: something was queued."""
        self._wake.set()

    @property
    def alive(self) -> bool:
        """Whether it claims."""
        return self._thread.is_alive()

    @property
    def running(self) -> int:
        """How many versions run now, those that wait for a child left out."""
        return self._busy

    def idle(self) -> bool:
        """Whether nothing runs and nothing is queued; a version that waits for a child in doubt is idle too."""
        # Under the lock no claim begins, and one under way has reserved its room: nothing falls between the looks.
        with self._lock:
            if self._busy:
                return False
            with self._database.read() as connection:
                if runs.any_queued(connection) or batches.any_under_way(connection):
                    return False
                return not calls.ended(connection, [child for _, child in self._parked])

    def _serve(self) -> None:
        # What runs while the engine stops can be canceled still.
        while self._busy or not self._stopping.is_set():
            try:
                if self._moved():
                    self._go_on()
                self._see_canceled()
            except StoreError as error:
                _log.warning("cannot claim: %s", error)
                self._stopping.wait(1)
            except Exception:
                # Without this thread the engine would seem to live and run nothing.
                _log.exception("cannot claim")
                self._stopping.wait(1)
            self._wake.wait(min(LOOK_EVERY_S, max(self._feed_at - time.monotonic(), 0)))
            if self._busy > self._slots // 2:
                # Slots come free one by one; claimed a few at a time they share a transaction.
                self._stopping.wait(GATHER_S)

    def _go_on(self) -> None:
        """Begin what can begin, unless it is to begin nothing more."""
        self._feed_at = float("inf")
        if self._stopping.is_set():
            return
        self._resume()
        due = self._feed()
        if due is not None:
            self._feed_at = time.monotonic() + due
        self._fill()

    def _moved(self) -> bool:
        """Whether anything may have been queued or let go, or a slot may have come free, since the last look."""
        woken = self._wake.is_set() or time.monotonic() >= self._feed_at
        self._wake.clear()
        seen = self._database.data_version()
        moved = woken or seen != self._seen
        self._seen = seen
        return moved

    def _see_canceled(self) -> None:
        """Tell the runs whose version was canceled, or asked to end; one canceled gives its recipe's turn back now.

        A busy engine's own writes move the store all the time: it is looked at no more often than an idle one's.
        """
        if self._judged == self._seen or time.monotonic() < self._judge_at:
            return
        seen, self._judge_at = self._seen, time.monotonic() + LOOK_EVERY_S
        with self._lock:
            holders = list(self._holders)
        with self._database.read() as connection:
            held = runs.holding(connection, self._owner)
        self._judged = seen
        for token in holders:
            if token not in held or held[token] is not None:
                self._give_up(token)
        with self._lock:
            for token in holders:
                if token not in held:
                    self._end_turn(token)
            self._parked = [one for one in self._parked if one[0].token in self._holders]

    def _end_turn(self, token: Token) -> None:
        """Give a version's turn back to its recipe, once."""
        recipe_id = self._holders.pop(token, None)
        if recipe_id is not None:
            self._turns[recipe_id] -= 1
            self._wake.set()

    def _resume(self) -> None:
        """Go on with the versions whose children have ended; they kept their recipe's turn, not their slot."""
        if not self._parked:
            return
        with self._database.read() as connection:
            ended = calls.ended(connection, [child for _, child in self._parked])
        with self._lock:
            ready = [one for one in self._parked if one[1] in ended][: self._slots - self._busy]
            self._parked = [one for one in self._parked if one not in ready]
            self._busy += len(ready)
        for claimed, _ in ready:
            self._pool.submit(self._carry_out, claimed, True)

    def _fill(self) -> None:
        with self._database.read() as connection:
            waiting = runs.waiting_recipes(connection)
        # The most urgent of all recipes first: a bulk rerun of one must not take the slots of another's new events.
        for least in sorted({priority for priority, _ in waiting}, reverse=True):
            for priority, recipe_id in waiting:
                loaded = self._recipe(recipe_id)
                if loaded is not None and priority >= least and not self._stopping.is_set():
                    self._claim(loaded, least)

    def _claim(self, loaded: Loaded, least: int) -> None:
        recipe_id, concurrency = loaded.state.id, loaded.recipe.concurrency
        with self._lock:
            room = min(self._slots - self._busy, concurrency - self._turns[recipe_id])
            if room <= 0:
                return
            self._busy += room
            self._turns[recipe_id] += room
        claimed: list[Claimed] = []
        try:
            claimed = self._writer.call(
                lambda connection: runs.claim(
                    connection, recipe_id, room, least=least, serial=concurrency == 1, owner=self._owner,
                    now=dt.datetime.now(dt.UTC),
                )
            )
        finally:
            with self._lock:
                self._busy -= room - len(claimed)
                self._turns[recipe_id] -= room - len(claimed)
                self._holders |= {one.token: recipe_id for one in claimed}
        for one in claimed:
            self._pool.submit(self._carry_out, one)

    def _carry_out(self, claimed: Claimed, resumed: bool = False) -> None:
        waits_for = None
        try:
            waits_for = self._run(claimed, resumed)
        except Exception:
            _log.exception("version %s broke off", claimed.token.version_id)
            self._give_back(claimed)
        finally:
            with self._lock:
                self._busy -= 1
                if waits_for is None:
                    self._end_turn(claimed.token)
                elif claimed.token in self._holders:
                    self._parked.append((claimed, waits_for))
            self._wake.set()

    def _give_back(self, claimed: Claimed) -> None:
        # Left running it would wait for the next start; it goes on as after a crash, and not for ever.
        try:
            self._writer.call(lambda connection: runs.take_back(connection, claimed.token, dt.datetime.now(dt.UTC)))
        except Exception:
            _log.exception("version %s cannot be taken back before the next start", claimed.token.version_id)

    def _unpark(self) -> None:
        """Queue the versions that wait for children again: the next engine takes them up."""
        now = dt.datetime.now(dt.UTC)
        for claimed, _ in self._parked:
            self._writer.record(Progress(claimed.token, (), Settled(Status.QUEUED, now, 0)))
