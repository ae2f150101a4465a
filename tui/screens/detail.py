"""One job as one version shows it: facts, steps, and the data of the step under the cursor; rerun in place."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

from textual import events
from textual.containers import Container
from textual.geometry import Size
from textual.widget import Widget

from core.errors import NotFound
from core.selection import Selection
from core.who import actor
from data.job_records import Job
from data.records import StepRecord, Version
from data.states import ENDED, StepStatus
from tui.actions import bindings
from tui.canceling import not_cancelable
from tui.detail_panels import rehearse_panel, settle_panel
from tui.dialogs import CONFIRM, Choice
from tui.facts import FULL, facts, not_latest
from tui.holding import hold_or_release, not_to_hold
from tui.screens.data import BEING_READ, DataScreen
from tui.steps import child
from tui.widgets.bars import Bar
from tui.widgets.json_view import JsonPane, JsonView
from tui.widgets.step_tree import NEWER, OLDER, PARENT, StepTree

WIDE = 100
"""Columns from which steps and data stand side by side."""
SHORT = 16
"""Lines below which only the pane with the focus is shown."""
HAPPENED, REPEAT = "h", "g"


@runtime_checkable
class Ordered(Protocol):
    """A screen below that knows which job comes after which."""

    def neighbour(self, job_id: int, step: int) -> int | None:
        """Return the job `step` places further in the order shown, None past its ends."""


class DetailScreen(DataScreen):
    """A job's version; after a rerun asked for here, the new one."""

    WHERE = "detail"
    BINDINGS = [*bindings("detail")]
    DEFAULT_CSS = """
    #panes { height: 1fr; layout: vertical; }
    #panes StepTree { height: auto; max-height: 50%; }
    #panes JsonPane { height: 1fr; }
    .wide #panes { layout: horizontal; }
    .wide #panes StepTree { width: 50%; height: 1fr; max-height: 100%; }
    .wide #panes JsonPane { width: 50%; height: 1fr; padding-left: 1; }
    .short #panes JsonPane { display: none; }
    .short #panes StepTree { height: 1fr; max-height: 100%; }
    .short.on-data #panes JsonPane { display: block; }
    .short.on-data #panes StepTree { display: none; }
    """
    SCOPED_CSS = False

    def __init__(self, job_id: int, version: int | None = None, step: str | None = None) -> None:
        """`step` is the path of the step on which the cursor begins."""
        super().__init__()
        self._begin_at = step
        self.job_id = job_id
        self.version = version
        self._rehearsing = False

    def body(self) -> Iterable[Widget]:
        yield Bar(id="facts")
        with Container(id="panes"):
            yield StepTree(self._open_step, self._search)
            yield JsonPane()

    def place(self) -> str:
        return f"jobs > {self.job_id}" + (f".{self.version}" if self.version else "")

    def on_mount(self) -> None:
        self.set_focus(self.query_one(StepTree))

    def on_resize(self, event: events.Resize) -> None:
        """Place the panes as the size allows."""
        self.set_class(event.size.width >= WIDE, "wide")
        self.set_class(event.size.height < SHORT, "short")
        self._show_facts(event.size)

    # Reading

    async def reload(self) -> None:
        """Read the version anew; one that ended changes no more, so of it only the job."""
        shown = self.whole
        if shown is not None and shown.version.number == self.version and shown.version.status in ENDED:
            job = await self.read(self.deck.automation.job, self.job_id)
            kin = await self.read(self.deck.automation.same_object, self.job_id)
            if job == shown.job and kin == (shown.newer, shown.older, shown.changed_at):
                return
        await self._open(self.version, again=True)

    async def _open(self, number: int | None, *, again: bool = False) -> None:
        """Read a version and show it; `again`: it is shown already, and gives way to what was opened meanwhile."""
        shown = self.job_id, self.version
        try:
            whole, detail = await self.read(self.read_detail, self.job_id, number, self.whole)
        except NotFound as missing:
            self.deck.say(str(missing), error=True)
            return
        if again and shown != (self.job_id, self.version):
            return
        self.version = whole.version.number
        if detail is not None:
            self.take(whole, detail)
            self._show()

    def _show(self) -> None:
        assert self.detail is not None
        self._show_facts(self.app.size)
        self.query_one(StepTree).show(self.detail, self._begin_at)
        self.show_data()
        self.show_header()
        self.show_footer()

    def _show_facts(self, size: Size) -> None:
        if self.detail is not None:
            height = 3 if size.height < SHORT else FULL
            self.query_one("#facts", Bar).show(facts(self.detail, size.width, height))

    def _open_step(self) -> None:
        """From the call to its job and back, to another job of the same object; from any other step to its data."""
        tree = self.query_one(StepTree)
        called = child(tree.selected) if tree.selected else None
        caller = self.detail.parent if self.detail and tree.selected_key == PARENT else None
        other = {NEWER: self.detail.newer, OLDER: self.detail.older}.get(tree.selected_key) if self.detail else None
        if called is not None or other is not None:
            self.deck.open_job(called or other)
        elif caller is not None:
            self.deck.open_job(caller.job_id, caller.version, caller.path)
        else:
            self._to_data(True)

    # Panes

    def action_next_pane(self) -> None:
        """From the steps to the data, and back."""
        self._to_data(not self.has_class("on-data"))

    def action_previous_pane(self) -> None:
        """The same: there are two."""
        self.action_next_pane()

    def _to_data(self, data: bool) -> None:
        self.set_class(data, "on-data")
        self.set_focus(self.query_one(JsonView if data else StepTree))
        self.show_footer()

    def _search(self) -> None:
        self._to_data(True)
        self.query_one(JsonPane).type_search()

    def action_back(self) -> None:
        """End the search in the data, or go back."""
        view = self.query_one(JsonView)
        if view.searching:
            view.clear_search()
        else:
            super().action_back()

    # Rerunning

    def blocked(self, action: str) -> str | None:
        """Return why an action is greyed, or None."""
        if self.detail is None:
            return BEING_READ
        job, version = self.detail.job, self.detail.version
        if action == "rerun":
            if version.number != job.versions:
                return not_latest(version.number, job.versions)
            return job.rerun_blocked.message if job.rerun_blocked else None
        if action == "cancel":
            if version.number != job.versions:
                return not_latest(version.number, job.versions)
            return not_cancelable(version.number, version.status)
        if action == "latest" and version.number == job.versions:
            return f"version {version.number} is the latest"
        if action == "settle" and self._doubtful() is None:
            return "no step is in doubt"
        if action == "hold":
            return not_to_hold(job)
        if action == "rehearse":
            return self._not_rehearsed(job, version)
        return super().blocked(action)

    def _not_rehearsed(self, job: Job, version: Version) -> str | None:
        if self._rehearsing:
            return "it is being rehearsed"
        if version.number != job.versions:
            return not_latest(version.number, job.versions)
        return job.rerun_blocked.message if job.rerun_blocked else None

    def action_rerun(self) -> None:
        """Ask, and rerun the job; on a version that cannot be rerun, say why."""
        if self.detail is None:
            return
        version, versions = self.detail.version.number, self.detail.job.versions
        if version != versions:
            self.deck.say(not_latest(version, versions), error=True)
        else:
            # What else was in the way may be gone since: the plan knows.
            self.act(self._rerun())

    async def _rerun(self) -> None:
        if await self.rerun(Selection(ids=(self.job_id,), version=self.version)):
            await self._open(None)
            self.deck.say(f"{self.job_id} runs again as version {self.version}")

    def action_cancel(self) -> None:
        """Ask, and cancel the job."""
        if blocked := self.blocked("cancel"):
            self.deck.say(blocked, error=True)
        else:
            self.act(self._cancel())

    async def _cancel(self) -> None:
        if await self.cancel(Selection(ids=(self.job_id,), version=self.version)):
            await self._open(self.version)

    def action_hold(self) -> None:
        """Ask, and hold the job's data, or release it."""
        if blocked := self.blocked("hold"):
            self.deck.say(blocked, error=True)
        elif self.detail is not None:
            self.act(self._hold(self.detail.job))

    async def _hold(self, job: Job) -> None:
        if await hold_or_release(self, job):
            await self._open(self.version)

    # Versions and jobs

    def action_latest(self) -> None:
        """Open the latest version."""
        self.act(self._open(None))

    def action_next_version(self) -> None:
        """Open the next version."""
        self._step_version(1)

    def action_previous_version(self) -> None:
        """Open the version before."""
        self._step_version(-1)

    def _step_version(self, step: int) -> None:
        if self.detail is None:
            return
        wanted = self.detail.version.number + step
        if 1 <= wanted <= self.detail.job.versions:
            self.act(self._open(wanted))
        else:
            self.deck.say(f"version {self.detail.version.number} is the {'last' if step > 0 else 'first'}")

    def action_next_job(self) -> None:
        """Open the next job in the order of the report."""
        self._step_job(1)

    def action_previous_job(self) -> None:
        """Open the job before in the order of the report."""
        self._step_job(-1)

    def _step_job(self, step: int) -> None:
        below = next((screen for screen in reversed(self.app.screen_stack[:-1]) if isinstance(screen, Ordered)), None)
        wanted = below.neighbour(self.job_id, step) if below else None
        if wanted is None:
            self.deck.say("no further job in the report")
            return
        self.job_id, self.version, self._begin_at = wanted, None, None
        self.take(None, None)
        self.act(self._open(None))

    def action_history(self) -> None:
        """Open the job's versions."""
        self.deck.open_history(self.job_id)

    def action_diff(self) -> None:
        """Open what differs between the latest version and the last good one."""
        self.deck.open_diff(self.job_id)

    # A step in doubt

    def _doubtful(self) -> StepRecord | None:
        steps = self.detail.steps if self.detail else ()
        selected = self.query_one(StepTree).selected
        if selected is not None and selected.status == StepStatus.IN_DOUBT:
            return selected
        return next((step for step in steps if step.status == StepStatus.IN_DOUBT), None)

    def action_settle(self) -> None:
        """Ask what became of the step in doubt, and go on accordingly."""
        step = self._doubtful()
        if step is None:
            self.deck.say(self.blocked("settle") or "", error=True)
            return
        self.act(self._settle(step))

    async def _settle(self, step: StepRecord) -> None:
        choice = await self.ask(
            settle_panel(self.job_id, step), Choice(HAPPENED, "it happened"), Choice(REPEAT, "do it again")
        )
        if choice is None:
            return
        happened = choice == HAPPENED
        await self.read(self.deck.automation.resolve, self.job_id, step.path, happened=happened, by=actor())
        self.deck.say(f"{step.path} " + ("is taken as done" if happened else "is done again"))
        await self._open(self.version)

    # Rehearsing

    def action_rehearse(self) -> None:
        """Ask, take the event through the recipe without its writes, and show how it compares."""
        if blocked := self.blocked("rehearse"):
            self.deck.say(blocked, error=True)
        else:
            self.act(self._rehearse())

    async def _rehearse(self) -> None:
        assert self.detail is not None
        job_id, name = self.job_id, f"{self.job_id}.{self.version}"
        if await self.ask(rehearse_panel(self.detail), Choice(CONFIRM, "rehearse it")) is None:
            return
        self._rehearsing = True
        self.show_footer()
        self.deck.say(f"{name} is being rehearsed; what comes of it is shown here")
        try:
            done = await self.read(self.deck.automation.rehearsing.rehearse, job_id, by=actor())
        finally:
            self._rehearsing = False
            self.show_footer()
        self.deck.say(done.verdict)
        # Whoever has gone elsewhere meanwhile is told, and not taken along.
        if self.is_current and self.job_id == job_id:
            self.deck.open_diff(job_id, made=done.diff)

    # Elsewhere

    def action_edit(self) -> None:
        """Edit the recipe."""
        if self.detail is not None:
            self.act(self.edit_recipe(self.detail.job.recipe))

    def action_copy_id(self) -> None:
        """Copy the job's id."""
        self.deck.copy(str(self.job_id))
