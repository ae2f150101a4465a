"""The stand-in help desk over real HTTP: its shapes, its refusals, its faults, and what it remembers."""

import asyncio
import json
import signal
import socket
import sqlite3
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from core.sandbox import desk as desk_module
from core.sandbox import kept
from core.sandbox.desk import desk_app
from core.sandbox.serve import DidNotStart, Served

TOKEN = "t0ken"
AUTH = ("ops@example.com/token", TOKEN)
ROOT = Path(desk_module.__file__).parents[2]
ORGANIZATIONS = "/api/v2/organizations.json"
TICKETS = "/api/v2/tickets.json"
SEARCH = "/api/v2/organizations/search.json"


@dataclass
class Clock:
    """A clock that stands still until it is moved."""

    now: float = 1_770_000_000.0

    def __call__(self):
        return self.now


def client_of(served):
    return httpx.Client(base_url=served.url, auth=AUTH, timeout=30, trust_env=False)


@pytest.fixture(scope="module")
def servers():
    """The servers of this module; closed together, for one after the other takes its time."""
    running = []
    yield running
    with ThreadPoolExecutor(32) as pool:
        list(pool.map(Served.close, running))


@pytest.fixture
def start(servers):
    """Starts a desk with the given settings and gives a signed-in client of it."""
    clients, own = [], []

    def started(path=None, **settings):
        own.append(Served(desk_app(path, token=TOKEN, **settings)))
        servers.append(own[-1])
        clients.append(client_of(own[-1]))
        return clients[-1]

    yield started
    for client in clients:
        client.close()
    assert [failure for served in own for failure in served.failures] == []


@pytest.fixture
def desk(start):
    return start()


@pytest.fixture(scope="module")
def shared():
    """One desk for the tests that leave nothing behind which another one could see."""
    with Served(desk_app(None, token=TOKEN)) as served, client_of(served) as client:
        yield client
        assert served.failures == []


def created(client, name, **fields):
    answer = client.post(ORGANIZATIONS, json={"organization": {"name": name, **fields}})
    assert answer.status_code == 201, answer.text
    return answer.json()["organization"]


def ticket(client, body="It is broken", headers=None, **fields):
    return client.post(TICKETS, json={"ticket": {"comment": {"body": body}, **fields}}, headers=headers or {})


def queue(client, **fault):
    answer = client.post("/sandbox/faults", json=fault)
    assert answer.status_code == 201, answer.text


def python(program, *arguments):
    """Runs a program in a process of its own, with the project's packages in reach, and gives what it wrote."""
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def seen(client):
    return client.get("/sandbox/requests").json()["requests"]


# Who is let in, and to what


@pytest.mark.parametrize(
    "auth",
    [
        None,
        ("ops@example.com/token", "wrong"),
        ("ops@example.com/token", ""),
        ("ops@example.com", TOKEN),
        ("ops/token", TOKEN),
        ("/token", TOKEN),
    ],
)
def test_who_is_not_signed_in_is_refused(shared, auth):
    answer = httpx.get(f"{shared.base_url}{ORGANIZATIONS}", auth=auth, trust_env=False)
    assert (answer.status_code, answer.json()) == (401, {"error": "Couldn't authenticate you"})
    assert answer.headers["www-authenticate"].startswith("Basic")


@pytest.mark.parametrize("header", ["Bearer abc", "Basic ***", "Basic", "Basic w6Q="])
def test_a_header_that_is_no_basic_authorization_is_refused(shared, header):
    answer = httpx.get(f"{shared.base_url}{ORGANIZATIONS}", headers={"Authorization": header}, trust_env=False)
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/api/v2/organisations.json"),
        ("GET", "/api/v2/organizations/1/users.json"),
        ("PATCH", "/api/v2/organizations/1.json"),
        ("DELETE", "/api/v2/tickets/1.json"),
        ("GET", "/sandbox/nothing"),
    ],
)
def test_an_unknown_endpoint_is_told_before_the_question_who_asks(shared, method, path):
    answer = httpx.request(method, f"{shared.base_url}{path}", trust_env=False)
    assert (answer.status_code, answer.json()) == (404, {"error": "InvalidEndpoint", "description": "Not found"})


@pytest.mark.parametrize("path", ["organizations/7", "tickets/7", "tickets/7/comments", "organizations/" + "9" * 19])
def test_a_missing_record_is_not_found(shared, path):
    answer = shared.get(f"/api/v2/{path}.json")
    assert (answer.status_code, answer.json()) == (404, {"error": "RecordNotFound", "description": "Not found"})


def test_a_missing_record_cannot_be_changed_or_deleted(shared):
    assert shared.put("/api/v2/organizations/7.json", json={"organization": {}}).status_code == 404
    assert shared.put("/api/v2/tickets/7.json", json={"ticket": {}}).status_code == 404
    assert shared.delete("/api/v2/organizations/7.json").status_code == 404


@pytest.mark.parametrize("path", ["organizations/acme", "tickets/-1", "organizations/²"])
def test_an_id_that_is_no_number_is_an_invalid_attribute(shared, path):
    answer = shared.get(f"/api/v2/{path}.json")
    assert answer.status_code == 400
    assert answer.json()["error"]["title"] == "Invalid attribute"
    assert "id must be an integer" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe\xff",
        b"[" * 99_999,
        b'{"organization": {"name": NaN}}',
        b'{"organization": {"name": "\\ud800"}}',
        b'{"organization": {"name": "x", "group_id": ' + b"9" * 5000 + b"}}",
    ],
)
def test_a_body_that_is_not_json_is_refused(shared, body):
    answer = shared.post(ORGANIZATIONS, content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error"]) == (400, "InvalidJSON")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/xml", ""])
