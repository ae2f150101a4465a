"""Work that goes on beside the event loop's other work."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

from textual.dom import DOMNode
from textual.worker import Worker

Work: TypeAlias = Coroutine[Any, Any, None]


def begin(
    node: DOMNode, work: Work, group: str, *, told: Callable[[Work], Work] | None = None, exclusive: bool = False
) -> None:
    """Do `work` in a worker of `node`; `told`, if given, awaits it and tells what went wrong."""

    async def done() -> None:
        await (work if told is None else told(work))

    worker: Worker[None] = node.run_worker(done, group=group, exclusive=exclusive)
    # Who quits may cancel it before it began; what nobody awaited would leave a warning on the terminal.
    weakref.finalize(worker, work.close)
