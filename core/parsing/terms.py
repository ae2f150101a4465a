"""Compiles a recipe's expressions where they stand, and holds the names in them against those that are known there."""

from __future__ import annotations

from dataclasses import dataclass, replace

from core.expressions import (
    Condition,
    ExpressionSyntaxError,
    Template,
    Value,
    compile_condition,
    compile_template,
    compile_value,
)
from core.parsing.nodes import Mapping, Node, Problems, Scalar, kind, leaves, plain
from core.wording import unknown

NAMES = frozenset({"trigger", "steps", "job", "props", "now", "error"})
"""Every name that has a meaning of its own somewhere."""


def is_template(value: object) -> bool:
    """Whether a value of the file is text that is rendered, and so may become anything."""
    return isinstance(value, str) and any(mark in value for mark in ("{{", "{%", "{#"))


@dataclass(frozen=True)
class Scope:
    """Which names an expression may use, and which step it belongs to."""

    names: frozenset[str]
    order: int | None = None
    """The number of the step in the order of the file; None outside of steps, where every step has been."""
    around: frozenset[str] = frozenset()
    """The ids of the steps that the expression stands in."""

    @classmethod
    def of_event(cls) -> Scope:
        """Return the scope of what is rendered when an event comes, before any step."""
        return cls(frozenset({"trigger", "props", "now"}))

    @classmethod
    def of_job(cls) -> Scope:
        """Return the scope of a recipe's steps and report."""
        return cls(NAMES - {"error"})

    def knowing(self, name: str) -> Scope:
        """Return this scope with one more name."""
        return replace(self, names=self.names | {name})

    def inside(self, own: str, order: int) -> Scope:
        """Return the scope of the step with this id and number."""
        return replace(self, order=order, around=self.around | {own})


@dataclass(frozen=True)
class _Reference:
    node: Node
    id: str
    scope: Scope


class Terms:
    """Compiles expressions and remembers which steps they name; `settle` is called when every step is declared."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._references: list[_Reference] = []
        self.ids: dict[str, list[str]] = {}
        """The paths of the steps with each id; more than one is a mistake."""
        self._order: dict[str, int] = {}

    def declare(self, own: str, path: str) -> int:
        """Note that there is a step of this id, and return its number in the order of the file."""
        self.ids.setdefault(own, []).append(path)
        return self._order.setdefault(own, len(self._order))

    def condition(self, node: Node | None, scope: Scope) -> Condition | None:
        """Return the bare expression of a node, or None where there is none or it is wrong."""
        if node is None:
            return None
        if not isinstance(node, Scalar) or not isinstance(node.value, str | bool) or not node.source.strip():
            self._problems.add(node, f"this must be an expression, such as trigger.amount > 0, not {kind(node)}")
            return None
        try:
            compiled = compile_condition(node.source)
        except ExpressionSyntaxError as error:
            self._wrong(node, error)
            return None
        self._check(node, compiled, scope)
        return compiled

    def template(self, node: Node | None, scope: Scope) -> Template:
        """Return the template of a node; an empty one where there is none or it is wrong."""
        if node is None:
            return compile_template("")
        if not isinstance(node, Scalar) or node.value is None:
            self._problems.add(node, f'this must be text, such as "{{{{ trigger.id }}}}", not {kind(node)}')
            return compile_template("")
        return self._leaf(node, scope) or compile_template("")

    def _leaf(self, node: Scalar, scope: Scope) -> Template | None:
        try:
            compiled = compile_template(node.source)
        except ExpressionSyntaxError as error:
            self._wrong(node, error)
            return None
        self._check(node, compiled, scope)
        return compiled

    def value(self, node: Mapping, scope: Scope) -> Value | None:
        """Return the templates in a mapping, or None where one of them is wrong."""
        templates = [leaf for _, leaf in leaves(node) if is_template(leaf.value)]
        if None in [self._leaf(leaf, scope) for leaf in templates]:
            return None
        return compile_value(plain(node))

    def _wrong(self, node: Scalar, error: ExpressionSyntaxError) -> None:
        line = error.source.split("\n")[error.line - 1]
        indent = len(line) - len(line.lstrip())
        hint = f"; did you mean {error.near!r}?" if error.near else ""
        self._problems.add(node, error.reason + hint, near=line.strip(), shift=max(error.column - 1 - indent, 0))

    def _check(self, node: Node, compiled: Condition | Template, scope: Scope) -> None:
        for name in sorted(compiled.names - scope.names):
            self._problems.add(node, unknown("name", name, scope.names), near=name)
        if "steps" in scope.names:
            used = {path[1] for path in compiled.paths if path[0] == "steps" and len(path) > 1}
            self._references += [_Reference(node, own, scope) for own in sorted(map(str, used))]

    def settle(self) -> None:
        """Note references to steps that are not there, and warn of those to steps that have not run by then."""
        for reference in self._references:
            near = f"steps.{reference.id}"
            if reference.id not in self.ids:
                self._problems.add(reference.node, unknown("step", reference.id, self.ids), near=near)
            elif self._too_early(reference):
                self._problems.warn(reference.node, f"{near} is null here: the step has not ended by then", near=near)

    def _too_early(self, reference: _Reference) -> bool:
        scope = reference.scope
        return scope.order is not None and (
            reference.id in scope.around or self._order[reference.id] > scope.order
        )


