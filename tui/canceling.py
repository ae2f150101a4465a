"""What is said of canceling: whether a job can be, what would happen, what has, and who did it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from core.text import safe
from data.states import OPEN, Status
from tui.units import local
from tui.words import WORDS

if TYPE_CHECKING:
    from core.cancels import Cancellation
    from data.records import Version

NOTHING = "nothing to cancel: it has ended, or was removed"


def canceled(version: Version) -> str:
    """Return who has canceled a version, and when, or asked to; nothing where nobody has."""
    if version.canceled_by is None:
        return ""
    by = f"by {safe(version.canceled_by)} at {local(version.canceled_at)}"
    if version.status is Status.CANCELED:
        return f"canceled {by}"
    rest = "its writing step is let finish" if version.status is Status.RUNNING else "a step is in doubt"
    return f"cancellation asked for {by}; {rest}"


def not_cancelable(number: int, status: Status) -> str | None:
    """Return why a job's latest version cannot be canceled, or None."""
    return None if status in OPEN else f"version {number} has ended: {WORDS[status].word}"


def cancelable(standing: Mapping[Status, int]) -> int:
    """Return how many of these jobs have not ended."""
    return sum(number for status, number in standing.items() if status in OPEN)


def told(standing: Mapping[Status, int]) -> str:
    """Return how many of these jobs are queued, running and in doubt, in words."""
    there = [status for status in Status if status in OPEN and standing.get(status)]
    return ", ".join(f"{standing[status]:,} {WORDS[status].word}" for status in there)


def cancel_told(done: Cancellation) -> tuple[str, bool]:
    """Return what a cancellation did, of the refusals the first in full, and whether it did nothing."""
    parts = [_jobs(done.canceled, "canceled")] if done.canceled else []
    if done.stopping:
        parts.append(f"{_jobs(done.stopping, 'stopping')} when the writing step has ended")
    if done.goes_on:
        parts.append(f"called and going on: {', '.join(map(str, done.goes_on[:3]))}")
    if done.refused:
        more = f" (and {len(done.refused) - 1:,} more)" if len(done.refused) > 1 else ""
        parts.append(f"not {done.refused[0].id}: {safe(done.refused[0].message)}{more}")
    return "; ".join(parts) or NOTHING, not (done.canceled or done.stopping)


def _jobs(ids: tuple[int, ...], what: str) -> str:
    return f"{ids[0]} {what}" if len(ids) == 1 else f"{len(ids):,} jobs {what}"
