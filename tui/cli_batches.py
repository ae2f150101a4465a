"""The commands about bulk reruns: listed, shown, paused, resumed, canceled, slowed, and taken up again."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from core.errors import UsageError
from core.selection import WHOLE, Selection
from tui import cli_batch_tables as tables
from tui import cli_rerun, output
from tui.cli_face import Commands, WorkspaceCommand, on_terminal, opened, who
from tui.cli_listing import Listing
from tui.cli_options import Rate, output_option

if TYPE_CHECKING:
    from data.records import Batch

BATCHES = Listing(output.batch_json, output.BATCH_FIELDS, tables.BATCHES)

batch_argument = click.argument("number", metavar="N", type=click.IntRange(min=1))


@click.command(cls=WorkspaceCommand)
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="At most so many, the newest.")
@output_option
@click.pass_context
def batches(context: click.Context, limit: int | None, format: str) -> None:
    """Bulk reruns, newest first."""
    BATCHES.write(opened(context).batches.all(limit), format)


@click.group(cls=Commands)
def batch() -> None:
    """One bulk rerun."""


@batch.command()
@batch_argument
@output_option
@click.pass_context
def show(context: click.Context, number: int, format: str) -> None:
    """How it stands, and what became of each of its jobs."""
    found = opened(context).batches
    one, jobs = found.get(number), found.jobs(number)
    if format == "table":
        tables.write_batch(one, jobs, sys.stdout)
    else:
        listed = [output.batch_job_json(job) for job in jobs]
        output.write_one({**output.batch_json(one), "results": listed}, format, sys.stdout)


@batch.command()
@batch_argument
@click.pass_context
def pause(context: click.Context, number: int) -> None:
    """Let nothing more begin; what runs ends."""
    _told(opened(context).batches.pause(number, by=who()))


@batch.command()
@batch_argument
@click.pass_context
def resume(context: click.Context, number: int) -> None:
    """Go on; to a canary, this is the yes."""
    _told(opened(context).batches.resume(number, by=who()))


@batch.command()
@batch_argument
@click.pass_context
def cancel(context: click.Context, number: int) -> None:
    """Cancel what has not begun; what runs ends."""
    _told(opened(context).batches.cancel(number, by=who()))


@batch.command()
@batch_argument
@click.argument("per_second", metavar="N/s|none", type=str)
@click.pass_context
def rate(context: click.Context, number: int, per_second: str) -> None:
    """Have at most so many jobs begin in a time: 10/s, 30/m; none for no limit."""
    wanted = None if per_second == "none" else Rate().convert(per_second, None, context)
    _told(opened(context).batches.set_rate(number, wanted, by=who()))


@batch.command("retry-failed")
@batch_argument
@click.option("--note", metavar="TEXT", help="Why; kept with the new versions.")
@click.option("--wait", is_flag=True, help="Return when they have ended; exit status 1 if one did not succeed.")
@click.option("--yes", is_flag=True, help="Without asking.")
@output_option
@click.pass_context
def retry_failed(context: click.Context, number: int, note: str | None, wait: bool, yes: bool, format: str) -> None:
    """Rerun those of its jobs that failed and have not run since."""
    if not yes and not on_terminal(sys.stdin, sys.stderr):
        raise UsageError("without a terminal to ask on, say --yes")
    automation = opened(context)
    chosen = Selection(ids=automation.batches.failed(number))
    note = note or f"failed in batch {number}"
    if yes:
        done = automation.rerun(chosen, by=who(), note=note)
    else:
        done = cli_rerun.asked(automation, chosen, WHOLE, note=note, digest=None)
    cli_rerun.write_done(done, format)
    succeeded = cli_rerun.wait_for(automation, done) if wait else True
    context.exit(0 if succeeded and not done.refused else 1)


def _told(one: Batch) -> None:
    click.echo(tables.batch_words(one))


COMMANDS = (batches, batch)
"""The commands, to be added to `jobdeck`."""
