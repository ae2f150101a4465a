"""`jobdeck rerun`: from the words typed to the core; the selection, the question, the wait."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from core.errors import Refused, UsageError
from core.selection import How, Selection
from core.text import safe
from data.job_records import JobFilter
from data.records import Version
from data.states import ENDED, BatchStatus, Status
from tui import cli_tables as tables
from tui import output
from tui.cli_face import WorkspaceCommand, on_terminal, opened, who
from tui.cli_options import JobRef, filter_options, output_option
from tui.how_options import how_options
from tui.units import count

if TYPE_CHECKING:
    from core.automation import Automation
    from core.reruns import Plan, Rerun

_POLL = 0.1


@click.command(cls=WorkspaceCommand)
@click.argument("targets", metavar="[JOB]...", nargs=-1, type=JobRef())
@filter_options
@click.option("--all", "every", is_flag=True, help="All jobs that the filters show, instead of jobs by id.")
@how_options
@click.option("--dry-run", is_flag=True, help="Only the plan: who would run, who not and why.")
@click.option("--plan", "digest", metavar="DIGEST", help="Go only if this plan still holds.")
@click.option("--note", metavar="TEXT", help="Why; kept with the new versions.")
@click.option("--wait", is_flag=True, help="Return when they have ended; exit status 1 if one did not succeed.")
@click.option("--yes", is_flag=True, help="Without asking.")
@output_option
@click.pass_context
def rerun(
    context: click.Context, targets: tuple[tuple[int, int | None], ...], filter: JobFilter, every: bool, dry_run: bool,
    digest: str | None, note: str | None, wait: bool, yes: bool, format: str, how: How,
) -> None:
    """Rerun jobs in place, each as its next version.

    The cached trigger event goes through the whole recipe, at its latest revision. More than one job make a batch,
    which the engine carries out in the order the events came: `jobdeck batches`.
    """
    chosen = selection(targets, filter, every)
    asks = not (yes or dry_run)
    if asks and not on_terminal(sys.stdin, sys.stderr):
        raise UsageError("without a terminal to ask on, say --yes; --dry-run shows who would run")
    automation = opened(context)
    if dry_run:
        write_plan(plan(automation, chosen, how, digest), format)
        return
    if asks:
        done = asked(automation, chosen, how, note=note, digest=digest)
    else:
        done = automation.rerun(chosen, how, by=who(), note=note, plan=digest)
    write_done(done, format)
    succeeded = wait_for(automation, done) if wait else True
    context.exit(0 if succeeded and not done.refused else 1)


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


def plan(automation: Automation, chosen: Selection, how: How, digest: str | None) -> Plan:
    """Return what a rerun would do; raises Refused (`plan_changed`) where it is not the plan with this digest."""
    return automation.plan(chosen, how, digest=digest)


def asked(automation: Automation, chosen: Selection, how: How, *, note: str | None, digest: str | None) -> Rerun:
    """Show the plan, ask, and rerun; asks again where the plan has changed meanwhile. Raises click.Abort on a no."""
    while True:
        found = plan(automation, chosen, how, digest)
        tables.write_plan(found, sys.stderr)
        if not found.requested:
            from core.reruns import Rerun

            return Rerun((), found.refused, None, found.digest)
        note = _agreed(automation, len(found.requested), note)
        try:
            return automation.rerun(chosen, how, by=who(), note=note, plan=found.digest)
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


def wait_for(automation: Automation, done: Rerun) -> bool:
    """Return whether all that was queued succeeded, when each has ended or waits for an operator."""
    if done.requested and not automation.engine().running:
        click.echo("waiting; no engine is running: start one with `jobdeck engine`", err=True)
    if done.batch is None:
        return all(_succeeded(_settled(automation, job_id)) for job_id in done.requested)
    return _batch_ended(automation, done.batch)


def _batch_ended(automation: Automation, batch_id: int) -> bool:
    """Return whether all of a batch succeeded, when it has ended or is paused."""
    for _ in _looks(automation):
        batch = automation.batches.get(batch_id)
        if batch.finished_at is not None or batch.status is BatchStatus.PAUSED:
            break
    for job in automation.batches.jobs(batch_id):
        if job.status in (Status.FAILED, Status.CANCELED, Status.IN_DOUBT):
            why = f": {safe(job.error.message)}" if job.error else ""
            click.echo(f"{job.job_id}.{job.version}: {job.status}{why}", err=True)
    if batch.status is BatchStatus.PAUSED:
        why = safe(batch.reason or "")
        click.echo(f"batch {batch_id} is paused: {why}; `jobdeck batch resume {batch_id}` goes on", err=True)
    return batch.counts.succeeded == batch.counts.jobs - batch.counts.refused


def _settled(automation: Automation, job_id: int) -> Version:
    number = automation.job(job_id).versions
    for _ in _looks(automation):
        version = next(version for version in automation.history(job_id) if version.number == number)
        # A step in doubt waits for a person, who may be the one that waits here.
        if version.status in ENDED or version.status is Status.IN_DOUBT:
            break
    return version


def _looks(automation: Automation) -> Iterator[None]:
    """Yield at once, and then whenever something has moved since."""
    while True:
        seen = automation.changes()
        yield
        while automation.changes() == seen:
            time.sleep(_POLL)


def _succeeded(version: Version) -> bool:
    if version.status is not Status.SUCCEEDED:
        click.echo(f"{version.job_id}.{version.number}: {_why(version)}", err=True)
    return version.status is Status.SUCCEEDED


def _why(version: Version) -> str:
    if version.status is Status.IN_DOUBT:
        return f"in doubt; settle it with `jobdeck resolve {version.job_id} --step …`"
    return f"{version.status}: {safe(version.error.message)}" if version.error else str(version.status)


COMMANDS = (rerun,)
"""The commands, to be added to `jobdeck`."""
