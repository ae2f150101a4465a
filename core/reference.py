"""The reference page of all connectors, made of their declarations: `python -m core.reference > docs/reference.md`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from core.connectors.declare import Action, Connection, Connector, Effect, Feed, Schedule, Trigger, Watcher
from core.connectors.registry import CONNECTORS
from core.schema import DURATION_PATTERN, Schema, model_schema

_HEAD = """\
# Reference: what recipes can use

Made from the connectors' declarations by `python -m core.reference > docs/reference.md`; do not edit it by hand.
`jobdeck schema` gives the same to editors.

Every input of an action may be a template, `"{{ … }}"`; those of triggers and connections may not. What a call does
decides what may be done again: one that **reads** or is **idempotent** may, one that **writes** is never repeated
silently. *In doubt*, when its answer was lost, a call waits for an operator (`hold`) or is done again (`retry`); a
step's `on_doubt` may say otherwise.
"""

_EFFECTS = {
    Effect.READS: "reads",
    Effect.IDEMPOTENT: "writes, idempotent: done twice, it leaves the same",
    Effect.WRITES: "writes",
}

_KINDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "null": "null",
    "array": "list",
    "object": "mapping",
}


def reference(connectors: Iterable[Connector] = CONNECTORS) -> str:
    """Return the page, as Markdown."""
    known = sorted(connectors, key=lambda one: one.name)
    parts = [_HEAD, _contents(known), *(_connector(one) for one in known)]
    return "\n".join(parts)


def _contents(connectors: Iterable[Connector]) -> str:
    rows: list[tuple[str, str]] = []
    for one in connectors:
        declared: list[Trigger | Action] = [*one.triggers, *one.actions]
        rows += [(f"[`{each.name}`](#{_anchor(each.name)})", each.summary) for each in declared]
    return _table(("trigger or action", "does"), rows)


def _anchor(heading: str) -> str:
    """Return the anchor that a heading of code gets."""
    return heading.replace(".", "").replace(" ", "-")


def _connector(connector: Connector) -> str:
    parts = [f"## {connector.name}\n"]
    parts += [_connection(one) for one in connector.connections]
    parts += [_trigger(one) for one in connector.triggers]
    parts += [_action(one) for one in connector.actions]
    return "\n".join(parts)


def _connection(connection: Connection) -> str:
    says = f'{connection.summary} In `jobdeck.toml`: `[connections.NAME]` with `type = "{connection.type}"`.\n'
    return "\n".join([f"### Connection `{connection.type}`\n", says, _inputs(connection.settings, "setting")])


def _trigger(trigger: Trigger) -> str:
    lines = [f"### `{trigger.name}`\n", f"Trigger. {trigger.summary}\n", _inputs(trigger.inputs)]
    if isinstance(trigger.source, Watcher | Feed):
        lines.append("Polled: also `every` (the time between two polls, 30s by default) and `since`.\n")
    elif isinstance(trigger.source, Schedule):
        lines.append("A time that was missed is caught up once.\n")
    told = _table(("`trigger` has", ""), ((f"`{name}`", says) for name, says in trigger.output.items()))
    return "\n".join([*lines, told if trigger.output else "`trigger` is what the source gives.\n"])


def _action(action: Action) -> str:
    lines = [f"### `{action.name}`\n", f"Action. {action.summary}\n", _inputs(action.inputs)]
    lines.append(f"Effect: {_effect(action)}. In doubt: {_doubt(action)}.\n")
    told = _table(("output", ""), ((f"`{name}`", says) for name, says in action.output.items()))
    return "\n".join([*lines, told if action.output else "Output: what the other side gives, or null.\n"])


def _effect(action: Action) -> str:
    return _EFFECTS[action.effect] if isinstance(action.effect, Effect) else "depends on the inputs"


def _doubt(action: Action) -> str:
    if action.on_doubt is not None:
        return "`hold` or `retry`, by the inputs and the connection"
    if isinstance(action.effect, Effect):
        return "`hold`" if action.effect is Effect.WRITES else "`retry`"
    return "`hold` where it writes, `retry` where it reads or is idempotent"


def _inputs(model: type[BaseModel], noun: str = "input") -> str:
    schema = model_schema(model)
    needed = schema.get("required", ())
    rows = [
        (f"`{name}`", type_words(place), _default(place, name in needed), place.get("description", ""))
        for name, place in schema.get("properties", {}).items()
    ]
    return _table((noun, "type", "default", "meaning"), rows) if rows else f"No {noun}s.\n"


def _default(schema: Schema, needed: bool) -> str:
    if needed:
        return "**required**"
    default = schema.get("default")
    return "" if default is None else f"`{json.dumps(default, ensure_ascii=False)}`"


def type_words(schema: Mapping[str, Any]) -> str:
    """Return what a schema takes, in words: `text`, `list of whole numbers or null`, `` `json` or `csv` ``."""
    if "enum" in schema:
        return _either(f"`{value}`" for value in schema["enum"])
    if "anyOf" in schema:
        return _either(type_words(arm) for arm in schema["anyOf"] if arm.get("type") != "null")
    if schema.get("format") == "password":
        return "text, secret"
    match schema:
        case {"pattern": str() as pattern} if pattern == DURATION_PATTERN:
            return "duration"
        case {"type": "array", "items": {**items}} if items:
            return f"list of {type_words(items)}"
        case {"type": "object", "properties": {**inner}} if inner:
            return _either(["mapping of " + ", ".join(f"`{name}`" for name in inner)])
        case {"type": "object"}:
            values = _values(schema)
            return f"mapping of names to {type_words(values)}" if values else "mapping"
        case {"type": str() as kind}:
            return _KINDS[kind]
    return "any value"


def _values(schema: Schema) -> Mapping[str, Any]:
    """Return the schema of a mapping's values, empty where any will do."""
    found = next(iter(schema.get("patternProperties", {}).values()), schema.get("additionalProperties"))
    return found if isinstance(found, dict) else {}


def _either(words: Iterable[str]) -> str:
    told = list(dict.fromkeys(words))
    if _KINDS["number"] in told:
        told = [word for word in told if word != _KINDS["integer"]]
    return f"{', '.join(told[:-1])} or {told[-1]}" if len(told) > 1 else "".join(told)


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join(_lines(heads, rows)) + "\n"


def _lines(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


if __name__ == "__main__":
    print(reference(), end="")
