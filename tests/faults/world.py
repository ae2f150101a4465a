"""The world outside of the engine: a loopback HTTP server that writes down every effect, and says when one happens."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple


class Effect(NamedTuple):
    """Something that a step did outside."""

    job: int
    version: int
    step: str


def effect_of(line: str) -> Effect:
    """Return the effect that a line of a log tells; raises ValueError for half a line."""
    job, version, step = line.split()
    return Effect(int(job), int(version), step)


class World:
    """Outlives every engine: what it has written down has happened, whatever became of the engine meanwhile."""

    def __init__(self, folder: Path) -> None:
        """`posted.log` in `folder` gets a line for each POST, on disk before it is answered."""
        self.posted = folder / "posted.log"
        self.appended = folder / "appended.log"
        """For steps that append by themselves."""
        self._log = self.posted.open("a", encoding="ascii")
        self._lock = threading.Condition()
        self._moments = 0
        self._armed: tuple[int, Callable[[], None]] | None = None
        self._fired = False
        self._connections = 0
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.world = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, name="world", daemon=True).start()

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()
        self._log.close()

    def effects(self) -> Counter[Effect]:
        """Return how often each effect has happened."""
        lines = [line for log in (self.posted, self.appended) if log.exists() for line in log.read_text().splitlines()]
        return Counter(map(effect_of, lines))

    def arm(self, moments: int, act: Callable[[], None]) -> None:
        """Call `act` at the `moments`-th moment from now: a request arrives, is written down, or has been answered."""
        with self._lock:
            self._armed, self._fired = (self._moments + moments, act), False

    def disarm(self) -> bool:
        """Return whether the moment has come; if not, it will not."""
        with self._lock:
            self._armed = None
            return self._fired

    def wait(self, seconds: float) -> bool:
        """Wait for the armed moment, at most `seconds`; return whether it has come."""
        with self._lock:
            return self._lock.wait_for(lambda: self._fired, seconds)

    def quiet(self, seconds: float = 10.0) -> None:
        """Return when no connection is open: what a killed engine had sent has been read and written down by then."""
        with self._lock:
            if not self._lock.wait_for(lambda: self._connections == 0, seconds):
                raise TimeoutError(f"{self._connections} connections are still open after {seconds:g} s")

    def moment(self) -> None:
        """Count a moment; the thread that meets the armed one acts at once, before anything else happens in it."""
        with self._lock:
            self._moments += 1
            if self._armed is None or self._moments < self._armed[0]:
                return
            act, self._armed, self._fired = self._armed[1], None, True
            act()
            self._lock.notify_all()

    def write_down(self, effect: Effect) -> None:
        """Put an effect on disk."""
        with self._lock:
            self._log.write(f"{effect.job} {effect.version} {effect.step}\n")
            self._log.flush()
            os.fsync(self._log.fileno())

    def connected(self, change: int) -> None:
        """Count open connections."""
        with self._lock:
            self._connections += change
            self._lock.notify_all()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    world: World

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A killed engine breaks its connections: nothing to tell."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 64 * 1024
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.world.connected(1)

    def finish(self) -> None:
        try:
            super().finish()
        except OSError:
            pass
        finally:
            self.server.world.connected(-1)

    def do_GET(self) -> None:
        self.server.world.moment()
        self._answer({"there": True})

    def do_POST(self) -> None:
        effect = Effect(**json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.server.world.moment()
        self.server.world.write_down(effect)
        self.server.world.moment()
        self._answer({"done": effect.step})

    def _answer(self, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()
        self.server.world.moment()

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    """Return when `condition` holds; raises TimeoutError naming `what` if it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come within {seconds:g} s")
        pause.wait(0.005)