def test_another_media_type_is_refused(shared, kind):
    answer = shared.post(ORGANIZATIONS, content=b'{"organization": {"name": "x"}}', headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["error"]) == (415, "UnsupportedMediaType")


def test_a_media_type_may_have_a_charset(desk):
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    answer = desk.post(ORGANIZATIONS, content='{"organization": {"name": "Ärzte"}}'.encode(), headers=headers)
    assert (answer.status_code, answer.json()["organization"]["name"]) == (201, "Ärzte")


@pytest.mark.parametrize("body", [[], "x", None, {}, {"org": {}}, {"organization": "Acme"}, {"organization": None}])
def test_the_record_must_be_wrapped_in_its_name(shared, body):
    headers = {"Content-Type": "application/json"}
    answer = shared.post(ORGANIZATIONS, content=json.dumps(body), headers=headers)
    assert answer.status_code == 400
    assert "organization must be an object" in answer.json()["error"]["message"]


def test_every_answer_says_that_it_is_from_the_sandbox(desk):
    answers = [
        desk.get(ORGANIZATIONS),
        desk.get("/api/v2/nothing"),
        desk.post(ORGANIZATIONS, content=b"{"),
        httpx.get(f"{desk.base_url}{ORGANIZATIONS}", trust_env=False),
        desk.get("/sandbox/requests"),
        desk.delete("/sandbox/faults"),
    ]
    assert [answer.headers["x-sandbox"] for answer in answers] == ["true"] * 6


# Organizations


def test_an_organization_is_created_whole(start):
    desk = start(clock=Clock())
    fields = {
        "external_id": "0015",
        "domain_names": ["acme.example"],
        "details": "Main street",
        "notes": "ask for Jo",
        "group_id": 5,
        "shared_tickets": True,
        "shared_comments": True,
        "tags": ["vip"],
        "organization_fields": {"plan": "gold"},
    }
    sent = {"name": "Acme", **fields, "id": 1, "url": "x", "created_at": "x", "colour": "red"}
    answer = desk.post(ORGANIZATIONS, json={"organization": sent})
    organization = answer.json()["organization"]
    assert answer.status_code == 201
    assert organization["id"] > 2**32
    assert organization["url"] == f"{desk.base_url}/api/v2/organizations/{organization['id']}.json"
    assert answer.headers["location"] == organization["url"]
    assert organization == {
        "id": organization["id"],
        "url": organization["url"],
        "name": "Acme",
        **fields,
        "created_at": "2026-02-02T02:40:00Z",
        "updated_at": "2026-02-02T02:40:00Z",
    }
    assert desk.get(organization["url"]).json() == {"organization": organization}


def test_json_at_the_end_of_a_path_makes_no_difference(desk):
    answer = desk.post("/api/v2/organizations", json={"organization": {"name": "Acme"}})
    assert answer.status_code == 201
    assert desk.get(f"/api/v2/organizations/{answer.json()['organization']['id']}").status_code == 200
    assert desk.get("/api/v2/organizations/search", params={"name": "Acme"}).json()["count"] == 1


def test_what_was_not_said_has_its_default(desk):
    organization = created(desk, "Acme")
    assert organization["external_id"] is None
    assert organization["domain_names"] == organization["tags"] == []
    assert organization["organization_fields"] == {}
    assert organization["shared_tickets"] is False


@pytest.mark.parametrize(
    ("sent", "attribute", "error"),
    [
        ({}, "name", "BlankValue"),
        ({"name": None}, "name", "BlankValue"),
        ({"name": ""}, "name", "BlankValue"),
        ({"name": " \t\n"}, "name", "BlankValue"),
        ({"name": "n" * 256}, "name", "ValueTooLong"),
        ({"name": "Taken"}, "name", "DuplicateValue"),
        ({"name": " tAKEN "}, "name", "DuplicateValue"),
        ({"name": "Other", "external_id": "a-1"}, "external_id", "DuplicateValue"),
        ({"name": "Other", "external_id": "A-1"}, "external_id", "DuplicateValue"),
    ],
)
def test_an_organization_that_the_desk_refuses(desk, sent, attribute, error):
    created(desk, "Taken", external_id="A-1")
    answer = desk.post(ORGANIZATIONS, json={"organization": sent})
    body = answer.json()
    assert (answer.status_code, body["error"]) == (422, "RecordInvalid")
    assert body["description"] == "Record validation errors"
    assert {name: [flaw["error"] for flaw in flaws] for name, flaws in body["details"].items()} == {attribute: [error]}
    assert all(flaw["description"] for flaws in body["details"].values() for flaw in flaws)
    assert desk.get(ORGANIZATIONS).json()["count"] == 1


def test_all_that_is_wrong_is_told_at_once(desk):
    created(desk, "Taken", external_id="1")
    answer = desk.post(ORGANIZATIONS, json={"organization": {"name": "Taken", "external_id": "1"}})
    assert set(answer.json()["details"]) == {"name", "external_id"}


def test_a_name_of_255_characters_is_taken(desk):
    assert created(desk, "ä" * 255)["name"] == "ä" * 255


def test_external_ids_that_are_blank_or_absent_are_no_duplicates(desk):
    for number, external in enumerate([None, None, "", ""]):
        created(desk, f"Acme {number}", external_id=external)


