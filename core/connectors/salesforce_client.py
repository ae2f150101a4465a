"""Talks to one Salesforce org: requests signed in, told to wait or refused in its words, queries page by page."""

from __future__ import annotations

import datetime as dt
import json
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from core.connectors import salesforce_soql as soql
from core.connectors import servers
from core.connectors.declare import Call, Watch
from core.connectors.salesforce_auth import Settings, Signing
from core.errors import AnswerLost, StepError
from core.wording import unknown
from data.job_records import JsonValue

if TYPE_CHECKING:
    from core.connectors import wire

TIMEOUT = 60.0  # seconds for the whole step where it says nothing
TRIES = 5
FIRST_WAIT = 1.0  # seconds, doubled with each try, where the answer names no time
DESCRIBED = 600.0  # seconds that an object's fields are known
LONGEST_QUERY = 15_000  # characters in the URL; Salesforce takes 16,384 bytes of URL and headers
UNKNOWN_END = frozenset({502, 504})  # a gateway's word: what is behind it may have acted
LIMIT = "REQUEST_LIMIT_EXCEEDED"


@dataclass(frozen=True)
class Request:
    """What is asked of the API."""

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    record: Mapping[str, JsonValue] | None = None
    again: bool = True
    """Whether it may be sent again after an answer that does not surely say that nothing was done."""


@dataclass(frozen=True)
class Patience:
    """Until when, and how often, to ask."""

    until: float
    """On the monotonic clock."""
    canceled: threading.Event
    tries: int
    log: Callable[[str, str], None]

    @classmethod
    def of_call(cls, call: Call) -> Patience:
        """Return the patience of a step."""
        return cls(time.monotonic() + (call.timeout or TIMEOUT), call.canceled, TRIES, call.log)

    @classmethod
    def of_poll(cls, watch: Watch) -> Patience:
        """Return the patience of one request of a poll: polls come back by themselves, and wait for longer."""
        return cls(time.monotonic() + TIMEOUT, watch.canceled, 1, lambda level, message: None)

    @property
    def left(self) -> float:
        """Seconds."""
        return self.until - time.monotonic()


@dataclass(frozen=True)
class Batch:
    """A part of what a query gives."""

    records: list[dict[str, Any]]
    total: int
    """Of all parts."""
    asked_at: dt.datetime | None
    """What the answer's Date says."""


class Org:
    """One org; may be used by many threads at once."""

    def __init__(self, settings: Settings) -> None:
        from core.connectors.wire import Client

        self._data = f"/services/data/{settings.api_version}"
        self._client: wire.Client = Client(settings.instance_url, {"Accept": "application/json"})
        self._signing = Signing(settings)
        self._fields: dict[str, tuple[float, dict[str, str]]] = {}

    def close(self) -> None:
        """Close the open connections."""
        self._client.close()
        self._signing.close()

    def rows(self, object: str, *parts: str) -> str:
        """Return the path of an object's rows; `parts` may hold anything but two dots."""
        return "/".join([f"{self._data}/sobjects/{object}", *(quote(part, safe="") for part in parts)])

    def send(self, request: Request, patience: Patience) -> wire.Answer:
        """Return the answer of a request that went well, sent again where Salesforce has it wait.

        Raises StepError whose kind is Salesforce's errorCode, AnswerLost where a write may have acted, and what
        signing in raises.
        """
        for tried in range(1, patience.tries + 1):
            answer = self._signed(request, patience)
            if 200 <= answer.status < 300:
                return answer
            refused = self._refused(request, answer)
            wait = _wait(request, answer, refused.kind, tried)
            if wait is None or tried == patience.tries or wait > patience.left:
                raise refused
            patience.log("info", f"{answer.where} answered {servers.status(answer)}: asked again in {wait:.1f} s")
            if patience.canceled.wait(wait):
                raise StepError(f"{answer.where}: the step was canceled while it waited to ask again", "timeout")
        raise AssertionError("the last try returns or raises")

    def query(self, text: str, patience: Callable[[], Patience], batch: int = 2000) -> Iterator[Batch]:
        """Yield what a query gives, as many records at once as Salesforce gives, at most `batch`."""
        length = len(quote(text))
        if length > LONGEST_QUERY:
            raise StepError(f"the query is too long for Salesforce ({length} bytes): ask for less", "request")
        options = {"Sforce-Query-Options": f"batchSize={batch}"}
        request = Request("GET", f"{self._data}/query", params={"q": text}, headers=options)
        while True:
            answer = self.send(request, patience())
            page = mapping(answer)
            records, total, following = page.get("records"), page.get("totalSize"), page.get("nextRecordsUrl")
            if not isinstance(records, list) or not isinstance(total, int):
                raise StepError(f"{answer.where} answered without `records`: is it Salesforce?", "http", answer.status)
            yield Batch([without_attributes(one) for one in records], total, _date(answer))
            if not isinstance(following, str):
                return
            request = Request("GET", following, headers=options)

    def kinds(self, object: str, named: Iterable[str], patience: Patience) -> Mapping[str, str]:
        """Return the types of an object's fields by their names in lower case; raises StepError for an unknown name.

        Names of other objects' fields are left to Salesforce. What `describe` said is kept for ten minutes.
        """
        until, fields = self._fields.get(object.lower(), (0.0, {}))
        if time.monotonic() > until:
            fields = self._described(object, patience)
            self._fields[object.lower()] = (time.monotonic() + DESCRIBED, fields)
        kinds = {name.lower(): kind for name, kind in fields.items()}
        for name in named:
            if soql.plain(name) and name.lower() not in kinds:
                raise StepError(f"where: {object}: {unknown('field', name, fields)}", "INVALID_FIELD")
        return kinds

    def _described(self, object: str, patience: Patience) -> dict[str, str]:
        fields = mapping(self.send(Request("GET", self.rows(object, "describe")), patience)).get("fields")
        return {one["name"]: one["type"] for one in fields or []}

    def _signed(self, request: Request, patience: Patience) -> wire.Answer:
        """Return the answer to a request; a token that is no longer good is renewed once."""
        from core.connectors import wire

        waiting = wire.Patience(max(patience.left, 0.001), patience.canceled)
        token = self._signing.token(waiting)
        answer = self._sent(request, token, waiting)
        if answer.status != 401:
            return answer
        # It was refused before anything was done, so this one may be sent again whatever it does.
        return self._sent(request, self._signing.token(waiting, refused=token), waiting)

    def _sent(self, request: Request, token: str, waiting: wire.Patience) -> wire.Answer:
        from core.connectors import wire

        headers = {**request.headers, "Authorization": f"Bearer {token}"}
        content = None
        if request.record is not None:
            headers["Content-Type"] = "application/json"
            content = _json(request.record)
        asked = wire.Request(
            request.method, request.path, reads=request.method == "GET", params=request.params, headers=headers,
            content=content,
        )  # fmt: skip
        return self._client.send(asked, waiting)

    def _refused(self, request: Request, answer: wire.Answer) -> StepError:
        if answer.status in UNKNOWN_END and request.method != "GET":
            return AnswerLost(f"{servers.refusal(answer, '')}; it may have acted")
        if answer.status == 300:
            return StepError(servers.refusal(answer, _choices(answer)), "MULTIPLE_CHOICES", 300)
        errors = _errors(answer)
        said = servers.cut(self._signing.masked("; ".join(_sentence(one) for one in errors)))
        kind = str(errors[0]["errorCode"]) if errors else "http"
        return StepError(servers.refusal(answer, said), kind, answer.status)


