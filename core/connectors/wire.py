"""Sends HTTP requests: clients kept open, addresses checked, credentials kept at home, errors in the core's words."""

from __future__ import annotations

import contextlib
import functools
import http.cookiejar
import re
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import httpx

from core.connectors.addresses import checked
from core.errors import AnswerLost, StepError

BODY_LIMIT = 10 * 1024 * 1024  # bytes of an answer
TIMEOUT = 30.0  # seconds, where the step says nothing
CONNECT_TIMEOUT = 10.0
REDIRECTS = 5
KEPT_ACROSS_HOSTS = frozenset({"accept", "accept-encoding", "accept-language", "user-agent", "host", "connection"})
ALLOW = "jobdeck.allow_hosts"  # the extension of a request whose address must be checked
REFUSED = (
    httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, httpx.UnsupportedProtocol,
)  # fmt: skip


@dataclass(frozen=True)
class Request:
    """What is to be sent; its repr shows no header and no body."""

    method: str
    url: str = field(repr=False)
    reads: bool
    """Whether it changes nothing: it may follow redirects, and its loss is a plain error."""
    params: Mapping[str, Any] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    content: bytes | None = field(default=None, repr=False)
    accept: frozenset[int] = frozenset()
    """Statuses that are taken as they are."""
    templated: bool = False
    """Whether something from outside stands in the URL."""
    lead: str = field(default="", repr=False)
    """What a templated URL begins with before anything from outside."""


@dataclass(frozen=True)
class Patience:
    """How long to wait, and what ends it."""

    timeout: float | None
    canceled: threading.Event
    allow_hosts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What came back, whole."""

    status: int
    headers: httpx.Headers
    body: bytes
    charset: str
    """As the content type names it, `utf-8` where it names none."""
    where: str
    """Method and address without what may be secret, for error messages."""
    url: httpx.URL = field(repr=False)
    """The whole address that answered; it may hold secrets."""


class Client:
    """Talks to one server, or to any where it has no `base_url`; may be used by many threads at once."""

    def __init__(
        self, base_url: str | None = None, headers: Mapping[str, str] | None = None, idempotency_keys: bool = False
    ) -> None:
        self.idempotency_keys = idempotency_keys
        self._base = httpx.URL(base_url.rstrip("/") + "/") if base_url else None
        self._headers = dict(headers or {})
        self._direct = _client()
        self._checked = _client(_CheckedTransport())

    def close(self) -> None:
        """Close the open connections."""
        self._direct.close()
        self._checked.close()

    def sends(self, header: str) -> bool:
        """Return whether the connection itself sends this header."""
        return header.lower() in (name.lower() for name in self._headers)

    def send(self, request: Request, patience: Patience) -> Answer:
        """Return the answer, whatever its status.

        Raises StepError where nothing was sent or a reading request failed, AnswerLost where a write may have acted.
        """
        deadline = time.monotonic() + (patience.timeout or TIMEOUT)
        with self._built(request) as url:
            headers = httpx.Headers(self._headers)
            headers.update(request.headers)
            built = self._direct.build_request(request.method, url, headers=headers, content=request.content)
            trusted = self._trusted(url, request)
        for _ in range(REDIRECTS + 1):
            answer, following = self._exchange(built, trusted, request, patience, deadline)
            if not following or not request.reads or answer.status in request.accept:
                return answer
            built = _followed(built, following, answer.where)
        raise StepError(f"{answer.where} was redirected more than {REDIRECTS} times", "http")

    def masked(self, text: str) -> str:
        """Return text without the values of the connection's headers and the password of its URL."""
        values = [part for value in self._headers.values() for part in (value, *value.split()) if len(part) >= 8]
        if self._base and self._base.password:
            values.append(self._base.password)
        for value in sorted(values, key=len, reverse=True):
            text = text.replace(value, "***")
        return text

    def _trusted(self, url: httpx.URL, request: Request) -> tuple[str, int] | None:
        """Return the one host and port that the recipe or the connection names itself; all others are checked."""
        if self._base:
            return _place(self._base)
        return _named(request.lead) if request.templated else _place(url)

    @contextlib.contextmanager
    def _built(self, request: Request) -> Iterator[httpx.URL]:
        """Give the whole URL; what cannot be sent as HTTP ends in a StepError without the value itself."""
        try:
            yield _with_params(self._url(request), request.params)
        except UnicodeError:
            raise StepError(
                f"{request.method}: the URL or a header holds a character that HTTP does not allow there", "request"
            ) from None
        except (httpx.InvalidURL, ValueError, TypeError) as error:
            raise StepError(f"{request.method}: {self.masked(str(error))}", "request") from None

    def _url(self, request: Request) -> httpx.URL:
        url = httpx.URL(request.url)
        if self._base is None:
            if url.scheme not in ("http", "https") or not url.host:
                raise ValueError("the URL must be http:// or https:// and a host, or a connection must be named")
            return url
        if url.is_relative_url:
            url = self._base.copy_with(raw_path=self._base.raw_path + url.raw_path.lstrip(b"/"))
        if not _same_origin(url, self._base):
            raise ValueError(f"the URL leads to {url.host}, the connection is for {self._base.host} only")
        # `path` is decoded: servers read %2e%2e as two dots too.
        inside = url.path.startswith(self._base.path) and ".." not in url.path.split("/")
        if request.templated and not inside:
            raise ValueError("the URL comes from a template and leads out of the connection's base_url")
        return url

    def _exchange(
        self,
        built: httpx.Request,
        trusted: tuple[str, int] | None,
        request: Request,
        patience: Patience,
        deadline: float,
    ) -> tuple[Answer, httpx.Request | None]:
        where = self.masked(f"{built.method} {_shown(built.url)}")
        client = self._direct if _place(built.url) == trusted else self._checked
        built.extensions = {**built.extensions, ALLOW: patience.allow_hosts, "timeout": _timeouts(deadline)}
        with self._mapped(where, request):
            response = client.send(built, stream=True)
            with contextlib.closing(response):
                body = _body(response, deadline, patience)
        charset = response.charset_encoding or "utf-8"
        return Answer(response.status_code, response.headers, body, charset, where, built.url), response.next_request

    @contextlib.contextmanager
    def _mapped(self, where: str, request: Request) -> Iterator[None]:
        try:
            yield
        except REFUSED as error:
            raise StepError(f"{where} could not connect: {self.masked(str(error))}", "connect") from error
        except (httpx.LocalProtocolError, UnicodeError):
            # Its text quotes the header, which may be a secret.
            raise StepError(f"{where}: a header holds a character that HTTP does not allow", "request") from None
        except (httpx.HTTPError, _Broken) as error:
            late = isinstance(error, httpx.TimeoutException | _Late)
            why = "no whole answer in time" if late else self.masked(str(error)) or "the connection broke"
            if request.reads:
                raise StepError(f"{where}: {why}", "timeout" if late else "network") from error
            raise AnswerLost(f"{where}: {why}; it may have acted", "timeout" if late else "answer_lost") from error


