"""The engine's HTTP listener: webhook deliveries in, health and metrics out, on a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from core.errors import StoreError, WorkspaceError
from core.webhooks import Delivery, Hook, Rejected, join_headers, read
from data.job_records import JsonValue
from data.records import Accepted

BODY_SECONDS = 60.0
"""How long a body may take to arrive."""
DROP_SECONDS = 30.0
"""How long the rest of a refused body is read and dropped, so that its sender gets to read the answer."""
DROP_TIMES = 4
"""How much of it, in body limits."""
BODIES_HELD = 32
"""How much of all bodies is held at once, in body limits; more is answered 503."""
DELIVERIES_AT_ONCE = 32
"""How many are checked and stored at a time; the others wait their turn."""
CLOSE_SECONDS = 10
"""How long the end waits for what is in flight."""
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_log = logging.getLogger(__name__)
# Without a handler of their own, loggers that nobody configured write warnings to standard error.
for _logger in (_log, logging.getLogger("uvicorn")):
    _logger.addHandler(logging.NullHandler())


class Listener:
    """Answers HTTP on one address from `start` to `close`; both may be called from any thread."""

    def __init__(
        self,
        listen: str,
        hooks: Callable[[str], Hook | None],
        accept: Callable[[Hook, str | None, JsonValue], Accepted],
        body_limit: int,
        health: Callable[[], dict[str, Any]],
        metrics: Callable[[], str],
    ) -> None:
        """`listen` is `host:port`, port 0 takes a free one; a `listen` that is neither raises WorkspaceError.

        `hooks` finds the hook of a path; it is asked at every delivery, on the event loop, so it must not block.
        `accept` makes (hook, event key or None for always new, trigger data) durable before it returns; it is called
        by up to `DELIVERIES_AT_ONCE` threads, and its StoreError is answered 503. `health` answers 200 where its
        `ok` is true, else 503.
        """
        self._host, self._port = _split(listen)
        self._hooks, self._accept = hooks, accept
        self._health, self._metrics = health, metrics
        self._limit = body_limit
        self._held = 0
        self._pool = ThreadPoolExecutor(DELIVERIES_AT_ONCE, "delivery")
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> str:
        """The `host:port` that is listened on; before the start, the one asked for."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{host}:{self._port}"

    def start(self) -> None:
        """Listen; when it returns, deliveries are taken. Raises WorkspaceError where the address cannot be had."""
        listening = _bind(self._host, self._port, self.address)
        self._port = listening.getsockname()[1]
        self._server = _Server(_config(self._app()))
        self._thread = threading.Thread(target=self._server.run_on, args=(listening,), name="listener", daemon=True)
        self._thread.start()
        self._server.ready.wait()
        if not self._server.started:
            raise WorkspaceError(f"Cannot listen on {self.address}: the engine's log says why.")

    def close(self) -> None:
        """Take no more deliveries and finish those in flight, for at most `CLOSE_SECONDS`."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(CLOSE_SECONDS + 2)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _app(self) -> Starlette:
        app = Starlette(
            routes=[
                Route("/hooks/{path:path}", self._hook, methods=["POST"]),
                Route("/hooks/{path:path}", self._handshake, methods=["OPTIONS"]),
                Route("/healthz", self._healthz),
                Route("/metrics", self._metrics_page),
            ],
            exception_handlers={HTTPException: self._no_such},
        )
        app.router.redirect_slashes = False
        return app

    # Deliveries

    async def _hook(self, request: Request) -> Response:
        hook = self._hooks(request.path_params["path"])
        body = _Body(request)
        if hook is None:
            return self._refusal(404, "No started recipe has a hook at this path.", body)
        try:
            return await self._delivered(hook, request, body)
        except Rejected as refused:
            return self._refusal(refused.status, str(refused), body, _headers(refused.status))
        except TimeoutError:
            return _problem(408, f"The body did not arrive within {BODY_SECONDS:g} seconds.")
        except ClientDisconnect:
            return Response(status_code=400)

    async def _delivered(self, hook: Hook, request: Request, body: _Body) -> Response:
        try:
            received = await self._receive(request, body)
            delivery = Delivery(join_headers(request.headers.raw), received, _query(request.query_params))
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._deliver, hook, delivery)
        finally:
            self._held -= body.held

    async def _receive(self, request: Request, body: _Body) -> bytes:
        pieces = []
        declared = request.headers.get("content-length", "0")
        if len(declared) > 18 or int(declared) > self._limit:
            raise self._too_large()
        async with asyncio.timeout(BODY_SECONDS):
            while piece := await body.piece():
                self._hold(body, len(piece))
                pieces.append(piece)
        return b"".join(pieces)

    def _hold(self, body: _Body, size: int) -> None:
        body.held += size
        self._held += size
        if body.held > self._limit:
            raise self._too_large()
        if self._held > BODIES_HELD * self._limit:
            raise Rejected(503, "Too many deliveries are under way; send it again later.")

    def _too_large(self) -> Rejected:
        return Rejected(413, f"The body is larger than {self._limit:,} bytes ([engine] body_limit in jobdeck.toml).")

    def _deliver(self, hook: Hook, delivery: Delivery) -> Response:
        try:
            key, trigger = read(hook, delivery)
            accepted = self._accept(hook, key, trigger)
        except Rejected as refused:
            if refused.status == 503:
                _log.warning("Recipe %s took no delivery (503): %s", hook.recipe, refused.__cause__)
            return _problem(refused.status, str(refused))
        except StoreError as error:
            _log.warning("Recipe %s took no delivery (503): %s", hook.recipe, error)
            return _problem(503, "The event could not be stored; send it again later.")
        except Exception:
            _log.exception("Recipe %s took no delivery (500)", hook.recipe)
            return _problem(500, "The delivery could not be handled; the engine's log says why.")
        return JSONResponse({"job": accepted.job_id}, 202 if accepted.new else 200)

    async def _handshake(self, request: Request) -> Response:
        """CloudEvents web hooks 1.0, 4: a sender asks whether it may deliver here, and how often a minute."""
        if self._hooks(request.path_params["path"]) is None:
            raise HTTPException(404)
        asked = request.headers.get("webhook-request-origin")
        if asked is None:
            raise HTTPException(405, headers={"allow": "POST"})
        headers = {"allow": "POST", "webhook-allowed-origin": asked}
        if "webhook-request-rate" in request.headers:
            headers["webhook-allowed-rate"] = "*"
        return Response(headers=headers)

    async def _no_such(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        says = {404: "There is nothing at this path.", 405: f"{request.method} is not for this path."}
        message = says.get(error.status_code, error.detail)
        return self._refusal(error.status_code, message, _Body(request), error.headers)

    def _refusal(self, status: int, message: str, body: _Body, headers: Mapping[str, str] | None = None) -> Response:
        return _Refusal(status, message, headers, body, DROP_TIMES * self._limit)

    # Health

    async def _healthz(self, request: Request) -> Response:
        try:
            health = await run_in_threadpool(self._health)
        except Exception:
            _log.exception("The engine's health could not be told")
            health = {"ok": False, "error": "The engine's health cannot be told; its log says why."}
        return JSONResponse(health, 200 if health.get("ok") else 503)

    async def _metrics_page(self, request: Request) -> Response:
        return PlainTextResponse(await run_in_threadpool(self._metrics), media_type=METRICS_TYPE)


class _Body:
    """A request's body, read piece by piece."""

    def __init__(self, request: Request) -> None:
        self.held = 0
        """Bytes of it that are in memory."""
        self._receive = request.receive
        self._waits = "expect" in request.headers
        self._finished = False

    async def piece(self) -> bytes:
        """Return the next piece, empty at the end; raises ClientDisconnect."""
        while not self._finished:
            self._waits = False
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            self._finished = not message.get("more_body", False)
            if message.get("body"):
                return bytes(message["body"])
        return b""

    async def drop(self, size: int) -> None:
        """Read at most `size` bytes and forget them; nothing comes from a sender that waits to be told to go on."""
        if self._waits:
            return
        with contextlib.suppress(ClientDisconnect, TimeoutError):
            async with asyncio.timeout(DROP_SECONDS):
                while size > 0 and (piece := await self.piece()):
                    size -= len(piece)


