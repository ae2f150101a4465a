"""Large documents are read piece by piece and come out as they would at once."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import reading
from data.encoding import dump_json
from data.reading import read_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.fixture
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "AT_ONCE", 0)
    monkeypatch.setattr(reading, "PIECE", 8)


@pytest.mark.usefixtures("_small_pieces")
@given(JSON)
@settings(max_examples=300)
def test_piece_by_piece_gives_the_same_as_at_once(value: Any) -> None:
    text = dump_json(value)
    assert read_json(text) == json.loads(text)
    spaced = json.dumps(value, indent=1)
    assert read_json(spaced) == json.loads(spaced)


@pytest.mark.usefixtures("_small_pieces")
@pytest.mark.parametrize("text", ['{"a": 1,}', "[1 2]", '{"a":[1,2,3,4,5,6]', '{"key" 1}', "[1]]", '{"a":1,,"b":2}'])
def test_what_is_no_json_is_refused_as_at_once(text: str) -> None:
    with pytest.raises(json.JSONDecodeError):
        read_json(text)


def test_a_very_deep_document_is_read() -> None:
    deep = "[" * 400 + '"' + "x" * 300_000 + '"' + "]" * 400
    assert read_json(deep) == json.loads(deep)


def test_another_thread_goes_on_while_a_large_document_is_read() -> None:
    text = dump_json([{"id": number, "name": "x" * 40, "tags": ["a", "b"]} for number in range(100_000)])
    done = threading.Event()
    reader = threading.Thread(target=lambda: (read_json(text), done.set()))
    turns = 0
    reader.start()
    while not done.wait(0.0001):
        turns += 1
    reader.join()
    # At once, there is a turn or two before and after.
    assert turns > 20
