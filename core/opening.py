"""A workspace that is being opened: its report can be read before what does all else is loaded."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import JobdeckError
from core.places import store_file
from data.job_records import Job, JobFilter, Sort
from data.report import Report, Store
from data.snapshots import SCHEMA, Snapshots

if TYPE_CHECKING:
    from core.automation import Automation

PATIENCE_S = 2.0
"""How long loading waits for the first rows, which it would hold up."""
PAINT_S = 0.1
"""How long it then waits for them to be painted."""


class Opening:
    """An automation to be: one for whoever asks it for more than `workspace` and `report`, once it is loaded.

    Reports read the store's file without it, unless that is of an older schema. Every method may be called from any
    thread; `report` does not wait.
    """

    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace
        self.failure: JobdeckError | None = None
        """Why it cannot be opened."""
        self.failed: Callable[[], object] = lambda: None
        """Called when it cannot, in the thread that found out."""
        self._early: Snapshots | None = None
        self._ahead: _Ahead | None = None
        self._read = threading.Event()
        self._lock = threading.Lock()
        self._automation: Automation | None = None

    def __enter__(self) -> Opening:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what was opened; a read under way is given up."""
        if self._ahead is not None:
            self._ahead.stop()
        if self._early is not None:
            self._early.close()
        with self._lock:
            if self._automation is not None:
                self._automation.close()

    def report(self, filter: JobFilter, sort: Sort) -> Report:
        """Return a report to be read by position, for the terminal."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None and (ahead.filter, ahead.sort) == (filter, sort):
            return ahead
        if self._automation is not None:
            return self._automation.report(filter, sort)
        return Report(self, filter, sort, self._told)

    def read_ahead(self, filter: JobFilter, sort: Sort, count: int) -> None:
        """Begin to read the first rows of the report that will be asked for first: at most `count`."""
        self._ahead = _Ahead(self, filter, sort, self._told, count)

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Give a connection that sees one state of the store; raises WorkspaceError or StoreError."""
        store = self._automation or self._readable() or self.opened()
        with store.snapshot() as connection:
            yield connection

    def _readable(self) -> Snapshots | None:
        """Return what reads the store's file, None where that is to be made, migrated or refused first."""
        try:
            if self._early is None and (file := store_file(self.workspace)) is not None:
                early = Snapshots(file)
                if early.schema() == SCHEMA:
                    self._early = early
        except JobdeckError:
            # Who opens it finds the same out, and tells it.
            pass
        if self._early is None:
            self._read.set()
        return self._early

    def _told(self, found: list[Job]) -> list[Job]:
        """Return the jobs with what recipes say of them, once those are read."""
        if self._ahead is None:
            # Else they are read ahead, and nobody shows them yet.
            self._read.set()
        return found if self._automation is None else self._automation.told(found)

    @property
    def ready(self) -> bool:
        """Whether it is opened."""
        return self._automation is not None

    def opened(self) -> Automation:
        """Return the automation, opened by the first who asks; raises WorkspaceError or StoreError."""
        with self._lock:
            if self._automation is None:
                self._automation = self._open()
            return self._automation

    def _open(self) -> Automation:
        if self.failure is not None:
            raise self.failure
        if self._read.wait(PATIENCE_S):
            time.sleep(PAINT_S)
        # Here, because it loads the whole core, which takes longer than all that the first rows need.
        from core.automation import Automation

        try:
            return Automation(self.workspace)
        except JobdeckError as error:
            self.failure = error
            self.failed()
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self.opened(), name)


class _Ahead(Report):
    """A report whose first rows are read before it is asked for them.

    Then it would wait for Python's lock at every row, while the event loop has the first screen to lay out.
    """

    def __init__(
        self, store: Store, filter: JobFilter, sort: Sort, complete: Callable[[list[Job]], list[Job]], count: int
    ) -> None:
        """Read at most `count` rows."""
        super().__init__(store, filter, sort, complete)
        self._count = count
        self._first: Future[list[Job]] | None = ThreadPoolExecutor(1).submit(super().rows, 0, count)

    def rows(self, start: int, count: int) -> list[Job]:
        """See `Report`."""
        first, self._first = self._first, None
        if first is None or start or count > self._count:
            return super().rows(start, count)
        return self._complete(first.result()[:count])
