"""What the commands print of bulk reruns for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TextIO

from core.selection import limits_words
from core.text import safe
from data.records import Batch, BatchJob
from data.states import BatchStatus, Status
from tui.cli_tables import Column, write_facts, write_table
from tui.units import count, local

_COUNTED = ("waiting", "queued", "running", "succeeded", "failed", "canceled", "in_doubt", "refused")


def counts_words(one: Batch) -> str:
    """Return how many jobs of a batch stand how; none is left out that there is."""
    told = [f"{number:,} {name.replace('_', ' ')}" for name in _COUNTED if (number := getattr(one.counts, name))]
    return f"{count(one.counts.jobs, 'job')}: {', '.join(told) or 'none'}"


def batch_words(one: Batch) -> str:
    """Return how a batch stands, in a sentence."""
    why = f" ({one.reason})" if one.reason else f" by {one.canceled_by}" if one.canceled_by else ""
    return safe(f"batch {one.id} is {one.status}{why}; {counts_words(one)}")


BATCHES: tuple[Column[Batch], ...] = (
    Column("BATCH", lambda one: str(one.id), right=True),
    Column("STATUS", lambda one: one.status, state=True),
    Column("JOBS", lambda one: f"{one.counts.jobs:,}", right=True),
    Column("LEFT", lambda one: f"{one.counts.waiting + one.counts.queued + one.counts.running:,}", right=True),
    Column("OK", lambda one: f"{one.counts.succeeded:,}", right=True),
    Column("FAILED", lambda one: f"{one.counts.failed:,}", right=True),
    Column("REFUSED", lambda one: f"{one.counts.refused:,}", right=True),
    Column("ASKED", lambda one: local(one.requested_at)),
    Column("BY", lambda one: one.requested_by, gives_way=True),
    Column("NOTE", lambda one: one.reason or one.note or "", gives_way=True),
)
RESULTS: tuple[Column[BatchJob], ...] = (
    Column("JOB", lambda job: str(job.job_id), right=True),
    Column("VER", lambda job: str(job.version or ""), right=True),
    Column("RESULT", lambda job: result_word(job), state=True),
    Column("WHY", lambda job: result_why(job), gives_way=True),
)


def result_word(job: BatchJob) -> str:
    """Return what became of a job of a batch, in a word."""
    if job.refusal is not None:
        return "refused"
    return str(job.status or "waiting")


def result_why(job: BatchJob) -> str:
    """Return why a job of a batch failed or was refused, empty where it was not."""
    if job.refusal is not None:
        return f"{job.refusal.code}: {job.refusal.message}"
    if job.status is Status.IN_DOUBT:
        return f"`jobdeck show {job.job_id}` tells which step"
    return job.error.message if job.error else ""


def write_batch(one: Batch, jobs: Iterable[BatchJob], out: TextIO) -> None:
    """Write how a batch stands, and what became of each of its jobs."""
    ended = one.status in (BatchStatus.DONE, BatchStatus.CANCELED)
    write_facts(
        [
            ("batch", f"{one.id}: {one.status}" + (f", {one.reason}" if one.reason else "")),
            ("jobs", counts_words(one)),
            ("asked by", f"{one.requested_by} at {local(one.requested_at)}"),
            ("canceled by", one.canceled_by or ""),
            ("note", one.note or ""),
            ("mode", one.mode if one.mode != "start" else ""),
            ("limits", "" if ended else limits_words(one)),
            ("ended", local(one.finished_at)),
            ("plan", one.plan),
        ],
        out,
    )
    out.write("\n")
    write_table(jobs, RESULTS, out)
