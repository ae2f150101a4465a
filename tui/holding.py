"""Keeping a job's data past its retention, and giving it back: what is asked before, and the deed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from core.text import safe
from core.who import actor
from data.job_records import Job
from tui.dialogs import CONFIRM, Choice
from tui.kept import kept, removed

if TYPE_CHECKING:
    from tui.screens.base import DeckScreen


def not_to_hold(job: Job) -> str | None:
    """Return why a job's data can be neither held nor released, or None."""
    return f"nothing of its data is left to hold: {removed(job)}" if job.trigger_expired_at and not job.held else None


async def hold_or_release(screen: DeckScreen, job: Job) -> bool:
    """Ask, and hold a job's data, or release it where it is held; return whether that was done. Only from a worker.

    Raises Refused, NotFound.
    """
    return await (_release(screen, job) if job.held else _hold(screen, job))


async def _hold(screen: DeckScreen, job: Job) -> bool:
    reason = await screen.ask_text(hold_panel(job), "the reason; Enter holds it, Esc cancels")
    if reason is None:
        return False
    if not reason.strip():
        screen.deck.say(f"{job.id} is not held: a hold wants a reason", error=True)
        return False
    held = await screen.read(screen.deck.automation.hold, job.id, reason=reason, by=actor())
    screen.deck.say(f"{held.id}: {kept(held)}")
    return True


async def _release(screen: DeckScreen, job: Job) -> bool:
    if await screen.ask(release_panel(job), Choice(CONFIRM, "release it")) is None:
        return False
    released = await screen.read(screen.deck.automation.release, job.id, by=actor())
    screen.deck.say(f"{job.id}: " + "; its data ".join(part for part in ("released", kept(released)) if part))
    return True


def hold_panel(job: Job) -> list[Text]:
    """Return what holding a job's data means, and that it wants a reason."""
    now = f" Now it {kept(job)}." if job.expires_at else ""
    return [
        Text(f"Hold the data of {job.id} {safe(job.title)}: why?", style="bold"),
        Text(f"  Retention removes nothing of it before it is released.{now}"),
    ]


def release_panel(job: Job) -> list[Text]:
    """Return who holds a job's data and why, and what releasing it means."""
    return [
        Text(f"Release the data of {job.id} {safe(job.title)}?", style="bold"),
        Text(f"  It is {kept(job)}."),
        Text("  Retention counts from the job's end: what is due goes with the next purge."),
    ]
