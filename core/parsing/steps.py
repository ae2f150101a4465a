"""Reads a recipe's steps: each kind of step is a row that says its keys and the function that builds it."""

from __future__ import annotations

import keyword
from collections.abc import Callable
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass
from typing import Any

from core.connectors.declare import Action
from core.parsing.fields import Fields
from core.parsing.inputs import check_inputs, connection_name
from core.parsing.nodes import Mapping, Node, Problems, Scalar, kind
from core.parsing.terms import NAMES, Scope, Terms
from core.recipe import (
    ActionStep,
    Arm,
    BranchStep,
    CallStep,
    MonitorStep,
    RepeatStep,
    Retry,
    SetStep,
    Step,
    StopStep,
)
from core.wording import meant, shown, unknown
from data.states import Status

COMMON = ("id", "if", "skip")
"""The keys that every step may have."""


@dataclass(frozen=True)
class Known:
    """What a recipe's steps may name."""

    actions: MappingOf[str, Action]
    connections: MappingOf[str, str] | None
    recipes: frozenset[str] | None
    calls: MappingOf[str, frozenset[str]]
    """Which recipes each recipe calls, as far as that is known."""
    own: str
    """The name of the recipe itself."""

    def way_back(self, called: str) -> list[str] | None:
        """Return through which recipes, `called` the first, this one comes to call itself; None where it never does."""
        ways, seen = [[called]], {called}
        for way in ways:
            if way[-1] == self.own:
                return way[:-1]
            further = sorted(self.calls.get(way[-1], frozenset()) - seen)
            seen.update(further)
            ways += [[*way, name] for name in further]
        return None


@dataclass(frozen=True)
class Kind:
    """One kind of step."""

    what: str
    keys: tuple[str, ...]
    """Its own, the one that tells it first; COMMON besides."""
    needs: tuple[str, ...]
    build: Callable[[StepReader, Fields, dict[str, Any], Scope], Step | None]


