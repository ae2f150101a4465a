"""Zendesk's ticketing API: organizations looked up, created and updated, tickets created and updated."""

from __future__ import annotations

import base64
import datetime as dt
import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from core.connectors import servers
from core.connectors.declare import Action, Call, Connection, Connector, Effect, Inputs
from core.connectors.servers import ServerUrl
from core.errors import AnswerLost, StepError
from data.job_records import JsonValue

if TYPE_CHECKING:
    from core.connectors.wire import Answer, Client

TIMEOUT = 120.0  # seconds for the whole step where it says nothing: rate limits are counted by the minute
TRIES = 5
FIRST_WAIT = 1.0  # seconds, doubled with each try, where a 429 names no time
MAX_PAGES = 100  # Zendesk's offset pagination ends at record 10,000
ORGANIZATIONS = "/api/v2/organizations"
TICKETS = "/api/v2/tickets"
UNKNOWN_END = frozenset({502, 504})  # a gateway's word: what is behind it may have acted
HINTS = {
    401: "see email and token of the connection, and that token access is on in Zendesk's Admin Center",
    403: "the connection's user may not do this",
}

Id = Annotated[int, Field(gt=0, le=2**63 - 1)]


class Settings(BaseModel):
    """A connection of type `zendesk`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: ServerUrl = Field(repr=False, description="the account's address, `https://example.zendesk.com`")
    email: str = Field(pattern=r"^[^@\s:]+@[^@\s:]+$", description="the user in whose name it acts")
    token: SecretStr = Field(min_length=1, description="an API token of Zendesk's Admin Center")


CONNECTION = Field(min_length=1, description="a connection of type zendesk")


class Search(Inputs):
    """The inputs of `zendesk.search_organizations`."""

    connection: str = CONNECTION
    external_id: str | None = Field(default=None, min_length=1, description="the external id, whole; case is the same")
    name: str | None = Field(default=None, min_length=1, description="the name, whole; case is the same")

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if (self.external_id is None) == (self.name is None):
            raise ValueError("give either `external_id` or `name`")
        return self


class _Record(Inputs):
    """Fields that are sent as they are given: one that is not given stays as it is, null empties it."""

    def fields(self) -> dict[str, Any]:
        """Return the record's fields, without what says where it goes."""
        return self.model_dump(mode="json", exclude_unset=True, exclude={"connection", "id"})


class _Organization(_Record):
    connection: str = CONNECTION
    external_id: str | None = Field(default=None, description="its id in another system, unique; case is the same")
    domain_names: list[str] | None = Field(default=None, description="e-mail domains whose users belong to it")
    details: str | None = Field(default=None, description="details about it, such as the address")
    notes: str | None = Field(default=None, description="notes about it, seen by agents")
    group_id: Id | None = Field(default=None, description="the group that its users' new tickets go to")
    shared_tickets: bool | None = Field(default=None, description="whether its users see each other's tickets")
    shared_comments: bool | None = Field(default=None, description="whether its users comment on each other's tickets")
    tags: list[str] | None = Field(default=None, description="its tags; those that are not named are removed")
    organization_fields: dict[str, JsonValue] | None = Field(
        default=None, description="custom fields, `{key: value}`; those that are not named stay"
    )


class CreateOrganization(_Organization):
    """The inputs of `zendesk.create_organization`."""

    name: str = Field(min_length=1, description="its name, unique")


class UpdateOrganization(_Organization):
    """The inputs of `zendesk.update_organization`."""

    id: Id = Field(description="the organization's id in Zendesk")
    name: str | None = Field(default=None, min_length=1, description="its name, unique")

    @model_validator(mode="after")
    def _check_fields(self) -> Self:
        return _with_fields(self)


class Comment(Inputs):
    """A comment with more than its text."""

    body: str | None = Field(default=None, min_length=1, description="its text")
    html_body: str | None = Field(default=None, min_length=1, description="its text as HTML, instead of `body`")
    public: bool = Field(default=True, description="false: an internal note, seen by agents only")
    author_id: Id | None = Field(default=None, description="the user who says it; by default the connection's")

    @model_validator(mode="after")
    def _check_body(self) -> Self:
        if (self.body is None) == (self.html_body is None):
            raise ValueError("give either `body` or `html_body`")
        return self


def _as_comment(value: object) -> object:
    if value == "":
        raise ValueError("it is empty")
    return Comment(body=value) if isinstance(value, str) else value


Said = Annotated[Comment, BeforeValidator(_as_comment, json_schema_input_type=str | Comment)]


