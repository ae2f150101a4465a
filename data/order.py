"""The order of a report's rows, as runs of index entries: what any row's place is, and the statements that walk it.

The statements are written out: to load SQLAlchemy takes as long as the whole start of the terminal, and to build one of
its statements longer than to run it. A text has only constants of this module and numbers of recipes in it; whatever
anybody typed is bound (`values_of`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from data.encoding import to_micros
from data.job_records import Job, JobFilter, Sort
from data.states import Status

_KEYS = {
    "started_at": "versions.started_at",
    "finished_at": "versions.finished_at",
    "duration_ms": "versions.duration_ms",
    "error": "versions.error_message",
    "versions": "versions.number",
}
_LOWEST_NUMBER = "-9223372036854775808"
_LATEST = "versions.latest IS 1"
_ID = "versions.job_id"


class Place(NamedTuple):
    """Where a row stands: in which run, by which key (None in a run ordered by id alone), with which id."""

    run: int
    key: Any
    id: int


class Stream(NamedTuple):
    """Rows that one index gives in the order of `key` and `id`, without sorting."""

    table: str
    id: str
    key: str | None = None
    where: tuple[str, ...] = ()
    lowest: str | None = None
    """Below every key, above NULL: keeps the walk off the index entries without a key."""

    def select(self, columns: str, *conditions: str, bounded_below: bool = False) -> str:
        """Return the statement of its rows; `bounded_below`: whether `conditions` keep the walk off NULLs."""
        where = [*self.where, *conditions]
        if self.key is not None and self.lowest is not None and not bounded_below:
            where.append(f"{self.key} >= {self.lowest}")
        return f"SELECT {columns} FROM {self.table}" + (f" WHERE {' AND '.join(where)}" if where else "")

    def after(self, descending: bool, *, inclusive: bool) -> str:
        """Return the condition of the rows behind the place bound as `key` and `id`."""
        operator = ("<" if descending else ">") + ("=" if inclusive else "")
        return f"{self.id} {operator} :id" if self.key is None else f"({self.key}, {self.id}) {operator} (:key, :id)"

    @property
    def place(self) -> str:
        """The columns of a place."""
        return f"{self.key or 'NULL'} AS row_key, {self.id} AS row_id"


class Run(NamedTuple):
    """One stretch of the order: a few streams merged by (key, id)."""

    streams: tuple[Stream, ...]
    turned: bool = False
    """Whether in the order it stands from the highest key to the lowest."""

    def walk(self, descending: bool, placed: bool, inclusive: bool) -> str:
        """Return the statement giving key and id in order: at most `:count` rows after `:skip`, of those behind the
        place bound as `key` and `id` where it is `placed`."""
        parts = []
        for stream in self.streams:
            behind = [stream.after(descending, inclusive=inclusive)] if placed else []
            parts.append(stream.select(stream.place, *behind, bounded_below=placed and not descending))
        direction = " DESC" if descending else ""
        keys = ["row_id"] if self.streams[0].key is None else ["row_key", "row_id"]
        order = ", ".join(key + direction for key in keys)
        return f"{' UNION ALL '.join(parts)} ORDER BY {order} LIMIT :count OFFSET :skip"

    def count(self, before: bool | None) -> str:
        """Return the statement counting the rows (in parts) that come ascending before (True) or behind (False) a
        place, or all (None)."""
        parts = []
        for stream in self.streams:
            behind = [] if before is None else [stream.after(before, inclusive=False)]
            parts.append(stream.select("count(*)", *behind, bounded_below=before is False))
        return " UNION ALL ".join(parts)

    def find(self) -> str:
        """Return the statement giving the key of the row whose id is `:id`, if this run has it."""
        return " UNION ALL ".join(stream.select(stream.place, f"{stream.id} = :id") for stream in self.streams)


class Order(NamedTuple):
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
        runs += [Run(tuple(one), turned) for one in (reversed(streams) if turned else streams)]
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
        return [[_of_jobs(filter, recipe_ids, f"jobs.{column}")]]
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


def _of_jobs(filter: JobFilter, recipe_ids: dict[str, int], key: str | None = None) -> Stream:
    # Under another key, `+ 0` keeps the planner from walking by id or recipe and sorting what it finds.
    aside = "" if key is None else " + 0"
    where = [*_id_range(filter, f"jobs.id{aside}"), *_named(filter, "jobs.id")]
    where += _recipe(filter, f"jobs.recipe_id{aside}", recipe_ids) + _of_its_latest(filter, "jobs.id")
    if filter.search:
        error = _latest("error_message", "jobs.id")
        where.append(_found(filter.search, "jobs.id", "jobs.title", "jobs.event_key", error))
    return Stream("jobs", "jobs.id", key, tuple(where))


def _by_status(filter: JobFilter, recipe_ids: dict[str, int]) -> list[Stream]:
    where = _of_latest(filter, recipe_ids)
    return [Stream("versions", _ID, None, (f"versions.status = '{status.value}'", *where))
            for status in _statuses(filter)]


def _by_group(filter: JobFilter, recipe_ids: dict[str, int]) -> Stream:
    # Only few jobs have one: however many statuses there are, the group's own index has fewer entries to walk.
    where = _of_latest(filter, recipe_ids)
    if filter.statuses:
        where.append(f"versions.status IN ({_listed_statuses(filter)})")
    return Stream("versions", _ID, None, tuple(where))


def _by_version(filter: JobFilter, column: str, recipe_ids: dict[str, int]) -> list[list[Stream]]:
    key = _KEYS[column]
    lowest = "''" if column == "error" else _LOWEST_NUMBER
    keyed, keyless = [], []
    for stream in _by_status(filter, recipe_ids):
        keyed.append(stream._replace(key=key, lowest=lowest))
        keyless.append(stream._replace(where=(*stream.where, f"{key} IS NULL")))
    return [keyed] if column == "versions" else [keyed, keyless]


def _by_first(filter: JobFilter, recipe_ids: dict[str, int]) -> list[list[Stream]]:
    # A partial index serves only a statement that repeats its condition word for word.
    where = ["versions.number = 1", *_id_range(filter, _ID), *_named(filter, _ID)]
    where += _recipe(filter, "versions.recipe_id", recipe_ids) + _of_its_latest(filter, _ID)
    if filter.search:
        where.append(_found_job(filter.search, _latest("error_message", _ID)))
    started = _KEYS["started_at"]
    keyed = Stream("versions", _ID, started, tuple(where), _LOWEST_NUMBER)
    return [[keyed], [Stream("versions", _ID, None, (*where, f"{started} IS NULL"))]]


def _of_latest(filter: JobFilter, recipe_ids: dict[str, int]) -> list[str]:
    where = [_LATEST, *_id_range(filter, _ID), *_named(filter, _ID)]
    where += _recipe(filter, "versions.recipe_id", recipe_ids)
    if filter.error_group is not None:
        where.append("versions.error_group = :error_group")
    if filter.search:
        where.append(_found_job(filter.search, "versions.error_message"))
    return where


def _id_range(filter: JobFilter, column: str) -> list[str]:
    where = []
    if filter.since is not None:
        where.append(f"{column} >= :first_id")
    if filter.until is not None or filter.up_to is not None:
        where.append(f"{column} <= :last_id")
    return where


def _named(filter: JobFilter, column: str) -> list[str]:
    where = []
    if filter.ids is not None:
        where.append(f"{column} IN (SELECT value FROM json_each(:ids))")
    if filter.without:
        where.append(f"{column} NOT IN (SELECT value FROM json_each(:without))")
    return where


def _recipe(filter: JobFilter, column: str, recipe_ids: dict[str, int]) -> list[str]:
    where = [] if filter.recipe is None else [f"{column} = {recipe_ids.get(filter.recipe, 0):d}"]
    # A recipe that comes to be while the report is open is none of these.
    without = sorted(recipe_ids[name] for name in filter.not_recipes if name in recipe_ids)
    return [*where, f"{column} NOT IN ({', '.join(map(str, without))})"] if without else where


def _latest(column: str, job_id: str) -> str:
    """Return a value of a job's latest version. A subquery: unlike a join it leaves the order to the outer table."""
    return (f"(SELECT latest_version.{column} FROM versions AS latest_version"
            f" WHERE latest_version.job_id = {job_id} AND latest_version.latest IS 1)")


