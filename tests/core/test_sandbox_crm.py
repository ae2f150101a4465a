"""The stand-in CRM over real HTTP: signing in, its shapes, its refusals, its queries, and what it remembers."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from core.sandbox.crm import crm_app
from core.sandbox.serve import Served

DATA = "/services/data/v64.0"
ACCOUNTS = f"{DATA}/sobjects/Account"
TOKEN = "/services/oauth2/token"
SIGN_IN = {"grant_type": "client_credentials", "client_id": "app", "client_secret": "s3cret"}
BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC = KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
).decode()


@dataclass
class Clock:
    """A clock that stands still until it is moved."""

    now: float = 1_770_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(scope="module")
def servers():
    """The servers of this module; closed together, for one after the other takes its time."""
    running = []
    yield running
    with ThreadPoolExecutor(32) as pool:
        list(pool.map(Served.close, running))


@pytest.fixture
def start(clock, servers):
    """Start a CRM with the given settings and give a signed-in client of it."""
    clients, own = [], []

    def started(path=None, **settings):
        app = crm_app(path, client_id="app", client_secret="s3cret", clock=clock, **settings)
        served = Served(app)
        client = httpx.Client(base_url=served.url, timeout=30, trust_env=False)
        own.append(served)
        servers.append(served)
        clients.append(client)
        client.headers["Authorization"] = f"Bearer {client.post(TOKEN, data=SIGN_IN).json()['access_token']}"
        return client

    yield started
    for client in clients:
        client.close()
    assert [failure for served in own for failure in served.failures] == []


def created(client, object="Account", **fields):
    answer = client.post(f"{DATA}/sobjects/{object}", json=fields)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def asked(client, text, **headers):
    return client.get(f"{DATA}/query", params={"q": text}, headers=headers)


def names(client, where, order="Name"):
    answer = asked(client, f"SELECT Name FROM Account WHERE {where} ORDER BY {order}")
    assert answer.status_code == 200, answer.text
    return [record["Name"] for record in answer.json()["records"]]


def refused(answer):
    """The status, the code and the message of a refusal in Salesforce's shape."""
    body = answer.json()
    assert isinstance(body, list)
    assert body[0].keys() >= {"errorCode", "message"}
    return answer.status_code, body[0]["errorCode"], body[0]["message"]


# Signing in


@pytest.mark.parametrize(
    ("form", "error"),
    [
        (SIGN_IN | {"client_secret": "wrong"}, "invalid_client"),
        (SIGN_IN | {"client_id": "wrong"}, "invalid_client_id"),
        (SIGN_IN | {"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": BEARER, "assertion": "nonsense"}, "invalid_grant"),
    ],
)
def test_who_is_not_known_gets_no_token(start, form, error):
    answer = start(public_key=PUBLIC).post(TOKEN, data=form)
    assert (answer.status_code, answer.json()["error"]) == (400, error)


@pytest.mark.parametrize(
    ("change", "description"),
    [
        ({}, None),
        ({"aud": "https://elsewhere.example"}, "audience is invalid"),
        ({"exp": 1_770_000_000 - 1}, "expired authorization code"),
        ({"iss": "another"}, "invalid assertion"),
    ],
)
def test_an_assertion_is_checked(start, change, description):
    client = start(public_key=PUBLIC)
    base = str(client.base_url).rstrip("/")
    claims = {"iss": "app", "sub": "ops@example.com", "aud": base, "exp": 1_770_000_000 + 180, **change}
    answer = client.post(TOKEN, data={"grant_type": BEARER, "assertion": jwt.encode(claims, KEY, algorithm="RS256")})
    assert answer.json().get("error_description") == description
    assert answer.status_code == (400 if description else 200)


def test_a_session_ends(start, clock):
    client = start(session=60)
    assert asked(client, "SELECT Id FROM Account").status_code == 200
    clock.now += 60
    assert refused(asked(client, "SELECT Id FROM Account"))[:2] == (401, "INVALID_SESSION_ID")


def test_a_client_without_a_token_is_refused(start):
    client = start()
    answer = client.get(f"{ACCOUNTS}/describe", headers={"Authorization": "Bearer no"})
    assert refused(answer) == (401, "INVALID_SESSION_ID", "Session expired or invalid")


# Rows


