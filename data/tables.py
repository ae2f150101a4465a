"""The store's tables, as SQLAlchemy Core sees them; migrations/ makes them."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    and_,
    text,
)
from sqlalchemy.types import TypeDecorator

from data.encoding import dump_json, from_micros, to_micros
from data.job_records import Error


class Moment(TypeDecorator[dt.datetime]):
    """An aware moment, kept as microseconds since 1970 UTC: it sorts and compares the same in every database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else to_micros(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> dt.datetime | None:
        return None if value is None else from_micros(value)


class Json(TypeDecorator[Any]):
    """A JSON document as ASCII text; SQL's NULL is "nothing was recorded", the document null is `null`."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else dump_json(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else json.loads(value)


metadata = MetaData()
# SQLite reuses the highest id after a delete unless told not to; an id must never name two jobs.
_KEEP_IDS = {"sqlite_autoincrement": True}

meta = Table(
    "meta",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

recipes = Table(
    "recipes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("started", Boolean, nullable=False),
    # The file as it was last seen: what makes it unusable (a list of problems), or null; and whether it is there.
    Column("problems", Json),
    Column("present", Boolean, nullable=False, server_default=text("1")),
    # `since` is locked after the first start: what was in force then, or null while never started.
    Column("since", Json),
    Column("first_started_at", Moment),
    # The trigger's last poll, told by the engine.
    Column("polled_at", Moment),
    Column("next_poll_at", Moment),
    Column("poll_failures", Integer, nullable=False, server_default="0"),
    Column("warning", Text),
    Column("cursor", Json),
    **_KEEP_IDS,
)

revisions = Table(
    "revisions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("recipe_id", ForeignKey("recipes.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("text", Text, nullable=False),
    Column("stored_at", Moment, nullable=False),
    UniqueConstraint("recipe_id", "number"),
    **_KEEP_IDS,
)

# What the last poll of a watching trigger knew of each object: present or not, and in which incarnation.
objects = Table(
    "objects",
    metadata,
    Column("recipe_id", ForeignKey("recipes.id"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("incarnation", Integer, nullable=False),
    Column("present", Boolean, nullable=False),
    Column("mark", Text),
    Column("stamp", Text),
    # When a poll last saw that an object changed whose trigger makes no event of that (`*.new`).
    Column("changed_at", Moment),
    sqlite_with_rowid=False,
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("recipe_id", ForeignKey("recipes.id"), nullable=False),
    Column("event_key", Text, nullable=False),
    Column("title", Text, nullable=False),
    # Never before that of a lower id, so that the order by time is the order by id and needs no index of its own.
    Column("received_at", Moment, nullable=False),
    Column("trigger_expired_at", Moment),
    Column("trigger_expired_by", Text),
    # What the event tells of: the key without incarnation and stamp; null where the trigger knows no objects.
    Column("object_key", Text),
    Index("jobs_by_recipe", "recipe_id", "id"),
    # The recipe at the end lets a filter by it walk the order without looking at the rows.
    Index("jobs_by_title", "title", "id", "recipe_id"),
    Index("jobs_by_event_key", "event_key", "id", "recipe_id"),
    **_KEEP_IDS,
)
Index("jobs_by_object", jobs.c.recipe_id, jobs.c.object_key, jobs.c.id,
      sqlite_where=jobs.c.object_key.is_not(None), postgresql_where=jobs.c.object_key.is_not(None))

# Keys outlive payloads, jobs' data and even events that made no job: an old event never becomes new.
event_keys = Table(
    "event_keys",
    metadata,
    Column("recipe_id", ForeignKey("recipes.id"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("job_id", ForeignKey("jobs.id")),
    sqlite_with_rowid=False,
)

# The cached trigger events, apart from the jobs: large, read one at a time, and removed by retention.
payloads = Table(
    "payloads",
    metadata,
    Column("job_id", ForeignKey("jobs.id"), primary_key=True),
    Column("event", Text, nullable=False),
)

# Jobs whose data is kept past its retention, and why.
holds = Table(
    "holds",
    metadata,
    Column("job_id", ForeignKey("jobs.id"), primary_key=True),
    Column("reason", Text, nullable=False),
    Column("held_by", Text, nullable=False),
    Column("held_at", Moment, nullable=False),
)

# Bulk reruns. A batch is what was asked and how it goes; its versions are the queue, `batch_jobs` the frozen list.
batches = Table(
    "batches",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("status", Text, nullable=False),
    # Why it is paused; who canceled it.
    Column("reason", Text),
    Column("canceled_by", Text),
    Column("requested_by", Text, nullable=False),
    Column("requested_at", Moment, nullable=False),
    Column("note", Text),
    Column("plan", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("order", Text, nullable=False),
    # Jobs a second at the most.
    Column("rate", Float),
    # How many run before somebody says yes to the rest; null once that was said.
    Column("canary", Integer),
    # How many failures, or which part of those that ended (0 to 1), pause it.
    Column("stop_failures", Integer),
    Column("stop_share", Float),
    # The last job of the list that was queued or refused; null while none is, and once all are.
    Column("queued_to", Integer),
    Column("whole", Boolean, nullable=False, server_default=text("0")),
    # When it last began: failures before that have been looked at.
    Column("resumed_at", Moment, nullable=False),
    Column("finished_at", Moment),
    **_KEEP_IDS,
)
Index("batches_open", batches.c.id, sqlite_where=batches.c.finished_at.is_(None),
      postgresql_where=batches.c.finished_at.is_(None))

batch_jobs = Table(
    "batch_jobs",
    metadata,
    Column("batch_id", ForeignKey("batches.id"), primary_key=True),
    Column("job_id", ForeignKey("jobs.id"), primary_key=True),
    # The version that it makes, and the revision that this runs: pinned when the batch was made.
    Column("number", Integer),
    Column("revision_id", ForeignKey("revisions.id")),
    # Why the job is not rerun.
    Column("code", Text),
    Column("message", Text),
    sqlite_with_rowid=False,
)

versions = Table(
    "versions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("job_id", ForeignKey("jobs.id"), nullable=False),
    Column("recipe_id", ForeignKey("recipes.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("latest", Boolean, nullable=False),
    Column("status", Text, nullable=False),
    # Null until version 1 is first claimed; a rerun's is fixed when it is queued.
    Column("revision_id", ForeignKey("revisions.id")),
    Column("mode", Text, nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("requested_at", Moment, nullable=False),
    Column("note", Text),
    # The event of this version where it is not the job's cached one: a parent has called with another input.
    Column("event", Text),
    Column("priority", Integer, nullable=False),
    # The fencing token: (id, attempt). The attempt only grows; `owner` is the boot that holds it.
    Column("attempt", Integer, nullable=False),
    Column("owner", Text),
    # How often its process died since it last got further, and how many steps had ended by then.
    Column("recoveries", Integer, nullable=False, server_default="0"),
    Column("progress", Integer, nullable=False, server_default="0"),
    Column("serial_key", Text),
    Column("started_at", Moment),
    Column("finished_at", Moment),
    Column("duration_ms", Integer),
    Column("error_message", Text),
    Column("error_kind", Text),
    Column("error_step", Text),
    Column("error_status", Integer),
    Column("error_group", Text),
    Column("report", Json),
    Column("warnings", Json),
    # The bulk rerun that made it; `waits` while that has not let it go yet: nobody claims it then.
    Column("batch_id", ForeignKey("batches.id")),
    Column("waits", Boolean, nullable=False, server_default=text("0")),
    # Who asked to cancel it, and when; of one that runs it is a request.
    Column("canceled_by", Text),
    Column("canceled_at", Moment),
    # Whether retention has removed its data; of all versions of a job at once.
    Column("expired", Boolean, nullable=False, server_default=text("0")),
    UniqueConstraint("job_id", "number"),
    **_KEEP_IDS,
)

LATEST = versions.c.latest.is_(True)
KEPT = versions.c.expired.is_(False)


def _partial(name: str, *columns: Any, where: Any, unique: bool = False) -> None:
    Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)


# A job has at most one version that has not ended: the last word on two operators who rerun at once.
_partial("one_open_version", versions.c.job_id, unique=True, where=text("status IN ('queued', 'running', 'in_doubt')"))
_partial("one_latest_version", versions.c.job_id, unique=True, where=LATEST)
_partial("one_running_per_key", versions.c.serial_key, unique=True,
         where=text("status = 'running' AND serial_key IS NOT NULL"))
_partial("versions_queued", versions.c.recipe_id, versions.c.priority.desc(), versions.c.id,
         where=text("status = 'queued' AND waits IS 0"))
_partial("versions_by_batch", versions.c.batch_id, versions.c.status, versions.c.waits, versions.c.recipe_id,
         versions.c.job_id,
         where=text("batch_id IS NOT NULL"))
# All that the list of error groups counts; and the jobs of one group, in their order.
_partial("versions_by_error", versions.c.error_group, versions.c.recipe_id, versions.c.finished_at, versions.c.latest,
         versions.c.id, where=text("error_group IS NOT NULL"))
_partial("latest_by_group", versions.c.error_group, versions.c.job_id, versions.c.recipe_id,
         where=and_(LATEST, versions.c.error_group.is_not(None)))
_partial("versions_canceled", versions.c.id, where=text("status = 'running' AND canceled_at IS NOT NULL"))
_partial("versions_running", versions.c.owner, where=text("status = 'running'"))
_partial("versions_by_revision", versions.c.revision_id, versions.c.id, where=text("revision_id IS NOT NULL"))
# The report's orders (data/order.py). The status comes first, so that any choice of statuses walks only its own rows,
# in order; the report of all statuses merges them. The recipe comes last, to filter by it without looking at the rows.
_partial("latest_by_status", versions.c.status, versions.c.job_id, versions.c.recipe_id, where=LATEST)
for _name, _column in [
    ("started", versions.c.started_at),
    ("finished", versions.c.finished_at),
    ("duration", versions.c.duration_ms),
    ("error", versions.c.error_message),
    ("number", versions.c.number),
]:
    _partial(f"latest_by_{_name}", versions.c.status, _column, versions.c.job_id, versions.c.recipe_id, where=LATEST)
# What retention may remove, in the order in which it is due, for each recipe and status have a term of their own. Only
# jobs that still have their data are in it: however many are remembered without, none of them is looked at again.
_partial("versions_due", versions.c.recipe_id, versions.c.status, versions.c.finished_at, versions.c.job_id,
         where=and_(LATEST, KEPT, versions.c.finished_at.is_not(None)))
_partial("first_by_started", versions.c.started_at, versions.c.job_id, versions.c.recipe_id, where=text("number = 1"))

steps = Table(
    "steps",
    metadata,
    Column("version_id", ForeignKey("versions.id"), primary_key=True),
    Column("path", Text, primary_key=True),
    # The order in which the steps of a version first began.
    Column("ordinal", Integer, nullable=False),
    Column("step_id", Text, nullable=False),
    Column("action", Text),
    Column("effect", Text),
    # What follows when its process dies while it acts: hold, retry or skip; null where nothing acts.
    Column("on_doubt", Text),
    Column("status", Text, nullable=False),
    Column("branch", Text),
    Column("index", Json),
    Column("attempts", Integer, nullable=False),
    Column("input", Text),
    Column("output", Text),
    Column("error", Json),
    Column("started_at", Moment),
    Column("duration_ms", Integer),
    Column("resolved_by", Text),
)

# Which version of a child job an attempt of a version's call step runs.
calls = Table(
    "calls",
    metadata,
    Column("parent_version_id", ForeignKey("versions.id"), primary_key=True),
    Column("path", Text, primary_key=True),
    # A monitor's retry begins the step anew, and so its child's next version.
    Column("attempt", Integer, primary_key=True, server_default="1"),
    Column("child_version_id", ForeignKey("versions.id"), nullable=False, unique=True),
    sqlite_with_rowid=False,
)

# What a plan said, so that whoever goes ahead with it later is told what has moved.
plans = Table(
    "plans",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("made_at", Moment, nullable=False),
    Column("content", Json, nullable=False),
)

# Events taken through a revision without its writes: never versions.
rehearsals = Table(
    "rehearsals",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("job_id", ForeignKey("jobs.id"), nullable=False),
    # The number of the version that it is compared with.
    Column("version", Integer, nullable=False),
    Column("revision_id", ForeignKey("revisions.id"), nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("requested_at", Moment, nullable=False),
    Column("status", Text, nullable=False),
    Column("content", Json, nullable=False),
    Index("rehearsals_by_job", "job_id", "id"),
    **_KEEP_IDS,
)

error_notes = Table(
    "error_notes",
    metadata,
    Column("error_group", Text, primary_key=True),
    Column("note", Text, nullable=False),
    Column("noted_by", Text, nullable=False),
    Column("noted_at", Moment, nullable=False),
)

# Append-only: triggers refuse every change of what is there.
audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Moment, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("note", Text),
    **_KEEP_IDS,
)


def error_columns(error: Error | None) -> dict[str, Any]:
    """Return an error as the columns of `versions` hold it."""
    return {
        "error_message": error and error.message,
        "error_kind": error and error.kind,
        "error_step": error and error.step,
        "error_status": error and error.status,
        "error_group": error and error.group,
    }
