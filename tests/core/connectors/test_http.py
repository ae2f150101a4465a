"""HTTP: what is sent, what comes back, what is in doubt, where credentials go, which addresses are reached."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import ValidationError

from core.connectors.addresses import blocked
from core.connectors.registry import registry
from core.errors import AnswerLost, StepError
from core.sandbox.serve import DROP, Served

CANARY = "canary-5f2d"
FORM = "application/x-www-form-urlencoded"
URL = frozenset({"url"})


@dataclass
class Server:
    """A real server that keeps what it was sent and answers as the path says."""

    url: str = ""
    seen: list[dict[str, Any]] = field(default_factory=list)
    held: threading.Event = field(default_factory=threading.Event)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message.get("more_body"):
                break
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        query = scope["query_string"].decode()
        self.seen.append({"method": scope["method"], "path": scope["path"], "query": query, "body": body, **headers})
        await self.answer(scope, send, headers, query)

    async def answer(self, scope: Any, send: Any, headers: dict[str, str], query: str) -> None:
        name = scope["path"].rpartition("/")[2]
        if name == "drop":
            scope["extensions"][DROP]()
            return
        if name == "hang":
            await self.wait()
            return
        status, kind, content, more = 200, "application/json", b'{"ok": true}', []
        if name.isdigit():
            status, content = int(name), json.dumps({"error": {"message": f"no\x1b[2J {headers}"}}).encode()
        elif name == "to":
            status, more = int(query.partition("=")[0]), [(b"location", query.partition("=")[2].encode())]
        elif name == "loop":
            status, more = 302, [(b"location", b"/loop")]
        elif name == "text":
            kind, content = "text/plain; charset=latin-1", "grüße".encode("latin-1")
        elif name == "liar":
            content = b"<html>"
        elif name == "bytes":
            kind, content = "image/png", b"\x89PNG\xff"
        elif name == "empty":
            status, content = 204, b""
        elif name == "cookie":
            more = [(b"set-cookie", b"session=1"), (b"x-many", b"a"), (b"x-many", b"b")]
        elif name == "big":
            content = b" " * (11 * 1024 * 1024)
        more.append((b"content-type", kind.encode()))
        await send({"type": "http.response.start", "status": status, "headers": more})
        await send({"type": "http.response.body", "body": content})

    async def wait(self) -> None:
        await asyncio.to_thread(self.held.wait)


@pytest.fixture(scope="module")
def served() -> Iterator[Server]:
    app = Server()
    with Served(app) as running:
        app.url = running.url
        yield app


@pytest.fixture
def server(served: Server) -> Iterator[Server]:
    served.seen.clear()
    served.held.clear()
    yield served
    served.held.set()


@pytest.fixture
def connect(tmp_path):
    """Open connections of type http, closed at the end."""
    kind, opened = registry().connections["http"], []

    def connect(**settings: Any) -> Any:
        opened.append(kind.open(kind.settings.model_validate(settings), tmp_path))
        return opened[-1]

    yield connect
    for client in opened:
        kind.close(client)


@pytest.fixture
def request_(run):
    def request(inputs: dict[str, Any], **call: Any) -> Any:
        named = {"connection": "api"} if "connection" in call else {}
        return run("http.request", named | inputs, **call)

    return request


@pytest.mark.parametrize(
    ("inputs", "sent", "kind"),
    [
        ({"json": {"a": "\ud800ü"}}, b'{"a":"\\ud800\\u00fc"}', "application/json"),
        ({"json": None}, b"null", "application/json"),
        ({"form": {"a": "x & y", "b": [1, True], "c": None}}, b"a=x+%26+y&b=1&b=true", FORM),
        ({"text": "grüße"}, "grüße".encode(), "text/plain; charset=utf-8"),
        ({"text": "<a/>", "headers": {"content-type": "application/xml"}}, b"<a/>", "application/xml"),
    ],
)
def test_a_body_is_sent_as_its_kind(request_, server, inputs, sent, kind):
    assert request_({"method": "post", "url": server.url + "/a", **inputs})["body"] == {"ok": True}
    assert (server.seen[0]["body"], server.seen[0]["content-type"], server.seen[0]["method"]) == (sent, kind, "POST")


def test_parameters_join_those_of_the_url(request_, server):
    request_({"url": server.url + "/a?x=1", "params": {"y": "a b&c", "z": None, "n": [1, 2]}})
    assert server.seen[0]["query"] == "x=1&y=a+b%26c&n=1&n=2"


@pytest.mark.parametrize(
    ("path", "body"),
    [("text", "grüße"), ("liar", "<html>"), ("bytes", "iVBOR/8="), ("empty", None), ("a", {"ok": True})],
)
def test_the_body_is_read_as_its_type_says(request_, server, path, body):
    assert request_({"url": f"{server.url}/{path}"})["body"] == body


def test_headers_come_back_in_lower_case_and_cookies_do_not(request_, server):
    headers = request_({"url": server.url + "/cookie"})["headers"]
    assert headers["x-many"] == "a, b"
    assert "set-cookie" not in headers
    request_({"url": server.url + "/a"})
    assert "cookie" not in server.seen[1]


def test_a_status_of_400_and_above_is_an_error_unless_accepted(request_, server):
    with pytest.raises(StepError) as caught:
        request_({"url": server.url + "/404?token=" + CANARY})
    assert (caught.value.kind, caught.value.status) == ("http", 404)
    assert str(caught.value).startswith("no")
    assert str(caught.value).endswith(f"(404 Not Found, GET {server.url}/404)")
    assert request_({"url": server.url + "/404", "accept": [404]})["status"] == 404


@pytest.mark.parametrize(
    ("method", "effect", "doubt"),
    [
        ("GET", "reads", "retry"),
        ("HEAD", "reads", "retry"),
        ("PUT", "idempotent", "retry"),
        ("DELETE", "idempotent", "retry"),
        ("POST", "writes", "hold"),
        ("PATCH", "writes", "hold"),
    ],
)
def test_the_method_says_what_may_be_done_again(connect, method, effect, doubt):
    action = registry().actions["http.request"]
    inputs = action.inputs.model_validate({"method": method, "url": "http://a/"})
    assert (action.effect_of(inputs), action.on_doubt(inputs, None)) == (effect, doubt)
    assert action.on_doubt(inputs, connect(base_url="http://a", idempotency_keys=True)) == "retry"


def test_writes_carry_the_idempotency_key_unless_one_is_given(request_, server):
    for method in ("GET", "POST", "PUT"):
        request_({"method": method, "url": server.url + "/a"})
    request_({"method": "POST", "url": server.url + "/a", "headers": {"idempotency-key": "mine"}})
    assert [seen.get("idempotency-key") for seen in server.seen] == [None, "key-1", "key-1", "mine"]


@pytest.mark.parametrize("path", ["drop", "hang", "big"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_an_answer_that_never_came_leaves_a_write_in_doubt(request_, server, method, path):
    with pytest.raises(StepError) as caught:
        request_({"method": method, "url": f"{server.url}/{path}"}, timeout=0.3 if path == "hang" else 10)
    assert isinstance(caught.value, AnswerLost) == (method != "GET")
    assert len(server.seen) == 1
    if path == "hang":
        assert caught.value.kind == "timeout"


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://no-such-host.invalid/"])
def test_where_nobody_answers_nothing_was_sent(request_, url):
    with pytest.raises(StepError) as caught:
        request_({"method": "POST", "url": url})
    assert (caught.value.kind, isinstance(caught.value, AnswerLost)) == ("connect", False)


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"url": "http://a\x00b/"}, "POST"),
        ({"headers": {"X-A": "ü"}}, "HTTP does not allow"),
        ({"headers": {"X-A": "a\r\nX-B: 1"}}, "HTTP does not allow"),
        ({"text": "\ud800"}, "body cannot be sent"),
        ({"json": float("inf")}, "body cannot be sent"),
    ],
)
def test_what_http_cannot_say_is_not_sent(request_, server, inputs, says):
    with pytest.raises(StepError, match=says) as caught:
        request_({"method": "POST", "url": server.url + "/a", **inputs})
    assert not isinstance(caught.value, AnswerLost)
    assert server.seen == []


@pytest.mark.parametrize(
    "inputs",
    [
        {"json": 1, "text": "a"}, {"method": "TRACE"}, {"accept": [4040]}, {"body": 1},
        {"url": "ftp://host/"}, {"url": "/path"}, {"url": "http:///path"},
    ],
)  # fmt: skip
def test_wrong_inputs_are_refused(request_, inputs):
    with pytest.raises(ValidationError):
        request_({"url": "http://a/", **inputs})


# Connections and credentials


def test_a_connection_gives_base_and_headers(request_, server, connect):
    client = connect(base_url=server.url + "/v1", headers={"Authorization": CANARY, "Accept": "text/plain"})
    request_({"url": "/a?b=1", "headers": {"accept": "application/json"}}, connection=client)
    assert (server.seen[0]["path"], server.seen[0]["query"]) == ("/v1/a", "b=1")
    assert (server.seen[0]["authorization"], server.seen[0]["accept"]) == (CANARY, "application/json")
    request_({"url": server.url + "/v2"}, connection=client)
    assert server.seen[1]["path"] == "/v2"


@pytest.mark.parametrize("url", ["http://elsewhere.example/", "http://127.0.0.1:1/", "https://127.0.0.1/"])
def test_a_connection_serves_one_server_only(request_, server, connect, url):
    with pytest.raises(StepError, match="the connection is for"):
        request_({"url": url}, connection=connect(base_url=server.url, headers={"Authorization": CANARY}))


@pytest.mark.parametrize(
    "url", ["../admin", "x/../../admin", "//evil.example/../../admin", "%2e%2e/admin", "HERE/admin", "HERE/v1/../admin"]
)
def test_a_template_cannot_leave_the_base_of_a_connection(request_, server, connect, url):
    with contextlib.suppress(StepError):
        url = url.replace("HERE", server.url)
        request_({"url": url}, connection=connect(base_url=server.url + "/v1"), from_template=URL)
    assert all(seen["path"].startswith("/v1/") and ".." not in seen["path"] for seen in server.seen)


@pytest.mark.parametrize("target", ["host", "port"])
def test_credentials_do_not_follow_a_redirect_to_another_host(request_, server, connect, target):
    with Served(server) as other:
        to = f"http://{'localhost' if target == 'host' else '127.0.0.1'}:{other.port}/there"
        client = connect(base_url=server.url, headers={"X-Api-Key": CANARY, "Authorization": "Bearer " + CANARY})
        answer = request_(
            {"url": f"/to?302={to}", "headers": {"X-Own": CANARY}},
            connection=client,
            allow_hosts=("localhost", "127.0.0.1"),
        )
    assert answer["status"] == 200
    assert CANARY in str(server.seen[0])
    assert CANARY not in str(server.seen[1])


def test_credentials_follow_a_redirect_on_the_same_host(request_, server, connect):
    request_({"url": "/to?307=/there"}, connection=connect(base_url=server.url, headers={"X-Api-Key": CANARY}))
    assert [seen.get("x-api-key") for seen in server.seen] == [CANARY, CANARY]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_write_is_not_redirected(request_, server, status):
    with pytest.raises(StepError, match="redirected") as caught:
        request_({"method": "POST", "url": f"{server.url}/to?{status}=/there"})
    assert caught.value.status == status
    accepted = request_({"method": "POST", "url": f"{server.url}/to?{status}=/there", "accept": [status]})
    assert accepted["headers"]["location"] == "/there"
    assert [seen["path"] for seen in server.seen] == ["/to", "/to"]


@pytest.mark.parametrize(
    ("path", "says"),
    [("/loop", "more than 5 times"), ("/to?302=ftp://a/", "not HTTP"), ("/to?302=file:///", "not HTTP")],
)
def test_a_bad_redirect_is_an_error(request_, server, path, says):
    with pytest.raises(StepError, match=says):
        request_({"url": server.url + path})
    assert len(server.seen) <= 6


def test_secrets_stay_out_of_errors(request_, server, connect):
    base = server.url.replace("http://", f"http://ops:{CANARY}@")
    client = connect(base_url=base, headers={"Authorization": "Bearer " + CANARY})
    for inputs in (
        {"url": "/500"},  # the server's message says all headers that it was sent
        {"url": "/drop", "params": {"token": CANARY}},
        {"url": "http://elsewhere.example/?" + CANARY},
        {"url": "/a", "headers": {"X": f"{CANARY}\n"}},
    ):
        with pytest.raises(StepError) as caught:
            request_(inputs, connection=client)
        assert CANARY not in f"{caught.value} {caught.value!r}"
    bad = connect(base_url="http://127.0.0.1:1", headers={"X": f"{CANARY}\r\n"})
    with pytest.raises(StepError) as caught:
        request_({"url": "/"}, connection=bad)
    assert CANARY not in f"{caught.value} {client!r} {vars(caught.value)}"
    assert CANARY not in repr(registry().connections["http"].settings(base_url=base, headers={"A": CANARY}))


# Addresses


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.9.1", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254",
        "100.64.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1", "198.18.0.1", "192.0.0.8", "::", "::1",
        "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
        "::ffff:0:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::",
        "2001::1", "::7f00:1", "fec0::1",
    ],
)
def test_addresses_that_are_not_public_are_blocked(address):
    assert blocked(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"])
def test_public_addresses_are_not(address):
    assert not blocked(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "LOCALHOST.", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0",
        "[::1]", "[::ffff:127.0.0.1]", "[::]", "0.0.0.0", "⑫7.0.0.1", "user@127.0.0.1",
        "public.example@127.0.0.1", "127.0.0.1%00.example.com",
    ],
)
def test_a_host_from_event_data_cannot_be_inside(request_, server, host):
    port = server.url.rpartition(":")[2]
    with pytest.raises(StepError):
        request_({"url": f"http://{host}:{port}/a"}, from_template=URL)
    assert server.seen == []


HOSTILE = [
    "", "/", "a", "@evil.example/", "\\@evil.example/", ":80@evil.example/", "//evil.example/", "../../etc", "?a#b",
    "%2f@evil.example", "\u3002evil.example/", "#@evil.example/",
]  # fmt: skip


@pytest.mark.parametrize("rest", HOSTILE)
@pytest.mark.parametrize("end", ["/", "/a/", "?q=", "#"])
def test_a_host_that_the_recipe_names_to_its_end_may_be_inside_whatever_follows(request_, server, end, rest):
    request_({"url": server.url + end + rest, "accept": [404]}, from_template=URL, lead=lambda name: server.url + end)
    assert {seen["host"] for seen in server.seen} == {server.url.removeprefix("http://")}


@pytest.mark.parametrize(
    ("lead", "rest"),
    [
        ("", "URL/a"), ("http://", "PLACE/a"), ("http:", "//PLACE/a"), ("HOST", ":PORT/a"), ("HOST:", "PORT/a"),
        ("http://public.example@", "PLACE/a"), ("http://user:", "word@PLACE/a"), ("URL", "/a"), ("URL\\", "/a"),
        ("http://public.example", "@PLACE/"), ("http://public.example\\@", "PLACE/"), ("http:/", "/PLACE/a"),
    ],
)  # fmt: skip
def test_a_host_that_event_data_could_move_cannot_be_inside(request_, server, lead, rest):
    place = server.url.removeprefix("http://")
    for name, text in {"URL": server.url, "PLACE": place, "PORT": place.partition(":")[2]}.items():
        lead, rest = lead.replace(name, text), rest.replace(name, text)
    lead = lead.replace("HOST", "http://127.0.0.1")
    with pytest.raises(StepError):
        request_({"url": lead + rest}, from_template=URL, lead=lambda name: lead)
    assert server.seen == []


def test_allow_hosts_lets_event_data_reach_a_host(request_, server):
    port = server.url.rpartition(":")[2]
    for entry in ("localhost", f"localhost:{port}", "LocalHost"):
        request_({"url": f"http://localhost:{port}/a"}, from_template=URL, allow_hosts=(entry,))
    assert [seen["host"] for seen in server.seen] == [f"localhost:{port}"] * 3
    with pytest.raises(StepError, match="allow_hosts"):
        request_({"url": f"http://localhost:{port}/a"}, from_template=URL, allow_hosts=("localhost:1",))


def test_a_host_in_the_recipe_may_be_inside_but_not_what_it_redirects_to(request_, server):
    port = server.url.rpartition(":")[2]
    assert request_({"url": server.url + "/to?302=/there"})["status"] == 200
    with pytest.raises(StepError) as caught:
        request_({"url": f"{server.url}/to?302=http://localhost:{port}/there"})
    assert caught.value.kind == "blocked"
    assert [seen["path"] for seen in server.seen] == ["/to", "/there", "/to"]


def test_a_second_look_up_cannot_lead_elsewhere(request_, server, monkeypatch):
    """The name is public when it is checked and loopback from then on: nothing may reach loopback."""
    port, answers = int(server.url.rpartition(":")[2]), []

    def rebinding(host: Any, *rest: Any, **named: Any) -> Any:
        if host in ("rebind.example", b"rebind.example"):
            answers.append("203.0.114.1" if not answers else "127.0.0.1")
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answers[-1], port))]
        return real(host, *rest, **named)

    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    with pytest.raises(StepError) as caught:
        request_({"url": f"http://rebind.example:{port}/a"}, from_template=URL, timeout=0.3)
    assert caught.value.kind == "connect"
    assert answers == ["203.0.114.1"]
    assert server.seen == []


def test_the_base_of_a_connection_may_be_inside_for_templates_under_it(request_, server, connect):
    assert request_({"url": "/things/one"}, connection=connect(base_url=server.url), from_template=URL)["status"] == 200
