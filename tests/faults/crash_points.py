"""Crashes scenarios at every durable write and every act of a step, one after the other, and checks what comes of it.

    python tests/faults/crash_points.py [--scenario NAME] [--json]

A write that is not committed and one that is, an act not begun and one that is done: each is a point. For n = 1, 2, 3 …
a process runs the scenario and dies at its n-th point; after some of them the next takes over and dies too, at a point
of its own; the one after that finishes. Doubts are settled by what the log outside says. Until n is beyond the last.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import shutil
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

# All that a run imports late: a child of a fork then finds it there.
import alembic.command
import alembic.config  # noqa: F401

from core.automation import Automation
from core.connectors.registry import actions
from core.reruns import Selection
from core.runner import Engine
from data.database import Database
from data.job_records import JobFilter, Sort
from data.records import JobDetail, StepRecord
from data.states import Status, StepStatus

DIED = 9
DEADLINE_S = 30.0
SECOND_EVERY = 10
"""After every so many points the process that takes over dies too: after each, it would take half as long again."""
SECOND_POINTS = 7
"""The second process dies at one of its first so many points."""

def _append(id: str, log: Path, *more: str, version: str = "{{ job.version }}", indent: int = 2) -> str:
    text = f"{{{{ job.id }}}} {version} {id}\\n"
    lines = [f"- id: {id}", "  action: files.append", f'  with: {{path: {log}, text: "{text}"}}']
    lines += [f"  {one}" for one in more]
    return "".join(" " * indent + line + "\n" for line in lines)


def _once(log: Path, indent: int = 2) -> str:
    # With the version in its input it would be another input in each version, and nothing to reuse.
    return _append("once", log, "once: true", version="any", indent=indent)


# Scenarios


@dataclass(frozen=True)
class Scenario:
    """Something to do on a workspace, again and again until it is done: whoever resends must not double."""

    recipes: Callable[[Path], dict[str, str]]
    """(the log outside) -> the recipes' texts by name; events are sent to `work`."""
    act: Callable[[Path], None]
    effects: dict[str, int]
    """What the log holds at the end: how often each `job version step`."""
    jobs: int = 1
    prepare: Callable[[Path], None] = lambda workspace: None
    fresh: bool = False
    """Whether the store is made within the scenario too."""
    repeated: frozenset[str] = frozenset()
    """Steps that each try of the monitor around them does again."""
    canceled: bool = False
    """Whether its job is canceled while a step of it writes: what follows need not happen then."""


def _run_engine(workspace: Path, *, poll_once: bool = False) -> None:
    engine = Engine(workspace, listens=False, polls=False)
    engine.start()
    if poll_once:
        engine.poll_once()
    deadline = time.monotonic() + DEADLINE_S
    pause = threading.Event()
    while not engine.idle():
        if time.monotonic() > deadline:
            raise TimeoutError("the engine did not become idle")
        pause.wait(0.002)
    engine.close()


def _send_and_run(workspace: Path) -> None:
    with Automation(workspace) as automation:
        automation.send("work", [{"number": 1}], key="trigger.number", by="test")
    _run_engine(workspace)


def _rerun_too(workspace: Path) -> None:
    _send_and_run(workspace)
    with Automation(workspace) as automation:
        if automation.job(1).versions > 1 or automation.job(1).status is Status.IN_DOUBT:
            return
        automation.rerun(Selection(ids=(1,)), by="test")
    _run_engine(workspace)


def _rerun_both(workspace: Path) -> None:
    with Automation(workspace) as automation:
        automation.send("work", [{"number": 1}, {"number": 2}], key="trigger.number", by="test")
    _run_engine(workspace)
    with Automation(workspace) as automation:
        doubted = any(automation.job(id).status is Status.IN_DOUBT for id in (1, 2))
        if not doubted and not automation.batches.all():
            automation.rerun(Selection(ids=(1, 2)), by="test")
    _run_engine(workspace)


def _cancel_while_it_writes(workspace: Path) -> None:
    append = actions()["files.append"]
    write = append.run

    def run(inputs: Any, call: Any) -> Any:
        output = write(inputs, call)
        with Automation(workspace) as automation:
            automation.cancel(Selection(ids=(1,)), by="test")
        return output

    object.__setattr__(append, "run", run)
    try:
        _send_and_run(workspace)
    finally:
        object.__setattr__(append, "run", write)


def _poll(workspace: Path) -> None:
    _run_engine(workspace, poll_once=True)


