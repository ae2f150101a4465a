"""Reads and answers the SOQL that the stand-in CRM understands: SELECT, WHERE, ORDER BY and LIMIT on one object."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from core.sandbox.crm_schema import Column, datetime_of, same_id

TOKEN = re.compile(
    r"""\s*(?:
    (?P<text>'(?:[^'\\]|\\.)*')
    | (?P<datetime>\d{4}-\d\d-\d\dT[0-9:.]+(?:Z|[+-]\d\d:?\d\d))
    | (?P<date>\d{4}-\d\d-\d\d)
    | (?P<number>[+-]?\d+(?:\.\d+)?)
    | (?P<name>[A-Za-z][A-Za-z0-9_.]*)
    | (?P<sign><=|>=|!=|<>|[=<>(),])
    )""",
    re.VERBOSE | re.DOTALL,
)
ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", '"': '"', "'": "'", "\\": "\\"}
SIGNS = {"=", "!=", "<>", "<", "<=", ">", ">="}
QUOTED = {"string", "textarea", "email", "url", "phone", "picklist", "id", "reference"}
FITTING = {"date": {"date"}, "datetime": {"datetime"}, "boolean": {"boolean"}, "int": {"number"},
           "double": {"number"}, "currency": {"number"}}  # fmt: skip

Record = Mapping[str, Any]
Test = Callable[[Record], bool]


class Malformed(Exception):
    """A query that cannot be answered; `code` is Salesforce's word for why."""

    def __init__(self, reason: str, code: str = "MALFORMED_QUERY") -> None:
        super().__init__(reason)
        self.code = code


@dataclass(frozen=True)
class Literal:
    """A value as it is written in a query."""

    kind: str
    value: Any


@dataclass(frozen=True)
class Query:
    """A query, read: `keeps` says of a record whether it is wanted."""

    names: tuple[str, ...]
    object: str
    keeps: Test
    order: tuple[tuple[str, bool], ...]
    """(column, descending)"""
    limit: int | None

    def answer(self, records: Iterable[Record]) -> list[Record]:
        """The records that it asks for, in its order."""
        found = [record for record in records if self.keeps(record)]
        for name, descending in reversed(self.order):
            found.sort(key=lambda record: _sortable(record[name]), reverse=descending)
        return found[: self.limit]


def parse(text: str, objects: Mapping[str, Mapping[str, Column]]) -> Query:
    """The query; `objects` has the columns of each object by their names. Raises Malformed."""
    return _Parser(text, objects).query()


