"""Lists of JSON APIs watched over real HTTP: where the items are, which page is next, what is an error."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from core.connectors import http_watch
from core.connectors.registry import registry
from core.errors import StepError
from core.sandbox.desk import desk_app
from core.sandbox.serve import Served

CANARY = "canary-5f2d"
TOKEN = "t0ken"


class Api:
    """A server that answers with the page of each path, and keeps what it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.pages: dict[str, Any] = {}
        self.links: dict[str, str] = {}
        self.status, self.more = 200, []
        self.asked: list[tuple[str, dict[str, str]]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        query = scope["query_string"].decode()
        path = scope["path"] + (f"?{query}" if query else "")
        self.asked.append((path, {name.decode(): value.decode() for name, value in scope["headers"]}))
        page = self.pages.get(path, [])
        headers = [(b"content-type", b"application/json"), *self.more]
        headers += [(b"link", self.links[path].encode())] if path in self.links else []
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        content = page if isinstance(page, bytes) else json.dumps(page).encode()
        await send({"type": "http.response.body", "body": content})

    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Api, Served]]:
    app = Api()
    with Served(app) as running:
        yield app, running
        assert running.failures == []


@pytest.fixture
def api(served: tuple[Api, Served]) -> Api:
    app, running = served
    app.__init__()  # type: ignore[misc]
    app.url = running.url
    return app


@pytest.fixture
def connect(tmp_path):
    kind, opened = registry().connections["http"], []

    def connect(**settings: Any) -> Any:
        opened.append(kind.open(kind.settings.model_validate(settings), tmp_path))
        return opened[-1]

    yield connect
    for client in opened:
        kind.close(client)


@pytest.fixture
def watch(poller, api):
    """Return a Poller of the list at /list."""

    def watch(name: str = "http.new", client: Any = None, **inputs: Any) -> Any:
        return poller(name, {"url": f"{api.url}/list", "key": "id", **inputs}, client)

    return watch


def keys(watched: Any) -> list[str]:
    return [seen.key for seen in watched.scan()]


# Items and their fields


@pytest.mark.parametrize(
    ("body", "inputs"),
    [
        ([{"id": 1}, {"id": "b"}], {}),
        ({"data": {"items": [{"id": 1}, {"id": "b"}]}}, {"items": "data.items"}),
        ({"@odata.value": [{"meta": {"id": 1}}, {"meta": {"id": "b"}}]}, {"items": "@odata.value", "key": "meta.id"}),
        ({"a": {"b.c": [{"id": [1]}, {"id": ["b"]}]}}, {"items": "a.b.c", "key": "id.0"}),
    ],
)
def test_items_and_keys_are_where_the_inputs_say(watch, api, body, inputs):
    api.pages["/list"] = body
    assert keys(watch(**inputs)) == ["1", "b"]


def test_an_item_is_the_event_as_the_list_gives_it(watch, api):
    items = [{"id": 1, "at": "2026-01-02T00:00:00Z", "deep": {"a": [1.5, None, "{{ x }}"]}}]
    api.pages["/list"] = items
    found = watch("http.new_or_updated", updated="at").fetch(["1"])
    assert [(one.key, one.stamp, one.data) for one in found] == [("1", "2026-01-02T00:00:00Z", items[0])]


def test_a_poll_asks_once_for_what_it_scans_and_fetches(watch, api):
    api.pages["/list"] = [{"id": number} for number in range(500)]
    watched = watch()
    moment = watched.watch()
    source, inputs = watched.trigger.source, watched.inputs
    seen = list(source.scan(inputs, moment))
    for start in range(0, 500, 200):
        wanted = [one.key for one in seen[start : start + 200]]
        assert [one.key for one in source.fetch(inputs, moment, wanted)] == wanted
    assert api.paths() == ["/list"]


def test_the_oldest_comes_first_where_a_time_says_so(watch, api):
    api.pages["/list"] = [
        {"id": 3, "at": "2026-01-03T00:00:00Z", "made": None},
        {"id": 2, "at": "2026-01-02T01:00:00+02:00", "made": "2026-01-01T00:00:00Z"},
        {"id": 1, "at": "2026-01-01T23:30:00Z", "made": "2026-01-02T00:00:00Z"},
    ]
    assert keys(watch()) == ["3", "2", "1"]
    assert keys(watch(created="made")) == ["2", "1", "3"]
    assert keys(watch("http.new_or_updated", updated="at", created="made")) == ["2", "1", "3"]


