"""Salesforce, on the stand-in CRM: what is asked and said, signing in, doubt, waiting, events without gap or double."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import time as now
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import ValidationError

from core.connectors.declare import Effect
from core.connectors.registry import registry
from core.errors import AnswerLost, StepError
from core.sandbox.crm import crm_app
from core.sandbox.serve import Served

NOW = 1_770_000_000.0  # 2026-02-02T02:40:00Z
DATA = "/services/data/v64.0"
ACCOUNTS = f"{DATA}/sobjects/Account"
SECRET = "canary-5f2d"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: Any) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


PUBLIC = KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
).decode()


@dataclass
class Crm:
    """The stand-in, and what is done there by others."""

    served: Served
    time: list[float]
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=self.served.url, timeout=30, trust_env=False)

    def _signed(self, method: str, path: str, **sent: Any) -> httpx.Response:
        if "Authorization" not in self.client.headers:
            form = {"grant_type": "client_credentials", "client_id": "app", "client_secret": SECRET}
            token = self.client.post("/services/oauth2/token", data=form).json()["access_token"]
            self.client.headers["Authorization"] = f"Bearer {token}"
        return self.client.request(method, path, **sent).raise_for_status()

    def add(self, name: str, **fields: Any) -> str:
        """Create an account and return its id."""
        return self._signed("POST", ACCOUNTS, json={"Name": name, **fields}).json()["id"]

    def change(self, id: str, **fields: Any) -> None:
        self._signed("PATCH", f"{ACCOUNTS}/{id}", json=fields)

    def delete(self, id: str) -> None:
        self._signed("DELETE", f"{ACCOUNTS}/{id}")

    def fault(self, path: str = "*", method: str = "*", **fault: Any) -> None:
        found = self.client.post("/sandbox/faults", json={"match": {"method": method, "path": path}, **fault})
        assert found.status_code == 201

    def late(self, seconds: int, times: int = 1) -> None:
        self.client.post("/sandbox/late", json={"object": "Account", "seconds": seconds, "times": times})

    def end_sessions(self) -> None:
        self.client.delete("/sandbox/sessions")
        self.client.headers.pop("Authorization", None)

    def asked(self, part: str) -> list[dict[str, Any]]:
        """The requests whose path holds this."""
        return [one for one in self.client.get("/sandbox/requests").json()["requests"] if part in one["path"]]

    def wait(self, seconds: float) -> None:
        """Let time go by at the source."""
        self.time[0] += seconds


@pytest.fixture(scope="module")
def servers() -> Iterator[list[Served]]:
    """The servers of this module; closed together, for one after the other takes its time."""
    running: list[Served] = []
    yield running
    with ThreadPoolExecutor(32) as pool:
        list(pool.map(Served.close, running))


@pytest.fixture
def start(servers: list[Served]) -> Iterator[Callable[..., Crm]]:
    """Start a CRM with the given settings."""
    running: list[Crm] = []

    def started(**settings: Any) -> Crm:
        time = [NOW]
        app = crm_app(
            None, client_id="app", client_secret=SECRET, public_key=PUBLIC, clock=lambda: time[0], **settings
        )
        running.append(Crm(Served(app), time))
        servers.append(running[-1].served)
        return running[-1]

    yield started
    for crm in running:
        crm.client.close()
        assert crm.served.failures == []


@pytest.fixture
def crm(start: Callable[..., Crm]) -> Crm:
    return start()


@pytest.fixture
def connect() -> Iterator[Callable[..., Any]]:
    """Open a connection to a CRM."""
    kind = registry().connections["salesforce"]
    opened = []

    def connected(crm: Crm, **settings: Any) -> Any:
        given = {"instance_url": crm.served.url, "client_id": "app", "client_secret": SECRET, **settings}
        opened.append(kind.open(kind.settings.model_validate({k: v for k, v in given.items() if v is not None}), None))
        return opened[-1]

    yield connected
    for one in opened:
        kind.close(one)


@pytest.fixture
def act(run: Callable[..., Any], connect: Callable[..., Any]) -> Callable[..., Any]:
    """Run an action on accounts of a CRM."""
    orgs: dict[int, Any] = {}

    def act(crm: Crm, name: str, inputs: dict[str, Any], **call: Any) -> Any:
        org = orgs.setdefault(id(crm), None) or connect(crm)
        orgs[id(crm)] = org
        given = {"connection": "crm", "object": "Account", **inputs}
        return run(f"salesforce.{name}", given, **{"connection": org, **call})

    return act


def found(act: Any, crm: Crm, where: dict[str, Any], **more: Any) -> list[str]:
    answer = act(crm, "search", {"where": where, "fields": ["Name"], **more})
    assert answer["count"] == len(answer["records"])
    return [record["Name"] for record in answer["records"]]


# Searching


@pytest.mark.parametrize(
    ("where", "names"),
    [
        ({"Name": "o'hara \\ \"co\"\tx"}, ["O'Hara \\ \"Co\"\tx"]),
        ({"Name": "a' OR Name != 'b"}, []),
        ({"Name": ["Big", "Small", "None"]}, ["Big", "Small"]),
        ({"Name": []}, []),
        ({"Website": None, "Active__c": False}, ["Small", "O'Hara \\ \"Co\"\tx"]),
        ({"Website": [None, "big.example"]}, ["Big", "Small", "O'Hara \\ \"Co\"\tx"]),
        ({"NumberOfEmployees": 5}, ["Big"]),
        ({"numberofemployees": "5"}, ["Big"]),
        ({"AnnualRevenue": [1.5, 2]}, ["Big"]),
        ({"Customer_Since__c": "2026-01-01"}, ["Big"]),
        ({"CreatedDate": "2026-02-02T03:40:00+01:00", "Name": "Small"}, ["Small"]),
        ({"Active__c": True}, ["Big"]),
        ({"Active__c": "true"}, ["Big"]),
        ({"External_Id__c": 17}, ["Small"]),
    ],
)
def test_a_search_writes_values_as_the_fields_want_them(act, crm, where, names):
    more = {"Customer_Since__c": "2026-01-01", "AnnualRevenue": 1.5, "Website": "big.example"}
    crm.add("Big", NumberOfEmployees=5, Active__c=True, **more)
    crm.add("Small", External_Id__c="17")
    crm.add("O'Hara \\ \"Co\"\tx")
    assert found(act, crm, where) == names


def test_a_search_reads_every_page_and_gives_plain_records(act, start):
    crm = start(page_size=2)
    ids = [crm.add(f"A{number}") for number in range(5)]
    answer = act(crm, "search", {"fields": ["name", "Id"]})
    assert answer == {"count": 5, "records": [{"Id": id, "Name": f"A{n}"} for n, id in enumerate(ids)]}
    assert found(act, crm, {}, limit=3) == ["A0", "A1", "A2"]


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({"Nmae": "x"}, "where: Account: unknown field 'Nmae'"),
        ({"Customer_Since__c": "tomorrow"}, "Customer_Since__c is of type date, 'tomorrow' is none"),
        ({"NumberOfEmployees": "many"}, "is of type int"),
    ],
)
def test_a_search_that_cannot_be_asked_says_why(act, crm, where, said):
    with pytest.raises(StepError, match=said):
        found(act, crm, where)
    assert crm.asked("/query") == []


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("search", {"object": "Account WHERE Id != null", "fields": ["Id"]}),
        ("search", {"fields": ["Id FROM User"]}),
        ("search", {"fields": ["Id"], "where": {"Name = 'a' OR Name": "b"}}),
        ("search", {"fields": []}),
        ("get", {"id": "../Contact/1"}),
        ("get", {"external_id": {"External_Id__c": ".."}}),
        ("get", {"external_id": {"External_Id__c": ""}}),
        ("get", {}),
        ("create", {"fields": {}}),
        ("create", {"fields": {"a/b": 1}}),
        ("update", {"id": "", "fields": {"Name": "a"}}),
        ("upsert", {"external_id": {"External_Id__c": "1"}, "fields": {"external_id__C": "2"}}),
        ("upsert", {"external_id": {}, "fields": {"Name": "a"}}),
    ],
)
def test_what_names_no_object_field_or_record_is_refused(act, crm, name, inputs):
    with pytest.raises(ValidationError):
        act(crm, name, inputs)


# One record


def test_records_are_created_read_and_updated(act, crm):
    made = act(crm, "create", {"fields": {"Name": "Acme", "Website": "acme.example"}})
    id = made["Id"]
    assert made == {"Id": id, "Name": "Acme", "Website": "acme.example"}
    assert act(crm, "update", {"id": id[:15], "fields": {"Website": None}}) == {"Id": id[:15], "Website": None}
    assert act(crm, "get", {"id": id, "fields": ["Name", "Website"]}) == {"Name": "Acme", "Website": None}
    assert act(crm, "get", {"id": id})["CreatedDate"] == "2026-02-02T02:40:00.000+0000"
    assert [one["idempotency_key"] for one in crm.asked("/sobjects/Account")] == ["key-1", "key-1", None, None]


@pytest.mark.parametrize("value", ["17", "a/b", "50% & more?#", "ünïcode", 17])
def test_an_upsert_creates_then_updates_by_the_external_id(act, crm, value):
    external = {"External_Id__c": value}
    made = act(crm, "upsert", {"external_id": external, "fields": {"Name": "Acme"}})
    again = act(crm, "upsert", {"external_id": external, "fields": {"Name": "Acme Ltd"}})
    assert made == {"Id": made["Id"], "created": True, **external, "Name": "Acme"}
    assert again == {"Id": made["Id"], "created": False, **external, "Name": "Acme Ltd"}
    assert act(crm, "get", {"external_id": external, "fields": ["Name", "External_Id__c"]}) == {
        "Name": "Acme Ltd", "External_Id__c": str(value),
    }  # fmt: skip


def test_errors_are_told_as_salesforce_says_them(act, crm):
    twice = {"Legacy_Id__c": "1"}
    first, second = crm.add("One", **twice, External_Id__c="x"), crm.add("Two", **twice)
    refused = [
        ("create", {"fields": {"Website": "a"}}, 400, "REQUIRED_FIELD_MISSING", "missing: [Name] (fields: Name)"),
        ("create", {"fields": {"Name": "a", "External_Id__c": "x"}}, 400, "DUPLICATE_VALUE", f"with id: {first}"),
        ("update", {"id": first, "fields": {"Nope": 1}}, 400, "INVALID_FIELD", "No such column 'Nope' on sobject"),
        ("get", {"id": "001000000000000AAA"}, 404, "NOT_FOUND", "The requested resource does not exist"),
        ("get", {"external_id": {"External_Id__c": "y"}}, 404, "NOT_FOUND", "404 Not Found"),
        ("upsert", {"external_id": twice, "fields": {"Name": "a"}}, 300, "MULTIPLE_CHOICES", f"{first}, {second}"),
        ("search", {"object": "Nothing", "fields": ["Id"]}, 400, "INVALID_TYPE", "'Nothing' is not supported"),
    ]
    for name, inputs, status, kind, said in refused:
        with pytest.raises(StepError) as caught:
            act(crm, name, inputs)
        assert (caught.value.status, caught.value.kind) == (status, kind)
        assert said in str(caught.value)


# Signing in


def test_a_session_that_ended_is_renewed_once_and_threads_share_it(act, crm):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: act(crm, "create", {"fields": {"Name": f"A{number}"}}), range(16)))
    assert len(crm.asked("/oauth2/token")) == 1
    crm.end_sessions()
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: len(found(act, crm, {})), range(16))) == [16] * 16
    assert len(crm.asked("/oauth2/token")) == 2


def test_a_token_that_is_refused_anew_is_an_error(act, crm):
    crm.fault(f"{DATA}/*", status=401, times=2)
    with pytest.raises(StepError, match="INVALID_SESSION_ID: Session expired or invalid") as caught:
        found(act, crm, {})
    assert (caught.value.kind, caught.value.status) == ("INVALID_SESSION_ID", 401)
    assert len(crm.asked("/oauth2/token")) == 2


def test_a_wrong_secret_is_told_without_it(run, connect, crm):
    org = connect(crm, client_secret=f"{SECRET}-wrong")
    inputs = {"connection": "crm", "object": "Account", "fields": {"Name": "a"}}
    with pytest.raises(StepError, match="invalid_client: invalid client credentials") as caught:
        run("salesforce.create", inputs, connection=org)
    assert (caught.value.kind, caught.value.status) == ("sign_in", 400)
    assert SECRET not in str(caught.value)


def test_a_lost_sign_in_is_no_doubt(act, crm):
    crm.fault("/services/oauth2/token", drop="after")
    with pytest.raises(StepError, match="signing in") as caught:
        act(crm, "create", {"fields": {"Name": "a"}})
    assert not isinstance(caught.value, AnswerLost)


def jwt_settings(crm: Crm, **more: Any) -> dict[str, Any]:
    signed = {"client_secret": None, "username": "ops@example.com", "private_key": pem(KEY)}
    return {**signed, "login_url": crm.served.url, **more}


def test_an_assertion_signed_with_the_key_signs_in(run, connect, crm, monkeypatch):
    monkeypatch.setattr("core.connectors.salesforce_auth.time.time", lambda: crm.time[0])
    org = connect(crm, **jwt_settings(crm))
    made = run("salesforce.create", {"connection": "c", "object": "Account", "fields": {"Name": "a"}}, connection=org)
    assert made["Name"] == "a"


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (pem(rsa.generate_private_key(public_exponent=65537, key_size=2048)), "invalid_grant: invalid assertion"),
        (f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----", "private_key is to be an RSA key"),
        (SECRET, "private_key is to be an RSA key"),
    ],
    ids=["another key", "no key inside", "no key"],
)
def test_a_key_that_does_not_fit_is_told_without_it(run, connect, crm, key, said):
    org = connect(crm, **jwt_settings(crm, private_key=key))
    inputs = {"connection": "crm", "object": "Account", "fields": ["Id"]}
    with pytest.raises(StepError, match=said) as caught:
        run("salesforce.search", inputs, connection=org)
    assert caught.value.kind == "sign_in"
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"instance_url": "http://example.my.salesforce.com"}, "it must be https://"),
        ({"instance_url": "https://example.my.salesforce.com/home"}, "nothing behind it"),
        ({"client_secret": None}, "give either `client_secret`"),
        ({"username": "a", "private_key": "b"}, "give either `client_secret`"),
        ({"client_secret": None, "username": "a"}, "both `username` and `private_key`"),
        ({"api_version": "v30.0"}, "a version of the API"),
    ],
)
def test_settings_that_cannot_work_are_refused(connect, crm, change, said):
    with pytest.raises(ValidationError, match=said):
        connect(crm, **change)


def test_assertions_are_for_the_login_server_unless_another_is_named():
    settings = registry().connections["salesforce"].settings
    org = {"instance_url": "https://example.my.salesforce.com/", "client_id": "a"}
    key = {"username": "ops@example.com", "private_key": "k"}
    assert settings.model_validate({**org, "client_secret": "s"}).login == "https://example.my.salesforce.com"
    assert settings.model_validate({**org, **key}).login == "https://login.salesforce.com"
    sandbox = {"login_url": "https://test.salesforce.com"}
    assert settings.model_validate({**org, **key, **sandbox}).login == "https://test.salesforce.com"


# Waiting and doubt


@pytest.mark.parametrize("status", [403, 503])
@pytest.mark.parametrize("name", ["create", "search"])
def test_it_waits_where_salesforce_says_that_it_did_nothing(act, crm, status, name):
    crm.fault(f"{DATA}/*", status=status, retry_after=0, times=2)
    act(crm, name, {"fields": {"Name": "a"} if name == "create" else ["Name"]})
    assert found(act, crm, {}) == (["a"] if name == "create" else [])


def test_it_waits_no_longer_than_the_step_may_take(act, crm):
    crm.fault(f"{DATA}/*", status=403, retry_after=60)
    with pytest.raises(StepError, match=r"REQUEST_LIMIT_EXCEEDED: TotalRequests Limit exceeded") as caught:
        act(crm, "create", {"fields": {"Name": "a"}}, timeout=5.0)
    assert caught.value.kind == "REQUEST_LIMIT_EXCEEDED"


def test_a_canceled_step_stops_waiting(act, crm):
    canceled = threading.Event()
    crm.fault(f"{DATA}/*", status=503, retry_after=9)
    told = {"canceled": canceled, "log": lambda level, message: canceled.set()}
    with pytest.raises(StepError, match="canceled while it waited"):
        act(crm, "search", {"fields": ["Id"]}, timeout=60.0, **told)


@pytest.mark.parametrize("fault", [{"drop": "after"}, {"status": 504}])
@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("create", {"fields": {"Name": "a"}}),
        ("update", {"id": None, "fields": {"Name": "a"}}),
        ("upsert", {"external_id": {"External_Id__c": "1"}, "fields": {"Name": "a"}}),
    ],
)
def test_a_write_whose_answer_is_lost_is_in_doubt(act, crm, name, inputs, fault):
    inputs = inputs | ({"id": crm.add("old")} if "id" in inputs else {})
    crm.fault(f"{ACCOUNTS}*", **fault)
    with pytest.raises(AnswerLost, match="may have acted"):
        act(crm, name, inputs)


def test_a_read_whose_answer_is_lost_is_not(act, crm):
    crm.fault(f"{DATA}/query", drop="after")
    with pytest.raises(StepError) as caught:
        found(act, crm, {})
    assert not isinstance(caught.value, AnswerLost)


def test_only_a_create_is_held_in_doubt():
    effects = {name: registry().actions[f"salesforce.{name}"].effect_of(None) for name in
               ("search", "get", "create", "update", "upsert")}  # fmt: skip
    assert effects == {
        "search": Effect.READS, "get": Effect.READS, "create": Effect.WRITES, "update": Effect.IDEMPOTENT,
        "upsert": Effect.IDEMPOTENT,
    }  # fmt: skip


# Events


class Deck:
    """A workspace with recipes that watch accounts."""

    def __init__(self, workspace: Any, crm: Crm) -> None:
        self.workspace = workspace
        url = f'instance_url = "{crm.served.url}"\nclient_id = "app"\nclient_secret = "{SECRET}"\n'
        workspace.settings(f'[connections.crm]\ntype = "salesforce"\n{url}')

    def watch(self, *kinds: str, **more: str) -> None:
        for kind in kinds:
            inputs = "".join(f", {name}: {value}" for name, value in more.items())
            trigger = f"{{connection: crm, object: Account, fields: [Name]{inputs}}}"
            rest = 'title: "{{ trigger.Name }}"\nsteps: [{set: {a: 1}}]\n'
            self.workspace.recipe(f"trigger: {{salesforce.{kind}: {trigger}}}\n{rest}", kind)

    def poll(self) -> dict[str, list[str]]:
        """Poll once; return the titles of the new jobs by recipe."""
        before = self.workspace.statuses()
        self.workspace.poll()
        jobs = [self.workspace.automation.job(id) for id in self.workspace.statuses() if id not in before]
        return {name: [job.title for job in jobs if job.recipe == name] for name in {job.recipe for job in jobs}}

    def warning(self, name: str) -> str | None:
        return next(one.warning for one in self.workspace.automation.recipes() if one.name == name)


@pytest.fixture
def deck(workspace: Any, crm: Crm) -> Deck:
    return Deck(workspace, crm)


def test_new_sees_new_records_and_new_or_updated_sees_changes_too(deck, crm):
    deck.watch("new", "new_or_updated")
    acme = crm.add("Acme")
    crm.add("Beta")
    crm.wait(5)
    assert deck.poll() == {"new": ["Acme", "Beta"], "new_or_updated": ["Acme", "Beta"]}
    crm.change(acme, Name="Acme 1")
    crm.wait(5)
    crm.change(acme, Name="Acme 2")
    crm.add("Gamma")
    crm.wait(5)
    assert deck.poll() == {"new": ["Gamma"], "new_or_updated": ["Acme 2", "Gamma"]}
    assert deck.poll() == {}


def test_a_record_deleted_and_created_anew_is_a_new_one(deck, crm):
    deck.watch("new")
    crm.delete(crm.add("Acme"))
    acme = crm.add("Acme")
    assert deck.poll() == {"new": ["Acme"]}
    crm.delete(acme)
    crm.add("Acme")
    assert deck.poll() == {"new": ["Acme"]}


def test_an_event_has_the_fields_id_and_stamp(deck, crm, workspace):
    deck.watch("new_or_updated")
    id = crm.add("Acme")
    crm.wait(1)
    deck.poll()
    event = workspace.automation.detail(1).trigger
    assert event == {"Id": id, "SystemModstamp": "2026-02-02T02:40:00.000+0000", "Name": "Acme"}


def test_equal_stamps_are_neither_lost_nor_doubled_and_come_in_order(workspace, start):
    crm = start(page_size=3)
    deck = Deck(workspace, crm)
    deck.watch("new", "new_or_updated")
    names = [f"A{number}" for number in range(10)]
    for name in names[:7]:
        crm.add(name)
    assert deck.poll() == {"new": names[:7]}
    for name in names[7:]:
        crm.add(name)
    crm.wait(1)
    assert deck.poll() == {"new": names[7:], "new_or_updated": names}


def test_a_change_in_the_second_of_a_poll_is_not_lost(deck, crm):
    deck.watch("new_or_updated")
    acme = crm.add("Acme")
    assert deck.poll() == {}
    crm.change(acme, Name="Acme 1")
    crm.wait(1)
    assert deck.poll() == {"new_or_updated": ["Acme 1"]}


@pytest.mark.parametrize("kind", ["new", "new_or_updated"])
def test_a_record_that_is_seen_late_is_not_lost(deck, crm, kind):
    deck.watch(kind)
    crm.add("Old")
    crm.late(seconds=590)
    crm.add("Late")
    crm.wait(60)
    crm.add("Next")
    crm.wait(60)
    assert deck.poll() == {kind: ["Old", "Next"]}
    crm.wait(480)
    crm.add("Last")
    crm.wait(1)
    assert deck.poll() == {kind: ["Late", "Last"]}


@pytest.mark.parametrize("hours", [-28, 2])
def test_the_clock_of_the_source_may_be_another(workspace, start, hours):
    crm = start()
    crm.time[0] = now() + 3600 * hours
    deck = Deck(workspace, crm)
    deck.watch("new", "new_or_updated")
    for round in range(3):
        crm.add(f"A{round}")
        crm.wait(2)
        assert deck.poll() == {"new": [f"A{round}"], "new_or_updated": [f"A{round}"]}


def test_a_poll_that_breaks_goes_on_where_it_was(workspace, start):
    crm = start(page_size=3)
    deck = Deck(workspace, crm)
    deck.watch("new_or_updated")
    names = [f"A{number}" for number in range(10)]
    for name in names:
        crm.add(name)
    crm.wait(3600)
    crm.fault(f"{DATA}/query/*", status=500)
    assert deck.poll() == {"new_or_updated": names[:3]}
    assert "UNKNOWN_EXCEPTION" in deck.warning("new_or_updated")
    assert deck.poll() == {"new_or_updated": names[3:]}
    assert "+Id+%3E+" in crm.asked("/query")[2]["query"]
    assert deck.warning("new_or_updated") is None


def test_a_poll_asks_only_for_what_came_since(deck, crm):
    deck.watch("new_or_updated")
    crm.add("Acme")
    crm.wait(3600)
    deck.poll()
    crm.wait(3600)
    assert deck.poll() == {}
    first, second = (one["query"] for one in crm.asked("/query"))
    assert "WHERE" not in first
    assert "SystemModstamp+%3E%3D+2026-02-02T03%3A30%3A00.000Z" in second


def test_since_leaves_out_what_was_stamped_before(deck, crm, workspace):
    deck.watch("new", "new_or_updated", since="2026-02-02T02:40:05Z")
    acme = crm.add("Acme")
    crm.wait(5)
    crm.add("Beta")
    crm.change(acme, Name="Acme 1")
    crm.wait(1)
    assert deck.poll() == {"new": ["Beta"], "new_or_updated": ["Acme 1", "Beta"]}
    assert deck.poll() == {}


def test_where_chooses_and_a_wider_one_makes_jobs_of_what_it_adds(deck, crm):
    deck.watch("new", where='{Industry: Retail, Customer_Since__c: "2026-01-01"}')
    crm.add("Shop", Industry="Retail", Customer_Since__c="2026-01-01")
    crm.add("Bank", Industry="Banking", Customer_Since__c="2026-01-01")
    crm.wait(3600)
    assert deck.poll() == {"new": ["Shop"]}
    deck.watch("new", where="{Industry: [Retail, Banking]}")
    assert deck.poll() == {"new": ["Bank"]}


def test_a_source_that_cannot_be_read_is_a_warning_and_no_failed_job(deck, crm):
    deck.watch("new")
    crm.add("Acme")
    crm.fault(f"{DATA}/query", status=403)
    assert deck.poll() == {}
    assert "REQUEST_LIMIT_EXCEEDED" in deck.warning("new")
    assert deck.poll() == {"new": ["Acme"]}


def test_a_recipe_whose_trigger_was_another_begins_anew(deck, crm, workspace):
    workspace.recipe("trigger: {schedule.every: {every: 1h}}\nsteps: [{set: {a: 1}}]\n", "new")
    crm.add("Acme")
    assert deck.poll() == {}
    deck.watch("new")
    assert deck.poll() == {"new": ["Acme"]}
    workspace.recipe("trigger: {schedule.every: {every: 1h}}\nsteps: [{set: {a: 1}}]\n", "new")
    assert deck.poll() == {}
    assert deck.warning("new") is None
