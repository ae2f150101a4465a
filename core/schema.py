"""The recipe language as JSON Schema (2020-12), for editors: made of the step kinds and the connectors' declarations.

It lets through everything that core.parse takes, and refuses unknown keys, actions, triggers and inputs, missing ones
and values of a wrong kind. What only a connector can judge (`give either …`), and whether names in expressions are
there, is left to `jobdeck check`.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from core.connectors.declare import Action, Feed, Trigger, Watcher
from core.durations import DURATION
from core.parse import KEYS, MAX_COLUMNS
from core.parsing.steps import COMMON, KINDS, Kind

if TYPE_CHECKING:
    from core.connectors.registry import Registry

Schema: TypeAlias = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

# Named groups are Python's own: JSON Schema's patterns are those of ECMA 262.
DURATION_PATTERN = f"^(?=.){re.sub(r'[?]P<[a-z]+>', '', DURATION.pattern)}$"
_DURATION: Schema = {"type": "string", "pattern": DURATION_PATTERN}
_PLACES = ("items", "additionalProperties")
_MANY = ("anyOf", "oneOf", "allOf", "prefixItems")
_NAMED = ("properties", "patternProperties")


class _Declared(GenerateJsonSchema):
    """pydantic's schemas, less what says nothing to a person, with times as recipes write them: `30s`."""

    def timedelta_schema(self, schema: Any) -> Schema:
        return dict(_DURATION)

    def encode_default(self, dft: Any) -> Any:
        return f"{dft.total_seconds():g}s" if isinstance(dft, dt.timedelta) else super().encode_default(dft)

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def model_schema(model: type[BaseModel]) -> Schema:
    """Return the JSON Schema of a connector's model, whole in itself: models inside it stand where they are used."""
    schema = model.model_json_schema(by_alias=True, schema_generator=_Declared)
    models = schema.pop("$defs", {})

    def told(place: Schema) -> Schema:
        named = models[place["$ref"].rpartition("/")[2]] if "$ref" in place else {}
        whole = {**named, **{key: value for key, value in place.items() if key != "$ref"}}
        found = _inside(whole, told)
        found.pop("title", None)
        if "patternProperties" in found:
            # A mapping whose keys have a pattern takes no other key, which pydantic's schema leaves open.
            found.setdefault("additionalProperties", False)
        return found

    return told(schema)


def _inside(schema: Schema, change: Callable[[Schema], Schema]) -> Schema:
    """Return a schema with the schemas inside it changed."""
    found = dict(schema)
    for key in _PLACES:
        if isinstance(found.get(key), dict):
            found[key] = change(found[key])
    for key in _MANY:
        if key in found:
            found[key] = [change(one) for one in found[key]]
    for key in _NAMED:
        if key in found:
            found[key] = {name: change(one) for name, one in found[key].items()}
    return found


def recipe_schema(registry: Registry | None = None) -> Schema:
    """Return the JSON Schema of recipe files; `registry` is what there is to use, by default all connectors."""
    if registry is None:
        from core.connectors.registry import registry as all_connectors

        registry = all_connectors()
    return {
        "$schema": DIALECT,
        "title": "A Jobdeck recipe",
        **_mapping({key: _RECIPE[key] for key in KEYS}, ("trigger", "steps")),
        "$defs": {
            **_SHARED,
            "trigger": _trigger(registry.triggers.values()),
            "step": {"type": "object", "anyOf": [_ref(f"step.{name}") for name in KINDS]},
            **{f"step.{name}": _step(kind) for name, kind in KINDS.items()},
            "step.action": _action_step(KINDS["action"], registry.actions.values()),
            **{f"action.{one.name}": _action_inputs(one) for one in registry.actions.values()},
            **{f"trigger.{one.name}": _trigger_inputs(one) for one in registry.triggers.values()},
        },
    }


# Parts of schemas


def _ref(name: str, description: str = "") -> Schema:
    found = {"$ref": f"#/$defs/{name}"}
    return {**found, "description": description} if description else found


