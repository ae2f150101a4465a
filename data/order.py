"""The order of a report's rows, as runs of index entries: what any row's place is, and the statements that walk it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Select,
    Text,
    asc,
    bindparam,
    desc,
    exists,
    func,
    literal_column,
    null,
    or_,
    select,
    tuple_,
    type_coerce,
    union_all,
)

from data.records import Job, JobFilter, Sort
from data.states import Status
from data.tables import LATEST, jobs, recipes, to_micros, versions

_LOWEST_NUMBER = -(2**63)
# Places hold moments as the store does.
_STARTED: ColumnElement[Any] = type_coerce(versions.c.started_at, BigInteger)
_KEYS: dict[str, ColumnElement[Any]] = {
    "started_at": _STARTED,
    "finished_at": type_coerce(versions.c.finished_at, BigInteger),
    "duration_ms": versions.c.duration_ms,
    "error": versions.c.error_message,
    "versions": versions.c.number,
}
# A partial index serves only a statement that repeats its condition word for word, without a parameter.
_FIRST = versions.c.number == literal_column("1")
_latest = versions.alias("latest_version")


class Place(NamedTuple):
    """Where a row stands: in which run, by which key (None in a run ordered by id alone), with which id."""

    run: int
    key: Any
    id: int


@dataclass(frozen=True)
class Stream:
    """Rows that one index gives in the order of `key` and `id`, without sorting."""

    table: FromClause
    id: ColumnElement[int]
    key: ColumnElement[Any] | None = None
    where: tuple[ColumnElement[bool], ...] = ()
    lowest: Any = None
    """Below every key, above NULL: keeps the walk off the index entries without a key."""

    def after(self, descending: bool, *, inclusive: bool) -> ColumnElement[bool]:
        """Return the condition of the rows behind the place bound as `key` and `id`."""
        row: ColumnElement[Any] = self.id
        place: ColumnElement[Any] = bindparam("id", type_=BigInteger)
        if self.key is not None:
            row, place = tuple_(self.key, self.id), tuple_(bindparam("key"), place)
        if descending:
            return row <= place if inclusive else row < place
        return row >= place if inclusive else row > place

    def conditions(self, *, bounded_below: bool) -> tuple[ColumnElement[bool], ...]:
        """Return what holds of every row; `bounded_below`: whether a place already keeps the walk off NULLs."""
        if self.key is None or self.lowest is None or bounded_below:
            return self.where
        return (*self.where, self.key >= self.lowest)


class Run:
    """One stretch of the order: a few streams merged by (key, id)."""

    def __init__(self, streams: Sequence[Stream], turned: bool = False) -> None:
        """`turned`: in the order it stands from the highest key to the lowest."""
        self.streams = streams
        self.turned = turned
        # Building a statement costs more than running it; each is built once.
        self.walk = cache(self._walk)
        self.count = cache(self._count)

    def _walk(self, descending: bool, placed: bool, inclusive: bool) -> Any:
        """Return the statement giving `key`, `id` in order: at most `:count` rows after `:skip`."""
        parts = [self._part(stream, descending, placed, inclusive) for stream in self.streams]
        merged = parts[0] if len(parts) == 1 else union_all(*parts)
        direction = desc if descending else asc
        keys = ["row_id"] if self.streams[0].key is None else ["row_key", "row_id"]
        return merged.order_by(*map(direction, keys)).limit(bindparam("count")).offset(bindparam("skip"))

    @staticmethod
    def _part(stream: Stream, descending: bool, placed: bool, inclusive: bool) -> Select[Any]:
        key = null() if stream.key is None else stream.key
        part = select(key.label("row_key"), stream.id.label("row_id")).select_from(stream.table)
        part = part.where(*stream.conditions(bounded_below=placed and not descending))
        return part.where(stream.after(descending, inclusive=inclusive)) if placed else part

    def _count(self, before: bool | None) -> Any:
        """Return the statement counting the rows (in parts) that come ascending before (True) or behind (False) a
        place, or all (None)."""
        parts = []
        for stream in self.streams:
            part = select(func.count()).select_from(stream.table)
            part = part.where(*stream.conditions(bounded_below=before is False))
            parts.append(part if before is None else part.where(stream.after(before, inclusive=False)))
        return parts[0] if len(parts) == 1 else union_all(*parts)

    @cached_property
    def find(self) -> Any:
        """Return the statement giving the key of the row whose id is `:id`, if this run has it."""
        parts = []
        for stream in self.streams:
            key = null() if stream.key is None else stream.key
            found = select(key.label("row_key"), stream.id.label("row_id")).select_from(stream.table)
            parts.append(found.where(*stream.conditions(bounded_below=False), stream.id == bindparam("id")))
        return parts[0] if len(parts) == 1 else union_all(*parts)


@dataclass(frozen=True)
class Order:
    """A report's rows in ascending order: runs that follow one another."""

    runs: tuple[Run, ...]
    grouped: tuple[str, ...]
    """The columns whose every value has runs of its own."""
    key: str
    """The column that orders the rows within those."""
    run_of: dict[tuple[str, ...], tuple[int, int]]
    """Which runs the values of the grouped columns have: of the rows with a key, and of those without."""

    def place_of(self, job: Job) -> Place:
        """Return where a row stands by what it shows, whether the store still has it like that or not."""
        keyed, keyless = self.run_of.get(tuple(getattr(job, column) for column in self.grouped), (0, 0))
        if self.key in _BY_ID:
            return Place(keyed, None, job.id)
        key = _shown_key(job, self.key)
        return Place(keyless, None, job.id) if key is None else Place(keyed, key, job.id)


