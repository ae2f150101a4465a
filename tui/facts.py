"""What the job's screens say of a job, its versions and its recipe, as lines; needs no screen."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from rich.text import Text

from core.text import safe
from data.states import Status, StepStatus
from tui.canceling import canceled
from tui.json_lines import Section
from tui.kept import kept, removed
from tui.modes import mode_words
from tui.stale import newer, outdated
from tui.steps import child, place_of, what
from tui.units import count, elapsed, local
from tui.words import DOT, WORDS, mark

if TYPE_CHECKING:
    from core.coverage import Coverage, Covered
    from data.job_records import Error
    from data.records import JobDetail, Problem, RecipeState, StepRecord, Version

FULL = 7
"""Lines of facts where there is room; with fewer, the title, the outcome and the error come first."""


def facts(detail: JobDetail, width: int, height: int) -> Text:
    """Return what stands above the steps, at most `height` lines: title, outcome, clocks, error, note, warnings."""
    job, version = detail.job, detail.version
    lines = [Text.assemble((f"{job.id} ", "bold"), (safe(job.title), "bold")), _outcome(detail)]
    if version.canceled_by is not None:
        lines.append(Text(canceled(version), style=WORDS[Status.CANCELED].style))
    elif version.error:
        lines.append(_error(version.error))
    lines.append(Text(_clocks(detail)))
    lines += [Text(f"note: {safe(version.note)}")] if version.note else []
    lines += [Text(f"trigger event{_expired(detail)}")] if not job.trigger_stored else []
    lines += [Text(f"data {kept(job)}")] if job.held else []
    lines += [Text(line, style="yellow") for line in (*newer(detail), *outdated(detail))]
    lines += [Text(f"warning: {safe(warning)}", style="yellow") for warning in version.warnings]
    return _stack(lines, width, height)


def _stack(lines: list[Text], width: int, height: int) -> Text:
    if height < FULL:
        lines = lines[:height]
    if len(lines) > height:
        lines = [*lines[: height - 1], Text(f"… {len(lines) - height + 1} more: jobdeck show tells all", style="dim")]
    for line in lines:
        line.truncate(max(width, 1), overflow="ellipsis")
    return Text("\n").join(lines)


def _outcome(detail: JobDetail) -> Text:
    version = detail.version
    place = f"version {version.number} of {detail.job.versions}" + ("" if version.latest else ", not the latest")
    revision = "" if version.recipe_revision is None else f" r{version.recipe_revision}"
    asked = f"by {safe(version.requested_by)}" if version.requested_by else ""
    if detail.parent:
        asked = f"called by {safe(place_of(detail.parent))}"
    parts = [place, f"{safe(detail.job.recipe)}{revision}", _mode(version), asked]
    return Text.assemble(mark(version.status), DOT, (DOT.join(part for part in parts if part), ""))


def _mode(version: Version) -> str:
    again = f"attempt {version.attempt}" if version.attempt > 1 else ""
    return DOT.join(part for part in (mode_words(version.mode), again) if part)


def _error(error: Error) -> Text:
    place = f" at {safe(error.step)}" if error.step else ""
    return Text.assemble((f"error{place}: ", "bold red"), (safe(error.message), "red"))


def _clocks(detail: JobDetail) -> str:
    job, version = detail.job, detail.version
    clock = _Clock()
    parts = [f"received {clock.tell(job.received_at)}"]
    if job.first_started_at:
        parts.append(f"first ran {clock.tell(job.first_started_at)}")
    if version.started_at and version.number > 1:
        parts[-1] += f", {'last' if version.latest else 'this one'} {clock.tell(version.started_at)}"
    if version.duration_ms is not None:
        parts.append(f"took {elapsed(version.duration_ms)}")
    if job.expires_at is not None:
        parts.append(kept(job))
    return DOT.join(parts)


class _Clock:
    """Tells moments one after the other, a day only where it is another one."""

    def __init__(self) -> None:
        self._day = ""

    def tell(self, moment: dt.datetime) -> str:
        day, time = local(moment).split(" ")
        told = time if day == self._day else f"{day} {time}"
        self._day = day
        return told


def _expired(detail: JobDetail) -> str:
    return "" if detail.job.trigger_stored else f": {_not_stored(detail)}"


def _not_stored(detail: JobDetail) -> str:
    job = detail.job
    if job.trigger_expired_at is None:
        return "not stored"
    return removed(job)


def sections(detail: JobDetail, step: StepRecord | None, trigger: bool) -> list[Section]:
    """Return what the data pane shows: of the trigger its event, of a step its error, input and output."""
    if trigger:
        return [Section("trigger", detail.trigger)] if detail.job.trigger_stored else []
    if step is None:
        return []
    parts = [Section("error", _error_value(step.error))] if step.error else []
    if step.has_input or step.input is not None:
        parts.append(Section("input", step.input))
    if step.output is not None or step.status in (StepStatus.SUCCEEDED, StepStatus.REUSED):
        parts.append(Section("output", step.output))
    return parts


def data_title(detail: JobDetail, step: StepRecord | None, trigger: bool) -> Text:
    """Return the title above the data: whose it is."""
    if trigger:
        return Text(f"trigger event{_expired(detail)}", style="bold")
    if step is None:
        return Text("")
    name = " ".join(part for part in (step.path, safe(step.id), safe(what(step))) if part)
    text = Text.assemble((name, "bold"), DOT, mark(step.status))
    if (called := child(step)) is not None:
        text.append(f"{DOT}Enter opens job {called}")
    if step.error is None and step.output is None and not step.has_input:
        text.append(f"{DOT}nothing recorded", style="dim")
    return text


def _error_value(error: Error) -> dict[str, object]:
    told = {"message": error.message, "kind": error.kind, "step": error.step, "status": error.status}
    return {name: value for name, value in told.items() if value is not None}


def not_latest(number: int, versions: int) -> str:
    """Return why a version that is not the latest cannot be rerun."""
    return f"version {number} of {versions} is not the latest; L opens it"


def version_line(version: Version, width: int) -> Text:
    """Return a version as a line of the history; what does not fit a narrow screen goes last."""
    revision = "-" if version.recipe_revision is None else f"r{version.recipe_revision}"
    text = Text(f"{version.number:>4}{'*' if version.latest else ' '} ", style="")
    text.append_text(_padded(mark(version.status), 13)).append(f"{revision:>5}  ")
    text.append(f"{local(version.started_at or version.requested_at):19}  ")
    text.append(f"{elapsed(version.duration_ms):>8}  ")
    text.append(f"{_mode(version) or 'first':6}")
    if version.requested_by:
        text.append(f" by {safe(version.requested_by, 24)}")
    if version.note:
        text.append(f"{DOT}{safe(version.note, width)}")
    if version.error:
        style = WORDS[Status.CANCELED].style if version.status is Status.CANCELED else "red"
        text.append(f"{DOT}{safe(version.error.message, width)}", style=style)
    return text


HISTORY_HEADING = f"{'ver':>6} {'status':13}{'rev':>5}  {'ran':19}  {'took':>8}  mode, by whom, note, error"


def recipe_facts(state: RecipeState, warnings: Iterable[Problem]) -> list[Text]:
    """Return what stands above a recipe's coverage: state, what is wrong, and warnings on its last valid revision."""
    revision = "never valid" if state.revision is None else f"r{state.revision}"
    head = Text.assemble((safe(state.name), "bold"), DOT, running(state), f"{DOT}{revision}")
    return [head, *told(state), *(Text(safe(str(one)), style="yellow") for one in warnings)]