class _Refusal(JSONResponse):
    """An answer that does not wait for the body; a connection closed on unread data would lose it on its way."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None, body: _Body, drop: int) -> None:
        super().__init__({"error": message}, status, {**(headers or {}), "connection": "close"})
        self._incoming, self._drop = body, drop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        await self._incoming.drop(self._drop)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _problem(status: int, message: str) -> Response:
    return JSONResponse({"error": message}, status, _headers(status))


def _headers(status: int) -> dict[str, str]:
    return {503: {"retry-after": "5"}, 408: {"connection": "close"}}.get(status, {})


def _query(params: QueryParams) -> dict[str, JsonValue]:
    values = {name: params.getlist(name) for name in params}
    return {name: texts[0] if len(texts) == 1 else texts for name, texts in values.items()}


class _Server(uvicorn.Server):
    """Serves on a socket that is already bound, and says when it does."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    def run_on(self, listening: socket.socket) -> None:
        try:
            self.run(sockets=[listening])
        except Exception:
            _log.exception("The listener ended")
        finally:
            self.ready.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().set_exception_handler(_log_loop_problem)
        await super().startup(sockets)
        self.ready.set()


def _log_loop_problem(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    _log.info("A connection broke: %s (%r)", context["message"], context.get("exception"))


def _config(app: Starlette) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="h11",
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_config=None,
        # Not its warnings: each is about a request that was no HTTP, which any passer-by can send.
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=CLOSE_SECONDS,
    )


# The address


def _split(listen: str) -> tuple[str, int]:
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise WorkspaceError(f"[engine] listen is {listen!r}; it must be host:port, such as 127.0.0.1:8321.")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _bind(host: str, port: int, address: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        why = f"it is taken{_holder(port)}" if taken else error.strerror or str(error)
        raise WorkspaceError(
            f"Cannot listen on {address}: {why}. Set another `listen` under [engine] in jobdeck.toml."
        ) from error
    # Connections inherit it. asyncio sets it only on sockets made with a protocol number; without it an answer in two
    # writes waits 40 ms for the sender's delayed acknowledgement.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _holder(port: int) -> str:
    """Return ` by process 812 (name)` where the system tells (Linux, own processes), else nothing."""
    listening = "0A"
    try:
        rows = [line.split() for name in ("tcp", "tcp6") for line in _lines(Path("/proc/net") / name)]
        sockets = {f"socket:[{row[9]}]" for row in rows if row[1].endswith(f":{port:04X}") and row[3] == listening}
        for handle in Path("/proc").glob("[0-9]*/fd/*"):
            with contextlib.suppress(OSError):
                if os.readlink(handle) in sockets:
                    process = handle.parent.parent
                    return f" by process {process.name} ({(process / 'comm').read_text().strip()})"
    except OSError:
        pass
    return ""


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines()[1:] if path.exists() else []
