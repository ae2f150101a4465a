"""Work that goes on beside the event loop's other work."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeAlias

from textual.dom import DOMNode

Work: TypeAlias = Coroutine[Any, Any, None]


def begin(node: DOMNode, told: Callable[[Work], Work], work: Work, group: str, *, exclusive: bool = False) -> None:
    """Do `told(work)` in a worker of `node`: `told` awaits the work, and tells what went wrong."""
    worker = node.run_worker(partial(told, work), group=group, exclusive=exclusive)
    # Who quits may cancel it before it began; what nobody awaited would leave a warning on the terminal.
    weakref.finalize(worker, work.close)
