"""Evaluates the expressions of recipes: Jinja2's language over plain data, sandboxed, metered and never re-parsed.

Jinja2 parses; a code generator of our own writes the Python, so that no function or method is ever a value: `x.name` is
data or undefined, `x.name()` is one of METHODS, `name()` is only `range`. Every loop, operator, filter, test and method
pays from one budget (MAX_WORK) before it works, and constants are never folded while compiling.

Beyond Jinja2's own filters there are
    fromjson      the value of a JSON text
    todatetime    the time of an RFC 3339 text (UTC where it names no offset) or of seconds since 1970
    b64encode     the Base64 text of a text's UTF-8 bytes
    b64decode     the text of Base64 of UTF-8 bytes
and `tojson` gives plain JSON, not JSON for HTML. Left out: attr, forceescape, pprint, random, safe, striptags, urlize,
wordcount, wordwrap, xmlattr. `a if b` without else is null where b is false. `{% if %}`, `{% for %}` and `{% set %}`
work in templates; `{% raw %}` writes braces as they are.
"""

from __future__ import annotations

import base64
import datetime as dt
import difflib
import functools
import html
import io
import json
import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NoReturn, TypeAlias

from jinja2 import TemplateSyntaxError, nodes, pass_context
from jinja2.compiler import CodeGenerator, Frame
from jinja2.filters import FILTERS, make_attrgetter
from jinja2.lexer import TokenStream
from jinja2.nodes import EvalContext
from jinja2.parser import Parser
from jinja2.runtime import LoopContext, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.tests import TESTS
from jinja2.utils import missing

Json: TypeAlias = Any
"""dict, list, str, int, float, bool, None; and datetime, which the caller writes as it needs."""
Path: TypeAlias = tuple[str | int, ...]

MAX_OUTPUT = 1 << 20
"""Characters of one rendered text."""
MAX_WORK = 2_000_000
"""What one evaluation may spend: about one for an operation, for an item made and for four characters made."""
MAX_RANGE = 100_000
MAX_BITS = 256
"""The size of a whole number that is computed; those of an event pass as they are."""


class ExpressionError(Exception):
    """An expression cannot be evaluated; `source` is the expression, `reason` why, `near` what may have been meant."""

    def __init__(self, source: str, reason: str, near: str | None = None) -> None:
        self.source, self.reason, self.near = source, reason, near
        hint = f"; did you mean {near}?" if near else ""
        super().__init__(f"{reason}{hint} (in {_shorten(source, 120)})")


class ExpressionSyntaxError(ExpressionError):
    """An expression cannot be read; `line` and `column` count from 1 within its source.

    `path` leads to it in a value that compile_value was given."""

    def __init__(self, source: str, reason: str, offset: int, near: str | None = None) -> None:
        super().__init__(source, reason, near)
        self.line = source.count("\n", 0, offset) + 1
        self.column = offset - source.rfind("\n", 0, offset)
        self.path: Path = ()


class _Fault(Exception):
    """Why an evaluation ends, in words; the border adds the expression."""


class _Used(Exception):
    """An undefined value was used."""

    def __init__(self, undefined: _Missing) -> None:
        super().__init__()
        self.undefined = undefined


class _Missing(StrictUndefined):
    """What is not there: further attributes of it are not there either, and any use of it is an error."""

    __slots__ = ("base", "rest")

    def __init__(self, hint: str | None = None, obj: Any = missing, name: Any = None, base: str = "") -> None:
        super().__init__(hint, obj, name)
        self.base = base if isinstance(base, str) else ""  # Jinja passes an exception class as the fourth
        self.rest = ""

    def beyond(self, key: object) -> _Missing:
        """Return the undefined value for `key` of this one."""
        further = _Missing(self._undefined_hint, self._undefined_obj, self._undefined_name, self.base)
        further.rest = (self.rest + _piece(key))[:200]
        return further

    def reason(self, names: Mapping[str, object]) -> tuple[str, str | None]:
        """Return why it is undefined, and the nearest thing that is there."""
        if self._undefined_hint:
            return self._undefined_hint, None
        key, top = self._undefined_name, self._undefined_obj is missing
        holder = names if top else self._undefined_obj
        here = str(key) if top else self.base + _piece(key)
        reason = f"{here}{self.rest} is undefined" + (f": there is no {here}" if self.rest else "")
        if isinstance(holder, Mapping):
            near = _nearest(key, holder)
            return reason, near if near is None or top else self.base + _piece(near)
        size = f" of {len(holder)}" if isinstance(holder, list) else ""
        return f"{reason}: {self.base} is {_kind(holder)}{size}", None

    def _fail(self, *_args: object, **_named: object) -> NoReturn:
        raise _Used(self)

    _fail_with_undefined_error = _fail
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _fail
    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __rpow__ = __pos__ = __neg__ = _fail
    __lt__ = __le__ = __gt__ = __ge__ = __eq__ = __ne__ = __bool__ = __hash__ = __contains__ = _fail
    __iter__ = __len__ = __str__ = __int__ = __float__ = __index__ = __call__ = __getitem__ = _fail