class _Parser:
    def __init__(self, text: str, objects: Mapping[str, Mapping[str, Column]]) -> None:
        self._tokens = list(_tokens(text))
        self._objects = objects
        self._columns: Mapping[str, Column] = {}

    def query(self) -> Query:
        self._word("select")
        asked = [self._name()]
        while self._takes(","):
            asked.append(self._name())
        self._word("from")
        object = self._object(self._name())
        names = tuple(self._column(name).name for name in asked)
        keeps = self._either() if self._takes_word("where") else lambda record: True
        order = self._order() if self._takes_word("order") else ()
        limit = int(self._take("number")) if self._takes_word("limit") else None
        if self._tokens:
            raise Malformed(f"unexpected token: {self._tokens[0][1]}")
        return Query(names, object, keeps, order, limit)

    def _object(self, name: str) -> str:
        found = next((known for known in self._objects if known.lower() == name.lower()), None)
        if found is None:
            raise Malformed(f"sObject type '{name}' is not supported.", "INVALID_TYPE")
        self._columns = {known.lower(): column for known, column in self._objects[found].items()}
        return found

    def _column(self, name: str) -> Column:
        if name.lower() not in self._columns:
            raise Malformed(f"No such column '{name}' on entity", "INVALID_FIELD")
        return self._columns[name.lower()]

    def _order(self) -> tuple[tuple[str, bool], ...]:
        self._word("by")
        order: list[tuple[str, bool]] = []
        while not order or self._takes(","):
            name = self._column(self._name()).name
            descending = self._takes_word("desc")
            self._takes_word("asc")
            order.append((name, descending))
        return tuple(order)

    # Conditions: as in SOQL, AND and OR do not stand beside each other without parentheses

    def _either(self) -> Test:
        tests = [self._one()]
        joined = next((word for word in ("and", "or") if self._is_word(word)), None)
        while joined and self._takes_word(joined):
            tests.append(self._one())
        if self._is_word("and") or self._is_word("or"):
            raise Malformed(f"unexpected token: {self._tokens[0][1]}")
        every = all if joined != "or" else any
        return lambda record: every(test(record) for test in tests)

    def _one(self) -> Test:
        if self._takes("("):
            inner = self._either()
            self._sign(")")
            return inner
        column = self._column(self._name())
        if self._takes_word("in"):
            self._sign("(")
            values = [self._value(column)]
            while self._takes(","):
                values.append(self._value(column))
            self._sign(")")
            return lambda record: any(_compared(record[column.name], "=", one, column) for one in values)
        sign, value = self._take("sign"), self._value(column)
        if sign not in SIGNS:
            raise Malformed(f"unexpected token: {sign}")
        return lambda record: _compared(record[column.name], sign, value, column)

    def _value(self, column: Column) -> Any:
        literal = self._literal()
        if literal.kind == "null":
            return None
        if column.type in QUOTED and literal.kind != "text":
            raise Malformed(_wrong(column, "string and should be enclosed in quotes"), "INVALID_FIELD")
        if column.type not in QUOTED and literal.kind not in FITTING[column.type]:
            raise Malformed(_wrong(column, f"{column.type} and should not be enclosed in quotes"), "INVALID_FIELD")
        return literal.value

    def _literal(self) -> Literal:
        if not self._tokens:
            raise Malformed("unexpected end of query")
        kind, text = self._tokens.pop(0)
        if kind == "text":
            return Literal("text", _unescaped(text))
        if kind == "number":
            return Literal("number", float(text))
        if kind == "datetime":
            return Literal("datetime", datetime_of(text))
        if kind == "date":
            return Literal("date", text)
        if kind == "name" and text.lower() in ("true", "false"):
            return Literal("boolean", text.lower() == "true")
        if kind == "name" and text.lower() == "null":
            return Literal("null", None)
        raise Malformed(f"unexpected token: {text}")

    # Tokens

    def _is_word(self, word: str) -> bool:
        return bool(self._tokens) and self._tokens[0][0] == "name" and self._tokens[0][1].lower() == word

    def _takes_word(self, word: str) -> bool:
        taken = self._is_word(word)
        if taken:
            self._tokens.pop(0)
        return taken

    def _word(self, word: str) -> None:
        if not self._takes_word(word):
            raise Malformed(f"expecting {word}")

    def _takes(self, sign: str) -> bool:
        taken = self._tokens[:1] == [("sign", sign)]
        if taken:
            self._tokens.pop(0)
        return taken

    def _sign(self, sign: str) -> None:
        if not self._takes(sign):
            raise Malformed(f"expecting {sign}")

    def _name(self) -> str:
        return self._take("name")

    def _take(self, kind: str) -> str:
        if not self._tokens or self._tokens[0][0] != kind:
            raise Malformed(f"expecting a {kind}, found {self._tokens[0][1] if self._tokens else 'the end'}")
        return self._tokens.pop(0)[1]


def _tokens(text: str) -> Iterable[tuple[str, str]]:
    place, end = 0, len(text.rstrip())
    while place < end:
        found = TOKEN.match(text, place)
        if found is None or found.lastgroup is None:
            raise Malformed(f"line 1:{place} no viable alternative at character '{text[place:place + 1]}'")
        yield found.lastgroup, found[found.lastgroup]
        place = found.end()


def _unescaped(text: str) -> str:
    def one(found: re.Match[str]) -> str:
        if found[1][0] == "u" and len(found[1]) == 5:
            return chr(int(found[1][1:], 16))
        if found[1] not in ESCAPES:
            raise Malformed(f"Illegal character sequence '\\{found[1]}' in string literal {text}.")
        return ESCAPES[found[1]]

    return re.sub(r"\\(u[0-9A-Fa-f]{4}|.)", one, text[1:-1], flags=re.DOTALL)


def _compared(held: Any, sign: str, asked: Any, column: Column) -> bool:
    if held is None or asked is None:
        return (held is None and asked is None) == (sign == "=") and sign in ("=", "!=", "<>")
    if column.type in ("id", "reference"):
        held, asked = same_id(held), same_id(asked)
    elif column.type in QUOTED:
        held, asked = held.casefold(), asked.casefold()  # letter case does not count in SOQL
    elif column.type == "datetime":
        held = datetime_of(held)
    outcomes = {"=": held == asked, "!=": held != asked, "<>": held != asked, "<": held < asked,
                "<=": held <= asked, ">": held > asked, ">=": held >= asked}  # fmt: skip
    return outcomes[sign]


def _sortable(value: Any) -> tuple[bool, Any]:
    """Nulls first, as SOQL has it."""
    return (value is not None, value if value is not None else 0)


def _wrong(column: Column, wanted: str) -> str:
    return f"value of filter criterion for field '{column.name}' must be of type {wanted}"
