"""A stand-in for Salesforce's REST API, only for the demo and the tests: real state, real refusals, no Salesforce.

It speaks the shapes of the public API documentation (OAuth token endpoint, SOQL query with locators, sObject rows by id
and by external id, describe, error bodies, limits) for the two objects of core.sandbox.crm_schema, and nothing else of
the product. Every answer carries `X-Sandbox: true`. What it can do besides, without signing in, core.sandbox.faults
tells (503 is SERVER_UNAVAILABLE, 403 REQUEST_LIMIT_EXCEEDED, 401 INVALID_SESSION_ID), and:

- `POST /sandbox/late` with `{"object", "seconds", "times"}`: the next writes of the object are answered at once, and
  seen by others only so many seconds later, with the stamps of when they were made.
- `DELETE /sandbox/sessions` ends every session.
"""

import base64
import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote_plus

import jwt
from starlette.applications import Starlette

from core.sandbox.calls import Answer, Call, Fields, Refused, Rows, Unread
from core.sandbox.crm_records import (
    State,
    created,
    no_record,
    object_of,
    refusal,
    refuse_flawed,
    sent_fields,
    touched,
)
from core.sandbox.crm_schema import OBJECTS, Object, is_id
from core.sandbox.faults import OWN, Exhausted, Fault, Kind, RateLimit, kind_details
from core.sandbox.faults import is_id as is_number
from core.sandbox.refusals import refuse_unless_empty
from core.sandbox.soql import Malformed, parse
from core.sandbox.standin import StandIn

TOKEN_PATH = "/services/oauth2/token"
SESSION = 2 * 60 * 60  # seconds
ASSERTION_LIFE = 5 * 60  # seconds that an assertion may still be good for
DAILY = 100_000  # the limit that Sforce-Limit-Info tells where none is set

FAULTS = {
    401: ("INVALID_SESSION_ID", "Session expired or invalid"),
    403: ("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."),
    500: ("UNKNOWN_EXCEPTION", "An unexpected error occurred. Please include this ErrorId if you contact support"),
    503: ("SERVER_UNAVAILABLE", "The server is temporarily unavailable"),
}


# Signing in


def token(crm: "Crm", call: Call) -> Answer:
    """An access token: by client credentials (RFC 6749, 4.4) or by an assertion (RFC 7523)."""
    form = {name: values[0] for name, values in parse_qs(call.body.decode("utf-8", "replace")).items()}
    grants = {
        "client_credentials": crm.by_secret,
        "urn:ietf:params:oauth:grant-type:jwt-bearer": crm.by_assertion,
    }
    grant = grants.get(form.get("grant_type", ""))
    if grant is None:
        raise oauth_refusal("unsupported_grant_type", "grant type not supported")
    grant(call, form)
    made = f"00DJd!{secrets.token_urlsafe(48)}"
    crm.state.begin_session(made, call.now + crm.session)
    return Answer(200, {
        "access_token": made, "instance_url": call.base, "id": f"{call.base}/id/00DJd/005Jd", "token_type": "Bearer",
        "issued_at": str(int(call.now * 1000)), "scope": "api",
    })  # fmt: skip


def oauth_refusal(error: str, description: str) -> Refused:
    return Refused(400, {"error": error, "error_description": description})


def basic(header: str) -> tuple[str, str]:
    """Client id and secret out of an Authorization header, empty where it holds none."""
    scheme, _, coded = header.partition(" ")
    try:
        text = base64.b64decode(coded if scheme.lower() == "basic" else "", validate=True).decode()
    except ValueError:
        return "", ""
    id, _, secret = text.partition(":")
    return unquote_plus(id), unquote_plus(secret)


# Queries


def query(crm: "Crm", call: Call, version: str) -> Answer:
    """The first batch of what a query asks for, and where the next one is."""
    try:
        asked = parse(call.query.get("q", ""), {name: one.columns for name, one in OBJECTS.items()})
    except Malformed as error:
        raise refusal(400, error.code, str(error)) from error
    found = asked.answer(crm.state.records(asked.object))
    records = [row(version, asked.object, record, asked.names) for record in found]
    return batch(crm, call, version, records, len(records))


