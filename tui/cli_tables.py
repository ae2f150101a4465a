"""What the commands print for people: listings as tables, single things as facts, times in the local zone."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TextIO, TypeVar

from core.text import safe, safe_block
from data.job_records import Job, JsonValue, Refusal
from data.records import Accepted, JobDetail, RecipeState, Revision, StepRecord, Version
from data.states import Status, StepStatus
from tui import stale
from tui.canceling import canceled
from tui.kept import kept, removed
from tui.modes import counted, mode_words
from tui.steps import place_of, told, turns, what
from tui.units import count, elapsed, local
from tui.words import WORDS

if TYPE_CHECKING:
    from rich.table import Table

    from core.automation import EngineState, State
    from core.cancels import Cancellation
    from core.coverage import Coverage, Covered
    from core.dryrun import DryRun
    from core.reruns import Plan, Rerun, RevisionChange
    from core.retention import Purged

R = TypeVar("R")
_CHUNK = 500
_CELL = 2_000
_TRIGGER = 20_000
_IDS_SHOWN = 10
_STYLES = {
    **{str(status): word.style for status, word in WORDS.items()},
    "started": "green",
    "stopped": "yellow",
    "invalid": "red",
    "missing": "red",
    "never": "yellow",
}


@dataclass(frozen=True, slots=True)
class Column(Generic[R]):
    """One column of a table: its heading, and its text for a record."""

    heading: str
    text: Callable[[R], str]
    gives_way: bool = False
    """Whether it is cut where the terminal is too narrow; the others never are."""
    right: bool = False
    state: bool = False
    """Whether its words have a colour."""


def recipe_word(recipe: RecipeState) -> str:
    """Return the one word for a recipe's state."""
    if not recipe.present:
        return "missing"
    if recipe.problems:
        return "invalid"
    return "started" if recipe.started else "stopped"


JOBS: tuple[Column[Job], ...] = (
    Column("JOB", lambda job: str(job.id), right=True),
    Column("VER", counted, right=True),
    Column("STATUS", lambda job: job.status, state=True),
    Column("RECIPE", lambda job: job.recipe, gives_way=True),
    Column("RECEIVED", lambda job: local(job.received_at)),
    Column("TITLE", lambda job: job.title, gives_way=True),
    Column("ERROR", lambda job: job.error.message if job.error else "", gives_way=True),
)
VERSIONS: tuple[Column[Version], ...] = (
    Column("VER", lambda version: str(version.number), right=True),
    Column("STATUS", lambda version: version.status, state=True),
    Column("REV", lambda version: _revision(version.recipe_revision), right=True),
    Column("MODE", lambda version: version.mode),
    Column("BY", lambda version: version.requested_by, gives_way=True),
    Column("STARTED", lambda version: local(version.started_at)),
    Column("TOOK", lambda version: elapsed(version.duration_ms), right=True),
    Column("NOTE", lambda version: version.note or "", gives_way=True),
    Column("ERROR", lambda version: version.error.message if version.error else "", gives_way=True),
)
STEPS: tuple[Column[StepRecord], ...] = (
    Column("STEP", lambda step: step.path),
    Column("ID", lambda step: step.id, gives_way=True),
    Column("ACTION", what, gives_way=True),
    Column("STATUS", lambda step: step.status, state=True),
    Column("TRIES", lambda step: str(step.attempts or ""), right=True),
    Column("TOOK", lambda step: elapsed(step.duration_ms), right=True),
    Column("OUTCOME", lambda step: _outcome(step), gives_way=True),
)
RECIPES: tuple[Column[RecipeState], ...] = (
    Column("RECIPE", lambda recipe: recipe.name, gives_way=True),
    Column("STATE", recipe_word, state=True),
    Column("REV", lambda recipe: _revision(recipe.revision), right=True),
    Column("LAST POLL", lambda recipe: local(recipe.polled_at)),
    Column("NEXT POLL", lambda recipe: local(recipe.next_poll_at)),
    Column("PROBLEM", lambda recipe: str(recipe.problems[0]) if recipe.problems else recipe.warning or "",
           gives_way=True),
)
REVISIONS: tuple[Column[Revision], ...] = (
    Column("REV", lambda revision: _revision(revision.number), right=True),
    Column("STORED", lambda revision: local(revision.stored_at)),
    Column("BYTES", lambda revision: f"{len(revision.text.encode()):,}", right=True),
)
PURGED: tuple[Column[Purged], ...] = (
    Column("RECIPE", lambda purged: purged.recipe, gives_way=True),
    Column("JOBS", lambda purged: f"{purged.jobs:,}", right=True),
    Column("BYTES", lambda purged: f"{purged.bytes:,}", right=True),
    Column("RULE", lambda purged: purged.rule, gives_way=True),
)
COVERAGE: tuple[Column[Covered], ...] = (
    Column("STEP", lambda way: way.path),
    Column("LINE", lambda way: str(way.line), right=True),
    Column("WAY", lambda way: f"{way.kind} {way.outcome}"),
    Column("RUNS", lambda way: f"{way.versions:,}" if way.versions else "never", right=True, state=True),
    Column("JOB", lambda way: "{}.{}".format(*way.example) if way.example else "", right=True),
    Column("WHEN", lambda way: way.says, gives_way=True),
)
ACCEPTED: tuple[Column[Accepted], ...] = (
    Column("JOB", lambda accepted: "" if accepted.job_id is None else str(accepted.job_id), right=True),
    Column("EVENT", lambda accepted: _became(accepted)),
    Column("KEY", lambda accepted: accepted.key, gives_way=True),
)