def _wait(request: Request, answer: wire.Answer, kind: str, tried: int) -> float | None:
    """Return after how many seconds to ask again, None for not at all."""
    # In Salesforce's own words nothing was done; a bare 503 may come from something before it.
    limited = answer.status in (403, 429) and (kind == LIMIT or answer.status == 429)
    unavailable = answer.status == 503 and (request.again or kind != "http")
    if not limited and not unavailable:
        return None
    named = servers.retry_after(answer, dt.datetime.now(dt.UTC))
    # Those that were told to wait together must not come back together.
    return (FIRST_WAIT * 2 ** (tried - 1) if named is None else named) * random.uniform(1, 1.1)


def mapping(answer: wire.Answer) -> dict[str, Any]:
    """Return the body, a mapping; empty where it is none."""
    try:
        body = servers.parsed(answer)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def without_attributes(value: Any) -> Any:
    """Return a record, and those inside it, without what only says where they are."""
    if isinstance(value, list):
        return [without_attributes(one) for one in value]
    if isinstance(value, dict):
        return {name: without_attributes(one) for name, one in value.items() if name != "attributes"}
    return value


def _json(record: Mapping[str, JsonValue]) -> bytes:
    try:
        return json.dumps(record, allow_nan=False, separators=(",", ":")).encode()
    except ValueError as error:
        raise StepError(f"the fields cannot be sent: {error}", "request") from None


def _errors(answer: wire.Answer) -> list[dict[str, Any]]:
    """Return the errors of a refusal: `[{errorCode, message, fields}]`."""
    try:
        body = servers.parsed(answer)
    except ValueError:
        return []
    return [one for one in body if isinstance(one, dict) and one.get("errorCode")] if isinstance(body, list) else []


def _sentence(error: dict[str, Any]) -> str:
    fields = error.get("fields")
    named = f" (fields: {', '.join(map(str, fields))})" if isinstance(fields, list) and fields else ""
    return f"{error['errorCode']}: {error.get('message') or ''}{named}"


def _choices(answer: wire.Answer) -> str:
    try:
        body = servers.parsed(answer)
    except ValueError:
        body = None
    ids = [str(one).rpartition("/")[2] for one in body] if isinstance(body, list) else []
    return servers.cut(f"{len(ids) or 'several'} records have this external id: {', '.join(ids[:5])}")


def _date(answer: wire.Answer) -> dt.datetime | None:
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(answer.headers.get("date", "")).astimezone(dt.UTC)
    except ValueError:
        return None
