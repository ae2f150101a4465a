"""Salesforce: records searched, read, created, updated and upserted, and objects watched for new and changed ones.

Written on httpx, not on simple-salesforce: that one has no way to say how long to wait and how much to read, follows
redirects, and does not tell a write that was refused from one whose answer was lost.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from core.connectors import salesforce_soql as soql
from core.connectors.declare import Action, Call, Connection, Connector, Effect, Inputs
from core.connectors.salesforce_auth import Settings
from core.connectors.salesforce_watch import TRIGGERS
from core.errors import AnswerLost, StepError
from data.job_records import JsonValue

if TYPE_CHECKING:
    from core.connectors.salesforce_client import Org

MAX_RECORDS = 10_000  # that a search gives


def _in_a_path(value: str | int) -> str | int:
    if str(value).strip() in ("", ".", ".."):
        raise ValueError("an empty value, `.` and `..` name no record")
    return value


CONNECTION = Field(min_length=1, description="a connection of type salesforce")
OBJECT = Field(description="the object, `Account` or `Order__c`")
NAMES = Field(min_length=1, description="the fields to give, `[Id, Name, Owner.Name]`; Id always")
VALUES = Field(min_length=1, description="the fields to write, `{name: value}`; null empties one")
ID = Annotated[str, Field(pattern=r"^[A-Za-z0-9]{15}([A-Za-z0-9]{3})?$")]
External = dict[soql.FieldName, Annotated[str | int, AfterValidator(_in_a_path)]]


class Search(Inputs):
    """The inputs of `salesforce.search`."""

    connection: str = CONNECTION
    object: soql.Object = OBJECT
    where: dict[soql.FieldPath, soql.Scalar | list[soql.Scalar]] = Field(
        default_factory=dict, description="which records, `{field: value}`, all equal; a list for any of them, null too"
    )
    fields: list[soql.FieldPath] = NAMES
    limit: int | None = Field(default=None, ge=1, le=MAX_RECORDS, description="the most records to give")


class _One(Inputs):
    connection: str = CONNECTION
    object: soql.Object = OBJECT


class Get(_One):
    """The inputs of `salesforce.get`."""

    id: ID | None = Field(default=None, description="the record's id, 15 or 18 characters")
    external_id: External | None = Field(
        default=None, min_length=1, max_length=1, description="or an external id that it has, `{field: value}`"
    )
    fields: list[soql.FieldName] | None = Field(
        default=None, min_length=1, description="the fields to give; by default all of them"
    )

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if (self.id is None) == (self.external_id is None):
            raise ValueError("give either `id` or `external_id`")
        return self


class Create(_One):
    """The inputs of `salesforce.create`."""

    fields: dict[soql.FieldName, JsonValue] = VALUES


class Update(Create):
    """The inputs of `salesforce.update`."""

    id: ID = Field(description="the record's id, 15 or 18 characters")


class Upsert(Create):
    """The inputs of `salesforce.upsert`."""

    external_id: External = Field(
        min_length=1, max_length=1, description="a unique external id, `{field: value}`: updated if it is there"
    )

    @model_validator(mode="after")
    def _check_fields(self) -> Self:
        name = next(iter(self.external_id))
        if name.lower() in (one.lower() for one in self.fields):
            raise ValueError(f"{name} stands in `external_id`: leave it out of `fields`")
        return self


def search(inputs: Search, call: Call) -> dict[str, JsonValue]:
    """Return the records that match, by their ids, and how many they are; raises StepError where they are too many."""
    from core.connectors.salesforce_client import Patience

    org: Org = call.connection
    patience = Patience.of_call(call)
    kinds = org.kinds(inputs.object, inputs.where, patience) if inputs.where else {}
    conditions = soql.conditions(inputs.where, kinds)
    text = soql.select(["Id", *inputs.fields], inputs.object, conditions, ["Id"], inputs.limit)
    records: list[JsonValue] = []
    for batch in org.query(text, lambda: patience):
        if batch.total > MAX_RECORDS:
            found = f"{batch.total} records match, more than {MAX_RECORDS}"
            raise StepError(f"{found}: narrow `where`, or give `limit`", "limit")
        records += batch.records
    return {"count": len(records), "records": records}


def get(inputs: Get, call: Call) -> JsonValue:
    """Return the record; where there is none, StepError of kind NOT_FOUND."""
    from core.connectors.salesforce_client import without_attributes

    params = {"fields": ",".join(inputs.fields)} if inputs.fields else {}
    place = _external(inputs.external_id) if inputs.external_id else (str(inputs.id),)
    return without_attributes(_asked("GET", inputs, call, *place, params=params))


def create(inputs: Create, call: Call) -> dict[str, JsonValue]:
    """Create a record; return it as it was sent, with its Id."""
    return {"Id": _id(_asked("POST", inputs, call, record=inputs.fields, again=False)), **inputs.fields}


def update(inputs: Update, call: Call) -> dict[str, JsonValue]:
    """Update a record; return what was sent, with its Id."""
    _asked("PATCH", inputs, call, inputs.id, record=inputs.fields)
    return {"Id": inputs.id, **inputs.fields}


def upsert(inputs: Upsert, call: Call) -> dict[str, JsonValue]:
    """Update the record that has the external id, or create it; return what was sent, its Id and which it was."""
    told = _asked("PATCH", inputs, call, *_external(inputs.external_id), record=inputs.fields)
    return {"Id": _id(told), "created": bool(told.get("created")), **inputs.external_id, **inputs.fields}


def _external(external: External) -> tuple[str, str]:
    field, value = next(iter(external.items()))
    return field, str(value)


def _asked(
    method: str, inputs: Any, call: Call, *place: str, params: dict[str, str] | None = None,
    record: dict[str, JsonValue] | None = None, again: bool = True,
) -> dict[str, Any]:
    """Return what Salesforce says to a request for one record."""
    from core.connectors.salesforce_client import Patience, Request, mapping

    org: Org = call.connection
    request = Request(
        method, org.rows(inputs.object, *place), params=params or {}, record=record, again=again,
        headers={} if method == "GET" else {"Idempotency-Key": call.idempotency_key()},
    )
    return mapping(org.send(request, Patience.of_call(call)))


def _id(told: dict[str, Any]) -> str:
    if not isinstance(told.get("id"), str):
        raise AnswerLost("Salesforce answered without the record's id; it may have acted")
    return str(told["id"])


def _open(settings: Settings, workspace: Path) -> Org:
    from core.connectors.salesforce_client import Org

    return Org(settings)


def _action(name: str, summary: str, inputs: type[Inputs], run: Any, effect: Effect, **output: str) -> Action:
    example = None if effect is Effect.READS else _example
    return Action(f"salesforce.{name}", summary, inputs, effect, run, output, connection="salesforce", example=example)


def _example(inputs: Create | Update | Upsert) -> dict[str, JsonValue]:
    match inputs:
        case Update():
            return {"Id": inputs.id, **inputs.fields}
        case Upsert():
            return {"Id": _EXAMPLE_ID, "created": True, **inputs.external_id, **inputs.fields}
    return {"Id": _EXAMPLE_ID, **inputs.fields}


_EXAMPLE_ID = "001000000000001AAA"


CONNECTOR = Connector(
    name="salesforce",
    actions=(
        _action("search", "Search records by the values of fields.", Search, search, Effect.READS,
                count="how many records match", records="the records, a list of mappings"),
        _action("get", "Read one record, by its id or by an external id.", Get, get, Effect.READS),
        _action("create", "Create a record; gives its Id and the fields sent.", Create, create, Effect.WRITES),
        _action("update", "Update a record; gives its Id and the fields sent.", Update, update, Effect.IDEMPOTENT),
        _action("upsert", "Update the record with an external id, or create it; `created` says which.",
                Upsert, upsert, Effect.IDEMPOTENT),
    ),
    triggers=TRIGGERS,
    connections=(
        Connection(
            type="salesforce",
            summary="A Salesforce org: its My Domain, and an app that it knows, by secret or by key.",
            settings=Settings,
            open=_open,
            close=lambda org: org.close(),
        ),
    ),
)  # fmt: skip
