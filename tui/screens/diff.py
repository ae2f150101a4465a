"""Two versions compared: what differs in recipe, event and steps, from one difference to the next."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from textual.widget import Widget

from core.diff import Diff
from core.errors import NotFound, Refused
from data.states import ENDED
from tui import copying
from tui.actions import bindings
from tui.copying import Copy
from tui.diff_lines import DiffLines
from tui.masking import masked_diff
from tui.screens.base import DeckScreen
from tui.uncollected import uncollected
from tui.widgets.diff_view import DiffView

Version: TypeAlias = tuple[int, int]
"""A job's id and a version's number."""


class DiffScreen(DeckScreen):
    """What differs between two versions; or between a job's latest and the last good one."""

    WHERE = "diff"
    BINDINGS = [*bindings("diff")]

    def __init__(
        self, job_id: int, versions: tuple[Version, Version] | None = None, made: Diff | None = None
    ) -> None:
        """`made` is a comparison with a rehearsal, made already; without it and versions, the job's latest is compared
        with the last good one."""
        super().__init__()
        self.job_id = job_id
        self.versions = versions
        self._made = made
        self._diff: Diff | None = None

    def body(self) -> Iterable[Widget]:
        yield DiffView()

    def place(self) -> str:
        if self._diff is not None:
            return f"jobs > {self.job_id} > {self._diff.old.name} and {self._diff.new.name}"
        return f"jobs > {self.job_id} > compared"

    def on_mount(self) -> None:
        self.set_focus(self.query_one(DiffView))

    async def reload(self) -> None:
        """Compare anew while one of the two goes on."""
        shown = self._diff
        if shown is not None and (self._made or {shown.old.status, shown.new.status} <= ENDED):
            return
        try:
            folding = await self.read(self._compared)
        except (NotFound, Refused) as why:
            self.deck.say(str(why), error=True)
            return
        self._diff = folding.diff
        old, new = self._diff.old, self._diff.new
        self.versions = (old.job, old.version), (new.job, new.version)
        self.query_one(DiffView).show(folding)
        self.show_header()
        self.show_footer()

    def _compared(self) -> DiffLines:
        comparing = self.deck.automation.comparing
        made = self._made
        with uncollected():
            if made is None:
                made = comparing.versions(*self.versions) if self.versions else comparing.with_last_good(self.job_id)
            return DiffLines(masked_diff(made))

    def action_next_difference(self) -> None:
        """Go to the next difference."""
        if not self.query_one(DiffView).go(1):
            self.deck.say("no further difference")

    def action_previous_difference(self) -> None:
        """Go to the difference before."""
        if not self.query_one(DiffView).go(-1):
            self.deck.say("no difference before")

    def copies(self) -> list[Copy]:
        """Return the command that shows the same; of a rehearsal, the one that makes another."""
        diff = self._diff
        if self._made is not None:
            return [copying.command("jobdeck", "rehearse", str(self.job_id))]
        return [copying.command("jobdeck", "diff", diff.old.name, diff.new.name)] if diff is not None else []