def test_since_compares_created_for_new_and_updated_for_changes(watch, api):
    api.pages["/list"] = [{"id": 1, "at": "2026-01-03T00:00:00Z", "made": "2026-01-01T00:00:00Z"}]
    for name, inputs, day in (
        ("http.new", {}, None),
        ("http.new", {"updated": "at"}, None),
        ("http.new", {"created": "made"}, 1),
        ("http.new_or_updated", {"updated": "at", "created": "made"}, 3),
    ):
        watched = watch(name, **inputs)
        moment = watched.scan()[0].moment
        assert (moment.day if moment else None) == day
        assert (watched.trigger.source.since_field(watched.inputs) is None) == (day is None)


def test_a_change_moves_the_mark(watch, api):
    marks = []
    for at in ("1", "2"):
        api.pages["/list"] = [{"id": 1, "at": at}]
        marks.append([watch(name, updated="at").scan()[0].mark for name in ("http.new", "http.new_or_updated")])
    assert marks == [["1", "1"], ["2", "2"]]


@pytest.mark.parametrize("item", [{"id": 1}, {"id": 1, "at": None}, {"id": 1, "at": {"day": 1}}])
def test_an_item_without_what_moves_has_no_mark_for_new(watch, api, item):
    api.pages["/list"] = [item]
    assert watch("http.new", updated="at").scan()[0].mark is None


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ([{"id": 1}, {"name": "x"}], "item 2 has no 'id' (key)"),
        ([{"id": 1}, 5], "item 2 has no 'id' (key)"),
        ([{"id": None}], "item 1: key: 'id' is null"),
        ([{"id": ""}], "item 1: key: 'id' is empty"),
        ([{"id": {"a": 1}}], "item 1: key: 'id' must be text or a number, not a mapping"),
        ([{"id": 1}, {"id": "1"}], "item 2: key: 'id' is not unique, '1' is there twice"),
        ({"data": []}, "items: the body must be a list, not a mapping"),
        (b"null", "items: the body must be a list, not null"),
        (b"<html>", "that is no JSON"),
        (b"", "that is no JSON"),
        (b'[{"id": NaN}]', "that is no JSON: NaN"),
        (b"[" * 100_000, "that is no JSON"),
    ],
)
def test_what_is_no_list_of_items_with_keys_is_an_error(watch, api, body, says):
    api.pages["/list"] = body
    with pytest.raises(StepError) as caught:
        watch().scan()
    assert says in str(caught.value)
    assert caught.value.kind == "parse"


def test_a_list_that_is_elsewhere_is_told_with_what_is_there(watch, api):
    api.pages["/list"] = {"values": [], "total": 0}
    with pytest.raises(StepError, match=r"items: 'data.items' is not in the body; it has total, values"):
        watch(items="data.items").scan()
    api.pages["/list"] = {"data": None}
    with pytest.raises(StepError, match="items: 'data' must be a list, not null"):
        watch(items="data").scan()


def test_an_item_without_its_stamp_is_an_error(watch, api):
    api.pages["/list"] = [{"id": 1, "at": "1"}, {"id": 2}]
    with pytest.raises(StepError, match="item 2 has no 'at'"):
        watch("http.new_or_updated", updated="at").scan()


# Pages


def test_pages_are_followed_in_the_body(watch, api):
    api.pages = {
        "/list?size=2": {"data": [{"id": 1}], "links": {"next": f"{api.url}/list?cursor=a%26b"}},
        "/list?cursor=a%26b": {"data": [{"id": 2}], "links": {"next": "?cursor=c"}},
        "/list?cursor=c": {"data": [{"id": 3}], "links": {"next": "/last"}},
        "/last": {"data": [{"id": 4}], "links": {"next": None}},
    }
    assert keys(watch(items="data", next="links.next", params={"size": 2})) == ["1", "2", "3", "4"]


