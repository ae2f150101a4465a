"""What screens and panels ask of the application, so that they need not import it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tui.keymap import Keymap
from tui.widgets.bars import Said

if TYPE_CHECKING:
    from core.automation import Automation, EngineState
    from core.diff import Diff


class Deck(Protocol):
    """The application, as its screens see it."""

    automation: Automation
    engine_state: EngineState | None
    recipe_notice: str
    said: Said
    keymap: Keymap
    messages: Sequence[Said]
    """All that was said, the oldest first."""

    def say(self, text: str, error: bool = False) -> None:
        """Show `text` in the message line and keep it in the message log."""

    def open_job(self, job_id: int, version: int | None = None, step: str | None = None) -> None:
        """Open a job's detail: the latest version, unless one is named; at the step of a path, if one is given."""

    def open_history(self, job_id: int) -> None:
        """Open a job's versions."""

    def open_diff(
        self, job_id: int, versions: tuple[tuple[int, int], tuple[int, int]] | None = None, made: Diff | None = None
    ) -> None:
        """Open what differs between two versions, or is `made` already, as by a rehearsal; without either, between a
        job's latest and the last good one."""

    def copy(self, *pieces: str, name: str = "") -> None:
        """Put a text on the clipboard and say which way it went; with a name, that is told in its stead."""

    def edit(self, path: Path, line: int | None = None) -> str | None:
        """Open a file in the editor, at a line if one is given, wait, and return what went wrong, or None."""

    def page(self, text: bytes) -> str | None:
        """Show `text`, safe on a terminal and in UTF-8, in the pager, wait, and return what went wrong, or None."""

    def when_painted(self, then: Callable[[], None]) -> None:
        """Call `then` once the terminal has painted what was written so far."""