class StepReader:
    """Builds steps from nodes, noting every problem; `finish` is to be called when all of them are read."""

    def __init__(self, problems: Problems, terms: Terms, known: Known) -> None:
        self._problems = problems
        self._terms = terms
        self._known = known
        self._given: dict[str, Scalar] = {}
        """The node of each id that the file gives, by the step's path."""

    def steps(self, nodes: tuple[Node, ...], prefix: str, scope: Scope) -> tuple[Step, ...]:
        """Return the steps of a list; `prefix` is the list's path with its dot. Wrong ones are left out."""
        found = [self._step(node, f"{prefix}{number}", scope) for number, node in enumerate(nodes, 1)]
        for step, following in zip(found, nodes[1:], strict=False):
            if step is not None and _always_ends(step):
                self._problems.warn(following, f"this is never reached: step {step.path} ends the job before it")
                break
        return tuple(step for step in found if step is not None)

    def _step(self, node: Node, path: str, scope: Scope) -> Step | None:
        if not isinstance(node, Mapping):
            self._problems.add(node, f"a step is a mapping, such as `action: log.write`, not {kind(node)}")
            return None
        chosen = self._kind(node)
        if chosen is None:
            return None
        fields = Fields(self._problems, node, chosen.what, (*COMMON, *chosen.keys))
        for key in chosen.needs:
            fields.need(key)
        own = self._id(fields, path)
        inner = self._terms.declare(own, path, scope)
        branching = "then" in chosen.keys
        common = {
            "path": path,
            "id": own,
            "line": node.at.line,
            "condition": None if branching else self._terms.condition(fields.get("if"), inner),
            "skip": fields.flag("skip"),
        }
        return chosen.build(self, fields, common, inner)

    def _kind(self, node: Mapping) -> Kind | None:
        named = [key for key in KINDS if key in node.entries]
        if len(named) == 1:
            return KINDS[named[0]]
        if named:
            second = node.entries[named[1]][0]
            self._problems.add(second, f"a step has one of {', '.join(KINDS)}; this one has {' and '.join(named)}")
        elif "if" in node.entries:
            self._problems.add(node, "'then' is missing in a condition step")
        else:
            near = next((hint for key in node.entries if (hint := meant(key, KINDS))), "")
            self._problems.add(node, f"this is no step: it needs one of the keys {', '.join(KINDS)}{near}")
        return None

    def _id(self, fields: Fields, path: str) -> str:
        """Return a step's id, its own or the one that its path makes."""
        default = "s" + path.replace(".", "_")
        own = fields.text("id")
        node = fields.get("id")
        if own is None or not isinstance(node, Scalar):
            return default
        if not own.isidentifier() or keyword.iskeyword(own):
            self._problems.add(node, f"{shown(own)} is no id: letters, digits and _ only, no digit first, no keyword")
            return default
        self._given[path] = node
        return own

    def finish(self) -> None:
        """Note ids that two steps have, and references to steps that the recipe does not have."""
        for own, paths in self._terms.ids.items():
            for path in paths:
                others = [other for other in paths if other != path]
                if others and path in self._given and (path != paths[0] or others[0] not in self._given):
                    self._problems.add(self._given[path], f"the id {own!r} is taken by step {others[0]}")
        self._terms.settle()

    # One function a kind

    def action(self, fields: Fields, common: dict[str, Any], scope: Scope) -> Step | None:
        """Build an action step."""
        once, timeout = fields.flag("once"), fields.seconds("timeout", low=0.001)
        on_doubt = fields.choice("on_doubt", ("hold", "retry", "skip"))
        given = fields.mapping_of("with") if "with" in fields.mapping.entries else Mapping(fields.mapping.at, {})
        inputs = self._terms.value(given, scope) if given else None
        declared, node = self._declared(fields), fields.get("action")
        if declared is None or given is None or node is None:
            return None
        self._terms.gives(declared.output, "steps", common["id"])
        check_inputs(self._problems, node, given, declared.name, declared.inputs, declared.text_inputs)
        connection = connection_name(self._problems, given, declared.name, declared.connection, self._known.connections)
        if inputs is None:
            return None
        return ActionStep(
            **common, action=declared, inputs=inputs, connection=connection, once=once, timeout=timeout,
            on_doubt=on_doubt,
        )

    def _declared(self, fields: Fields) -> Action | None:
        name, node = fields.text("action"), fields.get("action")
        if name is None or node is None:
            return None
        if name not in self._known.actions:
            self._problems.add(node, unknown("action", name, self._known.actions))
        return self._known.actions.get(name)

    def condition(self, fields: Fields, common: dict[str, Any], scope: Scope) -> Step:
        """Build a condition step with `if`, `then` and `else`."""
        condition = self._terms.condition(fields.get("if"), scope)
        taken = scope.taking(common["path"], "then")
        arms = [Arm("then", condition, self._inner(fields, "then", common["path"], taken))]
        return BranchStep(**common, arms=(*arms, *self._otherwise(fields, common["path"], scope)))

    def _otherwise(self, fields: Fields, path: str, scope: Scope) -> list[Arm]:
        if fields.get("else") is None:
            return []
        return [Arm("else", None, self._inner(fields, "else", path, scope.taking(path, "else")))]

    def _inner(self, fields: Fields, key: str, path: str, scope: Scope) -> tuple[Step, ...]:
        return self.steps(fields.list_of(key), f"{path}.{key}.", scope)

    def choose(self, fields: Fields, common: dict[str, Any], scope: Scope) -> Step:
        """Build a condition step with `choose` and `else`."""
        arms = []
        for number, node in enumerate(fields.list_of("choose"), 1):
            if not isinstance(node, Mapping):
                self._problems.add(node, f"an item of choose is a mapping with if and then, not {kind(node)}")
                continue
            item = Fields(self._problems, node, "an item of choose", ("if", "then"))
            condition = self._terms.condition(item.need("if"), scope)
            item.need("then")
            branch = f"choose.{number}"
            taken = scope.taking(common["path"], branch)
            arms.append(Arm(branch, condition, self._inner(item, "then", f"{common['path']}.{branch}", taken)))
        return BranchStep(**common, arms=(*arms, *self._otherwise(fields, common["path"], scope)))

    def repeat(self, fields: Fields, common: dict[str, Any], scope: Scope) -> Step | None:
        """Build a repeat step."""
        items = self._terms.condition(fields.get("repeat"), scope)
        name = self._loop_name(fields)
        body = self._inner(fields, "do", common["path"], scope.looping(common["path"], name))
        self._terms.gives(("count",), "steps", common["id"])
        limit = fields.whole("limit", 1, 1_000_000)
        return RepeatStep(**common, items=items, name=name, body=body, limit=limit) if items else None

    def _loop_name(self, fields: Fields) -> str:
        name, node = fields.text("as"), fields.get("as")
        if name is None or node is None:
            return "item"
        if not name.isidentifier() or keyword.iskeyword(name) or name in NAMES:
            self._problems.add(node, f"{shown(name)} cannot name a loop's item: it is no name, or one with a meaning")
        return name

    def monitor(self, fields: Fields, common: dict[str, Any], scope: Scope) -> Step:
        """Build a monitor step."""
        body = self._inner(fields, "monitor", common["path"], scope)
        retry = self._retry(fields.mapping_of("retry"), scope.knowing("error"))
        handlers = self._inner(fields, "on_error", common["path"], scope.knowing("error"))
        return MonitorStep(**common, body=body, retry=retry, on_error=handlers)

    def _retry(self, node: Mapping | None, scope: Scope) -> Retry | None:
        if node is None:
            return None
        fields = Fields(self._problems, node, "retry", ("times", "wait", "backoff", "when"))
        fields.need("times")
        return Retry(
            times=fields.whole("times", 1, 1000) or 1,
            wait=fields.seconds("wait", low=0) or 0.0,
            backoff=fields.number("backoff", 1, 100, default=1),
            when=self._terms.condition(fields.get("when"), scope),
        )

    def stop(self, fields: Fields, common: dict[str, Any], scope: Scope) -> Step:
        """Build a stop step."""
        ended = fields.choice("stop", (Status.SUCCEEDED, Status.FAILED))
        reason = self._terms.template(fields.get("reason"), scope)
        return StopStep(**common, status=Status(ended or Status.FAILED), reason=reason)

    def call(self, fields: Fields, common: dict[str, Any], scope: Scope) -> Step | None:
        """Build a call step."""
        name, node = fields.text("call"), fields.get("call")
        given = fields.mapping_of("with") if "with" in fields.mapping.entries else Mapping(fields.mapping.at, {})
        inputs = self._terms.value(given, scope) if given else None
        if name is None or node is None or inputs is None:
            return None
        if self._known.recipes is not None and name not in self._known.recipes:
            self._problems.add(node, unknown("recipe", name, self._known.recipes))
        way = self._known.way_back(name)
        if way is not None:
            through = f" through {', '.join(way)}" if way else ""
            self._problems.add(node, f"recipe {self._known.own} would call itself{through}: that never ends")
        self._terms.gives(("job", "status", "steps"), "steps", common["id"])
        return CallStep(**common, recipe=name, inputs=inputs)

    def set(self, fields: Fields, common: dict[str, Any], scope: Scope) -> Step | None:
        """Build a set step."""
        given = fields.mapping_of("set")
        self._terms.gives(given.entries if given else (), "steps", common["id"])
        values = self._terms.value(given, scope) if given else None
        return SetStep(**common, values=values) if values else None