def test_an_external_id_that_is_a_number_becomes_text(desk):
    assert created(desk, "Acme", external_id=15)["external_id"] == "15"
    assert desk.get(SEARCH, params={"external_id": "15"}).json()["count"] == 1


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("name", 5),
        ("name", ["x"]),
        ("external_id", True),
        ("external_id", {}),
        ("domain_names", "acme.example"),
        ("domain_names", [1]),
        ("group_id", "5"),
        ("group_id", True),
        ("group_id", 2**63),
        ("shared_tickets", "yes"),
        ("tags", "vip"),
        ("organization_fields", []),
    ],
)
def test_an_attribute_of_the_wrong_kind_is_invalid(shared, attribute, value):
    answer = shared.post(ORGANIZATIONS, json={"organization": {"name": "Any", attribute: value}})
    assert answer.status_code == 400
    assert f"organization.{attribute} must be " in answer.json()["error"]["message"]


def test_text_of_any_kind_comes_back_as_it_was_sent(desk):
    name = "Zoë & Søn \u202e[bold]\u0000 \U0001f600 {{ x }}"
    assert created(desk, name)["name"] == name
    assert desk.get(SEARCH, params={"name": name}).json()["organizations"][0]["name"] == name


def test_search_finds_by_external_id_or_by_name(desk):
    acme = created(desk, "Acme Ltd", external_id="A-1")
    created(desk, "Acme")
    for params in ({"external_id": "A-1"}, {"external_id": "a-1"}, {"name": "Acme Ltd"}, {"name": "acme ltd"}):
        answer = desk.get(SEARCH, params=params)
        assert answer.status_code == 200
        assert answer.json() == {"organizations": [acme], "count": 1, "next_page": None, "previous_page": None}


@pytest.mark.parametrize("params", [{"external_id": "none"}, {"external_id": ""}, {"name": "Acm"}])
def test_search_that_finds_nothing_is_an_empty_list(desk, params):
    created(desk, "Acme")
    answer = desk.get(SEARCH, params=params)
    assert answer.status_code == 200
    assert answer.json() == {"organizations": [], "count": 0, "next_page": None, "previous_page": None}


@pytest.mark.parametrize("params", [{}, {"query": "x"}, {"name": "x", "external_id": "y"}])
def test_search_wants_one_of_the_two(shared, params):
    answer = shared.get(SEARCH, params=params)
    assert (answer.status_code, answer.json()["error"]["title"]) == (400, "Invalid attribute")


def test_an_update_keeps_what_it_does_not_name(start):
    clock = Clock()
    desk = start(clock=clock)
    old = created(desk, "Acme", external_id="1", tags=["a"], organization_fields={"plan": "gold", "size": 3})
    clock.now += 60
    changes = {"name": "Acme Ltd", "organization_fields": {"size": 4}}
    answer = desk.put(old["url"], json={"organization": changes})
    assert answer.status_code == 200
    expected = {
        **old,
        "name": "Acme Ltd",
        "organization_fields": {"plan": "gold", "size": 4},
        "updated_at": "2026-02-02T02:41:00Z",
    }
    assert answer.json() == {"organization": expected}
    assert desk.get(old["url"]).json() == {"organization": expected}
    assert desk.get(SEARCH, params={"name": "Acme"}).json()["count"] == 0


def test_an_update_may_say_the_same_again_and_frees_what_it_leaves(desk):
    acme = created(desk, "Acme", external_id="1")
    same = {"organization": {"name": "ACME", "external_id": "1"}}
    assert desk.put(acme["url"], json=same).status_code == 200
    assert desk.put(acme["url"], json={"organization": {"name": "Umbrella", "external_id": None}}).status_code == 200
    created(desk, "Acme", external_id="1")


@pytest.mark.parametrize("changes", [{"name": ""}, {"name": "Other"}, {"name": "x" * 256}, {"external_id": "2"}])
def test_an_update_is_refused_for_the_same_reasons(desk, changes):
    acme = created(desk, "Acme", external_id="1")
    created(desk, "Other", external_id="2")
    answer = desk.put(acme["url"], json={"organization": changes})
    assert (answer.status_code, list(answer.json()["details"])) == (422, list(changes))
    assert desk.get(acme["url"]).json() == {"organization": acme}


def test_a_deleted_organization_is_gone_and_its_id_is_never_used_again(desk):
    acme = created(desk, "Acme", external_id="1")
    answer = desk.delete(acme["url"])
    assert (answer.status_code, answer.content) == (204, b"")
    assert desk.get(acme["url"]).status_code == desk.delete(acme["url"]).status_code == 404
    assert desk.get(SEARCH, params={"external_id": "1"}).json()["count"] == 0
    assert created(desk, "Acme", external_id="1")["id"] > acme["id"]


def test_of_fifty_who_create_the_same_name_at_once_one_succeeds(desk):
    def create(_):
        return desk.post(ORGANIZATIONS, json={"organization": {"name": "Acme"}}).status_code

    with ThreadPoolExecutor(50) as pool:
        statuses = Counter(pool.map(create, range(50)))
    assert statuses == {201: 1, 422: 49}
    assert desk.get(ORGANIZATIONS).json()["count"] == 1


# Pages


def named(answer, key="organizations"):
    return [record["name"] for record in answer.json()[key]]


@pytest.fixture
def seven(start):
    """A desk with pages of three at most and the organizations 0 to 6."""
    desk = start(page_size=3)
    for number in range(7):
        created(desk, str(number))
    return desk


