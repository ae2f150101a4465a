"""Which database a workspace's settings name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import StoreError
from data.database import Database, local_url

if TYPE_CHECKING:
    from core.settings import Settings


def database_of(settings: Settings, workspace: Path, *, checkpoints: bool = False) -> Database:
    """Open the workspace's store, migrating an older one; raises StoreError."""
    url = local_url(settings.store.url, workspace)
    if url is None:
        raise StoreError(
            "[store] url names no SQLite file: this Jobdeck keeps its jobs in one, like sqlite:///.jobdeck/jobdeck.db"
        )
    return Database(url, checkpoints=checkpoints)
