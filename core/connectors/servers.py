"""What connectors to HTTP APIs share: a server's address, its answers read by their type, its own words on errors."""

from __future__ import annotations

import base64
import datetime as dt
import functools
import json
import math
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator

from data.job_records import JsonValue

if TYPE_CHECKING:
    from core.connectors.wire import Answer, Client

MESSAGE_LIMIT = 300  # characters of the server's own message that an error quotes
MESSAGE_KEYS = ("message", "error_description", "detail", "description", "error", "title", "errors")
DETAIL_KEYS = ("details", "errors")  # where the flaws stand one by one, as RFC 9457 and many APIs have it
Scalar = str | int | float | bool | None


def _server(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("it must be http:// or https://, a host and perhaps a path")
    return url


ServerUrl = Annotated[str, AfterValidator(_server)]
"""A setting that is the address of a server, perhaps with a path."""


def need_host(url: str, connection: str | None) -> None:
    """Raise ValueError for a URL that names no server where no connection does."""
    parts = urlsplit(url)
    if connection is None and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise ValueError("the URL must be http:// or https:// and a host, or a connection must be named")


@functools.cache
def anonymous() -> Client:
    """Return the client of all requests that name no connection; kept open."""
    from core.connectors.wire import Client

    return Client()


def flat(values: dict[str, Any]) -> dict[str, Any]:
    """Return parameters as text, or lists of text, without the null ones."""
    return {
        name: [_text(one) for one in value if one is not None] if isinstance(value, list) else _text(value)
        for name, value in values.items()
        if value is not None
    }


def _text(value: Scalar) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


def body(answer: Answer) -> JsonValue:
    """Return the body as its type says: JSON parsed, text as text, other bytes in base64; null where it is empty."""
    if not answer.body:
        return None
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        try:
            return parsed(answer)
        except ValueError:
            pass  # the type was wrong: it is text, or bytes
    try:
        return answer.body.decode(answer.charset)
    except (UnicodeError, LookupError):
        return base64.b64encode(answer.body).decode("ascii")


def parsed(answer: Answer) -> JsonValue:
    """Return the body, which is to be JSON whatever its type says; raises ValueError."""
    try:
        return json.loads(answer.body.decode("utf-8-sig"), parse_constant=_refuse)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no JSON number")


def status(answer: Answer) -> str:
    """Return the status with its name: `404 Not Found`."""
    try:
        return f"{answer.status} {HTTPStatus(answer.status).phrase}"
    except ValueError:
        return str(answer.status)


def refusal(answer: Answer, said: str) -> str:
    """Return the sentence of an answer that is an error: why first, since a narrow column shows only the beginning."""
    return f"{said} ({status(answer)}, {answer.where})" if said else f"{status(answer)} ({answer.where})"


def said(found: JsonValue) -> str:
    """Return what a server says about an error, with the details that it gives beside its sentence, cut short."""
    details = [found[key] for key in DETAIL_KEYS if found.get(key)] if isinstance(found, dict) else []
    parts = [one for held in details for one in (held.values() if isinstance(held, dict) else _listed(held))]
    return cut("; ".join(dict.fromkeys(filter(None, map(_sentence, [found, *parts])))))


def _listed(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else [value]


def _sentence(found: JsonValue) -> str:
    while isinstance(found, dict | list) and found:
        if isinstance(found, list):
            found = found[0]
        else:
            inner = next((found[key] for key in MESSAGE_KEYS if found.get(key)), None)
            found = json.dumps(found, ensure_ascii=False) if inner is None else inner
    return " ".join(found.split()) if isinstance(found, str) else ""


def cut(text: str) -> str:
    """Return a server's words on one line, no longer than an error quotes."""
    text = " ".join(text.split())
    return text if len(text) <= MESSAGE_LIMIT else text[:MESSAGE_LIMIT] + "…"


def retry_after(answer: Answer, now: dt.datetime) -> float | None:
    """Return the seconds that Retry-After asks for (RFC 9110, 10.2.3), never below 0; None where it says nothing."""
    text = answer.headers.get("retry-after", "").strip()
    try:
        seconds = float(text) if text[:1].isdigit() else (parsedate_to_datetime(text) - now).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None
