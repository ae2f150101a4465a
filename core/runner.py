"""The engine's process: takes the workspace, recovers what a crash left, runs triggers, webhooks and workers, stops."""

from __future__ import annotations

import datetime as dt
import gc
import logging
import os
import signal
import sys
import threading
import uuid
from pathlib import Path
from typing import Any

from core import logs
from core.connectors.declare import Webhook
from core.dispatch.embedded import EmbeddedDispatcher
from core.errors import JobdeckError, NotFound, WorkspaceError
from core.events import make_event
from core.expressions import compile_condition
from core.feeding import Feeder
from core.library import Library, Loaded
from core.listener import Listener
from core.lock import EngineLock
from core.places import FILE as SETTINGS_FILE
from core.polling import Polling
from core.reruns import Standing, standing
from core.retention import Purging, Rule, rules_of
from core.runs import Runs, World, world_of
from core.settings import load
from core.store import database_of
from core.triggers import Source
from core.webhooks import Hook
from data import jobs, runs
from data.job_records import JsonValue
from data.records import Accepted, RecipeState
from data.states import Status
from data.writer import Writer

TICK_S = 0.25
"""How often files and due polls are looked at."""

# By name: as the program that `Automation.start_engine` starts, this module is `__main__`, outside of core's log.
_log = logging.getLogger("core.runner")


