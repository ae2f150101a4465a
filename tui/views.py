"""Views of the report, remembered in the workspace: the one that was left, and those saved under a name."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from data.job_records import SECOND_COLUMNS, SORT_COLUMNS, JobFilter, Sort
from data.states import Status
from tui.arrangement import Arrangement
from tui.moments import is_span, moment_of

LEFT = Path(".jobdeck") / "view.json"
SAVED = Path(".jobdeck") / "views.json"
DAMAGED = ".damaged"
"""Is added to the name of a file that cannot be read, so that nothing is lost when it is written anew."""


@dataclass(frozen=True, slots=True)
class View:
    """Which jobs, in which order, in which columns."""

    filter: JobFilter = field(default_factory=JobFilter)
    sort: Sort = field(default_factory=Sort)
    columns: Arrangement = field(default_factory=Arrangement)
    since: str = ""
    """What `filter.since` was typed as, where that counts back from now: it does so again when the view is opened."""
    until: str = ""

    def now(self) -> View:
        """Return the view with what counts back from now counted anew."""
        since = moment_of(self.since) if self.since else self.filter.since
        until = moment_of(self.until) if self.until else self.filter.until
        return replace(self, filter=replace(self.filter, since=since, until=until))


def load(workspace: Path) -> tuple[View, int | None, str]:
    """Return the view that was left, the job that the cursor was on, and what to say if they cannot be read."""
    try:
        stored = _read(workspace / LEFT)
        return view_of(stored.get("view", {})), _job_id(stored.get("job")), ""
    except (OSError, ValueError) as error:
        return View(), None, _damaged(workspace, LEFT, error)


def glanced(workspace: Path) -> View:
    """Return the view that was left, for who needs no more than a guess at it: where it cannot be read, a new one."""
    try:
        return view_of(_read(workspace / LEFT).get("view", {}))
    except (OSError, ValueError):
        return View()


def leave(workspace: Path, view: View, job: int | None) -> None:
    """Remember the view and the cursor's job; raises OSError."""
    _write(workspace / LEFT, {"view": view_json(view), "job": job})


def forget(workspace: Path) -> None:
    """Begin afresh at the next start; saved views stay."""
    (workspace / LEFT).unlink(missing_ok=True)


def saved(workspace: Path) -> tuple[dict[str, View], str]:
    """Return the saved views by name, in the order of the names, and what to say if they cannot be read."""
    try:
        stored = _read(workspace / SAVED)
        return {name: view_of(stored[name]) for name in sorted(stored, key=str.casefold)}, ""
    except (OSError, ValueError) as error:
        return {}, _damaged(workspace, SAVED, error)


def save(workspace: Path, name: str, view: View | None) -> None:
    """Save a view under a name, or delete that of the name; others may have saved theirs meanwhile. Raises OSError."""
    views = saved(workspace)[0]
    views.pop(name, None)
    if view is not None:
        views[name] = view
    _write(workspace / SAVED, {name: view_json(one) for name, one in views.items()})


def view_json(view: View) -> dict[str, Any]:
    """Return a view as it is written. Marks end with the session, and so does the filter that shows only them."""
    filter = view.filter
    return {
        "statuses": sorted(filter.statuses),
        "recipe": filter.recipe,
        "not_recipes": sorted(filter.not_recipes),
        "since": view.since or _text(filter.since),
        "until": view.until or _text(filter.until),
        "search": filter.search,
        "error_group": filter.error_group,
        "sort": [[view.sort.column, view.sort.descending]]
        + ([] if view.sort.then is None else [[view.sort.then, view.sort.then_descending]]),
        "columns": {"order": view.columns.order, "shown": sorted(view.columns.shown),
                    "hidden": sorted(view.columns.hidden)},
    }  # fmt: skip


def view_of(stored: Any) -> View:
    """Return the view that was written; raises ValueError."""
    try:
        return _view_of(stored)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"this is no view: {error}") from error


def _view_of(stored: Mapping[str, Any]) -> View:
    since, until = stored.get("since") or "", stored.get("until") or ""
    filter = JobFilter(
        recipe=_word(stored.get("recipe")),
        statuses=frozenset(map(Status, stored.get("statuses", ()))),
        since=moment_of(since) if since else None,
        until=moment_of(until) if until else None,
        search=_word(stored.get("search")) or "",
        error_group=_word(stored.get("error_group")),
        not_recipes=_words(stored.get("not_recipes", ())),
    )
    columns = stored.get("columns", {})
    chosen = Arrangement(
        tuple(str(id) for id in columns.get("order", ())), _words(columns.get("shown", ())),
        _words(columns.get("hidden", ())),
    )
    return View(filter, _sort_of(stored.get("sort", ())), chosen, since if is_span(since) else "",
                until if is_span(until) else "")


def _sort_of(stored: Any) -> Sort:
    if not stored:
        return Sort()
    (column, descending), *more = stored
    then, then_descending = more[0] if more else (None, False)
    if column not in SORT_COLUMNS or (then is not None and then not in SECOND_COLUMNS.get(column, ())):
        raise ValueError(f"there is no order by {column!r}" + (f" and {then!r}" if then else ""))
    return Sort(column, bool(descending), then, bool(then_descending))


def _word(stored: Any) -> str | None:
    if stored is not None and not isinstance(stored, str):
        raise ValueError(f"{stored!r} is no text")
    return stored


def _words(stored: Any) -> frozenset[str]:
    return frozenset(word for one in stored if (word := _word(one)) is not None)


def _job_id(stored: Any) -> int | None:
    return stored if isinstance(stored, int) and not isinstance(stored, bool) else None


def _text(moment: dt.datetime | None) -> str:
    return "" if moment is None else moment.isoformat()


def _read(path: Path) -> dict[str, Any]:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    if not isinstance(stored, dict):
        raise ValueError("it is no JSON object")
    return stored


def _write(path: Path, content: Mapping[str, Any]) -> None:
    # Filters may hold what nobody else is to read; a half-written file would be a damaged one.
    path.parent.mkdir(mode=0o700, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _damaged(workspace: Path, name: Path, error: Exception) -> str:
    path = workspace / name
    try:
        path.replace(path.with_name(path.name + DAMAGED))
    except OSError:
        return f"{name} cannot be read and is ignored: {error}"
    return f"{name} cannot be read and is ignored; it is kept as {path.name}{DAMAGED}: {error}"
