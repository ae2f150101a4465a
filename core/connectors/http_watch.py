"""Watches lists of JSON APIs: every page is read, items are told apart by a key, their changes by a field."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from core.connectors import servers
from core.connectors.declare import Found, Inputs, Seen, Trigger, Watch, Watcher
from core.connectors.servers import Scalar
from core.connectors.values import moment, to_text
from core.errors import StepError
from core.wording import listed
from data.job_records import JsonValue

if TYPE_CHECKING:
    import httpx

    from core.connectors.wire import Answer, Client

MAX_PAGES = 1_000  # of one list
MAX_BYTES = 32 * 1024 * 1024  # of all its pages: while a poll lasts, its items are kept in memory
LINK = "link"  # the value of `next` that means the header of RFC 8288
_MISSING = object()


class New(Inputs):
    """The inputs of `http.new`."""

    connection: str | None = Field(default=None, description="a connection of type http, for its base_url and headers")
    url: str = Field(min_length=1, description="where the list is; with a connection, a path under its base_url")
    items: str = Field(default="", description="where the list is in the body, `data.items`; empty: it is the body")
    key: str = Field(min_length=1, description="what tells items apart: where it is in an item, `id` or `meta.id`")
    updated: str | None = Field(
        default=None,
        min_length=1,
        description="what moves when an item changes, `updated_at`; here for order, and to tell of changes",
    )
    created: str | None = Field(default=None, min_length=1, description="when an item came to be; `since` compares it")
    next: str | None = Field(
        default=None,
        min_length=1,
        description="where the next page's URL is in the body, `links.next`; `link`: in the Link header",
    )
    params: dict[str, Scalar | list[Scalar]] = Field(
        default_factory=dict, description="query parameters of the first page; null ones are left out"
    )
    headers: dict[str, str] = Field(default_factory=dict, description="further headers")

    @model_validator(mode="after")
    def _check_url(self) -> Self:
        servers.need_host(self.url, self.connection)
        return self


class NewOrUpdated(New):
    """The inputs of `http.new_or_updated`."""

    updated: str = Field(min_length=1, description="what moves when an item changes, `updated_at`; `since` compares it")


def scan(inputs: New, watch: Watch, *, updates: bool) -> Iterator[Seen]:
    """Yield every item's key, mark and moment, the oldest first where `updated` or `created` says so.

    Raises StepError before the first one where a page cannot be read or an item has no key: a list that is read in
    part would make the rest look gone.
    """
    compared = inputs.updated if updates else inputs.created
    moments: dict[str, dt.datetime | None] = {}
    order: dict[str, dt.datetime | None] = {}
    for number, (answer, items) in enumerate(_pages(inputs, watch), start=1):
        for key, found in _found(inputs, answer, items, number, updates=updates).items():
            # An item that moved to a later page while the pages were read is there twice: the later is the newer one.
            watch.kept[key] = found
            moments[key] = _moment(found.data, compared)
            order[key] = _moment(found.data, inputs.updated or inputs.created)
    last = dt.datetime.max.replace(tzinfo=dt.UTC)
    for key in sorted(order, key=lambda key: order[key] or last):
        yield Seen(key, watch.kept[key].stamp, moments[key])


def fetch(inputs: New, watch: Watch, keys: Sequence[str], *, updates: bool) -> Iterator[Found]:
    """Yield these items as the poll's scan read them; without one, the list is read here."""
    if not watch.kept:
        list(scan(inputs, watch, updates=updates))
    yield from (watch.kept[key] for key in keys if key in watch.kept)


def _pages(inputs: New, watch: Watch) -> Iterator[tuple[Answer, list[JsonValue]]]:
    """Yield each page's answer and items; raises StepError for what is no page, and where there are too many."""
    url: str | None = inputs.url
    seen: set[str | None] = set()
    size = 0
    while url is not None:
        answer = _asked(inputs, watch, url, first=not seen)
        seen.add(url)
        size += len(answer.body)
        if size > MAX_BYTES:
            raise StepError(f"{answer.where}: the list is larger than {MAX_BYTES // 1024 // 1024} MiB{_FEWER}", "http")
        page = _json(answer)
        yield answer, _items(inputs, answer, page)
        url = _next(inputs, answer, page)
        if url in seen:
            raise StepError(f"{answer.where}: next: page {len(seen)} leads back to a page that was read", "http")
        if len(seen) >= MAX_PAGES and url:
            raise StepError(f"{answer.where}: the list has more than {MAX_PAGES} pages{_FEWER}", "http")


_FEWER = ", which is as much as one poll keeps: ask for less with `params`"


def _asked(inputs: New, watch: Watch, url: str, *, first: bool) -> Answer:
    from core.connectors import wire

    if watch.canceled.is_set():
        raise StepError("the poll was canceled", "timeout")
    client: Client = watch.connection or servers.anonymous()
    params = servers.flat(inputs.params) if first else {}
    request = wire.Request("GET", url, reads=True, params=params, headers=inputs.headers)
    answer = client.send(request, wire.Patience(None, watch.canceled, watch.allow_hosts))
    if not 200 <= answer.status < 300:
        raise _refused(answer, client, watch.now)
    return answer


def _refused(answer: Answer, client: Client, now: dt.datetime) -> StepError:
    said = client.masked(servers.said(servers.body(answer)))
    wait = servers.retry_after(answer, now)
    asks = f"; it asks to wait {wait:.0f} s" if wait else ""
    kind = "rate_limited" if answer.status == 429 else "http"
    return StepError(servers.refusal(answer, said) + asks, kind, answer.status)