def settle_in() -> None:
    """Make a process that is to be an engine ready for long work: what is loaded by now stays.

    The collector no longer looks through it, nor through each few hundred of the records that jobs make and drop: they
    have no circles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def say(line: str) -> None:
    """Tell the person, or the service manager, that started the engine."""
    print(line, flush=True)


class Engine:
    """One engine on one workspace, from construction to `close`."""

    def __init__(self, workspace: Path, *, listens: bool, polls: bool) -> None:
        """Take the workspace and recover; raises EngineHeld, WorkspaceError, StoreError."""
        self._workspace = workspace
        self._boot = uuid.uuid4().hex
        settings = load(workspace)
        self._lock = EngineLock(workspace, self._boot)
        self._settings_read = self._settings_file()
        self._database = database_of(settings, workspace, checkpoints=True)
        self._writer = Writer(self._database)
        self._library = Library(workspace, self._database, self._writer.call)
        self._loaded: dict[int, Loaded] = {}
        self._states: list[RecipeState] = []
        world = world_of(settings, workspace)
        self._runs = Runs(workspace, self._database, self._writer, self._library, world, self._named)
        self._end_log = logs.set_up(workspace, lambda text: self._runs.world.masking.text(text), say)
        self._canceled = threading.Event()
        self._polling = Polling(self._database, self._writer.call, self._source) if polls else None
        self._dispatcher = EmbeddedDispatcher(
            self._database, self._writer, self._boot, settings.engine.slots, lambda id: self._loaded.get(id),
            self._runs.carry_out, self._runs.give_up, Feeder(self._database, self._writer, self._standings).feed,
        )
        self._purging = Purging(self._database, self._writer, self._rules)
        self._listener = self._listening(world) if listens else None

    def start(self) -> None:
        """Take back what a dead engine left, then begin to work; raises WorkspaceError where a port is taken."""
        recovered = self._writer.call(lambda connection: runs.recover(connection, self._boot, dt.datetime.now(dt.UTC)))
        self._refresh()
        if self._listener is not None:
            self._listener.start()
            self._lock.tell_address(self._listener.address)
        self._dispatcher.start()
        self._purging.start()
        where = f", listening on {self._listener.address}" if self._listener else ""
        say(f"engine started: process {os.getpid()}{where}")
        _log.info("engine %s started%s", self._boot, where)
        for status, count in recovered.items():
            _log.warning("%d versions that a stopped engine left running are now %s", count, status.value)

    def close(self) -> None:
        """Finish what runs, then give the workspace up."""
        self._dispatcher.claim_no_more()
        if self._listener is not None:
            self._listener.close()
        self._canceled.set()
        self._purging.close()
        if self._polling is not None:
            self._polling.close()
        self._runs.halt()
        self._dispatcher.stop()
        self._runs.world.connections.close()
        self._writer.close()
        self._database.close()
        self._lock.release()
        _log.info("engine %s stopped", self._boot)
        self._end_log()
        say("engine stopped")

    def tick(self) -> None:
        """Look at the workspace's files and begin the polls that are due."""
        self._reload_settings()
        self._refresh()
        if self._polling is not None:
            self._polling.tick(self._loaded, dt.datetime.now(dt.UTC))

    def poll_once(self) -> None:
        """Poll every started trigger exactly once and return when all have answered."""
        polling = self._polling or Polling(self._database, self._writer.call, self._source)
        polling.once(self._loaded, dt.datetime.now(dt.UTC))
        if polling is not self._polling:
            polling.close()

    def idle(self) -> bool:
        """Whether nothing is queued or running; a retry's wait is running."""
        return self._dispatcher.idle()

    # Files

    def _refresh(self) -> None:
        try:
            states = self._library.refresh()
        except JobdeckError as error:
            _log.warning("recipes cannot be read: %s", error)
            return
        if states == self._states and len(self._loaded) == len(states):
            return
        for state in states:
            if state.problems and state.problems != self._known_problems(state.id):
                _log.warning("%s is broken: %s", state.name, state.problems[0])
        self._states = states
        self._loaded = {state.id: loaded for state in states if (loaded := self._library.loaded(state)) is not None}
        self._dispatcher.wake()

    def _named(self, name: str) -> Loaded | None:
        return next((loaded for loaded in self._loaded.values() if loaded.state.name == name), None)

    def _standings(self) -> dict[str, Standing]:
        settings = self._runs.world.settings
        return {one.name: standing(one, self._loaded.get(one.id), settings) for one in self._states}

    def _known_problems(self, recipe_id: int) -> Any:
        return next((state.problems for state in self._states if state.id == recipe_id), ())

    def _settings_file(self) -> bytes:
        try:
            return (self._workspace / SETTINGS_FILE).read_bytes()
        except OSError:
            return b""

    def _reload_settings(self) -> None:
        content = self._settings_file()
        if content == self._settings_read:
            return
        self._settings_read = content
        try:
            settings = load(self._workspace)
        except WorkspaceError as error:
            _log.warning("the former settings stay in force: %s", error)
            return
        # Runs under way keep the connections that they began with; those are closed with the process.
        self._runs.world = world_of(settings, self._workspace)
        _log.info("settings read anew")

    def _source(self) -> Source:
        world = self._runs.world
        return Source(
            self._workspace, world.settings.props, world.connections.get, world.settings.engine.allow_hosts,
            self._canceled,
        )

    def _rules(self) -> list[Rule]:
        settings = self._runs.world.settings
        loaded = list(self._loaded.items())
        return [rule for recipe_id, one in loaded for rule in rules_of(recipe_id, one.recipe, settings)]

    # Webhooks

    def _listening(self, world: World) -> Listener:
        engine = world.settings.engine
        return Listener(engine.listen, self._hook, self._accept, engine.body_limit, self._health, self._metrics)

    def _hook(self, path: str) -> Hook | None:
        found = self._hooked(path)
        if found is None:
            return None
        inputs = found.recipe.trigger.inputs
        secret = inputs.secret
        return Hook(
            found.state.name, path, inputs.verify, (lambda: secret.resolve(self._workspace)) if secret else None,
            compile_condition(inputs.key) if inputs.key else None,
        )

    def _hooked(self, path: str) -> Loaded | None:
        for loaded in self._loaded.values():
            trigger = loaded.recipe.trigger
            if isinstance(trigger.declared.source, Webhook) and loaded.state.started and trigger.inputs.path == path:
                return loaded
        return None

    def _accept(self, hook: Hook, key: str | None, data: JsonValue) -> Accepted:
        loaded = self._hooked(hook.path)
        if loaded is None:
            raise NotFound(f"no started recipe takes deliveries at /hooks/{hook.path}")
        now = dt.datetime.now(dt.UTC)
        event = make_event(loaded.recipe, key or uuid.uuid4().hex, data, self._runs.world.settings.props, now)
        accepted = self._writer.call(
            lambda connection: jobs.accept(connection, loaded.state.id, [event], "webhook", now)
        )
        self._dispatcher.wake()
        return accepted[0]

    def _health(self) -> dict[str, Any]:
        alive = self._writer.alive and self._dispatcher.alive
        return {"ok": alive, "running": self._dispatcher.running}

    def _metrics(self) -> str:
        with self._database.read() as connection:
            counts = jobs.count_by_status(connection)
        lines = ["# TYPE jobdeck_jobs gauge"]
        lines += [f'jobdeck_jobs{{status="{status}"}} {counts.get(status, 0)}' for status in Status]
        lines += ["# TYPE jobdeck_running gauge", f"jobdeck_running {self._dispatcher.running}"]
        return "\n".join(lines) + "\n"


def serve(workspace: Path, *, until_idle: bool = False, poll_once: bool = False) -> int:
    """Run an engine until SIGTERM, SIGINT, or, with `until_idle`, until nothing is queued or running; return 0.

    `until_idle` neither listens nor polls; `poll_once` polls every started trigger once first. Raises JobdeckError
    where the engine cannot start.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    # The terminal that started it may go; the engine does not go with it.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    engine = Engine(workspace, listens=not until_idle, polls=not until_idle)
    try:
        engine.start()
        settle_in()
        if poll_once:
            engine.poll_once()
        # An engine whose workspace was deleted has nothing left to write to, and nobody can find it any more.
        while not stop.wait(TICK_S) and workspace.is_dir():
            engine.tick()
            if until_idle and engine.idle():
                break
    finally:
        engine.close()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(serve(Path(sys.argv[1])))
    except JobdeckError as error:
        sys.exit(str(error))
