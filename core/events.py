"""A trigger event on its way in: its condition judged, its title rendered, its texts made fit to be stored."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from core.expressions import ExpressionError
from core.groups import error_group
from core.recipe import Recipe
from core.text import storable
from data.job_records import Error, JsonValue
from data.records import Event

TITLE_LENGTH = 500


def make_event(
    recipe: Recipe, key: str, data: JsonValue, props: Mapping[str, Any], now: dt.datetime, broken: str | None = None,
    object_key: str | None = None,
) -> Event:
    """Return the event of `data`; `broken` is why the source could not be read as the trigger says."""
    made = replace(_made(recipe, storable(key), data, props, now, broken), object_key=object_key)
    return replace(made, error=made.error._replace(group=error_group(made.error, recipe))) if made.error else made


def _made(
    recipe: Recipe, key: str, data: JsonValue, props: Mapping[str, Any], now: dt.datetime, broken: str | None
) -> Event:
    names = {"trigger": data, "props": dict(props), "now": now, "steps": {}, "job": {"recipe": recipe.name}}
    if broken is not None:
        return Event(key, data, title=key[:TITLE_LENGTH], error=Error(storable(broken), "parse"))
    title, warnings = _title(recipe, key, names)
    try:
        wanted = recipe.trigger.when is None or recipe.trigger.when.truth(names)
    except ExpressionError as error:
        return Event(key, data, title, error=Error(f"trigger condition: {error}", "condition"), warnings=warnings)
    return Event(key, data, title, wanted, warnings=warnings)


def condition_now(recipe: Recipe, data: JsonValue, props: Mapping[str, Any], now: dt.datetime) -> tuple[str, ...]:
    """Return a warning where the trigger condition as it is now would make no job of `data`; it is only told."""
    try:
        names = {"trigger": data, "props": dict(props), "now": now}
        if recipe.trigger.when is None or recipe.trigger.when.truth(names):
            return ()
    except ExpressionError as error:
        return (f"trigger condition: {error}",)
    return (f"the trigger condition would be false now: {recipe.trigger.when.source}",)


def _title(recipe: Recipe, key: str, names: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    try:
        title = recipe.title.text(names)
    except ExpressionError as error:
        return "", (f"title: {error}",)
    return storable(title or key)[:TITLE_LENGTH], ()
