"""Calls HTTP APIs: one request, its answer parsed."""

from __future__ import annotations

import json
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from urllib.parse import urlencode

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from core.connectors import http_watch, servers
from core.connectors.declare import Action, Call, Connection, Connector, Effect, Inputs
from core.connectors.servers import Scalar, ServerUrl
from core.errors import StepError
from data.job_records import JsonValue

if TYPE_CHECKING:
    from core.connectors.wire import Answer, Client

EFFECTS = {"GET": Effect.READS, "HEAD": Effect.READS, "OPTIONS": Effect.READS}
EFFECTS |= {"PUT": Effect.IDEMPOTENT, "DELETE": Effect.IDEMPOTENT}
Method = Annotated[
    Literal["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"],
    BeforeValidator(lambda text: text.upper() if isinstance(text, str) else text),
]


class Settings(BaseModel):
    """A connection of type `http`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: ServerUrl = Field(
        repr=False, description="the server, `https://api.example.com`; URLs of steps are under it"
    )
    headers: dict[str, str] = Field(
        default_factory=dict, repr=False, description="sent with every request, only to this server"
    )
    idempotency_keys: bool = Field(
        default=False, description="true: the server honours Idempotency-Key, so that lost writes may be repeated"
    )


class Request(Inputs):
    """The inputs of `http.request`."""

    connection: str | None = Field(default=None, description="a connection of type http, for its base_url and headers")
    method: Method = Field(default="GET", description="GET, HEAD, OPTIONS, POST, PUT, PATCH or DELETE")
    url: str = Field(min_length=1, description="the URL; with a connection, a path under its base_url")
    params: dict[str, Scalar | list[Scalar]] = Field(
        default_factory=dict, description="query parameters; null ones are left out"
    )
    headers: dict[str, str] = Field(default_factory=dict, description="further headers")
    json_: JsonValue = Field(default=None, alias="json", description="the body, as JSON")
    form: dict[str, Scalar | list[Scalar]] | None = Field(default=None, description="the body, as a form")
    text: str | None = Field(default=None, description="the body, as UTF-8 text")
    accept: list[Annotated[int, Field(ge=100, le=599)]] = Field(
        default_factory=list, description="statuses of 400 and above that are no error, like [404]"
    )

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str, info: ValidationInfo) -> str:
        servers.need_host(url, info.data.get("connection"))
        return url

    @model_validator(mode="after")
    def _check_body(self) -> Self:
        given = ["json_" in self.model_fields_set, self.form is not None, self.text is not None]
        if sum(given) > 1:
            raise ValueError("give one body only: `json`, `form` or `text`")
        return self


def effect(inputs: Request) -> Effect:
    """Return what the method does, as RFC 9110 has it: safe, idempotent or neither."""
    return EFFECTS.get(inputs.method, Effect.WRITES)


def on_doubt(inputs: Request, connection: Any) -> str:
    """Return `retry` where the same request again does no harm, `hold` where it might."""
    safe = effect(inputs) is not Effect.WRITES or getattr(connection, "idempotency_keys", False)
    return "retry" if safe else "hold"


def request(inputs: Request, call: Call) -> dict[str, JsonValue]:
    """Send the request; return status, headers (names in lower case) and body.

    Raises StepError of kind `http` for a status that is an error here, and what wire.Client.send raises.
    """
    from core.connectors import wire

    client: Client = call.connection or servers.anonymous()
    content, kind = _content(inputs)
    reads = effect(inputs) is Effect.READS
    key = None if reads else call.idempotency_key()
    headers = _headers(inputs, {"Content-Type": kind} if kind else {}, key, client)
    answer = client.send(
        wire.Request(
            inputs.method,
            inputs.url,
            reads=reads,
            params=servers.flat(inputs.params),
            headers=headers,
            content=content,
            accept=frozenset(inputs.accept),
            templated="url" in call.from_template,
            lead=call.lead("url"),
        ),
        wire.Patience(call.timeout, call.canceled, call.allow_hosts),
    )
    _check(answer, inputs, client)
    return {"status": answer.status, "headers": _received(answer), "body": servers.body(answer)}


def _open(settings: Settings, workspace: Path) -> Client:
    from core.connectors.wire import Client

    return Client(settings.base_url, settings.headers, settings.idempotency_keys)


def _headers(inputs: Request, base: dict[str, str], key: str | None, client: Client) -> dict[str, str]:
    """Return the step's headers, with those that it does not give itself."""
    if key and not client.sends("Idempotency-Key"):
        base = base | {"Idempotency-Key": key}
    given = {name.lower() for name in inputs.headers}
    return {name: value for name, value in base.items() if name.lower() not in given} | inputs.headers


def _content(inputs: Request) -> tuple[bytes | None, str | None]:
    """Return the body's bytes and their type."""
    try:
        if "json_" in inputs.model_fields_set:
            return json.dumps(inputs.json_, allow_nan=False, separators=(",", ":")).encode(), "application/json"
        if inputs.form is not None:
            return urlencode(servers.flat(inputs.form), doseq=True).encode(), "application/x-www-form-urlencoded"
        if inputs.text is not None:
            return inputs.text.encode(), "text/plain; charset=utf-8"
    except ValueError as error:
        raise StepError(f"{inputs.method}: the body cannot be sent: {error}", "request") from None
    return None, None


def _received(answer: Answer) -> dict[str, str]:
    """Return the answer's headers without cookies, which are credentials."""
    return {name: value for name, value in answer.headers.items() if name != "set-cookie"}


def _check(answer: Answer, inputs: Request, client: Client) -> None:
    """Raise StepError for a status that is an error here."""
    if answer.status in inputs.accept or answer.status < 300 or answer.status == HTTPStatus.NOT_MODIFIED:
        return
    if answer.status < 400:
        raise StepError(
            f"{answer.where} was redirected with status {answer.status}: only GET, HEAD and OPTIONS follow redirects; "
            "use the new address, or take the answer with `accept`",
            "http",
            answer.status,
        )
    said = client.masked(servers.said(servers.body(answer)))
    raise StepError(servers.refusal(answer, said), "http", answer.status)


CONNECTOR = Connector(
    name="http",
    actions=(
        Action(
            name="http.request",
            summary="Send an HTTP request.",
            inputs=Request,
            effect=effect,
            run=request,
            output={
                "status": "the status of the answer",
                "headers": "its headers, names in lower case",
                "body": "its body: parsed if it is JSON, else text, or base64 of what is no text; null if empty",
            },
            connection="http",
            text_inputs=frozenset({"method", "url", "headers", "text"}),
            on_doubt=on_doubt,
            example={"status": 200, "headers": {"content-type": "application/json"}, "body": {}},
        ),
    ),
    triggers=http_watch.TRIGGERS,
    connections=(
        Connection(
            type="http",
            summary="An HTTP API: its address and the headers that it wants.",
            settings=Settings,
            open=_open,
            close=lambda client: client.close(),
        ),
    ),
)
