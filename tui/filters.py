"""What a report shows, in words and as a command: filters, orders, and how the value under the cursor changes them."""

from __future__ import annotations

import datetime as dt
import shlex
from collections.abc import Iterator
from dataclasses import replace

from core.text import safe
from data.job_records import SECOND_COLUMNS, Job, JobFilter, Sort
from data.states import Status
from tui.columns import COLUMNS
from tui.words import WORDS

FAILED = frozenset({Status.FAILED})
SAME = "`,` shows only one value of status, recipe, error, received, title or event key: h and l go there"
EXCLUDE = "`-` leaves out a status or a recipe: h and l go there; of other columns no index knows who has another value"


def same(filter: JobFilter, column: str, job: Job) -> JobFilter | None:
    """Return the filter that shows only what has a job's value in a column; None where there is none."""
    match column:
        case "status":
            return replace(filter, statuses=frozenset({job.status}))
        case "recipe":
            return replace(filter, recipe=job.recipe)
        case "error" if job.error is not None and job.error.group is not None:
            return replace(filter, error_group=job.error.group)
        case "received":
            day = job.received_at.astimezone().replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
            return replace(filter, since=day.astimezone(), until=(day + dt.timedelta(days=1)).astimezone())
        case "title" | "event_key" if getattr(job, column).strip():
            return replace(filter, search=getattr(job, column).strip())
    return None


def excluded(filter: JobFilter, column: str, job: Job) -> JobFilter | None:
    """Return the filter without what has a job's status or recipe; None for other columns."""
    if column == "status":
        return replace(filter, statuses=frozenset(filter.statuses or Status) - {job.status})
    if column == "recipe":
        return replace(filter, recipe=None, not_recipes=filter.not_recipes | {job.recipe})
    return None


def both(one: JobFilter, other: JobFilter) -> JobFilter | None:
    """Return the filter of what two filters show; None where one filter cannot say it.

    Where they have nothing in common, that of no job.
    """
    if one.search and other.search and one.search != other.search:
        return None
    apart = (
        _differ(one.recipe, other.recipe) or _differ(one.error_group, other.error_group)
        or bool(one.statuses and other.statuses and not one.statuses & other.statuses)
    )
    if apart:
        return JobFilter(ids=frozenset())
    ids = one.ids if other.ids is None else other.ids if one.ids is None else one.ids & other.ids
    return JobFilter(
        recipe=one.recipe or other.recipe,
        statuses=one.statuses & other.statuses if one.statuses and other.statuses else one.statuses | other.statuses,
        since=max(filter(None, (one.since, other.since)), default=None),
        until=min(filter(None, (one.until, other.until)), default=None),
        search=one.search or other.search,
        error_group=one.error_group or other.error_group,
        up_to=min((up_to for up_to in (one.up_to, other.up_to) if up_to is not None), default=None),
        not_recipes=one.not_recipes | other.not_recipes,
        ids=ids,
        without=one.without | other.without,
    )


def _differ(one: str | None, other: str | None) -> bool:
    return one is not None and other is not None and one != other


def described(filter: JobFilter) -> str:
    """Return a filter in words, on one line."""
    return " · ".join(_parts(filter)) or "all"


def _parts(filter: JobFilter) -> Iterator[str]:
    if filter.ids is not None:
        yield "marked only"
    if filter.statuses:
        yield _statuses(filter.statuses)
    if filter.recipe is not None:
        yield f"recipe {safe(filter.recipe)}"
    if filter.not_recipes:
        yield "not recipe " + " or ".join(map(safe, sorted(filter.not_recipes)))
    if filter.error_group is not None:
        yield f"error {safe(filter.error_group)}"
    if filter.since:
        yield f"since {filter.since.astimezone():%Y-%m-%d %H:%M}"
    if filter.until:
        yield f"until {filter.until.astimezone():%Y-%m-%d %H:%M}"
    if filter.search:
        yield f'text "{safe(filter.search)}"'
    if filter.up_to is not None:
        yield f"marked only, up to {filter.up_to}"
    if filter.without:
        yield f"less {len(filter.without):,}"


def _statuses(statuses: frozenset[Status]) -> str:
    others = frozenset(Status) - statuses
    if 0 < len(others) < len(statuses):
        return "not " + " or ".join(WORDS[status].word for status in sorted(others))
    return " or ".join(WORDS[status].word for status in sorted(statuses))


def ordered(sort: Sort) -> str:
    """Return an order in words."""
    text = f"by {_title(sort.column)}, {_direction(sort.column, sort.descending)}"
    if sort.then is None:
        return text
    return f"{text}, then {_title(sort.then)}, {_direction(sort.then, sort.then_descending)}"


def _title(column: str) -> str:
    return next((one.title for one in COLUMNS if one.sort == column), column)


def _direction(column: str, descending: bool) -> str:
    if column.endswith("_at"):
        return "newest first" if descending else "oldest first"
    return "descending" if descending else "ascending"


def no_second(column: str, then: str) -> str:
    """Return why jobs cannot be sorted by one column within another, and what is possible."""
    within = SECOND_COLUMNS.get(column)
    if within is None:
        return (f"by {_title(column)} hardly two jobs are equal, and no index has a second order within: "
                f"sort by {' or '.join(SECOND_COLUMNS)} first")
    possible = ", ".join(_title(one) for one in within)
    return f"no index has {_title(then)} within {_title(column)}: second there can be {possible}"


def command(filter: JobFilter, sort: Sort) -> str | None:
    """Return the command line that lists the same jobs in this order; None for marked jobs: no option names them."""
    if filter.ids is not None or filter.without or filter.up_to is not None:
        return None
    words = ["jobdeck", "jobs"]
    words += ["--status", ",".join(sorted(filter.statuses))] if filter.statuses else []
    words += ["--recipe", filter.recipe] if filter.recipe is not None else []
    for name in sorted(filter.not_recipes):
        words += ["--not-recipe", name]
    words += ["--since", filter.since.isoformat()] if filter.since else []
    words += ["--until", filter.until.isoformat()] if filter.until else []
    words += ["--search", filter.search] if filter.search else []
    words += ["--error", filter.error_group] if filter.error_group is not None else []
    if sort != Sort():
        second = "" if sort.then is None else f",{'-' if sort.then_descending else ''}{sort.then}"
        words.append(f"--sort={'-' if sort.descending else ''}{sort.column}{second}")
    return shlex.join(words)