class Requester(Inputs):
    """Who asks, as a user who is found by the address or made."""

    email: str = Field(min_length=3, description="the user's e-mail address")
    name: str = Field(min_length=1, description="the user's name, should there be none with this address")


class CustomField(Inputs):
    """The value of a custom ticket field."""

    id: Id = Field(description="the field's id in Zendesk")
    value: JsonValue = Field(description="its value")


class _Ticket(_Record):
    connection: str = CONNECTION
    subject: str | None = Field(default=None, description="its subject")
    comment: Said | None = Field(
        default=None, description="what is said: a text, or `{body or html_body, public, author_id}`"
    )
    priority: Literal["low", "normal", "high", "urgent"] | None = Field(
        default=None, description="low, normal, high or urgent"
    )
    status: Literal["new", "open", "pending", "hold", "solved", "closed"] | None = Field(
        default=None, description="new, open, pending, hold, solved or closed"
    )
    type: Literal["problem", "incident", "question", "task"] | None = Field(
        default=None, description="problem, incident, question or task"
    )
    requester: Requester | None = Field(default=None, description="who asks, `{email, name}`: found or made")
    requester_id: Id | None = Field(default=None, description="the user who asks; by default the connection's")
    assignee_id: Id | None = Field(default=None, description="the agent whose it is")
    group_id: Id | None = Field(default=None, description="the group whose it is")
    organization_id: Id | None = Field(default=None, description="the organization that it belongs to")
    external_id: str | None = Field(default=None, description="its id in another system; many may have the same")
    tags: list[str] | None = Field(default=None, description="its tags; those that are not named are removed")
    custom_fields: list[CustomField] | None = Field(default=None, description="custom fields, a list of `{id, value}`")
    due_at: str | None = Field(default=None, description="when a task is due, RFC 3339")
    brand_id: Id | None = Field(default=None, description="the brand that it is about")
    ticket_form_id: Id | None = Field(default=None, description="the form that it follows")

    @model_validator(mode="after")
    def _check_requester(self) -> Self:
        if self.requester is not None and self.requester_id is not None:
            raise ValueError("give either `requester` or `requester_id`")
        return self


class CreateTicket(_Ticket):
    """The inputs of `zendesk.create_ticket`."""

    description: str | None = Field(default=None, min_length=1, description="the first comment, as text")

    @model_validator(mode="after")
    def _check_comment(self) -> Self:
        if (not self.comment) == (not self.description):
            raise ValueError("give either `comment` or `description`: it is the ticket's first comment")
        return self


class UpdateTicket(_Ticket):
    """The inputs of `zendesk.update_ticket`."""

    id: Id = Field(description="the ticket's id in Zendesk")

    @model_validator(mode="after")
    def _check_fields(self) -> Self:
        return _with_fields(self)


def _with_fields(inputs: Any) -> Any:
    if not inputs.fields():
        raise ValueError("give at least one field to update")
    return inputs


class Account:
    """An account that requests are sent to; may be used by many threads at once."""

    def __init__(self, settings: Settings) -> None:
        from core.connectors.wire import Client

        self._token = settings.token.get_secret_value()
        # Basic authentication with an API token: the user is `{email}/token`.
        user = f"{settings.email}/token:{self._token}"
        basic = "Basic " + base64.b64encode(user.encode()).decode("ascii")
        self.client: Client = Client(settings.base_url, {"Authorization": basic, "Accept": "application/json"})

    def close(self) -> None:
        """Close the open connections."""
        self.client.close()

    def masked(self, text: str) -> str:
        """Return text without the account's credentials."""
        return self.client.masked(text).replace(self._token, "***")


@dataclass(frozen=True)
class _Request:
    method: str
    url: str
    params: dict[str, str] | None = None
    record: dict[str, Any] | None = None
    key: str | None = None
    again: bool = True
    """Whether it may be sent again after an answer that does not say that nothing was done."""


def search_organizations(inputs: Search, call: Call) -> dict[str, JsonValue]:
    """Return the organizations whose external id or name is exactly this, of all pages, and how many they are."""
    asked = {"external_id": inputs.external_id} if inputs.external_id is not None else {"name": inputs.name or ""}
    found: list[JsonValue] = []
    for answer, page in _pages(_Request("GET", f"{ORGANIZATIONS}/search.json", params=asked), call):
        rows = page.get("organizations")
        if not isinstance(rows, list):
            raise StepError(f"{answer.where} answered without `organizations`", "http", answer.status)
        found += rows
    return {"count": len(found), "organizations": found}


def create_organization(inputs: CreateOrganization, call: Call) -> JsonValue:
    """Create an organization and return it; one whose name or external id is taken is refused by Zendesk with 422."""
    request = _Request("POST", f"{ORGANIZATIONS}.json", record={"organization": inputs.fields()}, again=False)
    return _written(request, "organization", call)