class _Run:
    """One evaluation: the names it sees and what it may still spend. It stands where Jinja has its Context."""

    __slots__ = ("exported_vars", "left", "names", "vars")
    environment: _Language
    eval_ctx: EvalContext

    def __init__(self, names: Mapping[str, object]) -> None:
        self.names = names
        self.left = MAX_WORK
        self.vars: dict[str, object] = {}
        self.exported_vars: set[str] = set()

    def resolve_or_missing(self, name: str) -> object:
        return self.names.get(name, missing)

    def charge(self, units: int) -> None:
        """Pay for work about to be done; a size that is no whole number would switch the meter off."""
        if units.__class__ is not int:
            units = operator.index(units)
        if units > 0:
            self.left -= units
            if self.left < 0:
                raise _Fault("it needs too much work or memory")

    def chars(self, count: int) -> None:
        """Pay for characters about to be made."""
        self.charge(4 + (operator.index(count) >> 2))

    def read(self, value: object) -> None:
        """Pay for going through all of `value`; ends early on values that unfold to more than can be paid."""
        left, waiting = self.left, [value]
        while waiting:
            item = waiting.pop()
            left -= 1
            if isinstance(item, str):
                left -= len(item) >> 6
            elif isinstance(item, dict):
                waiting.extend(item)
                waiting.extend(item.values())
            elif isinstance(item, (list, tuple)):
                waiting.extend(item)
            if left < len(waiting):
                raise _Fault("it needs too much work or memory")
        self.left = left

    def keep(self, value: Any) -> Any:
        """Return what a filter or method gave as plain data, paid for: no iterators, tuples or Markup go on."""
        kind = type(value)
        if value is None or kind is bool or kind is float:
            return value
        if isinstance(value, str):
            self.chars(len(value))
            return value if kind is str else str(value)
        if isinstance(value, int):
            if value.bit_length() > MAX_BITS:
                raise _Fault("it gives a number that is too large")
        elif kind is list or (isinstance(value, Iterable) and not isinstance(value, (dict, _Missing))):
            kept = []
            for item in value:
                self.charge(2)
                kept.append(list(item) if type(item) is tuple else item)
            return kept
        return value


# Words --------------------------------------------------------------------------------------------------------------

_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (type(None), "null"), (bool, "true or false"), (str, "text"), ((int, float), "a number"), (dict, "a mapping"),
    ((list, tuple), "a list"), (dt.date, "a time"), (dt.timedelta, "a duration"), (LoopContext, "the loop"),
)  # fmt: skip
_PYTHON = {"NoneType": "null", "str": "text", "int": "number", "float": "number", "dict": "mapping"}


def _kind(value: object) -> str:
    return next((word for kind, word in _KINDS if isinstance(value, kind)), f"a {type(value).__name__}")


def _shorten(text: str, length: int) -> str:
    text = " ".join(text[: length * 4].split())
    return text if len(text) <= length else text[: length - 1] + "…"


def _tidy(error: Exception) -> str:
    words = re.sub(r"'(\w+)'|\b(str|int|NoneType)\b", lambda m: _PYTHON.get(m[1] or m[2], m[0]), str(error)[:400])
    return _shorten(words, 160) or type(error).__name__


def _piece(key: object) -> str:
    return f".{key[:80]}" if isinstance(key, str) and key.isidentifier() else f"[{_shorten(repr(key), 80)}]"


def _nearest(name: object, names: Iterable[object]) -> str | None:
    known = [key for _, key in zip(range(500), names, strict=False) if isinstance(key, str) and len(key) < 100]
    if not isinstance(name, str) or len(name) > 100:
        return None
    same = [key for key in known if key.casefold() == name.casefold()]
    return next(iter(same or difflib.get_close_matches(name, known, 1)), None)


# Values -------------------------------------------------------------------------------------------------------------


def _time(value: dt.date) -> str:
    if not isinstance(value, dt.datetime):
        return value.isoformat()
    aware = value if value.tzinfo else value.replace(tzinfo=dt.UTC)
    return aware.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


def _encode(value: object) -> object:
    if isinstance(value, dt.date):
        return _time(value)
    if isinstance(value, _Missing):
        value._fail()
    raise _Fault(f"it gives {_kind(value)}, not data")


_JSON: dict[str, Any] = {"ensure_ascii": False, "allow_nan": False, "default": _encode}
_COMPACT = json.JSONEncoder(separators=(",", ":"), **_JSON)


def _json(value: object, run: _Run, indent: int | None = None) -> str:
    run.read(value)
    if indent is not None and not 0 <= indent <= 8:
        raise _Fault("tojson indents by 0 to 8")
    encoder = _COMPACT if indent is None else json.JSONEncoder(indent=indent, **_JSON)
    try:
        text = encoder.encode(value)
    except ValueError:
        raise _Fault("it gives a number that is not finite") from None
    run.chars(len(text))
    return text


