"""What the stand-in CRM knows: its objects, their columns, and how its ids and times are written."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
SUFFIX = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
NUMBERS = ("int", "double", "currency")


@dataclass(frozen=True)
class Column:
    """One field of an object, as `describe` tells it."""

    name: str
    type: str = "string"
    label: str = ""
    length: int = 255
    required: bool = False
    external: bool = False
    unique: bool = False
    written: bool = True
    """Whether a client may set it."""
    choices: tuple[str, ...] = ()
    refers: str | None = None

    def told(self) -> dict[str, Any]:
        """The column as `describe` shows it."""
        return {
            "name": self.name, "label": self.label or self.name, "type": self.type, "length": self.length,
            "nillable": not self.required, "createable": self.written, "updateable": self.written,
            "externalId": self.external, "unique": self.unique, "filterable": True, "sortable": True,
            "picklistValues": [{"active": True, "label": one, "value": one} for one in self.choices],
            "referenceTo": [self.refers] if self.refers else [], "restrictedPicklist": bool(self.choices),
        }  # fmt: skip


@dataclass(frozen=True)
class Object:
    """One object: the three characters that its ids begin with, and its columns."""

    name: str
    prefix: str
    columns: Mapping[str, Column] = field(repr=False)


def _object(name: str, prefix: str, *own: Column) -> Object:
    system = (
        Column("Id", "id", length=18, written=False),
        Column("IsDeleted", "boolean", written=False),
        Column("CreatedDate", "datetime", written=False),
        Column("LastModifiedDate", "datetime", written=False),
        Column("SystemModstamp", "datetime", written=False),
    )
    return Object(name, prefix, {column.name: column for column in (*system, *own)})


OBJECTS = {
    one.name: one
    for one in (
        _object(
            "Account",
            "001",
            Column("Name", label="Account Name", required=True),
            Column("Website", "url"),
            Column("Phone", "phone", length=40),
            Column("BillingCity", label="Billing City", length=40),
            Column("Description", "textarea", length=32_000),
            Column("Industry", "picklist", choices=("Agriculture", "Banking", "Energy", "Retail", "Technology")),
            Column("NumberOfEmployees", "int", label="Employees"),
            Column("AnnualRevenue", "currency", label="Annual Revenue"),
            Column("ParentId", "reference", label="Parent Account ID", refers="Account"),
            Column("Customer_Since__c", "date"),
            Column("Active__c", "boolean"),
            Column("External_Id__c", external=True, unique=True),
            Column("Legacy_Id__c", external=True),
        ),
        _object(
            "Contact",
            "003",
            Column("LastName", label="Last Name", length=80, required=True),
            Column("FirstName", label="First Name", length=40),
            Column("Email", "email", length=80),
            Column("AccountId", "reference", label="Account ID", refers="Account"),
            Column("External_Id__c", external=True, unique=True),
        ),
    )
}


def new_id(object: Object, number: int) -> str:
    """The 18 characters of the id of a record; later numbers sort behind earlier ones."""
    digits = ""
    while number:
        number, digit = divmod(number, 62)
        digits = DIGITS[digit] + digits
    return full_id(f"{object.prefix}Jd{digits.rjust(10, '0')}")


def full_id(short: str) -> str:
    """The 18 characters of a 15-character id: three more tell which letters are capitals."""
    chunks = (short[start : start + 5] for start in (0, 5, 10))
    return short + "".join(SUFFIX[sum(1 << place for place, one in enumerate(c) if one.isupper())] for c in chunks)


def is_id(text: str) -> bool:
    """Whether it is an id of 15 or 18 characters, the latter with the right three at its end."""
    if not re.fullmatch(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?", text):
        return False
    return len(text) == 15 or full_id(text[:15]) == text


def same_id(text: str) -> str:
    """What two ways to write one id have in common."""
    return text[:15]


def written(now: float) -> str:
    """A time as the API writes it: whole seconds, in UTC."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def datetime_of(text: str) -> datetime:
    """The moment of a time, as the API or a query writes it."""
    return datetime.fromisoformat(text)