_BY_ID = ("id", "received_at")
_GROUPED = ("status", "recipe")


def _shown_key(job: Job, column: str) -> Any:
    if column == "error":
        return job.error.message if job.error else None
    value = getattr(job, column)
    return to_micros(value) if column.endswith("_at") and value is not None else value


def order_of(filter: JobFilter, sort: Sort, recipe_ids: dict[str, int]) -> Order:
    """Return the ascending order of a report; `recipe_ids` maps the names of all recipes to their ids.

    What a second key turns round against the first stands in runs that are walked the other way.
    """
    columns = [sort.column] if sort.then is None else [sort.column, sort.then]
    grouped = tuple(column for column in columns if column in _GROUPED)
    key = next((column for column in columns if column not in _GROUPED), "id")
    turned = sort.then is not None and sort.then_descending is not sort.descending
    runs: list[Run] = []
    run_of: dict[tuple[str, ...], tuple[int, int]] = {}
    for values, narrowed in _groups(filter, grouped, recipe_ids, turned):
        streams = _runs(narrowed, key, recipe_ids)
        first, last = len(runs), len(runs) + len(streams) - 1
        run_of[values] = (last, first) if turned else (first, last)
        runs += [Run(one, turned) for one in (reversed(streams) if turned else streams)]
    return Order(tuple(runs), grouped, key, run_of)


def _groups(
    filter: JobFilter, grouped: Sequence[str], recipe_ids: dict[str, int], turned: bool
) -> Iterator[tuple[tuple[str, ...], JobFilter]]:
    """Yield the values of the grouped columns in ascending order, each with the filter of its rows.

    `turned`: the values of a second column descend.
    """
    if not grouped:
        yield (), filter
        return
    column, *rest = grouped
    for value in _statuses(filter) if column == "status" else _names(filter, recipe_ids):
        narrowed = (replace(filter, statuses=frozenset({Status(value)})) if column == "status"
                    else replace(filter, recipe=value, not_recipes=frozenset()))
        inner = list(_groups(narrowed, rest, recipe_ids, turned))
        yield from (((value, *values), one) for values, one in (reversed(inner) if turned else inner))


def _runs(filter: JobFilter, column: str, recipe_ids: dict[str, int]) -> list[list[Stream]]:
    if column in _KEYS:
        return _by_version(filter, column, recipe_ids)
    if column == "first_started_at":
        return _by_first(filter, recipe_ids)
    if column in ("title", "event_key"):
        return [[_of_jobs(filter, recipe_ids, jobs.c[column])]]
    return [_by_id(filter, recipe_ids)]


