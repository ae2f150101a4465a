"""One bulk rerun: how it goes and what became of each of its jobs; paused, slowed, canceled, or taken up again."""

from __future__ import annotations

from collections.abc import Iterable

from rich.text import Text
from textual.widget import Widget

from core.selection import Selection
from core.who import actor
from data.records import Batch
from data.states import BatchStatus
from tui import copying
from tui.actions import bindings
from tui.batch_lines import FILTERS, RESULTS_HEADING, batch_facts, outcome_words, result_rows, shows
from tui.copying import Copy
from tui.dialogs import CONFIRM, Choice
from tui.screens.base import DeckScreen
from tui.units import count
from tui.widgets.bars import Bar
from tui.widgets.lines import TextLines

SHOWN = 2_000
"""Results that are listed; a filter finds the others."""
RATES: tuple[tuple[str, str, float | None], ...] = (
    ("n", "no limit", None), ("g", "10/s", 10.0), ("e", "1/s", 1.0), ("t", "10/m", 1 / 6), ("m", "1/m", 1 / 60),
)  # fmt: skip
"""Keys, words and jobs a second of the rates that can be chosen."""


class BatchScreen(DeckScreen):
    """A batch and its results."""

    WHERE = "batch"
    BINDINGS = [*bindings("batch")]

    def __init__(self, batch_id: int) -> None:
        super().__init__()
        self._number = batch_id
        self._batch: Batch | None = None
        self._wanted = FILTERS[0]

    def body(self) -> Iterable[Widget]:
        yield Bar(id="facts")
        yield Bar(id="heading")
        yield TextLines(self._open)

    def place(self) -> str:
        return f"activity > batch {self._number}"

    def on_mount(self) -> None:
        self.set_focus(self.query_one(TextLines))

    async def reload(self) -> None:
        """Read the batch and its results anew."""
        batches = self.deck.automation.batches
        self._batch = await self.read(batches.get, self._number)
        wanted = self._wanted
        rows = await self.read(
            lambda: result_rows((job for job in batches.jobs(self._number) if shows(wanted, job)), SHOWN)
        )
        self.query_one("#facts", Bar).show(Text("\n").join(batch_facts(self._batch)))
        heading = "  " + RESULTS_HEADING + ("" if wanted == FILTERS[0] else f" — {wanted} only")
        self.query_one("#heading", Bar).show(Text(heading, style="underline"))
        self.query_one(TextLines).show(rows or [(None, Text(f"no job is {wanted}: t shows others"))])
        self.show_footer()

    def _open(self) -> None:
        job_id = self.query_one(TextLines).current
        if isinstance(job_id, int):
            self.deck.open_job(job_id)

    def blocked(self, action: str) -> str | None:
        """Return why an action is greyed, or None."""
        if self._batch is None:
            return "the batch is being read"
        if action in ("batch_run", "cancel_batch", "batch_rate") and self._batch.finished_at is not None:
            return f"batch {self._number} has ended"
        if action == "retry_failed" and not self._batch.counts.failed:
            return "none of its jobs has failed"
        return None

    def _allowed(self, action: str) -> Batch | None:
        why = self.blocked(action)
        if why:
            self.deck.say(why, error=True)
        return None if why else self._batch

    def action_batch_run(self) -> None:
        """Pause it, or go on with it."""
        if batch := self._allowed("batch_run"):
            self.act(steer(self, batch, pause_or_resume(batch)))

    def action_cancel_batch(self) -> None:
        """Cancel what has not begun."""
        if batch := self._allowed("cancel_batch"):
            self.act(steer(self, batch, "cancel"))

    def action_batch_rate(self) -> None:
        """Choose how many of its jobs may begin in a time."""
        if batch := self._allowed("batch_rate"):
            self.act(self._rate(batch))

    async def _rate(self, batch: Batch) -> None:
        head = Text(f"At most how many jobs of batch {batch.id} begin in a second or a minute?", style="bold")
        key = await self.ask([head], *(Choice(key, words) for key, words, _ in RATES))
        if key is None:
            return
        rate = next(rate for one, _, rate in RATES if one == key)
        await self.read(self.deck.automation.batches.set_rate, batch.id, rate, by=actor())
        await self.reload()

    def action_filter_results(self) -> None:
        """Choose which results are shown."""
        self.act(self._filter())

    async def _filter(self) -> None:
        keys = "afuisn"
        choices = [Choice(key, words) for key, words in zip(keys, FILTERS, strict=True)]
        key = await self.ask([Text("Which results are shown?", style="bold")], *choices)
        if key is not None:
            self._wanted = FILTERS[keys.index(key)]
            await self.reload()

    def action_retry_failed(self) -> None:
        """Rerun those that failed and have not run since."""
        if self._allowed("retry_failed"):
            self.act(self._retry())

    async def _retry(self) -> None:
        ids = await self.read(self.deck.automation.batches.failed, self._number)
        done = await self.rerun(Selection(ids=ids), note=f"failed in batch {self._number}")
        if done is not None:
            self.deck.say(f"{count(len(done.requested), 'job')} run again" + _as(done.batch))

    def copies(self) -> list[Copy]:
        """Return the bulk rerun's number, and the command that shows the same."""
        shown = copying.command("jobdeck", "batch", "show", str(self._number))
        return [copying.identity(str(self._number), "number"), shown]


def _as(batch: int | None) -> str:
    return f" as batch {batch}; 3 shows it" if batch is not None else ""


def pause_or_resume(batch: Batch) -> str:
    """Return the verb that the key for both means now."""
    return "resume" if batch.status is BatchStatus.PAUSED else "pause"


async def steer(screen: DeckScreen, batch: Batch, verb: str) -> None:
    """Ask, and pause, resume or cancel a batch; only from a worker of the screen."""
    if await screen.ask(steer_panel(batch, verb), Choice(CONFIRM, f"{verb} it")) is None:
        return
    moved = await screen.read(getattr(screen.deck.automation.batches, verb), batch.id, by=actor())
    screen.deck.say(f"batch {moved.id} is {moved.status}")
    await screen.reload()


def steer_panel(batch: Batch, verb: str) -> list[Text]:
    """Return what pausing, resuming or canceling a batch would do."""
    effects = {
        "pause": "Nothing more of it begins; what runs ends. It stays paused until somebody resumes it.",
        "resume": f"The other {count(batch.counts.waiting, 'job')} run; what failed so far counts no more.",
        "cancel": f"{count(batch.counts.waiting + batch.counts.queued, 'job')} that have not begun are canceled; "
        "what runs ends.",
    }
    head = Text(f"{verb.capitalize()} batch {batch.id}? {outcome_words(batch)}", style="bold")
    return [head, Text(f"  {effects[verb]}")]
