"""JSON written out in pieces is what it would be at once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui import json_pieces as writing
from tui.json_pieces import PIECE, json_pieces

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
)


@given(JSON, st.integers(1, 20))
def test_the_pieces_together_are_what_is_written_at_once(value: Any, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "PIECE", size)
        assert "".join(json_pieces(value)) == json.dumps(value, ensure_ascii=False, indent=2)


def test_no_piece_is_large_whatever_the_value() -> None:
    value = {"text": "é" * 10 * PIECE, "list": [*range(200_000)], "rows": [{"n": n} for n in range(50_000)]}
    assert max(map(len, json_pieces(value))) <= 2 * PIECE


def test_a_value_may_be_deeper_than_python_calls_go() -> None:
    deep: Any = "end"
    for _ in range(5_000):
        deep = [deep]
    text = "".join(json_pieces(deep))
    assert text.count("[") == text.count("]") == 5_000
