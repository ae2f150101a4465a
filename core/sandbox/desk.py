"""A stand-in for Zendesk's ticketing API, only for the demo and the tests: real state, real refusals, no Zendesk.

It speaks the shapes of the public API documentation (organizations, tickets, comments, both paginations, idempotency
keys, rate limit) and nothing else of the product: there is one user, and whatever is said of requesters by name is
left out. Every answer carries `X-Sandbox: true`. What it can do besides, without signing in:

- `POST /sandbox/faults` queues a failure: `{"match": {"method", "path"}, "status" | "drop", "times", "retry_after",
  "delay_ms"}`. `path` may hold `*`; `.json` at its end makes no difference. `drop: "before"` closes the connection
  without doing the work, `drop: "after"` does it and closes without an answer. `delay_ms` holds the answer back, after
  the work. The first fault that matches a request is the one that hits it, and is gone after `times` hits.
- `DELETE /sandbox/faults` forgets them.
- `GET /sandbox/requests` lists what was asked of the API: method, path, query, idempotency key, status, and whether the
  connection was dropped. A row and the effect of its request are committed together.
"""

import asyncio
import base64
import binascii
import fnmatch
import hashlib
import hmac
import json
import math
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from core.sandbox.serve import DROP

LONGEST_NAME = 255
LONGEST_KEY = 255
KEY_LIFETIME = 2 * 60 * 60  # seconds; as documented for Idempotency-Key
DEEPEST_RECORD = 10_000  # offset pagination goes no further; cursors do
KEPT_REQUESTS = 100_000
AGENT = 360_000_000_000  # the one user there is: who holds the API token
FIRST_ORGANIZATION = 360_000_000_001  # beyond 32 bits, as the real ones are
LARGEST_ID = 2**63 - 1

SCHEMA = f"""
CREATE TABLE IF NOT EXISTS organizations (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name_key TEXT NOT NULL UNIQUE, external_key TEXT UNIQUE, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS tickets (
    id INTEGER PRIMARY KEY AUTOINCREMENT, external_key TEXT, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS tickets_by_external_key ON tickets (external_key);
CREATE TABLE IF NOT EXISTS comments (
    id INTEGER PRIMARY KEY AUTOINCREMENT, ticket_id INTEGER NOT NULL REFERENCES tickets (id), body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS comments_by_ticket ON comments (ticket_id);
CREATE TABLE IF NOT EXISTS idempotency (
    key TEXT PRIMARY KEY, asked TEXT NOT NULL, answer TEXT NOT NULL, at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS requests (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL,
    query TEXT NOT NULL, idempotency_key TEXT, status INTEGER, dropped TEXT);
INSERT INTO sqlite_sequence (name, seq)
    SELECT 'organizations', {FIRST_ORGANIZATION - 1} WHERE NOT EXISTS
    (SELECT 1 FROM sqlite_sequence WHERE name = 'organizations');
"""

Fields = dict[str, Any]
Details = dict[str, list[dict[str, str]]]


# Answers and refusals


@dataclass(frozen=True)
class Answer:
    """What goes back: a status, a body (text stays text, None is an empty body, all else becomes JSON), headers."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Refused(Exception):
    """A request that is answered by a refusal; `answer` is the refusal as the client sees it."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status}: {body}")
        self.answer = Answer(status, body, headers or {})


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


def bad_json(reason: str) -> Refused:
    return Refused(400, {"error": "InvalidJSON", "description": f"The body is not JSON: {reason}"})


def bad_media_type(given: str) -> Refused:
    sentence = f"Content-Type must be application/json, not {given or 'absent'}"
    return Refused(415, {"error": "UnsupportedMediaType", "description": sentence})


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


# What was asked


