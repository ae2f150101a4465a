"""What the commands of `jobdeck` share: the open workspace, listings, and errors as sentences and exit statuses."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TextIO, TypeVar

import click

from core.errors import JobdeckError, Refused, UsageError, WorkspaceError
from core.text import safe_block
from tui import cli_tables as tables
from tui import output
from tui.cli_options import WorkspaceCommand, complete_recipe, named_recipes, named_workspace

if TYPE_CHECKING:
    from core.automation import Automation

R = TypeVar("R")


@dataclass(frozen=True)
class Listing(Generic[R]):
    """How records of a kind are listed: for scripts as mappings with these fields, for people in these columns."""

    mapping: Callable[[R], output.Mapped]
    fields: tuple[str, ...]
    columns: tuple[tables.Column[R], ...]

    def write(self, records: Iterable[R], format: str) -> None:
        """Write the records as they come."""
        if format == "table":
            tables.write_table(records, self.columns, sys.stdout)
        else:
            output.WRITERS[format](map(self.mapping, records), self.fields, sys.stdout)


class Counted(Iterable[R]):
    """Passes records on and counts them."""

    def __init__(self, records: Iterable[R]) -> None:
        self._records = records
        self.number = 0

    def __iter__(self) -> Iterator[R]:
        for record in self._records:
            self.number += 1
            yield record


class Failed(click.ClickException):
    """Ends the command with a sentence on standard error and exit status 1."""

    def show(self, file: Any = None) -> None:
        """Write the sentence."""
        click.echo(f"jobdeck: {safe_block(self.message)}", err=True)


class Misused(Failed):
    """The same for wrong usage: exit status 2."""

    exit_code = 2


class Face(click.Group):
    """The one place where errors become sentences and exit statuses."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; raises click's exceptions only."""
        try:
            return super().invoke(ctx)
        except UsageError as error:
            raise Misused(str(error)) from error
        except Refused as error:
            raise Failed(f"{error} ({error.code})") from error
        except JobdeckError as error:
            raise Failed(str(error)) from error
        except (KeyboardInterrupt, click.Abort):
            raise click.exceptions.Exit(130) from None


class Commands(click.Group):
    """A group of commands on a workspace."""

    command_class = WorkspaceCommand


Face.command_class = WorkspaceCommand
Face.group_class = Commands

recipe_argument = click.argument("name", metavar="RECIPE", shell_complete=complete_recipe)


def workspace_of(context: click.Context) -> Path:
    """Return the workspace that the command line, the environment or the current folder names."""
    from core.places import find_workspace

    try:
        return find_workspace(named=named_workspace(context))
    except WorkspaceError as error:
        raise Misused(str(error)) from error


def open_automation(workspace: Path) -> Automation:
    """Return the workspace, opened."""
    from core.automation import Automation

    return Automation(workspace)


def who() -> str:
    """Return who acts."""
    from core.who import actor

    return actor()


def on_terminal(*streams: TextIO) -> bool:
    """Return whether a person is at these streams."""
    return all(stream.isatty() for stream in streams)


def opened(context: click.Context) -> Automation:
    """Return the command's workspace, opened until the command ends; raises NotFound where `--recipe` names none."""
    automation = context.with_resource(open_automation(workspace_of(context)))
    for recipe in named_recipes(context):
        # A filter by one that is not there would do nothing, and nobody would learn of the slip.
        automation.recipe(recipe)
    return automation