def _drop_files(workspace: Path) -> None:
    (workspace / "inbox").mkdir()
    long_ago = time.time() - 3600
    for name in ("a", "b"):
        path = workspace / "inbox" / f"{name}.csv"
        path.write_text(f"name\n{name}\n")
        os.utime(path, (long_ago, long_ago))


MANUAL = "trigger:\n  manual.event: {}\nsteps:\n"
READ = "  - id: look\n    action: files.read\n    with: {path: jobdeck.toml, parse: text}\n"
MISSING = "      - id: fails\n        action: files.read\n        with: {path: missing.txt, parse: text}\n"

def _three_steps(log: Path) -> dict[str, str]:
    return {"work": MANUAL + READ + _append("one", log) + _append("two", log)}


def _monitor(log: Path) -> dict[str, str]:
    body = _append("each", log, indent=6) + _once(log, 6) + MISSING
    handler = _append("tell", log, indent=6)
    retry = "    retry: {times: 1, wait: 10ms}\n    on_error:\n"
    return {"work": MANUAL + "  - monitor:\n" + body + retry + handler + _append("after", log)}


def _twice(log: Path) -> dict[str, str]:
    return {"work": MANUAL + _append("each", log) + _once(log)}


def _each(log: Path) -> dict[str, str]:
    return {"work": MANUAL + _append("each", log)}


def _folder(log: Path) -> dict[str, str]:
    return {"work": "trigger:\n  files.new: {path: inbox, glob: '*.csv', parse: csv}\nsteps:\n" + _append("one", log)}


def _caller(log: Path) -> dict[str, str]:
    work = MANUAL + "  - call: inner\n    with: {number: 1}\n" + _append("after", log)
    return {"work": work, "inner": MANUAL + _append("inner", log)}


def _calls_again(log: Path) -> dict[str, str]:
    called = "      - call: inner\n        with: {number: 1}\n"
    work = MANUAL + "  - monitor:\n" + called + MISSING + "    retry: {times: 1, wait: 10ms}\n"
    return {"work": work, "inner": MANUAL + _append("inner", log)}


SCENARIOS = {
    "three steps": Scenario(_three_steps, _send_and_run, {"1 1 one": 1, "1 1 two": 1}, fresh=True),
    "monitor with a retry": Scenario(
        _monitor, _send_and_run, {"1 1 each": 2, "1 any once": 1, "1 1 tell": 1, "1 1 after": 1},
        repeated=frozenset({"each"}),
    ),
    "rerun in place": Scenario(_twice, _rerun_too, {"1 1 each": 1, "1 any once": 1, "1 2 each": 1}),
    "a bulk rerun": Scenario(
        _each, _rerun_both, {f"{job} {version} each": 1 for job in (1, 2) for version in (1, 2)}, jobs=2
    ),
    "files that appear": Scenario(_folder, _poll, {"1 1 one": 1, "2 1 one": 1}, jobs=2, prepare=_drop_files),
    "canceled while it writes": Scenario(
        _three_steps, _cancel_while_it_writes, {"1 1 one": 1, "1 1 two": 1}, canceled=True
    ),
    "a called recipe": Scenario(_caller, _send_and_run, {"2 1 inner": 1, "1 1 after": 1}, jobs=2),
    "a called recipe with a retry": Scenario(
        _calls_again, _send_and_run, {"2 1 inner": 1, "2 2 inner": 1}, jobs=2
    ),
}  # fmt: skip


# Points


class Points:
    """Counts the points that this process meets, and dies at one of them."""

    def __init__(self, die_at: int | None, told: Path) -> None:
        self._die_at = die_at
        self._told = told
        self._met = 0
        self._lock = threading.Lock()

    def meet(self, name: str) -> None:
        """Die here, or go on."""
        with self._lock:
            self._met += 1
            if self._met == self._die_at:
                self._told.write_text(name)
                os._exit(DIED)

    def install(self) -> None:
        """Put a point in every write before its commit and after it, and before and after every act."""
        original = Database.write
        points = self

        @contextmanager
        def write(database: Database, kept: Any = None) -> Iterator[Any]:
            with original(database, kept) as connection:
                yield connection
                points.meet("before a commit")
            points.meet("after a commit")

        Database.write = write
        for action in actions().values():
            object.__setattr__(action, "run", self._surrounded(action.name, action.run))

    def _surrounded(self, name: str, run: Callable[..., Any]) -> Callable[..., Any]:
        def surrounded(inputs: Any, call: Any) -> Any:
            self.meet(f"before {name}")
            output = run(inputs, call)
            self.meet(f"after {name}")
            return output

        return surrounded


