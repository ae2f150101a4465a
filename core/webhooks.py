"""Judges a webhook delivery: whether it is genuine, what it says, and which event it is; no HTTP server in here."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook, WebhookVerificationError

from core.errors import JobdeckError
from core.expressions import Condition, ExpressionError
from data.job_records import JsonValue

MAX_DEPTH = 200
"""How deep a document may nest: what walks it later (masking, expressions, the viewer) recurses."""
MAX_KEY_BYTES = 2000
"""How long an event's key may be: PostgreSQL indexes no more than a third of an 8 KiB page."""

_PRIVATE_HEADERS = frozenset({"x-api-key", "x-auth-token", "x-gitlab-token"})
_PRIVATE_PARTS = ("signature", "hmac", "authorization", "cookie")
_DELIVERY_IDS = ("webhook-id", "x-github-delivery")

_EVENT_ATTRIBUTES = ("specversion", "id", "source", "type")
_EVENT_TYPE = "application/cloudevents"
_FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")

# The one spelling of 32 bytes in base64: decoders also take others, whose spare bits or odd characters say nothing.
_STANDARD_SIGNATURE = re.compile(r"v1,[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=")
_STANDARD_STAMP = re.compile(r"[0-9]{1,12}")


@dataclass(frozen=True)
class Hook:
    """What a started recipe asks of the deliveries at its path."""

    recipe: str
    path: str
    verify: str
    """`standard-webhooks`, `github` or `none`."""
    secret: Callable[[], str] | None
    """Returns the secret; a JobdeckError or an empty text says that there is none at the moment."""
    key: Condition | None
    """Over `headers` and `body`; None takes the delivery's own id."""


@dataclass(frozen=True)
class Delivery:
    """A POST to a hook, as it came."""

    headers: Mapping[str, str]
    """Names in lower case, repeated ones joined by `, `."""
    body: bytes
    query: Mapping[str, JsonValue]


class Rejected(JobdeckError):
    """A delivery is not taken; `status` is the HTTP status to answer with."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def read(hook: Hook, delivery: Delivery) -> tuple[str | None, JsonValue]:
    """Return the event's key, None where every delivery is a new event, and its trigger data.

    Checks the signature (Rejected 401, 503 without a secret), the body (400, 415), then the key (400), in this order.
    """
    _VERIFIERS[hook.verify](hook, delivery)
    body = _body(delivery)
    own_id = _own_id(delivery.headers, body)
    headers = {name: value for name, value in delivery.headers.items() if not _private(name)}
    key = own_id if hook.key is None else _computed_key(hook.key, headers, body)
    return (
        None if key is None else _storable(key),
        {"headers": headers, "body": body, "path": hook.path, "query": dict(delivery.query)},
    )


def join_headers(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers by lower-case name, repeated ones joined by `, ` (RFC 9110, 5.3)."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def parse_json(data: bytes) -> JsonValue:
    """Return a JSON document (RFC 8259) in UTF-8; a ValueError says what is wrong.

    No NaN or Infinity, no number beyond a double's range, at most `MAX_DEPTH` levels. Of a repeated name the last one
    counts. NUL and lone surrogates in strings are kept as they are.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start + 1} is not UTF-8") from None
    try:
        value = json.loads(text, parse_constant=_no_constant, parse_float=_finite, parse_int=_integer)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    # Counting brackets is cheap and tells of nearly every document that it cannot be too deep.
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise ValueError(_TOO_DEEP)
    return value


_TOO_DEEP = f"it nests deeper than {MAX_DEPTH} levels"


def _depth(value: JsonValue) -> int:
    level, depth = [value], 0
    while level := [item for item in level if isinstance(item, (list, dict))]:
        level = [child for item in level for child in (item.values() if isinstance(item, dict) else item)]
        depth += 1
    return depth


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"the number {digits[:20]} is out of range")
    return value


def _integer(digits: str) -> int:
    try:
        return int(digits)
    except ValueError:
        raise ValueError(f"a number of {len(digits):,} digits is too long") from None


def _private(header: str) -> bool:
    return header in _PRIVATE_HEADERS or any(part in header for part in _PRIVATE_PARTS)


# Signatures


def _verify_standard(hook: Hook, delivery: Delivery) -> None:
    """Standard Webhooks 1.0.0, symmetric: any of the signatures by any of the secrets, five minutes either way."""
    keys = [_standard_key(word) for word in _secret(hook).split()]
    given = _header(delivery, "webhook-signature").split()
    signatures = [word for word in given if _STANDARD_SIGNATURE.fullmatch(word)]
    if not signatures or not _STANDARD_STAMP.fullmatch(_header(delivery, "webhook-timestamp")):
        raise Rejected(401, "The webhook-signature or webhook-timestamp header is missing or malformed.")
    try:
        signed = delivery.body.decode()
    except UnicodeDecodeError:
        raise Rejected(401, "The body is not UTF-8, so that its signature cannot be checked.") from None
    headers = {**delivery.headers, "webhook-signature": " ".join(signatures)}
    problems = [problem for key in keys if (problem := _standard_problem(key, signed, headers)) is not None]
    if len(problems) == len(keys):
        raise Rejected(401, f"The signature does not hold: {problems[0]}.")


def _standard_key(word: str) -> Webhook:
    encoded = word.removeprefix("whsec_").rstrip("=")
    try:
        return Webhook(base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True))
    except (binascii.Error, ValueError, EmptyWebhookSecretError) as error:
        raise Rejected(503, _NO_SECRET) from ValueError(f"the secret is not base64: {error}")