def coverage_line(coverage: Coverage) -> Text:
    """Return what a recipe's coverage comes to."""
    ran = f"{count(coverage.versions, 'version')} ran r{coverage.revision}"
    looked = ran if coverage.all else f"the newest {ran}"
    if not coverage.ways:
        return Text(f"{looked}{DOT}no branches, monitors or stops")
    never = f"{coverage.never} of {count(len(coverage.ways), 'way')} never taken"
    return Text(f"{looked}{DOT}{never if coverage.never else 'all ways taken'}")


COVERAGE_HEADING = f"{'STEP':12} {'WAY':16} {'RUNS':>6}  {'JOB':>10}  WHEN"


def ways_rows(coverage: Coverage) -> list[tuple[int, Callable[[], Text]]]:
    """Return what makes the lines of a coverage, each with its number."""
    return [(number, partial(_way, way)) for number, way in enumerate(coverage.ways)]


def _way(way: Covered) -> Text:
    job = "{}.{}".format(*way.example) if way.example else ""
    runs = (f"{way.versions:>6,}", "") if way.versions else (f"{'never':>6}", "yellow")
    place = _padded(Text(safe(way.path)), 12)
    return Text.assemble(place, f" {f'{way.kind} {way.outcome}':16} ", runs, f"  {job:>10}  ", safe(way.says))


def running(state: RecipeState) -> Text:
    """Return whether a recipe takes events, in a word."""
    return Text("started", style="green") if state.started else Text("stopped", style="yellow")


def told(state: RecipeState) -> list[Text]:
    """Return what is to be said of a recipe's file and its trigger, nothing where all is well."""
    keeps = f"r{state.revision} keeps running" if state.revision is not None else "it never ran"
    lines = []
    if not state.present:
        lines.append(Text(f"its file is gone; {keeps}", style="red"))
    for number, problem in enumerate(state.problems):
        ahead = f"broken at {problem.line}:{problem.column} — {keeps}: " if number == 0 else f"{safe(str(problem))}"
        lines.append(Text(ahead + (safe(problem.message) if number == 0 else ""), style="red"))
    if state.warning:
        lines.append(Text(f"warning: {safe(state.warning)}", style="yellow"))
    return lines


def _padded(text: Text, width: int) -> Text:
    text.truncate(width, pad=True)
    return text


def versions_rows(versions: Sequence[Version], width: int) -> list[tuple[int, Text]]:
    """Return the history's lines, each with its version's number."""
    return [(version.number, version_line(version, width)) for version in versions]