def query_more(crm: "Crm", call: Call, version: str, place: str) -> Answer:
    """The next batch of a query, as its records were when it was asked."""
    locator, _, total = place.partition("-")
    rest = crm.state.rest(locator)
    if rest is None or not total.isdigit():
        raise refusal(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
    return batch(crm, call, version, rest, int(total))


def batch(crm: "Crm", call: Call, version: str, records: list[Fields], total: int) -> Answer:
    """As many records as one answer holds; the rest is kept under the address that is told."""
    size = min(batch_size(call), crm.page_size)
    body: Fields = {"totalSize": total, "done": len(records) <= size}
    if len(records) > size:
        locator = crm.state.keep_rest(records[size:])
        body["nextRecordsUrl"] = f"/services/data/{version}/query/{locator}-{total}"
    return Answer(200, {**body, "records": records[:size]})


def batch_size(call: Call) -> int:
    name, _, size = call.headers.get("sforce-query-options", "").partition("=")
    return min(max(int(size), 200), 2000) if name.strip() == "batchSize" and size.strip().isdigit() else 2000


def row(version: str, object: str, record: Mapping[str, Any], names: tuple[str, ...]) -> Fields:
    """A record as the API shows it: what it is, and the fields that were asked for."""
    about = {"type": object, "url": f"/services/data/{version}/sobjects/{object}/{record['Id']}"}
    return {"attributes": about, **{name: record[name] for name in names}}


# Rows


def describe(crm: "Crm", call: Call, version: str, object: str) -> Answer:
    known = object_of(object)
    fields = [column.told() for column in known.columns.values()]
    return Answer(200, {"name": known.name, "label": known.name, "keyPrefix": known.prefix, "fields": fields})


def create(crm: "Crm", call: Call, version: str, object: str) -> Answer:
    known = object_of(object)
    return made(crm, call, version, known, created(known, sent_fields(call, known), call.now))


def made(crm: "Crm", call: Call, version: str, object: Object, fields: Fields, **told: Any) -> Answer:
    """201 with the id of the record that now is."""
    refuse_flawed(crm.state, object, fields, own="", duplicates=crm.duplicate_rule and not allows(call))
    id = crm.state.add(object, fields, crm.late(object, call.now))
    where = {"Location": f"/services/data/{version}/sobjects/{object.name}/{id}"}
    return Answer(201, {"id": id, "success": True, "errors": [], **told}, where)


def allows(call: Call) -> bool:
    """Whether the client would have a duplicate saved all the same."""
    return "allowsave=true" in call.headers.get("sforce-duplicate-rule-header", "").lower().replace(" ", "")


def show(crm: "Crm", call: Call, version: str, object: str, id: str) -> Answer:
    known = object_of(object)
    return shown(call, version, known, seen(crm, known, id))


def shown(call: Call, version: str, object: Object, record: Fields) -> Answer:
    by_name = {name.lower(): name for name in object.columns}
    asked = [name for name in call.query.get("fields", "").split(",") if name] or list(object.columns)
    for name in asked:
        if name.lower() not in by_name:
            raise refusal(400, "INVALID_FIELD", f"No such column '{name}' on entity '{object.name}'")
    return Answer(200, row(version, object.name, record, tuple(by_name[name.lower()] for name in asked)))


def update(crm: "Crm", call: Call, version: str, object: str, id: str) -> Answer:
    known = object_of(object)
    changed(crm, call, known, stored(crm, known, id), sent_fields(call, known))
    return Answer(204)


def changed(crm: "Crm", call: Call, object: Object, old: Fields, sent: Fields) -> None:
    """Store the record with what was sent."""
    fields = {**old, **sent, **touched(call.now)}
    renamed = fields.get("Name") != old.get("Name")
    rule = crm.duplicate_rule and renamed and not allows(call)
    refuse_flawed(crm.state, object, fields, own=old["Id"], duplicates=rule)
    crm.state.put(old["Id"], fields, crm.late(object, call.now))


def delete(crm: "Crm", call: Call, version: str, object: str, id: str) -> Answer:
    crm.state.delete(stored(crm, object_of(object), id)["Id"])
    return Answer(204)


def stored(crm: "Crm", object: Object, id: str) -> Fields:
    """The record of the path's id as it stands."""
    if not is_id(id):
        raise refusal(400, "MALFORMED_ID", f"malformed id {id}")
    record = crm.state.one(id) if id.startswith(object.prefix) else None
    if record is None:
        raise no_record()
    return record


def seen(crm: "Crm", object: Object, id: str) -> Fields:
    """The record of the path's id as others see it."""
    wanted = stored(crm, object, id)["Id"]
    record = next((one for one in crm.state.records(object.name) if one["Id"] == wanted), None)
    if record is None:
        raise no_record()
    return record


# Rows by external id


def show_external(crm: "Crm", call: Call, version: str, object: str, field: str, value: str) -> Answer:
    known = object_of(object)
    found = matching(known, field, value, crm.state.records(known.name))
    if not found:
        raise no_record()
    return several(version, known, found) or shown(call, version, known, found[0])


def upsert(crm: "Crm", call: Call, version: str, object: str, field: str, value: str) -> Answer:
    known = object_of(object)
    found = matching(known, field, value, crm.state.stored(known.name))
    name = external(known, field)
    sent = sent_fields(call, known, besides=name)
    if not found:
        return made(crm, call, version, known, created(known, sent | {name: value}, call.now), created=True)
    ambiguous = several(version, known, found)
    if ambiguous:
        return ambiguous
    changed(crm, call, known, found[0], sent)
    return Answer(200, {"id": found[0]["Id"], "success": True, "errors": [], "created": False})


def external(object: Object, field: str) -> str:
    """The right name of an external id field; any other field is refused."""
    found = next((c.name for c in object.columns.values() if c.name.lower() == field.lower() and c.external), None)
    if found is None:
        message = f"Provided external ID field does not exist or is not accessible: {field}"
        raise refusal(404, "NOT_FOUND", message)
    return found


def matching(object: Object, field: str, value: str, records: list[Fields]) -> list[Fields]:
    name = external(object, field)
    return [one for one in records if one[name] is not None and one[name].casefold() == value.casefold()]


def several(version: str, object: Object, found: list[Fields]) -> Answer | None:
    """300 with the addresses of all that match, None where one does."""
    if len(found) == 1:
        return None
    return Answer(300, [f"/services/data/{version}/sobjects/{object.name}/{one['Id']}" for one in found])


# The sandbox's own


def be_late(crm: "Crm", call: Call) -> Answer:
    sent = call.parsed()
    kinds = {
        "object": Kind(f"one of {', '.join(OBJECTS)}", lambda value: value in OBJECTS),
        "seconds": Kind("a number above 0", lambda value: is_number(value) and value > 0),
        "times": Kind("a number above 0", lambda value: is_number(value) and value > 0),
    }
    refuse_unless_empty(kind_details(sent, kinds))
    crm.latenesses[sent["object"]] = (sent["seconds"], sent.get("times", 1))
    return Answer(201, sent)


def end_sessions(crm: "Crm", call: Call) -> Answer:
    crm.state.end_sessions()
    return Answer(204)


# What is served


ROWS = "/services/data/{version}/sobjects/{object}"
API: Rows = (  # the first that matches serves: describe stands before {id}
    ("POST", TOKEN_PATH, token),
    ("GET", "/services/data/{version}/query", query),
    ("GET", "/services/data/{version}/query/{place}", query_more),
    ("GET", f"{ROWS}/describe", describe),
    ("POST", ROWS, create),
    ("GET", f"{ROWS}/{{id}}", show),
    ("PATCH", f"{ROWS}/{{id}}", update),
    ("DELETE", f"{ROWS}/{{id}}", delete),
    ("GET", f"{ROWS}/{{field}}/{{value}}", show_external),
    ("PATCH", f"{ROWS}/{{field}}/{{value}}", upsert),
)


class Crm(StandIn):
    """The stand-in CRM."""

    api = API
    own = (*OWN, ("POST", "/sandbox/late", be_late), ("DELETE", "/sandbox/sessions", end_sessions))
    state: State

    def __init__(
        self, path: Path | None, *, client_id: str, client_secret: str, public_key: str | None, api_version: str,
        page_size: int, limit: RateLimit, duplicate_rule: bool, session: float, clock: Callable[[], float],
    ) -> None:  # fmt: skip
        super().__init__(clock)
        self.state = State(path)
        self.page_size, self.duplicate_rule, self.session = page_size, duplicate_rule, session
        self.latenesses: dict[str, tuple[float, int]] = {}
        self._client_id, self._client_secret, self._public_key = client_id, client_secret, public_key
        self._version, self._limit = api_version, limit

    def late(self, object: Object, now: float) -> float | None:
        """When others see what is written to the object now; None for at once."""
        seconds, times = self.latenesses.get(object.name, (0.0, 0))
        if not times:
            return None
        self.latenesses[object.name] = (seconds, times - 1)
        return now + seconds

    def by_secret(self, call: Call, form: Mapping[str, str]) -> None:
        """Refuse who does not know the client's secret."""
        id, secret = basic(call.headers.get("authorization", ""))
        id, secret = form.get("client_id", id), form.get("client_secret", secret)
        if id != self._client_id:
            raise oauth_refusal("invalid_client_id", "client identifier invalid")
        if not hmac.compare_digest(secret.encode(), self._client_secret.encode()):
            raise oauth_refusal("invalid_client", "invalid client credentials")

    def by_assertion(self, call: Call, form: Mapping[str, str]) -> None:
        """Refuse an assertion that is not signed for this app, this place and this time."""
        # Expiry is judged by the stand-in's own clock.
        required: Any = {"require": ["iss", "sub", "aud", "exp"], "verify_exp": False, "verify_iat": False}
        try:
            claims = jwt.decode(
                form.get("assertion", ""), self._public_key or "", algorithms=["RS256"], audience=call.base,
                issuer=self._client_id, options=required,
            )  # fmt: skip
        except jwt.InvalidAudienceError as error:
            raise oauth_refusal("invalid_grant", "audience is invalid") from error
        except (jwt.InvalidTokenError, jwt.InvalidKeyError, ValueError, TypeError) as error:
            raise oauth_refusal("invalid_grant", "invalid assertion") from error
        if not 0 < claims["exp"] - call.now <= ASSERTION_LIFE:
            raise oauth_refusal("invalid_grant", "expired authorization code")
        if "@" not in claims["sub"]:
            raise oauth_refusal("invalid_grant", "user hasn't approved this consumer")

    # What every stand-in has of its own

    def admitted(self, call: Call) -> dict[str, str]:
        """Refuses who is not signed in, another version of the API, and who asks too often."""
        self.state.settle(call.now)
        if call.path == TOKEN_PATH:
            return {}
        if not self.state.is_session(call.headers.get("authorization", "").removeprefix("Bearer "), call.now):
            raise refusal(401, *FAULTS[401])
        if call.path.split("/")[3] != self._version:
            raise no_record()
        try:
            left = self._limit.take(call.now)
        except Exhausted as spent:
            info = f"api-usage={spent.allowance.limit}/{spent.allowance.limit}"
            raise refusal(403, *FAULTS[403], headers={"Sforce-Limit-Info": info}) from spent
        used, limit = (left.limit - left.left, left.limit) if left else (1, DAILY)
        return {"Sforce-Limit-Info": f"api-usage={used}/{limit}"}

    def faulty(self, fault: Fault, status: int) -> Answer:
        """The refusal that a fault stands for, in the API's words where there are some."""
        headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
        phrase = HTTPStatus(status).phrase
        code, message = FAULTS.get(status, (phrase.upper().replace(" ", "_"), f"{phrase}: a fault of the sandbox"))
        return refusal(status, code, message, headers=headers).answer

    def unread(self, unread: Unread) -> Refused:
        if unread.media is not None:
            return refusal(415, "UNSUPPORTED_MEDIA_TYPE", f"Content-Type '{unread.media}' is not supported")
        return refusal(400, "JSON_PARSER_ERROR", f"{unread}")

    def nowhere(self) -> Refused:
        return no_record()


def crm_app(
    path: Path | None,
    *,
    client_id: str,
    client_secret: str,
    public_key: str | None = None,
    api_version: str = "v64.0",
    page_size: int = 2000,
    rate_limit: int | None = None,
    duplicate_rule: bool = False,
    session: float = SESSION,
    clock: Callable[[], float] = time.time,
) -> Starlette:
    """A stand-in for Salesforce's REST API, only for the demo and the tests; one app is to be served once.

    `path` is the SQLite file of its state (made when missing, kept over restarts; None: in memory). Who knows the
    client's secret is let in, and so is a JWT signed for `public_key` (PEM), whoever it is for. `page_size` is the
    largest batch of a query. `rate_limit` is in requests per minute, None for none. `duplicate_rule` refuses accounts
    of the same name. A session lasts `session` seconds. `clock` gives the time in seconds since 1970.
    """
    return Crm(
        path, client_id=client_id, client_secret=client_secret, public_key=public_key, api_version=api_version,
        page_size=page_size, limit=RateLimit(rate_limit), duplicate_rule=duplicate_rule, session=session, clock=clock,
    ).app()  # fmt: skip