@pytest.mark.parametrize(
    "link", ['<{url}/list?page=2>; rel="next"', '</list?page=2>; rel="last next", </x>; rel=first']
)
def test_pages_are_followed_in_the_link_header(watch, api, link):
    api.pages = {"/list": [{"id": 1}], "/list?page=2": [{"id": 2}]}
    api.links = {"/list": link.format(url=api.url), "/list?page=2": '</list>; rel="first"'}
    assert keys(watch(next="link")) == ["1", "2"]


@pytest.mark.parametrize(
    "inputs",
    [
        {"url": "/api/v2/organizations.json?per_page=2", "next": "next_page"},
        {"url": "/api/v2/organizations", "params": {"page[size]": 2}, "next": "links.next"},
    ],
)
def test_a_real_list_is_read_to_its_end(poller, connect, inputs):
    with Served(desk_app(None, token=TOKEN)) as desk:
        auth = httpx.BasicAuth("ops@example.com/token", TOKEN)
        with httpx.Client(base_url=desk.url, auth=auth, trust_env=False) as client:
            for number in range(5):
                client.post("/api/v2/organizations.json", json={"organization": {"name": f"Acme {number}"}})
        header = auth._auth_header
        watched = poller(
            "http.new_or_updated",
            {"connection": "desk", "items": "organizations", "key": "id", "updated": "updated_at", **inputs},
            connect(base_url=desk.url, headers={"Authorization": header}),
        )
        assert [one.data["name"] for one in watched.fetch()] == [f"Acme {number}" for number in range(5)]


def test_an_item_that_moves_to_a_later_page_is_there_once(watch, api):
    api.pages = {
        "/list": {"data": [{"id": 1, "at": 1}, {"id": 2, "at": 2}], "next": "?2"},
        "/list?2": {"data": [{"id": 2, "at": 9}, {"id": 3, "at": 3}], "next": ""},
    }
    watched = watch("http.new_or_updated", items="data", next="next", updated="at")
    assert [(seen.key, seen.mark) for seen in watched.scan()] == [("1", "1"), ("2", "9"), ("3", "3")]


def test_a_page_that_fails_leaves_no_half_of_a_list(watch, api):
    api.pages = {"/list": {"data": [{"id": 1}], "next": "/second"}, "/second": {"data": [{}], "next": None}}
    scanned = []
    with pytest.raises(StepError, match="/second: item 1 of page 2 has no 'id'"):
        scanned.extend(watch(items="data", next="next").scan())
    assert scanned == []


@pytest.mark.parametrize(
    ("following", "says"),
    [
        ("http://elsewhere.example/list", "leads to http://elsewhere.example, the list is on http://127.0.0.1"),
        ("http://localhost:{port}/list", "leads to http://localhost:"),
        ("http://127.0.0.1:1/list", "leads to http://127.0.0.1:1"),
        ("https://127.0.0.1:{port}/list", "leads to https://"),
        ("//elsewhere.example/list", "leads to http://elsewhere.example"),
        ("file:///etc/passwd", "leads to file://"),
        ("/list", "leads back to a page that was read"),
        ("http://a:port/", "is no URL"),
        (7, "must be a URL, not a number"),
        ({"href": "/list?2"}, "must be a URL, not a mapping"),
    ],
)
@pytest.mark.parametrize("connected", [False, True])
def test_the_next_page_is_on_the_same_server(watch, api, connect, following, says, connected):
    if isinstance(following, str):
        following = following.format(port=api.url.rpartition(":")[2])
    api.pages["/list"] = {"data": [], "next": following}
    client = connect(base_url=api.url, headers={"X-Api-Key": CANARY}) if connected else None
    own = {"connection": "c", "url": "list"} if connected else {"headers": {"X-Api-Key": CANARY}}
    watched = watch(client=client, items="data", next="next", **own)
    with pytest.raises(StepError) as caught:
        watched.scan()
    assert says in str(caught.value)
    assert CANARY not in str(caught.value)
    assert set(api.paths()) == {"/list"}