def in_child(work: Callable[[], None], die_at: int | None, folder: Path) -> bool:
    """Run `work` in a process of its own; return whether it died at its point. Raises RuntimeError where it fails."""
    told = folder / "died"
    told.unlink(missing_ok=True)
    # What is loaded stays: a child that collected would look through it all, and have its memory copied.
    gc.freeze()
    child = os.fork()
    if child == 0:
        _be_child(work, Points(die_at, told), folder / "child.out")
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status not in (0, DIED):
        raise RuntimeError(f"a process ended with {status}: {(folder / 'child.out').read_text()[-3000:]}")
    return status == DIED


def _be_child(work: Callable[[], None], points: Points, output: Path) -> None:
    status = 1
    gc.disable()
    try:
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        points.install()
        work()
        status = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)


# What became of it


@dataclass
class Explored:
    """What crashing at every point of a scenario came to."""

    points: int = 0
    crashes: int = 0
    happened: int = 0
    not_happened: int = 0
    violations: list[str] = field(default_factory=list)


def explore(scenario: Scenario, folder: Path) -> Explored:
    """Crash at each point of a scenario, once more at a point of the recovery, and check what the log outside says."""
    explored = Explored()
    template = folder / "template"
    _make(scenario, template)
    for n in count(1):
        place = folder / str(n)
        shutil.copytree(template, place)
        died = _crash(scenario, folder, place, n, explored)
        shutil.rmtree(place)
        if not died:
            return explored
    raise AssertionError("counting has no end")


def _crash(scenario: Scenario, folder: Path, place: Path, n: int, explored: Explored) -> bool:
    """Crash a scenario at its n-th point and add up what comes of it; return whether it has so many points."""
    # The recipe names its log, so that it is the same file for each copy of the workspace.
    log = folder / "effects.log"
    log.unlink(missing_ok=True)
    where = "no crash"

    def act() -> None:
        scenario.act(place / "deck")

    died = in_child(act, n, place)
    if died:
        where = f"point {n} ({(place / 'died').read_text()})"
        explored.points += 1
        explored.crashes += 1
        if n % SECOND_EVERY == 0:
            explored.crashes += in_child(act, 1 + n * 5 % SECOND_POINTS, place)
    try:
        in_child(lambda: _finish(scenario, place, log), None, place)
    except RuntimeError as error:
        explored.violations.append(f"{where}: {error}")
    else:
        _add_up(explored, place, where)
    return died


def _make(scenario: Scenario, template: Path) -> None:
    workspace = template / "deck"
    (workspace / "recipes").mkdir(parents=True)
    (workspace / "jobdeck.toml").write_text("")
    for name, text in scenario.recipes(template.parent / "effects.log").items():
        (workspace / "recipes" / f"{name}.yaml").write_text(text)
    scenario.prepare(workspace)
    if not scenario.fresh:
        in_child(lambda: _open(workspace), None, template)


def _open(workspace: Path) -> None:
    with Automation(workspace) as automation:
        assert automation.check() == []
        automation.recipes()


def _add_up(explored: Explored, place: Path, where: str) -> None:
    result = json.loads((place / "result.json").read_text())
    explored.happened += result["happened"]
    explored.not_happened += result["not_happened"]
    explored.violations += [f"{where}: {text}" for text in result["violations"]]


