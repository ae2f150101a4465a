"""The lines of a comparison: both layouts, marks that need no colour, and nothing in the data is more than text."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from core.diff import Diff, Place, Side, compare
from data.job_records import Error
from data.records import Revision, StepRecord
from data.states import Status, StepStatus
from tui.diff_lines import MANY, DiffLines, lines, row_text, shown

NOON = dt.datetime(2026, 7, 30, 12, tzinfo=dt.UTC)


def step(path: str, status: StepStatus = StepStatus.SUCCEEDED, **more: Any) -> StepRecord:
    return StepRecord(path, more.pop("id", f"s{path}"), status, "http.request", kind="action", **more)


def side(version: int, *steps: StepRecord, text: str = "", trigger: Any = None, **facts: Any) -> Side:
    place = Place(f"812.{version}", 812, version, "sync", Status.FAILED, version, NOON, "ops", None)
    revision = Revision(version, "sync", version, text, NOON)
    return Side(dataclasses.replace(place, **facts), revision, trigger, steps)


def diff() -> Diff:
    old = side(
        1, step("1", id="find", output={"rows": [1, 2, 3], "gone": None, "name": "Ada"}), step("2"),
        step("3", StepStatus.FAILED, error=Error("refused", "http", "3", 422)), step("4", id="old"),
        text="a: 1\nb: 2\n", error=Error("refused", "http", "3", 422),
    )
    new = side(
        2, step("1", id="find", output={"rows": [3, 1, 2], "name": "Bob", "more": True}), step("2"), step("3"),
        text="a: 1\nb: 3\nc: 4\n", status=Status.SUCCEEDED,
    )
    return compare(old, new, "a word on it")


def plain(*args: Any, **options: Any) -> list[str]:
    return [line.plain.rstrip() for line in lines(*args, **options)]


def test_unified_tells_each_difference_in_a_line_with_its_mark() -> None:
    told = plain(diff())
    assert [line.partition(" · ")[0] for line in told[:2]] == ["- 812.1 failed", "+ 812.2 succeeded"]
    assert told[2:] == [
        "! a word on it",
        "- error: refused (http, step 3)",
        "  the first step that differs: 1 find http.request: succeeded",
        "~ recipe r1 -> r2: 3 lines",
        "  @  -1,2 +1,3",
        "    a: 1",
        "  - b: 2",
        "  + b: 3",
        "  + c: 4",
        "~ 1 find http.request: succeeded",
        "  > output $.rows[2]: 3 -> $.rows[0]",
        '  ~ output $.name: "Ada" -> "Bob"',
        "  + output $.more: true",
        "  - output $.gone: null",
        "~ 3 http.request: failed -> succeeded",
        "  - error: refused (http, step 3)",
        "- 4 old http.request: succeeded, only in the old run",
        "  1 step without a difference: 2",
    ]
    assert plain(diff(), all=True)[-2:] == ["  1 step without a difference", "    2 http.request: succeeded"]


def test_side_by_side_has_the_old_run_at_the_left_and_the_new_one_at_the_right() -> None:
    told = plain(diff(), 120, wide=True)
    assert all(len(line) <= 120 for line in told)
    halves = [tuple(part.strip() for part in line.split(" | ")) for line in told if " | " in line]
    assert ('~ output $.name: "Ada"', '"Bob"') in halves
    assert ("~ b: 2", "b: 3") in halves
    assert ("+", "c: 4") in halves
    assert ("+ output $.more", "true") in halves
    assert ("> output $.rows[2]: 3", "$.rows[0]") in halves
    assert {line.index(" | ") for line in told if " | " in line} == {58}


def test_the_same_twice_says_that_nothing_differs() -> None:
    one = side(1, step("1"))
    assert plain(compare(one, one))[2:] == ["  nothing differs", "  1 step without a difference: 1"]


def test_what_retention_has_removed_is_said() -> None:
    gone = dataclasses.replace(side(1, step("1")), gone="of job 812 only its status is left")
    assert plain(compare(gone, side(2, step("1"))))[2:4] == [
        "! of job 812 only its status is left", "  steps and trigger events cannot be compared any more",
    ]


def test_what_is_folded_ends_with_an_ellipsis_and_a_long_recipe_is_folded_at_first() -> None:
    old, new = (side(version, text="".join(f"{n}: {version}\n" for n in range(30))) for version in (1, 2))
    folding = DiffLines(compare(old, new))
    rows = folding.rows(80, wide=False)
    (recipe,) = (row for row in rows if row.folds)
    assert row_text(recipe, 80, False, folded=recipe.key not in folding.opened).plain == "~ recipe r1 -> r2: 60 lines …"
    folding.open_all()
    assert len(folding.rows(80, wide=False)) == len(rows) + 61


def test_every_line_has_a_key_of_its_own_in_both_layouts() -> None:
    for wide in (False, True):
        folding = DiffLines(diff())
        folding.open_all()
        rows = folding.rows(100, wide)
        folding.opened |= {row.key for row in rows}
        keys = [row.key for row in folding.rows(100, wide)]
        assert [folding.rows(100, wide).find(key) for key in keys] == list(range(len(keys)))
        assert len(set(keys)) == len(keys) > len(rows)


def test_of_a_long_comparison_only_the_lines_that_are_seen_are_made() -> None:
    steps = [[step(str(n), output=[v] * 4 if n % 2 else 0) for n in range(3_000)] for v in (1, 2)]
    text = "".join(f"{n}: {{}}\n" for n in range(5_000))
    old, new = (side(v, *steps[v - 1], text=text.replace("{}", str(v))) for v in (1, 2))
    folding = DiffLines(compare(old, new))
    folding.open_all()
    for wide in (False, True):
        rows = folding.rows(100, wide)
        assert len(rows) > 10_000
        assert rows[-1].key == ("step", "2998", "", "same")
        middle = rows[len(rows) // 2]
        assert rows.find(middle.key) == len(rows) // 2
        assert rows.made < 10 * MANY
        assert len(list(rows)) == len(rows)


@given(st.text(), st.text(), st.booleans())
def test_nothing_in_the_data_reaches_the_terminal_as_anything_but_text(one: str, other: str, wide: bool) -> None:
    old = side(1, step("1", id="x", output={one: other}, error=Error(one, other)), text=one, recipe=other, by=one)
    new = side(2, step("1", id="x", output={other: [one]}, error=Error(other, one)), text=other, trigger=one)
    for line in lines(compare(old, new, one), 100, wide=wide, all=True):
        assert not [c for c in line.plain if ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or 0xD800 <= ord(c) < 0xE000]


def test_a_value_is_cut_however_large_it_is() -> None:
    assert len(shown(["x" * 10] * 1_000_000)) == len(shown("x" * 10_000_000)) == 2_000
