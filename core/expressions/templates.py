"""Templates, conditions and values of recipes, compiled once and evaluated often, from any thread."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from itertools import islice, takewhile

from jinja2 import TemplateSyntaxError, nodes

from core.expressions.budget import MAX_OUTPUT, Budget
from core.expressions.compiler import Lowering, Root, chain, chains, compiled, doubted
from core.expressions.errors import ExpressionError, ExpressionSyntaxError, Fault, Path, explained
from core.expressions.language import Run, parse
from core.expressions.undefined import Used
from core.expressions.values import Json, plain, to_words

_PASSING = frozenset({str, dict, list, int, bool, type(None)})


class _Expression:
    """What templates and conditions share: `names` are the top-level names it uses, `paths` the chains it spells out,
    such as ("steps", "find", "count"), `needed` those of them that it cannot do without."""

    __slots__ = ("_path", "_root", "names", "needed", "paths", "source")

    def __init__(self, source: str, tree: nodes.Template) -> None:
        self.source = source
        try:
            tree = Lowering().visit(tree)
            whole = _single(tree)
            self._path = chain(whole) if whole else None
            self.paths = chains(tree)
            self.needed = self.paths - doubted(tree)
            self._root: Root
            self._root, self.names = compiled(tree)
        except (TemplateSyntaxError, SyntaxError, RecursionError, MemoryError) as error:
            raise ExpressionSyntaxError(source, explained(error), 0) from None

    @property
    def steps(self) -> frozenset[str]:
        """The ids of the steps that it names."""
        keys = (path[1] for path in self.paths if path[0] == "steps" and len(path) > 1)
        return frozenset(key for key in keys if isinstance(key, str))

    def value(self, context: Mapping[str, object]) -> Json:
        """Return the expression's value, plain data; what comes out of `context` is shared, not copied.

        Raises ExpressionError where something is undefined, fails, is no data or costs too much."""
        if self._path:
            try:
                found: Json = context
                for key in self._path:
                    found = found[key]
                if type(found) in _PASSING:  # the context is plain data by agreement
                    return found
            except (LookupError, TypeError):  # null, undefined, an attribute of a time: the long way knows
                pass
        run = Run(context)
        try:
            return plain(next(self._root(run)), run)
        except Exception as error:
            raise self._failed(error, context) from error

    def _failed(self, error: Exception, names: Mapping[str, object]) -> ExpressionError:
        reason = error.undefined.reason(names) if isinstance(error, Used) else (explained(error), None)
        return ExpressionError(self.source, *reason)


class Condition(_Expression):
    """A bare expression: `if`, `when`, `repeat`."""

    __slots__ = ()

    def truth(self, context: Mapping[str, object]) -> bool:
        """Return whether the value is true as Python has it: null, 0, "", [] and {} are not. Raises ExpressionError."""
        return bool(self.value(context))


class Template(_Expression):
    """A string of a recipe, with `{{ … }}` or without; `is_constant` where nothing in it is evaluated."""

    __slots__ = ("_constant", "_named", "_single", "is_constant")

    def __init__(self, source: str) -> None:
        tree = parse(source, bare=False) if is_template(source) else nodes.Template([])
        self._single = _single(tree) is not None
        parts = _parts(tree)
        self._named = [_names(part) for part in parts or ()]
        texts = [part.data for part in parts or () if isinstance(part, nodes.TemplateData)]
        self.is_constant = parts is not None and len(texts) == len(parts)
        if self.is_constant:
            self._constant = "".join(texts) if is_template(source) else source
            self.source, self.names, self.paths, self.needed = source, frozenset(), frozenset(), frozenset()
        else:
            super().__init__(source, tree)

    def value(self, context: Mapping[str, object]) -> Json:
        """Return the value, with its type, of a template that is a single `{{ … }}`; of any other its text.

        What comes out of `context` is shared, not copied. Raises ExpressionError as `Condition.value` does."""
        return _Expression.value(self, context) if self._single else self.text(context)

    def text(self, context: Mapping[str, object]) -> str:
        """Return text, whatever the value: null is "", true "true", lists and mappings compact JSON, times RFC 3339.

        Raises ExpressionError, also for more than MAX_OUTPUT characters."""
        if self.is_constant:
            return self._constant
        return self._text(context, None)

    def lead(self, context: Mapping[str, object], own: frozenset[str]) -> str:
        """Return the text that it begins with, up to the first expression over other names than `own`.

        Raises ExpressionError."""
        if self.is_constant:
            return self._constant
        return self._text(context, sum(1 for _ in takewhile(own.issuperset, self._named)))

    def _text(self, context: Mapping[str, object], parts: int | None) -> str:
        """Return the text of so many of its parts, or of all."""
        run, texts, left = Run(context), [], MAX_OUTPUT
        try:
            for value in islice(self._root(run), parts):
                texts.append(to_words(value, run))
                left -= len(texts[-1])
                if left < 0:
                    raise Fault(f"it gives more than {MAX_OUTPUT} characters of text")
        except Exception as error:
            raise self._failed(error, context) from error
        return "".join(texts)


def _parts(tree: nodes.Template) -> list[nodes.Expr] | None:
    """Return the texts and expressions that make up the whole of a tree; None where it has more, such as a loop."""
    if len(tree.body) == 1 and isinstance(tree.body[0], nodes.Output):
        return tree.body[0].nodes
    return None if tree.body else []


def _names(part: nodes.Expr) -> frozenset[str]:
    return frozenset(name.name for name in nodes.Output([part]).find_all(nodes.Name))


def _single(tree: nodes.Template) -> nodes.Expr | None:
    parts = _parts(tree)
    return parts[0] if parts and len(parts) == 1 and not isinstance(parts[0], nodes.TemplateData) else None


class Value:
    """A value of a recipe, walked once: `templates` are the strings in it that are no constants, by their path; `names`
    and `paths` are what these use, as a Template has it."""

    __slots__ = ("_made", "names", "paths", "templates")

    def __init__(self, value: Json) -> None:
        self.templates: dict[Path, Template] = {}
        self._made = _compiled(value, (), self.templates)
        self.names = frozenset().union(*(template.names for template in self.templates.values()))
        self.paths = frozenset().union(*(template.paths for template in self.templates.values()))

    @property
    def paths_from_template(self) -> frozenset[Path]:
        """The paths of the strings that are templates."""
        return frozenset(self.templates)

    def value(self, context: Mapping[str, object]) -> Json:
        """Return the value with its templates evaluated. Raises ExpressionError."""
        return _evaluated(self._made, context)


def _compiled(value: Json, path: Path, templates: dict[Path, Template]) -> Json:
    if isinstance(value, dict):
        return {key: _compiled(item, (*path, key), templates) for key, item in value.items()}
    if isinstance(value, list):
        return [_compiled(item, (*path, number), templates) for number, item in enumerate(value)]
    if not isinstance(value, str):
        return value
    try:
        template = compile_template(value)
    except ExpressionSyntaxError as error:
        error.path = path
        raise
    if template.is_constant:
        return template.text({})
    templates[path] = template
    return template


def _evaluated(made: Json, context: Mapping[str, object]) -> Json:
    if isinstance(made, Template):
        return made.value(context)
    if isinstance(made, dict):
        return {key: _evaluated(item, context) for key, item in made.items()}
    return [_evaluated(item, context) for item in made] if isinstance(made, list) else made


def is_template(value: object) -> bool:
    """Return whether `value` is a string that is read as a template: one with `{{`, `{%` or `{#` in it."""
    return isinstance(value, str) and any(mark in value for mark in ("{{", "{%", "{#"))


def to_text(value: Json) -> str:
    """Return plain data as `Template.text` writes it; raises ExpressionError for what is no data."""
    try:
        return to_words(value, Budget())
    except (Fault, RecursionError) as error:
        raise ExpressionError(repr(value), explained(error)) from None


@functools.lru_cache(4096)
def compile_template(source: str) -> Template:
    """Return `source` as a template; raises ExpressionSyntaxError."""
    return Template(source)


@functools.lru_cache(4096)
def compile_condition(source: str) -> Condition:
    """Return `source` as a bare expression; raises ExpressionSyntaxError."""
    if source.lstrip().startswith(("{{", "{%")):
        raise ExpressionSyntaxError(source, "it takes a bare expression, without {{ }}", 0)
    return Condition(source, parse(source, bare=True))


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
