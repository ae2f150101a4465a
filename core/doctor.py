"""What is wrong around a workspace: its store, recipes, connections and engine; each finding says what to do."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from core.automation import Automation
from core.errors import StoreError, WorkspaceError
from core.lock import FILE as LOCK_FILE
from core.lock import holder
from core.places import FILE
from core.settings import Settings, load
from data import health
from data.database import local_url

NETWORKED = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afs", "ceph", "lustre"})
"""File systems on which locks or shared memory may not hold, and a write-ahead log with them (sqlite.org/wal.html)."""


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    area: str
    level: Level
    what: str
    todo: str = ""
    """What to do about it; empty where nothing is to be done."""


def examine(workspace: Path) -> Iterator[Finding]:
    """Yield the findings, as they come; whatever is wrong, the rest is looked at all the same."""
    try:
        settings = load(workspace)
    except WorkspaceError as error:
        for sentence in str(error).splitlines():
            yield Finding("settings", Level.PROBLEM, sentence, f"correct it in {workspace / FILE}")
        return
    yield Finding("settings", Level.OK, f"{workspace / FILE} is as it should be")
    yield from _store(workspace, settings)
    yield from _recipes(workspace)
    yield from _connections(workspace, settings)
    yield from _engine(workspace)


# The store


def _store(workspace: Path, settings: Settings) -> Iterator[Finding]:
    url = local_url(settings.store.url, workspace)
    if url is None or url.database is None:
        yield Finding("store", Level.PROBLEM, "[store] url names no SQLite file", "write sqlite:///.jobdeck/jobdeck.db")
        return
    file = Path(url.database)
    if not file.exists():
        yield Finding("store", Level.OK, f"{file} is not there yet: the first command makes it")
        return
    found = health.examine(file)
    yield from _soundness(file, found)
    yield _schema(found)
    yield _sqlite(found)
    yield _file_system(file)
    yield from _rights(file)


def _soundness(file: Path, found: health.Health) -> Iterator[Finding]:
    for line in found.damage:
        yield Finding("store", Level.PROBLEM, f"{file}: {line}", "stop the engine and restore the file from a backup")
    if not found.damage:
        yield Finding("store", Level.OK, f"{file} is sound, {file.stat().st_size / 1e6:,.1f} MB")


def _schema(found: health.Health) -> Finding:
    if found.schema is None:
        return Finding("store", Level.WARNING, "it has no schema", "any command but this one makes it")
    if found.schema > found.known_schema:
        what = f"its schema is {found.schema}, and this Jobdeck knows only {found.known_schema}"
        return Finding("store", Level.PROBLEM, what, "install the newer Jobdeck again")
    if found.schema < found.known_schema:
        what = f"its schema is {found.schema}, an older one than {found.known_schema}"
        return Finding("store", Level.WARNING, what, "make a backup; the next command brings it to the newest")
    return Finding("store", Level.OK, f"its schema is the newest, {found.schema}")


def _sqlite(found: health.Health) -> Finding:
    if found.safe:
        return Finding("store", Level.OK, f"SQLite {found.sqlite}")
    fixed = ".".join(map(str, health.SAFE_SQLITE))
    what = f"SQLite {found.sqlite} has the WAL-reset bug, fixed in {fixed}; of Jobdeck only the engine checkpoints"
    return Finding("store", Level.OK, what, "let no other program write to the file while an engine runs")


def _file_system(file: Path) -> Finding:
    kind = file_system(file)
    if kind in NETWORKED:
        what = f"it is on {kind}, where locks may not hold: two machines could damage it"
        return Finding("store", Level.WARNING, what, "move the workspace to a local disk")
    return Finding("store", Level.OK, f"it is on {kind or 'a file system that does not say its name'}")


def _rights(file: Path) -> Iterator[Finding]:
    for path in (file, file.parent):
        if not os.access(path, os.W_OK):
            yield Finding("store", Level.PROBLEM, f"you may not write to {path}", f"see whose it is: ls -ld {path}")


def file_system(path: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """Return the type of the file system that a path is on (proc(5), mountinfo); empty where the system tells none."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    real = path.resolve()
    best = (-1, "")
    for line in lines:
        fields, _, rest = line.partition(" - ")
        point = Path(fields.split(" ")[4].replace("\\040", " "))
        if real == point or point in real.parents:
            # The last of those that are mounted on each other is the one in sight.
            best = max(best, (len(point.parts), rest.split(" ")[0]), key=lambda one: one[0])
    return best[1]


# The rest


def _recipes(workspace: Path) -> Iterator[Finding]:
    try:
        with Automation(workspace) as automation:
            problems = automation.check()
            states = automation.recipes()
    except (StoreError, WorkspaceError) as error:
        yield Finding("recipes", Level.PROBLEM, f"not looked at: {error}")
        return
    for problem in problems:
        level = Level.WARNING if problem.warning else Level.PROBLEM
        yield Finding("recipes", level, str(problem), "" if problem.warning else "`jobdeck check` until it is silent")
    for state in states:
        if state.warning:
            yield Finding("recipes", Level.WARNING, f"{state.name}: {state.warning}")
    if not problems:
        started = sum(state.started and state.present for state in states)
        yield Finding("recipes", Level.OK, f"{sum(state.present for state in states)} valid, {started} started")


def _connections(workspace: Path, settings: Settings) -> Iterator[Finding]:
    for name in settings.connections:
        try:
            settings.connection(name, workspace)
        except WorkspaceError as error:
            for sentence in str(error).splitlines():
                yield Finding("connections", Level.PROBLEM, f"{name}: {sentence}", "set it where the engine is started")
        else:
            yield Finding("connections", Level.OK, f"{name} has all that it needs; nothing was sent")


def _engine(workspace: Path) -> Iterator[Finding]:
    held = holder(workspace)
    if held is not None:
        where = f", webhooks on {held.listen}" if held.listen else ""
        yield Finding("engine", Level.OK, f"process {held.pid} on {held.host} since {held.since}{where}")
        if held.host and held.host != socket.gethostname():
            what = f"it runs on another machine, {held.host}"
            yield Finding("engine", Level.WARNING, what, "start and stop it there; here only its store is seen")
        return
    yield Finding("engine", Level.WARNING, "none runs: queued jobs wait", "`jobdeck engine`, or a in the terminal")
    lock = workspace / LOCK_FILE
    if lock.exists() and lock.stat().st_size:
        what = "the last one ended without giving up its lock: it was killed, or the machine went down"
        yield Finding("engine", Level.WARNING, what, "nothing: the next one takes its jobs up where they were")
