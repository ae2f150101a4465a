"""The command line: without a command the terminal UI, else the same core for scripts and shells."""

from __future__ import annotations

import sys

import click

from core.errors import UsageError
from tui.cli_face import Face, on_terminal, workspace_of, workspace_option


class Jobdeck(Face):
    """All commands, loaded when one is asked for: the UI needs none, and they would hold up its start."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of a name, None where there is none."""
        self._load()
        return super().get_command(ctx, cmd_name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        self._load()
        return super().list_commands(ctx)

    def _load(self) -> None:
        if not self.commands:
            from tui.cli_commands import COMMANDS

            for command in COMMANDS:
                self.add_command(command)


@click.group(
    cls=Jobdeck,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Completion: eval \"$(_JOBDECK_COMPLETE=bash_source jobdeck)\" in ~/.bashrc; zsh_source and fish_source "
    "for the other shells.",
)
@click.version_option(package_name="jobdeck")
@click.option("--reset-view", is_flag=True, help="Open the UI with all jobs in the usual order, not as it was left.")
@click.pass_context
def cli(context: click.Context, reset_view: bool) -> None:
    """The terminal for the people who run automations: every job seen, and rerun in place.

    Without a command: the terminal UI on the workspace.
    """
    if context.invoked_subcommand is not None:
        if reset_view:
            raise UsageError("--reset-view is for the terminal UI, which has no command")
        return
    if not on_terminal(sys.stdin, sys.stdout):
        raise UsageError("the terminal UI needs a terminal; `jobdeck --help` lists the commands for scripts")
    from tui.start import run

    run(workspace_of(context), reset_view)


cli.params.insert(0, workspace_option())