def _standard_problem(key: Webhook, body: str, headers: dict[str, str]) -> str | None:
    try:
        key.verify(body, headers, json_parse=False)
    except WebhookVerificationError as error:
        return str(error)
    return None


def _verify_github(hook: Hook, delivery: Delivery) -> None:
    """HMAC-SHA256 of the raw body in X-Hub-Signature-256, as GitHub signs. It covers no time and no delivery id."""
    secret = _secret(hook).encode(errors="surrogateescape")
    expected = "sha256=" + hmac.new(secret, delivery.body, hashlib.sha256).hexdigest()
    given = _header(delivery, "x-hub-signature-256")
    if not hmac.compare_digest(expected.encode(), given.encode()):
        raise Rejected(401, "The X-Hub-Signature-256 header is missing or does not hold for this body.")


def _refuse_web_pages(hook: Hook, delivery: Delivery) -> None:
    """Without signatures a page open in a browser here could post to a listener on loopback; browsers send Origin."""
    if "origin" in delivery.headers:
        raise Rejected(403, "A hook without signatures takes nothing from a web page (the request has an Origin).")


_VERIFIERS: dict[str, Callable[[Hook, Delivery], None]] = {
    "standard-webhooks": _verify_standard,
    "github": _verify_github,
    "none": _refuse_web_pages,
}

_NO_SECRET = "This hook cannot check signatures at the moment."


def _secret(hook: Hook) -> str:
    try:
        secret = hook.secret() if hook.secret is not None else ""
    except JobdeckError as error:
        raise Rejected(503, _NO_SECRET) from error
    if not secret.strip():
        raise Rejected(503, _NO_SECRET) from ValueError("the secret is empty")
    return secret


def _header(delivery: Delivery, name: str) -> str:
    return delivery.headers.get(name, "")


# The body


def _body(delivery: Delivery) -> JsonValue:
    """One parser, whatever type is declared: nothing that a sender says about its body can change how it is read."""
    encoding = _header(delivery, "content-encoding").strip().lower()
    if encoding not in ("", "identity"):
        raise Rejected(415, f"The body is encoded as {encoding!r}; send it as it is, without Content-Encoding.")
    kind = _media_type(delivery.headers)
    if kind.startswith(_EVENT_TYPE) and kind != f"{_EVENT_TYPE}+json":
        raise Rejected(415, f"{kind!r} is not taken: send one CloudEvent a request, in JSON or in binary mode.")
    if not delivery.body and "ce-specversion" in delivery.headers:
        return None
    if not delivery.body:
        raise Rejected(400, "The body is empty; it must be a JSON document.")
    try:
        return parse_json(delivery.body)
    except ValueError as error:
        hint = " Set the webhook's content type to application/json." if kind in _FORM_TYPES else ""
        raise Rejected(400, f"The body is not JSON: {error}.{hint}") from None


def _media_type(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


# The key


def _own_id(headers: Mapping[str, str], body: JsonValue) -> str | None:
    event = _cloud_event(headers, body)
    for name in _DELIVERY_IDS:
        if headers.get(name):
            return headers[name]
    # A source is a URI reference, so it has no space and the pair cannot be read in two ways.
    return None if event is None else f"{event['source']} {event['id']}"


def _cloud_event(headers: Mapping[str, str], body: JsonValue) -> dict[str, str] | None:
    """Return the required attributes of a CloudEvent 1.0, structured or binary; None where the delivery is none."""
    if _media_type(headers) == f"{_EVENT_TYPE}+json":
        attributes = body if isinstance(body, dict) else {}
    elif "ce-specversion" in headers:
        attributes = {name: _unescape(headers[f"ce-{name}"]) for name in _EVENT_ATTRIBUTES if f"ce-{name}" in headers}
    else:
        return None
    for name in _EVENT_ATTRIBUTES:
        value = attributes.get(name)
        if not isinstance(value, str) or not value:
            raise Rejected(400, f"The CloudEvent has no {name}; it must be a text that is not empty.")
    if attributes["specversion"] != "1.0":
        raise Rejected(400, f"The CloudEvent has specversion {attributes['specversion']!r}; only 1.0 is taken.")
    if any(character.isspace() for character in attributes["source"]):
        raise Rejected(400, "The CloudEvent's source is no URI reference: it has white space.")
    return {name: attributes[name] for name in _EVENT_ATTRIBUTES}


def _unescape(value: str) -> str:
    """CloudEvents HTTP binding 1.0.2, 3.1.3.2: a quoted string is unescaped, then percent-decoded once."""
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError:
        raise Rejected(400, f"The CloudEvent's header value {value!r} is not UTF-8 once percent-decoded.") from None


def _computed_key(key: Condition, headers: JsonValue, body: JsonValue) -> str:
    try:
        value = key.value({"headers": headers, "body": body})
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    except (ExpressionError, TypeError, ValueError) as error:
        raise Rejected(400, f"The recipe's `key` cannot be computed for this delivery: {error}") from error
    if value is None or not text.strip():
        raise Rejected(400, "The recipe's `key` is empty for this delivery.")
    return text


def _storable(key: str) -> str:
    """Text columns hold no lone surrogate, and in PostgreSQL no NUL."""
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise Rejected(400, "The delivery's key has a lone surrogate, so that it cannot be stored.") from None
    if "\0" in key:
        raise Rejected(400, "The delivery's key has a NUL character, so that it cannot be stored.")
    if size > MAX_KEY_BYTES:
        raise Rejected(400, f"The delivery's key is {size:,} bytes long; at most {MAX_KEY_BYTES:,} are taken.")
    return key
