"""What the screens say of bulk reruns, as lines; needs no screen."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from core.selection import limits_words
from core.text import safe
from data.states import BatchStatus, Status
from tui.units import count, elapsed, local
from tui.words import DOT, mark, unicode_output

if TYPE_CHECKING:
    from data.records import Batch, BatchJob

BAR = 20
"""Cells of a progress bar."""
HEADING = f"{'batch':>6}  {'status':9}{'':{BAR}}  jobs, how they ended, who asked, why"
RESULTS_HEADING = f"{'job':>8} {'ver':>4}  {'result':13}why"
_STYLES = {
    BatchStatus.RUNNING: "blue", BatchStatus.PAUSED: "bold yellow", BatchStatus.CANCELED: "dim",
    BatchStatus.DONE: "green",
}  # fmt: skip
FILTERS = ("all", "failed", "refused", "in doubt", "succeeded", "not yet")
"""Which results of a batch can be shown."""


def progress_bar(batch: Batch, cells: int = BAR) -> str:
    """Return how far a batch is, as so many cells."""
    wanted = batch.counts.jobs - batch.counts.refused
    done = cells if not wanted else batch.counts.ended * cells // wanted
    full, empty = ("━", "·") if unicode_output() else ("#", ".")
    return full * done + empty * (cells - done)


def outcome_words(batch: Batch) -> str:
    """Return how the jobs of a batch stand, in words; none is left out."""
    counts = batch.counts
    parts = [f"{counts.ended:,} of {count(counts.jobs - counts.refused, 'job')}"]
    for name in ("failed", "in_doubt", "canceled", "running", "refused"):
        number = getattr(counts, name)
        parts += [f"{number:,} {name.replace('_', ' ')}"] if number else []
    return DOT.join(parts)


def pace_words(batch: Batch, now: dt.datetime | None = None) -> str:
    """Return how fast a batch that runs goes, and how long the rest may take; empty where nobody can tell."""
    left = batch.counts.waiting + batch.counts.queued + batch.counts.running
    seconds = ((now or dt.datetime.now(dt.UTC)) - batch.requested_at).total_seconds()
    if batch.status is not BatchStatus.RUNNING or not batch.counts.ended or not left or seconds <= 0:
        return ""
    pace = batch.counts.ended / seconds
    return f"{pace:.1f}/s{DOT}about {elapsed(round(left / pace * 1000))} left"


def batch_row(batch: Batch) -> Text:
    """Return a batch as a line of the list."""
    text = Text(f"{batch.id:>6}  ", style="bold")
    text.append(f"{batch.status:9}", style=_STYLES[batch.status]).append(progress_bar(batch) + "  ")
    text.append(outcome_words(batch))
    for part in (pace_words(batch), batch.reason, f"by {batch.requested_by}", batch.note):
        text.append(f"{DOT}{safe(part)}" if part else "")
    return text


def batch_facts(batch: Batch) -> list[Text]:
    """Return what stands above the results of a batch."""
    head = Text.assemble((f"batch {batch.id} ", "bold"), (str(batch.status), _STYLES[batch.status]))
    if batch.reason or batch.canceled_by:
        head.append(f": {safe(batch.reason or f'by {batch.canceled_by}')}", style="bold")
    lines = [head, Text(DOT.join(part for part in (outcome_words(batch), pace_words(batch)) if part))]
    asked = f"asked by {safe(batch.requested_by)} at {local(batch.requested_at)}"
    lines.append(Text(asked + (f"{DOT}{safe(batch.note)}" if batch.note else "")))
    mode = f"{DOT}mode {batch.mode}" if batch.mode != "start" else ""
    lines.append(Text(limits_words(batch) + mode))
    return lines


def shows(wanted: str, job: BatchJob) -> bool:
    """Return whether a result is one of those that `wanted`, one of `FILTERS`, shows."""
    tests = {
        "failed": job.status is Status.FAILED, "refused": job.refusal is not None,
        "in doubt": job.status is Status.IN_DOUBT, "succeeded": job.status is Status.SUCCEEDED,
        "not yet": job.refusal is None and job.status in (None, Status.QUEUED, Status.RUNNING),
    }
    return tests.get(wanted, True)


def result_rows(jobs: Iterable[BatchJob], most: int) -> list[tuple[int | None, Text]]:
    """Return the results of a batch as lines, each with its job's id; at most so many, and then how many more."""
    rows: list[tuple[int | None, Text]] = []
    more = 0
    for job in jobs:
        if len(rows) < most:
            rows.append((job.job_id, _result(job)))
        else:
            more += 1
    return [*rows, (None, Text(f"… and {more:,} more"))] if more else rows


def _result(job: BatchJob) -> Text:
    text = Text(f"{job.job_id:>8} {job.version or '':>4}  ")
    if job.refusal is not None:
        word, why = Text("refused", style="yellow"), f"{job.refusal.code}: {job.refusal.message}"
    else:
        word = mark(job.status) if job.status else Text("waiting", style="dim")
        why = job.error.message if job.error else ""
    word.truncate(13, pad=True)
    return text.append_text(word).append(safe(why))


def told_batches(batches: Sequence[Batch]) -> str:
    """Return a sentence on the batches that have not ended, empty where there is none."""
    left = [one for one in batches if one.finished_at is None]
    if not left:
        return ""
    first, more = left[0], f" (and {len(left) - 1} more)" if len(left) > 1 else ""
    return f"batch {first.id} is {first.status}: {outcome_words(first)}{more}; 3 shows it"
