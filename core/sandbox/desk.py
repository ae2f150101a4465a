"""A stand-in for Zendesk's ticketing API, only for the demo and the tests: real state, real refusals, no Zendesk.

It speaks the shapes of the public API documentation (organizations, tickets, comments, both paginations, idempotency
keys, rate limit) and nothing else of the product: there is one user, and whatever is said of requesters by name is
left out. Every answer carries `X-Sandbox: true`. What it can do besides, without signing in, core.sandbox.faults tells.
"""

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

from starlette.applications import Starlette

from core.sandbox.calls import Answer, Call, Fields, Refused, Rows, Unread
from core.sandbox.desk_records import (
    COMMENT,
    ORGANIZATION,
    TABLE,
    TICKET,
    State,
    comment_details,
    defaults,
    folded,
    given,
    known,
    offset_page,
    organization_details,
    page_of,
    record_id,
    shown,
    ticket_details,
)
from core.sandbox.faults import Allowance, Exhausted, Fault, RateLimit
from core.sandbox.kept import stamp
from core.sandbox.refusals import (
    bad_attribute,
    bad_key,
    bad_record,
    flaw,
    no_endpoint,
    no_record,
    refuse_unless_empty,
    too_many,
    unauthorized,
    unreadable,
)
from core.sandbox.standin import StandIn

LONGEST_KEY = 255


# Organizations


def list_organizations(desk: "Desk", call: Call) -> Answer:
    return page_of(desk, call, "organizations")


def search_organizations(desk: "Desk", call: Call) -> Answer:
    """Those whose external id or whose name is exactly this, letter case aside."""
    columns = {"external_id": "external_key", "name": "name_key"}
    asked = [name for name in columns if name in call.query]
    if len(asked) != 1:
        raise bad_attribute("external_id", "given, or name; one of them and not both")
    return offset_page(desk, call, "organizations", f"{columns[asked[0]]} = ?", folded(call.query[asked[0]]))


def show_organization(desk: "Desk", call: Call, id: str) -> Answer:
    record, fields = found(desk, "organizations", id)
    return Answer(200, {"organization": shown(call, "organizations", record, fields)})


def create_organization(desk: "Desk", call: Call) -> Answer:
    sent = known(given(call, "organization"), ORGANIZATION, "organization")
    fields = {**defaults(ORGANIZATION), **sent}
    refuse_unless_empty(organization_details(desk.state, fields))
    fields |= {"created_at": stamp(call.now), "updated_at": stamp(call.now)}
    record = desk.state.insert("organizations", fields, **organization_keys(fields))
    return created(call, "organization", record, fields)


def update_organization(desk: "Desk", call: Call, id: str) -> Answer:
    """Attributes that are not sent stay, and so do custom fields that are not named."""
    record, old = found(desk, "organizations", id)
    sent = known(given(call, "organization"), ORGANIZATION, "organization")
    fields = {**old, **sent, "updated_at": stamp(call.now)}
    fields["organization_fields"] = old["organization_fields"] | sent.get("organization_fields", {})
    refuse_unless_empty(organization_details(desk.state, fields, own=record))
    desk.state.update("organizations", record, fields, **organization_keys(fields))
    return Answer(200, {"organization": shown(call, "organizations", record, fields)})


def delete_organization(desk: "Desk", call: Call, id: str) -> Answer:
    record, _ = found(desk, "organizations", id)
    desk.state.delete("organizations", record)
    return Answer(204)


def organization_keys(fields: Fields) -> Fields:
    """The columns that hold an organization apart from every other one."""
    return {"name_key": folded(fields["name"]), "external_key": folded(fields["external_id"])}


def found(desk: "Desk", table: str, id: str) -> tuple[int, Fields]:
    """The record of the path's id, as (id, fields)."""
    row = desk.state.one(table, "id = ?", record_id(id))
    if row is None:
        raise no_record()
    return row


