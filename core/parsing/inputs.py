"""The inputs of actions and triggers held against what their connectors declare."""

from __future__ import annotations

import functools
import json
from collections.abc import Collection
from collections.abc import Mapping as MappingOf
from types import UnionType
from typing import Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from core.connectors.declare import Action
from core.errors import StepError
from core.expressions import compile_template
from core.parsing.nodes import Mapping, Node, Problems, Scalar, follow, kind, leaves, plain
from core.parsing.terms import is_template
from core.wording import Complaint, complaints, shown, unknown
from data.job_records import JsonValue

_AS_TEXT = compile_template("{{ value }}")


def validate_inputs(action: Action, rendered: MappingOf[str, JsonValue]) -> BaseModel:
    """Return an action's inputs as its model, the `text_inputs` turned to text.

    Raises StepError (`input`) that names each wrong input, what it got and what is allowed.
    """
    given = {
        name: _text(value, _holds_many(action.inputs, name)) if name in action.text_inputs else value
        for name, value in rendered.items()
    }
    try:
        return action.inputs.model_validate(given)
    except ValidationError as error:
        found = complaints(error, action.inputs, given, noun="input")
        raise StepError(f"{action.name}: " + "; ".join(map(str, found)), kind="input") from error


def _text(value: JsonValue, many: bool) -> JsonValue:
    """Return a value as text, or the values in it where it is a list or mapping of `many`; null stays null."""
    match value:
        case None | str():
            return value
        case dict() if many:
            return {key: _AS_TEXT.text({"value": inner}) for key, inner in value.items()}
        case list() if many:
            return [_AS_TEXT.text({"value": item}) for item in value]
    return _AS_TEXT.text({"value": value})


@functools.cache
def _holds_many(model: type[BaseModel], name: str) -> bool:
    """Whether an input is a list or mapping of texts, such as headers, and not one text, such as a URL."""
    for own, field in model.model_fields.items():
        if name in (own, field.alias):
            arms = get_args(field.annotation) if get_origin(field.annotation) in (Union, UnionType) else ()
            return any(get_origin(arm) in (dict, list) for arm in (field.annotation, *arms))
    return False


def check_inputs(problems: Problems, at: Node, given: Mapping, name: str, model: type[BaseModel],
                 text_inputs: Collection[str] = (), templates: bool = True) -> BaseModel | None:
    """Note what is wrong with the inputs of `name`, and return them as the model where nothing is.

    With `templates`, a value that contains one may become anything: only its key is checked.
    """
    open_places = {loc for loc, leaf in leaves(given) if templates and is_template(leaf.value)}
    values = {name: _texts(value) if name in text_inputs else value for name, value in plain(given).items()}
    try:
        return model.model_validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        for complaint in complaints(error, model, values, noun="input"):
            if not _may_turn_out(complaint, open_places):
                _note(problems, at, given, name, complaint)
    return None


def _texts(value: JsonValue) -> JsonValue:
    """Return a value of the file with its numbers and truths as text; a mapping in place of a text stays a mistake."""
    match value:
        case dict():
            return {key: _texts(inner) for key, inner in value.items()}
        case list():
            return [_texts(item) for item in value]
    return _text(value, many=False)


def _may_turn_out(complaint: Complaint, open_places: set[tuple[str | int, ...]]) -> bool:
    """Whether a complaint is about a value that is only known when its template is rendered."""
    if complaint.kind in ("missing", "extra_forbidden"):
        return False
    return any(_touches(complaint.loc, place) for place in open_places)


def _touches(loc: tuple[str | int, ...], place: tuple[str | int, ...]) -> bool:
    """Whether `loc` is the place, inside it, or a container of it; a complaint about the whole is about every place."""
    shared = min(len(loc), len(place))
    return shared > 0 and loc[:shared] == place[:shared]


def _note(problems: Problems, at: Node, given: Mapping, name: str, complaint: Complaint) -> None:
    if complaint.kind == "missing":
        problems.add(at if len(complaint.loc) == 1 else follow(given, complaint.loc), f"{name}: {complaint}")
    else:
        node = follow(given, complaint.loc, key=complaint.kind == "extra_forbidden")
        problems.add(node if complaint.loc else at, f"{name}: {complaint}")


def connection_name(problems: Problems, given: Mapping, name: str, needs: str | None,
                    connections: MappingOf[str, str] | None) -> str | None:
    """Return the connection that inputs name, or None; a name that is no connection of the type is a problem."""
    entry = given.entries.get("connection")
    if entry is None or needs is None:
        return None
    node = entry[1]
    if not isinstance(node, Scalar) or not isinstance(node.value, str) or is_template(node.value):
        problems.add(node, f"'connection' must be the name of a connection in jobdeck.toml, not {_said(node)}")
        return None
    if connections is not None and connections.get(node.value) != needs:
        problems.add(node, _no_connection(node.value, name, needs, connections))
    return node.value


def _said(node: Node) -> str:
    return "a template" if isinstance(node, Scalar) and is_template(node.value) else kind(node)


def _no_connection(given: str, name: str, needs: str, connections: MappingOf[str, str]) -> str:
    if given in connections:
        return f"{name} needs a connection of type {needs!r}, and {shown(given)} is of type {connections[given]!r}"
    fitting = [known for known, kind_of in connections.items() if kind_of == needs]
    if not fitting:
        return f"{name} needs a connection of type {needs!r}: add [connections.{given}] to jobdeck.toml"
    return unknown(f"{needs} connection", given, fitting)
