"""How a store's file is: whether SQLite finds it sound, and whether its schema is the one that this code knows."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from data.snapshots import SCHEMA

SAFE_SQLITE = (3, 51, 3)
"""The first SQLite in which two processes that checkpoint cannot damage a file (sqlite.org/wal.html, WAL-Reset Bug)."""


@dataclass(frozen=True, slots=True)
class Health:
    """What was found of a store's file."""

    damage: tuple[str, ...]
    """What SQLite finds wrong in the file (PRAGMA quick_check), or why it cannot be read; empty if it is sound."""
    schema: str | None
    """The schema's revision; None where there is none yet."""
    known_schema: str = SCHEMA
    sqlite: str = sqlite3.sqlite_version
    safe: bool = sqlite3.sqlite_version_info >= SAFE_SQLITE


def examine(file: Path, most: int = 10) -> Health:
    """Return how the file is, with `most` kinds of damage at the most; reads all of it and changes nothing."""
    try:
        with _opened(file) as raw:
            told = [str(row[0]) for row in raw.execute(f"PRAGMA quick_check({most:d})")]
            there = raw.execute("SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'").fetchone()[0]
            schema = raw.execute("SELECT version_num FROM alembic_version").fetchone() if there else None
    except sqlite3.Error as error:
        return Health((str(error),), None)
    return Health(tuple(line for line in told if line != "ok"), schema[0] if schema else None)


@contextmanager
def _opened(file: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=30)) as raw:
        yield raw
