"""What a walk through a recipe is given, how it comes out, and how its steps leave it early."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.connectors.declare import Call
from core.errors import StepError
from core.recipe import ActionStep
from data.job_records import Error, JsonValue
from data.states import Status


class Failed(Exception):
    """A step failed; a monitor may handle it."""

    def __init__(self, error: Error) -> None:
        super().__init__(error.message)
        self.error = error


class Doubted(Exception):
    """A writing step may or may not have acted: the version waits for an operator."""


class Canceled(Exception):
    """The run was asked to give up between two steps, or in a wait."""


class Interrupted(Exception):
    """The engine stops while the run waits for a retry: the version is queued again and goes on at the next start."""


class Parked(Exception):
    """A child job has not ended: the run gives up its slot and walks on when the child's version has."""

    def __init__(self, version_id: int) -> None:
        super().__init__(version_id)
        self.version_id = version_id


class Stopped(Exception):
    """A stop step ended the job."""

    def __init__(self, status: Status, error: Error | None) -> None:
        super().__init__(status)
        self.status = status
        self.error = error


@dataclass(frozen=True)
class Outcome:
    """How a walk came out."""

    status: Status
    error: Error | None
    report: Mapping[str, str]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Child:
    """What a called recipe's version has come to."""

    job_id: int | None
    """None where a dry run stands in for it."""
    version_id: int
    status: Status
    error: Error | None
    steps: Mapping[str, JsonValue]
    """The outputs of its steps, by id; empty while it has not ended."""


CallRecipe = Callable[[str, str, int, JsonValue], Child]
"""(recipe, path, attempt, input) -> the child job's version for this very call, made when it is first asked for."""


@dataclass(frozen=True)
class Surroundings:
    """What a run is given beside recipe and event: the world that its steps act on."""

    workspace: Path
    props: Mapping[str, JsonValue]
    connection: Callable[[str], Any]
    """Opens, or returns the open, connection of a name; raises StepError."""
    call_recipe: CallRecipe
    allow_hosts: tuple[str, ...] = ()
    canceled: threading.Event = field(default_factory=threading.Event)
    """Set when the run is to give up: reading calls and waits are interrupted, a writing call is let finish."""
    halted: threading.Event = field(default_factory=threading.Event)
    """Set when waits are to end: the engine stops, or the run is canceled."""
    log: Callable[[str, str], None] = lambda level, message: None

    def perform(self, path: str, step: ActionStep, inputs: Any, call: Call) -> JsonValue:
        """Carry out the action of the step at `path` and return its output; raises what the action raises."""
        return step.action.run(inputs, call)

    def give_up_if_canceled(self) -> None:
        """Raise Canceled where the run was asked to give up."""
        if self.canceled.is_set():
            raise Canceled

    def wait(self, seconds: float) -> None:
        """Wait; raises Canceled, or Interrupted where the engine stops."""
        halted = self.halted.wait(seconds)
        self.give_up_if_canceled()
        if halted:
            raise Interrupted


@dataclass(frozen=True)
class Run:
    """The facts of the version that is walked, as expressions see them under `job`."""

    job_id: int
    version: int
    version_id: int
    revision: int
    started_at: dt.datetime


def told(error: Exception, path: str) -> Error:
    """Return an error as the step at `path` records it."""
    if isinstance(error, StepError):
        return Error(str(error), error.kind, path, error.status)
    return Error(str(error), "expression", path)