def created(call: Call, root: str, record: int, fields: Fields) -> Answer:
    """201 with the new record and where it is."""
    body = shown(call, f"{root}s", record, fields)
    return Answer(201, {root: body}, {"Location": body["url"]})


# Tickets


def list_tickets(desk: "Desk", call: Call) -> Answer:
    if "external_id" in call.query:
        return page_of(desk, call, "tickets", "external_key = ?", folded(call.query["external_id"]))
    return page_of(desk, call, "tickets")


def show_ticket(desk: "Desk", call: Call, id: str) -> Answer:
    record, fields = found(desk, "tickets", id)
    return Answer(200, {"ticket": shown(call, "tickets", record, fields)})


def list_comments(desk: "Desk", call: Call, id: str) -> Answer:
    record, _ = found(desk, "tickets", id)
    answer = page_of(desk, call, "comments", "ticket_id = ?", record)
    for comment in answer.body["comments"]:
        del comment["url"]  # a comment has no address of its own
    return answer


def create_ticket(desk: "Desk", call: Call) -> Answer:
    """A new ticket, or the one that the same Idempotency-Key made; the header says which by miss or hit."""
    key = call.headers.get("idempotency-key")
    if key is None:
        return new_ticket(desk, call)
    if not 0 < len(key) <= LONGEST_KEY:
        raise bad_key(f"An idempotency key has 1 to {LONGEST_KEY} characters")
    asked = digest(call.parsed())
    kept = desk.state.kept_answer(key, call.now)
    if kept is None:
        answer = new_ticket(desk, call)
        desk.state.keep_answer(key, asked, answer.body, call.now)
        return Answer(answer.status, answer.body, {**answer.headers, "x-idempotency-lookup": "miss"})
    if kept[0] != asked:
        raise bad_key("Request parameters don't match the given idempotency key")
    return Answer(201, kept[1], {"Location": kept[1]["ticket"]["url"], "x-idempotency-lookup": "hit"})


