"""YAML 1.2 text read into nodes that know where they stand, and the collector of what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, ComposerError
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from core.errors import RecipeProblems
from core.wording import shown
from data.job_records import JsonValue
from data.records import Problem

MAX_BYTES = 1024 * 1024
MAX_VALUES = 50_000
MAX_DEPTH = 60
MAX_PROBLEMS = 100


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a node stands: line and column count from 1, `start` and `end` are offsets in the text."""

    line: int
    column: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Scalar:
    """One plain value."""

    at: Spot
    value: bool | int | float | str | None
    source: str
    """As the file says it, without quotes."""
    refused: bool = False
    """Whether it stands for what could not be read, which has been told: nothing more is to be said of it."""

    @property
    def empty(self) -> bool:
        """Whether the file says nothing, or null, here."""
        return self.value is None and not self.refused


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    at: Spot
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping; keys are text, in the order of the file."""

    at: Spot
    entries: dict[str, tuple[Scalar, Node]]


Node: TypeAlias = Scalar | Sequence | Mapping


def plain(node: Node) -> JsonValue:
    """Return what a node says, as plain Python values."""
    match node:
        case Mapping():
            return {key: plain(value) for key, (_, value) in node.entries.items()}
        case Sequence():
            return [plain(item) for item in node.items]
    return node.value


def leaves(node: Node, loc: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Scalar]]:
    """Yield every scalar in a node with the keys and list positions that lead to it."""
    match node:
        case Scalar():
            yield loc, node
        case Sequence():
            for index, item in enumerate(node.items):
                yield from leaves(item, (*loc, index))
        case Mapping():
            for key, (_, value) in node.entries.items():
                yield from leaves(value, (*loc, key))


def follow(node: Node, loc: Iterable[str | int], *, key: bool = False) -> Node:
    """Return the innermost node that `loc` leads to, its key with `key`; parts that lead nowhere are passed over."""
    shown_at = node
    for part in loc:
        match node:
            case Mapping() if part in node.entries:
                name, node = node.entries[str(part)]
                shown_at = name if key else node
            case Sequence() if isinstance(part, int) and part < len(node.items):
                shown_at = node = node.items[part]
    return shown_at


class Problems:
    """Collects what is wrong in one file, and what is worth a warning."""

    def __init__(self, file: str, text: str) -> None:
        self._file = file
        self._text = text
        self._found: list[Problem] = []
        self._warnings: list[Problem] = []

    def add(self, node: Node, message: str, *, near: str = "", shift: int = 0) -> None:
        """Note that a node is wrong; `near` is a text inside it, and `shift` a place in that text, that it is about."""
        if isinstance(node, Scalar) and node.refused:
            return
        self._found.append(self._problem(node, message, near, shift))

    def warn(self, node: Node, message: str, *, near: str = "") -> None:
        """Note what a node says that is allowed but probably not meant."""
        self._warnings.append(replace(self._problem(node, message, near, 0), warning=True))

    def _problem(self, node: Node, message: str, near: str, shift: int) -> Problem:
        found = near and re.compile(rf"(?<!\w){re.escape(near)}(?!\w)").search(self._text, node.at.start, node.at.end)
        if not found:
            return Problem(self._file, node.at.line, node.at.column, message)
        return Problem(self._file, *_place(self._text, found.start() + shift), message)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """Every warning, in the order of the file."""
        return tuple(_ordered(self._warnings))

    def check(self) -> None:
        """Raise RecipeProblems of all that was found, in the order of the file, if anything was."""
        if self._found:
            found = _ordered(self._found)
            told, rest = found[:MAX_PROBLEMS], found[MAX_PROBLEMS:]
            more = [replace(one, message=f"and {len(rest)} more problems") for one in rest[:1]]
            raise RecipeProblems([*told, *more], self.warnings)


def _ordered(problems: Iterable[Problem]) -> list[Problem]:
    return sorted(dict.fromkeys(problems), key=lambda problem: (problem.line, problem.column))


def _place(text: str, offset: int) -> tuple[int, int]:
    """Return the line and column of an offset, both from 1."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def decode(data: bytes, file: str) -> str:
    """Return a recipe file's text; raises RecipeProblems where it is no UTF-8 or too large."""
    if len(data) > MAX_BYTES:
        raise RecipeProblems([Problem(file, 1, 1, _TOO_LARGE)])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig")
        line, column = _place(before, len(before))
        message = f"it is not UTF-8 text: byte 0x{data[error.start]:02x}; save the file as UTF-8"
        raise RecipeProblems([Problem(file, line, column, message)]) from None


