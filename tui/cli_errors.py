"""The command `jobdeck errors`: failed jobs grouped by the same error, and what people have noted on a group."""

from __future__ import annotations

import datetime as dt

import click

from core.errors import UsageError
from core.text import safe
from data.job_records import JsonValue
from data.records import ErrorGroup
from tui.cli_face import WorkspaceCommand, opened, who
from tui.cli_listing import Listing
from tui.cli_options import Moment, complete_recipe, output_option
from tui.cli_tables import Column
from tui.output import Mapped, rfc3339
from tui.units import local

FIELDS = (
    "group", "recipe", "action", "kind", "step", "message", "jobs", "versions", "first_seen_at", "last_seen_at",
    "first_revision", "note",
)


def group_json(group: ErrorGroup) -> Mapped:
    """Return a group of errors; several recipes' names are one text, `, ` between them."""
    note = group.note
    return {
        "group": group.group,
        "recipe": ", ".join(group.recipes),
        "action": group.action,
        "kind": group.kind,
        "step": group.step,
        "message": group.message,
        "jobs": group.jobs,
        "versions": group.versions,
        "first_seen_at": rfc3339(group.first_seen_at),
        "last_seen_at": rfc3339(group.last_seen_at),
        "first_revision": _revision(group),
        "note": None if note is None else {"text": note.text, "by": note.by, "at": rfc3339(note.at)},
    }


def _revision(group: ErrorGroup) -> JsonValue:
    if group.first_revision is None:
        return None
    return {"recipe": group.first_recipe, "revision": group.first_revision}


def first_seen_in(group: ErrorGroup) -> str:
    """Return the revision in which a group was first seen, with its recipe: `sync r3`; not made safe."""
    return "" if group.first_revision is None else f"{group.first_recipe} r{group.first_revision}"


COLUMNS: tuple[Column[ErrorGroup], ...] = (
    Column("GROUP", lambda group: group.group),
    Column("JOBS", lambda group: f"{group.jobs:,}", right=True),
    Column("VERSIONS", lambda group: f"{group.versions:,}", right=True),
    Column("LAST SEEN", lambda group: local(group.last_seen_at)),
    Column("FIRST SEEN IN", first_seen_in, gives_way=True),
    Column("STEP", lambda group: group.step or "", gives_way=True),
    Column("MESSAGE", lambda group: group.message, gives_way=True),
    Column("NOTE", lambda group: group.note.text if group.note else "", gives_way=True),
)
GROUPS = Listing(group_json, FIELDS, COLUMNS)


@click.command(cls=WorkspaceCommand)
@click.argument("group", metavar="[GROUP]", required=False)
@click.option("--note", metavar="TEXT", help="Write a note on GROUP, in the place of an earlier one; '' removes it.")
@click.option("--recipe", metavar="NAME", shell_complete=complete_recipe, help="Errors of this recipe.")
@click.option("--since", type=Moment(), help="Seen at or after: 2h ago (2h), a date, an RFC 3339 time.")
@click.option("--until", type=Moment(), help="Seen before.")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="At most so many.")
@output_option
@click.pass_context
def errors(
    context: click.Context, group: str | None, note: str | None, recipe: str | None, since: dt.datetime | None,
    until: dt.datetime | None, limit: int | None, format: str,
) -> None:
    """Failed jobs grouped by the same error: most jobs first, then seen last.

    JOBS are those whose latest version failed so, VERSIONS all that ever did.

    \b
    jobdeck jobs --error GROUP                its jobs
    jobdeck rerun --error GROUP --all         reruns them
    jobdeck errors --note "why it is" GROUP   a note for whoever sees it next
    """
    if (group is None) != (note is None):
        raise UsageError("--note TEXT and GROUP go together; `jobdeck jobs --error GROUP` lists the jobs of a group")
    automation = opened(context)
    if group is None or note is None:
        GROUPS.write(automation.failures.groups(recipe=recipe, since=since, until=until, limit=limit), format)
        return
    automation.failures.note(group, note, by=who())
    click.echo(f"{safe(group)}: " + ("noted" if note.strip() else "it has no note now"))
