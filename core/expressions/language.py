"""Reads an expression's source: Jinja2's parser, held to what a recipe may say, with a place for every objection."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from jinja2 import TemplateSyntaxError, nodes
from jinja2.lexer import TokenStream
from jinja2.nodes import EvalContext
from jinja2.parser import Parser
from jinja2.utils import missing

from core.expressions.budget import Budget
from core.expressions.errors import ExpressionSyntaxError, explained, nearest
from core.expressions.filters import FILTERS, TESTS
from core.expressions.methods import words
from core.expressions.operators import Operators
from core.expressions.wording import reworded

LANGUAGE = Operators(FILTERS, TESTS)
_NODES = words("""Template Output TemplateData If For Assign Name Const Tuple List Dict Pair Keyword CondExpr Filter
    Test Call Getitem Getattr Slice Concat Compare Operand Mul Div FloorDiv Add Sub Mod Pow And Or Not Neg Pos""")
_TAGS = {
    "FromImport": "from", "CallBlock": "call", "FilterBlock": "filter", "AssignBlock": "set … endset",
    "For": "for … recursive", "NSRef": "set x.y",
}  # fmt: skip


class Run(Budget):
    """One evaluation: the names it sees and what it may still spend. It stands where Jinja2 has its Context."""

    environment = LANGUAGE
    eval_ctx = EvalContext(LANGUAGE)

    def __init__(self, names: Mapping[str, object]) -> None:
        self.names = names
        self.vars: dict[str, object] = {}
        self.exported_vars: set[str] = set()

    def resolve_or_missing(self, name: str) -> object:
        return self.names.get(name, missing)


def _objection(node: nodes.Node) -> tuple[str, str, str | None] | None:
    """Return why `node` may not be in a recipe, the word to point at, and what is near; None where it may."""
    kind = type(node).__name__
    if kind not in _NODES or (isinstance(node, nodes.For) and node.recursive):
        tag = _TAGS.get(kind, kind.lower())
        return f"{{% {tag} %}} is not available; if, for and set are", tag.split()[0], None
    for what, known in ((nodes.Filter, FILTERS), (nodes.Test, TESTS)):
        if isinstance(node, what) and node.name not in known:
            return f"there is no {kind.lower()} {node.name}", node.name, nearest(node.name, known)
    if isinstance(node, nodes.Name) and node.name == "self":
        return "self is undefined", "self", None
    if isinstance(node, nodes.Const) and isinstance(node.value, float) and not math.isfinite(node.value):
        return "a number is not finite", "e", None
    return _call_objection(node) if isinstance(node, nodes.Call) else None


def _call_objection(call: nodes.Call) -> tuple[str, str, None] | None:
    if call.dyn_args or call.dyn_kwargs:
        return "* is not available in calls", "*", None
    if isinstance(call.node, nodes.Getattr):
        return None
    if not isinstance(call.node, nodes.Name):
        return "only methods and range can be called", "(", None
    if call.node.name != "range":
        return f"there is no function {call.node.name}; range is one", call.node.name, None
    return ("range takes no named arguments", "range", None) if call.kwargs else None


def _check(node: nodes.Node, source: str) -> None:
    objection = _objection(node)
    if objection:
        reason, word, near = objection
        start = sum(len(line) + 1 for line in source.split("\n")[: node.lineno - 1])
        raise ExpressionSyntaxError(source, reason, max(source.find(word, start), 0), near)
    for child in node.iter_child_nodes():
        _check(child, source)


def parse(source: str, bare: bool) -> nodes.Template:
    """Return the checked tree of `source`; a bare expression becomes a template that is only it.

    Raises ExpressionSyntaxError."""
    place = 0

    def tokens() -> Iterator[tuple[int, str, str]]:
        nonlocal place  # the reader is one token ahead of the parser: where it stands is where an error is
        end = 0
        for line, kind, text in LANGUAGE.lexer.tokeniter(lines, None, state="variable" if bare else None):
            place = max(lines.find(text, end), end)
            end = place + len(text)
            yield line, kind, text

    # Jinja makes every line end "\n"; in text they are data, so they travel as a blank that the source has not.
    stand_in = next((char for char in "\x1f\x1e\x1d\x1c\v\f" if char not in source), "\f")
    lines = source.replace("\r", stand_in)
    parser = Parser(LANGUAGE, "", state="variable" if bare else None)
    try:
        parser.stream = TokenStream(LANGUAGE.lexer.wrap(tokens()), None, None)
        tree = _bare(parser) if bare else parser.parse()
        if "\r" in source:
            for data in tree.find_all(nodes.TemplateData):
                data.data = data.data.replace(stand_in, "\r")
        _check(tree, source)
    except TemplateSyntaxError as error:
        raise ExpressionSyntaxError(source, reworded(error.message or "it cannot be read"), place) from None
    except (ValueError, OverflowError, RecursionError) as error:
        raise ExpressionSyntaxError(source, explained(error), place) from None
    return tree


def _bare(parser: Parser) -> nodes.Template:
    expression = parser.parse_expression()
    if not parser.stream.eos:
        parser.fail(f"{parser.stream.current.value!r} was not expected here")
    return nodes.Template([nodes.Output([expression], lineno=1)], lineno=1)
