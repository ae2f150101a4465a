"""The options that commands share: the output's format, filters, jobs and recipes by name."""

from __future__ import annotations

import datetime as dt
import difflib
import functools
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from core.errors import UsageError
from core.selection import rate
from data.job_records import SECOND_COLUMNS, SORT_COLUMNS, JobFilter, Sort
from data.states import Status
from tui.cli_face import name_recipes, named_workspace
from tui.moments import moment_of
from tui.output import FORMATS

F = TypeVar("F", bound=Callable[..., Any])


def _remember_recipe(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    name_recipes(context, () if value is None else (value,))
    return value


def _remember_recipes(context: click.Context, parameter: click.Parameter, names: tuple[str, ...]) -> frozenset[str]:
    name_recipes(context, names)
    return frozenset(names)


class JobRef(click.ParamType[tuple[int, int | None]]):
    """A job's id, or `812.3`: its id and a version's number."""

    name = "job"

    def __init__(self, versions: bool = True) -> None:
        self.versions = versions

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int | None]:
        """Return (id, version or None)."""
        found = re.fullmatch(r"([0-9]{1,18})(?:\.([0-9]{1,9}))?", value) if isinstance(value, str) else None
        if not found:
            self.fail(f"{value!r} is no job: write its id, as 812" + self._or_version(), param, ctx)
        if found[2] and not self.versions:
            self.fail(f"{value!r} names a version: write the job's id alone, as {found[1]}", param, ctx)
        return int(found[1]), int(found[2]) if found[2] else None

    def _or_version(self) -> str:
        return ", or one of its versions, as 812.3" if self.versions else ""


class Words(click.ParamType[Any]):
    """Words out of a known few; a wrong one is told the nearest."""

    name = "words"

    def __init__(self, known: Iterable[str]) -> None:
        self.known = list(known)

    def check(self, word: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return `word` if it is known, or fail."""
        if word not in self.known:
            near = difflib.get_close_matches(word, self.known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"one of: {', '.join(self.known)}"
            self.fail(f"{word!r} is none; {hint}", param, ctx)
        return word

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the known words, after those that stand before the last comma."""
        before, _, last = incomplete.rpartition(",")
        start = f"{before}," if before else ""
        return [CompletionItem(start + word) for word in self.known if word.startswith(last)]


class Statuses(Words):
    """`queued,failed`: statuses, separated by commas."""

    name = "status"

    def __init__(self) -> None:
        super().__init__(str(status) for status in Status)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> frozenset[Status]:
        """Return the statuses."""
        if isinstance(value, frozenset):
            return value
        return frozenset(Status(self.check(word.strip(), param, ctx)) for word in value.split(","))


class SortColumn(Words):
    """`received_at`, or `-received_at` for descending; `status,-received_at` by two, where an index has that order."""

    name = "column"

    def __init__(self) -> None:
        super().__init__(SORT_COLUMNS)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Sort:
        """Return the order."""
        if isinstance(value, Sort):
            return value
        first, _, second = value.partition(",")
        column, descending = self.check(first.removeprefix("-"), param, ctx), first.startswith("-")
        if not second:
            return Sort(column, descending)
        then = self.check(second.removeprefix("-"), param, ctx)
        if then not in SECOND_COLUMNS.get(column, ()):
            from tui.filters import no_second

            self.fail(no_second(column, then), param, ctx)
        return Sort(column, descending, then, second.startswith("-"))


class Moment(click.ParamType[dt.datetime]):
    """A moment: `2h` back from now, a date, or an RFC 3339 time; without an offset in the local zone."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dt.datetime:
        """Return the aware moment."""
        if isinstance(value, dt.datetime):
            return value
        try:
            return moment_of(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Duration(click.ParamType[float]):
    """A duration: `10s`, `2m`."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds."""
        if isinstance(value, float):
            return value
        from core.durations import duration

        try:
            return duration(value).total_seconds()
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Rate(click.ParamType[float]):
    """Jobs a second: `10/s`, `30/m`."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the jobs a second."""
        if isinstance(value, float):
            return value
        try:
            return rate(value)
        except UsageError as error:
            self.fail(str(error), param, ctx)


class StopAt(click.ParamType[tuple[int | None, float | None]]):
    """How much failure stops the rest: `10` failures, or `20%` of those that ended."""

    name = "stop_at"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int | None, float | None]:
        """Return (failures, None) or (None, share from 0 to 1)."""
        if isinstance(value, tuple):
            return value
        found = re.fullmatch(r"([0-9]{1,9})(%?)", value)
        number = int(found[1]) if found else 0
        if not found or not number or (found[2] and number > 100):
            self.fail(f"{value!r} is neither a number of failures, as 10, nor a share of them, as 20%", param, ctx)
        return (None, number / 100) if found[2] else (number, None)


def complete_recipe(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the recipes of the workspace that begin so."""
    from core.errors import WorkspaceError
    from core.places import find_workspace

    try:
        workspace = find_workspace(named=named_workspace(context))
    except WorkspaceError:
        return []
    names = sorted(path.stem for path in workspace.glob("recipes/*.yaml"))
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


recipe_argument = click.argument("name", metavar="RECIPE", shell_complete=complete_recipe)


def output_option(command: F) -> F:
    """Add `-o/--output`."""
    return click.option(
        "-o", "--output", "format", type=click.Choice(FORMATS), default="table", show_default=True,
        help="Table for people; the others are stable, for scripts. In csv a control character is an escape: \\x1b.",
    )(command)


_FILTERS = (
    click.option("--recipe", metavar="NAME", callback=_remember_recipe, shell_complete=complete_recipe,
                 help="Jobs of this recipe."),
    click.option("--not-recipe", "not_recipes", multiple=True, metavar="NAME", shell_complete=complete_recipe,
                 callback=_remember_recipes, help="No jobs of this recipe; may be given again."),
    click.option("--status", "statuses", type=Statuses(), default=frozenset(), metavar="STATUS,…",
                 help="Jobs whose latest version has one of these statuses: queued, running, …"),
    click.option("--since", type=Moment(), help="Received at or after: 2h ago (2h), a date, an RFC 3339 time."),
    click.option("--until", type=Moment(), help="Received before."),
    click.option("--search", metavar="TEXT", default="", help="Text in title, event key or error; #812 is an id."),
    click.option("--error", "error_group", metavar="GROUP", help="Jobs that failed with this group of errors."),
)


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose jobs; the command gets them as one `filter`, a JobFilter."""

    @functools.wraps(command)
    def chosen(*arguments: Any, **keywords: Any) -> Any:
        names = ("recipe", "not_recipes", "statuses", "since", "until", "search", "error_group")
        return command(*arguments, filter=JobFilter(**{name: keywords.pop(name) for name in names}), **keywords)

    return functools.reduce(lambda inner, option: option(inner), reversed(_FILTERS), chosen)
