"""The commands about recipes: checked, tried out, started, stopped, and what their jobs have covered."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from core.errors import UsageError
from core.text import safe
from data.job_records import JsonValue
from data.states import Status
from tui import cli_tables as tables
from tui import output
from tui.cli_face import Commands, WorkspaceCommand, opened, who
from tui.cli_listing import Listing
from tui.cli_options import JobRef, complete_recipe, output_option, recipe_argument
from tui.units import count

if TYPE_CHECKING:
    from core.automation import Automation

RECIPES = Listing(output.recipe_json, output.RECIPE_FIELDS, tables.RECIPES)
REVISIONS = Listing(output.revision_json, output.REVISION_FIELDS, tables.REVISIONS)
COVERAGE = Listing(output.way_json, output.WAY_FIELDS, tables.COVERAGE)


@click.command(cls=WorkspaceCommand)
@click.argument("names", metavar="[RECIPE]...", nargs=-1, shell_complete=complete_recipe)
@click.pass_context
def check(context: click.Context, names: tuple[str, ...]) -> None:
    """Validate recipes, all by default: file:line:col: message.

    Warnings are what runs, but was probably not meant; exit status 1 is for what is wrong.
    """
    automation = opened(context)
    problems = automation.check(names)
    for problem in problems:
        click.echo(safe(str(problem)))
    if any(not problem.warning for problem in problems):
        context.exit(1)
    valid = len(set(names)) or sum(recipe.present for recipe in automation.recipes())
    click.echo(f"{count(valid, 'recipe')} {'is' if valid == 1 else 'are'} valid")


@click.command(cls=WorkspaceCommand)
@output_option
@click.pass_context
def recipes(context: click.Context, format: str) -> None:
    """The recipes: started or stopped, their revision, what is wrong."""
    RECIPES.write(opened(context).recipes(), format)


@click.group(cls=Commands)
def recipe() -> None:
    """One recipe and its revisions."""


@recipe.command()
@recipe_argument
@click.pass_context
def start(context: click.Context, name: str) -> None:
    """Let it take events."""
    state = opened(context).start_recipe(name, by=who())
    click.echo(f"{safe(state.name)} takes events as long as an engine runs")


@recipe.command()
@recipe_argument
@click.pass_context
def stop(context: click.Context, name: str) -> None:
    """Let it take no new events; its queued jobs and its reruns run."""
    state = opened(context).stop_recipe(name, by=who())
    click.echo(f"{safe(state.name)} takes no new events; what is queued runs, and reruns do")


@recipe.command("show")
@recipe_argument
@output_option
@click.pass_context
def show_recipe(context: click.Context, name: str, format: str) -> None:
    """Its state, and the text of its last revision."""
    automation = opened(context)
    state = automation.recipe(name)
    last = next(iter(automation.revisions(name)), None)
    if format == "table":
        tables.write_recipe(state, last, sys.stdout)
    else:
        text = None if last is None else last.text
        output.write_one({**output.recipe_json(state), "text": text}, format, sys.stdout)


@recipe.command()
@recipe_argument
@output_option
@click.pass_context
def revisions(context: click.Context, name: str, format: str) -> None:
    """Its revisions, newest first: each valid state of its file."""
    REVISIONS.write(opened(context).revisions(name), format)


@recipe.command()
@recipe_argument
@output_option
@click.pass_context
def coverage(context: click.Context, name: str, format: str) -> None:
    """Which branches, monitors and stops of its latest revision jobs have come through, and which never.

    JOB is the newest that did. At most the newest 10,000 versions that ran the revision are looked at.
    """
    found = opened(context).trials.coverage(name)
    COVERAGE.write(found.ways, format)
    if format == "table":
        click.echo(safe(tables.coverage_words(found)), err=True)


@click.command(cls=click.Command)
def schema() -> None:
    """JSON Schema (2020-12) of the recipe language, for editors.

    jobdeck schema > recipe.schema.json
    """
    from core.schema import recipe_schema

    click.echo(output.dump(recipe_schema(), indent=2))


@click.command("test", cls=WorkspaceCommand)
@recipe_argument
@click.argument("file", metavar="[FILE]", required=False)
@click.option("--dry-run", is_flag=True, help="Without its writes: reads act, writes are answered; nothing is stored.")
@click.option("--from-job", "job", type=JobRef(), metavar="JOB", help="Only save this job's event, secrets masked.")
@click.option("--as", "event", metavar="NAME", help="With --from-job: the name of the saved event.")
@output_option
@click.pass_context
def try_out(
    context: click.Context, name: str, file: str | None, dry_run: bool, job: tuple[int, int | None] | None,
    event: str | None, format: str,
) -> None:
    """Run one event through a recipe as a test job, and print each step.

    FILE is a JSON document, - for standard input, or the NAME of a saved event: tests/RECIPE/NAME.json. The recipe's
    file is tested as it is now, whether it is started or not. The test is a real job, run before what is queued, by the
    engine or, where none runs, by this command; what it writes is written.

    With --dry-run a write is answered by what the step last gave in a job, else by its connector's example, and marked
    (not sent).

    \b
    jobdeck test sync --from-job 812 --as ada   saves the event of job 812
    jobdeck test sync ada --dry-run             runs it
    """
    if (job is None) != (event is None):
        raise UsageError("--from-job JOB and --as NAME go together: the job whose event is saved, and its name")
    automation = opened(context)
    if job is not None and event is not None:
        if file is not None or dry_run:
            raise UsageError("--from-job only saves an event; leave out FILE and --dry-run")
        _save(automation, name, job, event)
        return
    data = _event(automation, name, file)
    status = _dry_run(automation, name, data, format) if dry_run else _run(automation, name, data, format)
    context.exit(0 if status is Status.SUCCEEDED else 1)


def _save(automation: Automation, name: str, job: tuple[int, int | None], event: str) -> None:
    saved = automation.trials.save(name, *job, event)
    masked = f"; masked: {', '.join(saved.masked)}" if saved.masked else ""
    click.echo(safe(f"{saved.path}: the event of job {job[0]}{masked}"))
    click.echo(safe(f"next: jobdeck test {name} {event} --dry-run"))


def _event(automation: Automation, name: str, file: str | None) -> JsonValue:
    """Return the event in a file, on standard input, or saved under this name."""
    from tui.cli_events import read_events

    if file is None:
        known = automation.trials.saved(name)
        told = f", or one of: {', '.join(known)}" if known else "; --from-job JOB --as NAME saves one"
        raise UsageError(f"say which FILE holds the event, or the name of a saved one{told}")
    path = file if file == "-" or Path(file).is_file() else str(automation.trials.saved_event(name, file))
    return next(iter(read_events([path], lines=False)))


def _run(automation: Automation, name: str, data: JsonValue, format: str) -> Status:
    detail = automation.detail(automation.trials.run(name, data, by=who()))
    if format == "table":
        tables.write_show(detail, sys.stdout)
    else:
        output.write_one(output.show_json(detail), format, sys.stdout)
    return detail.version.status


def _dry_run(automation: Automation, name: str, data: JsonValue, format: str) -> Status:
    ran = automation.trials.dry_run(name, data)
    if format == "table":
        tables.write_dry_run(ran, sys.stdout)
    else:
        output.write_one(output.dry_run_json(ran), format, sys.stdout)
    return ran.status


COMMANDS = (check, recipes, recipe, schema, try_out)
"""The commands, to be added to `jobdeck`."""
