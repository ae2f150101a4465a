"""What every stand-in app is asked and answers: a request read whole, an answer, the table of its handlers."""

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, TypeAlias
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Receive

from core.sandbox.serve import DROP

Fields: TypeAlias = dict[str, Any]
Details: TypeAlias = dict[str, list[dict[str, str]]]
Handler: TypeAlias = Callable[..., "Answer"]
Rows: TypeAlias = tuple[tuple[str, str, Handler], ...]
"""Method, path with `{names}` and handler; the first that matches serves."""


@dataclass(frozen=True)
class Answer:
    """What goes back: a status, a body (text stays text, None is an empty body, all else becomes JSON), headers."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Refused(Exception):
    """A request that is answered by a refusal; `answer` is the refusal as the client sees it."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status}: {body}")
        self.answer = Answer(status, body, headers or {})


class Unread(Exception):
    """A body that is no JSON; `media` is the media type that it came with, where that was the reason."""

    def __init__(self, reason: str, media: str | None = None) -> None:
        super().__init__(reason)
        self.media = media


@dataclass(frozen=True)
class Call:
    """One request, read whole: its path, its query, its headers and its body as bytes."""

    method: str
    path: str
    raw: str
    """The path as it was sent, with its percent signs."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    base: str
    now: float
    droppable: bool

    def parsed(self) -> Any:
        """The JSON of the body; raises Unread for another media type, no JSON, and text that UTF-8 cannot hold."""
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Unread(f"its media type is {kind or 'absent'}", kind)
        try:
            value = json.loads(self.body, parse_constant=_no_constant)
            json.dumps(value, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            raise Unread(str(error)) from error
        return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON value")


async def call_of(request: Request, now: float) -> Call:
    """The request as a Call; raises ClientDisconnect when it breaks off before its end."""
    return Call(
        method=request.method,
        path=request.scope["path"],
        raw=request.scope["raw_path"].decode("latin-1"),
        query=dict(request.query_params),
        headers=request.headers,
        body=await request.body(),
        base=str(request.base_url).rstrip("/"),
        now=now,
        droppable=DROP in request.scope.get("extensions", {}),
    )


def route(rows: Rows, method: str, raw: str) -> tuple[Handler, dict[str, str]] | None:
    """The handler of a request and what its path holds; None when no row matches."""
    for wanted, pattern, handler in rows:
        values = held(pattern, raw) if wanted == method else None
        if values is not None:
            return handler, values
    return None


def held(pattern: str, raw: str) -> dict[str, str] | None:
    """The values that a path has for the pattern's names; None when it does not match."""
    # Split before it is decoded: a slash inside a value is no end of it.
    pairs = list(zip(pattern.split("/"), map(unquote, raw.split("/")), strict=False))
    if pattern.count("/") != raw.count("/"):
        return None
    if any(want != have for want, have in pairs if not want.startswith("{")):
        return None
    return {want.strip("{}"): have for want, have in pairs if want.startswith("{")}


def response(answer: Answer, now: float) -> Response:
    """The answer as it is sent; its Date is the stand-in's own time."""
    headers = {**answer.headers, "Date": formatdate(now, usegmt=True), "X-Sandbox": "true"}
    if answer.body is None:
        return Response(status_code=answer.status, headers=headers)
    if isinstance(answer.body, str):
        return PlainTextResponse(answer.body, answer.status, headers)
    return JSONResponse(answer.body, answer.status, headers)


async def gone(receive: Receive) -> None:
    """Returns when the connection has ended."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def hold(receive: Receive, seconds: float) -> None:
    """Waits so long, or until the client has gone: nobody is left to wait for then."""
    if seconds:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await gone(receive)
