"""What has changed between two revisions of a recipe, as lines."""

from __future__ import annotations

from difflib import unified_diff

from data.records import Revision


def unified(before: Revision, after: Revision) -> tuple[str, ...]:
    """Return the lines of the unified diff between two revisions, none where their texts are the same."""
    names = (f"{before.recipe} r{before.number}", f"{after.recipe} r{after.number}")
    return tuple(unified_diff(before.text.splitlines(), after.text.splitlines(), *names, lineterm=""))
