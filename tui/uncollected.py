"""Keeps large data out of the garbage collector's sight."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

MANY = 100_000
"""Objects from which looking through them holds the event loop for too long."""


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep what is made meanwhile, if it is much, out of the garbage collector's sight.

    A collection looks through it all and holds the event loop as long; data has no cycles and goes without one.
    """
    before = sys.getallocatedblocks()
    gc.disable()
    try:
        yield
        if sys.getallocatedblocks() - before > MANY:
            gc.freeze()
    finally:
        gc.enable()
