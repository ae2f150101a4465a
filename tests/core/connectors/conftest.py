"""What the connectors' tests share: the calls that an engine makes, a real HTTP server, real databases."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.connectors.declare import Call, Found, Seen, Trigger, Watch
from core.connectors.registry import registry


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Any]:
    """Run an action as the engine does: inputs checked by its model, then called with a Call."""

    def run(name: str, inputs: dict[str, Any], *, idempotency_key: str = "key-1", **call: Any) -> Any:
        action = registry().actions[name]
        given = {"connection": None, "timeout": 10.0, "canceled": threading.Event(), **call}
        told = Call(workspace=tmp_path, idempotency_key=lambda: idempotency_key, **given)
        return action.run(action.inputs.model_validate(inputs), told)

    return run


class Poller:
    """Polls one trigger as the engine does, and says what it finds."""

    def __init__(self, name: str, inputs: dict[str, Any], workspace: Path, connection: Any = None) -> None:
        self.trigger: Trigger = registry().triggers[name]
        self.inputs = self.trigger.inputs.model_validate(inputs)
        self.workspace, self.connection = workspace, connection
        self.later = dt.timedelta(0)

    def watch(self) -> Watch:
        return Watch(self.workspace, self.connection, dt.datetime.now(dt.UTC) + self.later, threading.Event())

    def scan(self) -> list[Seen]:
        return list(self.trigger.source.scan(self.inputs, self.watch()))

    def fetch(self, keys: list[str] | None = None) -> list[Found]:
        wanted = [seen.key for seen in self.scan()] if keys is None else keys
        return list(self.trigger.source.fetch(self.inputs, self.watch(), wanted))


@pytest.fixture
def poller(tmp_path: Path) -> Callable[..., Poller]:
    """Return what makes a Poller in the test's workspace."""
    return lambda name, inputs, connection=None: Poller(name, inputs, tmp_path, connection)