class Check:
    """Finishes a scenario in this process, and notes each doubt and each violation."""

    def __init__(self, scenario: Scenario, place: Path, log: Path) -> None:
        self._scenario = scenario
        self._workspace = place / "deck"
        self._log = log
        self.told: dict[str, Any] = {"happened": 0, "not_happened": 0, "violations": []}

    def finish(self) -> None:
        """Act until nothing is in doubt any more; then everything must stand, once."""
        for _ in range(10):
            self._scenario.act(self._workspace)
            self._compare()
            if not self._settle():
                break
        self._compare_end()

    def _lines(self) -> Counter[str]:
        return Counter(self._log.read_text().splitlines() if self._log.exists() else ())

    def _details(self, automation: Automation) -> Iterator[JobDetail]:
        for job in list(automation.jobs(JobFilter(), Sort("id", descending=False))):
            for number in range(1, job.versions + 1):
                yield automation.detail(job.id, number)

    def _completed(self, detail: JobDetail, step: StepRecord) -> int:
        """Return how often a step is recorded to have acted in tries before this one."""
        if step.id not in self._scenario.repeated:
            return 0
        outputs = [other.output for other in detail.steps if isinstance(other.output, dict)]
        return sum(len(output.get("tries", ())) for output in outputs)

    def _settle(self) -> bool:
        lines = self._lines()
        settled = False
        with Automation(self._workspace) as automation:
            for detail in list(self._details(automation)):
                for step in detail.steps:
                    if step.status is StepStatus.IN_DOUBT and detail.version.status is Status.IN_DOUBT:
                        happened = lines[_line(step)] > self._completed(detail, step)
                        automation.resolve(detail.job.id, step.path, happened=happened, by="test")
                        self.told["happened" if happened else "not_happened"] += 1
                        settled = True
        return settled

    def _compare(self) -> None:
        with Automation(self._workspace) as automation:
            details = list(self._details(automation))
        if len({detail.job.id for detail in details}) != self._scenario.jobs:
            self._violation(f"there are {len(details)} jobs")
        in_doubt = any(detail.version.status is Status.IN_DOUBT for detail in details)
        for detail in details:
            # A caller waits for its child in doubt.
            if detail.version.status in (Status.QUEUED, Status.RUNNING) and not in_doubt:
                self._violation(f"job {detail.job.id} is {detail.version.status.value} after the engine was idle")
        self._compare_effects(details)

    def _compare_effects(self, details: Iterable[JobDetail]) -> None:
        lines = self._lines()
        certain: Counter[str] = Counter()
        perhaps: Counter[str] = Counter()
        for detail in details:
            for step in detail.steps:
                if step.action == "files.append" and step.has_input:
                    certain[_line(step)] += self._completed(detail, step) + (step.status is StepStatus.SUCCEEDED)
                    perhaps[_line(step)] += step.status is StepStatus.IN_DOUBT
        for line in lines.keys() | certain.keys():
            if not certain[line] <= lines[line] <= certain[line] + perhaps[line]:
                recorded = f"{certain[line]} times, {perhaps[line]} in doubt"
                self._violation(f"`{line}` happened {lines[line]} times and is recorded {recorded}")
            if lines[line] > self._scenario.effects.get(line, 0):
                self._violation(f"`{line}` happened {lines[line]} times")

    def _compare_end(self) -> None:
        ends = {Status.SUCCEEDED}
        if self._scenario.canceled:
            ends.add(Status.CANCELED)
        elif self._lines() != self._scenario.effects:
            self._violation(f"at the end the log holds {dict(self._lines())}, not {self._scenario.effects}")
        with Automation(self._workspace) as automation:
            for detail in self._details(automation):
                if StepStatus.RUNNING in {step.status for step in detail.steps}:
                    self._violation(f"job {detail.job.id} has ended, and a step of it runs")
                if detail.version.status not in ends:
                    self._violation(f"job {detail.job.id} ended {detail.version.status.value}: {detail.version.error}")

    def _violation(self, text: str) -> None:
        self.told["violations"].append(text)


def _line(step: StepRecord) -> str:
    """Return the line that a writing step appends."""
    assert isinstance(step.input, dict)
    return str(step.input["text"]).strip()


def _finish(scenario: Scenario, place: Path, log: Path) -> None:
    check = Check(scenario, place, log)
    check.finish()
    (place / "result.json").write_text(json.dumps(check.told))


def main() -> None:
    """Explore the scenarios, print what came of it, exit 1 on a violation."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--scenario", choices=list(SCENARIOS), action="append")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found: dict[str, Explored] = {}
    for name in arguments.scenario or SCENARIOS:
        with tempfile.TemporaryDirectory() as folder:
            found[name] = explore(SCENARIOS[name], Path(folder))
    if arguments.json:
        print(json.dumps({name: asdict(explored) for name, explored in found.items()}))
    else:
        _print(found)
    sys.exit(any(explored.violations for explored in found.values()))


def _print(found: dict[str, Explored]) -> None:
    for name, one in found.items():
        doubted = one.happened + one.not_happened
        print(f"{name}: {one.points} points, {one.crashes} crashes, {doubted} in doubt ({one.happened} had happened)")
        for text in one.violations:
            print(f"VIOLATION: {text}")
    points = sum(one.points for one in found.values())
    violations = sum(len(one.violations) for one in found.values())
    print(f"{points} points in {len(found)} scenarios, {violations} violations")


if __name__ == "__main__":
    main()
