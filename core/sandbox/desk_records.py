"""The stand-in help desk's records: where they are kept, what may be sent, what is wrong with them, and lists."""

import base64
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from core.sandbox.calls import Answer, Call, Details, Fields
from core.sandbox.faults import Kind, is_id
from core.sandbox.kept import Kept
from core.sandbox.refusals import DEEPEST_RECORD, bad_attribute, flaw, no_record, too_deep

if TYPE_CHECKING:
    from core.sandbox.desk import Desk

LONGEST_NAME = 255
KEY_LIFETIME = 2 * 60 * 60  # seconds; as documented for Idempotency-Key
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
INSERT INTO sqlite_sequence (name, seq)
    SELECT 'organizations', {FIRST_ORGANIZATION - 1} WHERE NOT EXISTS
    (SELECT 1 FROM sqlite_sequence WHERE name = 'organizations');
"""


class State(Kept):
    """The desk's records; ids are never given out twice."""

    schema = SCHEMA

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


def folded(text: str | None) -> str | None:
    """What makes two names or external ids the same: letter case and outer blanks do not count; blank is None."""
    return (text or "").strip().casefold() or None


# What may be sent: attributes and their kinds, and what is wrong with a record


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


TEXT = Kind("a string", lambda value: value is None or isinstance(value, str))
KEY = Kind("a string", lambda value: value is None or isinstance(value, str) or is_id(value))
ID = Kind("an integer", lambda value: value is None or (is_id(value) and 0 < value <= LARGEST_ID))
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
    if is_id(fields.get("external_id")):
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


def link(call: Call, **changes: str) -> str:
    """The address of this list with other parameters, the place in it being one of them."""
    kept = {key: value for key, value in call.query.items() if key not in ("page[after]", "page[before]")}
    place = call.path.removesuffix(".json")
    return f"{call.base}{place}.json?{urlencode({**kept, **changes}, safe='[]')}"


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
    following = link(call, page=str(page + 1), per_page=str(size)) if page * size < count else None
    previous = link(call, page=str(page - 1), per_page=str(size)) if page > 1 else None
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
    following = link(call, **{"page[after]": last}) if last and (more or before) else None
    previous = link(call, **{"page[before]": first}) if first and (after or (before and more)) else None
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