def test_a_record_is_created_read_changed_and_deleted(start, clock):
    client = start()
    answer = client.post(ACCOUNTS, json={"Name": "Acme", "NumberOfEmployees": 5})
    id = answer.json()["id"]
    assert (answer.status_code, answer.json()) == (201, {"id": id, "success": True, "errors": []})
    assert len(id) == 18
    clock.now += 5
    assert client.patch(f"{ACCOUNTS}/{id[:15]}", json={"website": "acme.example"}).status_code == 204
    record = client.get(f"{ACCOUNTS}/{id}", params={"fields": "Name,Website,CreatedDate,SystemModstamp"}).json()
    assert record == {
        "attributes": {"type": "Account", "url": f"{ACCOUNTS}/{id}"},
        "Name": "Acme",
        "Website": "acme.example",
        "CreatedDate": "2026-02-02T02:40:00.000+0000",
        "SystemModstamp": "2026-02-02T02:40:05.000+0000",
    }
    assert client.delete(f"{ACCOUNTS}/{id}").status_code == 204
    assert refused(client.get(f"{ACCOUNTS}/{id}"))[:2] == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("fields", "code", "message"),
    [
        ({"Website": "x"}, "REQUIRED_FIELD_MISSING", "Required fields are missing: [Name]"),
        ({"Name": " "}, "REQUIRED_FIELD_MISSING", "Required fields are missing: [Name]"),
        ({"Name": "x" * 256}, "STRING_TOO_LONG", f"Account Name: data value too large: {'x' * 256} (max length=255)"),
        ({"Name": "a", "Nope": 1}, "INVALID_FIELD", "No such column 'Nope' on sobject of type Account"),
        ({"Name": "a", "ParentId": "x"}, "MALFORMED_ID", "Parent Account ID: id value of incorrect type: x"),
        ({"Name": "a", "ParentId": "001000000000000AAA"}, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id"),
        ({"Name": "a", "Industry": "x"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "Industry: bad value for restrict"),
        ({"Name": "a", "NumberOfEmployees": "x"}, "JSON_PARSER_ERROR", "Cannot deserialize instance of int from"),
        ({"Name": "a", "CreatedDate": "x"}, "INVALID_FIELD_FOR_INSERT_UPDATE", "Unable to create/update fields: Cr"),
        ({"Name": "a", "External_Id__c": "TAKEN"}, "DUPLICATE_VALUE", "duplicate value found: External_Id__c dup"),
    ],
)
def test_bad_data_is_refused_in_salesforces_words(start, fields, code, message):
    client = start()
    created(client, Name="First", External_Id__c="taken")
    status, said, text = refused(client.post(ACCOUNTS, json=fields))
    assert (status, said, text[: len(message)]) == (400, code, message)
    assert names(client, "Name != null") == ["First"]


@pytest.mark.parametrize(("id", "status", "code"), [("x", 400, "MALFORMED_ID"), ("001" + "0" * 12, 404, "NOT_FOUND")])
def test_an_id_that_names_nothing(start, id, status, code):
    assert refused(start().patch(f"{ACCOUNTS}/{id}", json={"Name": "a"}))[:2] == (status, code)


def test_the_duplicate_rule_can_be_overridden(start):
    client = start(duplicate_rule=True)
    id = created(client, Name="Acme")
    answer = client.post(ACCOUNTS, json={"Name": "acme"})
    assert refused(answer) == (400, "DUPLICATES_DETECTED", "Use one of these records?")
    matches = answer.json()[0]["duplicateResut"]["matchResults"][0]["matchRecords"]
    assert [match["record"]["Id"] for match in matches] == [id]
    allowed = {"Sforce-Duplicate-Rule-Header": "allowSave=true"}
    assert client.post(ACCOUNTS, json={"Name": "acme"}, headers=allowed).status_code == 201


def test_an_upsert_creates_then_updates_then_cannot_choose(start):
    client = start()
    place = f"{ACCOUNTS}/Legacy_Id__c/a%2F1"
    first = client.patch(place, json={"Name": "Acme"})
    assert (first.status_code, first.json()["created"]) == (201, True)
    second = client.patch(place, json={"Name": "Acme Ltd"})
    assert (second.status_code, second.json()) == (200, first.json() | {"created": False})
    assert client.get(place, params={"fields": "Name,Legacy_Id__c"}).json()["Legacy_Id__c"] == "a/1"
    other = created(client, Name="Other", Legacy_Id__c="a/1")
    answer = client.patch(place, json={"Name": "Which"})
    assert (answer.status_code, answer.json()) == (300, [f"{ACCOUNTS}/{first.json()['id']}", f"{ACCOUNTS}/{other}"])
    assert refused(client.patch(f"{ACCOUNTS}/Name/x", json={}))[:2] == (404, "NOT_FOUND")
    assert refused(client.patch(place, json={"Legacy_Id__c": "b"}))[:2] == (400, "INVALID_FIELD")


def test_describe_tells_the_fields(start):
    fields = {one["name"]: one for one in start().get(f"{ACCOUNTS}/describe").json()["fields"]}
    assert fields["Customer_Since__c"]["type"] == "date"
    assert (fields["External_Id__c"]["externalId"], fields["External_Id__c"]["unique"]) == (True, True)


# Queries


@pytest.mark.parametrize(
    ("where", "found"),
    [
        (r"Name = 'o\'hara \\ \"co\"\n'", ["O'Hara \\ \"Co\""]),
        ("NumberOfEmployees >= 5", ["Big"]),
        ("NumberOfEmployees = null", ["O'Hara \\ \"Co\"", "Small"]),
        ("Customer_Since__c = 2026-01-01", ["Big"]),
        ("Active__c = true OR Name = 'small'", ["Big", "Small"]),
        ("Active__c = false AND (Name = 'small' OR Name = 'big')", ["Small"]),
        ("Name IN ('big', 'small') AND CreatedDate >= 2026-02-02T02:40:00.000Z", ["Big", "Small"]),
        ("CreatedDate > 2026-02-02T02:40:00Z", []),
        ("Industry != 'Retail'", ["O'Hara \\ \"Co\"", "Small"]),
    ],
)
def test_a_query_finds(start, where, found):
    client = start()
    created(client, Name="Big", NumberOfEmployees=5, Customer_Since__c="2026-01-01", Active__c=True, Industry="Retail")
    created(client, Name="Small")
    created(client, Name="O'Hara \\ \"Co\"\n")
    assert sorted(names(client, where.replace("\\n'", "'"))) == sorted(found)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("SELECT Id FROM Nothing", "INVALID_TYPE"),
        ("SELECT Nope FROM Account", "INVALID_FIELD"),
        ("SELECT Id FROM Account WHERE Customer_Since__c = '2026-01-01'", "INVALID_FIELD"),
        ("SELECT Id FROM Account WHERE Name = 5", "INVALID_FIELD"),
        (r"SELECT Id FROM Account WHERE Name = 'a\d'", "MALFORMED_QUERY"),
        ("SELECT Id FROM Account WHERE Name = 'a' AND Name = 'b' OR Name = 'c'", "MALFORMED_QUERY"),
        ("SELECT Id FROM Account WHERE Name = 'it's'", "MALFORMED_QUERY"),
        ("SELECT Id FROM Account extra", "MALFORMED_QUERY"),
        ("", "MALFORMED_QUERY"),
    ],
)
def test_a_query_that_cannot_be_answered(start, text, code):
    assert refused(asked(start(), text))[:2] == (400, code)


