"""The rules of rerunning: who may be rerun, and the plan of what a rerun would do."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import Refused
from core.library import Loaded, connections_of
from core.recipe import ActionStep, Recipe
from core.selection import WHOLE, How, Selection
from core.settings import Settings
from data.job_records import Job, Refusal
from data.records import RecipeState
from data.states import Status


@dataclass(frozen=True, slots=True)
class Repeat:
    """A writing step that an earlier version completed and that would happen again."""

    recipe: str
    path: str
    action: str
    jobs: int


@dataclass(frozen=True, slots=True)
class RevisionChange:
    """From which revision to which the jobs of a recipe would go."""

    recipe: str
    ran: int | None
    will_run: int
    jobs: int
    diff: tuple[str, ...] = ()
    """Lines of the unified diff from the one to the other; none where they are the same."""


@dataclass(frozen=True, slots=True)
class Stale:
    """A job whose rerun cannot do what one may hope: its object has moved on."""

    job_id: int
    newer: int | None
    """The newest job of the same object, where there is a newer one."""
    changed_at: dt.datetime | None = None
    """When a `new` trigger saw that the object has changed, which makes no job."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a rerun would do, before anything is done; ids in the order the events came."""

    selection: Selection
    requested: tuple[int, ...]
    refused: tuple[Refusal, ...]
    revisions: tuple[RevisionChange, ...]
    repeats: tuple[Repeat, ...]
    digest: str
    how: How = WHOLE
    stale: tuple[Stale, ...] = ()
    estimate_ms: int | None = None
    """How long it may take, by how long the jobs took when they last ran; None where that is not known."""


@dataclass(frozen=True, slots=True)
class Rerun:
    """What a rerun did."""

    requested: tuple[int, ...]
    refused: tuple[Refusal, ...]
    batch: int | None
    plan: str


@dataclass(frozen=True)
class Standing:
    """A recipe as reruns see it: what would run, or why nothing can."""

    state: RecipeState
    loaded: Loaded | None
    code: str | None = None
    message: str = ""


def standing(state: RecipeState, loaded: Loaded | None, settings: Settings) -> Standing:
    """Return whether reruns of a recipe can run, and why not."""
    if not state.present:
        message = f"recipes/{state.name}.yaml is not there any more: put it back"
        return Standing(state, loaded, "recipe_missing", message)
    if state.problems:
        return Standing(state, loaded, "recipe_invalid", f"the recipe is broken at {state.problems[0]}: mend it")
    if loaded is None:
        message = f"no revision of {state.name} can be read by this Jobdeck: see `jobdeck check {state.name}`"
        return Standing(state, loaded, "recipe_invalid", message)
    lacking = sorted(connections_of(loaded.recipe) - settings.connections.keys())
    if lacking:
        message = f"{state.name} uses the connection {lacking[0]}: add [connections.{lacking[0]}] to jobdeck.toml"
        return Standing(state, loaded, "connection_missing", message)
    return Standing(state, loaded)


def refusal(job: Job, recipe: Standing | None) -> Refusal | None:
    """Return why a job cannot be rerun, or None; the same code and sentence wherever it is asked."""
    if job.status in _OPEN_SENTENCES:
        sentence = _OPEN_SENTENCES[job.status].format(id=job.id, version=job.versions, who=_who(job))
        return Refusal(job.id, job.status.value, sentence)
    if job.trigger_expired_at is not None:
        return Refusal(job.id, "trigger_expired", removed(job))
    if not job.trigger_stored:
        return Refusal(job.id, "trigger_not_stored", "its trigger data was never stored")
    if recipe is None:
        return Refusal(job.id, "recipe_missing", f"recipes/{job.recipe}.yaml is not there any more: put it back")
    if recipe.code is not None:
        return Refusal(job.id, recipe.code, recipe.message)
    return None


def removed(job: Job) -> str:
    """Return the sentence on a job whose data retention has removed: when, and by which rule."""
    day = job.trigger_expired_at.date().isoformat() if job.trigger_expired_at else "a day unknown"
    return f"its trigger data was removed on {day} by {job.trigger_expired_by or 'retention'}"


_OPEN_SENTENCES = {
    Status.QUEUED: "version {version} is already queued, {who}",
    Status.RUNNING: "version {version} is running, {who}",
    Status.IN_DOUBT: "version {version} is in doubt: settle it first with `jobdeck resolve {id} --step PATH "
                     "--happened|--repeat` (`jobdeck show {id}` says which step)",
}


def _who(job: Job) -> str:
    at = f" at {job.requested_at.astimezone():%Y-%m-%d %H:%M:%S}" if job.requested_at else ""
    return f"asked for by {job.requested_by}{at}"


def not_latest(job_id: int, version: int, latest: int) -> Refusal:
    """Return the refusal of a version that is not the latest."""
    message = f"version {version} of {latest} is not the latest: rerun {job_id}.{latest} (L opens it)"
    return Refusal(job_id, "not_latest", message)


def no_such_version(job_id: int, version: int | None, latest: int) -> Refusal:
    """Return the refusal of a version that the job does not have; its code is that of a job that is not there."""
    return Refusal(job_id, "no_such_job", f"job {job_id} has no version {version}; its latest is {job_id}.{latest}")


