"""What Jinja2's parser says of an expression, said in the words of recipes."""

from __future__ import annotations

import re
from collections.abc import Callable

_TOKENS = {
    "name": "a name", "integer": "a number", "float": "a number", "string": "a text", "data": "text",
    "end of print statement": "'}}'", "end of statement block": "'%}'", "end of template": "the end",
    "begin of print statement": "'{{'", "begin of statement block": "'{%'",
}
_OPEN = r".* The innermost block that needs to be closed is '(\w+)'"

_SENTENCES: tuple[tuple[str, Callable[..., str]], ...] = (
    (r"Unexpected end of template\..* needs to be closed is 'set'", lambda: "{% set %} wants a value: {% set x = … %}"),
    (rf"Unexpected end of template\.{_OPEN}",
     lambda tag: f"{{% {tag} %}} is never closed: {{% end{tag} %}} is missing"),
    (rf"Encountered unknown tag '(\w+)'{_OPEN}",
     lambda tag, open: f"{{% {tag} %}} does not belong here: {{% end{open} %}} is missing before it"),
    (r"Encountered unknown tag '(end\w+|else|elif)'", lambda tag: f"{{% {tag} %}} has no if, for or set before it"),
    (r"Encountered unknown tag '(\w+)'", lambda tag: f"{{% {tag} %}} is not available; if, for and set are"),
    (r"tag name expected", lambda: "{% wants the name of a tag: if, for or set"),
    (r"Missing end of comment tag", lambda: "the comment that opens here is never closed: #} is missing"),
    (r"Missing end of raw directive", lambda: "{% raw %} is never closed: {% endraw %} is missing"),
    (r"unexpected 'end of .*'|Expected an expression, got 'end of .*'", lambda: "it ends where a value is missing"),
    (r"unexpected end of template, expected '[],)}]'", lambda: "it ends before a bracket is closed"),
    (r"unexpected end of template, expected '(.*)'", lambda lacking: f"it ends where {_token(lacking)} is missing"),
    (r"expected token '(.*)', got '(.*)'", lambda lacking, got: f"{_token(lacking)} is missing before {_token(got)}"),
    (r"unexpected '(.*)', expected '(.*)'", lambda got, lacking: f"{_token(lacking)} is missing before {_token(got)}"),
    (r"unexpected char (?:\"'\"|'\"') at .*", lambda: "the quote that opens here is never closed"),
    (r"unexpected char (.*) at .*", lambda found: f"{found} has no meaning here"),
    (r"unexpected '(.*)'", lambda found: f"{_token(found)} was not expected here"),
    (r"expected name or number", lambda: "a name or a number is missing after the dot"),
    (r"expected subscript expression", lambda: "what to look for is missing between [ and ]"),
    (r"invalid syntax for function call expression", lambda: "a value without a name stands behind one with a name"),
    (r"can't assign to .*", lambda: "only a name can be set"),
    (r"You cannot chain multiple tests with is", lambda: "one 'is' cannot follow another: join them with 'and'"),
)
"""The parser's sentences, the more special ones first, and what each becomes."""


def reworded(said: str) -> str:
    """Return the parser's sentence in our words; one that is not known as it is."""
    for pattern, sentence in _SENTENCES:
        if found := re.fullmatch(pattern, said.rstrip("."), re.DOTALL):
            return sentence(*found.groups())
    return said


def _token(described: str) -> str:
    return _TOKENS.get(described, f"{described!r}")
