"""The command `jobdeck`. Alone it is the terminal UI, which does not wait until the command line is loaded."""

from __future__ import annotations

import io
import os
import sys


def main() -> None:
    """Run the command; ends the process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A locale that cannot write a character gets its escape, never a traceback.
            stream.reconfigure(errors="backslashreplace")
    alone = len(sys.argv) == 1 and "_JOBDECK_COMPLETE" not in os.environ
    if alone and sys.stdin.isatty() and sys.stdout.isatty():
        _terminal()
    from tui.cli import cli

    cli(prog_name="jobdeck")


def _terminal() -> None:
    """Run the terminal UI on the workspace found; returns where there is none, for the command line to say."""
    from core.errors import JobdeckError, WorkspaceError
    from core.places import find_workspace

    try:
        workspace = find_workspace()
    except WorkspaceError:
        return
    from tui.start import run

    try:
        run(workspace)
    except JobdeckError as error:
        from tui.cli_face import failed

        told = failed(error)
        told.show()
        sys.exit(told.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit()