def digest(value: Any) -> str:
    """The same for two bodies that say the same."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def new_ticket(desk: "Desk", call: Call) -> Answer:
    sent = given(call, "ticket")
    fields = {**defaults(TICKET), **known(sent, TICKET, "ticket")}
    # A description alone is taken for the first comment, as the real one takes it.
    comment = comment_of(sent) or {**defaults(COMMENT), "body": fields["description"]}
    refuse_unless_empty(ticket_details(desk.state, fields) | comment_details(comment))
    fields |= {"description": comment["body"] or comment["html_body"], "created_at": stamp(call.now)}
    fields |= {"updated_at": stamp(call.now), "via": {"channel": "api"}, "is_public": comment["public"]}
    record = desk.state.insert("tickets", fields, external_key=folded(fields["external_id"]))
    add_comment(desk, call, record, comment)
    return created(call, "ticket", record, fields)


def update_ticket(desk: "Desk", call: Call, id: str) -> Answer:
    """The ticket with what was sent, and its comment added; a closed one is refused, and its description stays."""
    record, old = found(desk, "tickets", id)
    sent = given(call, "ticket")
    comment = comment_of(sent)
    fields = {**old, **known(sent, TICKET, "ticket"), "description": old["description"]}
    if old["status"] == "closed":
        raise bad_record({"status": flaw("Status", "closed prevents ticket update", "InvalidValue")})
    refuse_unless_empty(ticket_details(desk.state, fields) | (comment_details(comment) if comment else {}))
    fields["updated_at"] = stamp(call.now)
    desk.state.update("tickets", record, fields, external_key=folded(fields["external_id"]))
    if comment:
        add_comment(desk, call, record, comment)
    return Answer(200, {"ticket": shown(call, "tickets", record, fields)})


def comment_of(sent: Fields) -> Fields | None:
    """The comment that came with a ticket, whole; None when there is none."""
    comment = sent.get("comment")
    if comment is None:
        return None
    if not isinstance(comment, dict):
        raise bad_attribute("ticket.comment", TABLE.words)
    return {**defaults(COMMENT), **known(comment, COMMENT, "ticket.comment")}


def add_comment(desk: "Desk", call: Call, ticket: int, comment: Fields) -> None:
    text = comment["body"] or comment["html_body"]
    fields = {"type": "Comment", **comment, "body": text, "html_body": comment["html_body"] or text}
    desk.state.insert("comments", {**fields, "created_at": stamp(call.now)}, ticket_id=ticket)


# What is served


API: Rows = (  # the first that matches serves: search stands before {id}
    ("GET", "/api/v2/organizations", list_organizations),
    ("POST", "/api/v2/organizations", create_organization),
    ("GET", "/api/v2/organizations/search", search_organizations),
    ("GET", "/api/v2/organizations/{id}", show_organization),
    ("PUT", "/api/v2/organizations/{id}", update_organization),
    ("DELETE", "/api/v2/organizations/{id}", delete_organization),
    ("GET", "/api/v2/tickets", list_tickets),
    ("POST", "/api/v2/tickets", create_ticket),
    ("GET", "/api/v2/tickets/{id}", show_ticket),
    ("PUT", "/api/v2/tickets/{id}", update_ticket),
    ("GET", "/api/v2/tickets/{id}/comments", list_comments),
)


class Desk(StandIn):
    """The stand-in help desk."""

    api = API
    state: State

    def __init__(self, path: Path | None, token: str, page_size: int, limit: RateLimit, clock: Callable[[], float]):
        super().__init__(clock)
        self.state = State(path)
        self.page_size = page_size
        self._token = token
        self._limit = limit

    def admitted(self, call: Call) -> dict[str, str]:
        """Refuses who is not signed in and who asks too often; gives the headers of the rate limit."""
        if not is_signed_in(call.headers.get("authorization", ""), self._token):
            raise unauthorized()
        try:
            left = self._limit.take(call.now)
        except Exhausted as spent:
            raise too_many({**limit_headers(spent.allowance), "Retry-After": str(spent.allowance.reset)}) from spent
        return limit_headers(left) if left else {}

    def faulty(self, fault: Fault, status: int) -> Answer:
        """The refusal that a fault stands for: 429 as the rate limit words it, else the status by its name."""
        headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
        if status == 429:
            return too_many(headers).answer
        phrase = HTTPStatus(status).phrase
        return Answer(status, {"error": phrase, "description": f"{phrase}: a fault queued in the sandbox"}, headers)

    def unread(self, unread: Unread) -> Refused:
        return unreadable(unread)

    def nowhere(self) -> Refused:
        return no_endpoint()

    def place(self, call: Call) -> str:
        """The path without the `.json` that the API takes and leaves."""
        return call.raw.removesuffix(".json")


def limit_headers(left: Allowance) -> dict[str, str]:
    """What tells how much is left of the rate limit."""
    told = {"X-Rate-Limit": left.limit, "X-Rate-Limit-Remaining": left.left, "RateLimit-Reset": left.reset}
    return {name: str(value) for name, value in told.items()}


def is_signed_in(header: str, token: str) -> bool:
    """Whether the Authorization header is basic `{email}/token:{token}`."""
    scheme, _, coded = header.partition(" ")
    try:
        user, _, secret = base64.b64decode(coded, validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return False
    email = user.removesuffix(b"/token")
    is_token = scheme.lower() == "basic" and email != user and b"@" in email
    return is_token and hmac.compare_digest(secret, token.encode())


def desk_app(
    path: Path | None,
    *,
    token: str,
    page_size: int = 100,
    rate_limit: int | None = None,
    clock: Callable[[], float] = time.time,
) -> Starlette:
    """A stand-in for Zendesk's ticketing API, only for the demo and the tests; one app is to be served once.

    `path` is the SQLite file of its state (made when missing, kept over restarts; None: in memory). Any e-mail address
    with `token` is let in. `page_size` is both the default and the largest page. `rate_limit` is in requests per
    minute, None for none. `clock` gives the time in seconds since 1970.
    """
    return Desk(path, token, page_size, RateLimit(rate_limit), clock).app()
