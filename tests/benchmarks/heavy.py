"""Times the screens with as much to show as they may meet, on a pty; fails if the event loop was blocked.

`python -m tests.benchmarks.heavy [--only WORD] [--rounds N]`: events of 20 MB in the job's detail (opened, folded,
searched, revealed, copied, paged, left), a comparison of thousands of lines, and the other screens full. Each line is
the longest that the event loop could do nothing else, be it held by a callback or by a thread that did not let go of
the interpreter: the least of some rounds, for a machine has other work. Exit status 1 if one was over 50 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from tests.benchmarks.generate import make
from tests.benchmarks.report import LIMIT_MS, Longest
from tests.tui.terminal import Terminal

SIZE = 20_000_000
"""Bytes of JSON of an event, or so."""
JOBS = 10_000
ROUNDS = 3
DEADLINE = 60.0
END = "the needle"
"""What a search looks for: it is the last thing in each event."""
RECIPE = "trigger: {manual.event: {}}\nsteps: [{id: keep, set: {kept: '{{ trigger }}'}}]\n"


def heavy_events() -> Iterator[tuple[str, Any]]:
    """Yield events with their names; each has a secret, and ends with the same text."""
    line = "A line of a long text, with [markup] and a \t tab.\n"
    head = {"password": "hunter2"}
    yield "a text", {**head, "body": line * (SIZE // len(line)) + END}
    yield "a wide text", {**head, "body": "🂡 Ærøskøbing 東京\n" * (SIZE // 60) + END}
    keys = {f"key {number}": "x" * 80 for number in range(200_000)}
    yield "keys", {**head, **keys, "last": END}
    yield "a list", {**head, "items": [*range(400_000), END]}
    rows = [{"id": number, "name": "x" * 20, "token": "t"} for number in range(400_000)]
    yield "rows with secrets", {**head, "items": [*rows, END]}
    deep: Any = END
    for level in range(180):
        deep = {"n": level, "text": "x" * (SIZE // 180), "in": [deep]}
    yield "deep", {**head, "deep": deep}


def prepare(workspace: Path) -> list[str]:
    """Make the workspace, its events run once and rerun; return the events' names, in the order of their jobs."""
    from core.automation import Automation
    from core.reruns import Selection

    with closing(sqlite3.connect(make(workspace, JOBS))) as connection:
        _fill(connection)
    (workspace / "recipes" / "heavy.yaml").write_text(RECIPE)
    (workspace / "recipes" / "long.yaml").write_text(_long_recipe(0))
    names = []
    with Automation(workspace) as automation:
        automation.recipes()
        (workspace / "recipes" / "long.yaml").write_text(_long_recipe(1))
        automation.recipes()
        for name, event in heavy_events():
            automation.send("heavy", [event], by="benchmark")
            names.append(name)
    _run_engine(workspace)
    with Automation(workspace) as automation:
        for number in range(1, len(names) + 1):
            automation.rerun(Selection(ids=(JOBS + number,)), by="benchmark")
    _run_engine(workspace)
    return names


def _run_engine(workspace: Path) -> None:
    argv = [sys.executable, "-c", "from tui.main import main; main()", "-w", str(workspace), "engine", "--until-idle"]
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, timeout=600)


def _long_recipe(revision: int) -> str:
    """Return a recipe near the greatest size that one may have, with hundreds of branches."""
    steps = [
        f"  - if: trigger.n > {number + revision * (number % 3)}\n    then: [{{set: {{text: '{'x' * 900}'}}}}]\n"
        for number in range(900)
    ]
    return "trigger: {manual.event: {}}\nsteps:\n" + "".join(steps)