class _Broken(Exception):
    """An answer that we stop reading."""


class _Late(_Broken):
    """An answer that did not end in time."""


class _CheckedTransport(httpx.BaseTransport):
    """Connects only to addresses that were checked, by number, so that a second look-up cannot say something else."""

    def __init__(self) -> None:
        # A kept connection is known by its address alone, not by the name that its certificate was checked for.
        self._inner = httpx.HTTPTransport(verify=_tls(), limits=httpx.Limits(max_keepalive_connections=0))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request to the first of its host's addresses that answers; raises StepError where one is blocked."""
        failed: Exception | None = None
        for address in checked(*_place(request.url), request.extensions[ALLOW]):
            try:
                return self._inner.handle_request(_pinned(request, address))
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failed = error
        raise failed or httpx.ConnectError("the host has no address")

    def close(self) -> None:
        self._inner.close()


def _pinned(request: httpx.Request, address: str) -> httpx.Request:
    """Return the request with the address in place of the name; Host and TLS keep the name."""
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": request.url.raw_host.decode("ascii")},
    )


def _client(transport: httpx.BaseTransport | None = None) -> httpx.Client:
    # One job's cookies are not another's.
    no_cookies = http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
    # Servers close idle connections, often after 5 s: a write that meets that moment would be in doubt.
    limits = httpx.Limits(max_connections=None, keepalive_expiry=2.0)
    return httpx.Client(
        verify=_tls(), transport=transport, cookies=no_cookies, limits=limits, headers={"User-Agent": "jobdeck"}
    )


@functools.cache
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context()


def _with_params(url: httpx.URL, params: Mapping[str, Any]) -> httpx.URL:
    """Return the URL with parameters after its own, which stay as they are written: they may be signed."""
    if not params:
        return url
    return url.copy_with(query=b"&".join(part for part in (url.query, urlencode(params, doseq=True).encode()) if part))


def _timeouts(deadline: float) -> dict[str, float | None]:
    left = max(deadline - time.monotonic(), 0.001)
    return httpx.Timeout(left, connect=min(left, CONNECT_TIMEOUT)).as_dict()


def _body(response: httpx.Response, deadline: float, patience: Patience) -> bytes:
    body = bytearray()
    for part in response.iter_bytes():
        body += part
        if len(body) > BODY_LIMIT:
            raise _Broken(f"the answer {response.status_code} is larger than {BODY_LIMIT // 1024 // 1024} MiB")
        if patience.canceled.is_set():
            raise _Broken("the step was canceled")
        if time.monotonic() > deadline:
            raise _Late
    return bytes(body)


def _followed(sent: httpx.Request, following: httpx.Request, where: str) -> httpx.Request:
    """Return the request to follow a redirect with, without credentials on another host; raises StepError."""
    if following.url.scheme not in ("http", "https"):
        raise StepError(f"{where} was redirected to {following.url.scheme}:, which is not HTTP", "http")
    if sent.url.scheme == "https" and following.url.scheme == "http":
        raise StepError(f"{where} was redirected from https to http, which is not followed", "http")
    if not _same_origin(sent.url, following.url):
        for name in set(following.headers) - KEPT_ACROSS_HOSTS:
            del following.headers[name]
    return following


def _named(lead: str) -> tuple[str, int] | None:
    """Return the host and port that the beginning of a URL names; None where what follows could still move them."""
    # Without a mark that ends it, the host goes on; a backslash ends it for some and not for others.
    found = re.match(r"https?://[^/?#\\\s]+[/?#]", lead, re.IGNORECASE)
    return _place(httpx.URL(found[0])) if found else None


def _place(url: httpx.URL) -> tuple[str, int]:
    return url.host, url.port or {"https": 443}.get(url.scheme, 80)


def _same_origin(one: httpx.URL, other: httpx.URL) -> bool:
    return one.scheme == other.scheme and _place(one) == _place(other)


def _shown(url: httpx.URL) -> str:
    """Return a URL without user, password and query, which may hold secrets."""
    return str(url.copy_with(username=None, password=None, query=None, fragment=None))
