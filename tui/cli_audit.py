"""The command `jobdeck audit`: who did what, when, why."""

from __future__ import annotations

import datetime as dt

import click

from data.records import Act
from tui.cli_face import WorkspaceCommand, opened
from tui.cli_listing import Listing
from tui.cli_options import Moment, output_option
from tui.cli_tables import Column
from tui.output import Mapped, rfc3339
from tui.units import local

FIELDS = ("id", "at", "actor", "action", "subject", "note")


def act_json(act: Act) -> Mapped:
    """Return a line of the audit."""
    return {
        "id": act.id, "at": rfc3339(act.at), "actor": act.actor, "action": act.action, "subject": act.subject,
        "note": act.note,
    }


COLUMNS: tuple[Column[Act], ...] = (
    Column("WHEN", lambda act: local(act.at)),
    Column("WHO", lambda act: act.actor, gives_way=True),
    Column("DID", lambda act: act.action),
    Column("TO", lambda act: act.subject, gives_way=True),
    Column("WHY", lambda act: act.note or "", gives_way=True),
)
ACTS = Listing(act_json, FIELDS, COLUMNS)


@click.command(cls=WorkspaceCommand)
@click.option("--since", type=Moment(), help="Done at or after: 2h ago (2h), a date, an RFC 3339 time.")
@click.option("--until", type=Moment(), help="Done before.")
@click.option("--actor", metavar="NAME", help="Done by this one, as the list names it: ada@10.0.0.3.")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="At most so many.")
@output_option
@click.pass_context
def audit(
    context: click.Context, since: dt.datetime | None, until: dt.datetime | None, actor: str | None,
    limit: int | None, format: str,
) -> None:
    """Who did what, when, why; newest first. Nothing in it is ever changed or removed."""
    acts = opened(context).audit.acts(since=since, until=until, actor=actor, limit=limit)
    ACTS.write(acts, format)
