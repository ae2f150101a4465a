"""A recipe's file made into a recipe: everything that is wrong with it is told with file, line and column."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping as MappingOf
from pathlib import PurePath
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from core.connectors.declare import Feed, Trigger, Watcher
from core.parsing.fields import Fields
from core.parsing.inputs import check_inputs, connection_name, validate_inputs
from core.parsing.nodes import Mapping, Node, Problems, Scalar, decode, kind, leaves, plain, read
from core.parsing.steps import Known, StepReader
from core.parsing.terms import Scope, Terms, is_template
from core.recipe import Recipe, Retention, Started
from core.wording import listed, shown, unknown
from data.job_records import JsonValue

if TYPE_CHECKING:
    from core.connectors.registry import Registry

__all__ = ["decode", "parse", "validate_inputs"]

MAX_COLUMNS = 10
KEYS = ("description", "trigger", "title", "report", "concurrency", "retention", "start", "steps")
_POLL_EVERY = 30.0
_RETENTION = ("succeeded", "failed")


def parse(
    name: str,
    text: str,
    *,
    file: str,
    connections: MappingOf[str, str] | None,
    recipes: frozenset[str] | None,
    calls: MappingOf[str, frozenset[str]] = MappingProxyType({}),
    registry: Registry | None = None,
) -> Recipe:
    """Return the recipe that a file says; raises RecipeProblems with all that is wrong with it.

    `file` names it in problems. `connections` are the workspace's, name -> type, and `recipes` all that can be called;
    None leaves them unchecked. `calls` says which recipes each of them calls. `registry` is what there is to use, by
    default all connectors.
    """
    root, problems = read(text, file)
    if registry is None:
        from core.connectors.registry import registry as all_connectors

        registry = all_connectors()
    known = Known(registry.actions, connections, recipes, calls, own=name)
    return _RecipeReader(problems, root, registry, known).recipe(name, file)


def plain_steps(text: str) -> JsonValue:
    """Return the steps that a valid recipe's text declares, as plain values: to be compared, not run."""
    root, _ = read(text, "")
    return plain(root).get("steps")