@dataclass(frozen=True)
class Call:
    """One request, read whole: its path as it was sent, its query, its headers and its body as bytes."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    base: str
    now: float
    droppable: bool

    @property
    def place(self) -> str:
        """The path without the `.json` that the API takes and leaves."""
        return self.path.removesuffix(".json")

    def parsed(self) -> Any:
        """The JSON of the body; refuses another media type, what is no JSON, and text that UTF-8 cannot hold."""
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise bad_media_type(kind)
        try:
            value = json.loads(self.body, parse_constant=_no_constant)
            json.dumps(value, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            raise bad_json(str(error)) from error
        return value

    def link(self, **changes: str) -> str:
        """The address of this list with other parameters, the place in it being one of them."""
        kept = {key: value for key, value in self.query.items() if key not in ("page[after]", "page[before]")}
        return f"{self.base}{self.place}.json?{urlencode({**kept, **changes}, safe='[]')}"


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON value")


async def call_of(request: Request, now: float) -> Call:
    """The request as a Call; raises ClientDisconnect when it breaks off before its end."""
    return Call(
        method=request.method,
        path=request.scope["path"],
        query=dict(request.query_params),
        headers=request.headers,
        body=await request.body(),
        base=str(request.base_url).rstrip("/"),
        now=now,
        droppable=DROP in request.scope.get("extensions", {}),
    )


# What is remembered


class State:
    """The desk's records in one SQLite file, or in memory; ids are never given out twice."""

    def __init__(self, path: Path | None) -> None:
        # Opened here and used in the server's thread; there is only ever one of them at work.
        self._db = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")  # outlives the process; only a power cut may lose the end
        self._db.executescript(SCHEMA)

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commits what the block did, or nothing of it. IMMEDIATE: no other process writes between check and write."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def one(self, table: str, where: str, *values: Any) -> tuple[int, Fields] | None:
        """The first record that matches, as (id, fields)."""
        return next(iter(self.some(table, where, *values, tail="LIMIT 1")), None)

    def some(self, table: str, where: str, *values: Any, tail: str) -> list[tuple[int, Fields]]:
        """The records that match, as (id, fields); `tail` orders and limits them."""
        rows = self._db.execute(f"SELECT id, body FROM {table} WHERE {where} {tail}", values)
        return [(row["id"], json.loads(row["body"])) for row in rows]

    def count(self, table: str, where: str, *values: Any) -> int:
        return int(self._db.execute(f"SELECT count(*) FROM {table} WHERE {where}", values).fetchone()[0])

    def insert(self, table: str, fields: Fields, **columns: Any) -> int:
        """Stores the record and gives its id."""
        columns["body"] = json.dumps(fields)
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        row = self._db.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(columns.values()))
        return int(row.lastrowid or 0)

    def update(self, table: str, record: int, fields: Fields, **columns: Any) -> None:
        columns["body"] = json.dumps(fields)
        sets = ", ".join(f"{name} = ?" for name in columns)
        self._db.execute(f"UPDATE {table} SET {sets} WHERE id = ?", (*columns.values(), record))

    def delete(self, table: str, record: int) -> None:
        self._db.execute(f"DELETE FROM {table} WHERE id = ?", (record,))

    def kept_answer(self, key: str, now: float) -> tuple[str, Fields] | None:
        """What the idempotency key was used for within its lifetime, as (digest of the request, answer)."""
        self._db.execute("DELETE FROM idempotency WHERE at <= ?", (now - KEY_LIFETIME,))
        row = self._db.execute("SELECT asked, answer FROM idempotency WHERE key = ?", (key,)).fetchone()
        return (row["asked"], json.loads(row["answer"])) if row else None

    def keep_answer(self, key: str, asked: str, answer: Fields, now: float) -> None:
        self._db.execute("INSERT INTO idempotency VALUES (?, ?, ?, ?)", (key, asked, json.dumps(answer), now))

    def note_request(self, call: Call, status: int | None, dropped: str | None) -> None:
        """Adds the request to the log; the oldest beyond KEPT_REQUESTS goes."""
        asked = (stamp(call.now), call.method, call.path, urlencode(call.query), call.headers.get("idempotency-key"))
        columns = "at, method, path, query, idempotency_key, status, dropped"
        statement = f"INSERT INTO requests ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)"
        added = self._db.execute(statement, (*asked, status, dropped))
        self._db.execute("DELETE FROM requests WHERE seq <= ?", ((added.lastrowid or 0) - KEPT_REQUESTS,))

    def requests(self) -> list[Fields]:
        """The log, oldest first."""
        return [dict(row) for row in self._db.execute("SELECT * FROM requests ORDER BY seq")]


