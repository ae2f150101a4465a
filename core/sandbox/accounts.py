"""Somebody at work in the demo's CRM: accounts are added, moved and corrected, in every demo the same."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from core.sandbox.calls import Fields
from core.sandbox.crm_records import State, created, touched
from core.sandbox.crm_schema import OBJECTS

FIRST_ACCOUNTS = 18
"""How many there are when the CRM is new: enough for every kind of account."""

FIRST_AGE_S = 600
"""How far apart the first ones were made."""

BRANCHES = 30
"""So many accounts in a row hold one company that has several branches, each an account of the same name."""

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
_ACCOUNT = OBJECTS["Account"]


def company(number: int) -> str:
    """Return the name of the company with this number."""
    around, place = divmod(number, len(_NAMES))
    return _NAMES[place] + (f" {around + 1}" if around else "")


def city(number: int) -> str:
    """Return one of the cities."""
    return _CITIES[number % len(_CITIES)]


def website(name: str) -> str:
    """Return the site of the company with this name."""
    return name.lower().replace(" ", "-") + ".example"


class Accounts:
    """The accounts of the stand-in CRM, opened beside the app that serves them."""

    def __init__(self, path: Path) -> None:
        """Open the CRM at `path`, made with its first accounts where it has none."""
        self._state = State(path)
        self._acts = 0
        with self._state.transaction():
            if not self.all():
                self._found(time.time())

    def _found(self, now: float) -> None:
        for number in range(FIRST_ACCOUNTS):
            self._add(number, now - (FIRST_ACCOUNTS - number) * FIRST_AGE_S)

    def close(self) -> None:
        """Close it."""
        self._state.close()

    def all(self) -> list[Fields]:
        """Return every account, in the order they were made."""
        return sorted(self._state.stored(_ACCOUNT.name), key=lambda account: account["Id"])

    def flawed(self) -> list[Fields]:
        """Return the accounts that the desk refuses, and the CRM does not: those with the name of an earlier one."""
        return list(_repeated(self.all()))

    def act(self) -> None:
        """Do the next thing that somebody would do: move an account, add one, or correct a flawed one."""
        self._acts += 1
        if self._acts % 15 == 0:
            self.correct(limit=1)
        elif self._acts % 5 in (1, 3):
            self._move()
        else:
            self.add()

    def add(self) -> None:
        """Add the next account: one in five has no website, one in six will be refused by the desk."""
        with self._state.transaction():
            self._add(sum(account["External_Id__c"] is None for account in self.all()), time.time())

    def correct(self, limit: int | None = None) -> list[str]:
        """Give flawed accounts, all or so many, a name of their own; return their ids."""
        with self._state.transaction():
            flawed = self.flawed()[:limit]
            names = {account["Name"] for account in self.all()}
            for account in flawed:
                name = f"{account['Name']} {account['BillingCity']}"
                self._change(account, Name=f"{name} {account['Id']}" if name in names else name)
        return [account["Id"] for account in flawed]

    def _add(self, number: int, now: float) -> None:
        is_branch = number % 6 == 5
        name = company(number - number % BRANCHES + 1 if is_branch else number)
        site = None if number % 5 == 2 and not is_branch else website(name)
        fields = {"Name": name, "Website": site, "BillingCity": city(number)}
        self._state.add(_ACCOUNT, created(_ACCOUNT, fields, now), None)

    def _move(self) -> None:
        """Give an account another city."""
        with self._state.transaction():
            accounts = self.all()
            one = accounts[self._acts * 7 % len(accounts)]
            self._change(one, BillingCity=city(self._acts))

    def _change(self, account: Fields, **fields: str) -> None:
        self._state.put(account["Id"], {**account, **fields, **touched(time.time())}, None)


def _repeated(accounts: Iterable[Fields]) -> Iterator[Fields]:
    names: set[str] = set()
    for account in accounts:
        name = account["Name"].casefold()
        if name in names:
            yield account
        names.add(name)


def correct_all(path: Path) -> list[str]:
    """Correct every flawed account of the CRM at `path` and return their ids."""
    with closing(Accounts(path)) as accounts:
        return accounts.correct()
