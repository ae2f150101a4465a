"""What the commands print for scripts: each record as a mapping of the contract's names; JSON, JSON Lines and CSV."""

from __future__ import annotations

import csv
import datetime as dt
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TextIO

from core.secrecy import masked
from data.job_records import Error, Job, JsonValue, Refusal
from data.states import Status
from tui.words import mask

if TYPE_CHECKING:
    from core.automation import EngineState, State
    from core.cancels import Cancellation
    from core.coverage import Covered
    from core.dryrun import DryRun
    from core.reruns import Plan, Rerun
    from core.retention import Purged
    from data.records import (
        Accepted,
        Batch,
        BatchJob,
        JobDetail,
        Link,
        Problem,
        RecipeState,
        Revision,
        StepRecord,
        Version,
    )

Mapped = dict[str, JsonValue]

JOB_FIELDS = (
    "id", "recipe", "title", "status", "event_key", "received_at", "first_started_at", "started_at", "finished_at",
    "duration_ms", "versions", "error", "report", "rerunnable", "rerun_blocked",
)
VERSION_FIELDS = (
    "version", "latest", "status", "recipe_revision", "mode", "requested_by", "note", "requested_at", "started_at",
    "finished_at", "error",
)
RECIPE_FIELDS = (
    "name", "started", "revision", "present", "problems", "warning", "polled_at", "next_poll_at", "first_started_at",
    "since",
)
REVISION_FIELDS = ("recipe", "revision", "stored_at", "size")
PURGED_FIELDS = ("recipe", "rule", "jobs", "bytes")
WAY_FIELDS = ("path", "id", "line", "kind", "outcome", "says", "versions", "job", "version")
ACCEPTED_FIELDS = ("key", "job", "new")
BATCH_FIELDS = (
    "id", "status", "reason", "canceled_by", "requested_by", "requested_at", "note", "plan", "mode", "order", "rate",
    "canary", "stop_failures", "stop_share", "finished_at", "jobs", "refused", "waiting", "queued", "running",
    "succeeded", "failed", "canceled", "in_doubt",
)

