"""What the job's detail asks before it settles a step, rehearses, or reveals secrets."""

from __future__ import annotations

from rich.text import Text

from core.text import safe
from data.records import JobDetail, StepRecord


def settle_panel(job_id: int, step: StepRecord) -> list[Text]:
    """Return what is known of a step in doubt, and what each choice does."""
    name = f"{step.path} {safe(step.id)} {safe(step.action or '')}".rstrip()
    why = f": {safe(step.error.message)}" if step.error else ""
    return [
        Text(f"In doubt: {name}{why}", style="bold"),
        Text("  Nobody knows whether the write happened. Look there first, then say:"),
        Text("  it happened: go on after it, its output is null; with an output:"),
        Text(f"    jobdeck resolve {job_id} --step {safe(step.path)} --happened --output JSON"),
        Text("  do it again: if it did happen, it happens twice"),
    ]


def rehearse_panel(detail: JobDetail) -> list[Text]:
    """Return what a rehearsal of the version shown would do, and what not."""
    version = detail.version
    revision = "" if version.recipe_revision is None else f" r{version.recipe_revision}"
    return [
        Text(f"Rehearse {detail.job.id}.{version.number}?", style="bold"),
        Text(f"  Its event goes through {safe(detail.job.recipe)}{revision} once more; no version is made of it."),
        Text("  What reads acts: it asks the apps anew. What writes is not sent: it is answered by"),
        Text("  what was recorded, or by an example. What comes of it is compared with this version."),
    ]


def reveal_panel(job_id: int, version: int, path: str | None) -> list[Text]:
    """Return what revealing the secrets of a step, or of the trigger event (None), comes to."""
    place = "the trigger event" if path is None else f"step {safe(path)}"
    return [
        Text(f"Show the secrets in {place} of {job_id}.{version}?", style="bold"),
        Text("  Who looked, when and where goes into the audit, which nobody can change."),
        Text("  They are masked again as soon as you leave it. What you copy until then holds them."),
    ]