def no_such_job(job_id: int) -> Refusal:
    """Return the refusal of an id that no job has."""
    return Refusal(job_id, "no_such_job", f"there is no job {job_id}")


def not_failed(job: Job) -> Refusal:
    """Return the refusal to go on from the failed step of a job that has none."""
    message = f"its latest version is {job.status.value} and names no failed step: rerun it from the start"
    return Refusal(job.id, "not_failed", message)


def recipe_changed(job_id: int, step: str, failed: str) -> Refusal:
    """Return the refusal to go on from a failed step where the recipe before it is another now."""
    message = f"the recipe has changed at step {step}, before step {failed}, which failed: rerun it from the start"
    return Refusal(job_id, "recipe_changed", message)


def no_revision(job_id: int) -> Refusal:
    """Return the refusal to rerun at the original revision where version 1 never ran one."""
    return Refusal(job_id, "no_revision", "its version 1 ran no revision: rerun it at the latest")


def note_missing(jobs: int, above: int) -> Refused:
    """Return the refusal of a bulk rerun that does not say why."""
    return Refused("note_missing", f"{jobs:,} jobs are more than {above}: say why, with a note ([rerun] note_above)")


def plan_changed(expected: str, plan: Plan, moved: Iterable[str]) -> Refused:
    """Return the refusal of a rerun whose plan no longer holds; `moved` says what is another now."""
    told = "; ".join(moved) or "it is not remembered what it said"
    return Refused(
        "plan_changed",
        f"the plan {expected} no longer holds: {told}. {len(plan.requested):,} would run now and "
        f"{len(plan.refused):,} not (plan {plan.digest}); look again, then go",
    )


def repeats(
    completed: Iterable[tuple[int, str, str, int]], recipes: Mapping[int, Standing]
) -> tuple[Repeat, ...]:
    """Return the completed writes that the recipes, as they are now, would do again.

    `completed` are (recipe id, path, action, jobs). A `once` step is reused instead, and a step that the recipe no
    longer has does not happen.
    """
    found: Counter[tuple[str, str, str]] = Counter()
    for recipe_id, path, action, count in completed:
        recipe = recipes[recipe_id]
        declared = re.sub(r"\[\d+\]", "", path)
        if recipe.loaded is not None and _would_act(recipe.loaded.recipe, declared, action):
            key = (recipe.state.name, declared, action)
            found[key] = max(found[key], count)
    return tuple(Repeat(*key, count) for key, count in sorted(found.items()))


def _would_act(recipe: Recipe, path: str, action: str) -> bool:
    acting = (step for step in recipe.walk() if isinstance(step, ActionStep) and not step.skip and not step.once)
    return any(step.path == path and step.action.name == action for step in acting)


def estimate_ms(jobs: Iterable[Job], recipes: Mapping[str, Standing], slots: int, rate: float | None) -> int | None:
    """Return how long jobs may take together, by how long each took when it last ran; None where none did.

    Each recipe runs as many at once as it may; the slots are shared by all.
    """
    took: Counter[str] = Counter()
    number = 0
    for job in jobs:
        number += 1
        took[job.recipe] += job.duration_ms or 0
    if not took.total():
        return None
    loaded = {name: recipes[name].loaded for name in took}
    alone = [ms / min(one.recipe.concurrency, slots) for name, ms in took.items() if (one := loaded[name]) is not None]
    paced = number / rate * 1000 if rate else 0.0
    return round(max(*alone, took.total() / slots, paced))


# What a plan said, and what is another now


def content(
    requested: Iterable[tuple[int, int]], refused: Iterable[Refusal], revisions: Mapping[str, int], how: How
) -> dict[str, Any]:
    """Return what a plan comes to: another one as soon as a job, its latest version, a refusal or a revision is."""
    return {
        "requested": {str(id): number for id, number in sorted(requested)},
        "refused": {str(one.id): one.code for one in sorted(refused, key=lambda one: one.id)},
        "revisions": dict(sorted(revisions.items())),
        "how": [how.mode, how.revision],
    }


def digest(content: Mapping[str, Any]) -> str:
    """Return what names a plan."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def moves(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> Iterator[str]:
    """Yield what has moved between two contents of plans, in words."""
    if before is None:
        return
    for told, here, there in (
        ("no longer run", before["requested"], now["requested"]), ("run too", now["requested"], before["requested"]),
    ):
        if other := [id for id in here if id not in there]:
            yield f"{len(other):,} {told} ({_some(other, now['refused'])})"
    again = [id for id, number in now["requested"].items() if before["requested"].get(id, number) != number]
    if again:
        yield f"{len(again):,} ran meanwhile ({_some(again, {})})"
    other = [id for id, code in now["refused"].items() if before["refused"].get(id, code) != code]
    if other:
        yield f"{len(other):,} are refused for another reason ({_some(other, now['refused'])})"
    for name, number in now["revisions"].items():
        if before["revisions"].get(name, number) != number:
            yield f"{name} would run r{number}, not r{before['revisions'][name]}"


def _some(ids: Sequence[str], codes: Mapping[str, str]) -> str:
    named = ", ".join(f"{id}: {codes[id]}" if id in codes else id for id in ids[:3])
    return named + (", …" if len(ids) > 3 else "")