def write_table(records: Iterable[R], columns: Sequence[Column[R]], out: TextIO) -> None:
    """Write a table in bounded memory; on a terminal it fits the width, elsewhere nothing is cut."""
    from rich.cells import cell_len

    widths = [len(column.heading) for column in columns]
    write = _write_fitted if out.isatty() else _write_whole
    rows = iter(records)
    heading = True
    while (chunk := list(itertools.islice(rows, _CHUNK))) or heading:
        cells = [[safe(column.text(record), _CELL) for column in columns] for record in chunk]
        widths = [max(map(cell_len, texts)) for texts in zip(map(_blank, widths), *cells, strict=True)]
        write(columns, cells, widths, heading, out)
        heading = False


def _blank(width: int) -> str:
    return " " * width


def _write_whole(
    columns: Sequence[Column[Any]], cells: list[list[str]], widths: list[int], heading: bool, out: TextIO
) -> None:
    """Write rows as wide as they are, so that grep finds what is there; rich would take ten times as long."""
    from rich.cells import cell_len

    rows = [[column.heading for column in columns], *cells] if heading else cells
    for row in rows:
        padded = (
            _blank(width - cell_len(text)) + text if column.right else text + _blank(width - cell_len(text))
            for text, width, column in zip(row, widths, columns, strict=True)
        )
        out.write("  ".join(padded).rstrip() + "\n")


def _write_fitted(
    columns: Sequence[Column[Any]], cells: list[list[str]], widths: list[int], heading: bool, out: TextIO
) -> None:
    """Write rows in the terminal's width and colours."""
    from rich.console import Console

    console = Console(file=out, force_terminal=True, markup=False, highlight=False, emoji=False)
    with console.capture() as captured:
        console.print(_table(columns, cells, widths, heading))
    # Each column is padded to its width, the last one too.
    out.writelines(line.rstrip() + "\n" for line in captured.get().removesuffix("\n").split("\n"))


def _table(columns: Sequence[Column[Any]], cells: list[list[str]], widths: list[int], heading: bool) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=heading, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for column, width in zip(columns, widths, strict=True):
        table.add_column(
            column.heading,
            justify="right" if column.right else "left",
            no_wrap=not column.gives_way,
            min_width=len(column.heading) if column.gives_way else width,
            max_width=width,
        )
    for row in cells:
        styles = [_STYLES.get(text, "") if column.state else "" for text, column in zip(row, columns, strict=True)]
        # The cell itself never wraps; to the table a column that may is one that may shrink.
        table.add_row(*(Text(*cell, no_wrap=True, overflow="ellipsis") for cell in zip(row, styles, strict=True)))
    return table


