"""Reads a report for a terminal that is still loading: a process that is asked on standard input, see `core.opening`.

`python -m core.first_rows WORKSPACE`: each question and each answer is a pickle, from one process of ours to another.
It ends with its input; where it fails it only ends, for who asks then finds the same out and tells it.
"""

from __future__ import annotations

import gc
import pickle
import sys
from pathlib import Path

from core.places import store_url
from core.store import database_at
from data.report import Report


def answer(workspace: Path) -> None:
    """Answer until nobody asks any more; raises WorkspaceError, StoreError."""
    database = database_at(store_url(workspace), workspace)
    while True:
        try:
            filter, sort, method, args, named = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        found = getattr(Report(database, filter, sort), method)(*args, **named)
        pickle.dump(found, sys.stdout.buffer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    # It ends before a collection could pay.
    gc.disable()
    answer(Path(sys.argv[1]))