def _names(filter: JobFilter, recipe_ids: dict[str, int]) -> list[str]:
    names = sorted(recipe_ids) if filter.recipe is None else [filter.recipe]
    return [name for name in names if name not in filter.not_recipes]


def _statuses(filter: JobFilter) -> list[Status]:
    return sorted(filter.statuses or Status)


def _by_id(filter: JobFilter, recipe_ids: dict[str, int]) -> list[Stream]:
    if filter.error_group is not None:
        return [_by_group(filter, recipe_ids)]
    if filter.statuses:
        return _by_status(filter, recipe_ids)
    return [_of_jobs(filter, recipe_ids)]


def _of_jobs(filter: JobFilter, recipe_ids: dict[str, int], key: ColumnElement[Any] | None = None) -> Stream:
    # Under another key, `+ 0` keeps the planner from walking by id or recipe and sorting what it finds.
    nothing: ColumnElement[int] = literal_column("0")
    id, recipe = (jobs.c.id, jobs.c.recipe_id) if key is None else (jobs.c.id + nothing, jobs.c.recipe_id + nothing)
    where = [*_id_range(filter, id), *_named(filter, jobs.c.id), *_recipe(filter, recipe, recipe_ids)]
    where += _status_of_latest(filter, jobs.c.id) + _error_group_of_latest(filter, jobs.c.id)
    if filter.search:
        error = select(_latest.c.error_message).where(_latest.c.job_id == jobs.c.id, _latest.c.latest.is_(True))
        where.append(_search(filter.search, jobs.c.id, jobs.c.title, jobs.c.event_key, error.scalar_subquery()))
    return Stream(jobs, jobs.c.id, key, tuple(where))


def _by_status(filter: JobFilter, recipe_ids: dict[str, int]) -> list[Stream]:
    where = _of_latest(filter, recipe_ids)
    return [Stream(versions, versions.c.job_id, None, (versions.c.status == status.value, *where))
            for status in _statuses(filter)]


def _by_group(filter: JobFilter, recipe_ids: dict[str, int]) -> Stream:
    # Only few jobs have one: however many statuses there are, the group's own index has fewer entries to walk.
    where = _of_latest(filter, recipe_ids)
    if filter.statuses:
        where.append(versions.c.status.in_(sorted(status.value for status in filter.statuses)))
    return Stream(versions, versions.c.job_id, None, tuple(where))


def _by_version(filter: JobFilter, column: str, recipe_ids: dict[str, int]) -> list[list[Stream]]:
    key = _KEYS[column]
    lowest = "" if column == "error" else _LOWEST_NUMBER
    keyed, keyless = [], []
    for stream in _by_status(filter, recipe_ids):
        keyed.append(replace(stream, key=key, lowest=lowest))
        keyless.append(replace(stream, where=(*stream.where, key.is_(None))))
    return [keyed] if column == "versions" else [keyed, keyless]


def _by_first(filter: JobFilter, recipe_ids: dict[str, int]) -> list[list[Stream]]:
    where = [_FIRST, *_id_range(filter, versions.c.job_id), *_named(filter, versions.c.job_id)]
    where += _recipe(filter, versions.c.recipe_id, recipe_ids)
    where += _status_of_latest(filter, versions.c.job_id) + _error_group_of_latest(filter, versions.c.job_id)
    if filter.search:
        error = select(_latest.c.error_message).where(
            _latest.c.job_id == versions.c.job_id, _latest.c.latest.is_(True))
        where.append(_search_job(filter.search, versions.c.job_id, error.scalar_subquery()))
    keyed = Stream(versions, versions.c.job_id, _STARTED, tuple(where), _LOWEST_NUMBER)
    return [[keyed], [Stream(versions, versions.c.job_id, None, (*where, _STARTED.is_(None)))]]


