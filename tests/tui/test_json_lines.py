"""JSON as lines: what is open, what a window shows, what a search finds."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tui.json_lines import WINDOW, JsonLines, Section, row_text

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def texts(lines: JsonLines) -> list[str]:
    return [row_text(row, lines.opened(row), 80).plain for row in lines.rows]


def test_values_are_json_and_what_folds_has_a_mark() -> None:
    lines = JsonLines([Section("output", {"n": 1.5, "none": None, "a b": "x\ny", "empty": [], "list": [True]})])
    assert texts(lines) == [
        "- output {5}", "    n: 1.5", "    none: null", '  + "a b": "x\\ny" 3 characters', "    empty: []",
        "  - list [1]", "      0: true",
    ]  # fmt: skip


def test_a_text_opens_as_its_lines() -> None:
    lines = JsonLines([Section("body", "first\nsecond\x1b[2J")])
    lines.open(0)
    assert texts(lines)[1:] == ["  | first", "  | second^[[2J"]


def test_a_section_that_was_there_stays_as_open_as_it_was_and_a_new_one_opens() -> None:
    before = JsonLines([Section("input", {"a": {"b": 1}})])
    before.close(1)
    after = JsonLines([Section("error", {"message": "no"}), Section("input", {"a": {"b": 1}})], before)
    assert texts(after) == ["- error {1}", '    message: "no"', "- input {1}", "  + a {1} b: 1"]


def test_a_place_in_a_long_list_is_shown_in_its_window() -> None:
    lines = JsonLines([Section("rows", [{"n": number} for number in range(100_000)])])
    found = lines.search("99999")
    assert found == [(0, 99_999, 0)]
    at = lines.reveal(found[0])
    assert texts(lines)[at].strip() == "n: 99999"
    assert len(lines.rows) < 2 * WINDOW


@given(JSON)
def test_no_control_character_of_any_value_is_shown(value: Any) -> None:
    lines = JsonLines([Section("value", value)])
    lines.open_all()
    for index in range(len(lines.rows) - 1, -1, -1):
        lines.open(index)
    shown = "".join(texts(lines))
    assert not [one for one in shown if ord(one) < 0x20 or 0x7F <= ord(one) < 0xA0 or 0xD800 <= ord(one) < 0xE000]


@given(JSON)
def test_opening_and_folding_a_line_gives_the_same_lines_again(value: Any) -> None:
    lines = JsonLines([Section("value", value)])
    lines.close_all()
    folded = texts(lines)
    lines.open(0)
    assert len(lines.rows) >= len(folded)
    lines.close(0)
    assert texts(lines) == folded


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 10_000)), max_size=12))
def test_what_is_opened_and_folded_shows_the_same_as_if_all_were_made_anew(acts: list[tuple[bool, int]]) -> None:
    long = [[*range(7 * WINDOW)], {"text": "a line\n" * 4_000}, *range(7 * WINDOW)]
    lines = JsonLines([Section("first", long), Section("second", {"in": long})])
    for opens, place in acts:
        # Every other time the end, where a long list says that there is more.
        at = len(lines.rows) - 1 if place % 2 else place % len(lines.rows)
        (lines.open if opens else lines.close)(at)
        assert lines.rows == JsonLines(lines.sections, lines).rows
        assert [lines.find(row.key) for row in lines.rows] == [*range(len(lines.rows))]