def _mapping(properties: Schema, needs: Iterable[str] = ()) -> Schema:
    required = list(needs)
    found = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**found, "required": required} if required else found


def _whole(low: int, high: int, description: str) -> Schema:
    return {"type": "integer", "minimum": low, "maximum": high, "description": description}


def _said(kind: str, description: str, **rules: Any) -> Schema:
    return {"type": kind, "description": description, **rules}


def _open_mapping(description: str) -> Schema:
    return {"type": ["object", "null"], "description": description}


_SHARED: Schema = {
    "duration": {**_DURATION, "description": "such as 500ms, 30s, 10m, 2h, 1h30m or 30d"},
    "expression": {
        "type": ["string", "boolean"],
        "pattern": r"\S",
        "description": "a bare expression over trigger, steps, job, props and now, such as steps.find.count > 0",
    },
    "text": {"type": ["string", "number", "boolean"], "description": "text, in which {{ … }} is an expression"},
    "template": {"type": "string", "pattern": r"\{\{|\{%|\{#", "description": "a template: {{ … }} is an expression"},
    "steps": {"type": "array", "minItems": 1, "items": _ref("step")},
    "retry": _mapping(
        {
            "times": _whole(1, 1000, "how often the monitored steps run again"),
            "wait": _ref("duration", "the time before the first retry"),
            "backoff": _said("number", "what each further wait is multiplied with", minimum=1, maximum=100),
            "when": _ref("expression", "over `error`: which errors are retried; without it all"),
        },
        ["times"],
    ),
    "choice": _mapping(
        {"if": _ref("expression", "the branch runs where it holds"), "then": _ref("steps")}, ["if", "then"]
    ),
}

_RECIPE: Schema = {
    "description": _said("string", "what the recipe is for"),
    "trigger": _ref("trigger", "what makes jobs: one trigger, and perhaps `when`"),
    "title": _ref("text", "what the jobs report shows for a job"),
    "report": {
        "type": ["object", "null"],
        "additionalProperties": _ref("text"),
        "maxProperties": MAX_COLUMNS,
        "description": f"up to {MAX_COLUMNS} columns of one's own in the jobs report",
    },
    "concurrency": _whole(1, 1000, "jobs of this recipe at once; 1, the default, keeps the order of events"),
    "retention": {
        "description": "how long trigger data and step data are kept, counted from the job's end",
        "anyOf": [
            _ref("duration"),
            _mapping(
                {"succeeded": _ref("duration"), "failed": _ref("duration")}, ["succeeded", "failed"]
            ),
        ],
    },
    "start": _said("boolean", "false: the recipe takes no events until it is started"),
    "steps": _ref("steps", "what a job does"),
}

_STEP: Schema = {
    "id": _said("string", "its name in expressions: steps.<id>", pattern=r"^[^\d\s.\-][^\s.\-]*$"),
    "if": _ref("expression", "the step runs where it holds; else it is skipped"),
    "skip": _said("boolean", "true leaves the step out"),
    "action": _said("string", "what is called"),
    "once": _said("boolean", "true: a rerun reuses the output that an earlier version recorded for the same input"),
    "timeout": _ref("duration", "how long the call may take"),
    "on_doubt": _said(
        "string", "what follows where nobody knows whether the call acted", enum=["hold", "retry", "skip"]
    ),
    "then": _ref("steps", "the branch where `if` holds"),
    "else": _ref("steps", "the branch where nothing else holds"),
    "choose": _said("array", "the first branch whose `if` holds runs", minItems=1, items=_ref("choice")),
    "repeat": _ref("expression", "a list: the steps under `do` run for each of its items"),
    "as": _said("string", "the item's name in expressions; by default item"),
    "do": _ref("steps", "what runs for each item"),
    "limit": _whole(1, 1_000_000, "the most items"),
    "monitor": _ref("steps", "steps whose failure is retried, then handled"),
    "retry": _ref("retry", "runs the monitored steps again from the first"),
    "on_error": _ref("steps", "what runs where they failed; `error` says why"),
    "stop": _said("string", "ends the job there", enum=["succeeded", "failed"]),
    "reason": _ref("text", "why"),
    "call": _said("string", "the recipe whose steps run as a child job"),
    "set": _open_mapping("values to compute; the step's output"),
}
"""What stands under each key of a step; `with` stands apart, for its inputs depend on the action."""

