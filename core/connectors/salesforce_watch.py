"""Watches an object of a Salesforce org for new and changed records, asking only for what came since the last poll.

Records are read in the order of a stamp (CreatedDate or SystemModstamp) and Id. A stamp is set when a record is written
and seen when its transaction ends, which Apex allows ten minutes for; so each poll reads again what was stamped within
OVERLAP before the last poll began, by the clock of the source. Where it goes on never lies within that time, except at
its very edge; before it, nothing comes to be seen any more.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from core.connectors import salesforce_soql as soql
from core.connectors.declare import Feed, Found, Inputs, Page, Trigger, Watch
from core.connectors.salesforce_client import Batch, Org, Patience
from data.job_records import JsonValue

OVERLAP = dt.timedelta(minutes=10)
BATCH = 1000  # records in one answer: 10 KiB for each fit into the largest that is read
CHUNK = 200  # records that are stored at once


class Watched(Inputs):
    """The inputs of `salesforce.new` and `salesforce.new_or_updated`."""

    connection: str = Field(min_length=1, description="a connection of type salesforce")
    object: soql.Object = Field(description="the object, `Account` or `Order__c`")
    fields: list[soql.FieldPath] = Field(
        min_length=1, description="the fields that an event has, `[Id, Name, Owner.Name]`; Id and the stamp always"
    )
    where: dict[soql.FieldPath, soql.Scalar | list[soql.Scalar]] = Field(
        default_factory=dict, description="which records, `{field: value}`, all equal; a list for any of them"
    )


@dataclass(frozen=True)
class Place:
    """What was read: everything stamped before `at`, and at `at` everything up to the record `id`."""

    at: dt.datetime | None = None
    id: str = ""

    def before(self, other: Place) -> bool:
        """Return whether the other, which has a time, lies behind this one."""
        return self.at is None or (other.at is not None and (self.at, self.id) < (other.at, other.id))

    def condition(self, stamp: str) -> list[str]:
        """Return the condition for what was not read yet."""
        if self.at is None:
            return []
        at = soql.moment(self.at)
        if not self.id:
            return [f"{stamp} >= {at}"]
        return [f"({stamp} > {at} OR ({stamp} = {at} AND Id > {soql.text(self.id)}))"]


def poll(
    inputs: Watched, watch: Watch, cursor: JsonValue, since: dt.datetime | None, *, stamp: str, updates: bool
) -> Iterator[Page]:
    """Yield what is new, or has changed, since the cursor; at the end the place where the next poll goes on."""
    org: Org = watch.connection
    # With other inputs it begins anew; what was stored before is known by its key, and makes no second event.
    of: dict[str, JsonValue] = {"connection": inputs.connection, "object": inputs.object, "where": dict(inputs.where)}
    place = _place(cursor, of)
    if since is not None and (place.at is None or place.at < since):
        place = Place(since)
    first: Batch | None = None
    for batch in org.query(_query(inputs, watch, stamp, place), lambda: Patience.of_poll(watch), BATCH):
        first = first or batch
        for start in range(0, len(batch.records), CHUNK):
            records = batch.records[start : start + CHUNK]
            place = _after(place, records, stamp, _settled(first, watch))
            yield Page(_found(records, stamp, first.asked_at if updates else None), _cursor(of, place))
    assert first is not None
    end = Place(_settled(first, watch))
    yield Page((), _cursor(of, end if place.before(end) else place))


def _settled(batch: Batch, watch: Watch) -> dt.datetime:
    """Return before when nothing comes to be seen any more; of two clocks the one that says less counts."""
    now = min(batch.asked_at or watch.now, watch.now)
    return now.replace(microsecond=0) - OVERLAP


def _query(inputs: Watched, watch: Watch, stamp: str, place: Place) -> str:
    kinds = watch.connection.kinds(inputs.object, inputs.where, Patience.of_poll(watch)) if inputs.where else {}
    conditions = [*soql.conditions(inputs.where, kinds), *place.condition(stamp)]
    return soql.select(["Id", stamp, *inputs.fields], inputs.object, conditions, [stamp, "Id"])


def _after(place: Place, records: list[dict[str, Any]], stamp: str, settled: dt.datetime) -> Place:
    """Return where to go on once these are stored."""
    for record in records:
        here = Place(_moment(record[stamp]), record["Id"])
        # A record that was changed while the pages were read says a later stamp than its neighbours.
        if here.at is not None and here.at < settled and place.before(here):
            place = here
    return place


def _found(records: list[dict[str, Any]], stamp: str, asked_at: dt.datetime | None) -> list[Found]:
    """Return the records as events; those stamped in the second of the asking, or later, are left to the next poll.

    Stamps are whole seconds: within its second a record may change again, and its stamp would not tell.
    """
    return [
        Found(record["Id"], soql.moment(_moment(record[stamp])), record)
        for record in records
        if asked_at is None or _moment(record[stamp]) < asked_at
    ]


def _moment(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).astimezone(dt.UTC)


def _cursor(of: dict[str, JsonValue], place: Place) -> JsonValue:
    return {"of": of, "at": place.at and soql.moment(place.at), "id": place.id}


def _place(cursor: JsonValue, of: dict[str, JsonValue]) -> Place:
    if not isinstance(cursor, dict) or cursor.get("of") != of or not cursor.get("at"):
        return Place()
    return Place(_moment(cursor["at"]), cursor["id"])


def _trigger(name: str, summary: str, stamp: str, updates: bool) -> Trigger:
    return Trigger(
        name=name,
        summary=summary,
        inputs=Watched,
        source=Feed(
            poll=functools.partial(poll, stamp=stamp, updates=updates),
            updates=updates,
            since_field=lambda inputs: stamp,
        ),
        connection="salesforce",
    )


TRIGGERS = (
    _trigger("salesforce.new", "An event for each record that is created.", "CreatedDate", updates=False),
    _trigger(
        "salesforce.new_or_updated",
        "An event for each record that is created or changed.",
        "SystemModstamp",
        updates=True,
    ),
)
