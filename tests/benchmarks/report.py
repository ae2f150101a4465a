"""Times the jobs report over many jobs, on a pty: every sort, the end, filters; fails if the event loop was blocked.

`python tests/benchmarks/report.py [WORKSPACE] [--jobs N]`: the workspace is made if it is not there. Each line is one
operation: from the key to the rows painted, the longest that one callback held the event loop meanwhile, and what
SQLite alone needs for the statements that fetch the same rows. Exit status 1 if the loop was ever held over 50 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from asyncio import events
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

# Run as a file, only its own folder would be looked through.
sys.path.insert(0, str(Path(__file__).parents[2]))

from data.job_records import JobFilter, Sort
from data.report import Report, Store
from data.snapshots import Snapshots
from data.states import Status
from tests.benchmarks.generate import make
from tests.tui.terminal import Terminal
from tui import views

LIMIT_MS = 50.0
SCREEN = 20
DEADLINE = 600.0
BEAT = 0.001
"""Seconds after which the loop is due again."""
LONG = 1.0
"""Seconds of SQLite alone that are measured once."""


@dataclass
class Timing:
    """One operation, in milliseconds."""

    name: str
    painted: float
    blocked: float
    filter: str
    sort: tuple[str, bool]
    top: int | None
    """The id of the job in the first row that is shown then."""


class Longest:
    """How long the event loop was held by one callback, or with `beat` by a thread too, at the most."""

    def __init__(self) -> None:
        self.seconds = 0.0
        run = events.Handle._run

        def timed(handle: events.Handle) -> None:
            began = time.perf_counter()
            run(handle)
            self.seconds = max(self.seconds, time.perf_counter() - began)

        events.Handle._run = timed  # type: ignore[method-assign]

    async def beat(self) -> None:
        """Notice how late the loop comes to what is due: a thread may hold the interpreter for as long as it works."""
        while True:
            due = time.perf_counter() + BEAT
            await asyncio.sleep(BEAT)
            self.seconds = max(self.seconds, time.perf_counter() - due)

    def taken(self) -> float:
        """Return the longest since the last call, in milliseconds."""
        longest, self.seconds = self.seconds, 0.0
        return longest * 1000


def drive(workspace: Path, result: Path, began: float, filters: Sequence[str]) -> None:
    """Run the terminal on this process's terminal, do every operation, and write the timings."""
    longest = Longest()
    from core.automation import Automation
    from tui.app import JobdeckApp
    from tui.columns import COLUMNS
    from tui.marks import Marks
    from tui.widgets.job_table import JobTable

    class Timed(JobdeckApp):
        displayed = 0.0

        def _display(self, screen: Any, renderable: Any) -> None:
            super()._display(screen, renderable)
            if renderable is not None:
                self.displayed = time.perf_counter()

        def on_mount(self) -> None:
            super().on_mount()
            self.run_worker(self._measure(), exit_on_error=True)

        async def _measure(self) -> None:
            timings = []
            table = await self._first_rows()
            opened = (time.time() - began) * 1000
            timings.append(Timing("open", opened, longest.taken(), "", ("received_at", True), None))
            await self._until(lambda: table.total is not None and table.everything is not None)
            for name, key in (("down", "j"), ("page down", "pagedown"), ("end", "G"), ("page up", "pageup"),
                              ("top", "g")):
                timings.append(await self._key(name, table, key))
            for column in COLUMNS:
                if column.sort:
                    timings.append(await self._view(f"sort {column.id}", table, sort=Sort(column.sort)))
                    timings.append(await self._key(f"  {column.id}: end", table, "G"))
                    timings.append(await self._key(f"  {column.id}: top", table, "g"))
            for name in filters:
                for sort in (Sort(), Sort("title", False), Sort("duration_ms")):
                    timings.append(await self._view(f"{name} by {sort.column}", table, name, sort))
                if name in MARKED:
                    timings.append(await self._timed(
                        f"  {name}: mark all", table, lambda: self.simulate_key("asterisk"),
                        lambda: table.marks.filter is not None, name,
                    ))  # fmt: skip
                    await self._until(lambda: table.marked is not None and table.outside is not None)
                    table.set_marks(Marks())
            result.write_text(json.dumps([asdict(timing) for timing in timings]))
            self.exit()

        async def _first_rows(self) -> JobTable:
            await self._until(lambda: self.screen.query(JobTable))
            table = self.screen.query_one(JobTable)
            await self._until(lambda: table.current is not None)
            await self._painted(time.perf_counter())
            return table

        async def _key(self, name: str, table: JobTable, key: str) -> Timing:
            before = table.current
            return await self._timed(name, table, lambda: self.simulate_key(key), lambda: table.current != before)

        async def _view(self, name: str, table: JobTable, filter: str = "", sort: Sort = Sort()) -> Timing:  # noqa: B008
            before = table._report

            def there() -> bool:
                return table._report is not before and table._window.report is table._report

            def change() -> None:
                table.change(FILTERS.get(filter, JobFilter()), sort)

            timing = await self._timed(name, table, change, there, filter)
            await self._until(lambda: table.total is not None)
            timing.blocked = max(timing.blocked, longest.taken())
            return timing

        async def _timed(
            self, name: str, table: JobTable, act: Callable[[], object], there: Callable[[], bool], filter: str = ""
        ) -> Timing:
            # What the last operation left behind is not to be counted to this one.
            await self._until(lambda: table._wanted is None and not table._reading and not table._lock.locked())
            await self._until(self._nothing_to_paint)
            longest.taken()
            start = time.perf_counter()
            act()
            await self._until(there)
            taken = (max(await self._painted(time.perf_counter()), start) - start) * 1000
            return Timing(name, taken, longest.taken(), filter, (table.sort.column, table.sort.descending),
                          getattr(table._window.at(table._top), "id", None))

        async def _painted(self, since: float) -> float:
            await self._until(lambda: self.displayed >= since or self._nothing_to_paint())
            return self.displayed

        def _nothing_to_paint(self) -> bool:
            """Return whether what is there is on the screen already: the same rows, or none."""
            screen, table = self.screen, self.screen.query_one(JobTable)
            waiting = screen._dirty_widgets or screen._layout_required or table._repaint_required
            return not waiting and screen._message_queue.empty() and table._message_queue.empty()

        async def _until(self, condition: Callable[[], object]) -> None:
            deadline = time.perf_counter() + DEADLINE
            while not condition():
                if time.perf_counter() > deadline:
                    raise TimeoutError("an operation of the benchmark never ended")
                await asyncio.sleep(0.0005)

    # As the start does: until all is loaded, a collection would hold up the loop.
    gc.disable()
    with Automation(workspace) as automation:
        Timed(automation).run(mouse=False)


