"""Group commit: one thread writes for many, and many writes share one durable commit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection

from data import runs
from data.database import Database
from data.errors import StoreError

T = TypeVar("T")

MOST_AT_ONCE = 256
GATHER_S = 0.0015
"""How long a busy writer lets the threads that it has just woken ask again, so that they share the next commit."""
RETRY_AFTER_S = 0.5


@dataclass(frozen=True, slots=True)
class _Between(Generic[T]):
    """What is done between two transactions."""

    work: Callable[[], T]


class _Waiting(Generic[T]):
    """One write, and whoever waits for it. A bare lock is the cheapest way to wake a thread."""

    __slots__ = ("done", "error", "result", "work")

    def __init__(self, work: Callable[[Connection], T] | runs.Progress | _Between[T]) -> None:
        self.work = work
        self.result: Any = None
        self.error: BaseException | None = None
        self.done = threading.Lock()
        self.done.acquire()


class Writer:
    """Writes for every thread of one process, in the order in which they ask; safe to use from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queue: SimpleQueue[_Waiting[Any] | None] = SimpleQueue()
        self._closing = threading.Event()
        self._last = 0
        self._connection: Connection
        self._thread = threading.Thread(target=self._serve, name="writer", daemon=True)
        self._thread.start()

    def call(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction and return its result when it is durable; raises what it raises."""
        return self._wait(_Waiting(work))

    def between(self, work: Callable[[], T]) -> T:
        """Run `work` on the writer's thread while it has no transaction open; raises what it raises."""
        return self._wait(_Waiting(_Between(work)))

    def record(self, progress: runs.Progress) -> bool:
        """Write what a run has to say; False if its token was taken over, and nothing was written.

        While the database cannot be written, it waits: what the run did must be recorded.
        """
        return self._wait(_Waiting(progress))

    @property
    def alive(self) -> bool:
        """Whether the thread is there."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Finish what was asked for, then end the thread."""
        self._closing.set()
        self._queue.put(None)
        self._thread.join()

    def _wait(self, waiting: _Waiting[Any]) -> Any:
        self._queue.put(waiting)
        waiting.done.acquire()
        if waiting.error is not None:
            raise waiting.error
        return waiting.result

    def _serve(self) -> None:
        with self._database.writing() as self._connection:
            ended = False
            while not ended:
                first = self._queue.get()
                if first is None:
                    return
                batch, ended = self._drain(first)
                self._last = len(batch)
                self._write([one for one in batch if not isinstance(one.work, _Between)])
                for one in batch:
                    if isinstance(one.work, _Between):
                        self._step_between(one)

    def _drain(self, first: _Waiting[Any]) -> tuple[list[_Waiting[Any]], bool]:
        batch = [first]
        if self._last > 1:
            time.sleep(GATHER_S)
        try:
            while len(batch) < MOST_AT_ONCE:
                one = self._queue.get_nowait()
                if one is None:
                    return batch, True
                batch.append(one)
        except Empty:
            pass
        return batch, False

    def _step_between(self, one: _Waiting[Any]) -> None:
        step: Any = one.work
        try:
            one.result = step.work()
        except BaseException as error:
            one.error = error
        one.done.release()

    def _write(self, batch: list[_Waiting[Any]]) -> None:
        if not batch:
            return
        try:
            self._transact(batch)
        except BaseException as error:
            if len(batch) == 1:
                self._fail(batch[0], error)
            else:
                # One of them is wrong, or the database is: alone, each gets its own answer.
                for one in batch:
                    self._write([one])
            return
        for one in batch:
            one.done.release()

    def _transact(self, batch: list[_Waiting[Any]]) -> None:
        with self._database.write(self._connection) as connection:
            records = [one for one in batch if isinstance(one.work, runs.Progress)]
            if records:
                lost = runs.record(connection, [one.work for one in records])
                for one in records:
                    one.result = one.work.token.version_id not in lost
            for one in batch:
                if not isinstance(one.work, runs.Progress):
                    one.result = one.work(connection)

    def _fail(self, one: _Waiting[Any], error: BaseException) -> None:
        recorded = isinstance(one.work, runs.Progress) and isinstance(error, StoreError)
        if recorded and not self._closing.wait(RETRY_AFTER_S):
            self._queue.put(one)
            return
        one.error = error
        one.done.release()
