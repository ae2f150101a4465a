"""The report on a real store, run without a terminal: what is on its screen, and what others do to the store."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

from piloted import Seen

from core.automation import EngineState
from core.batches import Batch
from core.reruns import Plan, Rerun, Selection
from core.selection import WHOLE, How
from core.settings import Settings
from data.database import Database, sqlite_url
from data.job_records import Job, JobFilter, Refusal, Sort
from data.records import RecipeState
from data.report import Report
from data.states import Status
from tui.app import JobdeckApp
from tui.widgets.job_table import JobTable

JOBS = 3_000
FAILED = JobFilter(statuses=frozenset({Status.FAILED}))


class Stub:
    """What the report asks of the core, on a real store."""

    def __init__(self, path: Path) -> None:
        self.workspace = path.parent
        self.settings = Settings()
        self.database = Database(sqlite_url(path))
        self.planned: list[Selection] = []
        self.rerun_with: list[tuple[Selection, str | None]] = []

    def report(self, filter: JobFilter, sort: Sort) -> Report:
        return Report(self.database, filter, sort)

    def jobs(self, filter: JobFilter, sort: Sort, limit: int | None = None) -> Iterator[Job]:
        return self.report(filter, sort).iterate(limit)

    def changes(self) -> int:
        with self.database.read() as connection:
            return int(connection.exec_driver_sql("SELECT count(*) FROM audit").scalar_one())

    @property
    def batches(self) -> Stub:
        return self

    def all(self, limit: int) -> list[Batch]:
        return []

    def engine(self) -> EngineState:
        return EngineState(running=False)

    def recipes(self) -> list[RecipeState]:
        return []

    def plan(self, selection: Selection, how: How = WHOLE, *, digest: str | None = None) -> Plan:
        self.planned.append(selection)
        return Plan(selection, selection.ids or (1, 2, 3), (Refusal(7, "running", "7 is running"),), (), (), "digest")

    def rerun(
        self, selection: Selection, how: How = WHOLE, *, by: str, note: str | None = None, plan: str | None = None
    ) -> Rerun:
        self.rerun_with.append((selection, plan))
        return Rerun(selection.ids or (1, 2, 3), (Refusal(7, "running", "7 is running"),), None, "digest")


class Shown(Seen):
    """The running report."""

    @property
    def table(self) -> JobTable:
        return self.app.screen_stack[0].query_one(JobTable)

    @property
    def ids(self) -> list[int]:
        """The ids on the screen, from the top."""
        return [int(found[1]) for found in re.finditer(r"^[> ][* ] *(\d+) ", self.text(), re.MULTILINE)]

    @property
    def marked(self) -> list[int]:
        """The ids of the marked rows on the screen, from the top."""
        return [int(found[1]) for found in re.finditer(r"^[> ]\* *(\d+) ", self.text(), re.MULTILINE)]

    @property
    def cursor(self) -> tuple[int, int]:
        """The id under the cursor, and its line on the screen."""
        lines = self.text().splitlines()
        return next((int(line[2:].split()[0]), at) for at, line in enumerate(lines) if line.startswith(">"))

    async def cursor_on(self, job_id: int) -> None:
        await self.until(lambda: f">{job_id}" in re.sub(r"[ *]", "", self.text()), f"cursor on {job_id}")


@asynccontextmanager
async def running(stub: Stub, columns: int = 80, lines: int = 24) -> AsyncIterator[Shown]:
    app = JobdeckApp(stub)  # type: ignore[arg-type]
    async with app.run_test(size=(columns, lines)) as pilot:
        shown = Shown(app, pilot)  # type: ignore[arg-type]
        await shown.until(lambda: shown.table.total is not None and shown.table.everything is not None)
        yield shown


def order(stub: Stub, filter: JobFilter = JobFilter(), sort: Sort = Sort()) -> list[int]:  # noqa: B008
    return list(Report(stub.database, filter, sort).ids())


def change(path: Path, *statements: str) -> None:
    """Do what another process would; `Stub.changes` moves with it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("BEGIN IMMEDIATE")
        for statement in statements:
            raw.execute(statement)
        raw.execute("INSERT INTO audit (at, actor, action, subject) VALUES (0, '', '', '')")
        raw.execute("COMMIT")


def new_jobs(count: int, title: str = "new") -> list[str]:
    text = title.replace("'", "''")
    return [
        f"INSERT INTO jobs (recipe_id, event_key, title, received_at) "
        f"SELECT 1, 'key', '{text}', coalesce(max(received_at), 0) FROM jobs",
        "INSERT INTO versions (job_id, recipe_id, number, latest, status, mode, requested_by, requested_at, "
        "priority, attempt) SELECT max(id), 1, 1, 1, 'canceled', 'first', 'engine', 0, 0, 0 FROM jobs",
    ] * count
