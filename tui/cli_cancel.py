"""What `jobdeck cancel` does between the words typed and the core: the selection, the question, what is told."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from core.errors import UsageError
from core.selection import Selection
from data.job_records import JobFilter
from tui import cli_tables as tables
from tui import output
from tui.canceling import cancelable, told
from tui.cli_face import WorkspaceCommand, on_terminal, opened, who
from tui.cli_options import JobRef, filter_options, output_option
from tui.cli_rerun import selection
from tui.units import count

if TYPE_CHECKING:
    from core.automation import Automation
    from core.cancels import Cancellation


@click.command(cls=WorkspaceCommand)
@click.argument("targets", metavar="[JOB]...", nargs=-1, type=JobRef(versions=False))
@filter_options
@click.option("--all", "every", is_flag=True, help="All jobs that the filters show, instead of jobs by id.")
@click.option("--note", metavar="TEXT", help="Why; kept in the audit.")
@click.option("--yes", is_flag=True, help="Without asking.")
@output_option
@click.pass_context
def cancel(
    context: click.Context, targets: tuple[tuple[int, None], ...], filter: JobFilter, every: bool, note: str | None,
    yes: bool, format: str,
) -> None:
    """Cancel jobs that are queued, running or in doubt.

    Waits and reading calls end at once; a writing step is let finish, to its timeout.
    """
    chosen = selection(targets, filter, every)
    asks = every and not yes
    if asks and not on_terminal(sys.stdin, sys.stderr):
        raise UsageError("without a terminal to ask on, say --yes; `jobdeck jobs` with the same filters lists them")
    automation = opened(context)
    if asks and not _agreed(automation, chosen):
        raise click.ClickException("nothing was canceled")
    done = automation.cancel(chosen, by=who(), note=note)
    _write(automation, done, format)
    context.exit(1 if done.refused else 0)


def _agreed(automation: Automation, chosen: Selection) -> bool:
    standing = automation.statuses(chosen)
    jobs = cancelable(standing)
    # What there is nothing of needs no question.
    return not jobs or click.confirm(f"Cancel {count(jobs, 'job')} ({told(standing)})?", default=False, err=True)


def _write(automation: Automation, done: Cancellation, format: str) -> None:
    """Write what was canceled to standard output, and what was not, and what goes on, to standard error."""
    if format == "table":
        tables.write_canceled(done, sys.stdout)
    else:
        output.write_one(output.canceled_json(done), format, sys.stdout)
    sys.stdout.flush()
    if done.stopping and not automation.engine().running:
        click.echo("no engine is running: what is stopping ends when one starts", err=True)
    tables.write_going_on(done, sys.stderr)
    if done.refused:
        click.echo(f"{count(len(done.refused), 'job')} not canceled:", err=True)
        tables.write_refused(done.refused, sys.stderr)