FILTERS = {
    "failed": JobFilter(statuses=frozenset({Status.FAILED})),
    "recipe leads": JobFilter(recipe="leads"),
    "failed leads": JobFilter(recipe="leads", statuses=frozenset({Status.FAILED})),
    "text harbor": JobFilter(search="harbor"),
    "text not there": JobFilter(search="no job has this"),
}


MARKED = ("failed", "failed leads")


class Noted:
    """A store that remembers which statements were asked of it, with their values."""

    def __init__(self, store: Store) -> None:
        self.sent: list[tuple[str, Any]] = []
        self._store = store
        self._connection: Any = None

    @contextmanager
    def snapshot(self) -> Iterator[Any]:
        """Give a connection that remembers; one at a time."""
        with self._store.snapshot() as self._connection:
            yield self

    def execute(self, sql: str, values: Any = ()) -> sqlite3.Cursor:
        """Remember a statement, and run it."""
        self.sent.append((sql, values))
        return self._connection.execute(sql, values)

    def set_progress_handler(self, *arguments: Any) -> None:
        """As the connection does."""
        self._connection.set_progress_handler(*arguments)


def sqlite_alone(database: Path, timing: Timing) -> float:
    """Return the milliseconds that SQLite needs for the statements that fetch the rows shown after an operation."""
    store = Noted(Snapshots(database))
    report = Report(store, FILTERS.get(timing.filter, JobFilter()), Sort(*timing.sort))
    job = None if timing.top is None else report.job(timing.top)
    store.sent.clear()
    if job is None:
        report.rows(0, SCREEN)
    else:
        report.near(job, 0, SCREEN)
    with closing(sqlite3.connect(database)) as raw:
        best = float("inf")
        for _ in range(3):
            began = time.perf_counter()
            for sql, values in store.sent:
                raw.execute(sql, values).fetchall()
            best = min(best, time.perf_counter() - began)
            if best > LONG:
                break
    return best * 1000


def measure(workspace: Path, filters: Sequence[str] = tuple(FILTERS)) -> list[Timing]:
    """Run `drive` in a process of its own on a pty and return its timings."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "timings.json"
        words = [str(workspace), "--drive", str(result), "--began", str(time.time()), "--filters", *filters]
        argv = [sys.executable, "-m", "tests.benchmarks.report", *words]
        # The view of a run before, which was its last operation.
        views.forget(workspace)
        with Terminal(argv) as terminal:
            try:
                status = terminal.process.wait(2 * DEADLINE)
            except subprocess.TimeoutExpired:
                status = None
            if status or not result.exists():
                sys.exit(f"the terminal ended with {status}; its screen was\n{terminal.text()}")
        return [Timing(**timing) for timing in json.loads(result.read_text())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path, nargs="?")
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--drive", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--began", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--filters", nargs="*", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.drive:
        drive(arguments.workspace, arguments.drive, arguments.began, arguments.filters)
        return
    with tempfile.TemporaryDirectory() as folder:
        workspace = arguments.workspace or Path(folder) / "workspace"
        if not (workspace / ".jobdeck").exists():
            make(workspace, arguments.jobs)
        longest = show(measure(workspace), workspace / ".jobdeck" / "jobdeck.db")
    if longest > LIMIT_MS:
        sys.exit(f"the event loop was blocked for {longest:.0f} ms; {LIMIT_MS:.0f} are allowed")


def show(timings: list[Timing], database: Path) -> float:
    """Print one line for each operation; return the longest block in milliseconds."""
    print(f"{'operation':32} {'painted':>10} {'blocked':>10} {'SQLite alone':>14}")
    for timing in timings:
        alone = sqlite_alone(database, timing)
        print(f"{timing.name:32} {timing.painted:7.1f} ms {timing.blocked:7.1f} ms {alone:11.2f} ms")
    longest = max(timing.blocked for timing in timings)
    print(f"{'longest block of the event loop':43} {longest:10.1f} ms")
    return longest


if __name__ == "__main__":
    main()
