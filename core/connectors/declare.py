"""What a connector declares: its actions, triggers and connection, each with inputs, effect and one description."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from data.job_records import JsonValue


class Inputs(BaseModel):
    """The base of every action's and trigger's inputs: an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=False)


class Effect(StrEnum):
    """What a call does to the other side; the engine decides by it what may be done again."""

    READS = "reads"
    IDEMPOTENT = "idempotent"
    WRITES = "writes"


@dataclass(frozen=True)
class Call:
    """What an action is given beside its inputs."""

    workspace: Path
    connection: Any
    """The opened connection that the inputs name, or None."""
    idempotency_key: Callable[[], str]
    """Gives it: stable per version and step over attempts, new for a new version."""
    timeout: float | None
    """Seconds that the step may take, or None for the connector's default."""
    canceled: threading.Event
    """Set when the step is to give up; wait on it instead of sleeping."""
    from_template: frozenset[str] = frozenset()
    """The inputs (top-level names) whose text came from a template, so from outside."""
    lead: Callable[[str], str] = lambda name: ""
    """(input) -> the text that it begins with before anything from outside comes into it."""
    allow_hosts: tuple[str, ...] = ()
    """Private addresses that URLs taken from event data may reach."""
    log: Callable[[str, str], None] = lambda level, message: None


@dataclass(frozen=True)
class Action:
    """One thing that a recipe's step can do."""

    name: str
    """`<connector>.<verb>`."""
    summary: str
    inputs: type[BaseModel]
    effect: Effect | Callable[[Any], Effect]
    run: Callable[[Any, Call], JsonValue]
    output: Mapping[str, str] = field(default_factory=dict)
    """The names in its output, each with a description; empty where it is not a mapping known beforehand."""
    connection: str | None = None
    """The type of connection that `connection` must name, or None where it takes none."""
    text_inputs: frozenset[str] = frozenset()
    """Inputs (top-level names) that are always turned to text, also inside lists and mappings: headers, URLs, argv."""
    on_doubt: Callable[[Any, Any], str] | None = None
    """(inputs, connection) -> `hold` or `retry`, where the effect alone does not tell the default."""
    example: JsonValue | Callable[[Any], JsonValue] = None
    """An output, or (inputs) -> one: what answers a call that writes where nothing is to be written, in a dry run."""

    def effect_of(self, inputs: Any) -> Effect:
        """Return what this call does, as far as its inputs tell."""
        return self.effect if isinstance(self.effect, Effect) else self.effect(inputs)

    def example_of(self, inputs: Any) -> JsonValue:
        """Return an output that this call might give."""
        return self.example(inputs) if callable(self.example) else self.example


@dataclass(frozen=True)
class Connection:
    """A type of connection: its settings in jobdeck.toml, and how it is opened and closed."""

    type: str
    summary: str
    settings: type[BaseModel]
    open: Callable[[Any, Path], Any]
    """(settings, workspace) -> the client that `Call.connection` carries; used by many threads at once, kept open."""
    close: Callable[[Any], None] = lambda client: None


@dataclass(frozen=True, slots=True)
class Seen:
    """An object that a poll finds at the source."""

    key: str
    mark: str | None
    """Moves whenever the object may have changed; cheap to read."""
    moment: dt.datetime | None = None
    """What `since` compares."""
    settled: bool = True
    """False while it is still being written: it counts as present, and a later poll fetches it when it is settled."""


@dataclass(frozen=True, slots=True)
class Found:
    """An object read whole: the trigger event's data, and the stamp that this data carries."""

    key: str
    stamp: str | None
    data: JsonValue
    error: str | None = None
    """Why its content could not be read as the inputs say: the event makes a job that failed with kind `parse`."""
    change: str | None = None
    """What tells this change from an earlier one that led to the same stamp; None where a stamp never comes back."""


@dataclass(frozen=True)
class Watch:
    """What a polling trigger is given beside its inputs."""

    workspace: Path
    connection: Any
    now: dt.datetime
    canceled: threading.Event
    allow_hosts: tuple[str, ...] = ()
    kept: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """What the scan leaves for the fetches of the same poll: objects by key that it has read whole."""


@dataclass(frozen=True)
class Watcher:
    """A trigger that polls a source of objects; new, changed and recreated ones are told apart by core.triggers."""

    scan: Callable[[Any, Watch], Iterable[Seen]]
    """Everything that is there now, in the order in which events are to be made."""
    fetch: Callable[[Any, Watch, Sequence[str]], Iterable[Found]]
    """The objects of these keys, whole; one that has gone or is changing meanwhile is left out, a later poll has it.

    May raise StepError at its end, after all that could be read: that stands, the error is the poll's warning.
    """
    updates: bool
    """Whether a change makes an event too (`*.new_or_updated`)."""
    since_field: Callable[[Any], str | None] = lambda inputs: None
    """Which field `since` compares, where the inputs say; None where `since` cannot be used."""
    changed: Callable[[str, str], bool] = lambda before, after: before != after
    """(mark, later mark) -> whether they tell of a change, though no event is made of it and nothing is fetched."""


@dataclass(frozen=True)
class Page:
    """A part of what a feed gives: its events are stored in one transaction with the cursor, so keep it small."""

    found: Sequence[Found]
    cursor: JsonValue
    """Where the next poll goes on once these are stored."""


@dataclass(frozen=True)
class Feed:
    """A trigger that asks its source for what happened since the last poll, where reading everything costs too much.

    For sources that never give the key of a deleted object to another one. A feed may give again what it gave before,
    and does so to catch what came to be seen late: core.triggers stores each key, or key and stamp, once.
    """

    poll: Callable[[Any, Watch, JsonValue, dt.datetime | None], Iterable[Page]]
    """(inputs, watch, cursor, since) -> what happened since the cursor, in order; a cursor that it does not know, or
    that is for other inputs, is None to it: everything from `since` on, or all that there is."""
    updates: bool
    """Whether a change makes an event too (`*.new_or_updated`); the stamp of what is found is then needed."""
    since_field: Callable[[Any], str | None] = lambda inputs: None
    """Which field `since` compares, where the inputs say; None where `since` cannot be used."""


@dataclass(frozen=True)
class Schedule:
    """A trigger whose events come from the clock."""

    due: Callable[[Any, dt.datetime], dt.datetime]
    """(inputs, after) -> the first moment after `after` at which an event is due."""


@dataclass(frozen=True)
class Webhook:
    """A trigger whose events are posted to the engine's listener."""


@dataclass(frozen=True)
class Manual:
    """A trigger whose events are handed in by hand or by scripts."""


@dataclass(frozen=True)
class Trigger:
    """One source of events."""

    name: str
    """`<connector>.<trigger>`."""
    summary: str
    inputs: type[BaseModel]
    source: Watcher | Feed | Schedule | Webhook | Manual
    connection: str | None = None
    output: Mapping[str, str] = field(default_factory=dict)
    """The names in `trigger`, each with a description; empty where they are the source's own."""


@dataclass(frozen=True)
class Connector:
    """What one file of core.connectors offers."""

    name: str
    actions: tuple[Action, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    connections: tuple[Connection, ...] = ()