def _fill(connection: sqlite3.Connection) -> None:
    """Give as many error groups, acts and results of a bulk rerun as the screens list, and end all jobs."""
    long = "hex(zeroblob(10000))"
    connection.execute("UPDATE versions SET status = 'failed', finished_at = requested_at"
                       " WHERE status IN ('queued', 'running', 'in_doubt')")
    connection.execute(
        f"UPDATE versions SET error_group = printf('%016x', id % 600), error_message = {long} || id % 600"
        " WHERE status = 'failed'"
    )
    connection.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)"
        " INSERT INTO audit (at, actor, action, subject, note)"
        f" SELECT i * 1000000, 'ada', 'rerun', {long}, {long} FROM n"
    )
    connection.execute(
        "INSERT INTO batches"
        ' (id, status, requested_by, requested_at, note, plan, mode, "order", resumed_at, finished_at)'
        f" VALUES (1, 'done', 'ada', 1, {long}, 'p', 'start', 'key', 1, 2)"
    )
    connection.execute(
        f"INSERT INTO batch_jobs (batch_id, job_id, code, message) SELECT 1, id, 'running', {long} FROM jobs"
    )
    connection.commit()


def drive(workspace: Path, result: Path, names: list[str], only: str) -> None:
    """Run the terminal on this process's terminal, do every operation, and write what it took."""
    longest = Longest()
    from core.automation import Automation
    from tui.app import JobdeckApp
    from tui.dialogs import ConfirmPanel
    from tui.screens.detail import DetailScreen
    from tui.screens.diff import DiffScreen
    from tui.screens.revision import RecipeDiffScreen, RevisionScreen
    from tui.widgets.diff_view import DiffView
    from tui.widgets.job_table import JobTable
    from tui.widgets.json_view import JsonView
    from tui.widgets.lines import TextLines
    from tui.widgets.text_diff import TextDiff

    class Timed(JobdeckApp):
        taken: dict[str, float]
        paged = 0
        doing = "the first rows"

        def on_mount(self) -> None:
            super().on_mount()
            self.taken = {}
            self.run_worker(longest.beat())
            self.run_worker(self._measure(), exit_on_error=True)

        def page(self, text: Any) -> None:
            # What follows leaves the terminal, and the loop, to the pager.
            self.paged += 1

        async def _measure(self) -> None:
            await self._until(lambda: self.screen.query(JobTable) and self.screen.query_one(JobTable).current)
            await self._until(lambda: self.screen.query_one(JobTable).total is not None)
            async with self._timed("nothing, 1 s"):
                await asyncio.sleep(1)
            for number, name in enumerate(names, 1):
                if only in name:
                    await self._detail(name, JOBS + number)
            if only in "screens":
                await self._screens()
            result.write_text(json.dumps(self.taken))
            self.exit()

        async def _detail(self, name: str, job: int) -> None:
            root = self.screen
            async with self._timed(f"{name}: open"):
                self.open_job(job)
                await self._until(lambda: isinstance(self.screen, DetailScreen) and self.screen.detail)
            screen, view = self.screen, self.screen.query_one(JsonView)
            assert isinstance(screen, DetailScreen)
            async with self._timed(f"{name}: its event"):
                self.simulate_key("g")
                await self._until(lambda: view.count() and view.json.sections[0].name == "trigger")
            self.simulate_key("tab")
            await self._until(lambda: view.has_focus)
            async with self._timed(f"{name}: open all"):
                self.simulate_key("+")
                await self._settled()
            async with self._timed(f"{name}: move, page, end"):
                for key in ("j", "pagedown", "G", "k", "g"):
                    self.simulate_key(key)
                    await self._settled()
            self.simulate_key("-")
            await self._settled()
            async with self._timed(f"{name}: expand"):
                for key in ("l", "G", "l", "G", "l", *["l"] * 100):
                    self.simulate_key(key)
                    await asyncio.sleep(0)
                await self._settled()
            async with self._timed(f"{name}: search"):
                self.run_worker(view.search(END))
                await self._until(lambda: END in self.said.text)
            async with self._timed(f"{name}: n, N"):
                for key in "nNnN":
                    self.simulate_key(key)
                    await self._settled()
            async with self._timed(f"{name}: search, many"):
                self.run_worker(view.search("e"))
                await self._until(lambda: "'e'" in self.said.text)
            async with self._timed(f"{name}: n, N, many"):
                for key in "NNNnnnn":
                    self.simulate_key(key)
                    await self._settled()
            self.simulate_key("-")
            await self._settled()
            async with self._timed(f"{name}: copy"):
                self.simulate_key("y")
                await self._until(lambda: "copied" in self.said.text)
            async with self._timed(f"{name}: pager"):
                self.paged = 0
                self.simulate_key("p")
                await self._until(lambda: self.paged)
            async with self._timed(f"{name}: copy menu"):
                self.simulate_key("Y")
                await self._until(lambda: self.screen.query(ConfirmPanel))
                await self._chosen("j")
                await self._until(lambda: "copied" in self.said.text)
            async with self._timed(f"{name}: reveal"):
                self.simulate_key("V")
                await self._until(lambda: self.screen.query(ConfirmPanel))
                await self._chosen("c")
                await self._until(lambda: screen._revealed)
                await self._settled()
            async with self._timed(f"{name}: read again"):
                self.simulate_key("ctrl+r")
                await self._settled(0.5)
            async with self._timed(f"{name}: version before"):
                screen.action_previous_version()
                await self._until(lambda: screen.version == 1)
                await self._settled()
            async with self._timed(f"{name}: leave"):
                self.pop_screen()
                await self._until(lambda: self.screen is root)
                await self._settled(0.5)
            async with self._timed(f"{name}: compare"):
                self.open_diff(job, ((job, 1), (job, 2)))
                await self._until(lambda: isinstance(self.screen, DiffScreen) and self.screen._diff)
            async with self._timed(f"{name}: compare, leave"):
                self.pop_screen()
                await self._settled(0.5)

        async def _screens(self) -> None:
            made = large_diff()
            async with self._timed("comparison: open"):
                self.open_diff(1, made=made)
                await self._until(lambda: isinstance(self.screen, DiffScreen))
                await self._until(lambda: self.screen.query(DiffView) and self.screen.query_one(DiffView).count())
            for key in ("+", "G", "g", "n", "N", "j", "l", "h", "-", "+", "ctrl+r"):
                async with self._timed(f"comparison: {key}"):
                    self.simulate_key(key)
                    await self._settled()
            async with self._timed("comparison: Y"):
                self.simulate_key("Y")
                await self._settled()
            self.simulate_key("escape")
            await self._settled()
            self.pop_screen()
            await self._settled()
            revisions = self.automation.revisions("long")
            for name, screen in (
                ("revision", RevisionScreen(revisions[0])), ("recipe's difference", RecipeDiffScreen("long", 1, 2)),
            ):
                async with self._timed(f"{name}: open"):
                    self.push_screen(screen)
                    await self._until(lambda: isinstance(self.screen.focused, (TextLines, TextDiff)))
                    await self._until(lambda: self.screen.focused.count() > 100)
                    await self._settled()
                for key in ("G", "g", "n", "N", "pagedown"):
                    async with self._timed(f"{name}: {key}"):
                        self.simulate_key(key)
                        await self._settled()
                self.pop_screen()
                await self._settled()
            for number in range(20_000):
                self.say(f"message {number} " + "x" * 2_000)
            for name, act, least in (
                ("messages", self.action_messages, 100), ("audit", self.action_audit, 900),
                ("help", self.action_help, 0), ("batch", lambda: self.push_screen(BatchScreen(1)), 1_000),
                ("recipe's coverage", lambda: self.push_screen(RecipeScreen("long")), 1_000),
                ("history", lambda: self.open_history(JOBS + 1), 1),
                ("errors", lambda: self.push_screen(ErrorsScreen()), 400),
            ):
                async with self._timed(f"{name}: open"):
                    act()
                    await self._settled()
                    lines = self.screen.query(TextLines).first()
                    await self._until(lambda lines=lines, least=least: lines.count() > least)
                    await self._settled()
                async with self._timed(f"{name}: G, g, page, read again"):
                    for key in ("G", "g", "pagedown", "ctrl+r"):
                        self.simulate_key(key)
                        await self._settled()
                    await self._settled(0.3)
                if name == "messages":
                    async with self._timed(f"{name}: another one"):
                        self.say("another")
                        await self._settled()
                self.pop_screen()
                await self._settled()
            async with self._timed("palette"):
                self.simulate_key("ctrl+p")
                await self._settled(0.3)
                for key in "copy":
                    self.simulate_key(key)
                    await self._settled()
                await self._settled(0.3)
            self.simulate_key("escape")
            await self._settled()

        @asynccontextmanager
        async def _timed(self, name: str) -> AsyncIterator[None]:
            await self._settled(0.2)
            self.said = type(self.said)("")
            await self._settled()
            longest.taken()
            self.doing = name
            yield
            await self._settled()
            self.taken[name] = longest.taken()

        async def _chosen(self, key: str) -> None:
            # What comes before the terminal has painted the panel is not taken for an answer to it.
            while self.screen.query(ConfirmPanel):
                self.simulate_key(key)
                await self._settled(0.1)

        async def _settled(self, quiet: float = 0.03) -> None:
            await asyncio.sleep(quiet)
            await self._until(lambda: self._message_queue.empty() and self.screen._message_queue.empty())

        async def _until(self, condition: Callable[[], object]) -> None:
            deadline = time.perf_counter() + DEADLINE
            while not condition():
                if time.perf_counter() > deadline:
                    raise TimeoutError(f"{self.doing} never ended")
                await asyncio.sleep(0.002)

    from tui.screens.batch import BatchScreen
    from tui.screens.errors import ErrorsScreen
    from tui.screens.recipe import RecipeScreen

    with Automation(workspace) as automation:
        app = Timed(automation)
        app.run(mouse=False)
    sys.exit(app.return_code)


