"""The questions that stand between a key and its deed: a panel above the footer, with Cancel under the cursor."""

from __future__ import annotations

from asyncio import Future
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widget import Widget
from textual.widgets import Static

from core.selection import WHOLE, How, limits_words
from core.text import safe
from data.job_records import Refusal
from data.states import Status
from tui.actions import shown
from tui.canceling import cancelable
from tui.deck import Deck
from tui.units import count, elapsed
from tui.widgets.typed import TypedLine
from tui.words import WORDS
from tui.wrapping import rows, wrapped

if TYPE_CHECKING:
    from core.reruns import Plan, Repeat, RevisionChange, Stale

CONFIRM = "c"
"""The key that confirms; never the one that asked."""
CANARY = 5
"""Jobs of a canary that the panel offers."""
DIFF_LINES = 6
"""Changed lines of a recipe that a plan shows."""
FIRST_IDS = 5
"""How many of the jobs of a group a plan names."""


class Choice(NamedTuple):
    """One way out of a panel; never on the key that opened it, nor on one that a broken arrow key may send."""

    key: str
    label: str


CANCEL = Choice("escape", "Cancel")


class ConfirmPanel(Widget, can_focus=True):
    """Lines that say what would happen, and the choices; resolves `answer` with the chosen key, or None for Cancel.

    Keys that were pressed before the panel was on the terminal do nothing.
    """

    DEFAULT_CSS = "ConfirmPanel { width: 100%; height: auto; }"

    def __init__(self, lines: Iterable[Text], choices: Sequence[Choice], answer: Future[str | None]) -> None:
        super().__init__()
        self._lines = list(lines)
        self._choices = (CANCEL, *choices)
        self._answer = answer
        self._at = 0
        self._open_since: float | None = None

    def on_mount(self) -> None:
        """Take the focus, and keys from when the panel is seen."""
        self.screen.set_focus(self)
        self.call_after_refresh(lambda: cast(Deck, self.app).when_painted(self._open))

    def _open(self) -> None:
        # An event's time is counted as keys' times are: what was typed ahead is older.
        self._open_since = events.Event().time

    def on_key(self, event: events.Key) -> None:
        """Choose, cancel or move; nothing goes on to the screen below."""
        if event.key == "ctrl+c":
            return
        event.stop()
        if self._open_since is None or event.time < self._open_since:
            return
        if event.key in ("tab", "right", "l", "shift+tab", "left", "h") and event.key not in self._keys():
            self._move(1 if event.key in ("tab", "right", "l") else -1)
        elif event.key == "enter":
            self._choose(self._choices[self._at])
        elif event.key in ("escape", "q"):
            self._choose(CANCEL)
        else:
            chosen = [choice for choice in self._choices[1:] if choice.key == event.key]
            if chosen:
                self._choose(chosen[0])

    def _keys(self) -> set[str]:
        return {choice.key for choice in self._choices}

    def _move(self, step: int) -> None:
        self._at = (self._at + step) % len(self._choices)
        self.refresh()

    def _choose(self, choice: Choice) -> None:
        if not self._answer.done():
            self._answer.set_result(None if choice is CANCEL else choice.key)

    @property
    def cursor_line(self) -> int:
        """The line of the choice under the cursor."""
        found, cursor = choice_rows(self._choices, self._at, self.size.width)
        return max(self.size.height - len(found), 0) + cursor

    def get_content_height(self, container: object, viewport: object, width: int) -> int:
        """Return the rows of text and of choices: two thirds of the screen at the most, but a row and all choices, and
        no more than the bars leave."""
        choices = len(choice_rows(self._choices, self._at, width)[0])
        text = sum(len(wrapped(line, width)) for line in self._lines)
        bars = sum(one.size.height for one in self.siblings if one.display and not one.styles.height.is_fraction)
        wanted = min(text + choices, max(self.app.size.height * 2 // 3, choices + 1))
        return max(min(wanted, self.app.size.height - bars), 2)

    def render(self) -> Text:
        """Return the rows of text that fit, and the choices below them."""
        return panel_text(self._lines, self._choices, self._at, self.size.width, self.size.height)


def panel_text(lines: Sequence[Text], choices: Sequence[Choice], at: int, width: int, height: int) -> Text:
    """Return a panel's content in `width` by `height` cells; the choices are all there, or those around the cursor."""
    below, cursor = choice_rows(choices, at, width)
    first = min(cursor, max(len(below) - height, 0))
    below = below[first : first + height]
    head = [line.copy() for line in lines]
    if head:
        head[0].stylize("reverse")
    above = rows(head, width, height - len(below)) if height > len(below) else []
    text = Text(no_wrap=True, overflow="crop")
    return text.append_text(Text("\n").join([*above, *below]))


def choice_rows(choices: Sequence[Choice], at: int, width: int) -> tuple[list[Text], int]:
    """Return the choices in as many rows as they take, none of them broken, and the number of the cursor's row."""
    found, cursor = [Text()], 0
    for number, choice in enumerate(choices):
        label = f"{shown(choice.key)} {choice.label}"
        part = Text(f">{label}<", style="bold reverse") if number == at else Text(f" {label} ", style="bold")
        if found[-1] and found[-1].cell_len + 1 + part.cell_len > width:
            found.append(Text())
        found[-1].append(" " if found[-1] else "").append_text(part)
        if number == at:
            cursor = len(found) - 1
    return found, cursor


class TypedPanel(Vertical):
    """Lines that say what is wanted, and a line to type it; resolves `answer` with the text, or None for Cancel.

    What was typed before the panel was on the terminal goes into the line: it does nothing by itself.
    """

    DEFAULT_CSS = "TypedPanel { height: auto; }"

    def __init__(self, lines: Iterable[Text], placeholder: str, answer: Future[str | None]) -> None:
        super().__init__()
        self._lines = list(lines)
        self._placeholder = placeholder
        self._answer = answer

    def compose(self) -> ComposeResult:
        """Yield the lines and the line to type into."""
        yield Static(Text("\n").join(self._lines), markup=False)
        yield TypedLine(self._placeholder, self._done)

    def on_mount(self) -> None:
        """Take the focus."""
        self.screen.set_focus(self.query_one(TypedLine))

    def on_key(self, event: events.Key) -> None:
        """Cancel with Esc; keys that move stay here."""
        if event.key == "escape":
            self._done(None)
        if event.key in ("escape", "tab", "shift+tab", "up", "down", "pageup", "pagedown"):
            event.stop()

    def _done(self, text: str | None) -> None:
        if not self._answer.done():
            self._answer.set_result(text)


OTHERWISE = {
    "w": WHOLE, "f": How(mode="failed"), "o": How(revision="original"), "k": How(canary=CANARY),
}  # fmt: skip
"""Keys of a plan's panel that make another plan of the same jobs."""
OPTIONS = "t"
"""The key of a plan's panel by which options are typed as the command takes them."""


def plan_choices(plan: Plan) -> list[Choice]:
    """Return the ways out of a plan's panel: to go ahead with it, or to look at another one."""
    number = len(plan.requested)
    choices = [Choice(CONFIRM, f"rerun {count(number, 'job')}")]
    others = {"w": "whole recipe", "f": "from the failed step", "o": "original revision"}
    choices += [Choice(key, label) for key, label in others.items() if OTHERWISE[key] != plan.how]
    if number > CANARY and plan.how.canary is None:
        choices.append(Choice("k", f"canary of {CANARY}"))
    return [*choices, Choice(OPTIONS, "options")]


def plan_panel(plan: Plan) -> list[Text]:
    """Return what rerunning would do: how many, who not and why, from which revision to which, and what repeats."""
    many = len(plan.requested) > 1
    head = f"Rerun: {len(plan.requested):,} run, {len(plan.refused):,} not"
    head += f", in the order of their events, in about {elapsed(plan.estimate_ms)}" if many and plan.estimate_ms else ""
    lines = [Text(head, style="bold"), *_how(plan.how)]
    lines += _refused(plan.refused)
    lines += [line for change in plan.revisions for line in _revision(change)]
    lines += _repeats(plan.repeats)
    return [*lines, *_stale(plan.stale)]


def _how(how: How) -> list[Text]:
    told = {
        "failed": "  From the failed step: what was completed before it is reused, not done again.",
        "original": "  At the revision that version 1 ran, not at the latest.",
    }
    lines = [Text(told[how.version_mode], style="bold")] if how.version_mode in told else []
    if how.order != WHOLE.order or how.rate or how.stop_failures is not None or how.stop_share is not None:
        lines.append(Text(f"  {limits_words(how)}.", style="bold"))
    if how.canary:
        lines.append(Text(f"  A canary: {how.canary} run first; the rest waits for a yes (3, then a).", style="bold"))
    return lines


def _stale(stale: Sequence[Stale]) -> list[Text]:
    newer = [one for one in stale if one.newer is not None]
    changed = [one for one in stale if one.changed_at is not None]
    lines = []
    if newer:
        first = ", ".join(f"{one.job_id} by {one.newer}" for one in newer[:FIRST_IDS])
        more = ", …" if len(newer) > FIRST_IDS else ""
        lines.append(Text(f"  {count(len(newer), 'job')} followed by a newer job of the same object: {first}{more}"))
    if changed:
        first = ", ".join(str(one.job_id) for one in changed[:FIRST_IDS])
        lines.append(Text(f"  {count(len(changed), 'object')} changed since, which a rerun cannot see: {first}"))
    return [Text(line.plain, style="yellow") for line in lines]


def _refused(refused: Iterable[Refusal]) -> list[Text]:
    groups: dict[str, list[Refusal]] = defaultdict(list)
    for refusal in refused:
        groups[refusal.code].append(refusal)
    return [_group(code, group) for code, group in groups.items()]


def _group(code: str, group: list[Refusal]) -> Text:
    ids = ", ".join(str(refusal.id) for refusal in group[:FIRST_IDS])
    more = ", …" if len(group) > FIRST_IDS else ""
    why = Text.assemble((f"  not {len(group):,} ({safe(code)})", "yellow"), f": {ids}{more}")
    return why.append(f" — {safe(group[0].message)}")


def _revision(change: RevisionChange) -> list[Text]:
    name, jobs = safe(change.recipe), count(change.jobs, "job")
    if change.ran == change.will_run:
        return [Text(f"  {name}: r{change.will_run}, as it ran ({jobs})")]
    ran = "no revision" if change.ran is None else f"r{change.ran}"
    changed = [line for line in change.diff if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    added = sum(line.startswith("+") for line in changed)
    told = f" ({jobs}; lines: +{added} -{len(changed) - added})" if changed else f" ({jobs})"
    head = Text.assemble(f"  {name}: ran {ran}, ", (f"will run r{change.will_run}", "bold"), told)
    styles = {"+": "green", "-": "red"}
    return [head, *(Text(f"    {safe(line)}", style=styles[line[0]]) for line in changed[:DIFF_LINES])]


def _repeats(repeats: Sequence[Repeat]) -> list[Text]:
    if not repeats:
        return []
    head = Text("  Completed before, and would happen again:", style="bold yellow")
    recipes = {repeat.recipe for repeat in repeats}
    return [head, *(_repeat(repeat, named=len(recipes) > 1) for repeat in repeats)]


def _repeat(repeat: Repeat, named: bool) -> Text:
    recipe = f"{safe(repeat.recipe)}: " if named else ""
    return Text(f"    {recipe}{safe(repeat.path)} {safe(repeat.action)} — {count(repeat.jobs, 'job')}")


def cancel_panel(standing: Mapping[Status, int]) -> list[Text]:
    """Return what canceling these jobs would do."""
    lines = [Text(f"Cancel {count(cancelable(standing), 'job')}?", style="bold")]
    for status, what in _BECOMES.items():
        if standing.get(status):
            lines.append(Text(f"  {standing[status]:,} {WORDS[status].word}: {what}"))
    ended = sum(standing.values()) - cancelable(standing)
    if ended:
        lines.append(Text(f"  {ended:,} ended: nothing to cancel", style="yellow"))
    return lines


_BECOMES = {
    Status.QUEUED: "at once; they never run",
    Status.RUNNING: "waits and reading calls at once; a writing step is let finish, to its timeout",
    Status.IN_DOUBT: "at once; nobody settles the step in doubt any more",
}