def test_pages_are_one_answer_as_it_was_when_it_was_asked(start):
    client = start(page_size=2)
    ids = [created(client, Name=f"A{number}") for number in range(5)]
    page = asked(client, "SELECT Id FROM Account ORDER BY Id").json()
    assert (page["totalSize"], page["done"]) == (5, False)
    client.delete(f"{ACCOUNTS}/{ids[4]}")
    found = [record["Id"] for record in page["records"]]
    while not page["done"]:
        page = client.get(page["nextRecordsUrl"]).json()
        found += [record["Id"] for record in page["records"]]
    assert found == ids == sorted(ids)
    assert refused(client.get(f"{DATA}/query/01gJd9999999999-5"))[:2] == (400, "INVALID_QUERY_LOCATOR")


# Failing, being late, remembering


def test_it_fails_on_demand_and_by_rate(start, clock):
    client = start(rate_limit=2)
    client.post("/sandbox/faults", json={"match": {"method": "GET"}, "status": 503, "retry_after": 3})
    answer = asked(client, "SELECT Id FROM Account")
    assert refused(answer)[:2] == (503, "SERVER_UNAVAILABLE")
    assert answer.headers["retry-after"] == "3"
    assert asked(client, "SELECT Id FROM Account").headers["sforce-limit-info"] == "api-usage=1/2"
    asked(client, "SELECT Id FROM Account")
    assert refused(asked(client, "SELECT Id FROM Account"))[:2] == (403, "REQUEST_LIMIT_EXCEEDED")
    clock.now += 60
    assert asked(client, "SELECT Id FROM Account").status_code == 200


def test_a_late_write_is_seen_later_with_its_own_stamp(start, clock):
    client = start()
    old = created(client, Name="Old")
    client.post("/sandbox/late", json={"object": "Account", "seconds": 60, "times": 2})
    created(client, Name="Late")
    client.patch(f"{ACCOUNTS}/{old}", json={"Name": "Older"})
    assert names(client, "Name != null") == ["Old"]
    clock.now += 60
    assert names(client, "CreatedDate = 2026-02-02T02:40:00Z") == ["Late", "Older"]


def test_its_date_is_its_own_clocks(start):
    answer = asked(start(), "SELECT Id FROM Account")
    assert answer.headers.get_list("date") == ["Mon, 02 Feb 2026 02:40:00 GMT"]
    assert answer.headers["x-sandbox"] == "true"


def test_state_outlives_a_restart(start, tmp_path):
    path = tmp_path / "crm.db"
    id = created(start(path), Name="Acme")
    again = start(path)
    assert names(again, "Name = 'acme'") == ["Acme"]
    assert created(again, Name="Next") > id


def test_a_query_over_many_records_is_quick(start):
    client = start()
    for number in range(300):
        created(client, Name=f"A{number}")
    began = time.monotonic()
    assert asked(client, "SELECT Id FROM Account WHERE Name = 'a7'").json()["totalSize"] == 1
    assert time.monotonic() - began < 2