def _text(value: object, run: _Run) -> str:
    """Return `value` as text: null is empty, times are RFC 3339 in UTC, all else as JSON would write it."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if type(value) is int:
        return str(value)
    if isinstance(value, dt.date):
        return _time(value)
    return _json(value, run)


def _plain(value: Any, run: _Run) -> Json:
    """Return `value` as plain data, or raise _Fault for what is none."""
    kind = type(value)
    if kind is str or value is None or kind is bool or kind is int:
        return value
    run.charge(1)
    if kind is float:
        if not math.isfinite(value):
            raise _Fault("it gives a number that is not finite")
    elif isinstance(value, dict):
        return {key if type(key) is str else _json(key, run): _plain(item, run) for key, item in value.items()}
    elif isinstance(value, (list, tuple)):
        return [_plain(item, run) for item in value]
    elif isinstance(value, (str, int)):
        return str(value) if isinstance(value, str) else int(value)
    elif not isinstance(value, dt.date):
        _encode(value)
    return value


# Methods: the only calls, by the type of what is before the dot -------------------------------------------------------



def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_STR = """upper lower casefold capitalize title swapcase strip lstrip rstrip removeprefix removesuffix split rsplit
    partition rpartition startswith endswith find rfind index count replace join center ljust rjust zfill
    isdigit isdecimal isnumeric isalpha isalnum isspace islower isupper"""
_METHODS: tuple[tuple[type, frozenset[str]], ...] = (
    (str, _words(_STR)),
    (dict, _words("keys values items get")),
    (list, _words("index count")),
    (dt.datetime, _words("isoformat strftime timestamp date weekday isoweekday")),
    (dt.date, _words("isoformat strftime weekday isoweekday")),
    (dt.timedelta, _words("total_seconds")),
    (LoopContext, _words("cycle changed")),
)
_ATTRIBUTES: tuple[tuple[type, frozenset[str]], ...] = (
    (dt.datetime, _words("year month day hour minute second microsecond")),
    (dt.date, _words("year month day")),
    (dt.timedelta, frozenset({"days", "seconds"})),
    (LoopContext, _words("index index0 first last length revindex revindex0 previtem nextitem depth depth0")),
    (tuple, _words("grouper list")),  # what groupby gives
)  # fmt: skip


def _allowed(table: tuple[tuple[type, frozenset[str]], ...], value: object) -> frozenset[str]:
    return next((names for kind, names in table if isinstance(value, kind)), frozenset())


def _replace(run: _Run, text: str, old: object, new: object, count: int | None = -1) -> str:
    before, after = _text(old, run), _text(new, run)
    run.chars(len(text) + text.count(before) * len(after))
    return text.replace(before, after, -1 if count is None else count)


def _join(run: _Run, items: Iterable[object], between: object = "", attribute: str | int | None = None) -> str:
    glue = _text(between, run)
    if attribute is not None:
        items = _attributes(run, items, attribute)
    texts = []
    for item in items:
        texts.append(_text(item, run))
        run.chars(len(texts[-1]) + len(glue))
    return glue.join(texts)


def _split(run: _Run, text: str, separator: str | None, right: bool, limit: int) -> list[str]:
    # Each part is an object of its own: pay for as many as there can be, before they are made.
    run.charge(len(text) >> 1 if separator is None else text.count(separator) * 4)
    return (text.rsplit if right else text.split)(separator, limit)


def _strftime(run: _Run, time: dt.date, form: str) -> str:
    if len(form) > 200 or re.search(r"%[^a-zA-Z%]*\d{3}", form):  # the C library pads to any width
        raise _Fault("the format of strftime is too long")
    return time.strftime(form)


def _either(given: Any) -> Any:
    return tuple(given) if isinstance(given, list) else given


_SPECIAL: dict[str, Callable[..., object]] = {
    "replace": _replace,
    "join": lambda run, text, items: _join(run, items, text),
    "split": lambda run, text, sep=None, maxsplit=-1: _split(run, text, sep, False, maxsplit),
    "startswith": lambda run, text, start, *span: text.startswith(_either(start), *span),
    "endswith": lambda run, text, end, *span: text.endswith(_either(end), *span),
    "rsplit": lambda run, text, sep=None, maxsplit=-1: _split(run, text, sep, True, maxsplit),
    "strftime": _strftime,
}
_PADDING = _words("center ljust rjust zfill")


# Operators ----------------------------------------------------------------------------------------------------------

_FORMAT = re.compile(
    r"%(?:\((?P<key>[^()%]{1,100})\))?(?P<spec>[-#0 +]{0,5}\d{0,3}(?:\.\d{0,3})?[diouxXeEfFgGcs])|%%|(?P<bad>%)"
)


def _format(run: _Run, pattern: str, given: Any) -> str:
    """Return `pattern` filled in as Python's % does it, with widths up to 999; a list gives several values."""
    values = iter(given if isinstance(given, (list, tuple)) else [given])

    def fill(match: re.Match[str]) -> str:
        if match["bad"]:
            raise _Fault("a % in the text starts no format; write %% for a percent sign")
        if match["spec"] is None:
            return "%"
        try:
            value = given[match["key"]] if match["key"] else next(values)
        except (LookupError, TypeError, StopIteration):
            raise _Fault(f"there is no value for {match[0]}") from None
        filled = f"%{match['spec']}" % (value if isinstance(value, (int, float)) else _text(value, run),)
        run.chars(len(filled))
        return filled

    text = _FORMAT.sub(fill, pattern)
    if not isinstance(given, dict) and next(values, missing) is not missing:
        raise _Fault("there are more values than formats")
    return text


def _repeat(run: _Run, left: Any, right: Any) -> None:
    for times, what in ((left, right), (right, left)):
        if isinstance(times, int) and isinstance(what, str):
            run.chars(len(what) * times)
        elif isinstance(times, int) and isinstance(what, (list, tuple)):
            run.charge(len(what) * times)


def _grow(run: _Run, left: Any, right: Any) -> None:
    if isinstance(left, str) and isinstance(right, str):
        run.chars(len(left) + len(right))
    elif isinstance(left, list) and isinstance(right, list):
        run.charge(len(left) + len(right))


def _bits(operation: Callable[[int, int], int]) -> Callable[[_Run, Any, Any], None]:
    def check(_run: _Run, left: Any, right: Any) -> None:
        if isinstance(left, int) and isinstance(right, int) and operation(left.bit_length(), right) > MAX_BITS:
            raise _Fault("it gives a number that is too large")

    return check


_BEFORE: dict[str, tuple[Callable[[_Run, Any, Any], None], ...]] = {
    "+": (_grow,),
    "*": (_repeat, _bits(lambda bits, right: bits + right.bit_length())),
    "**": (_bits(lambda bits, right: bits * right),),
}
_COMPARE: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "eq": ("==", operator.eq), "ne": ("!=", operator.ne), "gt": (">", operator.gt), "gteq": (">=", operator.ge),
    "lt": ("<", operator.lt), "lteq": ("<=", operator.le), "in": ("in", lambda item, holder: item in holder),
    "notin": ("not in", lambda item, holder: item not in holder),
}  # fmt: skip
_SMALL = frozenset({int, float, bool, type(None), dt.datetime, dt.timedelta})


