"""What `jobdeck diff` and `jobdeck rehearse` print for scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui.output import Mapped, dry_run_json, error_json, rfc3339

if TYPE_CHECKING:
    from core.diff import Diff, Place, StepDiff
    from core.json_diff import Change, Differences
    from core.rehearsing import Kept, Rehearsal

KEPT_FIELDS = ("id", "job", "version", "recipe_revision", "status", "requested_by", "requested_at", "verdict")


def diff_json(diff: Diff) -> Mapped:
    """Return what differs between two runs; `steps` are those with a difference, `unchanged` the others' paths."""
    first = diff.first
    return {
        "old": place_json(diff.old),
        "new": place_json(diff.new),
        "note": diff.note or None,
        "gone": list(diff.gone),
        "differs": diff.differs,
        "first_difference": None if first is None else {"path": first.path, "id": first.id, "action": first.what},
        "recipe_diff": "".join(f"{line}\n" for line in diff.recipe),
        "trigger": differences_json(diff.trigger),
        "error": {"old": error_json(diff.old.error), "new": error_json(diff.new.error)},
        "steps": [step_json(step) for step in diff.steps if step.differs],
        "unchanged": [step.path for step in diff.unchanged],
    }


def place_json(place: Place) -> Mapped:
    """Return which run it is."""
    return {
        "id": place.name,
        "job": place.job,
        "version": place.version,
        "recipe": place.recipe,
        "status": str(place.status),
        "recipe_revision": place.revision,
        "at": rfc3339(place.at),
        "by": place.by,
    }


def step_json(step: StepDiff) -> Mapped:
    """Return what differs in a step; `only` is the run that alone has it, `old` or `new`, else null."""
    return {
        "path": step.path,
        "was_at": step.was_at,
        "id": step.id,
        "action": step.what,
        "index": list(step.index),
        "only": step.only or None,
        "status": _pair(*(status and str(status) for status in step.status)),
        "branch": _pair(*step.branch),
        "input": differences_json(step.input),
        "output": differences_json(step.output),
        "error": _pair(*map(error_json, step.error)),
    }


def differences_json(found: Differences) -> Mapped:
    """Return what differs between two values; `more` is how many changes are not told."""
    return {"changes": [change_json(change) for change in found.changes], "more": found.more}


def change_json(change: Change) -> Mapped:
    """Return one difference; of what was added there is no `old`, of what was removed no `new`."""
    told: Mapped = {"kind": str(change.kind), "path": change.path, "was_at": change.was_at}
    if change.kind != "added":
        told["old"] = change.old
    if change.kind != "removed":
        told["new"] = change.new
    if change.whole:
        told["whole"] = change.whole
    return told


def rehearsal_json(done: Rehearsal) -> Mapped:
    """Return what came of a rehearsal: a dry run's fields, and how it compares with the version."""
    return {
        **dry_run_json(done.ran),
        "id": done.id,
        "job": done.job,
        "version": done.version,
        "verdict": done.verdict,
        "differences": [step_json(step) for step in done.diff.steps if step.differs],
    }


def kept_json(kept: Kept) -> Mapped:
    """Return a rehearsal that was kept."""
    return {
        "id": kept.id,
        "job": kept.job,
        "version": kept.version,
        "recipe_revision": kept.revision,
        "status": str(kept.status),
        "requested_by": kept.by,
        "requested_at": rfc3339(kept.at),
        "verdict": kept.verdict,
    }


def _pair(old: object, new: object) -> Mapped:
    return {"old": old, "new": new}
