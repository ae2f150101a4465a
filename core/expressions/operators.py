"""The operators, loops and `range` of expressions, and Jinja2's environment that the generated code finds them in."""

from __future__ import annotations

import datetime as dt
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.tests import test_in
from jinja2.utils import missing

from core.expressions.budget import MAX_BITS, MAX_RANGE, Budget
from core.expressions.errors import Fault, kind
from core.expressions.methods import getitem, join, method
from core.expressions.undefined import Missing, require
from core.expressions.values import to_words

_FORMAT = re.compile(
    r"%(?:\((?P<key>[^()%]{1,100})\))?(?P<spec>[-#0 +]{0,5}\d{0,3}(?:\.\d{0,3})?[diouxXeEfFgGcs])|%%|(?P<bad>%)"
)


def fill_in(budget: Budget, pattern: str, given: Any) -> str:
    """Return `pattern` filled in as Python's % does it, with widths up to 999; a list gives several values."""
    values = iter(given if isinstance(given, (list, tuple)) else [given])

    def fill(match: re.Match[str]) -> str:
        if match["bad"]:
            raise Fault("a % in the text starts no format; write %% for a percent sign")
        if match["spec"] is None:
            return "%"
        try:
            value = given[match["key"]] if match["key"] else next(values)
        except (LookupError, TypeError, StopIteration):
            raise Fault(f"there is no value for {match[0]}") from None
        filled = f"%{match['spec']}" % (value if isinstance(value, (int, float)) else to_words(value, budget),)
        budget.chars(len(filled))
        return filled

    text = _FORMAT.sub(fill, pattern)
    if not isinstance(given, dict) and next(values, missing) is not missing:
        raise Fault("there are more values than formats")
    return text


def _pay(budget: Budget, word: str, left: Any, right: Any) -> None:
    if word == "+" and isinstance(left, (str, list)) and isinstance(right, type(left)):
        budget.charge(len(left) + len(right) >> (2 if isinstance(left, str) else 0))
    elif isinstance(left, int) and isinstance(right, int) and word in ("*", "**"):
        bits = left.bit_length() + right.bit_length() if word == "*" else left.bit_length() * right
        if bits > MAX_BITS:
            raise Fault("it gives a number that is too large")
    elif word == "*":
        for times, what in ((left, right), (right, left)):
            if isinstance(times, int) and isinstance(what, (str, list, tuple)):
                budget.charge(len(what) * times >> (2 if isinstance(what, str) else 0))


def binary(budget: Budget, word: str, left: Any, right: Any) -> Any:
    """Return `left word right`, after its size is paid for."""
    if word == "%" and isinstance(left, str):
        return fill_in(budget, left, right)
    _pay(budget, word, left, right)
    try:
        return Operators.default_binop_table[word](left, right)
    except ZeroDivisionError:
        raise Fault("it divides by zero") from None
    except TypeError:
        hint = "; ~ joins them as text" if word == "+" and str in (type(left), type(right)) else ""
        raise Fault(f"{kind(left)} {word} {kind(right)} is not possible{hint}") from None


def _unary(_budget: Budget, word: str, value: Any) -> Any:
    try:
        return Operators.default_unop_table[word](value)
    except TypeError:
        raise Fault(f"{word} {kind(value)} is not possible") from None


COMPARISONS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "eq": ("==", operator.eq), "ne": ("!=", operator.ne), "gt": (">", operator.gt), "gteq": (">=", operator.ge),
    "lt": ("<", operator.lt), "lteq": ("<=", operator.le), "in": ("in", test_in),
    "notin": ("not in", lambda item, holder: item not in holder),
}  # fmt: skip
_SMALL = frozenset({int, float, bool, type(None), dt.datetime, dt.timedelta})
_SIZED = (str, list, tuple, dict)


def compare(budget: Budget, operators: tuple[str, ...], *values: Any) -> bool:
    """Return whether the comparisons all hold, `a < b < c` as in Python."""
    for name, left, right in zip(operators, values, values[1:], strict=False):
        word, function = COMPARISONS[name]
        if type(left) not in _SMALL or type(right) not in _SMALL:
            _weigh(budget, name, left, right)
        try:
            if not function(left, right):
                return False
        except TypeError:
            one = isinstance(left, dt.date) ^ isinstance(right, dt.date)
            hint = "; todatetime makes a time of text" if one else ""
            raise Fault(f"{kind(left)} {word} {kind(right)} is not possible{hint}") from None
    return True


def _weigh(budget: Budget, name: str, left: Any, right: Any) -> None:
    # A comparison goes no further than the smaller side, a search through all of the holder; equality sees sizes first.
    require(left, right)
    alike = isinstance(left, _SIZED) and isinstance(right, _SIZED) and len(left) == len(right)
    if name in ("in", "notin"):
        budget.read(left if isinstance(right, dict) else right)
    elif alike or name not in ("eq", "ne"):
        budget.read(left)


def _cut(budget: Budget, obj: Any, start: Any, stop: Any, step: Any) -> Any:
    require(obj)
    if obj is None:
        return None
    if not isinstance(obj, (str, list, tuple)):
        raise Fault(f"{kind(obj)} has no slices")
    return budget.keep(obj[start:stop:step])


def _each(budget: Budget, items: Any, weight: int) -> Any:
    require(items)
    if not isinstance(items, _SIZED):
        raise Fault(f"{kind(items)} cannot be looped over")
    budget.charge(len(items) * weight)
    return items


def _numbers(budget: Budget, *bounds: int) -> list[int]:
    try:
        span = range(*bounds)
    except TypeError:
        raise Fault("range takes one to three whole numbers") from None
    if abs(span.stop - span.start) > MAX_RANGE * abs(span.step):
        raise Fault(f"a range has at most {MAX_RANGE} numbers")
    budget.charge(len(span))
    return list(span)


class Operators(ImmutableSandboxedEnvironment):
    """Jinja2's environment with all that generated code calls; nothing in it belongs to one evaluation."""

    intercepted_binops = frozenset(("+", "-", "*", "/", "//", "%", "**"))
    intercepted_unops = frozenset(("+", "-"))

    def __init__(self, filters: Mapping[str, Callable[..., Any]], tests: Mapping[str, Callable[..., Any]]) -> None:
        super().__init__(undefined=Missing, keep_trailing_newline=True, optimized=False, autoescape=False)
        self.globals.clear()
        self.filters, self.tests = dict(filters), dict(tests)

    getitem = getattr = staticmethod(getitem)  # type: ignore[assignment]
    call_binop = staticmethod(binary)  # type: ignore[assignment]
    call_unop = staticmethod(_unary)  # type: ignore[assignment]
    compare = staticmethod(compare)
    cut = staticmethod(_cut)
    each = staticmethod(_each)  # what a loop goes over, after all its rounds are paid for
    glue = staticmethod(lambda budget, *values: join(budget, values))
    method = staticmethod(method)
    numbers = staticmethod(_numbers)
