"""The stand-in CRM's records: where they are kept, who sees them when, what may be sent and what is wrong with it."""

import json
import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from core.sandbox.calls import Call, Fields, Refused
from core.sandbox.crm_schema import NUMBERS, OBJECTS, Column, Object, is_id, new_id, same_id, written
from core.sandbox.kept import Kept

KEPT_LOCATORS = 50

SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE, object TEXT NOT NULL, seen TEXT, late TEXT, late_at REAL);
CREATE INDEX IF NOT EXISTS records_by_object ON records (object);
CREATE INDEX IF NOT EXISTS records_late ON records (late_at) WHERE late_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS locators (number INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sessions (token TEXT PRIMARY KEY, until REAL NOT NULL);
"""


def refusal(status: int, code: str, message: str, *fields: str, headers: Mapping[str, str] | None = None) -> Refused:
    """A refusal as the API words it: a list of one, the fields where it names some."""
    told: Fields = {"message": message, "errorCode": code}
    return Refused(status, [told | ({"fields": list(fields)} if fields else {})], headers)


def no_record() -> Refused:
    return refusal(404, "NOT_FOUND", "The requested resource does not exist")


class State(Kept):
    """The CRM's records. What a client sees of one may come later than its stamps say, as after a long transaction."""

    schema = SCHEMA

    def settle(self, now: float) -> None:
        """Let everybody see what was to be seen by now."""
        self._db.execute(
            "UPDATE records SET seen = late, late = NULL, late_at = NULL WHERE late_at IS NOT NULL AND late_at <= ?",
            (now,),
        )

    def records(self, object: str) -> list[Fields]:
        """Every record that is to be seen."""
        rows = self._db.execute("SELECT seen FROM records WHERE object = ? AND seen IS NOT NULL", (object,))
        return [json.loads(row["seen"]) for row in rows]

    def stored(self, object: str) -> list[Fields]:
        """Every record as it stands, seen or not yet."""
        rows = self._db.execute("SELECT coalesce(late, seen) AS body FROM records WHERE object = ?", (object,))
        return [json.loads(row["body"]) for row in rows]

    def one(self, id: str) -> Fields | None:
        """The record of an id as it stands, None where there is none."""
        row = self._db.execute(
            "SELECT coalesce(late, seen) AS body FROM records WHERE substr(id, 1, 15) = ?", (same_id(id),)
        ).fetchone()
        return json.loads(row["body"]) if row else None

    def add(self, object: Object, fields: Fields, late_at: float | None) -> str:
        """Store a new record and give its id."""
        number = self._db.execute("INSERT INTO records (object) VALUES (?)", (object.name,)).lastrowid or 0
        id = new_id(object, number)
        self._db.execute("UPDATE records SET id = ? WHERE number = ?", (id, number))
        self.put(id, fields | {"Id": id}, late_at)
        return id

    def put(self, id: str, fields: Fields, late_at: float | None) -> None:
        """Store a record, to be seen at once or at `late_at`."""
        body = json.dumps(fields)
        if late_at is None:
            statement = "UPDATE records SET seen = ?, late = NULL, late_at = NULL WHERE id = ?"
            self._db.execute(statement, (body, id))
        else:
            self._db.execute("UPDATE records SET late = ?, late_at = ? WHERE id = ?", (body, late_at, id))

    def delete(self, id: str) -> None:
        self._db.execute("DELETE FROM records WHERE id = ?", (id,))

    def keep_rest(self, rest: list[Fields]) -> str:
        """Keep what a query has left to tell, as it is now; gives what names it."""
        number = self._db.execute("INSERT INTO locators (body) VALUES (?)", (json.dumps(rest),)).lastrowid or 0
        self._db.execute("DELETE FROM locators WHERE number <= ?", (number - KEPT_LOCATORS,))
        return f"01gJd{number:010d}"

    def rest(self, locator: str) -> list[Fields] | None:
        digits = locator.removeprefix("01gJd")
        number = int(digits) if digits.isascii() and digits.isdigit() and len(digits) == 10 else 0
        row = self._db.execute("SELECT body FROM locators WHERE number = ?", (number,)).fetchone()
        return json.loads(row["body"]) if row else None

    def begin_session(self, token: str, until: float) -> None:
        self._db.execute("INSERT INTO sessions VALUES (?, ?)", (token, until))

    def is_session(self, token: str, now: float) -> bool:
        row = self._db.execute("SELECT until FROM sessions WHERE token = ?", (token,)).fetchone()
        return row is not None and now < row["until"]

    def end_sessions(self) -> None:
        self._db.execute("DELETE FROM sessions")


# What may be sent


def object_of(name: str) -> Object:
    """The object of a path; any other is refused."""
    found = next((one for known, one in OBJECTS.items() if known.lower() == name.lower()), None)
    if found is None:
        raise no_record()
    return found


def sent_fields(call: Call, object: Object, *, besides: str | None = None) -> Fields:
    """The fields of the body by their right names; refuses what is unknown, not to be written or of a wrong kind."""
    sent = call.parsed()
    if not isinstance(sent, dict):
        raise refusal(400, "JSON_PARSER_ERROR", "The HTTP entity body is required to be an object")
    by_name = {name.lower(): column for name, column in object.columns.items()}
    fields: Fields = {}
    for name, value in sent.items():
        if name == "attributes":
            continue
        column = by_name.get(name.lower())
        if column is None:
            raise refusal(400, "INVALID_FIELD", f"No such column '{name}' on sobject of type {object.name}")
        if column.name in ("Id", besides):
            raise refusal(400, "INVALID_FIELD", f"The {name} field should not be specified in the sobject data.")
        if not column.written:
            message = (
                f"Unable to create/update fields: {column.name}. Please check the security settings of this field and "
                "verify that it is read/write for your profile or permission set."
            )
            raise refusal(400, "INVALID_FIELD_FOR_INSERT_UPDATE", message, column.name)
        fields[column.name] = value_of(object, column, value)
    return fields


def value_of(object: Object, column: Column, value: Any) -> Any:
    """The value as it is stored: blank text is null; refuses what the column cannot hold."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return False if column.type == "boolean" else None
    if column.type in NUMBERS or column.type == "boolean":
        return _plain(column, value)
    if isinstance(value, dict | list | bool):
        raise refusal(400, "JSON_PARSER_ERROR", f"Cannot deserialize instance of {column.type} from {value}")
    text = str(value).strip()
    _check_text(object, column, text)
    return text


def _plain(column: Column, value: Any) -> Any:
    kinds = {"boolean": bool, "int": int}.get(column.type, (int, float))
    if not isinstance(value, kinds) or (isinstance(value, bool) and column.type != "boolean"):
        kind = "VALUE_STRING" if isinstance(value, str) else type(value).__name__
        message = f"Cannot deserialize instance of {column.type} from {kind} value {value} or request may be missing a "
        raise refusal(400, "JSON_PARSER_ERROR", message + "required field")
    return value


def _check_text(object: Object, column: Column, text: str) -> None:
    label = column.label or column.name
    if len(text) > column.length:
        message = f"{label}: data value too large: {text} (max length={column.length})"
        raise refusal(400, "STRING_TOO_LONG", message, column.name)
    if column.choices and text not in column.choices:
        message = f"{label}: bad value for restricted picklist field: {text}"
        raise refusal(400, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, column.name)
    if column.type == "email" and not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", text):
        raise refusal(400, "INVALID_EMAIL_ADDRESS", f"{label}: invalid email address: {text}", column.name)
    if column.type == "reference" and not (is_id(text) and text.startswith(OBJECTS[str(column.refers)].prefix)):
        raise refusal(400, "MALFORMED_ID", f"{label}: id value of incorrect type: {text}", column.name)
    if column.type == "date" and not _is_date(text):
        message = f"Cannot deserialize instance of date from VALUE_STRING value {text}"
        raise refusal(400, "JSON_PARSER_ERROR", f"{message} or request may be missing a required field")


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def refuse_flawed(state: State, object: Object, fields: Fields, *, own: str, duplicates: bool) -> None:
    """Refuse a record that cannot stand beside the others; `own` is its id, `duplicates` whether the rule is on."""
    missing = [name for name, column in object.columns.items() if column.required and fields[name] is None]
    if missing:
        message = f"Required fields are missing: [{', '.join(missing)}]"
        raise refusal(400, "REQUIRED_FIELD_MISSING", message, *missing)
    for name, column in object.columns.items():
        if column.refers and fields[name] and state.one(fields[name]) is None:
            raise refusal(400, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", name)
    others = [one for one in state.stored(object.name) if one["Id"] != own]
    for name in (name for name, column in object.columns.items() if column.unique and fields[name]):
        taken = next((one["Id"] for one in others if _folded(one[name]) == _folded(fields[name])), None)
        if taken:
            message = f"duplicate value found: {name} duplicates value on record with id: {taken}"
            raise refusal(400, "DUPLICATE_VALUE", message)
    if duplicates and "Name" in fields:
        alike = [one["Id"] for one in others if _folded(one["Name"]) == _folded(fields["Name"])]
        if alike:
            raise _duplicate(object, alike)


def _duplicate(object: Object, alike: list[str]) -> Refused:
    found = [{"record": {"attributes": {"type": object.name}, "Id": id}} for id in alike]
    matches = [{"entityType": object.name, "matchRecords": found, "rule": "Standard_Rule_v1_0", "size": len(found)}]
    # The misspelled name is the API's own.
    result = {"allowSave": True, "duplicateRule": "Same_name", "matchResults": matches}
    told = {"duplicateResut": result, "errorCode": "DUPLICATES_DETECTED", "message": "Use one of these records?"}
    return Refused(400, [told])


def _folded(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else value


def created(object: Object, fields: Fields, now: float) -> Fields:
    """A new record, whole but for its id."""
    empty = {name: False if column.type == "boolean" else None for name, column in object.columns.items()}
    return {**empty, **fields, "CreatedDate": written(now), **touched(now)}


def touched(now: float) -> Fields:
    """What every change of a record changes."""
    return {"LastModifiedDate": written(now), "SystemModstamp": written(now)}
