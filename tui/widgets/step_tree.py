"""Shows a version's steps as a tree: branches taken and not, iterations, each step's outcome."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field

from rich.text import Text

from core.text import safe
from data.records import JobDetail, StepRecord
from data.states import StepStatus
from tui.actions import bindings
from tui.stale import newer, older
from tui.steps import place_of, told, what
from tui.timing import CELLS, LEAST, Span
from tui.units import elapsed
from tui.widgets.lines import BAR, LineList
from tui.words import WORDS, mark

TRIGGER = "trigger"
"""The key of the line that stands for the trigger event."""
PARENT = "parent"
"""The key of the line above it that names the call which made the job, where one did."""
NEWER, OLDER = "newer", "older"
"""The keys of the lines that name the next job of the same object, and the one before."""

_TOKEN = re.compile(r"(?:(?P<group>choose\.\d+(?:\.then)?|[a-z_]+)\.)?(?P<number>\d+)(?P<loops>(?:\[\d+\])*)(?:\.|$)")
_LOOPS = re.compile(r"\[\d+\]")
_ALIVE = (StepStatus.IN_DOUBT, StepStatus.FAILED, StepStatus.RUNNING)


@dataclass(slots=True)
class Node:
    """A step, or a branch or iteration that steps are in."""

    key: str
    label: str
    depth: int
    parent: Node | None
    step: StepRecord | None = None
    inner: list[Node] = field(default_factory=list)

    @property
    def iteration(self) -> bool:
        """Whether it is one turn of a loop."""
        return self.label.startswith("[")

    def steps(self) -> Iterator[StepRecord]:
        """Yield the steps in it, itself included."""
        if self.step is not None:
            yield self.step
        for node in self.inner:
            yield from node.steps()

    @property
    def reached(self) -> bool:
        """Whether anything in it ran or was decided."""
        return any(step.status != StepStatus.NOT_REACHED for step in self.steps())

    @property
    def taken(self) -> bool:
        """Whether a branch was the one taken."""
        above = self.parent.step if self.parent else None
        return self.reached or bool(above and above.branch and f"{self.label}.".startswith(f"{above.branch}."))


def tree(steps: Iterable[StepRecord]) -> list[Node]:
    """Return the outermost nodes; every step stands in its branch or iteration, in the order given."""
    nodes: dict[str, Node] = {}
    roots: list[Node] = []
    for step in steps:
        _node(nodes, roots, step.path).step = step
    return roots


def _node(nodes: dict[str, Node], roots: list[Node], path: str) -> Node:
    parent: Node | None = None
    key = ""
    for group, number, loops in _TOKEN.findall(path):
        # The list that a loop repeats needs no line of its own: its iterations have one.
        if group and not (parent and parent.iteration):
            key = f"{key}.{group}"
            parent = _child(nodes, roots, parent, key, group)
        elif group:
            key = f"{key}.{group}"
        key = f"{key}.{number}" if key else number
        parent = _child(nodes, roots, parent, key, key)
        for loop in re.findall(r"\[\d+\]", loops):
            key += loop
            parent = _child(nodes, roots, parent, key, loop)
    return parent or _child(nodes, roots, None, path, path)


def _child(nodes: dict[str, Node], roots: list[Node], parent: Node | None, key: str, label: str) -> Node:
    if key not in nodes:
        nodes[key] = Node(key, label, parent.depth + 1 if parent else 0, parent)
        (parent.inner if parent else roots).append(nodes[key])
    return nodes[key]


def node_text(node: Node, folded: bool, width: int, span: Span | None = None) -> Text:
    """Return a node's line: what folds, outcome, path, name and action, attempts, time; at its end the step's bar.

    The bar goes first where there is no room.
    """
    text = Text("  " * node.depth)
    text.append(("+ " if folded else "- ") if node.inner else "  ", style="dim")
    if node.step is None:
        return text.append_text(_group_text(node))
    step = node.step
    dim = "dim" if step.status == StepStatus.NOT_REACHED else ""
    end = _end(step)
    text.append_text(mark(step.status, word=False)).append(f" {step.path} ", style=dim or "bold")
    text.append(safe(_name(step), width), style=dim)
    if said := told(step, sum(inner.iteration for inner in node.inner)):
        text.append(f" {safe(said, width)}", style="dim")
    bar = span.bar(step) if span is not None and width >= LEAST else None
    gap = width - text.cell_len - end.cell_len - CELLS - 2
    text.truncate(max(width - end.cell_len - 2, 12), overflow="ellipsis")
    text.append("  ").append_text(end)
    return text if bar is None or gap < 1 else text.append(" " * gap).append_text(bar)


def _group_text(node: Node) -> Text:
    if node.iteration:
        return Text(f"{node.label} {_worst(node)}")
    above = node.parent.step if node.parent else None
    decided = above is not None and above.status != StepStatus.NOT_REACHED
    told = f"{node.label}: {'taken' if node.taken else 'not taken'}" if decided and _is_branch(node) else node.label
    return Text(told, style="" if node.taken else "dim")


def _is_branch(node: Node) -> bool:
    return node.label.startswith(("then", "else", "choose"))


def _worst(node: Node) -> str:
    statuses = [step.status for step in node.steps()]
    return next((WORDS[status].word for status in _ALIVE if status in statuses), "")


def _name(step: StepRecord) -> str:
    # A step without an id of its own is called after its path, which stands before it already.
    own = "" if step.id == "s" + _LOOPS.sub("", step.path).replace(".", "_") else step.id
    return " ".join(part for part in (own, what(step)) if part)


def _end(step: StepRecord) -> Text:
    text = mark(step.status, glyph=False)
    if step.duration_ms is not None:
        text.append(f" {elapsed(step.duration_ms)}")
    if step.attempts > 1:
        text.append(f", {step.attempts} attempts")
    return text.append(f", by {safe(step.resolved_by, 20)}") if step.resolved_by else text


class StepTree(LineList, inherit_bindings=False):
    """The trigger's line, then the steps; the cursor stays on its step while the version runs."""

    WHERE = ("steps", "tree", "lines")
    BINDINGS = [*bindings("steps", "tree", "lines")]

    def __init__(self, opened: Callable[[], None], search_wanted: Callable[[], None]) -> None:
        """`search_wanted` is called when the search key is pressed."""
        super().__init__(opened)
        self._search_wanted = search_wanted
        self._roots: list[Node] = []
        self._folded: set[str] = set()
        self._seen: set[str] = set()
        self._heads = {TRIGGER: "trigger event"}
        self._laid: list[Node | str] = [TRIGGER]
        self._shown: int | None = None
        self._span: Span | None = None

    def show(self, detail: JobDetail, start: str | None = None) -> None:
        """Show a version; another job's tree starts at the step `start`, its failed step, or at the trigger."""
        other = detail.job.id != self._shown
        if other:
            self._shown = detail.job.id
            self._folded, self._seen = set(), set()
            self._key = start or _first(detail)
        self._heads = _heads(detail)
        self._span = Span.of(detail.version)
        self._roots = tree(detail.steps)
        self._fold_turns(self._roots)
        if other and start:
            self._folded = {key for key in self._folded if not start.startswith(key)}
        self._lay_out()

    def on_unmount(self) -> None:
        """Let go of the steps, and of their data."""
        self._roots, self._laid = [], [TRIGGER]

    @property
    def selected(self) -> StepRecord | None:
        """The step under the cursor; None on the trigger, or on a branch."""
        node = self._laid[self.cursor] if self.cursor < len(self._laid) else None
        return node.step if isinstance(node, Node) else None

    @property
    def selected_key(self) -> str:
        """The path of what is under the cursor, or the key of a line above the steps."""
        return str(self.key(self.cursor))

    def count(self) -> int:
        return len(self._laid)

    def key(self, index: int) -> Hashable:
        node = self._laid[index]
        return node.key if isinstance(node, Node) else node

    def line(self, index: int) -> Text:
        node = self._laid[index]
        if not isinstance(node, Node):
            return Text(f"  {self._heads[node]}", style="bold")
        return node_text(node, node.key in self._folded, self.size.width - BAR, self._span)

    def action_search(self) -> None:
        """Ask for the text to search in the data beside the steps."""
        self._search_wanted()

    def action_expand(self) -> None:
        """Open what is folded."""
        self._folded.discard(self.selected_key)
        self._lay_out()

    def action_collapse(self) -> None:
        """Fold; on what is folded or has nothing inside, go to what it is in."""
        node = self._laid[self.cursor]
        if not isinstance(node, Node):
            return
        if node.inner and node.key not in self._folded:
            self._folded.add(node.key)
            self._lay_out()
        else:
            self.move_to(self.find(node.parent.key if node.parent else TRIGGER) or 0)

    def action_expand_all(self) -> None:
        """Open all."""
        self._folded.clear()
        self._lay_out()

    def action_collapse_all(self) -> None:
        """Fold all but the outermost steps."""
        self._folded = {node.key for node in _walk(self._roots) if node.inner}
        while self._key is not None and (node := self._node(str(self._key))) is not None and node.parent:
            self._key = node.parent.key
        self._lay_out()

    def _node(self, key: str) -> Node | None:
        return next((node for node in _walk(self._roots) if node.key == key), None)

    def _fold_turns(self, roots: Iterable[Node]) -> None:
        # A loop may have thousands of turns: of those first seen, only one that needs a look is open.
        for node in _walk(roots):
            if node.iteration and node.key not in self._seen:
                self._seen.add(node.key)
                if not any(step.status in _ALIVE for step in node.steps()):
                    self._folded.add(node.key)

    def _lay_out(self) -> None:
        before = len(self._laid)
        self._laid = [*self._heads, *_walk(self._roots, self._folded)]
        self.lines_changed()
        if len(self._laid) != before:
            self.refresh(layout=True)


def _heads(detail: JobDetail) -> dict[str, str]:
    """Return the lines above the steps by their keys."""
    caller = [f"called by {safe(place_of(detail.parent))}"] if detail.parent else []
    told = {PARENT: caller, NEWER: newer(detail), OLDER: older(detail), TRIGGER: ["trigger event"]}
    return {key: line for key, lines in told.items() for line in lines}


def _first(detail: JobDetail) -> str:
    wanted = [step.path for step in detail.steps if step.status == StepStatus.IN_DOUBT]
    if detail.version.error and detail.version.error.step:
        wanted.append(detail.version.error.step)
    wanted += [step.path for step in reversed(detail.steps) if step.status == StepStatus.FAILED]
    paths = {step.path for step in detail.steps}
    return next((path for path in wanted if path in paths), TRIGGER)


def _walk(nodes: Iterable[Node], folded: Iterable[str] = ()) -> Iterator[Node]:
    for node in nodes:
        yield node
        if node.key not in folded:
            yield from _walk(node.inner, folded)
