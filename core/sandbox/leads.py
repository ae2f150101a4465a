"""The web site's database in the demo: a SQLite table of leads, and the people who sign up there."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from core.sandbox.accounts import city, company, website

FIRST_LEADS = 6
"""How many there are when the table is new."""

FIRST_COMPANY = 200
"""Where the companies of the leads begin: so many are accounts before any of them is met twice."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS leads (
    id TEXT PRIMARY KEY, company TEXT NOT NULL, website TEXT, city TEXT NOT NULL, updated_at TEXT NOT NULL)
"""

FLAWED = "SELECT id FROM leads WHERE company = '' ORDER BY id"
"""The leads that the CRM refuses: those of no company."""


class Leads:
    """The table of leads, opened; the same acts follow each other in every demo."""

    def __init__(self, path: Path) -> None:
        """Open the database at `path`, made with its first leads where there is none."""
        self._db = sqlite3.connect(path, timeout=10)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute(SCHEMA)
        self._acts = 0
        if self.count() == 0:
            for _ in range(FIRST_LEADS):
                self.add()

    def close(self) -> None:
        """Close it."""
        self._db.close()

    def count(self) -> int:
        """Return how many leads there are."""
        return int(self._db.execute("SELECT count(*) FROM leads").fetchone()[0])

    def act(self) -> None:
        """Do the next thing that somebody would do: sign up, or move; now and then a flawed lead is corrected."""
        self._acts += 1
        if self._acts % 6 == 0:
            self.correct(limit=1)
        elif self._acts % 3 == 2:
            self._move()
        else:
            self.add()

    def add(self) -> None:
        """Add the next lead: one in eight says no company, and will be refused by the CRM."""
        number = self.count()
        name = "" if number % 8 == 3 else company(FIRST_COMPANY + number)
        site = website(name) if name else None
        with self._db:
            self._db.execute(
                "INSERT INTO leads (id, company, website, city, updated_at) VALUES (?, ?, ?, ?, ?)",
                (_id(number), name, site, city(number), _now()),
            )

    def correct(self, limit: int = -1) -> list[str]:
        """Give flawed leads, all or so many, their company; return their ids."""
        flawed = [row[0] for row in self._db.execute(f"{FLAWED} LIMIT ?", (limit,))]
        for id in flawed:
            name = company(FIRST_COMPANY + _number(id))
            self._change(id, company=name, website=website(name))
        return flawed

    def _move(self) -> None:
        self._change(_id(self._acts * 5 % self.count()), city=city(self._acts))

    def _change(self, id: str, **values: str) -> None:
        sets = ", ".join(f"{name} = :{name}" for name in values)
        with self._db:
            self._db.execute(
                f"UPDATE leads SET {sets}, updated_at = :now WHERE id = :id", {**values, "now": _now(), "id": id}
            )


def correct_leads(path: Path) -> list[str]:
    """Correct every flawed lead of the database at `path` and return their ids."""
    with closing(Leads(path)) as leads:
        return leads.correct()


def _id(number: int) -> str:
    return f"L-{1001 + number}"


def _number(id: str) -> int:
    return int(id.removeprefix("L-")) - 1001


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