def write_facts(facts: Iterable[tuple[str, str]], out: TextIO) -> None:
    """Write one `name  value` a line; a fact without a value is left out."""
    told = [(name, value) for name, value in facts if value]
    width = max((len(name) for name, _ in told), default=0)
    for name, value in told:
        first, *more = safe_block(value).rstrip("\n").split("\n")
        out.write(f"{name:<{width}}  {first}\n")
        out.writelines(f"{'':<{width}}  {line}\n" for line in more)


def write_show(detail: JobDetail, out: TextIO) -> None:
    """Write one job as one of its versions shows it."""
    write_facts(_show_facts(detail), out)
    if detail.version.expired:
        return
    out.write("\n")
    write_table(detail.steps, _steps_told(detail.steps, lambda step, outcome: outcome), out)


def _steps_told(
    steps: Sequence[StepRecord], outcome: Callable[[StepRecord, str], str]
) -> Sequence[Column[StepRecord]]:
    begun = turns(steps)
    last = replace(STEPS[-1], text=lambda step: outcome(step, _outcome(step, begun.get(step.path, 0))))
    return [*STEPS[:-1], last]


def write_dry_run(ran: DryRun, out: TextIO) -> None:
    """Write what came of a dry run."""
    error = ran.error
    facts = [
        ("dry run", f"{ran.recipe} {_revision(ran.revision)}: {safe(ran.title)}"),
        ("status", str(ran.status)),
        ("error", f"{error.message} ({error.kind}{f', step {error.step}' if error.step else ''})" if error else ""),
        ("warnings", "\n".join(ran.warnings)),
        *((f"report.{name}", value) for name, value in ran.report.items()),
        ("not sent", "steps so marked were answered by what they last gave in a job, or by an example"
         if ran.not_sent else ""),
    ]
    write_facts(facts, out)
    out.write("\n")
    write_table(ran.steps, _steps_told(ran.steps, lambda step, outcome: _answered(step, outcome, ran.not_sent)), out)


def _answered(step: StepRecord, outcome: str, not_sent: Mapping[str, str]) -> str:
    source = not_sent.get(step.path)
    return outcome if source is None else f"(not sent: {source}) {outcome}".rstrip()


def coverage_words(found: Coverage) -> str:
    """Return what a coverage comes to, in a sentence."""
    if not found.ways:
        return f"{found.recipe} {_revision(found.revision)} has no branches, monitors or stops"
    never = f"{found.never} of {count(len(found.ways), 'way')} never taken" if found.never else "every way was taken"
    newest = "" if found.all else ", the newest"
    return f"{found.recipe} {_revision(found.revision)}: {never}; {count(found.versions, 'version')} ran it{newest}"


def write_status(state: State, out: TextIO) -> None:
    """Write what `jobdeck status` tells."""
    told = [f"{state.jobs[status]:,} {status}" for status in Status if state.jobs.get(status)]
    write_facts([("engine", engine_words(state.engine)), ("jobs", ", ".join(told) or "none yet")], out)
    out.write("\n")
    write_table(state.recipes, RECIPES, out)


def write_recipe(recipe: RecipeState, revision: Revision | None, out: TextIO) -> None:
    """Write a recipe's state and the text of its last revision."""
    write_facts(
        [
            ("recipe", recipe.name),
            ("state", recipe_word(recipe)),
            ("revision", _revision(recipe.revision) or "none: the file was never valid"),
            ("last poll", local(recipe.polled_at)),
            ("next poll", local(recipe.next_poll_at)),
            ("warning", recipe.warning or ""),
            ("problems", "\n".join(map(str, recipe.problems))),
        ],
        out,
    )
    if revision is not None:
        out.write("\n" + safe_block(revision.text).rstrip("\n") + "\n")