def test_credentials_go_to_every_page(poller, api, connect):
    api.pages = {
        "/v1/list": {"data": [{"id": 1}], "next": f"{api.url}/v1/list?2"},
        "/v1/list?2": {"data": [{"id": 2}], "next": None},
    }
    base = api.url.replace("http://", f"http://ops:{CANARY}@")
    client = connect(base_url=base + "/v1", headers={"X-Api-Key": CANARY})
    inputs = {"key": "id", "items": "data", "next": "next", "headers": {"X-Own": "a"}}
    assert keys(poller("http.new", {**inputs, "url": "list", "connection": "c"}, client)) == ["1", "2"]
    assert keys(poller("http.new", {**inputs, "url": f"{base}/v1/list"})) == ["1", "2"]
    assert len(api.asked) == 4
    assert all(headers["authorization"].startswith("Basic ") for _, headers in api.asked)
    assert all(headers["x-own"] == "a" for _, headers in api.asked)
    assert [headers.get("x-api-key") for _, headers in api.asked] == [CANARY, CANARY, None, None]


def test_too_many_pages_and_too_much_at_once_are_errors(watch, api, monkeypatch):
    monkeypatch.setattr(http_watch, "MAX_PAGES", 3)
    for number in range(5):
        api.pages[f"/list?{number}"] = {"data": [{"id": number}], "next": f"?{number + 1}"}
    with pytest.raises(StepError, match=r"more than 3 pages.*ask for less with `params`"):
        watch(url=f"{api.url}/list?0", items="data", next="next").scan()
    assert len(api.asked) == 3
    monkeypatch.setattr(http_watch, "MAX_BYTES", 1024 * 1024)
    api.pages = {f"/list?{n}": {"data": [{"id": n, "x": "x" * 700_000}], "next": f"?{n + 1}"} for n in range(3)}
    with pytest.raises(StepError, match=r"larger than 1 MiB.*ask for less with `params`"):
        watch(url=f"{api.url}/list?0", items="data", next="next").scan()


def test_a_full_list_keeps_memory_within_bounds(watch, api, monkeypatch):
    """A tenth of what one poll may read: small items are those that take the most memory for their bytes."""
    items = [{"id": number, "a": number * 7, "b": None, "c": {"d": number}} for number in range(40_000)]
    body = json.dumps(items).encode()
    api.pages["/list"] = body
    watched = watch()
    tracemalloc.start()
    try:
        assert len(watched.scan()) == 40_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak * (http_watch.MAX_BYTES / len(body)) < 512 * 1024 * 1024


# Refusals


def test_a_status_that_is_an_error_is_told_with_what_the_server_says(watch, api):
    api.status, api.pages["/list"] = 403, {"message": "no access to the list"}
    with pytest.raises(StepError, match=r"no access to the list \(403 Forbidden, GET .*/list\)") as caught:
        watch().scan()
    assert (caught.value.kind, caught.value.status) == ("http", 403)


@pytest.mark.parametrize(
    ("after", "says"),
    [
        ("30", "asks to wait 30 s"),
        ("Wed, 21 Oct 2099 07:28:00 GMT", "asks to wait"),
        ("-5", None),
        ("soon", None),
        ("9" * 400, None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", None),
    ],
)
def test_a_rate_limit_is_told_with_the_time_that_it_asks_for(watch, api, after, says):
    api.status, api.more = 429, [(b"retry-after", after.encode())]
    with pytest.raises(StepError, match="429 Too Many Requests") as caught:
        watch().scan()
    assert caught.value.kind == "rate_limited"
    assert ("asks to wait" in str(caught.value)) == (says is not None)
    assert says is None or says in str(caught.value)


def test_a_poll_that_is_canceled_asks_no_more(watch, api):
    watched = watch()
    moment = watched.watch()
    moment.canceled.set()
    with pytest.raises(StepError, match="canceled"):
        list(watched.trigger.source.scan(watched.inputs, moment))
    assert api.asked == []


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("http.new", {"url": "/list"}),
        ("http.new", {"url": "ftp://host/list"}),
        ("http.new", {"url": "http://["}),
        ("http.new", {"key": ""}),
        ("http.new", {"nextt": "next"}),
        ("http.new_or_updated", {}),
        ("http.new_or_updated", {"updated": ""}),
    ],
)
def test_wrong_inputs_are_refused(name, inputs):
    with pytest.raises(ValidationError):
        registry().triggers[name].inputs.model_validate({"url": "http://a/", "key": "id", **inputs})
