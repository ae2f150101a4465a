"""Glyphs are shown where the terminal's locale has them, and nowhere else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("locale", "unicode"),
    [
        ({}, False),
        ({"LC_ALL": "C"}, False),
        ({"LC_ALL": "POSIX", "LANG": "C.UTF-8"}, False),
        ({"LC_CTYPE": "C"}, False),
        ({"LANG": "C"}, False),
        ({"LC_ALL": "", "LC_CTYPE": "C.UTF-8", "LANG": "C"}, True),
        ({"LC_ALL": "C.UTF-8", "LANG": "C"}, True),
        ({"LANG": "C.utf8"}, True),
        ({"LANG": "de_DE.UTF-8@euro"}, True),
        ({"LANG": "de_DE.ISO-8859-1"}, False),
        ({"LANG": "de_DE"}, False),
        ({"LANG": "C.UTF-8", "PYTHONIOENCODING": "latin-1"}, False),
    ],
    ids=str,
)
def test_the_locale_says_whether_glyphs_can_be_shown(locale: dict[str, str], unicode: bool) -> None:
    ask = "from tui.words import encodable, unicode_output; print(unicode_output(), encodable('\\u2713'))"
    ran = subprocess.run(
        [sys.executable, "-c", ask], env={"PYTHONPATH": str(ROOT), **locale}, capture_output=True, check=True
    )
    assert ran.stdout.decode() == ("True \u2713\n" if unicode else "False ?\n")