_INPUTS_OF_CALL = _open_mapping("the child's trigger event")


def _step(kind: Kind) -> Schema:
    properties = {key: _STEP[key] for key in (*COMMON, *kind.keys) if key != "with"}
    if "with" in kind.keys:
        properties["with"] = _INPUTS_OF_CALL if "call" in kind.keys else True
    return _mapping(properties, kind.needs)


def _named(declared: Action | Trigger) -> Schema:
    return {"const": declared.name, "description": declared.summary}


def _action_step(kind: Kind, actions: Iterable[Action]) -> Schema:
    known = list(actions)
    inputs = [
        {
            "if": {"properties": {"action": {"const": one.name}}, "required": ["action"]},
            "then": {"properties": {"with": _ref(f"action.{one.name}")}, "required": _needed_with(one)},
        }
        for one in known
    ]
    step = _step(kind)
    step["properties"]["action"] = {"description": "what is called", "anyOf": [_named(one) for one in known]}
    return {**step, "allOf": inputs}


def _needed_with(action: Action) -> list[str]:
    return ["with"] if model_schema(action.inputs).get("required") else []


# Inputs


def _action_inputs(action: Action) -> Schema:
    schema = _or_null(model_schema(action.inputs)) | {"description": action.summary}
    for name, place in schema["properties"].items():
        if name == "connection" and action.connection is not None:
            continue
        schema["properties"][name] = _open(_as_text(place) if name in action.text_inputs else place)
    return schema


def _open(schema: Schema) -> Schema:
    """Return a schema that lets a template stand for the value, and for any value in it."""
    if "anyOf" in schema:
        arms = [_inside(arm, _open) for arm in schema["anyOf"]]
        return {**schema, "anyOf": arms if {"type": "string"} in arms else [*arms, _TEMPLATE]}
    schema = _inside(schema, _open)
    if schema.keys() <= {"description", "default", "type"} and "string" in schema.get("type", "string"):
        return schema
    told: Schema = {key: schema[key] for key in ("description", "default") if key in schema}
    rest = {key: value for key, value in schema.items() if key not in told}
    return {**told, "anyOf": [rest, _TEMPLATE]}


_TEMPLATE = _ref("template")


def _as_text(schema: Schema) -> Schema:
    """Return a schema whose texts may be numbers and truths too: they are turned to text."""
    found = _inside(schema, _as_text)
    if found.get("type") == "string" and "enum" not in found:
        found["type"] = ["string", "number", "boolean"]
    return found


def _or_null(schema: Schema) -> Schema:
    """Return the schema of a mapping; where no key is needed, nothing after the colon stands for an empty one."""
    return schema if schema.get("required") else {**schema, "type": ["object", "null"]}


def _trigger_inputs(trigger: Trigger) -> Schema:
    schema = _or_null(model_schema(trigger.inputs)) | {"description": trigger.summary}
    if isinstance(trigger.source, Watcher | Feed):
        schema["properties"] = {**schema["properties"], **_POLLED}
    return schema


_POLLED: Schema = {
    "every": _ref("duration", "the time between two polls; 30s by default"),
    "since": _said(
        "string", "a date or an RFC 3339 time: events from then on; without it, everything there is",
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9:.]+([Zz]|[+\-][0-9]{2}:[0-9]{2}))?$",
    ),
}


def _trigger(triggers: Iterable[Trigger]) -> Schema:
    known = list(triggers)
    properties = {one.name: _ref(f"trigger.{one.name}", one.summary) for one in known}
    properties["when"] = _ref("expression", "no job is made where it is false")
    return {**_mapping(properties), "oneOf": [{"required": [one.name]} for one in known]}
