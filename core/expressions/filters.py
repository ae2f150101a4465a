"""The filters and tests of expressions: Jinja2's and our own, each paid for before it works."""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Callable, Iterable
from typing import Any

import jinja2.filters
import jinja2.tests
from jinja2 import pass_context

from core.expressions.budget import Budget
from core.expressions.errors import Fault, kind, tidy
from core.expressions.methods import join, replace, words
from core.expressions.operators import COMPARISONS, Operators, binary, compare, fill_in
from core.expressions.undefined import require
from core.expressions.values import Json, to_json, to_words

_JINJA = Operators(jinja2.filters.FILTERS, {})  # without a meter: only called by what has one


def _picked(budget: Budget, items: Iterable[Any], attribute: str | int | None) -> Iterable[Any]:
    return items if attribute is None else _jinja(budget, "map", items, (), {"attribute": attribute})


def _jinja(budget: Budget, name: str, value: Any, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
    return _JINJA.call_filter(name, value, args, named, budget)  # type: ignore[arg-type]


def _sum(budget: Budget, items: Iterable[Any], attribute: str | int | None = None, start: Any = 0) -> Any:
    for item in _picked(budget, items, attribute):
        budget.charge(2)
        start = binary(budget, "+", start, item)
    return start


def _fromjson(budget: Budget, text: str) -> Json:
    budget.charge(len(text))  # `[[],[],…` makes an object of every third character
    try:
        return json.loads(text)
    except ValueError as error:
        raise Fault(f"fromjson finds no JSON: {error}") from None


def _todatetime(_budget: Budget, value: Any) -> dt.datetime:
    try:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return dt.datetime.fromtimestamp(value, dt.UTC)
        time = value if isinstance(value, dt.datetime) else dt.datetime.fromisoformat(value)
    except (TypeError, ValueError, OverflowError, OSError):
        raise Fault(f"todatetime finds no RFC 3339 time in {kind(value)}") from None
    return time if time.tzinfo else time.replace(tzinfo=dt.UTC)


def _b64decode(_budget: Budget, text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode()
    except ValueError:
        raise Fault("b64decode finds no Base64 of UTF-8 text") from None


_OWN: dict[str, Callable[..., Any]] = {
    "b64decode": _b64decode,
    "b64encode": lambda _, text: base64.b64encode(text.encode()).decode(),
    "format": lambda budget, text, *args, **named: fill_in(budget, text, named or args),
    "fromjson": _fromjson,
    "items": lambda _, value: value.items() if value else [],
    "join": lambda budget, items, d="", attribute=None: join(budget, _picked(budget, items, attribute), d),
    "replace": replace,
    "sum": _sum,
    "todatetime": _todatetime,
    "tojson": lambda budget, value, indent=None: to_json(value, budget, indent),
}
_PRICES: dict[str, Callable[..., int]] = {
    "batch": lambda items, linecount, *_, **__: linecount,
    "center": lambda text, width=80: width >> 2,
    "indent": lambda text, width=4, *_, **__: (
        (text.count("\n") + 1) * (len(width) if isinstance(width, str) else width) >> 2
    ),
    "round": lambda value, precision=0, *_, **__: abs(precision) << 8,  # it computes that power of ten
    "slice": lambda items, slices, *_, **__: slices << 3,
    "urlencode": lambda value: 3 * len(value) if isinstance(value, str) else 0,
}
_OF_TEXT = words("""b64decode b64encode capitalize center e escape format fromjson indent lower replace string title
    trim truncate upper""")  # fmt: skip
_OF_ANY = words("count d default first last length todatetime tojson")
"""They go through nothing, or pay themselves."""
_COMPARING = words("dictsort groupby max min sort")
_OF_ITEMS = _COMPARING | words("""abs batch filesizeformat float int items join list map reject rejectattr reverse round
    select selectattr slice sum unique urlencode""")  # fmt: skip


def _pay_items(budget: Budget, name: str, value: Any, given: tuple[Any, ...]) -> None:
    if name in _COMPARING:
        budget.read(value)
    elif isinstance(value, (str, list, tuple, dict)):
        # Text is taken character by character; an attribute costs a step for each name in it.
        names = sum(one.count(".") + one.count(",") + 1 for one in given if isinstance(one, str))
        budget.charge(len(value) * (1 + 4 * names))


def _filter(name: str) -> Callable[..., Any]:
    own, price = _OWN.get(name), _PRICES.get(name)
    of_text, of_any, lenient = name in _OF_TEXT, name in _OF_ANY, name in ("default", "d")

    @pass_context
    def apply(budget: Budget, value: Any, /, *args: Any, **named: Any) -> Any:
        budget.charge(8)
        given = (*args, *named.values())
        if not lenient:
            require(value, *given)
        try:
            if of_text:
                value = to_words(value, budget)
            elif not of_any:
                _pay_items(budget, name, value, given)
            if price:
                budget.charge(price(value, *args, **named))
            result = own(budget, value, *args, **named) if own else _jinja(budget, name, value, args, named)
            return result if of_any else budget.keep(result)
        except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, AssertionError) as error:
            raise Fault(f"the filter {name} cannot take {kind(value)}: {tidy(error)}") from None

    return apply


_COMPARE = {function: name for name, (_, function) in COMPARISONS.items()}


def _test(name: str, function: Any) -> Callable[..., Any]:
    comparison = _COMPARE.get(function)

    @pass_context
    def apply(budget: Budget, value: Any, /, *args: Any) -> bool:
        budget.charge(4)
        if name not in ("defined", "undefined"):
            require(value, *args)
        if name in ("lower", "upper"):  # they make text of any value
            budget.read(value)
        try:
            return compare(budget, (comparison,), value, *args) if comparison else function(value, *args)
        except (TypeError, ArithmeticError) as error:
            raise Fault(f"the test {name} cannot take {kind(value)}: {tidy(error)}") from None

    return apply


FILTERS = {name: _filter(name) for name in sorted(_OF_TEXT | _OF_ANY | _OF_ITEMS)}
TESTS = {
    name: _test(name, function)
    for name, function in jinja2.tests.TESTS.items()
    if name not in ("callable", "escaped", "filter", "sameas", "test")
}
