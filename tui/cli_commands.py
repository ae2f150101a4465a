"""The commands of `jobdeck`: those that are few lines, and the table of all."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from core.errors import JobdeckError, UsageError
from core.text import safe
from data.job_records import JobFilter, JsonValue, Sort
from data.records import Accepted
from tui import cli_batches, cli_cancel, cli_diff, cli_recipes, cli_rerun, cli_setup, output
from tui import cli_tables as tables
from tui.cli_audit import audit
from tui.cli_errors import errors
from tui.cli_face import Commands, on_terminal, opened, who, workspace_of
from tui.cli_listing import Counted, Listing
from tui.cli_options import Duration, JobRef, SortColumn, filter_options, output_option, recipe_argument
from tui.kept import kept

if TYPE_CHECKING:
    from core.automation import Automation

_ROWS = 50
_BATCH = 500

JOBS = Listing(output.job_json, output.JOB_FIELDS, tables.JOBS)
VERSIONS = Listing(output.version_json, output.VERSION_FIELDS, tables.VERSIONS)
PURGED = Listing(output.purged_json, output.PURGED_FIELDS, tables.PURGED)
ACCEPTED = Listing(output.accepted_json, output.ACCEPTED_FIELDS, tables.ACCEPTED)

_own = Commands()


@_own.command(cls=click.Command)
@click.argument("directory", metavar="[DIR]", default=".", type=click.Path(path_type=Path, file_okay=False))
def init(directory: Path) -> None:
    """Make a new workspace with one commented recipe."""
    from core.workspace import create

    workspace = create(directory)
    enter = "" if workspace == Path.cwd() else f"  cd {safe(str(directory))}\n"
    click.echo(
        f"{safe(str(workspace))} is a workspace now. Next:\n{enter}"
        "  echo '{\"name\": \"Ada\"}' | jobdeck send hello    # an event for recipes/hello.yaml\n"
        "  jobdeck engine --until-idle                    # runs what is queued\n"
        "  jobdeck                                        # the jobs report"
    )


@_own.command(cls=click.Command)
@click.argument("directory", metavar="[DIR]", required=False, type=click.Path(path_type=Path, file_okay=False))
@click.option("--no-ui", is_flag=True, help="Without a terminal: tell what happens, then print a summary.")
@click.option("--for", "seconds", type=Duration(), metavar="TIME", help="How long --no-ui runs, as 10s.")
def demo(directory: Path | None, no_ui: bool, seconds: float | None) -> None:
    """Sample recipes beside stand-ins for their apps, and the UI.

    Without DIR in a temporary folder, which goes at the end.
    """
    from core.sandbox.demo import show, staged

    if seconds is not None and not no_ui:
        raise UsageError("--for is for --no-ui; the UI runs until it is closed")
    if not no_ui and not on_terminal(sys.stdin, sys.stdout):
        raise UsageError("the terminal UI needs a terminal; `jobdeck demo --no-ui --for 10s` runs without one")
    with staged(directory) as workspace:
        if no_ui:
            for line in show(workspace, seconds):
                click.echo(safe(line))
            return
        from tui.start import run

        run(workspace)


@_own.command()
@click.option("--until-idle", is_flag=True, help="No listening, no polling; ends when nothing is queued or running.")
@click.option("--poll-once", is_flag=True, help="Poll every started trigger exactly once first.")
@click.pass_context
def engine(context: click.Context, until_idle: bool, poll_once: bool) -> None:
    """Run triggers, webhooks and workers in the foreground.

    SIGTERM finishes what runs, then stops.
    """
    from core.runner import serve

    context.exit(serve(workspace_of(context), until_idle=until_idle, poll_once=poll_once))


@_own.command()
@recipe_argument
@click.argument("files", metavar="[FILE]...", nargs=-1, type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--lines", is_flag=True, help="JSON Lines: one event a line.")
@click.option("--key", metavar="EXPR", help="The event's key, an expression over `trigger`; a known one makes no job.")
@output_option
@click.pass_context
def send(
    context: click.Context, name: str, files: tuple[str, ...], lines: bool, key: str | None, format: str
) -> None:
    """Hand JSON events to a recipe.

    One document a FILE, - for standard input.
    """
    if not files and on_terminal(sys.stdin):
        raise UsageError(f"say which FILE holds the event, or hand it in: echo '{{}}' | jobdeck send {name}")
    automation = opened(context)
    automation.recipe(name)
    ACCEPTED.write(_sent(automation, name, files or ("-",), lines, key), format)


def _sent(
    automation: Automation, recipe: str, files: tuple[str, ...], lines: bool, key: str | None
) -> Iterator[Accepted]:
    """Yield what each event became; where one is wrong, those before it are sent and the error says how many."""
    from tui.cli_events import NotSent, batches, read_events

    sent = 0
    taken: Counted[JsonValue] = Counted(())
    try:
        for batch in batches(read_events(files, lines), _BATCH):
            taken = Counted(batch)
            for accepted in automation.send(recipe, taken, key=key, by=who()):
                sent += 1
                yield accepted
            taken = Counted(())
    except JobdeckError as error:
        # Of a batch that breaks off, those before the event that was taken last are stored.
        before = sent + max(taken.number - 1, 0)
        if not before:
            raise
        raise NotSent(error, before) from error


@_own.command()
@filter_options
@click.option("--sort", type=SortColumn(), default="-received_at", show_default=True, metavar="COLUMN",
              help="A field's name, -NAME for descending; ties by id.")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="At most so many; a table on a terminal: 50.")
@output_option
@click.pass_context
def jobs(context: click.Context, filter: JobFilter, sort: Sort, limit: int | None, format: str) -> None:
    """The jobs report."""
    automation = opened(context)
    if format != "table":
        JOBS.write(automation.jobs(filter, sort, limit), format)
        return
    if limit is None and on_terminal(sys.stdout):
        limit = _ROWS
    shown = Counted(automation.jobs(filter, sort, limit))
    JOBS.write(shown, format)
    if shown.number == limit and (total := automation.report(filter, sort).count()) > limit:
        click.echo(f"{limit:,} of {total:,}; --limit N for more", err=True)


@_own.command()
@click.argument("job", type=JobRef())
@click.option("--version", "number", type=click.IntRange(min=1), metavar="N", help="This version; else the latest.")
@output_option
@click.pass_context
def show(context: click.Context, job: tuple[int, int | None], number: int | None, format: str) -> None:
    """One job: its cached trigger data and its steps.

    JOB is its id, or 812.3 for a version. The data is shown as it is recorded, secrets in it too: scripts need them.
    """
    job_id, named = job
    if number is not None and named is not None and number != named:
        raise UsageError(f"{job_id}.{named} and --version {number} name two versions: say one")
    detail = opened(context).detail(job_id, number or named)
    if format == "table":
        tables.write_show(detail, sys.stdout)
    else:
        output.write_one(output.show_json(detail), format, sys.stdout)


@_own.command()
@click.argument("job", type=JobRef(versions=False))
@output_option
@click.pass_context
def history(context: click.Context, job: tuple[int, None], format: str) -> None:
    """The versions of a job, newest first."""
    VERSIONS.write(opened(context).history(job[0]), format)


@_own.command()
@click.argument("job", type=JobRef(versions=False))
@click.option("--step", "path", required=True, metavar="PATH", help="The step in doubt, as `show` names it: 3.then.1.")
@click.option("--happened", is_flag=True, help="It did happen: go on after it.")
@click.option("--output", "result", metavar="JSON", help="With --happened: the step's output, else null.")
@click.option("--repeat", is_flag=True, help="Do it again.")
@click.pass_context
def resolve(
    context: click.Context, job: tuple[int, None], path: str, happened: bool, result: str | None, repeat: bool
) -> None:
    """Settle a step in doubt: it did happen, or do it again."""
    if happened == repeat:
        raise UsageError("say one of --happened and --repeat")
    if result is not None and not happened:
        raise UsageError("--output is of a step that happened: say it with --happened")
    value = None if result is None else _value(result)
    opened(context).resolve(job[0], path, happened=happened, output=value, by=who())
    settled = "it happened" if happened else "it is done again"
    click.echo(f"{job[0]}: {safe(path)}: {settled}; the job goes on as soon as an engine runs")


def _value(text: str) -> JsonValue:
    from tui.cli_events import NotJson, parse

    try:
        return parse(os.fsencode(text), "--output")
    except NotJson as error:
        raise UsageError(str(error)) from error


@_own.command()
@click.argument("job", type=JobRef(versions=False))
@click.option("--reason", required=True, metavar="TEXT", help="Why; shown with the job, and kept in the audit.")
@click.pass_context
def hold(context: click.Context, job: tuple[int, None], reason: str) -> None:
    """Keep a job's data past its retention."""
    opened(context).hold(job[0], reason=reason, by=who())
    click.echo(f"{job[0]}: held; retention removes nothing of it before `jobdeck release {job[0]}`")