def large_diff() -> Any:
    """Return a comparison of two runs of a thousand steps with thousands of differences, and of two long recipes."""
    import datetime as dt

    from core.diff import Place, Side, compare
    from data.records import Revision, StepRecord
    from data.states import Status, StepStatus

    at = dt.datetime(2026, 5, 4, tzinfo=dt.UTC)

    def side(run: int) -> Side:
        steps = tuple(
            StepRecord(
                path=f"1[{number}].1", id="send", status=StepStatus.SUCCEEDED, kind="action", action="log.write",
                has_input=True, index=(number,), input={f"field {field}": run * field for field in range(5)},
            )
            for number in range(1_500)
        )
        lines = [f"- {number} is {number * run % 7}\n" for number in range(4_000)]
        return Side(Place(f"1.{run}", 1, run, "long", Status.SUCCEEDED, run, at, "ada", None),
                    Revision(run, "long", run, "".join(lines), at), {"run": run}, steps)

    return compare(side(1), side(2))


def measure(workspace: Path, names: list[str], only: str) -> dict[str, float]:
    """Run `drive` in a process of its own on a pty and return the milliseconds of each operation."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "taken.json"
        argv = [sys.executable, "-m", "tests.benchmarks.heavy", str(workspace), "--drive", str(result), "--only", only]
        with Terminal([*argv, "--names", json.dumps(names)], environment={"XDG_RUNTIME_DIR": folder}) as terminal:
            try:
                status = terminal.process.wait(900)
            except subprocess.TimeoutExpired:
                status = None
            if status or not result.exists():
                sys.exit(f"the terminal ended with {status}; its screen was\n{terminal.text()}")
        return json.loads(result.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path, nargs="?")
    parser.add_argument("--only", default="", metavar="WORD", help="events whose name has this, or `screens`")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--drive", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--names", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.drive:
        drive(arguments.workspace, arguments.drive, arguments.names, arguments.only)
        return
    with tempfile.TemporaryDirectory() as folder:
        workspace = arguments.workspace or Path(folder) / "workspace"
        if not (workspace / ".jobdeck").exists():
            prepare(workspace)
        names = [name for name, _ in heavy_events()]
        rounds = [measure(workspace, names, arguments.only) for _ in range(arguments.rounds)]
    missed = show({name: min(taken[name] for taken in rounds) for name in rounds[0]})
    if missed:
        sys.exit(f"{missed} held the event loop for more than {LIMIT_MS:.0f} ms")


def show(taken: dict[str, float]) -> int:
    """Print one line for each operation; return how many are over the budget."""
    print(f"{'the event loop was blocked':40} {'measured':>11} {'budget':>8}")
    for name, blocked in taken.items():
        print(f"{name:40} {blocked:8.1f} ms {LIMIT_MS:5.0f} ms {'MISSED' if blocked > LIMIT_MS else ''}")
    return sum(blocked > LIMIT_MS for blocked in taken.values())


if __name__ == "__main__":
    main()