def write_plan(plan: Plan, out: TextIO) -> None:
    """Write what a rerun would do: who runs, on which revision, who not and why, which writes would happen again."""
    jobs = len(plan.requested) + len(plan.refused)
    long = f", in about {elapsed(plan.estimate_ms)}" if plan.estimate_ms and len(plan.requested) > 1 else ""
    order = f", order {plan.how.order}" if len(plan.requested) > 1 else ""
    out.write(f"{len(plan.requested):,} of {count(jobs, 'job')} would run{order}{long}{_ids(plan.requested)}\n")
    if plan.how.mode == "failed":
        out.write("from the failed step: what was completed before it is reused, not done again\n")
    for change in plan.revisions:
        _write_change(change, plan.how.revision == "original", out)
    if plan.refused:
        out.write(f"{count(len(plan.refused), 'job')} would not run:\n")
        write_refused(plan.refused, out)
    if plan.repeats:
        out.write("writing steps that an earlier version completed and that would happen again:\n")
    for repeat in plan.repeats:
        step = f"{repeat.recipe} {repeat.path} {repeat.action}"
        out.write(f"  {safe(step)}: {count(repeat.jobs, 'job')}\n")
    _write_stale(plan, out)
    out.write(f"plan {plan.digest}\n")


def _write_change(change: RevisionChange, original: bool, out: TextIO) -> None:
    ran = "not run yet" if change.ran is None else _revision(change.ran)
    moves = f"{ran} -> {_revision(change.will_run)}" if change.ran != change.will_run else f"{ran}, as before"
    first = ", that of version 1" if original else ""
    out.write(f"  {safe(change.recipe)}: {count(change.jobs, 'job')}, {moves}{first}\n")
    out.writelines(f"    {safe(line)}\n" for line in change.diff)


def _write_stale(plan: Plan, out: TextIO) -> None:
    newer = [f"{one.job_id} by {one.newer}" for one in plan.stale if one.newer is not None]
    changed = [one.job_id for one in plan.stale if one.changed_at is not None]
    if newer:
        more = f" and {len(newer) - _IDS_SHOWN:,} more" if len(newer) > _IDS_SHOWN else ""
        out.write(f"{count(len(newer), 'job')} came before a newer job of the same object: ")
        out.write(f"{', '.join(newer[:_IDS_SHOWN])}{more}\n")
    if changed:
        told = f"the objects of {count(len(changed), 'job')} have changed since; a rerun cannot see that"
        out.write(f"{told}{_ids(changed)}\n")


def write_rerun(done: Rerun, out: TextIO) -> None:
    """Write which jobs a rerun queued."""
    batch = "" if done.batch is None else f" as batch {done.batch}"
    out.write(f"{count(len(done.requested), 'job')} queued{batch}{_ids(done.requested)}\n")


def write_canceled(done: Cancellation, out: TextIO) -> None:
    """Write which jobs a cancellation ended, and which it asked to end."""
    out.write(f"{count(len(done.canceled), 'job')} canceled{_ids(done.canceled)}\n")
    if done.stopping:
        stopping = f"{count(len(done.stopping), 'job')} stopping"
        out.write(f"{stopping}{_ids(done.stopping)}; the writing step under way is let finish\n")


def write_going_on(done: Cancellation, out: TextIO) -> None:
    """Write which jobs, called by canceled ones, go on."""
    if done.goes_on:
        out.write(f"{count(len(done.goes_on), 'called job')} not canceled, nobody waits{_ids(done.goes_on)}\n")


def write_refused(refused: Iterable[Refusal], out: TextIO) -> None:
    """Write to whom it is not done and why, grouped by the reason."""
    groups: dict[str, list[Refusal]] = defaultdict(list)
    for refusal in refused:
        groups[refusal.code].append(refusal)
    for code, group in groups.items():
        out.write(f"  {safe(code)}: {count(len(group), 'job')}{_ids([refusal.id for refusal in group])}\n")
        # One sentence may name its own job; the first few stand for the rest.
        for message in list(dict.fromkeys(refusal.message for refusal in group))[:3]:
            out.write(f"    {safe(message)}\n")