def _json(answer: Answer) -> JsonValue:
    try:
        return servers.parsed(answer)
    except ValueError as error:
        kind = answer.headers.get("content-type") or "a body without a type"
        raise StepError(f"{answer.where} answered {kind} that is no JSON: {error}", "parse") from None


def _items(inputs: New, answer: Answer, page: JsonValue) -> list[JsonValue]:
    items = _at(page, inputs.items) if inputs.items else page
    if isinstance(items, list):
        return items
    place = f"items: {inputs.items!r}" if inputs.items else "items: the body"
    if items is _MISSING:
        there = f"; it has {listed(page)}" if isinstance(page, dict) else ""
        raise StepError(f"{answer.where}: {place} is not in the body{there}", "parse")
    raise StepError(f"{answer.where}: {place} must be a list, not {_kind(items)}", "parse")


def _found(
    inputs: New, answer: Answer, items: list[JsonValue], number: int, *, updates: bool
) -> dict[str, Found]:
    """Return a page's items by their keys; raises StepError that says which one has none of its own."""
    found: dict[str, Found] = {}
    for position, item in enumerate(items, start=1):
        where = f"{answer.where}: item {position}" + (f" of page {number}" if number > 1 else "")
        key = _scalar(item, inputs.key, "key", where)
        if not key:
            raise StepError(f"{where}: key: {inputs.key!r} is {'empty' if key == '' else 'null'}", "parse")
        if key in found:
            raise StepError(f"{where}: key: {inputs.key!r} is not unique, {key!r} is there twice", "parse")
        mark = _scalar(item, str(inputs.updated), "updated", where) if updates else _told(item, inputs.updated)
        found[key] = Found(key, mark, item)
    return found


def _told(item: JsonValue, path: str | None) -> str | None:
    """Return a value of an item as text, None where it is not there or holds others."""
    value = _at(item, path) if path else None
    return None if value is None or value is _MISSING or isinstance(value, dict | list) else to_text(value)


def _scalar(item: JsonValue, path: str, name: str, where: str) -> str | None:
    """Return a value of an item as text, None for null; raises StepError where it is not there or holds others."""
    value = _at(item, path)
    if value is _MISSING:
        raise StepError(f"{where} has no {path!r} ({name})", "parse")
    if isinstance(value, dict | list):
        raise StepError(f"{where}: {name}: {path!r} must be text or a number, not {_kind(value)}", "parse")
    return None if value is None else to_text(value)


def _moment(item: JsonValue, path: str | None) -> dt.datetime | None:
    value = _at(item, path) if path else None
    return None if value is _MISSING else moment(value)


def _next(inputs: New, answer: Answer, page: JsonValue) -> str | None:
    """Return the whole URL of the next page, or None; raises StepError where it leads to another server."""
    import httpx

    if inputs.next is None:
        return None
    told = _linked(answer) if inputs.next == LINK else _at(page, inputs.next)
    if told in (_MISSING, None, "", False):
        return None
    if not isinstance(told, str):
        raise StepError(f"{answer.where}: next: {inputs.next!r} must be a URL, not {_kind(told)}", "parse")
    try:
        following = answer.url.join(told)
    except (httpx.InvalidURL, ValueError):
        raise StepError(f"{answer.where}: next: {inputs.next!r} is no URL", "parse") from None
    # With a connection, its client holds every URL to the connection's server; its address is not known here.
    home = answer.url if inputs.connection else httpx.URL(inputs.url)
    if _origin(following) != _origin(home):
        leads = f"leads to {following.scheme}://{following.netloc.decode('ascii')}"
        raise StepError(f"{answer.where}: next: it {leads}, the list is on {home.scheme}://{home.host}", "http")
    return str(home.copy_with(raw_path=following.raw_path, fragment=None))


def _linked(answer: Answer) -> str | None:
    """Return the target of the link whose relation is `next` (RFC 8288), or None."""
    import httpx

    links = httpx.Response(answer.status, headers=answer.headers).links.values()
    return next((link["url"] for link in links if "next" in link.get("rel", "").lower().split()), None)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _at(value: JsonValue, path: str) -> JsonValue | object:
    """Return what stands at a dotted path, `_MISSING` where nothing does; a name with dots in it is found as well."""
    if isinstance(value, Mapping) and path in value:
        return value[path]
    head, dot, rest = path.partition(".")
    if dot:
        inner = _at(value, head)
        return inner if inner is _MISSING else _at(inner, rest)  # type: ignore[arg-type]
    if isinstance(value, list) and path.isascii() and path.isdigit() and int(path) < len(value):
        return value[int(path)]
    return _MISSING


def _kind(value: object) -> str:
    kinds = {dict: "a mapping", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")


def _trigger(name: str, summary: str, inputs: type[New], updates: bool) -> Trigger:
    return Trigger(
        name=name,
        summary=summary,
        inputs=inputs,
        source=Watcher(
            scan=functools.partial(scan, updates=updates),
            fetch=functools.partial(fetch, updates=updates),
            updates=updates,
            since_field=lambda inputs: inputs.updated if updates else inputs.created,
        ),
        connection="http",
    )


TRIGGERS = (
    _trigger("http.new", "An event for each item that appears in a list of a JSON API.", New, updates=False),
    _trigger(
        "http.new_or_updated",
        "An event for each item that appears in a list of a JSON API or changes there.",
        NewOrUpdated,
        updates=True,
    ),
)