def stamp(now: float) -> str:
    """The time as the API writes it: UTC, whole seconds."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def folded(text: str | None) -> str | None:
    """What makes two names or external ids the same: letter case and outer blanks do not count; blank is None."""
    return (text or "").strip().casefold() or None


# Faults and the rate limit


@dataclass
class Fault:
    """A failure on demand: which requests it hits, how often, and what they get."""

    method: str = "*"
    path: str = "*"
    status: int | None = None
    times: int = 1
    retry_after: int | None = None
    delay_ms: int = 0
    drop: str | None = None

    def hits(self, call: Call) -> bool:
        is_method = self.method.upper() in ("*", call.method)
        return is_method and fnmatch.fnmatchcase(call.place, self.path.removesuffix(".json"))

    def answer(self, status: int) -> Answer:
        """The refusal that it stands for."""
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        if status == 429:
            return too_many(headers).answer
        phrase = HTTPStatus(status).phrase
        return Answer(status, {"error": phrase, "description": f"{phrase}: a fault queued in the sandbox"}, headers)


NO_FAULT = Fault(times=0)


class Faults:
    """The queue of faults; in memory, for a restart is the end of what a test arranged."""

    def __init__(self) -> None:
        self._queue: list[Fault] = []

    def add(self, fault: Fault) -> None:
        self._queue.append(fault)

    def clear(self) -> None:
        self._queue.clear()

    def take(self, call: Call) -> Fault:
        """The first fault that hits the request, one time used up; NO_FAULT when none does."""
        fault = next((fault for fault in self._queue if fault.hits(call)), NO_FAULT)
        if fault is not NO_FAULT:
            fault.times -= 1
            self._queue = [left for left in self._queue if left.times > 0]
        return fault


class RateLimit:
    """So many requests in each minute, counted from the first one; None is no limit."""

    def __init__(self, per_minute: int | None) -> None:
        self._limit = per_minute
        self._since = -math.inf
        self._used = 0

    def take(self, now: float) -> dict[str, str]:
        """Counts one request and gives the headers that tell what is left; refuses with 429 when nothing is."""
        if self._limit is None:
            return {}
        if not 0 <= now - self._since < 60:
            self._since, self._used = now, 0
        left = self._limit - self._used
        reset = str(math.ceil(self._since + 60 - now))
        headers = {"X-Rate-Limit": str(self._limit), "X-Rate-Limit-Remaining": str(max(left - 1, 0))}
        headers["RateLimit-Reset"] = reset
        if left <= 0:
            raise too_many({**headers, "Retry-After": reset})
        self._used += 1
        return headers


# What may be sent: attributes and their kinds, and what is wrong with a record


@dataclass(frozen=True)
class Kind:
    """What an attribute may hold: the words that end "must be ...", and the test."""

    words: str
    holds: Callable[[Any], bool]


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


TEXT = Kind("a string", lambda value: value is None or isinstance(value, str))
KEY = Kind("a string", lambda value: value is None or isinstance(value, str) or _is_id(value))
ID = Kind("an integer", lambda value: value is None or (_is_id(value) and 0 < value <= LARGEST_ID))
FLAG = Kind("a boolean", lambda value: isinstance(value, bool))
TEXTS = Kind("an array of strings", _are_texts)
TABLE = Kind("an object", lambda value: isinstance(value, dict))
TABLES = Kind("an array of objects", lambda value: isinstance(value, list) and all(isinstance(v, dict) for v in value))

ORGANIZATION: dict[str, tuple[Kind, Any]] = {
    "name": (TEXT, None),
    "external_id": (KEY, None),
    "domain_names": (TEXTS, []),
    "details": (TEXT, None),
    "notes": (TEXT, None),
    "group_id": (ID, None),
    "shared_tickets": (FLAG, False),
    "shared_comments": (FLAG, False),
    "tags": (TEXTS, []),
    "organization_fields": (TABLE, {}),
}
TICKET: dict[str, tuple[Kind, Any]] = {
    "subject": (TEXT, None),
    "description": (TEXT, None),
    "external_id": (KEY, None),
    "type": (TEXT, None),
    "status": (TEXT, "new"),
    "priority": (TEXT, None),
    "requester_id": (ID, AGENT),
    "submitter_id": (ID, AGENT),
    "assignee_id": (ID, None),
    "organization_id": (ID, None),
    "group_id": (ID, None),
    "due_at": (TEXT, None),
    "tags": (TEXTS, []),
    "custom_fields": (TABLES, []),
}
COMMENT: dict[str, tuple[Kind, Any]] = {
    "body": (TEXT, None),
    "html_body": (TEXT, None),
    "public": (FLAG, True),
    "author_id": (ID, AGENT),
}
CHOICES = {
    "status": ("new", "open", "pending", "hold", "solved", "closed"),
    "priority": (None, "low", "normal", "high", "urgent"),
    "type": (None, "problem", "incident", "question", "task"),
}


def given(call: Call, root: str) -> Fields:
    """The object that the body wraps in `root`."""
    value = call.parsed()
    if not isinstance(value, dict) or not isinstance(value.get(root), dict):
        raise bad_attribute(root, TABLE.words)
    return dict(value[root])


def known(sent: Fields, attributes: Mapping[str, tuple[Kind, Any]], root: str) -> Fields:
    """The writable attributes of what was sent; others are left out, a value of the wrong kind is refused."""
    fields = {name: sent[name] for name in attributes if name in sent}
    for name, value in fields.items():
        kind = attributes[name][0]
        if not kind.holds(value):
            raise bad_attribute(f"{root}.{name}", kind.words)
    if _is_id(fields.get("external_id")):
        fields["external_id"] = str(fields["external_id"])
    return fields


def defaults(attributes: Mapping[str, tuple[Kind, Any]]) -> Fields:
    return {name: default for name, (_, default) in attributes.items()}


def organization_details(state: State, fields: Fields, own: int = 0) -> Details:
    """What is wrong with an organization that would have these fields; `own` is its id when it exists already."""
    name, external = fields["name"], fields["external_id"]
    details: Details = {}
    if folded(name) is None:
        details["name"] = flaw("Name", "cannot be blank", "BlankValue")
    elif len(name) > LONGEST_NAME:
        details["name"] = flaw("Name", f"is too long (maximum is {LONGEST_NAME} characters)", "ValueTooLong")
    elif state.one("organizations", "name_key = ? AND id <> ?", folded(name), own):
        details["name"] = flaw("Name", f"{name} has already been taken", "DuplicateValue")
    if folded(external) and state.one("organizations", "external_key = ? AND id <> ?", folded(external), own):
        details["external_id"] = flaw("External", f"{external} has already been taken", "DuplicateValue")
    return details


def ticket_details(state: State, fields: Fields) -> Details:
    """What is wrong with a ticket that would have these fields, its comment aside."""
    details: Details = {}
    for name, choices in CHOICES.items():
        if fields[name] not in choices:
            details[name] = flaw(name.capitalize(), f"{fields[name]} is not one of those allowed", "InvalidValue")
    organization = fields["organization_id"]
    if organization is not None and not state.one("organizations", "id = ?", organization):
        details["organization"] = flaw("Organization", f"{organization} does not exist", "InvalidValue")
    return details


def comment_details(comment: Fields | None) -> Details:
    """What is wrong with a comment that has to say something."""
    if comment and (folded(comment["body"]) or folded(comment["html_body"])):
        return {}
    return {"base": flaw("Description", "cannot be blank", "BlankValue")}


def fault_details(sent: Any, droppable: bool) -> Details:
    """What is wrong with a fault as it was sent."""
    if not isinstance(sent, dict) or not isinstance(sent.get("match", {}), dict):
        return {"base": flaw("Fault", "must be an object, and so must its match", "InvalidValue")}
    how = {name: value for name, value in sent.items() if name != "match"}
    details = kind_details(sent.get("match", {}), FAULT_MATCH) | kind_details(how, FAULT)
    if "status" in how and "drop" in how:
        details["base"] = flaw("Fault", "is either a status or a drop", "InvalidValue")
    elif not how.keys() & {"status", "drop", "delay_ms"}:
        details["base"] = flaw("Fault", "needs a status, a drop or a delay_ms", "BlankValue")
    elif "drop" in how and not droppable:
        details["drop"] = flaw("drop", "is beyond this server: it offers no way to cut a connection", "InvalidValue")
    return details


def kind_details(sent: Fields, kinds: Mapping[str, Kind]) -> Details:
    """What is unknown or of the wrong kind."""
    details: Details = {}
    for name, value in sent.items():
        if name not in kinds:
            details[name] = flaw(name, f"is not one of {', '.join(kinds)}", "UnknownValue")
        elif not kinds[name].holds(value):
            details[name] = flaw(name, f"must be {kinds[name].words}", "InvalidValue")
    return details


def _is_error_status(value: Any) -> bool:
    return _is_id(value) and value >= 400 and value in {int(status) for status in HTTPStatus}


FAULT_MATCH = {
    "method": Kind("the name of a method, or *", lambda value: isinstance(value, str)),
    "path": Kind("a path, in which * stands for anything", lambda value: isinstance(value, str)),
}
FAULT = {
    "status": Kind("an HTTP status of 400 or above", _is_error_status),
    "times": Kind("a number above 0", lambda value: _is_id(value) and value > 0),
    "retry_after": Kind("whole seconds", lambda value: _is_id(value) and value >= 0),
    "delay_ms": Kind("whole milliseconds", lambda value: _is_id(value) and value >= 0),
    "drop": Kind("before or after", lambda value: value in ("before", "after")),
}


# Lists


def number(call: Call, name: str, default: int) -> int:
    """The query parameter as a number above 0."""
    text = call.query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 19 and int(text) > 0):
        raise bad_attribute(name, "an integer above 0")
    return int(text)


def record_id(text: str) -> int:
    """The id in a path; one that no record can have is simply not found."""
    if not (text.isascii() and text.isdigit()):
        raise bad_attribute("id", ID.words)
    if len(text) > 19 or int(text) > LARGEST_ID:
        raise no_record()
    return int(text)


def shown(call: Call, table: str, record: int, fields: Fields) -> Fields:
    """The record as the API shows it: its address, its id, its fields."""
    return {"url": f"{call.base}/api/v2/{table}/{record}.json", "id": record, **fields}


def offset_page(desk: "Desk", call: Call, table: str, where: str, *values: Any) -> Answer:
    """A page by its number: records, count, and the addresses of the pages beside it."""
    page, size = number(call, "page", 1), min(number(call, "per_page", desk.page_size), desk.page_size)
    if page * size > DEEPEST_RECORD:
        raise too_deep()
    count = desk.state.count(table, where, *values)
    rows = desk.state.some(table, where, *values, tail=f"ORDER BY id LIMIT {size} OFFSET {(page - 1) * size}")
    following = call.link(page=str(page + 1), per_page=str(size)) if page * size < count else None
    previous = call.link(page=str(page - 1), per_page=str(size)) if page > 1 else None
    records = [shown(call, table, record, fields) for record, fields in rows]
    return Answer(200, {table: records, "count": count, "next_page": following, "previous_page": previous})


def cursor_page(desk: "Desk", call: Call, table: str, where: str, *values: Any) -> Answer:
    """A page after or before a cursor: records, meta, and the addresses of the pages beside it."""
    size = min(number(call, "page[size]", desk.page_size), desk.page_size)
    after, before = call.query.get("page[after]"), call.query.get("page[before]")
    if after and before:
        raise bad_attribute("page", "given with one cursor, after or before")
    edge, order, mark = ("id < ?", "DESC", before) if before else ("id > ?", "ASC", after)
    place = uncursored(mark) if mark else 0
    rows = desk.state.some(table, f"{where} AND {edge}", *values, place, tail=f"ORDER BY id {order} LIMIT {size + 1}")
    more, rows = len(rows) > size, rows[:size]
    if before:
        rows.reverse()
    last, first = (cursored(rows[-1][0]), cursored(rows[0][0])) if rows else (None, None)
    following = call.link(**{"page[after]": last}) if last and (more or before) else None
    previous = call.link(**{"page[before]": first}) if first and (after or (before and more)) else None
    return Answer(200, {
        table: [shown(call, table, record, fields) for record, fields in rows],
        "meta": {"has_more": more, "after_cursor": last, "before_cursor": first},
        "links": {"next": following, "prev": previous},
    })  # fmt: skip


def cursored(record: int) -> str:
    """A cursor that stands at the record; its text is nobody's business."""
    return base64.urlsafe_b64encode(f"id:{record}".encode()).decode()


