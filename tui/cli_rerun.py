"""What `jobdeck rerun` does between the words typed and the core: the selection, the question, the wait."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from core.errors import Refused, UsageError
from core.reruns import Plan, Rerun, Selection, plan_changed
from data.records import JobFilter, Version
from data.states import ENDED, Status
from tui import cli_tables as tables
from tui import output
from tui.text import safe
from tui.units import count

if TYPE_CHECKING:
    from core.automation import Automation

_POLL = 0.1


def selection(targets: tuple[tuple[int, int | None], ...], filter: JobFilter, every: bool) -> Selection:
    """Return the jobs that the command line names; raises UsageError where it names none, or names them twice over."""
    filtered = filter != JobFilter()
    if every:
        if targets:
            raise UsageError("say job ids, or filters with --all, not both")
        return Selection(filter=filter)
    if not targets:
        raise UsageError("with filters, say --all" if filtered else "say which jobs: their ids, or filters with --all")
    if filtered:
        raise UsageError("filters choose jobs only with --all; leave out the ids, or the filters")
    ids = tuple(dict.fromkeys(job_id for job_id, _ in targets))
    versions = {version for _, version in targets}
    if len(ids) > 1 and versions != {None}:
        raise UsageError("a version can be named only of a single job")
    if len(versions - {None}) > 1:
        raise UsageError(f"job {ids[0]} is named with two versions: say one")
    return Selection(ids=ids, version=next(iter(versions - {None}), None))


def plan(automation: Automation, chosen: Selection, digest: str | None) -> Plan:
    """Return what a rerun would do; raises Refused (`plan_changed`) where it is not the plan with this digest."""
    found = automation.plan(chosen)
    if digest is not None and digest != found.digest:
        raise plan_changed(digest, found)
    return found


def asked(
    automation: Automation, chosen: Selection, *, by: str, note: str | None, digest: str | None
) -> Rerun:
    """Show the plan, ask, and rerun; asks again where the plan has changed meanwhile. Raises click.Abort on a no."""
    while True:
        found = plan(automation, chosen, digest)
        tables.write_plan(found, sys.stderr)
        if not found.requested:
            return Rerun((), found.refused, None, found.digest)
        note = _agreed(automation, len(found.requested), note)
        try:
            return automation.rerun(found.selection, by=by, note=note, plan=found.digest)
        except Refused as refused:
            if refused.code != "plan_changed" or digest is not None:
                raise
            click.echo("meanwhile this has changed; now:", err=True)


def _agreed(automation: Automation, jobs: int, note: str | None) -> str | None:
    """Return the note, asked for where the settings want one, once the rerun is agreed to."""
    settings = automation.settings.rerun
    if note is None and jobs > settings.note_above:
        note = click.prompt("Why (kept with the new versions)", err=True)
    if jobs > settings.type_count_above:
        if click.prompt("Type the number of jobs to rerun them", err=True) != str(jobs):
            raise Declined
    elif not click.confirm(f"Rerun {count(jobs, 'job')}?", default=False, err=True):
        raise Declined
    return note


class Declined(click.ClickException):
    """The question was answered with no."""

    def __init__(self) -> None:
        super().__init__("nothing was rerun")


def write_plan(found: Plan, format: str) -> None:
    """Write a plan to standard output."""
    if format == "table":
        tables.write_plan(found, sys.stdout)
    else:
        output.write_one(output.plan_json(found), format, sys.stdout)


def write_done(done: Rerun, format: str) -> None:
    """Write what was queued to standard output, who was refused and why to standard error."""
    if format == "table":
        tables.write_rerun(done, sys.stdout)
    else:
        output.write_one(output.rerun_json(done), format, sys.stdout)
    sys.stdout.flush()
    if done.refused:
        sys.stderr.write(f"{count(len(done.refused), 'job')} not rerun:\n")
        tables.write_refused(done.refused, sys.stderr)


def wait_for(automation: Automation, ids: tuple[int, ...]) -> bool:
    """Return whether the latest versions of these jobs succeeded, when each has ended or waits for an operator."""
    numbers = {job_id: automation.job(job_id).versions for job_id in ids}
    if numbers and not automation.engine().running:
        click.echo("waiting; no engine is running: start one with `jobdeck engine`", err=True)
    succeeded = True
    for job_id, number in numbers.items():
        version = _settled(automation, job_id, number)
        if version.status is not Status.SUCCEEDED:
            succeeded = False
            click.echo(f"{job_id}.{number}: {_why(version)}", err=True)
    return succeeded


def _settled(automation: Automation, job_id: int, number: int) -> Version:
    seen: int | None = None
    while True:
        changes = automation.changes()
        if changes != seen:
            seen = changes
            version = next(version for version in automation.history(job_id) if version.number == number)
            # A step in doubt waits for a person, who may be the one that waits here.
            if version.status in ENDED or version.status is Status.IN_DOUBT:
                return version
        time.sleep(_POLL)


def _why(version: Version) -> str:
    if version.status is Status.IN_DOUBT:
        return f"in doubt; settle it with `jobdeck resolve {version.job_id} --step …`"
    return f"{version.status}: {safe(version.error.message)}" if version.error else str(version.status)