def rfc3339(moment: dt.datetime | None) -> str | None:
    """Return a moment as RFC 3339 says it, in UTC with microseconds, so that such texts sort as the moments do."""
    if moment is None:
        return None
    return moment.astimezone(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def error_json(error: Error | None) -> Mapped | None:
    """Return why a version or step failed."""
    if error is None:
        return None
    return {"message": error.message, "kind": error.kind, "step": error.step, "group": error.group}


def job_json(job: Job) -> Mapped:
    """Return a row of the jobs report; what its columns hold of secrets is masked: listings are passed on."""
    blocked = job.rerun_blocked
    return {
        "id": job.id,
        "recipe": job.recipe,
        "title": job.title,
        "status": str(job.status),
        "event_key": job.event_key,
        "received_at": rfc3339(job.received_at),
        "first_started_at": rfc3339(job.first_started_at),
        "started_at": rfc3339(job.started_at),
        "finished_at": rfc3339(job.finished_at),
        "duration_ms": job.duration_ms,
        "versions": job.versions,
        "error": error_json(job.error),
        "report": masked(dict(job.report), mask()),
        "rerunnable": blocked is None,
        "rerun_blocked": None if blocked is None else {"code": blocked.code, "message": blocked.message},
    }


def show_json(detail: JobDetail) -> Mapped:
    """Return one job as one of its versions shows it: status, times, error and report are that version's."""
    version = detail.version
    return {
        **job_json(detail.job),
        "status": str(version.status),
        "started_at": rfc3339(version.started_at),
        "finished_at": rfc3339(version.finished_at),
        "duration_ms": version.duration_ms,
        "error": error_json(version.error),
        "report": dict(version.report),
        "version": version.number,
        "latest": version.latest,
        "trigger": detail.trigger,
        "trigger_expired_at": rfc3339(detail.job.trigger_expired_at),
        "recipe_revision": version.recipe_revision,
        "mode": version.mode,
        "requested_by": version.requested_by,
        "note": version.note,
        "warnings": list(version.warnings),
        "parent": link_json(detail.parent),
        "newer_job": detail.newer,
        "older_job": detail.older,
        "object_changed_at": rfc3339(detail.changed_at),
        "steps": [step_json(step) for step in detail.steps],
    }


def link_json(link: Link | None) -> Mapped | None:
    """Return a place in another job, of the version that called and of its call step."""
    return None if link is None else {"job": link.job_id, "version": link.version, "path": link.path}


def step_json(step: StepRecord) -> Mapped:
    """Return what one step did in one version."""
    return {
        "path": step.path,
        "id": step.id,
        "action": step.action,
        "status": str(step.status),
        "branch": step.branch,
        "index": list(step.index),
        "attempts": step.attempts,
        "input": step.input,
        "output": step.output,
        "error": error_json(step.error),
        "started_at": rfc3339(step.started_at),
        "duration_ms": step.duration_ms,
        "resolved_by": step.resolved_by,
    }


def dry_run_json(ran: DryRun) -> Mapped:
    """Return what came of a dry run; a step's `not_sent` says where its answer is from: `812.3`, `example`, or null."""
    return {
        "recipe": ran.recipe,
        "recipe_revision": ran.revision,
        "dry_run": True,
        "title": ran.title,
        "status": str(ran.status),
        "error": error_json(ran.error),
        "report": dict(ran.report),
        "warnings": list(ran.warnings),
        "trigger": ran.trigger,
        "steps": [{**step_json(step), "not_sent": ran.not_sent.get(step.path)} for step in ran.steps],
    }


def way_json(way: Covered) -> Mapped:
    """Return one way that a job can take, and the newest that did."""
    job, version = way.example or (None, None)
    return {
        "path": way.path, "id": way.id, "line": way.line, "kind": way.kind, "outcome": way.outcome, "says": way.says,
        "versions": way.versions, "job": job, "version": version,
    }


def version_json(version: Version) -> Mapped:
    """Return one version of a job's history."""
    return {
        "version": version.number,
        "latest": version.latest,
        "status": str(version.status),
        "recipe_revision": version.recipe_revision,
        "mode": version.mode,
        "requested_by": version.requested_by,
        "note": version.note,
        "requested_at": rfc3339(version.requested_at),
        "started_at": rfc3339(version.started_at),
        "finished_at": rfc3339(version.finished_at),
        "error": error_json(version.error),
    }


def refusal_json(refusal: Refusal) -> Mapped:
    """Return why it is not done to one job."""
    return {"id": refusal.id, "code": refusal.code, "message": refusal.message}


def rerun_json(done: Rerun) -> Mapped:
    """Return what a rerun did."""
    return {
        "requested": list(done.requested),
        "refused": [refusal_json(refusal) for refusal in done.refused],
        "batch": done.batch,
        "plan": done.plan,
    }


def plan_json(plan: Plan) -> Mapped:
    """Return what a rerun would do, in the names of `rerun_json`, and more."""
    return {
        "requested": list(plan.requested),
        "refused": [refusal_json(refusal) for refusal in plan.refused],
        "batch": None,
        "plan": plan.digest,
        "mode": plan.how.version_mode,
        "order": plan.how.order,
        "estimate_ms": plan.estimate_ms,
        "revisions": [
            {"recipe": one.recipe, "ran": one.ran, "will_run": one.will_run, "jobs": one.jobs, "diff": list(one.diff)}
            for one in plan.revisions
        ],
        "repeats": [
            {"recipe": one.recipe, "path": one.path, "action": one.action, "jobs": one.jobs} for one in plan.repeats
        ],
        "stale": [
            {"id": one.job_id, "newer_job": one.newer, "object_changed_at": rfc3339(one.changed_at)}
            for one in plan.stale
        ],
    }


def batch_json(batch: Batch) -> Mapped:
    """Return a bulk rerun: what was asked, and how many of its jobs stand how. `rate` is in jobs a second."""
    counts = batch.counts
    return {
        "id": batch.id, "status": str(batch.status), "reason": batch.reason, "canceled_by": batch.canceled_by,
        "requested_by": batch.requested_by, "requested_at": rfc3339(batch.requested_at), "note": batch.note,
        "plan": batch.plan, "mode": batch.mode, "order": batch.order, "rate": batch.rate, "canary": batch.canary,
        "stop_failures": batch.stop_failures, "stop_share": batch.stop_share,
        "finished_at": rfc3339(batch.finished_at), "jobs": counts.jobs, "refused": counts.refused,
        "waiting": counts.waiting, "queued": counts.queued, "running": counts.running, "succeeded": counts.succeeded,
        "failed": counts.failed, "canceled": counts.canceled, "in_doubt": counts.in_doubt,
    }


def batch_job_json(job: BatchJob) -> Mapped:
    """Return what became of one job of a batch; `status` is null where it was refused, or is not queued yet."""
    return {
        "id": job.job_id,
        "version": job.version,
        "status": None if job.status is None else str(job.status),
        "error": error_json(job.error),
        "refused": None if job.refusal is None else {"code": job.refusal.code, "message": job.refusal.message},
    }


def canceled_json(done: Cancellation) -> Mapped:
    """Return what a cancellation did."""
    return {
        "canceled": list(done.canceled),
        "stopping": list(done.stopping),
        "refused": [refusal_json(refusal) for refusal in done.refused],
    }


def problem_json(problem: Problem) -> Mapped:
    """Return what is wrong in a recipe's file, and where."""
    return {"file": problem.file, "line": problem.line, "column": problem.column, "message": problem.message}


def recipe_json(recipe: RecipeState) -> Mapped:
    """Return a recipe as the store knows it."""
    return {
        "name": recipe.name,
        "started": recipe.started,
        "revision": recipe.revision,
        "present": recipe.present,
        "problems": [problem_json(problem) for problem in recipe.problems],
        "warning": recipe.warning,
        "polled_at": rfc3339(recipe.polled_at),
        "next_poll_at": rfc3339(recipe.next_poll_at),
        "first_started_at": rfc3339(recipe.first_started_at),
        "since": recipe.since,
    }


def revision_json(revision: Revision) -> Mapped:
    """Return a revision without its text; `size` is in bytes."""
    return {
        "recipe": revision.recipe,
        "revision": revision.number,
        "stored_at": rfc3339(revision.stored_at),
        "size": len(revision.text.encode()),
    }


def accepted_json(accepted: Accepted) -> Mapped:
    """Return what became of an event."""
    return {"key": accepted.key, "job": accepted.job_id, "new": accepted.new}


def purged_json(purged: Purged) -> Mapped:
    """Return what one rule of retention has removed, or would."""
    return {"recipe": purged.recipe, "rule": purged.rule, "jobs": purged.jobs, "bytes": purged.bytes}


def engine_json(engine: EngineState) -> Mapped:
    """Return whether an engine holds the workspace, and which."""
    return {
        "running": engine.running,
        "pid": engine.pid,
        "host": engine.host,
        "since": rfc3339(engine.since),
        "listen": engine.listen,
    }


def status_json(state: State) -> Mapped:
    """Return what `jobdeck status` tells; every status has its count."""
    return {
        "engine": engine_json(state.engine),
        "jobs": {str(status): state.jobs.get(status, 0) for status in Status},
        "recipes": [recipe_json(recipe) for recipe in state.recipes],
    }


def dump(value: JsonValue, indent: int | None = None) -> str:
    """Return `value` as JSON in ASCII, so that no text in it is more than text to a terminal, in any locale."""
    separators = (",", ": ") if indent else (",", ":")
    return json.dumps(value, indent=indent, separators=separators, allow_nan=False).replace("\x7f", "\\u007f")


def write_json(records: Iterable[Mapped], fields: Sequence[str], out: TextIO) -> None:
    """Write one JSON array, a record a line, as the records come; it is closed even where they break off."""
    out.write("[")
    separator = "\n"
    try:
        for record in records:
            out.write(separator + dump(record))
            separator = ",\n"
    finally:
        out.write("]\n" if separator == "\n" else "\n]\n")


def write_lines(records: Iterable[Mapped], fields: Sequence[str], out: TextIO) -> None:
    """Write JSON Lines as the records come."""
    for record in records:
        out.write(dump(record) + "\n")


def write_csv(records: Iterable[Mapped], fields: Sequence[str], out: TextIO) -> None:
    """Write CSV as RFC 4180 has it, with a header line, as the records come; what is nested is compact JSON.

    Text stays as it is, but for what a terminal would obey or a spreadsheet run: control and bidi characters other than
    tabs and line ends are written as escapes, `\\x1b`, `\\u202e`, and `'` stands before what looks like a formula.
    """
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(fields)
    for record in records:
        writer.writerow(_csv_cell(record[field]) for field in fields)


WRITERS: dict[str, Callable[[Iterable[Mapped], Sequence[str], TextIO], None]] = {
    "json": write_json,
    "jsonl": write_lines,
    "csv": write_csv,
}
FORMATS = ("table", *WRITERS)


def write_one(record: Mapped, format: str, out: TextIO) -> None:
    """Write one object: indented JSON, one line of JSON Lines, or CSV of one row."""
    if format == "json":
        out.write(dump(record, indent=2) + "\n")
    else:
        WRITERS[format]([record], tuple(record), out)


def _csv_cell(value: JsonValue) -> str | int | float:
    match value:
        case None:
            return ""
        case bool() | Mapping() | list():
            return dump(value)
        case int() | float():
            return value
    # A spreadsheet takes a cell that begins so for a formula.
    formula = value.startswith(("=", "+", "-", "@", "\t", "\r"))
    return ("'" if formula else "") + _OBEYED.sub(_escape, value)


_OBEYED = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]|\r(?!\n)"
)


def _escape(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
