"""The start of the terminal: what it looks at before Textual is loaded."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

from core.errors import UsageError
from core.opening import Opening


def run(workspace: Path, reset_view: bool = False) -> None:
    """Open the terminal on a workspace.

    `reset_view`: with the report as it was at first, not as it was left.
    Raises UsageError where no terminal can show it, WorkspaceError, StoreError, and SystemExit after a signal.
    """
    if not (sys.__stdin__ and sys.__stdin__.isatty() and sys.__stderr__ and sys.__stderr__.isatty()):
        raise UsageError("the terminal UI needs a terminal; `jobdeck jobs` lists the jobs without one")
    if os.environ.get("TERM", "dumb") in ("dumb", "unknown"):
        raise UsageError("this terminal (TERM=dumb) cannot show the UI; `jobdeck jobs` lists the jobs without it")
    for name in ("COLUMNS", "LINES"):
        # A shell that exported them has the size of when it started; the terminal itself knows its own.
        os.environ.pop(name, None)
    # Until all is loaded, see JobdeckApp: a collection would hold up the start, and then the event loop.
    gc.disable()
    with Opening(workspace) as opening:
        from tui import views

        if reset_view:
            views.forget(opening.workspace)
        left = views.glanced(opening.workspace)
        opening.read_ahead(left.filter, left.sort, os.get_terminal_size(sys.__stdin__.fileno()).lines)
        # Here, while the rows are read: it takes longer than that.
        from tui.app import JobdeckApp

        app = JobdeckApp(opening)
        opening.failed = app.exit
        # The terminal's own way of marking text stays; every movement reported would burden a slow line.
        app.run(mouse=False)
    if opening.failure is not None:
        raise opening.failure
    if app.return_code:
        sys.exit(app.return_code)
