"""The rules of rerunning: who may be rerun, and the plan of what a rerun would do."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from core.errors import Refused
from core.library import Loaded, connections_of
from core.recipe import ActionStep, Recipe
from core.settings import Settings
from data.records import Job, JobFilter, RecipeState, Refusal
from data.states import Status


@dataclass(frozen=True, slots=True)
class Selection:
    """The jobs that somebody asks to rerun: by id, or all that a filter shows, less those taken out."""

    ids: tuple[int, ...] | None = None
    filter: JobFilter | None = None
    excluded: frozenset[int] = frozenset()
    version: int | None = None
    """Of a single job: the version that was looked at. One that is not the latest is refused (`not_latest`)."""


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


@dataclass(frozen=True, slots=True)
class Plan:
    """What a rerun would do, before anything is done; ids in the order the events came."""

    selection: Selection
    requested: tuple[int, ...]
    refused: tuple[Refusal, ...]
    revisions: tuple[RevisionChange, ...]
    repeats: tuple[Repeat, ...]
    digest: str


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
    Status.IN_DOUBT: "version {version} is in doubt: settle it first with `jobdeck resolve {id}`",
}


def _who(job: Job) -> str:
    at = f" at {job.requested_at.astimezone():%Y-%m-%d %H:%M:%S}" if job.requested_at else ""
    return f"asked for by {job.requested_by}{at}"


def not_latest(job_id: int, version: int, latest: int) -> Refusal:
    """Return the refusal of a version that is not the latest."""
    message = f"version {version} of {latest} is not the latest: rerun {job_id}.{latest} (L opens it)"
    return Refusal(job_id, "not_latest", message)


def no_such_job(job_id: int) -> Refusal:
    """Return the refusal of an id that no job has."""
    return Refusal(job_id, "no_such_job", f"there is no job {job_id}")


def plan_changed(expected: str, plan: Plan) -> Refused:
    """Return the refusal of a rerun whose plan no longer holds."""
    return Refused(
        "plan_changed",
        f"the plan {expected} no longer holds: {len(plan.requested)} would run now and {len(plan.refused)} not "
        f"(plan {plan.digest}); look again, then go",
    )


def changes(ran: Mapping[int, tuple[int, int | None]], jobs: Sequence[Job], recipes: Mapping[str, Standing]
            ) -> tuple[RevisionChange, ...]:
    """Return from which revision to which the jobs of each recipe would go, most jobs first."""
    counted: Counter[tuple[str, int | None, int]] = Counter()
    for job in jobs:
        loaded = recipes[job.recipe].loaded
        if loaded is not None:
            counted[job.recipe, ran[job.id][1], loaded.revision.number] += 1
    return tuple(RevisionChange(*key, count) for key, count in counted.most_common())


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


def digest(
    requested: Iterable[tuple[int, int]], refused: Iterable[Refusal], revisions: Iterable[tuple[str, int]]
) -> str:
    """Return what names a plan: it differs as soon as a job, its latest version, a refusal or a revision does."""
    plan = [sorted(requested), sorted((one.id, one.code) for one in refused), sorted(revisions)]
    return hashlib.sha256(json.dumps(plan).encode()).hexdigest()[:16]
