"""The sentences for what is wrong with a name or a value: what was found, what is allowed, what was probably meant."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, get_args

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

_SHOWN = 60
_LISTED = 12


def meant(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the nearest of `known`, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def listed(known: Iterable[str]) -> str:
    """Return names as a sentence's list, sorted, the many cut short; `none` where there are none."""
    names = sorted(known)
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more or "none"


def unknown(what: str, name: str, known: Iterable[str], where: str = "") -> str:
    """Return `unknown <what> '<name>' <where>` with the nearest known name, or with all that are known."""
    names = list(known)
    place = f" {where}" if where else ""
    return f"unknown {what} {shown(name)}{place}" + (meant(name, names) or f"; known: {listed(names)}")


def shown(value: Any) -> str:
    """Return a value for a sentence: as JSON, on one line, cut short."""
    if isinstance(value, str):
        text = repr(value)
    else:
        try:
            text = json.dumps(value, ensure_ascii=False, default=str)
        except ValueError:
            text = type(value).__name__
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


@dataclass(frozen=True)
class Complaint:
    """One thing that a pydantic model finds wrong: where (keys and list positions), what is allowed, what was found."""

    loc: tuple[str | int, ...]
    kind: str
    """pydantic's type of the error: `missing`, `extra_forbidden`, …"""
    allowed: str
    found: str = ""

    @property
    def key(self) -> str:
        """The place as one writes it: `headers.Accept`, `fields[0]`."""
        text = ""
        for part in self.loc:
            text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
        return text

    @property
    def sentence(self) -> str:
        """What is wrong, without the place."""
        return f"{self.allowed}, not {self.found}" if self.found else self.allowed

    def __str__(self) -> str:
        told = self.kind in ("missing", "extra_forbidden") or not self.loc
        return self.sentence if told else f"{self.key}: {self.sentence}"


def complaints(
    error: ValidationError, model: type[BaseModel], given: Any, *, noun: str = "key", show_values: bool = True
) -> list[Complaint]:
    """Return what a model found wrong in `given`, one complaint for each place.

    `noun` is what the model's keys are called; `show_values` is False where a value may be a secret.
    """
    found: dict[tuple[tuple[str | int, ...], bool], Complaint] = {}
    for detail in error.errors(include_url=False):
        one = _complaint(detail, model, given, noun, show_values)
        place = one.loc, one.kind == "extra_forbidden"
        known = found.get(place)
        if known is None:
            found[place] = one
        elif one.allowed not in known.allowed:
            found[place] = replace(known, allowed=f"{known.allowed} or {one.allowed.removeprefix('must be ')}")
    return list(found.values())


_PLAIN = {
    "string_type": "must be text",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "none_required": "must be null",
    "too_short": "must not be empty",
    "string_too_short": "must not be empty",
}
"""Our words for pydantic's types, which speak of Python or of JSON by the way that a value came."""


def _complaint(detail: Any, model: type[BaseModel], given: Any, noun: str, show_values: bool) -> Complaint:
    loc, kind = _real(given, detail["loc"]), detail["type"]
    if kind == "missing":
        name, inside = str(detail["loc"][-1]), f" in {Complaint(loc, '', '').key}" if loc else ""
        return Complaint((*loc, name), kind, f"{name!r} is missing{inside}")
    if kind == "extra_forbidden":
        return Complaint(loc, kind, unknown(noun, str(loc[-1]), _fields(model, loc[:-1])))
    # A least length of one is what they all have; another keeps pydantic's sentence, which says it.
    plain = _PLAIN.get(kind) if detail.get("ctx", {}).get("min_length", 1) == 1 else None
    message = plain or detail["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if kind in ("value_error", "assertion_error") or not loc or not show_values:
        return Complaint(loc, kind, _lowered(message))
    return Complaint(loc, kind, _lowered(message), shown(detail["input"]))


def _lowered(message: str) -> str:
    """Return pydantic's sentence as a part of ours."""
    if message.startswith("Input should be"):
        return message.replace("Input should be", "must be", 1)
    return message[:1].lower() + message[1:] if message[1:2].islower() else message


def _real(given: Any, loc: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Return `loc` without the parts that are no place in `given`: pydantic also names the arms of a union."""
    places: list[str | int] = []
    for part in loc:
        inside = isinstance(given, Mapping) and part in given
        if inside or (isinstance(given, list | tuple) and isinstance(part, int) and part < len(given)):
            given = given[part]
            places.append(part)
    return tuple(places)


def _fields(model: Any, loc: tuple[str | int, ...]) -> list[str]:
    """Return the keys that a model, or a model inside it, knows; nothing where `loc` leads to no model."""
    for part in loc:
        field = model.model_fields.get(part) if _is_model(model) and isinstance(part, str) else None
        # A position in a list leaves its model: `custom_fields[0]` is of the model that `custom_fields` is a list of.
        model = _model_in(field.annotation) if field else model if isinstance(part, int) else None
    if not _is_model(model):
        return []
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_in(annotation: Any) -> Any:
    """Return the one model of `Model | None`, `list[Model]` and the like; the annotation itself where there is none."""
    return next((found for arm in get_args(annotation) if _is_model(found := _model_in(arm))), annotation)


def _is_model(thing: Any) -> bool:
    # Here, for most of this file speaks of names alone, and the terminal's start can do without pydantic.
    from pydantic import BaseModel

    return isinstance(thing, type) and issubclass(thing, BaseModel)