def update_organization(inputs: UpdateOrganization, call: Call) -> JsonValue:
    """Update an organization and return it whole."""
    url = f"{ORGANIZATIONS}/{inputs.id}.json"
    return _written(_Request("PUT", url, record={"organization": inputs.fields()}), "organization", call)


def create_ticket(inputs: CreateTicket, call: Call) -> JsonValue:
    """Create a ticket and return it; with the same idempotency key Zendesk gives the one that it made before."""
    request = _Request("POST", f"{TICKETS}.json", record={"ticket": inputs.fields()})
    return _written(request, "ticket", call)


def update_ticket(inputs: UpdateTicket, call: Call) -> JsonValue:
    """Update a ticket, add the comment if there is one, and return the ticket whole."""
    again = update_ticket_effect(inputs) is not Effect.WRITES
    request = _Request("PUT", f"{TICKETS}/{inputs.id}.json", record={"ticket": inputs.fields()}, again=again)
    return _written(request, "ticket", call)


def update_ticket_effect(inputs: UpdateTicket) -> Effect:
    """Return WRITES where the update says something: done again, the ticket would have the comment twice."""
    return Effect.WRITES if inputs.comment is not None else Effect.IDEMPOTENT


def _pages(request: _Request, call: Call) -> Iterator[tuple[Answer, dict[str, JsonValue]]]:
    deadline = _deadline(call)
    for _ in range(MAX_PAGES):
        answer = _sent(request, call, deadline)
        page = _mapping(answer)
        if page is None:
            raise StepError(f"{answer.where} answered {_kind(answer)}, not JSON: is it Zendesk?", "http", answer.status)
        yield answer, page
        following = page.get("next_page")
        if not isinstance(following, str):
            return
        # The client holds it to the connection's server.
        request = _Request("GET", following)
    raise StepError(f"{answer.where} has more than {MAX_PAGES} pages: ask for fewer", "http")


def _written(request: _Request, root: str, call: Call) -> JsonValue:
    answer = _sent(replace(request, key=call.idempotency_key()), call, _deadline(call))
    record = (_mapping(answer) or {}).get(root)
    if not isinstance(record, dict):
        raise AnswerLost(f"{answer.where} answered {servers.status(answer)} without the {root}; it may have acted")
    return record


def _deadline(call: Call) -> float:
    return time.monotonic() + (call.timeout or TIMEOUT)


def _sent(request: _Request, call: Call, deadline: float) -> Answer:
    """Return the answer of a request that went well, sent again where Zendesk asks to wait; raises StepError."""
    for tried in range(1, TRIES + 1):
        answer = _asked(request, call, deadline)
        if 200 <= answer.status < 300:
            return answer
        wait = _wait(request, answer, tried)
        if wait is None:
            raise _refused(request, answer, call.connection)
        # Those that were told to wait together must not come back together.
        pause = wait * random.uniform(1, 1.1)
        if tried == TRIES or pause > deadline - time.monotonic():
            raise _limited(answer, wait, tried, call.connection)
        call.log("info", f"{answer.where} answered {servers.status(answer)}: asked again in {pause:.1f} s")
        if call.canceled.wait(pause):
            raise StepError(f"{answer.where}: the step was canceled while it waited to ask again", "timeout")
    raise AssertionError("the last try returns or raises")


def _asked(request: _Request, call: Call, deadline: float) -> Answer:
    from core.connectors import wire

    headers = {"Content-Type": "application/json"} if request.record is not None else {}
    if request.key:
        headers["Idempotency-Key"] = request.key
    sent = wire.Request(
        request.method,
        request.url,
        reads=request.method == "GET",
        params=request.params or {},
        headers=headers,
        content=None if request.record is None else _content(request),
    )
    left = max(deadline - time.monotonic(), 0.001)
    patience = left if call.timeout else min(left, wire.TIMEOUT)
    return call.connection.client.send(sent, wire.Patience(patience, call.canceled))


def _content(request: _Request) -> bytes:
    try:
        return json.dumps(request.record, allow_nan=False).encode()
    except ValueError as error:
        raise StepError(f"{request.method} {request.url}: the body cannot be sent: {error}", "request") from None


def _wait(request: _Request, answer: Answer, tried: int) -> float | None:
    """Return the seconds after which to ask again, None where that is not for us to do."""
    wait = servers.retry_after(answer, dt.datetime.now(dt.UTC))
    if answer.status == 429:
        return FIRST_WAIT * 2 ** (tried - 1) if wait is None else wait
    # With Retry-After it is Zendesk's word for a deadlock or an overload, which it wants to be asked again after.
    return wait if answer.status == 503 and request.again else None