def uncursored(cursor: str) -> int:
    """The id where the cursor stands."""
    try:
        kind, _, record = base64.urlsafe_b64decode(cursor).decode().partition(":")
    except ValueError:
        kind, record = "", ""
    if kind != "id" or not (record.isascii() and record.isdigit() and len(record) < 19):
        raise bad_attribute("page", "given with a cursor from an earlier page")
    return int(record)


def page_of(desk: "Desk", call: Call, table: str, where: str = "1", *values: Any) -> Answer:
    """The page that is asked for: by cursor when `page[size]` is given, else by number."""
    paged = cursor_page if "page[size]" in call.query else offset_page
    return paged(desk, call, table, where, *values)


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


# The sandbox's own


def add_fault(desk: "Desk", call: Call) -> Answer:
    sent = call.parsed()
    refuse_unless_empty(fault_details(sent, call.droppable))
    match = sent.pop("match", {})
    desk.faults.add(Fault(**{**sent, **match}))
    return Answer(201, {"fault": {**sent, "match": match}})


def clear_faults(desk: "Desk", call: Call) -> Answer:
    desk.faults.clear()
    return Answer(204)


def list_requests(desk: "Desk", call: Call) -> Answer:
    requests = desk.state.requests()
    return Answer(200, {"requests": requests, "count": len(requests)})


