"""Lets the snapshots import their helpers, and those of the terminal's tests, by name."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "tui")]
