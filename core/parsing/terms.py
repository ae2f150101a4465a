"""Compiles a recipe's expressions where they stand, and holds the names in them against those that are known there."""

from __future__ import annotations

from collections.abc import Collection
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
    arms: tuple[tuple[str, str], ...] = ()
    """The branches that it stands in: the path of each condition step, and which of its branches."""
    loops: frozenset[str] = frozenset()
    """The paths of the loops that it stands in."""

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

    def taking(self, path: str, branch: str) -> Scope:
        """Return the scope of a branch of the condition step at `path`."""
        return replace(self, arms=(*self.arms, (path, branch)))

    def looping(self, path: str, name: str) -> Scope:
        """Return the scope of what the loop at `path` repeats; `name` is its item's."""
        return replace(self.knowing(name), loops=self.loops | {path})

    def inside(self, own: str, order: int) -> Scope:
        """Return the scope of the step with this id and number."""
        return replace(self, order=order, around=self.around | {own})


@dataclass(frozen=True)
class _Reference:
    node: Node
    path: tuple[str | int, ...]
    scope: Scope
    needed: bool
    """Whether it fails where there is no such thing."""

    @property
    def id(self) -> str:
        """The id of the step that it names."""
        return str(self.path[1])

    def near(self, parts: int) -> str:
        """Return its first parts as one writes them."""
        return ".".join(map(str, self.path[:parts]))


class Terms:
    """Compiles expressions and remembers which steps they name; `settle` is called when every step is declared."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._references: list[_Reference] = []
        self._known: dict[tuple[str, ...], Collection[str]] = {("job",): _JOB, ("error",): _ERROR}
        self._scopes: dict[str, Scope] = {}
        self.ids: dict[str, list[str]] = {}
        """The paths of the steps with each id; more than one is a mistake."""
        self._order: dict[str, int] = {}

    def declare(self, own: str, path: str, scope: Scope) -> Scope:
        """Note that there is a step of this id in a scope, and return the scope of the step itself."""
        self.ids.setdefault(own, []).append(path)
        self._scopes.setdefault(own, scope)
        return scope.inside(own, self._order.setdefault(own, len(self._order)))

    def gives(self, names: Collection[str], *where: str) -> None:
        """Note the only names that there are in `trigger`, or in `steps` and an id; none: they are not known."""
        if names:
            self._known[where] = names

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
        self._references += [
            _Reference(node, path, scope, path in compiled.needed)
            for path in sorted(compiled.paths, key=str)
            if path[0] in scope.names and len(path) > 1
        ]

    def settle(self) -> None:
        """Note names that are not there, and warn of steps that cannot have run by then."""
        for reference in self._references:
            if reference.path[0] != "steps":
                self._settle_name(reference, 1)
            elif self._settle_step(reference):
                self._settle_name(reference, 2)

    def _settle_step(self, reference: _Reference) -> bool:
        """Note a step that is not there; return whether what is in its output can be told."""
        near = reference.near(2)
        if reference.id not in self.ids:
            self._problems.add(reference.node, unknown("step", reference.id, self.ids), near=near)
            return False
        why = self._never_ran(reference)
        if why:
            # Attributes of null are null, whatever their name.
            self._problems.warn(reference.node, f"{near} is null here: {why}", near=near)
            return False
        outside = bool(self._scopes[reference.id].loops - reference.scope.loops)
        if outside and len(reference.path) > 2 and isinstance(reference.path[2], str):
            listed = f"{near} is a list here, an item for each time that its loop ran: write {near}[0]"
            self._problems.warn(reference.node, f"{listed}.{reference.path[2]}", near=near)
        return not outside

    def _never_ran(self, reference: _Reference) -> str | None:
        scope = reference.scope
        ours = dict(scope.arms)
        if any(ours.get(path, branch) != branch for path, branch in self._scopes[reference.id].arms):
            return "the step stands in another branch"
        early = reference.id in scope.around or self._order[reference.id] > (scope.order or 0)
        return "the step has not ended by then" if scope.order is not None and early else None

    def _settle_name(self, reference: _Reference, parts: int) -> None:
        """Note a name that is not in what its first parts give, as far as that is known."""
        path = reference.path
        names = self._known.get(tuple(map(str, path[:parts])))
        name = path[parts] if len(path) > parts else None
        if names and reference.needed and isinstance(name, str) and name not in names:
            where = f"in {reference.near(parts)}"
            self._problems.add(reference.node, unknown("name", name, names, where), near=reference.near(parts + 1))


_JOB = ("id", "version", "recipe", "revision")
_ERROR = ("message", "kind", "step", "status")


