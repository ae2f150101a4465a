"""Errors that are the same but for their numbers, names and times, told by one group."""

from __future__ import annotations

import hashlib
import re

from core.recipe import ActionStep, Recipe
from data.records import Error

_VARYING = re.compile(
    r"""
    "[^"]*" | '[^']*'                 # what is quoted
    | \b[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}\b  # UUIDs
    | \b0x[0-9a-fA-F]+\b
    | \b(?=[0-9a-fA-F]*[0-9])[0-9a-fA-F]{7,}\b
    | [0-9]+
    """,
    re.VERBOSE,
)


def error_group(error: Error, recipe: Recipe | str) -> str:
    """Return the group of an error: the same for the same action, kind, step and message but for what varies."""
    action = ""
    if isinstance(recipe, Recipe):
        declared = re.sub(r"\[\d+\]", "", error.step or "")
        action = next((s.action.name for s in recipe.walk() if s.path == declared and isinstance(s, ActionStep)), "")
    message = _VARYING.sub("#", error.message)
    same = "\0".join([action, error.kind, error.step or "", message])
    return hashlib.sha256(same.encode("utf-8", "surrogatepass")).hexdigest()[:8]
