"""The workspace's connections, opened when they are first used and kept open."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from core.connectors.registry import registry
from core.errors import StepError, WorkspaceError
from core.settings import Settings


class Connections:
    """The open connections of one process; safe to use from any thread."""

    def __init__(self, settings: Settings, workspace: Path) -> None:
        self._settings = settings
        self._workspace = workspace
        self._open: dict[str, tuple[Any, Any]] = {}
        self._lock = threading.Lock()

    def get(self, name: str) -> Any:
        """Return the open client of a connection; raises StepError (`connection`) that says what is missing."""
        found = self._open.get(name)
        if found is None:
            with self._lock:
                found = self._open.get(name) or self._opened(name)
                self._open[name] = found
        return found[1]

    def _opened(self, name: str) -> tuple[Any, Any]:
        try:
            settings = self._settings.connection(name, self._workspace)
            declared = registry().connections[self._settings.connections[name]["type"]]
            return declared, declared.open(settings, self._workspace)
        except WorkspaceError as error:
            raise StepError(str(error), "connection") from error

    def close(self) -> None:
        """Close every open connection."""
        with self._lock:
            for declared, client in self._open.values():
                declared.close(client)
            self._open.clear()