def _of_its_latest(filter: JobFilter, job_id: str) -> list[str]:
    where = []
    if filter.statuses:
        where.append(f"{_latest('status', job_id)} IN ({_listed_statuses(filter)})")
    if filter.error_group is not None:
        where.append(f"{_latest('error_group', job_id)} = :error_group")
    return where


def _listed_statuses(filter: JobFilter) -> str:
    return ", ".join(f"'{status.value}'" for status in _statuses(filter))


def _found_job(text: str, error: str) -> str:
    if searched_id(text) is not None:
        return f"{_ID} = :searched_id"
    job = _contains(text, "searched_job.title", "searched_job.event_key")
    return (f"(EXISTS (SELECT 1 FROM jobs AS searched_job WHERE searched_job.id = {_ID} AND {job})"
            f" OR {_contains(text, error)})")


def _found(text: str, job_id: str, *columns: str) -> str:
    return f"{job_id} = :searched_id" if searched_id(text) is not None else _contains(text, *columns)


def searched_id(text: str) -> int | None:
    """Return the job id that a search asks for as `#812`, or None."""
    digits = text.strip().removeprefix("#")
    if not text.strip().startswith("#") or not digits.isdecimal() or len(digits) > 18:
        return None
    return int(digits)


def _contains(text: str, *columns: str) -> str:
    likes = [f"{column} LIKE :text_{number} ESCAPE '\\'" for column in columns for number in range(len(_forms(text)))]
    return f"({' OR '.join(likes)})"


def _forms(text: str) -> list[str]:
    # SQLite's LIKE ignores case, but only of ASCII: other letters are looked for in each usual case.
    text = text.encode("utf-8", "replace").decode()
    return [text] if text.isascii() else sorted({text, text.lower(), text.upper(), text.title(), text.capitalize()})


def values_of(filter: JobFilter) -> dict[str, int | str]:
    """Return what is bound in every statement of a filter, but for the ids that its times mean."""
    values: dict[str, int | str] = {}
    if filter.ids is not None:
        values["ids"] = json.dumps(sorted(filter.ids))
    if filter.without:
        values["without"] = json.dumps(sorted(filter.without))
    if filter.error_group is not None:
        values["error_group"] = filter.error_group
    if (number := searched_id(filter.search)) is not None:
        values["searched_id"] = number
    else:
        for place, form in enumerate(_forms(filter.search)):
            escaped = form.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
            values[f"text_{place}"] = f"%{escaped}%"
    return values
