"""Calls HTTP APIs: one request, its answer parsed."""

from __future__ import annotations

import base64
import functools
import json
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from urllib.parse import urlencode, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from core.connectors.declare import Action, Call, Connection, Connector, Effect, Inputs
from core.errors import StepError
from data.records import JsonValue

if TYPE_CHECKING:
    from core.connectors.wire import Answer, Client

MESSAGE_LIMIT = 300  # characters of the server's own message that an error quotes
EFFECTS = {"GET": Effect.READS, "HEAD": Effect.READS, "OPTIONS": Effect.READS}
EFFECTS |= {"PUT": Effect.IDEMPOTENT, "DELETE": Effect.IDEMPOTENT}
MESSAGE_KEYS = ("message", "error_description", "detail", "description", "error", "title", "errors")
DETAIL_KEYS = ("details", "errors")  # where the flaws stand one by one, as RFC 9457 and many APIs have it
Scalar = str | int | float | bool | None
Method = Annotated[
    Literal["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"],
    BeforeValidator(lambda text: text.upper() if isinstance(text, str) else text),
]


class Settings(BaseModel):
    """A connection of type `http`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str = Field(repr=False, description="the server, `https://api.example.com`; URLs of steps are under it")
    headers: dict[str, str] = Field(
        default_factory=dict, repr=False, description="sent with every request, only to this server"
    )
    idempotency_keys: bool = Field(
        default=False, description="true: the server honours Idempotency-Key, so that lost writes may be repeated"
    )

    @field_validator("base_url")
    @classmethod
    def _check_base_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("it must be http:// or https://, a host and perhaps a path")
        return url


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

    client: Client = call.connection or _anonymous()
    content, kind = _content(inputs)
    reads = effect(inputs) is Effect.READS
    headers = _headers(inputs, {"Content-Type": kind} if kind else {}, None if reads else call.idempotency_key, client)
    answer = client.send(
        wire.Request(
            inputs.method,
            inputs.url,
            reads=reads,
            params=_flat(inputs.params),
            headers=headers,
            content=content,
            accept=frozenset(inputs.accept),
            templated="url" in call.from_template,
        ),
        wire.Patience(call.timeout, call.canceled, call.allow_hosts),
    )
    _check(answer, inputs, client)
    return {"status": answer.status, "headers": _received(answer), "body": _body(answer)}


@functools.cache
def _anonymous() -> Client:
    """Return the client of all requests that name no connection; kept open."""
    from core.connectors.wire import Client

    return Client()


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
            return urlencode(_flat(inputs.form), doseq=True).encode(), "application/x-www-form-urlencoded"
        if inputs.text is not None:
            return inputs.text.encode(), "text/plain; charset=utf-8"
    except ValueError as error:
        raise StepError(f"{inputs.method}: the body cannot be sent: {error}", "request") from None
    return None, None


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    """Return parameters as text, or lists of text, without the null ones."""
    return {
        name: [_text(one) for one in value if one is not None] if isinstance(value, list) else _text(value)
        for name, value in values.items()
        if value is not None
    }


def _text(value: Scalar) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


def _received(answer: Answer) -> dict[str, str]:
    """Return the answer's headers without cookies, which are credentials."""
    return {name: value for name, value in answer.headers.items() if name != "set-cookie"}


def _body(answer: Answer) -> JsonValue:
    """Return the body as its type says: JSON parsed, text as text, other bytes in base64; null where it is empty."""
    if not answer.body:
        return None
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        try:
            return json.loads(answer.body.decode("utf-8-sig"), parse_constant=_refuse)
        except (ValueError, RecursionError):
            pass  # the type was wrong: it is text, or bytes
    try:
        return answer.body.decode(answer.charset)
    except (UnicodeError, LookupError):
        return base64.b64encode(answer.body).decode("ascii")


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no JSON number")


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
    said = client.masked(_message(_body(answer)))
    words = f"{answer.status} {_phrase(answer.status)}".strip()
    raise StepError(f"{answer.where} answered {words}" + (f": {said}" if said else ""), "http", answer.status)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _message(body: JsonValue) -> str:
    """Return what the server says about an error, with the details that it gives beside its sentence, cut short."""
    details = [body[key] for key in DETAIL_KEYS if body.get(key)] if isinstance(body, dict) else []
    parts = [one for found in details for one in (found.values() if isinstance(found, dict) else _listed(found))]
    told = dict.fromkeys(filter(None, map(_sentence, [body, *parts])))
    text = "; ".join(told)
    return text if len(text) <= MESSAGE_LIMIT else text[:MESSAGE_LIMIT] + "…"


def _listed(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else [value]


def _sentence(body: JsonValue) -> str:
    while isinstance(body, dict | list) and body:
        inner = body[0] if isinstance(body, list) else next((body[key] for key in MESSAGE_KEYS if body.get(key)), None)
        if inner is None:
            body = json.dumps(body, ensure_ascii=False)
        else:
            body = inner
    return " ".join(body.split()) if isinstance(body, str) else ""


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
        ),
    ),
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
