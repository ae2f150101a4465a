"""Notices that the terminal is gone: one that closes does not always send a signal."""

from __future__ import annotations

import select
import threading
from collections.abc import Callable


def when_gone(terminal: int, then: Callable[[], object]) -> None:
    """Call `then`, in a thread, once what this file descriptor was opened on has hung up (POLLHUP of poll(2))."""
    threading.Thread(target=_wait, args=(terminal, then), name="hangup", daemon=True).start()


def _wait(terminal: int, then: Callable[[], object]) -> None:
    poll = select.poll()
    # A hangup is told without being asked for; keys, which are not asked for, wake nobody.
    poll.register(terminal, 0)
    if any(told & select.POLLHUP for _, told in poll.poll()):
        then()
