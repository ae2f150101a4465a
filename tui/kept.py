"""What is said of how long a job's data is kept: until when, why longer, or when and by which rule it went."""

from __future__ import annotations

import datetime as dt

from core.text import safe
from data.job_records import Job
from tui.units import local, until

_WITH_REASON = 10
_WITH_DAY = 18
_WITH_RULE = 40


def kept(job: Job) -> str:
    """Return until when a job's data is kept, or why longer; nothing while it is open and once it is gone."""
    if job.held:
        return f"held by {safe(job.held.by)} since {local(job.held.at)}: {safe(job.held.reason)}"
    if job.expires_at is None:
        return ""
    return f"expires in {until(job.expires_at)}" if _ahead(job.expires_at) else "expires with the next purge"


def removed(job: Job) -> str:
    """Return when, and by which rule, a job's data went; it must be gone."""
    return f"removed {local(job.trigger_expired_at)} by {safe(job.trigger_expired_by or 'retention')}"


def cell(job: Job, width: int) -> str:
    """Return the same for a cell of the report of so many cells, under the title `expires`."""
    if job.trigger_expired_at is not None:
        if width >= _WITH_RULE:
            return removed(job)
        return f"removed {job.trigger_expired_at.astimezone():%Y-%m-%d}" if width >= _WITH_DAY else "removed"
    if job.held:
        return f"held: {job.held.reason}" if width >= _WITH_REASON else "held"
    if job.expires_at is None:
        return ""
    return f"in {until(job.expires_at)}" if _ahead(job.expires_at) else "due"


def _ahead(moment: dt.datetime) -> bool:
    return moment > dt.datetime.now(dt.UTC)
