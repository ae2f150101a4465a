"""A workspace that is being opened: its report's first rows are there before what does all else is loaded."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import JobdeckError
from data.records import Job, JobFilter, Sort, Stopped
from data.states import Status

if TYPE_CHECKING:
    from core.automation import Automation, Report

PATIENCE_S = 2.0
"""How long loading waits for the first rows, which it would hold up."""
PAINT_S = 0.1
"""How long it then waits for them to be painted."""


class Opening:
    """An automation to be: one for whoever asks it for more than `workspace` and `report`, once it is loaded.

    The first rows come from a process of its own, which loads nothing but what reads them, beside this one, which
    meanwhile loads what paints them. Every method may be called from any thread; `report` does not wait.
    """

    def __init__(self, workspace: Path) -> None:
        """Begin to read."""
        self.workspace = workspace
        self.failure: JobdeckError | None = None
        """Why it cannot be opened."""
        self.failed: Callable[[], object] = lambda: None
        """Called when it cannot, in the thread that found out."""
        self._reader = Reader(workspace)
        self._lock = threading.Lock()
        self._automation: Automation | None = None

    def __enter__(self) -> Opening:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what was opened."""
        self._reader.close()
        with self._lock:
            if self._automation is not None:
                self._automation.close()

    def report(self, filter: JobFilter, sort: Sort) -> Report | EarlyReport:
        """Return a report to be read by position, for the terminal."""
        if self._automation is not None:
            return self._automation.report(filter, sort)
        return EarlyReport(self, self._reader, filter, sort)

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
        if self._reader.used.wait(PATIENCE_S):
            time.sleep(PAINT_S)
        # Here, because it loads the whole core, which takes longer than all that the first rows need.
        from core.automation import Automation

        try:
            automation = Automation(self.workspace)
        except JobdeckError as error:
            self.failure = error
            self.failed()
            raise
        self._reader.close()
        return automation

    def __getattr__(self, name: str) -> Any:
        return getattr(self.opened(), name)


class EarlyReport:
    """A report that was asked for while its workspace was being opened. Every method may be called from any thread."""

    def __init__(self, opening: Opening, reader: Reader, filter: JobFilter, sort: Sort) -> None:
        self.filter = filter
        self.sort = sort
        self._opening = opening
        self._reader = reader
        self._lock = threading.Lock()
        self._report: Report | None = None
        self._stopped = False

    def stop(self) -> None:
        """Give the report up: a read under way, in another thread, and every later one raises Stopped."""
        self._stopped = True
        # It may be at a read that takes long; reports after this one wait for the automation.
        self._reader.close()
        if self._report is not None:
            self._report.stop()

    def rows(self, start: int, count: int) -> list[Job]:
        """See `Report`."""
        return self._read("rows", start, count)

    def near(self, job: Job, before: int, after: int, *, held: bool = False) -> tuple[list[Job], int]:
        """See `Report`."""
        return self._read("near", job, before, after, held=held)

    def job(self, job_id: int) -> Job | None:
        """See `Report`."""
        return self._read("job", job_id)

    def count(self) -> int:
        """See `Report`."""
        return self._whole().count()

    def has_more_than(self, number: int) -> bool:
        """See `Report`."""
        return self._whole().has_more_than(number)

    def position(self, job_id: int) -> int | None:
        """See `Report`."""
        return self._whole().position(job_id)

    def statuses(self) -> dict[Status, int]:
        """See `Report`."""
        return self._whole().statuses()

    def ids(self) -> Iterator[int]:
        """See `Report`."""
        return self._whole().ids()

    def iterate(self, limit: int | None = None) -> Iterator[Job]:
        """See `Report`."""
        return self._whole().iterate(limit)

    def collect_anchors(self, stop: Callable[[], bool]) -> None:
        """See `Report`."""
        self._whole().collect_anchors(stop)

    def _read(self, method: str, *args: Any, **named: Any) -> Any:
        """Read in the other process as long as only that can, else here."""
        if not self._opening.ready and not self._stopped:
            with suppress(Silent):
                return self._reader.ask(self.filter, self.sort, method, args, named)
        return getattr(self._whole(), method)(*args, **named)

    def _whole(self) -> Report:
        """Return the report itself, as soon as the workspace is open; raises Stopped, WorkspaceError, StoreError."""
        automation = self._opening.opened()
        with self._lock:
            if self._stopped:
                raise Stopped
            if self._report is None:
                self._report = automation.report(self.filter, self.sort)
            return self._report


class Silent(Exception):
    """The other process does not answer: it failed, or was ended."""


class Reader:
    """A process of `core.first_rows`."""

    def __init__(self, workspace: Path) -> None:
        self.used = threading.Event()
        """Set once it has answered, or never will."""
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "core.first_rows", str(workspace)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )

    def ask(self, filter: JobFilter, sort: Sort, method: str, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Return what a method of the report returns there; raises Silent.

        It may not know yet what `Report` fills in by the recipes: when data expires.
        """
        answers, questions = self._process.stdout, self._process.stdin
        assert answers is not None
        assert questions is not None
        try:
            with self._lock:
                pickle.dump((filter, sort, method, args, named), questions)
                questions.flush()
                return pickle.load(answers)
        except (OSError, EOFError, ValueError, pickle.UnpicklingError) as error:
            raise Silent from error
        finally:
            self.used.set()

    def close(self) -> None:
        """End the process."""
        # It only reads, and what it would have migrated is undone by the store itself.
        self._process.kill()
        self._process.wait()
        self.used.set()