def _always_ends(step: Step) -> bool:
    """Whether a step ends the job whenever it is reached."""
    if step.skip or step.condition is not None:
        return False
    if isinstance(step, BranchStep):
        whole = bool(step.arms) and step.arms[-1].condition is None
        return whole and all(any(map(_always_ends, arm.steps)) for arm in step.arms)
    return isinstance(step, StopStep)


KINDS: dict[str, Kind] = {
    "action": Kind("an action step", ("action", "with", "once", "timeout", "on_doubt"), ("action",), StepReader.action),
    "then": Kind("a condition step", ("then", "else"), ("if", "then"), StepReader.condition),
    "choose": Kind("a choose step", ("choose", "else"), ("choose",), StepReader.choose),
    "repeat": Kind("a repeat step", ("repeat", "as", "do", "limit"), ("repeat", "do"), StepReader.repeat),
    "monitor": Kind("a monitor step", ("monitor", "retry", "on_error"), ("monitor",), StepReader.monitor),
    "stop": Kind("a stop step", ("stop", "reason"), ("stop",), StepReader.stop),
    "call": Kind("a call step", ("call", "with"), ("call",), StepReader.call),
    "set": Kind("a set step", ("set",), ("set",), StepReader.set),
}
"""Every kind of step by the key that tells it."""
