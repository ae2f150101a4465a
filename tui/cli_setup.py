"""The commands about how Jobdeck is set up: its keys, and what is wrong around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from core.text import safe
from tui import cli_tables as tables
from tui import output
from tui.actions import Action, shown
from tui.cli_face import WorkspaceCommand, workspace_of
from tui.cli_listing import Listing
from tui.cli_options import output_option

if TYPE_CHECKING:
    from core.doctor import Finding

KEY_FIELDS = ("action", "keys", "changed", "does", "where")


def _key_json(entry: tuple[Action, bool]) -> output.Mapped:
    action, changed = entry
    return {
        "action": action.id, "keys": [shown(key) for key in action.keys], "changed": changed, "does": action.label,
        "where": list(action.where),
    }  # fmt: skip


KEYS: Listing[tuple[Action, bool]] = Listing(
    _key_json,
    KEY_FIELDS,
    (
        tables.Column("KEYS", lambda entry: " ".join(map(shown, entry[0].keys))),
        tables.Column("ACTION", lambda entry: entry[0].id),
        tables.Column("WHERE", lambda entry: ", ".join(entry[0].where), gives_way=True),
        tables.Column("DOES", lambda entry: entry[0].label, gives_way=True),
    ),
)


@click.command(cls=click.Command)
@click.option("--check", is_flag=True, help="Only what is wrong in the file of your own keys; exit status 1 if any is.")
@output_option
@click.pass_context
def keys(context: click.Context, check: bool, format: str) -> None:
    """The keys in force, of the terminal UI.

    Your own are in ~/.config/jobdeck/keys.toml, or in the file that JOBDECK_KEYS names.
    """
    from tui.keymap import keymap_file, load

    keymap = load()
    if not check:
        KEYS.write(((action, action.id in keymap.keys) for action in keymap.actions()), format)
    for problem in keymap.problems:
        click.echo(safe(f"{keymap_file()}: {problem}"), err=not check)
    if check and not keymap.problems:
        told = f"{len(keymap.keys)} changed" if keymap.file else "there is no such file, and none is needed"
        click.echo(f"{safe(str(keymap_file()))}: {told}")
    context.exit(1 if keymap.problems else 0)


FINDINGS: Listing[Finding] = Listing(
    lambda found: {"area": found.area, "level": found.level, "what": found.what, "todo": found.todo or None},
    ("area", "level", "what", "todo"),
    (),
)


@click.command(cls=WorkspaceCommand)
@output_option
@click.pass_context
def doctor(context: click.Context, format: str) -> None:
    """Check store, recipes, connections, engine and terminal.

    Says what to do about each finding; exit status 1 if there is a problem.
    """
    from core.doctor import Level, examine
    from tui.doctor import examine as examine_terminal

    workspace = workspace_of(context)
    found = [*examine(workspace), *examine_terminal(workspace)]
    if format == "table":
        for one in found:
            click.echo(_told(one))
    else:
        FINDINGS.write(found, format)
    context.exit(1 if any(one.level is Level.PROBLEM for one in found) else 0)


def _told(found: Finding) -> str:
    mark = {"ok": "ok     ", "warning": "warning", "problem": "PROBLEM"}[found.level]
    todo = f"\n{'':8}{'':13}-> {safe(found.todo)}" if found.todo else ""
    return f"{mark} {found.area:12} {safe(found.what)}{todo}"


COMMANDS = (doctor, keys)