# What is served

Handler = Callable[..., Answer]
Rows = tuple[tuple[str, str, Handler], ...]

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
OWN: Rows = (
    ("POST", "/sandbox/faults", add_fault),
    ("DELETE", "/sandbox/faults", clear_faults),
    ("GET", "/sandbox/requests", list_requests),
)


def route(rows: Rows, call: Call) -> tuple[Handler, dict[str, str]]:
    """The handler of the request and what its path holds; refuses when no row matches."""
    for method, pattern, handler in rows:
        values = held(pattern, call.place) if method == call.method else None
        if values is not None:
            return handler, values
    raise no_endpoint()


def held(pattern: str, path: str) -> dict[str, str] | None:
    """The values that the path has for the pattern's names; None when it does not match."""
    pairs = list(zip(pattern.split("/"), path.split("/"), strict=False))
    if pattern.count("/") != path.count("/"):
        return None
    if any(want != have for want, have in pairs if not want.startswith("{")):
        return None
    return {want.strip("{}"): have for want, have in pairs if want.startswith("{")}


class Desk:
    """The app behind the one route: reads a request, acts and logs in one transaction, then answers or does not."""

    def __init__(self, path: Path | None, token: str, page_size: int, limit: RateLimit, clock: Callable[[], float]):
        self.state = State(path)
        self.faults = Faults()
        self.page_size = page_size
        self._token = token
        self._limit = limit
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            call = await call_of(Request(scope, receive), self._clock())
        except ClientDisconnect:
            return  # half a request: there is nothing to act on and nobody to tell
        if call.path.startswith("/sandbox/"):
            await response(self._served(OWN, call))(scope, receive, send)
            return
        fault = self.faults.take(call)
        answer = self._acted(call, fault)
        await hold(receive, fault.delay_ms / 1000)
        if answer is None or fault.drop:
            scope["extensions"][DROP]()
            await gone(receive)
        else:
            await response(answer)(scope, receive, send)

    def _acted(self, call: Call, fault: Fault) -> Answer | None:
        """What the request comes to, its effect and its line in the log committed; None when it is not to be done."""
        # No await in here: requests are taken one after the other, so a check holds until the write it is for.
        with self.state.transaction():
            answer = self._answered(call, fault)
            self.state.note_request(call, answer.status if answer else None, fault.drop)
        return answer

    def _answered(self, call: Call, fault: Fault) -> Answer | None:
        if fault.drop == "before":
            return None
        if fault.status is not None:
            return fault.answer(fault.status)
        return self._served(API, call)

    def _served(self, rows: Rows, call: Call) -> Answer:
        headers: dict[str, str] = {}
        try:
            handler, values = route(rows, call)
            if rows is API:
                headers = self._admitted(call)
            answer = handler(self, call, **values)
        except Refused as refused:
            answer = refused.answer
        return Answer(answer.status, answer.body, {**headers, **answer.headers})

    def _admitted(self, call: Call) -> dict[str, str]:
        """Refuses who is not signed in and who asks too often; gives the headers of the rate limit."""
        if not is_signed_in(call.headers.get("authorization", ""), self._token):
            raise unauthorized()
        return self._limit.take(call.now)


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


def response(answer: Answer) -> Response:
    headers = {**answer.headers, "X-Sandbox": "true"}
    if answer.body is None:
        return Response(status_code=answer.status, headers=headers)
    if isinstance(answer.body, str):
        return PlainTextResponse(answer.body, answer.status, headers)
    return JSONResponse(answer.body, answer.status, headers)


async def gone(receive: Receive) -> None:
    """Returns when the connection has ended."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def hold(receive: Receive, seconds: float) -> None:
    """Waits so long, or until the client has gone: nobody is left to wait for then."""
    if seconds:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await gone(receive)


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
    desk = Desk(path, token, page_size, RateLimit(rate_limit), clock)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        desk.state.close()

    return Starlette(routes=[Route("/{path:path}", desk)], lifespan=lifespan)