class _Language(ImmutableSandboxedEnvironment):
    """Jinja2's environment with what the generated code calls; nothing in it belongs to one evaluation."""

    intercepted_binops = frozenset(("+", "-", "*", "/", "//", "%", "**"))
    intercepted_unops = frozenset(("+", "-"))

    def getitem(self, obj: Any, argument: Any, base: str = "(…)") -> Any:  # type: ignore[override]
        """Return what `obj` holds under `argument`: data, null of null, _Missing for what is not there."""
        if isinstance(obj, dict):
            try:
                return obj[argument]
            except KeyError:
                return _Missing(None, obj, argument, base)
        if obj is None:
            return None
        if isinstance(obj, _Missing):
            return obj.beyond(argument)
        if isinstance(argument, int) and isinstance(obj, (list, str, tuple)):
            try:
                return obj[argument]
            except IndexError:
                return _Missing(None, obj, argument, base)
        if isinstance(argument, str) and argument in _allowed(_ATTRIBUTES, obj):
            return getattr(obj, argument, None)
        return _Missing(None, obj, argument, base)

    getattr = getitem  # type: ignore[assignment]

    def cut(self, run: _Run, obj: Any, start: Any, stop: Any, step: Any) -> Any:
        """Return a slice."""
        if obj is None:
            return None
        if not isinstance(obj, (str, list, tuple)):
            raise _Used(obj) if isinstance(obj, _Missing) else _Fault(f"{_kind(obj)} has no slices")
        return run.keep(obj[start:stop:step])

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Return `left operator right`, after its size is paid for."""
        if operator == "%" and isinstance(left, str):
            return _format(context, left, right)
        for check in _BEFORE.get(operator, ()):
            check(context, left, right)
        try:
            return self.binop_table[operator](left, right)
        except ZeroDivisionError:
            raise _Fault("it divides by zero") from None
        except TypeError:
            hint = "; ~ joins them as text" if operator == "+" and str in (type(left), type(right)) else ""
            raise _Fault(f"{_kind(left)} {operator} {_kind(right)} is not possible{hint}") from None

    def call_unop(self, context: Any, operator: str, arg: Any) -> Any:
        """Return `operator arg`."""
        try:
            return self.unop_table[operator](arg)
        except TypeError:
            raise _Fault(f"{operator} {_kind(arg)} is not possible") from None

    def compare(self, run: _Run, operators: tuple[str, ...], *values: Any) -> bool:
        """Return whether the comparisons all hold, `a < b < c` as in Python."""
        for name, left, right in zip(operators, values, values[1:], strict=False):
            word, function = _COMPARE[name]
            if type(left) not in _SMALL or type(right) not in _SMALL:
                self._weigh(run, name, left, right)
            try:
                if not function(left, right):
                    return False
            except TypeError:
                one = isinstance(left, dt.date) ^ isinstance(right, dt.date)
                hint = "; todatetime makes a time of text" if one else ""
                raise _Fault(f"{_kind(left)} {word} {_kind(right)} is not possible{hint}") from None
        return True

    def _weigh(self, run: _Run, name: str, left: Any, right: Any) -> None:
        """Pay for one comparison; where its answer is seen without going into the values, next to nothing."""
        for value in (left, right):
            if isinstance(value, _Missing):
                value._fail()
        if isinstance(left, str) and isinstance(right, (str, dict)):
            run.charge((len(left) + (len(right) if isinstance(right, str) else 0)) >> 6)
        elif name in ("eq", "ne"):
            sized = (list, tuple, dict)
            if isinstance(left, sized) and isinstance(right, sized) and len(left) == len(right):
                run.read(left)
                run.read(right)
        else:
            run.read(right)
            run.read(left)

    def glue(self, run: _Run, *values: object) -> str:
        """Return the texts of `values` in one."""
        return _join(run, values)

    def each(self, run: _Run, items: Any, weight: int) -> Any:
        """Return what a loop goes over, after all its rounds are paid for."""
        if isinstance(items, _Missing):
            items._fail()
        if not isinstance(items, (list, tuple, dict, str)):
            raise _Fault(f"{_kind(items)} cannot be looped over")
        run.charge(len(items) * weight)
        return items

    def numbers(self, run: _Run, *bounds: int) -> list[int]:
        """Return the numbers of a range."""
        try:
            span = range(*bounds)
        except TypeError:
            raise _Fault("range takes one to three whole numbers") from None
        if abs(span.stop - span.start) > MAX_RANGE * abs(span.step):
            raise _Fault(f"a range has at most {MAX_RANGE} numbers")
        run.charge(len(span))
        return list(span)

    def method(self, run: _Run, obj: Any, name: str, /, *args: Any, **named: Any) -> Any:
        """Return what an allowed method of plain data gives."""
        for value in (obj, *args, *named.values()):
            if isinstance(value, _Missing):
                value._fail()
            if isinstance(value, str):
                run.charge(4 + (len(value) >> 6))
            elif isinstance(obj, (list, LoopContext)):  # they compare
                run.read(value)
        names = _allowed(_METHODS, obj)
        if name not in names:
            near = _nearest(name, sorted(names))
            raise _Fault(f"{_kind(obj)} has no {name}()" + (f"; did you mean {near}()?" if near else ""))
        if name in _PADDING and args:
            run.chars(args[0])
        function = _SPECIAL.get(name) if isinstance(obj, (str, dt.date)) else None
        try:
            result = function(run, obj, *args, **named) if function else getattr(obj, name)(*args, **named)
            return result if name in ("get", "cycle") else run.keep(result)
        except (TypeError, ValueError, OverflowError) as error:
            raise _Fault(f"{name}() fails: {_tidy(error)}") from None


# Filters and tests --------------------------------------------------------------------------------------------------


def _attributes(run: _Run, items: Iterable[object], attribute: str | int) -> Iterator[object]:
    get = make_attrgetter(run.environment, attribute)
    for item in items:
        run.charge(2 + len(str(attribute)))
        yield get(item)


def _default(run: _Run, value: Any, default_value: Any = "", boolean: bool = False) -> Any:
    return default_value if isinstance(value, _Missing) or (boolean and not value) else value


def _sum(run: _Run, items: Iterable[Any], attribute: str | int | None = None, start: Any = 0) -> Any:
    for item in items if attribute is None else _attributes(run, items, attribute):
        run.charge(2)
        start = run.environment.call_binop(run, "+", start, item)
    return start


def _fromjson(run: _Run, text: str) -> Json:
    run.charge(len(text))  # `[[],[],…` makes an object of every third character
    try:
        return json.loads(text)
    except ValueError as error:
        raise _Fault(f"fromjson finds no JSON: {error}") from None


def _todatetime(run: _Run, value: Any) -> dt.datetime:
    try:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return dt.datetime.fromtimestamp(value, dt.UTC)
        time = value if isinstance(value, dt.datetime) else dt.datetime.fromisoformat(value)
    except (TypeError, ValueError, OverflowError, OSError):
        raise _Fault(f"todatetime finds no RFC 3339 time in {_kind(value)}") from None
    return time if time.tzinfo else time.replace(tzinfo=dt.UTC)


def _b64decode(run: _Run, text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode()
    except ValueError:
        raise _Fault("b64decode finds no Base64 of UTF-8 text") from None


def _first(value: Any, end: str, pick: Callable[[Any], Iterator[Any]]) -> Any:
    return next(pick(value), _Missing(f"there is no {end} item: the list is empty"))


def _indent(run: _Run, text: str, width: int | str = 4, *_args: object, **_named: object) -> None:
    run.chars((text.count("\n") + 1) * (len(width) if isinstance(width, str) else width))


def _round(run: _Run, value: Any, precision: int = 0, *_args: object, **_named: object) -> None:
    if abs(precision) > 300:
        raise _Fault("round takes a precision up to 300")


_GUARDS: dict[str, Callable[..., None]] = {
    "center": lambda run, value, width=80: run.chars(width),
    "indent": _indent,
    "round": _round,
    "batch": lambda run, value, linecount, fill_with=None: run.charge(linecount),
    "slice": lambda run, value, slices, fill_with=None: run.charge(slices * 8),
    "urlencode": lambda run, value: run.chars(len(_text(value, run)) * 12),
}
_TEXT: dict[str, Callable[..., Any] | None] = {  # None: Jinja's own
    "upper": lambda run, text: text.upper(), "lower": lambda run, text: text.lower(), "title": None,
    "capitalize": lambda run, text: text.capitalize(), "trim": lambda run, text, chars=None: text.strip(chars),
    "string": lambda run, text: text, "replace": _replace, "center": None, "indent": None, "truncate": None,
    "format": lambda run, text, *args, **named: _format(run, text, named or args),
    "escape": lambda run, text: html.escape(text), "e": lambda run, text: html.escape(text),
    "fromjson": _fromjson, "b64decode": _b64decode,
    "b64encode": lambda run, text: base64.b64encode(text.encode()).decode(),
}  # fmt: skip
_FREE: dict[str, Callable[..., Any]] = {
    "default": _default, "d": _default, "length": lambda run, value: len(value), "count": lambda run, value: len(value),
    "first": lambda run, value: _first(value, "first", iter), "todatetime": _todatetime,
    "last": lambda run, value: _first(value, "last", reversed),
    "tojson": lambda run, value, indent=None: _json(value, run, indent),
}  # fmt: skip
_ITEMS: dict[str, Callable[..., Any] | None] = {
    "list": lambda run, value: list(value), "items": lambda run, value: value.items() if value else [], "join": _join,
    "sum": _sum, "abs": lambda run, value: abs(value),
} | dict.fromkeys(sorted(_words("""batch dictsort filesizeformat float groupby int map max min reject rejectattr
    reverse round select selectattr slice sort unique urlencode""")))  # fmt: skip


_COMPARING = _words("sort min max groupby dictsort")


def _filter(name: str, function: Callable[..., Any] | None, as_text: bool, free: bool) -> Callable[..., Any]:
    guard = _GUARDS.get(name)

    @pass_context
    def apply(run: _Run, value: Any, /, *args: Any, **named: Any) -> Any:
        run.charge(8)
        for given in (value, *args, *named.values()):
            if isinstance(given, _Missing) and function is not _default:
                given._fail()
        try:
            if name in _COMPARING:
                run.read(value)
            elif not free and not as_text and isinstance(value, (str, list, tuple, dict)):
                # Text is taken character by character; an attribute costs a step for each name in it.
                names = sum(given.count(".") + given.count(",") + 1 for given in (*args, *named.values())
                            if isinstance(given, str))  # fmt: skip
                run.charge(len(value) * (1 + 4 * names))
            if as_text:
                value = _text(value, run)
            if guard:
                guard(run, value, *args, **named)
            if function:
                result = function(run, value, *args, **named)
            else:
                result = _PLAIN.call_filter(name, value, args, named, run)  # type: ignore[arg-type]
            return result if free and not isinstance(result, int) else run.keep(result)
        except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, AssertionError) as error:
            raise _Fault(f"the filter {name} cannot take {_kind(value)}: {_tidy(error)}") from None

    return apply


def _test(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    compares = _TEST_COMPARES.get(name)

    @pass_context
    def apply(run: _Run, value: Any, /, *args: Any) -> bool:
        run.charge(4)
        for given in (value, *args):
            if isinstance(given, _Missing) and name not in ("defined", "undefined"):
                given._fail()
        if name in ("lower", "upper"):  # they make text of any value
            run.read(value)
        try:
            return run.environment.compare(run, (compares,), value, *args) if compares else function(value, *args)
        except (TypeError, ArithmeticError) as error:
            raise _Fault(f"the test {name} cannot take {_kind(value)}: {_tidy(error)}") from None

    return apply


_TEST_COMPARES = {
    "==": "eq", "eq": "eq", "equalto": "eq", "!=": "ne", "ne": "ne", ">": "gt", "gt": "gt", "greaterthan": "gt",
    ">=": "gteq", "ge": "gteq", "<": "lt", "lt": "lt", "lessthan": "lt", "<=": "lteq", "le": "lteq", "in": "in",
}  # fmt: skip


def _language() -> _Language:
    language = _Language(undefined=_Missing, keep_trailing_newline=True, optimized=False, autoescape=False)
    language.globals.clear()
    return language


_PLAIN = _language()  # Jinja's own filters, without a meter: only called by the metered ones
_PLAIN.filters = dict(FILTERS)
_LANGUAGE = _language()
_LANGUAGE.filters = {
    name: _filter(name, function, table is _TEXT, table is _FREE)
    for table in (_TEXT, _FREE, _ITEMS)
    for name, function in table.items()
}
_LANGUAGE.tests = {
    name: _test(name, function)  # type: ignore[arg-type]
    for name, function in TESTS.items()
    if name not in ("callable", "escaped", "filter", "sameas", "test")
}
_Run.environment = _LANGUAGE
_Run.eval_ctx = EvalContext(_LANGUAGE)


# Compiling ----------------------------------------------------------------------------------------------------------

_NODES = _words("""Template Output TemplateData If For Assign Name Const Tuple List Dict Pair Keyword CondExpr Filter
    Test Call Getitem Getattr Slice Concat Compare Operand Mul Div FloorDiv Add Sub Mod Pow And Or Not Neg Pos""")
_TAGS = {
    "FromImport": "from", "CallBlock": "call", "FilterBlock": "filter", "AssignBlock": "set … endset",
    "For": "for … recursive", "NSRef": "set x.y",
}  # fmt: skip


class _Writer(CodeGenerator):
    """Writes a checked tree as Python that yields values, not texts, and does everything through _LANGUAGE."""

    def __init__(self) -> None:
        self.code = io.StringIO()
        super().__init__(_LANGUAGE, None, None, self.code, optimized=False)
        self.names: set[str] = set()

    def enter_frame(self, frame: Frame) -> None:
        super().enter_frame(frame)
        self.names.update(name for action, name in frame.symbols.loads.values() if action == "resolve" and name)

    def _call(self, function: str, frame: Frame, *given: nodes.Node | str, named: Iterable[nodes.Keyword] = ()) -> None:
        self.write(f"environment.{function}(")
        for item in given:
            self.visit(item, frame) if isinstance(item, nodes.Node) else self.write(item)
            self.write(", ")
        for keyword in named:
            self.write(f"**{{{keyword.key!r}: ")
            self.visit(keyword.value, frame)
            self.write("}, ")
        self.write(")")

    def visit_Output(self, node: nodes.Output, frame: Frame) -> None:
        for child in node.nodes:
            self.writeline("yield ", child)
            self.visit(child, frame)

    def visit_Getattr(self, node: nodes.Getattr, frame: Frame) -> None:
        self._call("getitem", frame, node.node, repr(node.attr), repr(_spell(node.node)))

    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:
        if isinstance(node.arg, nodes.Slice):
            bounds = (node.arg.start, node.arg.stop, node.arg.step)
            self._call("cut", frame, "context", node.node, *(bound or "None" for bound in bounds))
        else:
            self._call("getitem", frame, node.node, node.arg, repr(_spell(node.node)))

    def visit_Compare(self, node: nodes.Compare, frame: Frame) -> None:
        operators = tuple(operand.op for operand in node.ops)
        self._call("compare", frame, "context", repr(operators), node.expr, *(operand.expr for operand in node.ops))

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        self._call("glue", frame, "context", *node.nodes)

    def visit_CondExpr(self, node: nodes.CondExpr, frame: Frame) -> None:
        node.expr2 = node.expr2 or nodes.Const(None)
        super().visit_CondExpr(node, frame)

    def visit_Tuple(self, node: nodes.Tuple, frame: Frame) -> None:
        # As values, tuples would be hashable and their hash unfolds; as targets of for and set they are needed.
        if node.ctx == "load":
            self.visit_List(nodes.List(node.items), frame)
        else:
            super().visit_Tuple(node, frame)

    def visit_Call(self, node: nodes.Call, frame: Frame, forward_caller: bool = False) -> None:
        if isinstance(node.node, nodes.Getattr):
            target = (node.node.node, repr(node.node.attr))
            self._call("method", frame, "context", *target, *node.args, named=node.kwargs)
        else:
            self._call("numbers", frame, "context", *node.args)

    def visit_For(self, node: nodes.For, frame: Frame) -> None:
        weight = 1 + sum(_size(part) for part in (*node.body, *([node.test] if node.test else ())))
        node.iter = nodes.Filter(node.iter, _EACH, [nodes.Const(weight)], [], None, None)
        super().visit_For(node, frame)

    def visit_Filter(self, node: nodes.Filter, frame: Frame) -> None:
        if node.name == _EACH:
            self._call("each", frame, "context", node.node or "None", node.args[0])
        else:
            super().visit_Filter(node, frame)


_EACH = "each round"  # no name that a recipe could write


def _size(node: nodes.Node) -> int:
    return 1 + sum(_size(child) for child in node.iter_child_nodes())


def _static(node: nodes.Node) -> Path | None:
    """Return the chain that `node` spells out, `steps.find.rows[0]`, or None."""
    if isinstance(node, nodes.Name):
        return (node.name,) if node.ctx == "load" else None
    if isinstance(node, nodes.Getattr):
        key: Any = node.attr
    elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        key = node.arg.value
    else:
        return None
    before = _static(node.node)
    return (*before, key) if before and type(key) in (str, int) else None


def _spell(node: nodes.Node) -> str:
    path = _static(node)
    return str(path[0]) + "".join(map(_piece, path[1:])) if path else "(…)"


def _chains(node: nodes.Node, own: set[str]) -> Iterator[Path]:
    path = _static(node)
    if path:
        if path[0] not in own:
            yield path
        return
    if isinstance(node, nodes.Call):
        before = [node.node.node] if isinstance(node.node, nodes.Getattr) else []
        children: Iterable[nodes.Node] = [*before, *node.args, *node.kwargs]
    else:
        children = node.iter_child_nodes()
    for child in children:
        yield from _chains(child, own)


def _objection(node: nodes.Node) -> tuple[str, str, str | None] | None:
    """Return why `node` may not be in a recipe, the word to point at, and what is near; None where it may."""
    kind = type(node).__name__
    if kind not in _NODES or (isinstance(node, nodes.For) and node.recursive):
        tag = _TAGS.get(kind, kind.lower())
        return f"{{% {tag} %}} is not available; if, for and set are", tag.split()[0], None
    for what, known in ((nodes.Filter, _LANGUAGE.filters), (nodes.Test, _LANGUAGE.tests)):
        if isinstance(node, what) and node.name not in known:
            return f"there is no {kind.lower()} {node.name}", node.name, _nearest(node.name, known)
    if isinstance(node, nodes.Name) and node.name == "self":
        return "self is undefined", "self", None
    if isinstance(node, nodes.Call):
        if node.dyn_args or node.dyn_kwargs:
            return "* is not available in calls", "*", None
        if isinstance(node.node, nodes.Name) and node.node.name != "range":
            return f"there is no function {node.node.name}; range is one", node.node.name, None
        if not isinstance(node.node, (nodes.Name, nodes.Getattr)):
            return "only methods and range can be called", "(", None
        if isinstance(node.node, nodes.Name) and node.kwargs:
            return "range takes no named arguments", "range", None
    if isinstance(node, nodes.Const) and isinstance(node.value, float) and not math.isfinite(node.value):
        return "a number is not finite", "e", None
    return None


def _check(node: nodes.Node, source: str) -> None:
    objection = _objection(node)
    if objection:
        reason, word, near = objection
        start = sum(len(line) + 1 for line in source.split("\n")[: node.lineno - 1])
        raise ExpressionSyntaxError(source, reason, max(source.find(word, start), 0), near)
    for child in node.iter_child_nodes():
        _check(child, source)


def _parse(source: str, bare: bool) -> nodes.Template:
    """Return the checked tree of `source`; a bare expression becomes a template that is only it."""
    place = 0

    def tokens() -> Iterator[tuple[int, str, str]]:
        nonlocal place  # the reader is one token ahead of the parser: where it stands is where an error is
        end = 0
        for line, kind, text in _LANGUAGE.lexer.tokeniter(lines, None, state="variable" if bare else None):
            place = max(lines.find(text, end), end)
            end = place + len(text)
            yield line, kind, text

    # Jinja makes every line end "\n"; in text they are data, so they travel as a blank that the source has not.
    stand_in = next((char for char in "\x1f\x1e\x1d\x1c\v\f" if char not in source), "\f")
    lines = source.replace("\r", stand_in)
    parser = Parser(_LANGUAGE, "", state="variable" if bare else None)
    try:
        parser.stream = TokenStream(_LANGUAGE.lexer.wrap(tokens()), None, None)
        if bare:
            expression = parser.parse_expression()
            if not parser.stream.eos:
                parser.fail(f"{parser.stream.current.value!r} was not expected here")
            tree = nodes.Template([nodes.Output([expression], lineno=1)], lineno=1)
        else:
            tree = parser.parse()
        if "\r" in source:
            for data in tree.find_all(nodes.TemplateData):
                data.data = data.data.replace(stand_in, "\r")
        _check(tree, source)
        for call in tree.find_all(nodes.Call):
            if isinstance(call.node, nodes.Name):  # so that range is none of the names that it uses
                call.node = nodes.EnvironmentAttribute("numbers")
        tree.set_environment(_LANGUAGE)
    except TemplateSyntaxError as error:
        raise ExpressionSyntaxError(source, (error.message or "it cannot be read").rstrip("."), place) from None
    except (ValueError, OverflowError, RecursionError) as error:
        raise ExpressionSyntaxError(source, _reason(error), place) from None
    return tree


def _reason(error: Exception) -> str:
    if isinstance(error, _Fault):
        return str(error)
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, MemoryError):
        return "it needs too much work or memory"
    return f"it fails: {_tidy(error)}"


class _Expression:
    """What templates and conditions share: compiled once, evaluated often, from any thread.

    `names` are the top-level names it uses, `paths` the chains it spells out, such as ("steps", "find", "count").
    """

    __slots__ = ("_path", "_root", "names", "paths", "single", "source")

    def __init__(self, source: str, tree: nodes.Template) -> None:
        body = tree.body[0].nodes if len(tree.body) == 1 and isinstance(tree.body[0], nodes.Output) else []
        own = {name.name for name in tree.find_all(nodes.Name) if name.ctx != "load"}
        own |= {"loop"} if tree.find(nodes.For) else set()
        writer = _Writer()
        space: dict[str, Any] = {"environment": _LANGUAGE}
        self.source = source
        self.single = len(body) == 1 and not isinstance(body[0], nodes.TemplateData)
        try:
            self._path = _static(body[0]) if self.single else None
            self.paths = frozenset(_chains(tree, own))
            writer.visit(tree)
            exec(compile(writer.code.getvalue(), "<expression>", "exec"), space)
        except (TemplateSyntaxError, SyntaxError, RecursionError, MemoryError) as error:
            raise ExpressionSyntaxError(source, _reason(error), 0) from None
        self.names = frozenset(writer.names)
        self._root: Callable[[_Run], Iterator[Any]] = space["root"]

    @property
    def steps(self) -> frozenset[str]:
        """The ids of the steps that it names."""
        chains = (path[1] for path in self.paths if path[0] == "steps" and len(path) > 1)
        return frozenset(own for own in chains if isinstance(own, str))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.source!r})"

    def _value(self, names: Mapping[str, object]) -> Json:
        if self._path:
            try:
                value: Any = names
                for key in self._path:
                    value = value[key]
            except (LookupError, TypeError):  # null, undefined, an attribute of a time: the long way knows
                pass
            else:
                # The context is plain data by agreement: what a chain finds in it goes out as it is.
                kind = type(value)
                if kind is str or kind is dict or kind is list or kind is int or kind is bool or value is None:
                    return value
        run = _Run(names)
        try:
            return _plain(next(self._root(run)), run)
        except Exception as error:
            self._explain(error, names)

    def _explain(self, error: Exception, names: Mapping[str, object]) -> NoReturn:
        if isinstance(error, _Used):
            raise ExpressionError(self.source, *error.undefined.reason(names)) from None
        raise ExpressionError(self.source, _reason(error)) from error


class Condition(_Expression):
    """A bare expression: `if`, `when`, `repeat`."""

    __slots__ = ()

    def value(self, context: Mapping[str, object]) -> Json:
        """Return the expression's value, plain data; what comes out of `context` is shared, not copied.

        Raises ExpressionError where something is undefined, fails, is no data or costs too much."""
        return self._value(context)

    def truth(self, context: Mapping[str, object]) -> bool:
        """Return whether the value is true as Python has it: null, 0, "", [] and {} are not. Raises ExpressionError."""
        return bool(self._value(context))


class Template(_Expression):
    """A string of a recipe, with `{{ … }}` or without; `is_constant` where nothing in it is evaluated."""

    __slots__ = ("_constant", "is_constant")

    def __init__(self, source: str) -> None:
        plain = not is_template(source)
        tree = nodes.Template([]) if plain else _parse(source, bare=False)
        data = [part.data for part in tree.find_all(nodes.TemplateData)]
        parts = [part for top in tree.body for part in (top.nodes if isinstance(top, nodes.Output) else [top])]
        self.is_constant = len(data) == len(parts) and all(isinstance(part, nodes.TemplateData) for part in parts)
        self._constant = source if plain else "".join(data) if self.is_constant else ""
        if self.is_constant:
            self.source, self.names, self.paths, self.single = source, frozenset(), frozenset(), False
        else:
            super().__init__(source, tree)

    def value(self, context: Mapping[str, object]) -> Json:
        """Return the value, with its type, of a template that is a single `{{ … }}`; of any other its text.

        What comes out of `context` is shared, not copied. Raises ExpressionError as `Condition.value` does."""
        return self._value(context) if self.single else self.text(context)

    def text(self, context: Mapping[str, object]) -> str:
        """Return text, whatever the value: null is "", true "true", lists and mappings compact JSON, times RFC 3339.

        Raises ExpressionError, also for more than MAX_OUTPUT characters."""
        if self.is_constant:
            return self._constant
        run, texts, left = _Run(context), [], MAX_OUTPUT
        try:
            for value in self._root(run):
                text = value if value.__class__ is str else _text(value, run)
                left -= len(text)
                if left < 0:
                    raise _Fault(f"it gives more than {MAX_OUTPUT} characters of text")
                texts.append(text)
        except Exception as error:
            self._explain(error, context)
        return "".join(texts)


class Value:
    """A value of a recipe, walked once: `templates` are the strings in it that are no constants, by their path."""

    __slots__ = ("_make", "names", "paths", "templates")

    def __init__(self, value: Json) -> None:
        self.templates: dict[Path, Template] = {}
        self._make = self._node(value, ())
        self.names = frozenset().union(*(template.names for template in self.templates.values()))
        self.paths = frozenset().union(*(template.paths for template in self.templates.values()))

    @property
    def paths_from_template(self) -> frozenset[Path]:
        """The paths of the strings that are templates."""
        return frozenset(self.templates)

    def value(self, context: Mapping[str, object]) -> Json:
        """Return the value with its templates evaluated; constant parts are shared. Raises ExpressionError."""
        return self._make(context)

    def _node(self, value: Json, path: Path) -> Callable[[Mapping[str, object]], Json]:
        if isinstance(value, str):
            try:
                template = compile_template(value)
            except ExpressionSyntaxError as error:
                error.path = path
                raise
            if not template.is_constant:
                self.templates[path] = template
            return template.value
        if not isinstance(value, (dict, list)):
            return lambda context: value
        known = len(self.templates)
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        parts = {key: self._node(item, (*path, key)) for key, item in pairs}
        if len(self.templates) == known:
            constant = {key: part({}) for key, part in parts.items()}
            whole = constant if isinstance(value, dict) else list(constant.values())
            return lambda context: whole
        made = list(parts.items())
        if isinstance(value, dict):
            return lambda context: {key: part(context) for key, part in made}
        return lambda context: [part(context) for _, part in made]


def is_template(value: object) -> bool:
    """Return whether `value` is a string that is read as a template: one with `{{`, `{%` or `{#` in it."""
    return isinstance(value, str) and ("{{" in value or "{%" in value or "{#" in value)


def to_text(value: Json) -> str:
    """Return plain data as `Template.text` writes it; raises ExpressionError for what is no data."""
    try:
        return _text(value, _Run({}))
    except (_Fault, RecursionError) as error:
        raise ExpressionError(repr(value), _reason(error)) from None


@functools.lru_cache(4096)
def compile_template(source: str) -> Template:
    """Return `source` as a template; raises ExpressionSyntaxError."""
    return Template(source)


@functools.lru_cache(4096)
def compile_condition(source: str) -> Condition:
    """Return `source` as a bare expression; raises ExpressionSyntaxError."""
    if source.lstrip().startswith(("{{", "{%")):
        raise ExpressionSyntaxError(source, "it takes a bare expression, without {{ }}", 0)
    return Condition(source, _parse(source, bare=True))


def compile_value(value: Json) -> Value:
    """Return a value of a recipe (`with`, `set`), ready to be evaluated often.

    Raises ExpressionSyntaxError, with the path of the string. Keys are never templates."""
    return Value(value)


def render(value: Json, context: Mapping[str, object]) -> Json:
    """Return `value` with the templates in it evaluated; raises ExpressionError. For once only: see compile_value."""
    return compile_value(value).value(context)


def paths(source: str) -> frozenset[Path]:
    """Return the chains of names that a template spells out; those of a bare expression are its Condition's `paths`."""
    return compile_template(source).paths
