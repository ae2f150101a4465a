"""The errors: failed jobs grouped by the same error; a group's jobs opened, or rerun all together."""

from __future__ import annotations

from collections.abc import Iterable

from rich.text import Text
from textual.widget import Widget

from core.selection import Selection
from core.who import actor
from data.job_records import JobFilter, Sort
from data.records import ErrorGroup
from tui import copying
from tui.actions import bindings
from tui.copying import Copy
from tui.error_lines import HEADING, group_facts, group_line, note_panel
from tui.screens.base import DeckScreen
from tui.screens.report import ReportScreen, command, rerun_told
from tui.widgets.bars import Bar
from tui.widgets.lines import LineList, TextLines

MOST = 500
"""Groups that are listed."""
NONE = "No job has failed. 1 shows the jobs."


class ErrorsScreen(DeckScreen):
    """All groups of errors, those with the most jobs first."""

    WHERE = "errors"
    BINDINGS = [*bindings("errors")]

    def __init__(self) -> None:
        super().__init__()
        self._groups: dict[str, ErrorGroup] = {}

    def body(self) -> Iterable[Widget]:
        yield Bar(id="heading")
        yield TextLines(self._open)
        yield Bar(id="told")

    def on_mount(self) -> None:
        self.query_one("#heading", Bar).show(Text("  " + HEADING, style="underline"))
        self.set_focus(self.query_one(TextLines))

    def place(self) -> str:
        return f"errors · the first {MOST}" if len(self._groups) == MOST else "errors"

    async def reload(self) -> None:
        """Read the groups anew."""
        failures = self.deck.automation.failures
        groups = await self.read(lambda: list(failures.groups(limit=MOST)))
        self._groups = {group.group: group for group in groups}
        width = self.app.size.width
        rows = [(group.group, group_line(group, width)) for group in groups]
        self.query_one(TextLines).show(rows or [(None, Text(NONE))])
        self.show_header()
        self._show_told()

    def _current(self) -> ErrorGroup | None:
        return self._groups.get(str(self.query_one(TextLines).current))

    def _show_told(self) -> None:
        group = self._current()
        self.query_one("#told", Bar).show(group_facts(group, self.app.size.width) if group else Text())
        self.show_footer()

    def on_line_list_moved(self, event: LineList.Moved) -> None:
        """Say what is to be said of the group under the cursor."""
        self._show_told()

    def _open(self) -> None:
        """Open the jobs of the group under the cursor."""
        group = self._current()
        if group is not None:
            self.app.push_screen(ReportScreen(_jobs(group)))

    def blocked(self, action: str) -> str | None:
        """Return why an action is greyed, or None."""
        group = self._current()
        if group is None:
            return "no job has failed"
        return "no job has this error now" if action == "rerun_group" and not group.jobs else None

    def action_rerun_group(self) -> None:
        """Ask, and rerun the jobs of the group under the cursor."""
        group = self._current()
        why = self.blocked("rerun_group")
        if group is None or why:
            self.deck.say(why or "", error=True)
        else:
            self.act(self._rerun(group))

    async def _rerun(self, group: ErrorGroup) -> None:
        done = await self.rerun(Selection(filter=_jobs(group)))
        if done is not None:
            self.deck.say(rerun_told(done))
            await self.reload()

    def action_note(self) -> None:
        """Ask for a note on the group under the cursor, and keep it in the place of an earlier one."""
        group = self._current()
        if group is None:
            self.deck.say(self.blocked("note") or "", error=True)
        else:
            self.act(self._note(group))

    async def _note(self, group: ErrorGroup) -> None:
        text = await self.ask_text(note_panel(group), "the note; Enter keeps it")
        if text is None or not (text.strip() or group.note):
            return
        await self.read(self.deck.automation.failures.note, group.group, text, by=actor())
        self.deck.say("the note is kept" if text.strip() else "the note is removed")
        await self.reload()

    def copies(self) -> list[Copy]:
        """Return the group under the cursor, and the command that lists its jobs."""
        group = self._current()
        if group is None:
            return [copying.command("jobdeck", "errors")]
        return [Copy("m", "message", (group.message,)), Copy("c", "command", (command(_jobs(group), Sort()) or "",))]


def _jobs(group: ErrorGroup) -> JobFilter:
    return JobFilter(error_group=group.group)