def test_pages_by_number(seven):
    pages, address = [], ORGANIZATIONS
    while address:
        answer = seven.get(address)
        pages.append(named(answer))
        assert answer.json()["count"] == 7
        address = answer.json()["next_page"]
    assert pages == [["0", "1", "2"], ["3", "4", "5"], ["6"]]
    back = seven.get(ORGANIZATIONS, params={"page": 3}).json()["previous_page"]
    assert named(seven.get(back)) == ["3", "4", "5"]
    assert seven.get(ORGANIZATIONS).json()["previous_page"] is None


def test_a_page_has_as_many_as_asked_for_and_no_more_than_allowed(seven):
    answer = seven.get(ORGANIZATIONS, params={"page": 2, "per_page": 2})
    assert named(answer) == ["2", "3"]
    assert "per_page=2" in answer.json()["next_page"]
    assert len(named(seven.get(ORGANIZATIONS, params={"per_page": 100}))) == 3
    assert named(seven.get(ORGANIZATIONS, params={"page": 9})) == []


def test_pages_end_exactly_where_the_records_do(seven):
    created(seven, "7")
    created(seven, "8")
    assert seven.get(ORGANIZATIONS, params={"page": 3}).json()["next_page"] is None


@pytest.mark.parametrize("name", ["page", "per_page", "page[size]"])
@pytest.mark.parametrize("value", ["0", "-1", "x", "1.5", "", "²"])
def test_a_page_that_is_no_number_is_refused(shared, name, value):
    answer = shared.get(ORGANIZATIONS, params={name: value})
    assert answer.status_code == 400
    assert f"{name} must be an integer above 0" in answer.json()["error"]["message"]


def test_pages_by_number_end_at_ten_thousand_records(shared):
    assert shared.get(ORGANIZATIONS, params={"page": 100}).status_code == 200
    answer = shared.get(ORGANIZATIONS, params={"page": 101})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "InvalidPaginationDepth")


def test_pages_by_cursor_there_and_back(seven):
    answer = seven.get(ORGANIZATIONS, params={"page[size]": 3})
    pages = [named(answer)]
    assert set(answer.json()) == {"organizations", "meta", "links"}
    assert answer.json()["links"]["prev"] is None
    while answer.json()["meta"]["has_more"]:
        answer = seven.get(answer.json()["links"]["next"])
        pages.append(named(answer))
    assert answer.json()["links"]["next"] is None
    assert pages == [["0", "1", "2"], ["3", "4", "5"], ["6"]]
    back = seven.get(answer.json()["links"]["prev"])
    assert (named(back), back.json()["meta"]["has_more"]) == (["3", "4", "5"], True)
    first = seven.get(back.json()["links"]["prev"])
    assert (named(first), first.json()["meta"]["has_more"]) == (["0", "1", "2"], False)
    assert first.json()["links"]["prev"] is None
    assert named(seven.get(first.json()["links"]["next"])) == ["3", "4", "5"]


def test_a_cursor_neither_skips_nor_doubles_while_records_come_and_go(seven):
    first = seven.get(ORGANIZATIONS, params={"page[size]": 3}).json()
    seven.delete(first["organizations"][0]["url"])
    created(seven, "7")
    params = {"page[size]": 3, "page[after]": first["meta"]["after_cursor"]}
    answer = seven.get(ORGANIZATIONS, params=params)
    assert named(answer) == ["3", "4", "5"]
    assert named(seven.get(answer.json()["links"]["next"])) == ["6", "7"]


def test_an_empty_list_has_no_cursors(shared):
    assert shared.get(TICKETS, params={"page[size]": 5}).json() == {
        "tickets": [],
        "meta": {"has_more": False, "after_cursor": None, "before_cursor": None},
        "links": {"next": None, "prev": None},
    }


@pytest.mark.parametrize(
    "params",
    [
        {"page[after]": "x"},
        {"page[after]": "ä"},
        {"page[before]": "aWQ6eA=="},
        {"page[after]": "aWQ6" + "OTk5" * 2000},
        {"page[after]": "aWQ6MQ==", "page[before]": "aWQ6MQ=="},
    ],
)
def test_a_cursor_that_is_none_is_refused(shared, params):
    answer = shared.get(ORGANIZATIONS, params={"page[size]": 2, **params})
    assert (answer.status_code, answer.json()["error"]["title"]) == (400, "Invalid attribute")


# Tickets


def test_a_ticket_is_created_whole(start):
    desk = start(clock=Clock())
    acme = created(desk, "Acme")
    fields = {
        "subject": "Printer",
        "external_id": "T-1",
        "type": "incident",
        "status": "open",
        "priority": "high",
        "organization_id": acme["id"],
        "tags": ["vip"],
        "custom_fields": [{"id": 1, "value": "x"}],
    }
    answer = ticket(desk, body="It smokes", **fields)
    made = answer.json()["ticket"]
    assert answer.status_code == 201
    assert answer.headers["location"] == made["url"] == f"{desk.base_url}/api/v2/tickets/{made['id']}.json"
    assert {name: made[name] for name in fields} == fields
    assert made["description"] == "It smokes"
    assert made["created_at"] == made["updated_at"] == "2026-02-02T02:40:00Z"
    assert "x-idempotency-lookup" not in answer.headers
    assert desk.get(made["url"]).json() == {"ticket": made}
    assert desk.get(TICKETS).json() == {"tickets": [made], "count": 1, "next_page": None, "previous_page": None}


def test_a_ticket_has_its_defaults(desk):
    made = ticket(desk).json()["ticket"]
    assert (made["status"], made["priority"], made["type"]) == ("new", None, None)
    assert made["requester_id"] == made["submitter_id"]