def _of_latest(filter: JobFilter, recipe_ids: dict[str, int]) -> list[ColumnElement[bool]]:
    job_id = versions.c.job_id
    where = [LATEST, *_id_range(filter, job_id), *_named(filter, job_id)]
    where += _recipe(filter, versions.c.recipe_id, recipe_ids)
    if filter.error_group is not None:
        where.append(versions.c.error_group == filter.error_group)
    if filter.search:
        where.append(_search_job(filter.search, job_id, versions.c.error_message))
    return where


def _id_range(filter: JobFilter, column: ColumnElement[int]) -> list[ColumnElement[bool]]:
    where: list[ColumnElement[bool]] = []
    if filter.since is not None:
        where.append(column >= bindparam("first_id"))
    if filter.until is not None or filter.up_to is not None:
        where.append(column <= bindparam("last_id"))
    return where


def _named(filter: JobFilter, column: ColumnElement[int]) -> list[ColumnElement[bool]]:
    where: list[ColumnElement[bool]] = []
    if filter.ids is not None:
        where.append(column.in_(_listed("ids")))
    if filter.without:
        where.append(column.not_in(_listed("without")))
    return where


def _listed(name: str) -> Select[Any]:
    """Return the statement giving the ids bound as one JSON list: however many, one parameter."""
    return select(func.json_each(bindparam(name, type_=Text)).table_valued("value").c.value)


def _recipe(
    filter: JobFilter, column: ColumnElement[int], recipe_ids: dict[str, int]
) -> list[ColumnElement[bool]]:
    where = [] if filter.recipe is None else [column == recipe_ids.get(filter.recipe, 0)]
    # A recipe that comes to be while the report is open is none of these.
    without = sorted(recipe_ids[name] for name in filter.not_recipes if name in recipe_ids)
    return [*where, column.not_in(without)] if without else where


# Scalar subqueries: unlike a join they leave it to the outer table to give the order.


def _status_of_latest(filter: JobFilter, job_id: ColumnElement[int]) -> list[ColumnElement[bool]]:
    if not filter.statuses:
        return []
    status = select(_latest.c.status).where(_latest.c.job_id == job_id, _latest.c.latest.is_(True)).scalar_subquery()
    return [status.in_(sorted(status.value for status in filter.statuses))]


def _error_group_of_latest(filter: JobFilter, job_id: ColumnElement[int]) -> list[ColumnElement[bool]]:
    if filter.error_group is None:
        return []
    group = select(_latest.c.error_group).where(_latest.c.job_id == job_id, _latest.c.latest.is_(True))
    return [group.scalar_subquery() == filter.error_group]


def _search_job(text: str, job_id: ColumnElement[int], error: Any) -> ColumnElement[bool]:
    if (number := searched_id(text)) is not None:
        return job_id == number
    job = jobs.alias("searched_job")
    in_job = exists().where(job.c.id == job_id, or_(*_contains(text, job.c.title, job.c.event_key)))
    return or_(in_job, *_contains(text, error))


def _search(text: str, job_id: ColumnElement[int], *columns: Any) -> ColumnElement[bool]:
    if (number := searched_id(text)) is not None:
        return job_id == number
    return or_(*_contains(text, *columns))


def searched_id(text: str) -> int | None:
    """Return the job id that a search asks for as `#812`, or None."""
    digits = text.strip().removeprefix("#")
    if not text.strip().startswith("#") or not digits.isdecimal() or len(digits) > 18:
        return None
    return int(digits)


def _contains(text: str, *columns: Any) -> list[ColumnElement[bool]]:
    # SQLite's LIKE ignores case, but only of ASCII: other letters are looked for in each usual case.
    text = text.encode("utf-8", "replace").decode()
    forms = {text} if text.isascii() else {text, text.lower(), text.upper(), text.title(), text.capitalize()}
    escaped = ["%" + form.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%" for form in sorted(forms)]
    return [column.like(form, escape="\\") for column in columns for form in escaped]


def recipe_names() -> Select[Any]:
    """Return the statement giving every recipe's name and id."""
    return select(recipes.c.name, recipes.c.id)