def _limited(answer: Answer, wait: float, tried: int, account: Account) -> StepError:
    words = servers.refusal(answer, _said(answer, account))
    times = "once" if tried == 1 else f"{tried} times"
    return StepError(
        f"{words}; asked {times}, and it wants {wait:.0f} s more: give the step a longer `timeout`, or retry it later",
        "rate_limited" if answer.status == 429 else "http",
        answer.status,
    )


def _refused(request: _Request, answer: Answer, account: Account) -> StepError:
    message = servers.refusal(answer, _said(answer, account))
    if answer.status in UNKNOWN_END and request.method != "GET":
        return AnswerLost(f"{message}; it may have acted")
    hint = HINTS.get(answer.status)
    return StepError(f"{message}; {hint}" if hint else message, "http", answer.status)


def _said(answer: Answer, account: Account) -> str:
    """Return what Zendesk says about an error: each detail with the name of its error, then its general sentence."""
    page = _mapping(answer)
    details = page.get("details") if page else None
    flaws = list(dict.fromkeys(_flaws(details)))
    if page is None or not flaws:
        return account.masked(servers.said(servers.body(answer)))
    return account.masked(servers.cut("; ".join([*flaws, str(page.get("description") or page.get("error"))])))


def _flaws(details: JsonValue) -> Iterator[str]:
    match details:
        case {"description": str() as described, **rest}:
            error = rest.get("error")
            yield f"{described} ({error})" if error else described
        case dict():
            for inner in details.values():
                yield from _flaws(inner)
        case list():
            for inner in details:
                yield from _flaws(inner)
        case str():
            yield details


def _mapping(answer: Answer) -> dict[str, JsonValue] | None:
    try:
        found = servers.parsed(answer)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _kind(answer: Answer) -> str:
    return answer.headers.get("content-type", "").partition(";")[0] or "nothing"


def _open(settings: Settings, workspace: Path) -> Account:
    return Account(settings)


_TEXTS = frozenset({"external_id", "name"})
_ORGANIZATION_TEXTS = _TEXTS | {"details", "notes"}
_TICKET_TEXTS = frozenset({"external_id", "subject", "due_at"})

def _example(inputs: _Organization | _Ticket) -> dict[str, JsonValue]:
    given = {name: value for name, value in inputs.fields().items() if name != "comment"}
    return {"id": getattr(inputs, "id", 1), **given}


CONNECTOR = Connector(
    name="zendesk",
    actions=(
        Action(
            name="zendesk.search_organizations",
            summary="Look up organizations by external id or by name.",
            inputs=Search,
            effect=Effect.READS,
            run=search_organizations,
            output={"count": "how many there are", "organizations": "a list of them, as Zendesk gives them"},
            connection="zendesk",
            text_inputs=_TEXTS,
        ),
        Action(
            name="zendesk.create_organization",
            summary="Create an organization, and give it as Zendesk keeps it.",
            inputs=CreateOrganization,
            effect=Effect.WRITES,
            run=create_organization,
            connection="zendesk",
            example=_example,
            text_inputs=_ORGANIZATION_TEXTS,
        ),
        Action(
            name="zendesk.update_organization",
            summary="Update an organization, and give it as Zendesk keeps it.",
            inputs=UpdateOrganization,
            effect=Effect.IDEMPOTENT,
            run=update_organization,
            connection="zendesk",
            example=_example,
            text_inputs=_ORGANIZATION_TEXTS,
        ),
        Action(
            name="zendesk.create_ticket",
            summary="Create a ticket, and give it as Zendesk keeps it.",
            inputs=CreateTicket,
            effect=Effect.WRITES,
            run=create_ticket,
            connection="zendesk",
            example=_example,
            text_inputs=_TICKET_TEXTS | {"description"},
            # Zendesk keeps the answers to idempotency keys: the same request again gives the same ticket.
            on_doubt=lambda inputs, connection: "retry",
        ),
        Action(
            name="zendesk.update_ticket",
            summary="Update a ticket, comment on it, and give it as Zendesk keeps it.",
            inputs=UpdateTicket,
            effect=update_ticket_effect,
            run=update_ticket,
            connection="zendesk",
            example=_example,
            text_inputs=_TICKET_TEXTS,
        ),
    ),
    connections=(
        Connection(
            type="zendesk",
            summary="A Zendesk account, entered with an API token.",
            settings=Settings,
            open=_open,
            close=lambda account: account.close(),
        ),
    ),
)
