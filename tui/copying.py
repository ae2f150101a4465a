"""What can be copied where one is: each thing with the letter that chooses it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from data.job_records import Job, JsonValue

if TYPE_CHECKING:
    from data.records import RecipeState, StepRecord, Version

VALUE = "j"
"""The letter of the thing itself, which messages do not repeat: it may be long, or hold a secret."""


class Copy(NamedTuple):
    """One thing to copy."""

    key: str
    label: str
    pieces: tuple[str, ...]
    """Its text, in the order of its pieces: put together at once, a long one would hold up the thread that draws."""


def identity(text: str, label: str = "id") -> Copy:
    """Return what names the thing under the cursor."""
    return Copy("i", label, (text,))


def path(text: str) -> Copy:
    """Return where it is: a step's path, a place in the data, a file."""
    return Copy("p", "path", (text,))


def command(*words: str) -> Copy:
    """Return the command line that shows the same."""
    return Copy("c", "command", (shlex.join(words),))


def value(thing: JsonValue | Job | Version | StepRecord | RecipeState) -> Copy:
    """Return a thing as JSON, as the command line writes it, a text as it is; report columns without secrets.

    Data comes as it is to be copied: whoever has revealed a step's secrets copies them.
    """
    if isinstance(thing, str):
        return Copy(VALUE, "text", (thing,))
    # Here, for the terminal's start can do without.
    from tui.json_pieces import json_pieces

    return Copy(VALUE, "JSON", tuple(json_pieces(_mapped(thing))))


def _mapped(thing: JsonValue | Job | Version | StepRecord | RecipeState) -> JsonValue | Mapping[str, JsonValue]:
    from core.secrecy import masked
    from data.records import RecipeState, StepRecord, Version
    from tui import output
    from tui.words import mask

    match thing:
        case Job():
            return masked(output.job_json(thing), mask())
        case Version():
            return masked(output.version_json(thing), mask())
        case StepRecord():
            return output.step_json(thing)
        case RecipeState():
            return output.recipe_json(thing)
    return thing


def place(section: str, keys: Sequence[str | int]) -> str:
    """Return a place in the data as an expression finds it: `output.items[0].name`."""
    parts = [section]
    for key in keys:
        if isinstance(key, int):
            parts.append(f"[{key}]")
        elif key.isidentifier():
            parts.append(f".{key}")
        else:
            parts.append(f"[{json.dumps(key, ensure_ascii=False)}]")
    return "".join(parts)
