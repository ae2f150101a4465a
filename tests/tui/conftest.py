"""Lets the tests of the terminal import their helpers by name, and gives them a locale that has the glyphs."""

import sys
from pathlib import Path

import pytest

import tui.words

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def _locale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    tui.words._encoding.cache_clear()
