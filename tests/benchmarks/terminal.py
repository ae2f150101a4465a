"""Measures the terminal UI in a pty and prints each figure beside its budget; exit status 1 if one is missed.

`python -m tests.benchmarks.terminal [WORKSPACE] [--jobs N]`: the workspace is made if it is not there. Bytes that keys
write; how soon a slow line catches up with held keys; key to paint beside what SQLite alone needs for the same rows;
how long the event loop was held; memory beside that for 10,000 jobs; the start beside a Textual application that shows
one label. Times are of this machine: run it on one that does nothing else.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1] / "tui"))

import budgets
from terminal import Link, Terminal, jobdeck

from tests.benchmarks.generate import make
from tests.benchmarks.report import FILTERS, LIMIT_MS, measure, sqlite_alone
from tui import views

FRAMES_MS = 33.0
"""Two frames, by which a key may be painted later than SQLite alone needs."""
GROWTH = 1.3
SMALL = 10_000
KEYS, RATE = 60, 20
LINKS = (
    ("4 kB/s, 150 ms", Link(4_000, 0.075), 1.0),
    ("1.2 kB/s, 600 ms", Link(1_200, 0.3), 3.0),
    ("50 kB/s, 250 ms", Link(50_000, 0.125), 1.0),
)
"""Slow lines with the time of a round trip, and the seconds in which the screen has to catch up."""
STARTS = 21
ROUNDS = 3
LABEL = """
from textual.app import App
from textual.widgets import Label
class One(App):
    def compose(self):
        yield Label("one label")
One().run(mouse=False)
"""
UNINDEXED = ("text ", "by title", "by duration_ms", "sort error", "open")
"""Operations without a budget of time: no index covers them, or another figure is about them."""


@dataclass(frozen=True, slots=True)
class Figure:
    """Something measured, and the most that it may be; None where there is no budget."""

    name: str
    value: float
    budget: float | None
    unit: str
    beside: str = ""

    @property
    def missed(self) -> bool:
        """Whether it is over its budget."""
        return self.budget is not None and self.value > self.budget


def written(workspace: Path, jobs: int) -> Iterator[Figure]:
    """Yield the bytes that keys write."""
    with jobdeck(workspace) as terminal:
        _ready(terminal, jobs)
        spent = budgets.spent(terminal)
    for name, number in spent.items():
        yield Figure(name, number, budgets.BYTES[name], "B")


def caught_up(workspace: Path, jobs: int) -> Iterator[Figure]:
    """Yield how soon the screen shows the last of keys that were held, over slow lines."""
    for name, link, budget in LINKS:
        for draw in ("paced", "diff"):
            with jobdeck(workspace, link=link, JOBDECK_DRAW=draw) as terminal:
                _ready(terminal, jobs)
                before, began = len(terminal.received), time.monotonic()
                for number in range(1, KEYS + 1):
                    terminal.send("j")
                    time.sleep(max(began + number / RATE - time.monotonic(), 0))
                last = time.monotonic()
                terminal.wait_for(f"\n>{jobs - KEYS:>9} ", 120)
                late = time.monotonic() - last
                terminal.wait_until_quiet(1.0, 60)
                told = f"{len(terminal.received) - before:,} B"
            yield Figure(f"{name}, {draw}", late, budget if draw == "paced" else None, "s", told)


def painted(workspace: Path) -> Iterator[Figure]:
    """Yield from each key to the rows painted, what of it is over what SQLite alone needs, and the longest block.

    The least of some rounds, for a machine has other work; what no index covers is measured once.
    """
    timings = measure(workspace)
    indexed = [name for name in FILTERS if not name.startswith(UNINDEXED)]
    again = [timing for _ in range(1, ROUNDS) for timing in measure(workspace, indexed)]
    for timing in timings:
        timing.painted = min([timing.painted, *(other.painted for other in again if other.name == timing.name)])
        alone = sqlite_alone(workspace / ".jobdeck" / "jobdeck.db", timing)
        bound = not any(part in timing.name for part in UNINDEXED)
        beside = f"painted {timing.painted:,.1f} ms, SQLite alone {alone:,.2f} ms"
        yield Figure(timing.name.strip(), timing.painted - alone, FRAMES_MS if bound else None, "ms", beside)
    yield Figure("the event loop was held", max(timing.blocked for timing in timings + again), LIMIT_MS, "ms")


def memory(workspace: Path, jobs: int) -> Iterator[Figure]:
    """Yield the memory after the report's end was seen, beside that with few jobs."""
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder) / "workspace", SMALL)
        few = _resident(Path(folder) / "workspace", SMALL)
    many = _resident(workspace, jobs)
    yield Figure("memory", many / few, GROWTH, "times", f"{many / 1e6:,.1f} MB, {few / 1e6:,.1f} MB at {SMALL:,} jobs")


