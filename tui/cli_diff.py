"""The commands that compare: two versions of a job or of two, and a rehearsal with the version that it rehearses."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import click

from core.errors import UsageError
from core.text import safe
from tui import cli_tables as tables
from tui import output, output_diff
from tui.cli_face import WorkspaceCommand, opened, who
from tui.cli_listing import Listing
from tui.cli_options import JobRef, output_option
from tui.units import local

if TYPE_CHECKING:
    from rich.text import Text

    from core.automation import Automation
    from core.diff import Diff
    from core.rehearsing import Kept

_HOW = "say JOB, JOB V1 V2, or two versions as 812.1 799.3"
REHEARSALS: tuple[tables.Column[Kept], ...] = (
    tables.Column("ID", lambda kept: str(kept.id), right=True),
    tables.Column("VERSION", lambda kept: f"{kept.job}.{kept.version}", right=True),
    tables.Column("REV", lambda kept: f"r{kept.revision}", right=True),
    tables.Column("STATUS", lambda kept: kept.status, state=True),
    tables.Column("WHEN", lambda kept: local(kept.at)),
    tables.Column("BY", lambda kept: kept.by, gives_way=True),
    tables.Column("VERDICT", lambda kept: kept.verdict, gives_way=True),
)
KEPT = Listing(output_diff.kept_json, output_diff.KEPT_FIELDS, REHEARSALS)


@click.command(cls=WorkspaceCommand)
@click.argument("targets", metavar="JOB [V1 V2]", nargs=-1, required=True)
@click.option("--last-good", is_flag=True, help="The latest version with the last one before it that succeeded.")
@output_option
@click.pass_context
def diff(context: click.Context, targets: tuple[str, ...], last_good: bool, format: str) -> None:
    """What differs between two versions: recipe, event, each step's input, output, branch and error.

    Marks: + only in the second, - only in the first, ~ in both and different, > moved.

    With --last-good, where the job has no good version, the newest good job of the same recipe stands in.

    \b
    jobdeck diff 812               the latest version with the one before
    jobdeck diff 812 1 3           two of its versions
    jobdeck diff 812.3 799.1       versions of two jobs
    jobdeck diff 812 --last-good
    """
    places = _places(targets)
    if last_good and (len(places) > 1 or places[0][1] is not None):
        raise UsageError("--last-good is about a job's latest version: say its id alone")
    found = _compared(opened(context), places, last_good)
    if format == "table":
        write_diff(found)
    else:
        output.write_one(output_diff.diff_json(found), format, sys.stdout)


def _places(targets: tuple[str, ...]) -> list[tuple[int, int | None]]:
    """Return the one or two versions that the words name; raises UsageError."""
    first, *numbers = targets
    if len(targets) == 3 and re.fullmatch(r"[0-9]{1,18}", first):
        if not all(re.fullmatch(r"v?[1-9][0-9]{0,8}", number) for number in numbers):
            raise UsageError(f"{' '.join(numbers)} are no two versions: {_HOW}")
        return [(int(first), int(number.removeprefix("v"))) for number in numbers]
    if len(targets) > 2:
        raise UsageError(f"two versions are compared: {_HOW}")
    found = [JobRef().convert(target, None, None) for target in targets]
    if len(found) == 2 and any(number is None for _, number in found):
        raise UsageError(f"{' '.join(targets)} do not name two versions: {_HOW}")
    return found


def _compared(automation: Automation, places: list[tuple[int, int | None]], last_good: bool) -> Diff:
    comparing = automation.comparing
    if last_good:
        return comparing.with_last_good(places[0][0])
    if len(places) == 1:
        return comparing.with_previous(*places[0])
    old, new = ((job, number or 0) for job, number in places)
    return comparing.versions(old, new)


@click.command(cls=WorkspaceCommand)
@click.argument("job", type=JobRef(versions=False))
@click.option("--revision", type=click.IntRange(min=1), metavar="N", help="Through this revision; else that which ran.")
@click.option("--list", "listed", is_flag=True, help="Only the rehearsals made of it before, newest first.")
@output_option
@click.pass_context
def rehearse(context: click.Context, job: tuple[int, None], revision: int | None, listed: bool, format: str) -> None:
    """Was it the world or the recipe? A job's cached event once more, without its writes; never a version.

    Reads act. A write is answered by what the job's own newest version recorded, else by what the step last gave in a
    job of the recipe, else by an example, and marked (not sent). What comes of it is compared with the latest version.
    """
    if listed and revision is not None:
        raise UsageError("--list shows what was rehearsed; leave out --revision")
    automation = opened(context)
    if listed:
        KEPT.write(automation.rehearsing.kept(job[0]), format)
        return
    done = automation.rehearsing.rehearse(job[0], revision, by=who())
    if format != "table":
        output.write_one(output_diff.rehearsal_json(done), format, sys.stdout)
        return
    tables.write_facts([("rehearsal", f"{done.id} of {job[0]}.{done.version}"), ("verdict", safe(done.verdict))],
                       sys.stdout)
    tables.write_dry_run(done.ran, sys.stdout)
    sys.stdout.write("\n")
    write_diff(done.diff)


def write_diff(found: Diff) -> None:
    """Write a comparison; in colour on a terminal, and never cut."""
    from tui.diff_lines import lines

    for line in lines(found):
        sys.stdout.write(_coloured(line) if sys.stdout.isatty() else line.plain.rstrip() + "\n")


def _coloured(line: Text) -> str:
    from rich.console import Console

    console = Console(force_terminal=True, markup=False, highlight=False, emoji=False)
    with console.capture() as captured:
        console.print(line, soft_wrap=True)
    return captured.get()


COMMANDS = (diff, rehearse)
"""The commands, to be added to `jobdeck`."""
