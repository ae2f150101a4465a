"""Kills the engine at random moments of many jobs and prints what became of them.

    python tests/faults/run_kills.py [--jobs 2000] [--kills 30] [--seed S]

Each job has three steps: it asks a server, posts to it, and appends to a file; server and file are outside of the
workspace and outlive every engine. Exits 1 where an event was lost, an effect was doubled or stands without its record.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from harness import run


def main() -> None:
    """Run once and print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        figures = run(
            Path(folder), jobs=arguments.jobs, kills=arguments.kills, seed=arguments.seed,
            say=lambda line: print(line, flush=True),
        )
    print(figures)
    sys.exit(bool(figures.violations))


if __name__ == "__main__":
    main()
