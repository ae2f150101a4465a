"""The demo's CRM: a SQLite table of accounts, and somebody at work in it."""

from __future__ import annotations

import itertools
import random
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

FIRST_ACCOUNTS = 24
"""How many there are when the CRM is new: enough for every kind of account."""

LONGEST_NAME = 255
"""What the help desk takes; the CRM takes any."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS accounts (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, website TEXT, city TEXT NOT NULL, updated_at TEXT NOT NULL)
"""

FLAWED = f"""
SELECT id FROM accounts AS account
WHERE trim(name) = '' OR length(name) > {LONGEST_NAME}
   OR EXISTS (SELECT 1 FROM accounts WHERE lower(name) = lower(account.name) AND id < account.id)
ORDER BY id
"""
"""The accounts that the desk refuses: no name, one that is too long, the name of an earlier account."""

_OWNERS = (
    "Abbott", "Bramley", "Calloway", "Dunmore", "Eastgate", "Fairhaven", "Granite", "Hollis", "Ironbridge", "Juniper",
    "Kestrel", "Lindqvist", "Marlow", "Northfield", "Okafor", "Pemberton", "Quayside", "Rosenthal", "Silverlake",
    "Tamarind", "Underhill", "Valencia", "Whitcombe", "Yamada", "Zeller",
)  # fmt: skip
_TRADES = (
    "Analytics", "Bakeries", "Bicycles", "Dental", "Freight", "Gardens", "Instruments", "Joinery", "Legal", "Optics",
    "Packaging", "Robotics", "Solar", "Textiles", "Travel", "Veterinary",
)  # fmt: skip
_CITIES = ("Bristol", "Chicago", "Gdansk", "Leeds", "Lisbon", "Nairobi", "Osaka", "Porto", "Quito", "Tallinn")
_NAMES = [f"{owner} {trade}" for owner, trade in itertools.product(_OWNERS, _TRADES)]
random.Random(1).shuffle(_NAMES)


class Accounts:
    """The table of accounts, opened; the same acts follow each other in every demo."""

    def __init__(self, path: Path) -> None:
        """Open the CRM at `path`, made with its first accounts where there is none."""
        self._db = sqlite3.connect(path, timeout=10)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute(SCHEMA)
        self._acts = 0
        if self.count() == 0:
            for _ in range(FIRST_ACCOUNTS):
                self.add()

    def close(self) -> None:
        """Close it."""
        self._db.close()

    def count(self) -> int:
        """Return how many accounts there are."""
        return int(self._db.execute("SELECT count(*) FROM accounts").fetchone()[0])

    def act(self) -> None:
        """Do the next thing that somebody would do: add an account, change one, or correct a flawed one."""
        self._acts += 1
        if self._acts % 15 == 0:
            self.correct(limit=1)
        elif self._acts % 5 in (1, 3):
            self._move()
        else:
            self.add()

    def add(self) -> None:
        """Add the next account: one in five has no website, one in nine will be refused by the desk."""
        number = self.count()
        name, flawed = _name(number)
        website = None if number % 5 == 2 and not flawed else _website(number)
        with self._db:
            self._db.execute(
                "INSERT INTO accounts (id, name, website, city, updated_at) VALUES (?, ?, ?, ?, ?)",
                (_id(number), name, website, _CITIES[number % len(_CITIES)], _now()),
            )

    def _move(self) -> None:
        """Give an account another city."""
        number = self._acts * 7 % self.count()
        city = _CITIES[(number + self._acts) % len(_CITIES)]
        with self._db:
            self._db.execute("UPDATE accounts SET city = ?, updated_at = ? WHERE id = ?", (city, _now(), _id(number)))

    def correct(self, limit: int = -1) -> list[str]:
        """Give flawed accounts, all or so many, a name of their own; return their ids."""
        flawed = [row[0] for row in self._db.execute(f"{FLAWED} LIMIT ?", (limit,))]
        with self._db:
            for id in flawed:
                name = f"{_NAMES[_number(id) % len(_NAMES)]} {id}"
                self._db.execute("UPDATE accounts SET name = ?, updated_at = ? WHERE id = ?", (name, _now(), id))
        return flawed


def correct_all(path: Path) -> list[str]:
    """Correct every flawed account of the CRM at `path` and return their ids."""
    with closing(Accounts(path)) as accounts:
        return accounts.correct()


def _name(number: int) -> tuple[str, bool]:
    """Return the name of the account with this number, and whether the desk refuses it."""
    name = _NAMES[number % len(_NAMES)] + (f" {number}" if number >= len(_NAMES) else "")
    if number % 9 != 5:
        return name, False
    flaws = ("", _NAMES[(number - 4) % len(_NAMES)], " and ".join([name] * 16))
    return flaws[number // 9 % len(flaws)], True


def _website(number: int) -> str:
    return _NAMES[number % len(_NAMES)].lower().replace(" ", "-") + ".example"


def _id(number: int) -> str:
    return f"A-{1001 + number}"


def _number(id: str) -> int:
    return int(id.removeprefix("A-")) - 1001


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