def test_a_description_alone_is_the_first_comment(desk):
    answer = desk.post(TICKETS, json={"ticket": {"description": "It smokes"}})
    comments = desk.get(answer.json()["ticket"]["url"].replace(".json", "/comments.json")).json()
    assert [comment["body"] for comment in comments["comments"]] == ["It smokes"]


@pytest.mark.parametrize(
    ("sent", "attribute"),
    [
        ({"comment": {"body": "x"}, "status": "opened"}, "status"),
        ({"comment": {"body": "x"}, "status": None}, "status"),
        ({"comment": {"body": "x"}, "priority": "asap"}, "priority"),
        ({"comment": {"body": "x"}, "type": "bug"}, "type"),
        ({"comment": {"body": "x"}, "organization_id": 77}, "organization"),
        ({}, "base"),
        ({"subject": "x", "comment": None}, "base"),
        ({"comment": {}}, "base"),
        ({"comment": {"body": "  "}}, "base"),
        ({"description": ""}, "base"),
    ],
)
def test_a_ticket_that_the_desk_refuses(shared, sent, attribute):
    answer = shared.post(TICKETS, json={"ticket": sent})
    assert (answer.status_code, answer.json()["error"]) == (422, "RecordInvalid")
    assert list(answer.json()["details"]) == [attribute]


@pytest.mark.parametrize(
    "sent", [{"comment": "x"}, {"comment": {"body": 1}}, {"comment": {"body": "x"}, "tags": "a"}, {"status": 5}]
)
def test_a_ticket_attribute_of_the_wrong_kind_is_invalid(shared, sent):
    answer = shared.post(TICKETS, json={"ticket": sent})
    assert (answer.status_code, answer.json()["error"]["title"]) == (400, "Invalid attribute")


def test_an_update_changes_a_ticket_and_adds_its_comment(start):
    clock = Clock()
    desk = start(clock=clock)
    old = ticket(desk, "First", subject="Printer", tags=["a"]).json()["ticket"]
    clock.now += 1
    sent = {"status": "solved", "priority": "low", "description": "no", "comment": {"body": "Second", "public": False}}
    answer = desk.put(old["url"], json={"ticket": sent})
    assert answer.status_code == 200
    expected = {**old, "status": "solved", "priority": "low", "updated_at": "2026-02-02T02:40:01Z"}
    assert answer.json() == {"ticket": expected}
    assert desk.get(old["url"]).json() == {"ticket": expected}
    comments = desk.get(f"/api/v2/tickets/{old['id']}/comments.json").json()
    assert comments["count"] == 2
    assert [(c["body"], c["public"]) for c in comments["comments"]] == [("First", True), ("Second", False)]
    assert comments["comments"][1]["created_at"] == "2026-02-02T02:40:01Z"


@pytest.mark.parametrize("changes", [{"status": "done"}, {"priority": "x"}, {"comment": {"body": ""}}])
def test_a_refused_update_changes_nothing(desk, changes):
    old = ticket(desk).json()["ticket"]
    assert desk.put(old["url"], json={"ticket": {"subject": "new", **changes}}).status_code == 422
    assert desk.get(old["url"]).json() == {"ticket": old}


def test_a_closed_ticket_cannot_be_changed(desk):
    closed = ticket(desk, status="closed").json()["ticket"]
    answer = desk.put(closed["url"], json={"ticket": {"status": "open"}})
    assert (answer.status_code, list(answer.json()["details"])) == (422, ["status"])


def test_tickets_have_both_paginations_and_are_found_by_external_id(start):
    desk = start(page_size=2)
    for number in range(5):
        ticket(desk, external_id="A" if number % 2 else "b")
    found = desk.get(TICKETS, params={"external_id": "B"}).json()
    assert (found["count"], len(found["tickets"])) == (3, 2)
    assert len(desk.get(found["next_page"]).json()["tickets"]) == 1
    cursored = desk.get(TICKETS, params={"external_id": "B", "page[size]": 2}).json()
    assert len(desk.get(cursored["links"]["next"]).json()["tickets"]) == 1


# Idempotency keys


def test_the_same_key_and_body_is_the_same_ticket(desk):
    first = ticket(desk, headers={"Idempotency-Key": "k-1"})
    again = ticket(desk, headers={"Idempotency-Key": "k-1"})
    assert (first.status_code, first.headers["x-idempotency-lookup"]) == (201, "miss")
    assert (again.status_code, again.headers["x-idempotency-lookup"]) == (201, "hit")
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    assert desk.get(TICKETS).json()["count"] == 1


def test_the_same_key_with_another_body_is_refused(desk):
    ticket(desk, headers={"Idempotency-Key": "k-1"})
    answer = ticket(desk, body="Something else", headers={"Idempotency-Key": "k-1"})
    assert (answer.status_code, answer.json()["error"]) == (400, "IdempotentRequestError")
    assert desk.get(TICKETS).json()["count"] == 1


def test_a_body_that_says_the_same_in_another_order_is_the_same(desk):
    headers = {"Idempotency-Key": "k-1", "Content-Type": "application/json"}
    desk.post(TICKETS, content=b'{"ticket": {"subject": "a", "comment": {"body": "b"}}}', headers=headers)
    again = desk.post(TICKETS, content=b'{"ticket":{"comment":{"body":"b"},"subject":"a"}}', headers=headers)
    assert again.headers["x-idempotency-lookup"] == "hit"


