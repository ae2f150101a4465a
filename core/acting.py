"""One action carried out: recorded before it acts, and after; an answer that never came is a doubt, not a failure."""

from __future__ import annotations

import datetime as dt
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from core.connectors.declare import Call, Effect
from core.errors import AnswerLost, StepError
from core.expressions import to_text
from core.journal import Journal
from core.recipe import ActionStep
from core.walking import Doubted, Failed, Run, Surroundings, told
from data.job_records import Error, JsonValue
from data.states import StepStatus

IDEMPOTENCY_NAMESPACE = uuid.UUID("6b1e0a52-6a3c-4f0e-9a55-0f6b8a1f7c11")
_NEVER = threading.Event()
TRIES_IN_DOUBT = 3
"""How often a step with `on_doubt: retry` acts in one attempt while its answers are lost."""


@dataclass(frozen=True)
class Act:
    """An action about to be carried out: its step, where it stands now, and its inputs, validated."""

    step: ActionStep
    path: str
    index: tuple[int, ...]
    inputs: JsonValue
    model: Any
    client: Any
    """The open connection, or None."""
    lead: Callable[[str], str]
    """(input) -> the text that it begins with before anything from outside comes into it."""


def carry_out(act: Act, run: Run, journal: Journal, world: Surroundings) -> JsonValue:
    """Carry out an action and return its output as it is recorded, None where its doubt is skipped.

    Raises Failed, Doubted, Canceled, and core.journal.Fenced.
    """
    effect = act.step.action.effect_of(act.model)
    policy = _on_doubt(act, effect)
    call = _call(act, run, world, effect)
    world.give_up_if_canceled()
    for last in (*[False] * (TRIES_IN_DOUBT - 1), True):
        journal.begin(
            act.path, act.step.id, index=act.index, action=act.step.action.name, effect=effect.value, on_doubt=policy,
            input=act.inputs, has_input=True,
        )
        try:
            output = world.perform(act.path, act.step, act.model, call)
            return journal.end(act.path, StepStatus.SUCCEEDED, output=plain(output))
        except AnswerLost as lost:
            error = told(lost, act.path)
            if effect is not Effect.READS and policy == "retry" and world.canceled.is_set():
                policy = "hold"
            if effect is not Effect.READS and (policy != "retry" or last):
                return _doubt(journal, act.path, error, policy)
        except StepError as failed:
            error = told(failed, act.path)
            break
        except Exception as bug:
            # Nobody knows how far the connector came: a write is in doubt, whatever its declared policy.
            error = Error(f"{type(bug).__name__}: {bug}", "internal", act.path)
            if effect is not Effect.READS:
                return _doubt(journal, act.path, error, "hold")
            break
    raise Failed(journal.fail(act.path, error))


def _doubt(journal: Journal, path: str, error: Error, policy: str) -> None:
    if policy == "skip":
        journal.end(path, StepStatus.SKIPPED, error=error)
        return
    if policy == "retry":
        raise Failed(journal.fail(path, error))
    journal.end(path, StepStatus.IN_DOUBT, error=error)
    raise Doubted


def _on_doubt(act: Act, effect: Effect) -> str:
    if act.step.on_doubt is not None:
        return act.step.on_doubt
    if act.step.action.on_doubt is not None:
        return act.step.action.on_doubt(act.model, act.client)
    return "hold" if effect is Effect.WRITES else "retry"


def _call(act: Act, run: Run, world: Surroundings, effect: Effect) -> Call:
    return Call(
        workspace=world.workspace,
        connection=act.client,
        idempotency_key=lambda: str(uuid.uuid5(IDEMPOTENCY_NAMESPACE, f"{run.version_id}:{act.path}")),
        timeout=act.step.timeout,
        # Interrupted, a write would be in doubt: it has its timeout to finish.
        canceled=world.canceled if effect is Effect.READS else _NEVER,
        from_template=act.step.from_outside,
        lead=act.lead,
        allow_hosts=world.allow_hosts,
        log=world.log,
    )


def plain(value: Any) -> JsonValue:
    """Return `value` with what JSON cannot say turned to text, times to RFC 3339, so that it can be recorded."""
    match value:
        case float() if value != value or value in (float("inf"), float("-inf")):
            return str(value)
        case None | bool() | int() | float() | str():
            return value
        case dict():
            return {str(key): plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [plain(inner) for inner in value]
        case dt.date():
            return to_text(value)
    return str(value)
