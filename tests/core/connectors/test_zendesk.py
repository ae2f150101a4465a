"""Zendesk over real HTTP against the stand-in: what is found, made, updated, refused, waited for, left in doubt."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from core.connectors.declare import Effect
from core.connectors.registry import registry
from core.errors import AnswerLost, StepError
from core.parse import validate_inputs
from core.sandbox.desk import desk_app
from core.sandbox.serve import Served

TOKEN = "canary-token-5f2d"
ORGANIZATIONS = "/api/v2/organizations"
TICKETS = "/api/v2/tickets"


class Desk:
    """A stand-in of one test: signed in to look at its state and to arrange faults."""

    def __init__(self, served: Served) -> None:
        self.url = served.url
        self.http = httpx.Client(base_url=served.url, auth=("ops@example.com/token", TOKEN), trust_env=False)

    def fault(self, method: str, path: str, **how: Any) -> None:
        answer = self.http.post("/sandbox/faults", json={"match": {"method": method, "path": path}, **how})
        assert answer.status_code == 201, answer.text

    def asked(self) -> list[tuple[str, str, int | None]]:
        """What was asked, until now."""
        rows = self.http.get("/sandbox/requests").json()["requests"]
        return [(row["method"], row["path"], row["status"]) for row in rows]

    def keys(self) -> list[str | None]:
        return [row["idempotency_key"] for row in self.http.get("/sandbox/requests").json()["requests"]]

    def all(self, path: str) -> list[dict[str, Any]]:
        page = self.http.get(path).json()
        return next(value for value in page.values() if isinstance(value, list))


@pytest.fixture(scope="module")
def servers() -> Iterator[list[Served]]:
    """The desks of this module; closed together, for one after the other takes its time."""
    running: list[Served] = []
    yield running
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(Served.close, running))


@pytest.fixture
def desk(servers: list[Served]) -> Iterator[Desk]:
    servers.append(Served(desk_app(None, token=TOKEN)))
    desk = Desk(servers[-1])
    yield desk
    desk.http.close()
    assert servers[-1].failures == []


@pytest.fixture
def connect(tmp_path):
    kind, opened = registry().connections["zendesk"], []

    def connect(url: str, **settings: Any) -> Any:
        given = {"base_url": url, "email": "ops@example.com", "token": TOKEN, **settings}
        opened.append(kind.open(kind.settings.model_validate(given), tmp_path))
        return opened[-1]

    yield connect
    for account in opened:
        kind.close(account)


@pytest.fixture
def do(run, desk, connect):
    """Run an action of this connector on the desk."""
    account = connect(desk.url)

    def do(verb: str, timeout: float | None = 10.0, **inputs: Any) -> Any:
        call = {"connection": account, "timeout": timeout, **inputs.pop("call", {})}
        return run(f"zendesk.{verb}", {"connection": "desk", **inputs}, **call)

    return do


def failed(do: Any, *action: Any, **inputs: Any) -> StepError:
    with pytest.raises(StepError) as caught:
        do(*action, **inputs)
    assert TOKEN not in f"{caught.value} {caught.value!r}"
    return caught.value


# Organizations


def test_an_organization_is_created_found_and_updated(do):
    made = do(
        "create_organization", name="Acme", external_id="001A", domain_names=["acme.example"], notes="n", tags=["vip"],
        organization_fields={"tier": "gold"},
    )  # fmt: skip
    assert (made["name"], made["external_id"], made["tags"]) == ("Acme", "001A", ["vip"])
    for asked in ({"external_id": "001a"}, {"name": "ACME"}):
        assert do("search_organizations", **asked) == {"count": 1, "organizations": [made]}
    changed = do("update_organization", id=made["id"], name="Acme Ltd", notes=None)
    assert (changed["name"], changed["notes"], changed["external_id"]) == ("Acme Ltd", None, "001A")
    assert changed["organization_fields"] == {"tier": "gold"}
    assert do("search_organizations", name="Acme") == {"count": 0, "organizations": []}


@pytest.mark.parametrize("name", ["A & B", "100 %", "Ünïcode=?", "a+b", "c#d/e"])
def test_a_name_is_looked_up_as_it_is(do, name):
    do("create_organization", name=name)
    assert do("search_organizations", name=name)["count"] == 1


def test_all_pages_of_a_search_are_followed(run, connect):
    """The real one can give more than a page: the search of this server finds five."""
    found = [{"id": number} for number in range(5)]

    async def pages(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        start = int(scope["query_string"].rpartition(b"=")[2] or 0) if b"start=" in scope["query_string"] else 0
        following = f"{served.url}/api/v2/organizations/search.json?name=a&start={start + 2}" if start < 4 else None
        page = {"organizations": found[start : start + 2], "next_page": following, "count": 5}
        await httpx_answer(send, page)

    with Served(pages) as served:
        output = run(
            "zendesk.search_organizations", {"connection": "d", "name": "a"}, connection=connect(served.url)
        )
    assert output == {"count": 5, "organizations": found}


@pytest.mark.parametrize("following", ["http://elsewhere.example/api", "http://localhost:{port}/api"])
def test_a_next_page_elsewhere_is_not_asked(run, connect, following):
    asked = []

    async def lure(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            asked.append(scope["path"])
            page = {"organizations": [], "next_page": following.format(port=served.port)}
            await httpx_answer(send, page)

    with Served(lure) as served, pytest.raises(StepError, match="the connection is for"):
        run("zendesk.search_organizations", {"connection": "d", "name": "a"}, connection=connect(served.url))
    assert len(asked) == 1


async def httpx_answer(send: Any, body: Any, status: int = 200, kind: bytes = b"application/json") -> None:
    content = body if isinstance(body, bytes) else httpx.Response(200, json=body).content
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]})
    await send({"type": "http.response.body", "body": content})


# Tickets


def test_a_ticket_is_created_and_updated(do, desk):
    organization = do("create_organization", name="Acme")
    made = do(
        "create_ticket", subject="Printer", comment="It is on fire", priority="urgent", type="incident",
        organization_id=organization["id"], external_id="T-1", tags=["fire"],
        custom_fields=[{"id": 7, "value": "second floor"}],
    )  # fmt: skip
    assert (made["subject"], made["description"], made["priority"]) == ("Printer", "It is on fire", "urgent")
    assert (made["organization_id"], made["external_id"], made["custom_fields"]) == (
        organization["id"], "T-1", [{"id": 7, "value": "second floor"}],
    )  # fmt: skip
    changed = do("update_ticket", id=made["id"], status="solved", comment={"body": "Out.", "public": False})
    assert (changed["status"], changed["priority"]) == ("solved", "urgent")
    comments = desk.all(f"{TICKETS}/{made['id']}/comments")
    assert [(one["body"], one["public"]) for one in comments] == [("It is on fire", True), ("Out.", False)]


def test_a_description_is_the_first_comment(do):
    assert do("create_ticket", description="Help")["description"] == "Help"


def test_the_same_key_makes_one_ticket(do, desk):
    first = do("create_ticket", comment="Help")
    again = do("create_ticket", comment="Help")
    other = do("create_ticket", comment="Help", call={"idempotency_key": "key-2"})
    assert again == first
    assert other["id"] != first["id"]
    assert desk.keys() == ["key-1", "key-1", "key-2"]


def test_every_write_is_sent_with_the_key_and_no_read_is(do, desk):
    made = do("create_organization", name="Acme")
    do("update_organization", id=made["id"], name="Acme Ltd")
    do("search_organizations", name="Acme Ltd")
    ticket = do("create_ticket", comment="Help", call={"idempotency_key": "key-2"})
    do("update_ticket", id=ticket["id"], priority="low")
    assert desk.keys() == ["key-1", "key-1", None, "key-2", "key-1"]


# Inputs


@pytest.mark.parametrize(
    ("verb", "inputs"),
    [
        ("search_organizations", {}),
        ("search_organizations", {"name": "a", "external_id": "b"}),
        ("search_organizations", {"name": None}),
        ("search_organizations", {"name": ""}),
        ("create_organization", {"name": ""}),
        ("create_organization", {"name": "a", "tag": ["x"]}),
        ("create_organization", {"name": "a", "id": 1}),
        ("update_organization", {"name": "a"}),
        ("update_organization", {"id": 1}),
        ("update_organization", {"id": "../tickets/1", "name": "a"}),
        ("update_organization", {"id": -1, "name": "a"}),
        ("create_ticket", {"subject": "a"}),
        ("create_ticket", {"comment": "a", "description": "b"}),
        ("create_ticket", {"comment": {"body": "a", "html_body": "b"}}),
        ("create_ticket", {"comment": "a", "status": "pendign"}),
        ("create_ticket", {"comment": "a", "requester_id": 1, "requester": {"email": "a@b.example", "name": "A"}}),
        ("create_ticket", {"comment": "a", "custom_fields": [{"id": 1}]}),
        ("update_ticket", {"id": 1}),
        ("update_ticket", {"id": 1, "comment": {"text": "a"}}),
    ],
)
def test_wrong_inputs_are_refused(do, desk, verb, inputs):
    with pytest.raises(ValidationError):
        do(verb, **inputs)
    assert desk.asked() == []


@pytest.mark.parametrize(
    "settings",
    [{"base_url": "example.zendesk.com"}, {"email": "ops"}, {"email": "a@b:c"}, {"token": ""}, {"tokn": "x"}],
)
def test_wrong_settings_are_refused(connect, settings):
    with pytest.raises(ValidationError):
        connect(**{"url": "https://example.zendesk.com", **settings})


@pytest.mark.parametrize(
    ("verb", "inputs", "effect", "doubt"),
    [
        ("search_organizations", {"name": "a"}, Effect.READS, None),
        ("create_organization", {"name": "a"}, Effect.WRITES, None),
        ("update_organization", {"id": 1, "name": "a"}, Effect.IDEMPOTENT, None),
        ("create_ticket", {"comment": "a"}, Effect.WRITES, "retry"),
        ("update_ticket", {"id": 1, "status": "open"}, Effect.IDEMPOTENT, None),
        ("update_ticket", {"id": 1, "comment": "a"}, Effect.WRITES, None),
    ],
)
def test_it_says_what_may_be_done_again(verb, inputs, effect, doubt):
    action = registry().actions[f"zendesk.{verb}"]
    model = action.inputs.model_validate({"connection": "desk", **inputs})
    assert action.effect_of(model) is effect
    assert (action.on_doubt(model, None) if action.on_doubt else None) == doubt


# Refusals


def test_a_refusal_is_told_with_its_details(do):
    do("create_organization", name="Acme", external_id="1")
    error = failed(do, "create_organization", name="acme", external_id="1")
    assert (error.kind, error.status, isinstance(error, AnswerLost)) == ("http", 422, False)
    assert "422 Unprocessable" in str(error)
    assert "Name: acme has already been taken (DuplicateValue)" in str(error)
    assert "External: 1 has already been taken (DuplicateValue)" in str(error)


def test_what_is_not_there_is_told(do):
    error = failed(do, "update_organization", id=7, name="a")
    assert (error.kind, error.status) == ("http", 404)
    assert str(error).startswith("Not found (404 Not Found, ")
    assert "/api/v2/organizations/7.json)" in str(error)


def test_a_wrong_token_is_told_with_what_to_look_at(run, desk, connect):
    account = connect(desk.url, token="another-token")
    with pytest.raises(StepError, match=r"Couldn't authenticate you \(.*\); see email and token") as caught:
        run("zendesk.search_organizations", {"connection": "d", "name": "a"}, connection=account)
    assert (caught.value.status, "another-token" in str(caught.value)) == (401, False)


@pytest.mark.parametrize("status", [500, 503])
def test_a_failure_of_zendesk_is_an_error(do, desk, status):
    desk.fault("*", "*", status=status)
    error = failed(do, "create_organization", name="Acme")
    assert (error.status, isinstance(error, AnswerLost)) == (status, False)
    assert len(desk.asked()) == 1


def test_an_error_in_plain_text_or_html_is_told_as_it_is(run, connect):
    async def proxy(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await httpx_answer(send, b"<h1>Down\x1b[2J " + TOKEN.encode() + b" " + b"x" * 1000, 500, b"text/html")

    with Served(proxy) as served, pytest.raises(StepError, match="<h1>Down") as caught:
        run("zendesk.create_organization", {"connection": "d", "name": "a"}, connection=connect(served.url))
    assert len(str(caught.value)) < 450
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("body", [b"<html>sign in</html>", b"[]", b"{}", b'{"organization": null}'])
def test_an_answer_without_the_record_is_no_success(run, connect, body):
    async def odd(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await httpx_answer(send, body)

    with Served(odd) as served:
        account = connect(served.url)
        with pytest.raises(AnswerLost, match="without the organization"):
            run("zendesk.create_organization", {"connection": "d", "name": "a"}, connection=account)
        with pytest.raises(StepError, match=r"not JSON|without `organizations`"):
            run("zendesk.search_organizations", {"connection": "d", "name": "a"}, connection=account)


# Lost answers


@pytest.mark.parametrize(
    ("verb", "inputs", "path"),
    [
        ("create_organization", {"name": "New"}, ORGANIZATIONS),
        ("update_organization", {"id": 0, "name": "New"}, ORGANIZATIONS + "/*"),
        ("create_ticket", {"comment": "Help"}, TICKETS),
    ],
)
def test_a_write_whose_answer_was_lost_is_in_doubt(do, desk, verb, inputs, path):
    if "id" in inputs:
        inputs = {**inputs, "id": do("create_organization", name="Old")["id"]}
    desk.fault("*", path, drop="after")
    assert isinstance(failed(do, verb, **inputs), AnswerLost)
    there = desk.all(TICKETS) if "ticket" in verb else [one for one in desk.all(ORGANIZATIONS) if one["name"] == "New"]
    assert len(there) == 1


def test_a_ticket_whose_answer_was_lost_is_made_once(do, desk):
    desk.fault("POST", TICKETS, drop="after")
    assert isinstance(failed(do, "create_ticket", comment="Help"), AnswerLost)
    again = do("create_ticket", comment="Help")
    assert [one["id"] for one in desk.all(TICKETS)] == [again["id"]]


@pytest.mark.parametrize("status", [502, 504])
def test_a_gateway_that_does_not_know_leaves_a_write_in_doubt(do, desk, status):
    desk.fault("*", "*", status=status, times=2)
    assert isinstance(failed(do, "create_organization", name="Acme"), AnswerLost)
    assert not isinstance(failed(do, "search_organizations", name="Acme"), AnswerLost)


def test_a_search_whose_answer_was_lost_is_a_plain_error(do, desk):
    desk.fault("GET", "*", drop="after")
    assert not isinstance(failed(do, "search_organizations", name="a"), AnswerLost)


def test_where_nobody_answers_nothing_was_sent(run, connect):
    with pytest.raises(StepError) as caught:
        run("zendesk.create_ticket", {"connection": "d", "comment": "a"}, connection=connect("http://127.0.0.1:1"))
    assert (caught.value.kind, isinstance(caught.value, AnswerLost)) == ("connect", False)


# Rate limits


@pytest.mark.parametrize(
    ("verb", "inputs"),
    [
        ("search_organizations", {"name": "a"}),
        ("create_organization", {"name": "a"}),
        ("create_ticket", {"comment": "a"}),
    ],
)
def test_a_rate_limit_is_waited_for(do, desk, verb, inputs):
    desk.fault("*", "*", status=429, retry_after=0, times=2)
    do(verb, **inputs)
    assert [status for _, _, status in desk.asked()][:2] == [429, 429]
    assert len(desk.asked()) == 3


def test_it_waits_as_long_as_it_is_told(do, desk):
    desk.fault("GET", "*", status=429, retry_after=1)
    began = time.monotonic()
    do("search_organizations", name="a")
    assert time.monotonic() - began >= 1


def test_a_longer_wait_than_the_step_may_take_is_an_error_at_once(do, desk):
    desk.fault("GET", "*", status=429, retry_after=3600)
    began = time.monotonic()
    error = failed(do, "search_organizations", name="a")
    assert time.monotonic() - began < 5
    assert (error.kind, error.status) == ("rate_limited", 429)
    assert "Number of allowed API requests per minute exceeded" in str(error)
    assert "3600 s" in str(error)
    assert len(desk.asked()) == 1


def test_a_limit_that_does_not_end_is_an_error_in_the_end(do, desk):
    desk.fault("*", "*", status=429, retry_after=0, times=100)
    error = failed(do, "create_organization", name="a")
    assert (error.kind, isinstance(error, AnswerLost)) == ("rate_limited", False)
    assert "asked 5 times" in str(error)
    assert len(desk.asked()) == 5


def test_a_canceled_step_waits_no_more(do, desk):
    desk.fault("GET", "*", status=429, retry_after=60)
    canceled = threading.Event()
    log: list[str] = []

    def noted(level: str, message: str) -> None:
        log.append(message)
        canceled.set()

    call = {"canceled": canceled, "log": noted}
    began = time.monotonic()
    error = failed(do, "search_organizations", timeout=None, name="a", call=call)
    assert "canceled" in str(error)
    assert time.monotonic() - began < 5
    assert "429 Too Many Requests: asked again in" in log[0]


def test_an_overload_with_a_time_is_waited_for_where_a_repeat_does_no_harm(do, desk):
    made = do("create_organization", name="Old")
    for verb, inputs in (
        ("search_organizations", {"name": "a"}),
        ("update_organization", {"id": made["id"], "name": "New"}),
        ("create_ticket", {"comment": "a"}),
    ):
        desk.fault("*", "*", status=503, retry_after=0)
        do(verb, **inputs)
    desk.fault("*", "*", status=503, retry_after=0)
    assert failed(do, "create_organization", name="Another").status == 503
    desk.fault("*", "*", status=503, retry_after=0)
    assert failed(do, "update_ticket", id=1, comment="again").status == 503


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"comment": "a", "priorty": "high"}, "unknown input 'priorty'; did you mean 'priority'?"),
        ({"comment": {"body": "a", "publc": False}}, "unknown input 'publc'; did you mean 'public'?"),
        ({"comment": "a", "custom_fields": [{"id": 1, "value": 1, "valeu": 1}]}, "unknown input 'valeu'; did you mean"),
        ({"comment": "a", "requester": {"email": "a@b.example", "name": "A", "nam": "A"}}, "did you mean 'name'?"),
    ],
)
def test_an_unknown_field_is_refused_with_what_was_meant(inputs, says):
    with pytest.raises(StepError) as caught:
        validate_inputs(registry().actions["zendesk.create_ticket"], {"connection": "desk", **inputs})
    assert says in str(caught.value)
