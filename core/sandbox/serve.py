"""Serves an ASGI app on a free loopback port from a thread, for the demo's stand-in apps and the tests."""

import asyncio
import logging
import os
import socket
import threading
from collections.abc import Callable, MutableMapping
from types import TracebackType
from typing import Any, Self

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

DROP = "jobdeck.drop"
"""The ASGI extension by which an app cuts its connection: `scope["extensions"][DROP]()`, nothing more is sent."""

LOGGERS = ("uvicorn.error", "uvicorn.access")
GRACE = 1  # seconds that requests under way get when the server closes

App = Callable[..., Any]


class DidNotStart(RuntimeError):
    """The app refused to start, or the server failed on the way up; the cause is chained where it is known."""

    def __init__(self, app: App) -> None:
        super().__init__(f"{app!r} did not start on loopback: its startup failed, so nothing is served")


class Served:
    """A running server of one app: answers at `url` from the moment the constructor returns until `close()`.

    It writes no log lines; what the app raised is kept in `failures`, in order, for the caller to look at.
    """

    def __init__(self, app: App, *, port: int = 0) -> None:
        """Bind the socket, start the thread and wait until it serves; `port` 0 takes a free one.

        Raises OSError when the port is taken and DidNotStart when the app's startup fails.
        """
        self.failures: list[Exception] = []
        self._app = app
        # Bound before the server exists: nobody can take the port in between, and `url` is known at once.
        self._socket = _bound(port)
        self.port: int = self._socket.getsockname()[1]
        self._ready = threading.Event()
        self._quiet = _Quiet()
        self._server = _Server(_config(self._watched), self._ready)
        self._thread = threading.Thread(target=self._run, name=f"sandbox:{self.port}", daemon=True)
        self._thread.start()
        self._ready.wait()
        if not self._server.started:
            self.close()
            raise DidNotStart(app) from (self.failures[-1] if self.failures else None)

    @property
    def url(self) -> str:
        """The base address without a slash at its end, such as http://127.0.0.1:40123."""
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Stop serving and wait for the thread: requests under way get a second, then they are cut. Twice is fine."""
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _run(self) -> None:
        self._quiet.begin()
        try:
            self._server.run(sockets=[self._socket])
        except SystemExit:
            pass  # uvicorn's way of saying that the startup failed; the constructor says it as DidNotStart
        except Exception as error:  # whatever it is, the constructor waits for this thread and must hear of it
            self.failures.append(error)
        finally:
            self._quiet.end()
            self._ready.set()

    async def _watched(self, scope: MutableMapping[str, Any], receive: App, send: App) -> None:
        try:
            await self._app(scope, receive, send)
        except Exception as error:
            self.failures.append(error)
            raise


class _Server(uvicorn.Server):
    """Uvicorn's server, which also tells a waiting thread that it serves."""

    def __init__(self, config: uvicorn.Config, ready: threading.Event) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready.set()


class _Protocol(H11Protocol):
    """HTTP/1.1 whose connections can be cut by the app, which ASGI itself has no word for."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        served = self.app

        async def with_drop(scope: MutableMapping[str, Any], receive: App, send: App) -> None:
            scope["extensions"] = {**scope.get("extensions", {}), DROP: transport.abort}
            await served(scope, receive, send)  # type: ignore[arg-type]

        self.app = with_drop  # type: ignore[assignment]


class _Quiet(logging.Filter):
    """Drops what one thread logs through uvicorn; every other server of the process keeps its lines."""

    def begin(self) -> None:
        self._thread = threading.get_ident()
        for name in LOGGERS:
            logging.getLogger(name).addFilter(self)

    def end(self) -> None:
        for name in LOGGERS:
            logging.getLogger(name).removeFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        return threading.get_ident() != self._thread


def _config(app: App) -> uvicorn.Config:
    """Settings that leave the process as it is: no logging set up, plain asyncio, nothing read from the environment."""
    return uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        loop="asyncio",
        interface="asgi3",
        workers=1,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        date_header=False,  # the stand-ins have clocks of their own
        timeout_graceful_shutdown=GRACE,
    )


def _bound(port: int) -> socket.socket:
    """A TCP socket bound to the port on loopback, not listening yet."""
    # With the protocol named: asyncio sets TCP_NODELAY only then, and each answer would wait 40 ms without it.
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if os.name == "posix":
        # A server that comes back on its port must not wait for the old connections to time out.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(("127.0.0.1", port))
    except OSError:
        sock.close()
        raise
    return sock
