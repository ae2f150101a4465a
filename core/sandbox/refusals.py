"""Refusals in the words of the stand-in help desk, which the sandbox's own endpoints speak as well."""

from collections.abc import Mapping

from core.sandbox.calls import Details, Refused, Unread

DEEPEST_RECORD = 10_000  # offset pagination goes no further; cursors do


def unauthorized() -> Refused:
    return Refused(401, {"error": "Couldn't authenticate you"}, {"WWW-Authenticate": 'Basic realm="Web Password"'})


def no_endpoint() -> Refused:
    return Refused(404, {"error": "InvalidEndpoint", "description": "Not found"})


def no_record() -> Refused:
    return Refused(404, {"error": "RecordNotFound", "description": "Not found"})


def bad_attribute(name: str, wanted: str) -> Refused:
    """400: an attribute or parameter is of the wrong kind; `wanted` ends the sentence "it must be ..."."""
    message = f"You passed an invalid value for the {name} attribute. Invalid parameter: {name} must be {wanted}"
    return Refused(400, {"error": {"title": "Invalid attribute", "message": message}})


def unreadable(unread: Unread) -> Refused:
    """415 for another media type, 400 for what is no JSON."""
    if unread.media is not None:
        sentence = f"Content-Type must be application/json, not {unread.media or 'absent'}"
        return Refused(415, {"error": "UnsupportedMediaType", "description": sentence})
    return Refused(400, {"error": "InvalidJSON", "description": f"The body is not JSON: {unread}"})


def bad_key(reason: str) -> Refused:
    return Refused(400, {"error": "IdempotentRequestError", "description": reason})


def too_deep() -> Refused:
    title = f"Offset pagination ends at record {DEEPEST_RECORD}; use cursor pagination"
    return Refused(400, {"errors": [{"code": "InvalidPaginationDepth", "title": title}]})


def bad_record(details: Details) -> Refused:
    return Refused(422, {"error": "RecordInvalid", "description": "Record validation errors", "details": details})


def too_many(headers: Mapping[str, str]) -> Refused:
    # The real one answers this in plain text, and a client that parses every body as JSON should find out here.
    return Refused(429, "Number of allowed API requests per minute exceeded", headers)


def refuse_unless_empty(details: Details) -> None:
    if details:
        raise bad_record(details)


def flaw(attribute: str, what: str, error: str) -> list[dict[str, str]]:
    """One entry of `details`."""
    return [{"description": f"{attribute}: {what}", "error": error}]