def test_another_key_or_none_is_another_ticket(desk):
    for headers in ({"Idempotency-Key": "k-1"}, {"Idempotency-Key": "k-2"}, {}, {}):
        ticket(desk, headers=headers)
    assert desk.get(TICKETS).json()["count"] == 4


def test_a_refused_request_does_not_use_up_its_key(desk):
    assert ticket(desk, headers={"Idempotency-Key": "k-1"}, status="x").status_code == 422
    assert ticket(desk, headers={"Idempotency-Key": "k-1"}).headers["x-idempotency-lookup"] == "miss"


def test_a_key_is_forgotten_after_two_hours(start):
    clock = Clock()
    desk = start(clock=clock)
    ticket(desk, headers={"Idempotency-Key": "k-1"})
    clock.now += 2 * 3600 - 1
    assert ticket(desk, headers={"Idempotency-Key": "k-1"}).headers["x-idempotency-lookup"] == "hit"
    clock.now += 1
    assert ticket(desk, headers={"Idempotency-Key": "k-1"}).headers["x-idempotency-lookup"] == "miss"
    assert desk.get(TICKETS).json()["count"] == 2


@pytest.mark.parametrize("key", ["", "k" * 256])
def test_a_key_that_is_empty_or_too_long_is_refused(shared, key):
    answer = ticket(shared, headers={"Idempotency-Key": key})
    assert (answer.status_code, answer.json()["error"]) == (400, "IdempotentRequestError")


def test_organizations_know_no_idempotency_keys(desk):
    headers = {"Idempotency-Key": "k-1"}
    assert desk.post(ORGANIZATIONS, json={"organization": {"name": "A"}}, headers=headers).status_code == 201
    answer = desk.post(ORGANIZATIONS, json={"organization": {"name": "A"}}, headers=headers)
    assert answer.status_code == 422
    assert "x-idempotency-lookup" not in answer.headers


def test_of_fifty_with_the_same_key_at_once_one_makes_the_ticket(desk):
    def create(_):
        return ticket(desk, headers={"Idempotency-Key": "k-1"}).headers["x-idempotency-lookup"]

    with ThreadPoolExecutor(50) as pool:
        assert Counter(pool.map(create, range(50))) == {"miss": 1, "hit": 49}
    assert desk.get(TICKETS).json()["count"] == 1


# The rate limit


def test_who_asks_too_often_is_told_when_to_come_back(start):
    clock = Clock()
    desk = start(rate_limit=2, clock=clock)
    answers = [desk.get(ORGANIZATIONS), desk.post(ORGANIZATIONS, json={"organization": {}})]
    assert [answer.status_code for answer in answers] == [200, 422]
    assert [answer.headers["x-rate-limit-remaining"] for answer in answers] == ["1", "0"]
    clock.now += 20.5
    refused = desk.post(ORGANIZATIONS, json={"organization": {"name": "Acme"}})
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "40"
    assert refused.headers["x-rate-limit"] == "2"
    assert refused.headers["content-type"].startswith("text/plain")
    assert refused.text == "Number of allowed API requests per minute exceeded"
    clock.now += 40
    assert desk.get(ORGANIZATIONS).json()["count"] == 0


def test_the_sandbox_s_own_paths_and_strangers_do_not_count(start):
    desk = start(rate_limit=1, clock=Clock())
    httpx.get(f"{desk.base_url}{ORGANIZATIONS}", trust_env=False)
    desk.get("/sandbox/requests")
    assert [desk.get(ORGANIZATIONS).status_code for _ in range(2)] == [200, 429]


def test_without_a_limit_no_header_speaks_of_one(desk):
    assert not [name for name in desk.get(ORGANIZATIONS).headers if "rate" in name]


# Faults


def test_a_fault_hits_what_it_names_as_often_as_it_says(desk):
    queue(desk, match={"method": "POST", "path": ORGANIZATIONS}, status=503, times=2, retry_after=7)
    assert desk.get(ORGANIZATIONS).status_code == 200
    for _ in range(2):
        answer = desk.post("/api/v2/organizations", json={"organization": {"name": "Acme"}})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")
        assert answer.json()["error"] == "Service Unavailable"
    created(desk, "Acme")


def test_a_fault_may_name_any_method_and_a_part_of_the_path(desk):
    queue(desk, match={"path": "/api/v2/organizations*"}, status=500)
    assert desk.get(TICKETS).status_code == 200
    assert desk.get("/api/v2/organizations/5.json").status_code == 500
    queue(desk, match={"method": "get"}, status=502)
    assert desk.post(TICKETS, json={}).status_code == 400
    assert desk.get(TICKETS).status_code == 502