def engine_words(engine: EngineState) -> str:
    """Return whether an engine runs, and which, or how to start one."""
    if not engine.running:
        return "not running; start one with `jobdeck engine`"
    told = [f"running, process {engine.pid}"]
    if engine.host:
        told.append(f"on {engine.host}")
    if engine.since:
        told.append(f"since {local(engine.since)}")
    if engine.listen:
        told.append(f"listening on {engine.listen}")
    return " ".join(told)


def _show_facts(detail: JobDetail) -> list[tuple[str, str]]:
    job, version = detail.job, detail.version
    place = f"{job.id}.{version.number}" + (", the latest" if version.latest else f" of {job.versions}")
    error = None if version.status is Status.CANCELED else version.error
    return [
        ("job", f"{place}: {safe(job.title)}"),
        ("recipe", f"{job.recipe} {_revision(version.recipe_revision)}".rstrip()),
        ("status", str(version.status)),
        ("cancel", canceled(version)),
        ("error", f"{error.message} ({error.kind}{f', step {error.step}' if error.step else ''})" if error else ""),
        ("received", local(job.received_at)),
        ("first ran", local(job.first_started_at)),
        ("this ran", " ".join(filter(None, (local(version.started_at), _took(version.duration_ms))))),
        ("called by", place_of(detail.parent) if detail.parent else ""),
        ("same object", "\n".join((*stale.newer(detail), *stale.older(detail), *stale.outdated(detail)))),
        ("mode", mode_words(version.mode)),
        ("asked by", version.requested_by),
        ("note", version.note or ""),
        ("warnings", "\n".join(version.warnings)),
        ("rerun", job.rerun_blocked.message if job.rerun_blocked else "possible"),
        ("event key", job.event_key),
        *((f"report.{name}", _shown(value)) for name, value in version.report.items()),
        ("kept", kept(job)),
        ("trigger", _trigger(detail)),
    ]


def _trigger(detail: JobDetail) -> str:
    job = detail.job
    if job.trigger_stored:
        text = _as_json(detail.trigger, _TRIGGER + 1, indent=2)
        return text if len(text) <= _TRIGGER else f"{text[:_TRIGGER]}\n… and more: -o json has all of it"
    if job.trigger_expired_at:
        return removed(job)
    return "not stored"


def _outcome(step: StepRecord, begun: int = 0) -> str:
    words = told(step, begun)
    if step.error and step.status != StepStatus.HANDLED:
        # Of a call, the error names the job.
        return f"{words}: {step.error.message}" if words and step.kind != "call" else step.error.message
    if words:
        return words
    return "" if step.output is None else _shown(step.output)


def _shown(value: JsonValue) -> str:
    return value if isinstance(value, str) else _as_json(value, _CELL + 1)


def _as_json(value: JsonValue, limit: int, indent: int | None = None) -> str:
    """Return the first `limit` characters of a value as JSON; what comes after them is not even looked at."""
    parts: list[str] = []
    left = limit
    for part in json.JSONEncoder(indent=indent, ensure_ascii=False).iterencode(value):
        parts.append(part[:left])
        left -= len(part)
        if left <= 0:
            break
    return "".join(parts)


def _became(accepted: Accepted) -> str:
    if accepted.job_id is None:
        return "no job: the trigger condition is false" if accepted.new else "known, no job"
    return "new" if accepted.new else "known"


def _took(milliseconds: int | None) -> str:
    return "" if milliseconds is None else f"in {elapsed(milliseconds)}"


def _revision(number: int | None) -> str:
    return "" if number is None else f"r{number}"


def _ids(ids: Sequence[int]) -> str:
    more = f" and {len(ids) - _IDS_SHOWN:,} more" if len(ids) > _IDS_SHOWN else ""
    return f": {', '.join(map(str, ids[:_IDS_SHOWN]))}{more}" if ids else ""
