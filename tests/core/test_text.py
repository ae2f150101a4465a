"""Text from outside never reaches a terminal as anything but text."""

from __future__ import annotations

import re
import time
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.text import safe, safe_block

# Surrogates are part of what JSON can carry, and Hypothesis leaves them out unless told.
ANY = st.text(st.characters(codec=None), max_size=200) | st.text(
    st.sampled_from("a\x1b[]0;\x07\x9b\x7f\n\r\t\u202e\u2066\u200b\ufeff\u2028\ud800\udfff\xad\u061c\U000e0041é\u0301")
)
FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\u061c\ufeff\xad\ud800-\udfff]")


@given(ANY)
@example("\x1b]52;c;aGk=\x1b\\")
def test_nothing_that_a_terminal_obeys_comes_out(text: str) -> None:
    assert not FORBIDDEN.search(safe(text))
    assert not FORBIDDEN.search(safe_block(text).replace("\n", ""))
    safe(text).encode("utf-8")


@given(ANY)
def test_no_control_separator_or_surrogate_comes_out(text: str) -> None:
    assert not any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in safe(text))


@given(ANY, st.integers(0, 50))
def test_a_limit_is_kept_and_cutting_is_shown(text: str, limit: int) -> None:
    shown = safe(text, limit)
    assert len(shown) <= limit
    if shown != safe(text):
        assert shown == safe(text)[: max(limit - 1, 0)] + "…"[:limit] or shown.endswith("…")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("two\nlines\r\nthree", "two⏎lines⏎three"),
        ("a\tb", "a b"),
        ("\x1b[2J", "^[[2J"),
        ("\x00\x7f\r", "^@^?^M"),
        ("\x9b31m\x85", "\\x9b31m\\x85"),
        ("\u202egnp.exe", "<RLO>gnp.exe"),
        ("a\u200bb\u2060", "a<ZWSP>b<WJ>"),
        ("\ud800", "\\ud800"),
        ("e\u0301", "é"),
        ("[bold]{{ x }}[/]", "[bold]{{ x }}[/]"),
        ("日本語 Zürich 🎉", "日本語 Zürich 🎉"),
    ],
)
def test_stand_ins(text: str, shown: str) -> None:
    assert safe(text) == shown


def test_a_block_keeps_its_lines() -> None:
    assert safe_block("a\tb\r\n\x1bc\td\n") == "a   b\n^[c d\n"


def test_a_long_run_of_accents_does_not_hold_up_the_reader() -> None:
    begun = time.process_time()
    safe("a" + "\u0301\u0316" * 250_000)
    assert time.process_time() - begun < 5