_TOO_MANY = f"more than {MAX_VALUES} values, aliases written out: no recipe needs so many"
_TOO_LARGE = f"the file is larger than {MAX_BYTES // 1024} KiB, which no recipe needs to be"


def read(text: str, file: str) -> tuple[Mapping, Problems]:
    """Return a file's one mapping and the collector for it, which may hold problems; raises RecipeProblems.

    YAML 1.2 with its core schema: `yes`, `on` and dates are text, `012` is twelve; tags and merge keys are not known.
    """
    problems = Problems(file, text)
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise RecipeProblems([Problem(file, 1, 1, _TOO_LARGE)])
    root = _compose(text, file)
    if root is None:
        raise RecipeProblems([Problem(file, 1, 1, "the file is empty: a recipe needs a trigger and steps")])
    node = _Reading(problems).node(root)
    if not isinstance(node, Mapping):
        problems.add(node, f"a recipe is a mapping with the keys trigger and steps, not {kind(node)}")
        problems.check()
    assert isinstance(node, Mapping)
    return node, problems


class _Composer(Composer):
    """The library's composer, less its patience with files that are all too long."""

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader)
        self.warn_double_anchors = False
        self.composed = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.composed += 1
        if self.composed > MAX_VALUES:
            raise ComposerError(problem=_TOO_MANY, problem_mark=self.parser.peek_event().start_mark)
        return super().compose_node(parent, index)