def test_faults_are_used_in_the_order_they_came(desk):
    queue(desk, status=500)
    queue(desk, status=429, retry_after=0)
    answers = [desk.get(TICKETS) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [500, 429, 200]
    assert (answers[1].headers["retry-after"], answers[1].text[:6]) == ("0", "Number")


def test_faults_can_be_forgotten(desk):
    queue(desk, status=500, times=99)
    assert desk.delete("/sandbox/faults").status_code == 204
    assert desk.get(TICKETS).status_code == 200


def test_dropped_before_leaves_nothing_done(desk):
    queue(desk, match={"method": "POST", "path": TICKETS}, drop="before")
    with pytest.raises(httpx.RemoteProtocolError):
        ticket(desk)
    assert desk.get(TICKETS).json()["count"] == 0


def test_dropped_after_is_done_though_nobody_hears_of_it(desk):
    queue(desk, match={"method": "POST", "path": TICKETS}, drop="after")
    with pytest.raises(httpx.RemoteProtocolError):
        ticket(desk, headers={"Idempotency-Key": "k-1"})
    assert desk.get(TICKETS).json()["count"] == 1
    again = ticket(desk, headers={"Idempotency-Key": "k-1"})
    assert again.headers["x-idempotency-lookup"] == "hit"
    assert desk.get(TICKETS).json()["count"] == 1


def test_an_organization_dropped_after_is_a_duplicate_when_sent_again(desk):
    queue(desk, match={"method": "POST"}, drop="after")
    with pytest.raises(httpx.RemoteProtocolError):
        created(desk, "Acme")
    assert desk.post(ORGANIZATIONS, json={"organization": {"name": "Acme"}}).status_code == 422
    assert desk.get(ORGANIZATIONS).json()["count"] == 1


def test_a_large_body_is_read_before_its_connection_is_dropped(desk):
    queue(desk, match={"method": "POST"}, drop="after")
    with pytest.raises(httpx.RemoteProtocolError):
        ticket(desk, body="x" * 3_000_000)
    assert len(desk.get(TICKETS).json()["tickets"][0]["description"]) == 3_000_000


def test_a_late_answer_is_of_work_already_done(desk):
    queue(desk, match={"method": "POST"}, delay_ms=600_000)
    with pytest.raises(httpx.ReadTimeout):
        desk.post(TICKETS, json={"ticket": {"comment": {"body": "x"}}}, timeout=0.2)
    assert desk.get(TICKETS).json()["count"] == 1


def test_a_short_delay_is_answered(desk):
    queue(desk, delay_ms=1)
    assert desk.get(TICKETS).status_code == 200


def test_a_delay_holds_up_nobody_else(desk):
    queue(desk, match={"method": "POST"}, delay_ms=600_000, drop="after")
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(desk.post, TICKETS, json={"ticket": {"comment": {"body": "x"}}}, timeout=0.3)
        assert desk.get(ORGANIZATIONS).status_code == 200
        with pytest.raises(httpx.ReadTimeout):
            late.result()


@pytest.mark.parametrize(
    ("fault", "wrong"),
    [
        ([], "base"),
        ({}, "base"),
        ({"match": "POST", "status": 500}, "base"),
        ({"status": 500, "drop": "after"}, "base"),
        ({"status": 200}, "status"),
        ({"status": 599}, "status"),
        ({"status": "500"}, "status"),
        ({"status": 500, "times": 0}, "times"),
        ({"status": 500, "times": True}, "times"),
        ({"status": 500, "retry_after": -1}, "retry_after"),
        ({"delay_ms": 0.5}, "delay_ms"),
        ({"drop": "during"}, "drop"),
        ({"status": 500, "path": "/"}, "path"),
        ({"status": 500, "match": {"url": "/"}}, "url"),
        ({"status": 500, "match": {"method": 1}}, "method"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(shared, fault, wrong):
    answer = shared.post("/sandbox/faults", json=fault)
    assert (answer.status_code, list(answer.json()["details"])) == (422, [wrong])


def test_a_server_that_cannot_drop_refuses_to_promise_it():
    transport = httpx.ASGITransport(desk_app(None, token=TOKEN))

    async def ask():
        async with httpx.AsyncClient(transport=transport, base_url="http://desk") as client:
            return await client.post("/sandbox/faults", json={"drop": "after"})

    answer = asyncio.run(ask())
    assert (answer.status_code, list(answer.json()["details"])) == (422, ["drop"])


# The log of requests


def test_the_log_tells_what_was_asked_and_what_came_of_it(desk):
    queue(desk, match={"path": TICKETS, "method": "POST"}, drop="before")
    queue(desk, match={"path": TICKETS, "method": "POST"}, drop="after")
    for _ in range(2):
        with pytest.raises(httpx.RemoteProtocolError):
            ticket(desk, headers={"Idempotency-Key": "k-1"})
    desk.get(SEARCH, params={"name": "A & B"})
    httpx.get(f"{desk.base_url}/api/v2/nothing", trust_env=False)
    told = [
        (r["method"], r["path"], r["query"], r["idempotency_key"], r["status"], r["dropped"]) for r in seen(desk)
    ]
    assert told == [
        ("POST", TICKETS, "", "k-1", None, "before"),
        ("POST", TICKETS, "", "k-1", 201, "after"),
        ("GET", SEARCH, "name=A+%26+B", None, 200, None),
        ("GET", "/api/v2/nothing", "", None, 404, None),
    ]
    assert [r["seq"] for r in seen(desk)] == [1, 2, 3, 4]


def test_the_log_keeps_the_newest(start, monkeypatch):
    monkeypatch.setattr(kept, "KEPT_REQUESTS", 3)
    desk = start()
    for number in range(5):
        desk.get(f"/api/v2/tickets/{number}.json")
    assert [r["seq"] for r in seen(desk)] == [3, 4, 5]


# State


def test_state_outlives_a_restart_on_the_same_port(tmp_path):
    path = tmp_path / "desk.db"
    with Served(desk_app(path, token=TOKEN)) as served, client_of(served) as client:
        acme = created(client, "Acme", external_id="1")
        gone = created(client, "Gone")
        client.delete(gone["url"])
        made = ticket(client, headers={"Idempotency-Key": "k-1"}).json()
        log = seen(client)
        queue(client, status=500)
    with Served(desk_app(path, token=TOKEN), port=served.port) as again, client_of(again) as client:
        assert again.url == served.url
        assert client.get(acme["url"]).json() == {"organization": acme}
        assert client.post(ORGANIZATIONS, json={"organization": {"name": "acme"}}).status_code == 422
        assert ticket(client, headers={"Idempotency-Key": "k-1"}).json() == made
        assert created(client, "New")["id"] > gone["id"]
        assert seen(client)[: len(log)] == log


def test_state_in_memory_ends_with_its_desk(start):
    created(start(), "Acme")
    assert start().get(ORGANIZATIONS).json()["count"] == 0


KILLED = """
import os, signal, sys
from pathlib import Path
import httpx
from core.sandbox.desk import desk_app
from core.sandbox.serve import Served

served = Served(desk_app(Path(sys.argv[1]), token="t0ken"))
httpx.post(served.url + "/api/v2/organizations.json", json={"organization": {"name": "Acme"}},
           auth=("ops@example.com/token", "t0ken"), trust_env=False).raise_for_status()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_answered_outlives_a_kill(tmp_path, start):
    path = tmp_path / "desk.db"
    done = python(KILLED, str(path))
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGKILL, "", "")
    desk = start(path)
    assert desk.get(SEARCH, params={"name": "Acme"}).json()["count"] == 1
    assert [r["status"] for r in seen(desk)] == [201, 200]


def test_an_error_inside_leaves_neither_effect_nor_log(tmp_path, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("on purpose")

    with Served(desk_app(tmp_path / "desk.db", token=TOKEN)) as served:
        # The server closes the connection on such an error, so what follows has one of its own.
        with monkeypatch.context() as patch, client_of(served) as client:
            patch.setattr(desk_module, "add_comment", broken)
            assert ticket(client).status_code == 500
        client = client_of(served)
        assert client.get(TICKETS).json()["count"] == 0
        assert [type(failure) for failure in served.failures] == [ZeroDivisionError]
        assert len(seen(client)) == 1
        client.close()


def test_a_file_that_is_no_database_is_refused_at_once(tmp_path):
    (tmp_path / "desk.db").write_text("not a database, but long enough to be taken for the header of one " * 20)
    with pytest.raises(sqlite3.DatabaseError):
        desk_app(tmp_path / "desk.db", token=TOKEN)


# Serving


async def hello(scope, receive, send):
    """An app without a lifespan."""
    if scope["type"] != "http":
        raise ValueError(scope["type"])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


async def refuses_to_start(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no"})
    raise ZeroDivisionError("on purpose")


def test_it_serves_when_the_constructor_returns_and_not_after_close():
    served = Served(hello)
    assert httpx.get(served.url, trust_env=False).text == "hello"
    assert served.url == f"http://127.0.0.1:{served.port}"
    served.close()
    served.close()
    with pytest.raises(httpx.ConnectError):
        httpx.get(served.url, trust_env=False)


def test_a_failed_startup_is_told_with_its_cause():
    with pytest.raises(DidNotStart) as caught:
        Served(refuses_to_start)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_taken_port_is_told():
    with Served(hello) as served, pytest.raises(OSError, match="in use"):
        Served(hello, port=served.port)


def test_ten_at_once_have_their_own_ports():
    servers = [Served(hello) for _ in range(10)]
    try:
        assert len({served.port for served in servers}) == 10
        assert [httpx.get(served.url, trust_env=False).text for served in servers] == ["hello"] * 10
    finally:
        for served in servers:
            served.close()


def test_closing_cuts_what_is_under_way():
    with Served(desk_app(None, token=TOKEN)) as served, client_of(served) as client:
        queue(client, delay_ms=600_000)
        with ThreadPoolExecutor(1) as pool:
            late = pool.submit(client.get, TICKETS)
            until(lambda: len(seen(client)) == 1)
            served.close()
            assert late.exception() or late.result().status_code == 500


def until(holds):
    """Asks until it holds; each question is a request of its own."""
    for _ in range(10_000):
        if holds():
            return
    raise AssertionError("it never came to hold")


def test_half_a_request_is_no_request(desk):
    host, port = desk.base_url.host, desk.base_url.port
    with socket.create_connection((host, port)) as sock:
        sock.sendall(b"POST /api/v2/tickets.json HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    assert seen(desk) == []


NOISY = """
import logging, signal, sys
import httpx
from core.sandbox.serve import Served
from core.sandbox.desk import desk_app

if sys.argv[1] == "logging":
    logging.basicConfig(level=logging.INFO)
    logging.getLogger("httpx").setLevel(logging.ERROR)
    logging.getLogger("asyncio").setLevel(logging.ERROR)

async def broken(scope, receive, send):
    raise ZeroDivisionError("on purpose")

before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
with Served(broken) as served:
    assert httpx.get(served.url, trust_env=False).status_code == 500
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == before
assert any(isinstance(failure, ZeroDivisionError) for failure in served.failures)
with Served(desk_app(None, token="x")) as served:
    httpx.get(served.url, trust_env=False)
    httpx.post(served.url + "/sandbox/faults", json={"drop": "before"}, trust_env=False)
    try:
        httpx.get(served.url, trust_env=False)
    except httpx.RemoteProtocolError:
        pass
if sys.argv[1] == "logging":
    logging.getLogger("uvicorn.error").info("another server speaks")
"""


@pytest.mark.parametrize(("mode", "told"), [("plain", ""), ("logging", "INFO:uvicorn.error:another server speaks\n")])
def test_it_says_nothing_and_takes_no_signals(mode, told):
    done = python(NOISY, mode)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", told)