def started(workspace: Path, jobs: int) -> Iterator[Figure]:
    """Yield the time from the start to the first row, beside that of a label alone; the medians of some by turns."""
    with tempfile.TemporaryDirectory() as compiled:
        # As installed: all of it compiled by the first of the starts, whatever the caller's environment says.
        environment = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": compiled}
        argv = [sys.executable, "-c", "from tui.main import main; main()"]
        environment["JOBDECK_WORKSPACE"] = str(workspace)
        labels, rows = [], []
        for _ in range(1 + STARTS):
            labels.append(_seconds([sys.executable, "-c", LABEL], "one label", environment))
            rows.append(_seconds(argv, f"{jobs} ", environment))
        label, row = median(labels[1:]), median(rows[1:])
    beside = f"{row * 1e3:,.0f} ms, a label {label * 1e3:,.0f} ms"
    yield Figure("start to first row", row / label, GROWTH, "times", beside)


def _ready(terminal: Terminal, jobs: int) -> None:
    terminal.wait_for(f"{jobs:,} jobs", 120)
    terminal.wait_for("no engine", 120)
    terminal.wait_until_quiet(1.0, 60)


def _seconds(argv: list[str], text: str, environment: dict[str, str]) -> float:
    began = time.monotonic()
    with Terminal(argv, environment=environment) as terminal:
        terminal.wait_for(text, 60)
        return time.monotonic() - began


def _resident(workspace: Path, jobs: int) -> int:
    with jobdeck(workspace) as terminal:
        _ready(terminal, jobs)
        for key in ("G", "\x1b[5~", "g"):
            terminal.written_by(key)
        status = Path(f"/proc/{terminal.process.pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS"))


def show(title: str, figures: Iterator[Figure]) -> int:
    """Print figures as they come; return how many are over their budgets."""
    print(f"\n{title:34} {'measured':>12} {'budget':>10}")
    missed = 0
    for figure in figures:
        form = ",.0f" if figure.unit == "B" else ",.2f"
        budget = "" if figure.budget is None else f"{figure.budget:{form}}"
        mark = "MISSED" if figure.missed else ""
        measured = f"{figure.name:34} {figure.value:>9{form}} {figure.unit:5} {budget:>7}"
        print(f"{measured} {mark:7} {figure.beside}", flush=True)
        missed += figure.missed
    return missed


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.terminal", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path, nargs="?")
    parser.add_argument("--jobs", type=int, default=1_000_000, help="how many jobs are in the workspace, or are made")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace = arguments.workspace or Path(folder) / "workspace"
        if not (workspace / ".jobdeck").exists():
            make(workspace, arguments.jobs)
        missed = 0
        for title, figures in (
            ("bytes", written(workspace, arguments.jobs)),
            (f"{KEYS} keys, {RATE} a second", caught_up(workspace, arguments.jobs)),
            ("over SQLite alone", painted(workspace)),
            ("memory", memory(workspace, arguments.jobs)),
            ("start", started(workspace, arguments.jobs)),
        ):
            # As at a first start, whatever was looked at before.
            views.forget(workspace)
            missed += show(title, figures)
    if missed:
        sys.exit(f"\n{missed} of the budgets are missed")


if __name__ == "__main__":
    main()
