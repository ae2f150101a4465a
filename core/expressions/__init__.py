"""Evaluates the expressions of recipes: Jinja2's language over plain data, sandboxed, metered and never re-parsed.

Jinja2 parses and writes the Python, over a tree in which nothing but our own functions is called: `x.name` is data or
undefined, `x.name()` is one of METHODS, `name()` is only `range`. Every loop, operator, filter, test and method pays
from one budget (MAX_WORK) before it works, and constants are never folded while compiling.

Beyond Jinja2's own filters there are
    fromjson      the value of a JSON text
    todatetime    the time of an RFC 3339 text (UTC where it names no offset) or of seconds since 1970
    b64encode     the Base64 text of a text's UTF-8 bytes
    b64decode     the text of Base64 of UTF-8 bytes
and `tojson` gives plain JSON, not JSON for HTML. Left out: attr, forceescape, pprint, random, safe, striptags, urlize,
wordcount, wordwrap, xmlattr. `a if b` without else is null where b is false. `{% if %}`, `{% for %}` and `{% set %}`
work in templates; `{% raw %}` writes braces as they are.
"""

from core.expressions.budget import MAX_BITS, MAX_OUTPUT, MAX_RANGE, MAX_WORK
from core.expressions.errors import ExpressionError, ExpressionSyntaxError
from core.expressions.templates import (
    Condition,
    Template,
    Value,
    compile_condition,
    compile_template,
    compile_value,
    is_template,
    paths,
    render,
    to_text,
)

__all__ = [
    "MAX_BITS", "MAX_OUTPUT", "MAX_RANGE", "MAX_WORK", "Condition", "ExpressionError", "ExpressionSyntaxError",
    "Template", "Value", "compile_condition", "compile_template", "compile_value", "is_template", "paths", "render",
    "to_text",
]  # fmt: skip