def _compose(text: str, file: str) -> Any:
    """Return the library's tree of a text, its errors mapped to problems."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = _Composer
    yaml.max_depth = MAX_DEPTH
    try:
        return yaml.compose(text)
    except MarkedYAMLError as error:
        raise RecipeProblems([_syntax_problem(error, file)]) from error
    except ReaderError as error:
        line, column = _place(text, error.position)
        message = f"the character U+{error.character:04X} is not allowed here: remove it, or write it as an escape"
        raise RecipeProblems([Problem(file, line, column, message)]) from error
    except Exception as error:
        # On some malformed escapes and directives the library lets ValueError, OverflowError and the like through.
        raise RecipeProblems([Problem(file, 1, 1, f"this cannot be read as YAML: {error}")]) from error


_HINTS: tuple[tuple[str, str], ...] = (
    (r"found character '\\t'", "a tab cannot indent: use spaces"),
    (r"found character '(.)' that cannot start any token", "a value cannot begin with {0}: put it in quotes"),
    (r"mapping values are not allowed here", "':' is not expected here: check the indentation; quote text with ': '"),
    (r"expected <block end>", "this does not belong to the list or mapping above it: check the indentation"),
    (r"but found another document", "a second document begins here: write one recipe in a file"),
    (r"found undefined alias '(.*)'", "the alias *{0} has no anchor &{0} before it"),
    (f"({_TOO_MANY})", "{0}"),
    (r"maximum depth", f"nested deeper than {MAX_DEPTH} levels"),
    (r"found unexpected end of stream", "the quote that opens here is never closed"),
    (r"expected '.' or '(.)', but got '<stream end>'", "the bracket that opens here is never closed: {0} is missing"),
    (r"expected '.' or '(.)', but got '(.*)'", "{0} or a comma is missing before {1}: quote text with , : [ or {{"),
)


def _syntax_problem(error: MarkedYAMLError, file: str) -> Problem:
    unclosed = "end of stream" in str(error.problem) or "<stream end>" in str(error.problem)
    mark = (unclosed and error.context_mark) or error.problem_mark or error.context_mark
    said = " ".join(f"{error.problem or error.context}".split())
    message = next((hint.format(*found.groups()) for found, hint in _hints(said)), f"this is not YAML: {said}")
    return Problem(file, mark.line + 1 if mark else 1, mark.column + 1 if mark else 1, message)


def _hints(said: str) -> Iterator[tuple[re.Match[str], str]]:
    for pattern, hint in _HINTS:
        if found := re.search(pattern, said):
            yield found, hint


_CORE_SCHEMA: tuple[tuple[re.Pattern[str], Callable[[str], Any]], ...] = (
    (re.compile(r"null|Null|NULL|~|"), lambda text: None),
    (re.compile(r"true|True|TRUE|false|False|FALSE"), lambda text: text.lower() == "true"),
    (re.compile(r"[-+]?[0-9]+"), int),
    (re.compile(r"0o[0-7]+"), lambda text: int(text[2:], 8)),
    (re.compile(r"0x[0-9a-fA-F]+"), lambda text: int(text[2:], 16)),
    (re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), float),
)
"""YAML 1.2.2, 10.3.2, less infinity and NaN, which JSON cannot say; the library's own table also knows 1.1's dates."""


class _Reading:
    """Turns the library's tree into nodes: no cycle, no tag, no key twice, and no more values than a recipe needs."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._done: dict[int, tuple[Node, int]] = {}
        self._open: set[int] = set()

    def node(self, raw: Any) -> Node:
        """Return the node of a raw one; a wrong one becomes null, and a problem."""
        return self._sized(raw)[0]

    def _sized(self, raw: Any) -> tuple[Node, int]:
        if id(raw) in self._done:
            return self._done[id(raw)]
        if id(raw) in self._open:
            return self._refuse(raw, f"the alias *{raw.anchor} stands inside its own anchor: that never ends")
        self._open.add(id(raw))
        node, size = self._built(raw)
        self._open.discard(id(raw))
        if size > MAX_VALUES:
            self._problems.add(node, _TOO_MANY)
            self._problems.check()
        self._done[id(raw)] = node, size
        return node, size

    def _refuse(self, raw: Any, message: str) -> tuple[Node, int]:
        spot = _spot(raw)
        self._problems.add(Scalar(spot, None, ""), message)
        return Scalar(spot, None, "", refused=True), 1

    def _built(self, raw: Any) -> tuple[Node, int]:
        if raw.ctag is not None and raw.ctag.handle is not None:
            return self._refuse(raw, f"tags are not used in recipes: remove {_tag(raw.ctag)}")
        match raw:
            case MappingNode():
                return self._mapping(raw)
            case SequenceNode():
                items = [self._sized(item) for item in raw.value]
                return Sequence(_spot(raw), tuple(node for node, _ in items)), 1 + sum(size for _, size in items)
        return self._scalar(raw)

    def _scalar(self, raw: ScalarNode) -> tuple[Node, int]:
        value: Any = raw.value
        if raw.style is None:
            made = next((make for pattern, make in _CORE_SCHEMA if pattern.fullmatch(raw.value)), str)
            try:
                value = made(raw.value)
            except ValueError:
                return self._refuse(raw, "this number has too many digits: put it in quotes to have it as text")
            if value in (float("inf"), float("-inf")):
                return self._refuse(raw, f"{raw.value} is too large for a number: put it in quotes to have it as text")
        return Scalar(_spot(raw), value, raw.value), 1

    def _mapping(self, raw: MappingNode) -> tuple[Node, int]:
        entries: dict[str, tuple[Scalar, Node]] = {}
        total = 1
        for raw_key, raw_value in raw.value:
            key = self._key(raw_key)
            if key is None:
                continue
            if key.source in entries:
                first = entries[key.source][0].at.line
                self._problems.add(key, f"the key {key.source!r} stands twice in this mapping, first in line {first}")
                continue
            value, size = self._sized(raw_value)
            if isinstance(value, Scalar) and value.at.start == value.at.end:
                value = replace(value, at=key.at)  # the library has it where the next thing begins
            entries[key.source] = key, value
            total += size
        return Mapping(_spot(raw), entries), total

    def _key(self, raw: Any) -> Scalar | None:
        if isinstance(raw, MappingNode) and raw.flow_style:
            self._refuse(raw, 'a mapping cannot be a key; a template must stand in quotes: "{{ … }}"')
            return None
        if not isinstance(raw, ScalarNode):
            self._refuse(raw, "a key must be text")
            return None
        key = self._sized(raw)[0]
        if isinstance(key, Scalar) and not isinstance(key.value, str):
            self._problems.add(key, f'a key must be text: write "{raw.value}" in quotes')
            return None
        return key if isinstance(key, Scalar) else None


def _spot(raw: Any) -> Spot:
    start, end = raw.start_mark, raw.end_mark
    return Spot(start.line + 1, start.column + 1, start.index, end.index if end else start.index)


def _tag(tag: Any) -> str:
    return f"{tag.handle}{tag.suffix}"


def kind(node: Node) -> str:
    """Return what a node is, for a sentence: `a mapping`, `a list`, `nothing` or the value itself."""
    match node:
        case Mapping():
            return "a mapping"
        case Sequence():
            return "a list" if node.items else "an empty list"
    return "nothing" if node.value is None else shown(node.value)

