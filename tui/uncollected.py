"""Keeps large data out of the garbage collector's sight."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

LONG = 0.1
"""Seconds of a thread's work that make so much that looking through it would hold the event loop for too long."""

_lock = threading.Lock()
_under_way = 0


@contextmanager
def uncollected() -> Iterator[None]:
    """Collect no garbage meanwhile, in any thread, and never look through what was made if it took long to make.

    A collection looks through it all and holds the event loop as long; data has no cycles and goes without one.
    """
    _count(1)
    began = time.thread_time()
    try:
        yield
        if time.thread_time() - began > LONG:
            gc.freeze()
    finally:
        _count(-1)


def _count(by: int) -> None:
    global _under_way
    with _lock:
        _under_way += by
        if _under_way:
            gc.disable()
        else:
            gc.enable()
