"""What the commands of `jobdeck` share: the open workspace, and errors as sentences and exit statuses."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from core.errors import JobdeckError, Refused, UsageError, WorkspaceError
from core.text import safe_block

if TYPE_CHECKING:
    from core.automation import Automation

_WORKSPACE = "jobdeck.workspace"
_RECIPES = "jobdeck.recipes"


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
        except JobdeckError as error:
            raise failed(error) from error
        except (KeyboardInterrupt, click.Abort):
            raise click.exceptions.Exit(130) from None


def failed(error: JobdeckError) -> Failed:
    """Return an error as what ends a command: exit status 2 for wrong usage, else 1."""
    if isinstance(error, UsageError):
        return Misused(str(error))
    return Failed(f"{error} ({error.code})" if isinstance(error, Refused) else str(error))


def named_workspace(context: click.Context) -> Path | None:
    """Return the folder that `--workspace` names, before or after the command."""
    return context.meta.get(_WORKSPACE)


def _remember(context: click.Context, parameter: click.Parameter, value: Path | None) -> None:
    if value is not None:
        context.meta[_WORKSPACE] = value


def workspace_option() -> click.Option:
    """Return `-w/--workspace`, which every command takes too."""
    return click.Option(
        ["-w", "--workspace"],
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIR",
        expose_value=False,
        callback=_remember,
        help="The workspace; else JOBDECK_WORKSPACE, else the nearest folder upwards with a jobdeck.toml.",
    )


class WorkspaceCommand(click.Command):
    """A command on a workspace."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.params.append(workspace_option())


class Commands(click.Group):
    """A group of commands on a workspace."""

    command_class = WorkspaceCommand


Face.command_class = WorkspaceCommand
Face.group_class = Commands

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


def name_recipes(context: click.Context, names: Iterable[str]) -> None:
    """Have `opened` look whether these recipes are there."""
    context.meta.setdefault(_RECIPES, []).extend(names)


def opened(context: click.Context) -> Automation:
    """Return the command's workspace, opened until the command ends; raises NotFound where `--recipe` names none."""
    automation = context.with_resource(open_automation(workspace_of(context)))
    for recipe in context.meta.get(_RECIPES, []):
        # A filter by one that is not there would do nothing, and nobody would learn of the slip.
        automation.recipe(recipe)
    return automation