@_own.command()
@click.argument("job", type=JobRef(versions=False))
@click.pass_context
def release(context: click.Context, job: tuple[int, None]) -> None:
    """Let retention have the data of a held job again."""
    released = opened(context).release(job[0], by=who())
    click.echo(f"{job[0]}: " + "; its data ".join(part for part in ("released", kept(released)) if part))


@_own.command()
@click.option("--dry-run", is_flag=True, help="Only what it would remove.")
@output_option
@click.pass_context
def purge(context: click.Context, dry_run: bool, format: str) -> None:
    """Apply retention now, as the engine does every day.

    Removes events, step data and report columns of jobs whose time is over, counted from their end.
    """
    PURGED.write(opened(context).purge(by=who(), dry_run=dry_run), format)


@_own.command()
@output_option
@click.pass_context
def status(context: click.Context, format: str) -> None:
    """The engine, the jobs by status, the recipes and their last poll."""
    state = opened(context).status()
    if format == "table":
        tables.write_status(state, sys.stdout)
    else:
        output.write_one(output.status_json(state), format, sys.stdout)


COMMANDS = (
    *_own.commands.values(), *cli_recipes.COMMANDS, *cli_rerun.COMMANDS, *cli_diff.COMMANDS, *cli_batches.COMMANDS,
    cli_cancel.cancel, errors, audit, *cli_setup.COMMANDS,
)