class _RecipeReader:
    """Builds a recipe out of its file's one mapping."""

    def __init__(self, problems: Problems, root: Mapping, registry: Registry, known: Known) -> None:
        self._problems = problems
        self._registry = registry
        self._known = known
        self._terms = Terms(problems)
        self._fields = Fields(problems, root, "a recipe", KEYS)

    def recipe(self, name: str, file: str) -> Recipe:
        """Return the recipe, or raise RecipeProblems."""
        self._check_name(name, file)
        fields = self._fields
        trigger = self._trigger()
        steps = StepReader(self._problems, self._terms, self._known)
        fields.need("steps")
        built = steps.steps(fields.list_of("steps"), "", Scope.of_job())
        title = self._terms.template(fields.get("title"), Scope.of_event())
        report = self._report()
        described = fields.text("description") or ""
        concurrency = fields.whole("concurrency", 1, 1000) or 1
        retention, start = self._retention(), fields.flag("start", default=True)
        steps.finish()
        self._problems.check()
        assert trigger is not None
        return Recipe(
            name=name, description=described, trigger=trigger, title=title, report=report, concurrency=concurrency,
            retention=retention, start=start, steps=built, warnings=self._problems.warnings,
        )

    def _check_name(self, name: str, file: str) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
            rule = f"{shown(name)} cannot be a recipe's name: use letters, digits, _ and - only"
            self._problems.add(self._fields.mapping, f"{rule}, and rename {PurePath(file).name}")

    def _report(self) -> dict[str, Any]:
        columns = self._fields.mapping_of("report")
        if columns is None:
            return {}
        for key, _ in list(columns.entries.values())[MAX_COLUMNS:][:1]:
            self._problems.add(key, f"a report has up to {MAX_COLUMNS} columns; this one has {len(columns.entries)}")
        scope = Scope.of_job()
        return {name: self._terms.template(node, scope) for name, (_, node) in columns.entries.items()}

    def _retention(self) -> Retention | None:
        node = self._fields.get("retention")
        if node is None:
            return None
        if not isinstance(node, Mapping):
            both = self._fields.duration_of(node, "retention", low=1)
            return Retention(*[dt.timedelta(seconds=both)] * 2) if both else None
        fields = Fields(self._problems, node, "retention", _RETENTION)
        kept = [fields.seconds(name, low=1) for name in _RETENTION if fields.need(name)]
        return Retention(*(dt.timedelta(seconds=seconds or 0) for seconds in kept)) if len(kept) == 2 else None

    # The trigger

    def _trigger(self) -> Started | None:
        node = self._fields.need("trigger")
        if node is None:
            return None
        if not isinstance(node, Mapping):
            self._problems.add(node, f"a trigger is a mapping, such as `manual.event: {{}}`, not {kind(node)}")
            return None
        when = node.entries.get("when")
        condition = self._terms.condition(when[1], Scope.of_event()) if when else None
        named = [entry for key, entry in node.entries.items() if key != "when"]
        if len(named) != 1:
            at: Node = named[1][0] if named else node
            self._problems.add(at, f"a recipe has one trigger; known: {listed(self._registry.triggers)}")
            return None
        return self._started(*named[0], condition)

    def _started(self, key: Scalar, value: Node, condition: Any) -> Started | None:
        declared = self._registry.triggers.get(key.source)
        if declared is None:
            self._problems.add(key, unknown("trigger", key.source, self._registry.triggers))
            return None
        given = value if isinstance(value, Mapping) else Mapping(key.at, {})
        if not isinstance(value, Mapping) and not (isinstance(value, Scalar) and value.empty):
            self._problems.add(value, f"the inputs of {declared.name} are a mapping, not {kind(value)}")
            return None
        self._warn_of_templates(declared, given)
        self._terms.gives(declared.output, "trigger")
        every, since, own = self._poll(declared, given)
        inputs = check_inputs(self._problems, key, own, declared.name, declared.inputs, templates=False)
        connection = connection_name(self._problems, given, declared.name, declared.connection, self._known.connections)
        self._check_since(declared, inputs, given)
        at = given.entries["since"][0].at if "since" in given.entries else key.at
        return Started(declared, inputs, connection, every, since, condition, (at.line, at.column))

    def _warn_of_templates(self, declared: Trigger, given: Mapping) -> None:
        for _, leaf in leaves(given):
            if is_template(leaf.value):
                self._problems.warn(leaf, f"{declared.name}: a trigger's inputs are no templates: {{{{ stays as it is")

    def _poll(self, declared: Trigger, given: Mapping) -> tuple[float, str | None, Mapping]:
        """Return the poll interval in seconds, `since`, and the inputs that are the connector's own."""
        if not isinstance(declared.source, Watcher | Feed):
            return _POLL_EVERY, None, given
        own = {name: entry for name, entry in given.entries.items() if name not in ("every", "since")}
        every = given.entries.get("every")
        seconds = self._fields.duration_of(every[1], "every", low=1) if every else None
        since = given.entries.get("since")
        return seconds or _POLL_EVERY, self._since(since[1]) if since else None, Mapping(given.at, own)

    def _since(self, node: Node) -> str | None:
        text = node.value if isinstance(node, Scalar) else None
        if isinstance(text, str) and _is_moment(text):
            return text
        self._problems.add(
            node, f"'since' must be a date or an RFC 3339 time, 2026-01-01 or 2026-01-01T08:00:00Z, not {kind(node)}"
        )
        return None

    def _check_since(self, declared: Trigger, inputs: Any, given: Mapping) -> None:
        entry = given.entries.get("since")
        source = declared.source
        if entry and inputs is not None and isinstance(source, Watcher | Feed) and not source.since_field(inputs):
            message = "'since' has nothing to compare: say which field holds the time, with 'created' or 'updated'"
            self._problems.add(entry[0], f"{declared.name}: {message}")


_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"([Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2}))?"
)


def _is_moment(text: str) -> bool:
    """Whether a text is a date or a date-time of RFC 3339."""
    if not _RFC_3339.fullmatch(text):
        return False
    try:
        dt.datetime.fromisoformat(text.upper())
    except ValueError:
        return False
    return True
