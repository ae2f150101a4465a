"""What is said of a job whose object has gone on: another job of it, or a change that its trigger makes no job of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui.units import local

if TYPE_CHECKING:
    from data.records import JobDetail


def newer(detail: JobDetail) -> list[str]:
    """Return the line that names the next job of the same object, if there is one."""
    return [] if detail.newer is None else [f"newer job of the same object: {detail.newer}"]


def older(detail: JobDetail) -> list[str]:
    """Return the line that names the job of the same object before this one, if there is one."""
    return [] if detail.older is None else [f"older job of the same object: {detail.older}"]


def outdated(detail: JobDetail) -> list[str]:
    """Return the lines that say that the object has changed since, and what to do; none where it has not."""
    if detail.changed_at is None:
        return []
    return [
        f"the object changed {local(detail.changed_at)}; its trigger only takes new ones",
        "a rerun does not see that: create it anew, or use a new_or_updated trigger",
    ]
