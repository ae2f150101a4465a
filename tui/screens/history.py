"""A job's versions, newest first; each opens as it was."""

from __future__ import annotations

from collections.abc import Iterable

from rich.text import Text
from textual.widget import Widget

from core.errors import NotFound
from core.selection import Selection
from core.text import safe
from data.job_records import Job
from data.records import Version
from tui import copying
from tui.actions import bindings
from tui.copying import Copy
from tui.facts import HISTORY_HEADING, not_latest, versions_rows
from tui.screens.base import DeckScreen
from tui.units import count
from tui.widgets.bars import Bar
from tui.widgets.lines import LineList, TextLines


class HistoryScreen(DeckScreen):
    """The versions of one job."""

    WHERE = "history"
    BINDINGS = [*bindings("history")]

    def __init__(self, job_id: int) -> None:
        super().__init__()
        self.job_id = job_id
        self._job: Job | None = None
        self._versions: list[Version] = []
        self._marked: int | None = None

    def body(self) -> Iterable[Widget]:
        yield Bar(id="facts")
        yield Bar(id="heading")
        yield TextLines(self._open_version)

    def place(self) -> str:
        return f"jobs > {self.job_id} > versions"

    def on_mount(self) -> None:
        self.query_one("#heading", Bar).show(Text("  " + HISTORY_HEADING, style="underline"))
        self.set_focus(self.query_one(TextLines))

    async def reload(self) -> None:
        """Read the versions anew."""
        automation = self.deck.automation
        try:
            job = await self.read(automation.job, self.job_id)
            versions = await self.read(automation.history, self.job_id)
        except NotFound as missing:
            self.deck.say(str(missing), error=True)
            return
        self._job, self._versions = job, versions
        title = Text(f"{job.id} {safe(job.title)}", style="bold")
        self.query_one("#facts", Bar).show(title.append(f" · {count(job.versions, 'version')}"))
        self._show_versions()
        self.show_footer()

    def _show_versions(self) -> None:
        rows = versions_rows(self._versions, self.app.size.width)
        self.query_one(TextLines).show([(number, _marked(line, number == self._marked)) for number, line in rows])

    def _number(self) -> int | None:
        number = self.query_one(TextLines).current
        return number if isinstance(number, int) else None

    def blocked(self, action: str) -> str | None:
        """Return why an action is greyed on the cursor's version, or None."""
        number = self._number()
        if self._job is None or number is None:
            return "the versions are being read"
        if action == "rerun" and number != self._job.versions:
            return not_latest(number, self._job.versions)
        if action == "rerun" and self._job.rerun_blocked:
            return self._job.rerun_blocked.message
        return None

    def on_line_list_moved(self, event: LineList.Moved) -> None:
        """Grey what the version under the cursor does not allow."""
        self.show_footer()

    def _open_version(self) -> None:
        self.deck.open_job(self.job_id, self._number())

    def action_latest(self) -> None:
        """Open the latest version."""
        self.deck.open_job(self.job_id)

    def action_rerun(self) -> None:
        """Ask, and rerun the job; on a version that is not the latest, say why not."""
        number = self._number()
        if self._job is None or number is None:
            return
        if number != self._job.versions:
            self.deck.say(not_latest(number, self._job.versions), error=True)
        else:
            self.act(self._rerun())

    async def _rerun(self) -> None:
        if await self.rerun(Selection(ids=(self.job_id,), version=self._number())):
            await self.reload()
            self.query_one(TextLines).move_to(0)

    def action_diff_mark(self) -> None:
        """Mark the version; where another one is marked, compare the two, the older one first."""
        number = self._number()
        if number is None:
            return
        marked, self._marked = self._marked, None if self._marked else number
        if marked is not None and marked != number:
            old, new = sorted((marked, number))
            self.deck.open_diff(self.job_id, ((self.job_id, old), (self.job_id, new)))
        else:
            now = "no longer marked" if marked else "marked; d on another one compares the two"
            self.deck.say(f"version {number} is {now}")
        self._show_versions()

    def action_copy_id(self) -> None:
        """Copy the job's id."""
        self.deck.copy(str(self.job_id))

    def copies(self) -> list[Copy]:
        """Return the version under the cursor, and the command that lists them."""
        listed = copying.command("jobdeck", "history", str(self.job_id))
        version = next((one for one in self._versions if one.number == self._number()), None)
        if version is None:
            return [listed]
        return [copying.identity(f"{self.job_id}.{version.number}"), copying.value(version), listed]


def _marked(line: Text, marked: bool) -> Text:
    # In the cell between the number and the status.
    return Text.assemble(line[:5], ("d", "bold reverse"), line[6:]) if marked else line
