"""Turns a checked tree into Python in which nothing but the environment's own functions is called."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.visitor import NodeTransformer

from core.expressions.errors import Path, spelled
from core.expressions.language import LANGUAGE, Run

Root = Callable[[Run], Iterator[Any]]


def compiled(tree: nodes.Template) -> tuple[Root, frozenset[str]]:
    """Return the function that yields the values of a lowered tree, and the top-level names that it uses."""
    tree.set_environment(LANGUAGE)
    writer = _Writer()
    writer.visit(tree)
    space: dict[str, Any] = {"environment": LANGUAGE}
    exec(compile(writer.code.getvalue(), "<expression>", "exec"), space)
    return space["root"], frozenset(writer.names)


def _call(function: str, *args: Any, named: list[nodes.Keyword] | None = None) -> nodes.Call:
    return nodes.Call(nodes.EnvironmentAttribute(function), list(args), named or [], None, None)


def _size(node: nodes.Node) -> int:
    return 1 + sum(_size(child) for child in node.iter_child_nodes())


class Lowering(NodeTransformer):
    """Replaces what Jinja2 would do itself, on any object, by calls of the environment."""

    def visit_Getattr(self, node: nodes.Getattr) -> nodes.Node:
        return nodes.Getitem(self.visit(node.node), nodes.Const(node.attr), "load")

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):
            bounds = (node.arg.start, node.arg.stop, node.arg.step)
            return _call("cut", node.node, *(bound or nodes.Const(None) for bound in bounds))
        return node

    def visit_Call(self, node: nodes.Call) -> nodes.Node:
        self.generic_visit(node)
        if isinstance(node.node, nodes.Getitem):
            return _call("method", node.node.node, node.node.arg, *node.args, named=node.kwargs)
        return _call("numbers", *node.args)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:
        self.generic_visit(node)
        operators = nodes.Const(tuple(operand.op for operand in node.ops))
        return _call("compare", operators, node.expr, *(operand.expr for operand in node.ops))

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _call("glue", *node.nodes)

    def visit_CondExpr(self, node: nodes.CondExpr) -> nodes.Node:
        self.generic_visit(node)
        node.expr2 = node.expr2 or nodes.Const(None)
        return node

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:
        # As values, tuples would be hashable and their hash unfolds; as targets of for and set they are needed.
        self.generic_visit(node)
        return nodes.List(node.items) if node.ctx == "load" else node

    def visit_For(self, node: nodes.For) -> nodes.Node:
        self.generic_visit(node)
        weight = 1 + sum(map(_size, node.body)) + (_size(node.test) if node.test else 0)
        node.iter = _call("each", node.iter, nodes.Const(weight))
        return node


class _Writer(CodeGenerator):
    """Writes a lowered tree as Python that yields values, not texts."""

    def __init__(self) -> None:
        self.code = io.StringIO()
        super().__init__(LANGUAGE, None, None, self.code, optimized=False)
        self.names: set[str] = set()

    def enter_frame(self, frame: Frame) -> None:
        super().enter_frame(frame)
        self.names.update(name for action, name in frame.symbols.loads.values() if action == "resolve" and name)

    def visit_Output(self, node: nodes.Output, frame: Frame) -> None:
        for child in node.nodes:
            self.writeline("yield ", child)
            self.visit(child, frame)

    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:
        self.write("environment.getitem(")
        self.visit(node.node, frame)
        self.write(", ")
        self.visit(node.arg, frame)
        path = chain(node.node)
        base = str(path[0]) + "".join(map(spelled, path[1:])) if path else "(…)"
        self.write(f", {base!r})")

    def visit_Call(self, node: nodes.Call, frame: Frame, forward_caller: bool = False) -> None:
        self.visit(node.node, frame)
        self.write("(context")
        self.signature(node, frame)
        self.write(")")


def chain(node: nodes.Node) -> Path | None:
    """Return the chain that a lowered `node` spells out, `steps.find.rows[0]`, or None."""
    if isinstance(node, nodes.Name):
        return (node.name,) if node.ctx == "load" else None
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const) and type(node.arg.value) in (str, int):
        before = chain(node.node)
        return (*before, node.arg.value) if before else None
    return None


def chains(tree: nodes.Template) -> frozenset[Path]:
    """Return the chains that a lowered tree spells out, without those of its own loops and variables."""
    own = {name.name for name in tree.find_all(nodes.Name) if name.ctx != "load"}
    own |= {"loop"} if tree.find(nodes.For) else set()
    return frozenset(path for path in _chains(tree) if path[0] not in own)


def doubted(tree: nodes.Template) -> frozenset[Path]:
    """Return the chains of a lowered tree that `default` or `is defined` asks for: they may well not be there."""
    asked = [node for node in tree.find_all((nodes.Filter, nodes.Test)) if node.name in _ASKING]
    return frozenset(path for node in asked if node.node and (path := chain(node.node)))


_ASKING = ("default", "d", "defined", "undefined")


def _chains(node: nodes.Node) -> Iterator[Path]:
    path = chain(node)
    if path:
        yield path
    else:
        for child in node.iter_child_nodes():
            yield from _chains(child)
