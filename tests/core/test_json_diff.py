"""Two JSON values compared: what is told of each difference, and that it never takes long."""

from __future__ import annotations

import copy
import random
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.json_diff import BIG, CHANGES, MANY, Change, Comparer, Kind, canonical

SCALAR = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "id", "x" * 30]) | st.just(1.0)
JSON = st.recursive(
    SCALAR,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "id", "a b", "é"]), inner),
    max_leaves=12,
)


def told(old: Any, new: Any) -> list[tuple[str, ...]]:
    """Return (kind, path), with the old path where that is another, of each difference."""
    return [
        (change.kind.value, change.path, *([change.was_at] if change.was_at else []))
        for change in Comparer().differences(old, new).changes
    ]


def test_each_difference_has_its_path_and_its_values() -> None:
    old = {"a": {"b": [1, 2, 3]}, "gone": None, "same": [True]}
    new = {"a": {"b": [1, 2, "3"]}, "same": [True], "a b": 1}
    assert Comparer().differences(old, new).changes == (
        Change(Kind.CHANGED, "$.a.b[2]", 3, "3"),
        Change(Kind.ADDED, '$["a b"]', None, 1),
        Change(Kind.REMOVED, "$.gone", None, None),
    )


def test_what_stands_under_the_name_of_a_secret_is_told_to_be_one() -> None:
    def headers(value: str) -> Any:
        return {"headers": [{"name": "Authorization", "value": value}, {"name": "Accept", "value": value}]}

    changes = Comparer().differences(headers("a"), headers("b")).changes
    assert [(change.path, change.secret) for change in changes] == [
        ("$.headers[0].value", True), ("$.headers[1].value", False),
    ]
    [nested] = Comparer().differences({"token": {"text": 1}}, {"token": {"text": 2}}).changes
    assert nested.secret


def test_one_and_one_point_nought_and_true_are_three_values_and_the_order_of_keys_is_none() -> None:
    assert told({"a": 1}, {"a": True}) == [("changed", "$.a")]
    assert told({"a": 1}, {"a": 1.0}) == [("changed", "$.a")]
    assert told([1, 0], [True, False]) == [("changed", "$[0]"), ("changed", "$[1]")]
    assert told({"a": 1, "b": 2}, {"b": 2, "a": 1}) == []


def test_what_is_put_in_at_the_head_of_a_list_changes_nothing_behind_it() -> None:
    assert told([{"n": 1}, {"n": 2}], [{"n": 0}, {"n": 1}, {"n": 2}]) == [("added", "$[0]")]
    assert told([1, 2, 3, 4], [2, 3, 4]) == [("removed", "$[0]")]
    assert told([1, 1, 2, 1], [1, 1, 1, 2, 1]) == [("added", "$[2]")]


def test_an_item_at_another_place_of_its_list_is_moved_and_may_have_changed_too() -> None:
    ada, bob, eve = ({"id": id, "name": name} for id, name in [(1, "Ada"), (2, "Bob"), (3, "Eve")])
    assert told([ada, bob, eve], [eve, ada, bob]) == [("moved", "$[0]", "$[2]")]
    assert told([ada, bob, eve], [eve | {"name": "Eva"}, ada, bob]) == [
        ("moved", "$[0]", "$[2]"), ("changed", "$[0].name", "$[2].name"),
    ]


def test_items_of_the_same_name_are_compared_with_each_other() -> None:
    old = [{"id": 1, "n": "a"}, {"id": 2, "n": "b"}]
    assert told(old, [{"id": 2, "n": "B"}]) == [("changed", "$[0].n", "$[1].n"), ("removed", "$[0]")]


def test_a_value_under_another_key_is_moved_where_it_says_enough() -> None:
    assert told({"a": [{"x": 1}]}, {"b": [{"x": 1}]}) == [("moved", "$.b", "$.a")]
    assert told({"a": 1}, {"b": 1}) == [("added", "$.b"), ("removed", "$.a")]


@given(JSON, JSON)
def test_there_is_a_difference_exactly_where_the_values_differ(old: Any, new: Any) -> None:
    assert bool(Comparer().differences(old, new)) == (canonical(old) != canonical(new))
    assert told(old, copy.deepcopy(old)) == []


@given(st.lists(JSON, max_size=6), st.randoms())
def test_a_list_in_another_order_has_only_moved(old: list[Any], shuffled: random.Random) -> None:
    new = list(old)
    shuffled.shuffle(new)
    assert {kind for kind, *_ in told(old, new)} <= {"moved"}


def test_a_value_that_is_too_large_differs_as_a_whole_and_says_so() -> None:
    old, new = ["x" * (BIG // 2)], ["y" * (BIG // 2)]
    (change,) = Comparer().differences(old, new).changes
    assert (change.kind, change.path, change.old, change.new) == (Kind.CHANGED, "$", old, new)
    assert change.whole == f"more than {BIG:,} characters or {MANY:,} values: compared only as a whole"


@pytest.mark.parametrize(("one", "other"), [(1, 1.0), (1, True), ([1], [1, 2]), ({"a": 1}, {"b": 1}), ("a", "b")])
def test_values_too_large_to_be_told_one_by_one_differ_where_anything_in_them_does(one: Any, other: Any) -> None:
    large = "x" * BIG
    assert Comparer().differences({"large": large, "n": [one]}, {"large": large, "n": [other]})
    assert not Comparer().differences({"large": large, "n": [one]}, {"n": [one], "large": large})


def test_what_is_left_when_the_work_is_used_up_is_compared_as_a_whole() -> None:
    comparer = Comparer(work=30)
    assert comparer.differences({"a": [1]}, {"a": [2]}).changes[0].path == "$.a[0]"
    assert comparer.differences({"a": [1]}, {"a": [2]}).changes[0].whole
    assert not comparer.differences({"a": [1]}, {"a": [1]})


def test_many_differences_are_counted_and_the_first_told() -> None:
    found = Comparer().differences(list(range(2 * CHANGES)), [str(n) for n in range(2 * CHANGES)])
    assert (len(found.changes), found.more) == (CHANGES, CHANGES)


def test_deep_nesting_breaks_nothing() -> None:
    old: Any = 1
    new: Any = 2
    for _ in range(900):
        old, new = [old], [new]
    (change,) = Comparer().differences(old, new).changes
    assert change.whole


def test_large_values_take_seconds_at_the_most_whatever_is_in_them() -> None:
    """A megabyte of each; what would be hours with an algorithm in n² has room for a machine that is busy."""
    count = 20_000
    shuffled = [{"id": n, "v": [n, str(n)]} for n in range(count)]
    random.Random(7).shuffle(shuffled)
    pairs: list[tuple[Any, Any]] = [
        ([{"id": n, "v": [n, str(n)]} for n in range(count)], shuffled),
        ([n % 2 for n in range(10 * count)], [n % 3 for n in range(10 * count)]),
        ({str(n): {"a": [n]} for n in range(count)}, {str(n): {"a": [n + 1]} for n in range(count)}),
        (["x"] * 5 * count, ["x"] * 4 * count + ["y"] * count),
    ]
    began = time.monotonic()
    assert all(Comparer().differences(*pair) for pair in pairs)
    assert time.monotonic() - began < 60
