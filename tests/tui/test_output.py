"""The formats for scripts give the contract's fields, and nothing in the data is more than data."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.job_records import Error, Job, Refusal
from data.records import Accepted, JobDetail, Problem, RecipeState, Revision, StepRecord, Version
from data.states import Status, StepStatus
from tui import cli_tables as tables
from tui import output

NOON = dt.datetime(2026, 7, 30, 12, 0, 0, 5, tzinfo=dt.timezone(dt.timedelta(hours=2)))
LATER = NOON + dt.timedelta(seconds=1)
ERROR = Error("refused", "http", step="3.then.1", status=422, group="g1")

JOB = ["id", "recipe", "title", "status", "event_key", "received_at", "first_started_at", "started_at", "finished_at",
       "duration_ms", "versions", "error", "report", "rerunnable", "rerun_blocked"]
SHOW = [*JOB, "version", "latest", "trigger", "trigger_expired_at", "recipe_revision", "mode", "requested_by", "note",
        "warnings", "parent", "newer_job", "older_job", "object_changed_at", "steps"]
STEP = ["path", "id", "action", "status", "branch", "index", "attempts", "input", "output", "error", "started_at",
        "duration_ms", "resolved_by"]
VERSION = ["version", "latest", "status", "recipe_revision", "mode", "requested_by", "note", "requested_at",
           "started_at", "finished_at", "error"]


def job(**changed: Any) -> Job:
    facts: dict[str, Any] = {
        "id": 812, "recipe": "accounts", "title": "Ada", "status": Status.SUCCEEDED, "event_key": "k",
        "received_at": NOON, "first_started_at": NOON, "started_at": LATER, "finished_at": LATER, "duration_ms": 7,
        "versions": 2, "error": None, "report": {"Account": "1"}, "trigger_stored": True,
    }
    return Job(**{**facts, **changed})


def version(**changed: Any) -> Version:
    facts: dict[str, Any] = {
        "id": 1, "job_id": 812, "number": 1, "latest": False, "status": Status.FAILED, "recipe_revision": 3,
        "mode": "first", "requested_by": "ops", "requested_at": NOON, "note": None, "started_at": NOON,
        "finished_at": NOON, "duration_ms": 90, "error": ERROR, "report": {"Account": "0"}, "warnings": ("late",),
    }
    return Version(**{**facts, **changed})


def written(records: list[Any], format: str, fields: tuple[str, ...] = ("a",)) -> str:
    out = io.StringIO()
    output.WRITERS[format](iter(records), fields, out)
    return out.getvalue()


def test_a_job_has_the_contracts_fields() -> None:
    told = output.job_json(job(rerun_blocked=Refusal(812, "running", "It runs.")))
    assert list(told) == JOB == list(output.JOB_FIELDS)
    assert told["id"] == 812
    assert told["received_at"] == "2026-07-30T10:00:00.000005Z"
    assert told["rerunnable"] is False
    assert told["rerun_blocked"] == {"code": "running", "message": "It runs."}
    assert output.job_json(job())["rerunnable"] is True
    assert output.job_json(job(error=ERROR))["error"] == {
        "message": "refused", "kind": "http", "step": "3.then.1", "group": "g1",
    }


def test_show_tells_status_times_and_error_of_the_version_shown() -> None:
    step = StepRecord("4[0].do.2", "tell", StepStatus.FAILED, "http.request", index=(0,), error=ERROR, has_input=True)
    told = output.show_json(JobDetail(job(), version(), {"a": None}, (step,)))
    assert sorted(told) == sorted(SHOW)
    assert (told["status"], told["duration_ms"], told["report"]) == ("failed", 90, {"Account": "0"})
    assert told["error"]["kind"] == "http"
    assert (told["version"], told["latest"], told["versions"]) == (1, False, 2)
    assert list(told["steps"][0]) == STEP
    assert told["steps"][0]["index"] == [0]


def test_a_version_a_recipe_a_revision_and_an_event_have_fixed_fields() -> None:
    assert list(output.version_json(version())) == VERSION == list(output.VERSION_FIELDS)
    state = RecipeState(1, "a", True, 2, (Problem("recipes/a.yaml", 3, 4, "no"),), True)
    assert list(output.recipe_json(state)) == list(output.RECIPE_FIELDS)
    assert output.recipe_json(state)["problems"] == [
        {"file": "recipes/a.yaml", "line": 3, "column": 4, "message": "no"},
    ]
    revision = Revision(1, "a", 2, "é", NOON)
    assert output.revision_json(revision) == {
        "recipe": "a", "revision": 2, "stored_at": "2026-07-30T10:00:00.000005Z", "size": 2,
    }
    assert tuple(output.revision_json(revision)) == output.REVISION_FIELDS
    assert tuple(output.accepted_json(Accepted("k", 1, True))) == output.ACCEPTED_FIELDS


@pytest.mark.parametrize("records", [[], [{"a": 1}], [{"a": 1}, {"a": [None, "é"]}]])
def test_json_is_one_array_and_json_lines_one_object_a_line(records: list[Any]) -> None:
    assert json.loads(written(records, "json")) == records
    assert [json.loads(line) for line in written(records, "jsonl").splitlines()] == records


def test_an_array_that_breaks_off_is_still_json() -> None:
    def breaks() -> Iterator[dict[str, int]]:
        yield {"a": 1}
        raise InterruptedError

    out = io.StringIO()
    with pytest.raises(InterruptedError):
        output.write_json(breaks(), ("a",), out)
    assert json.loads(out.getvalue()) == [{"a": 1}]


def test_a_listing_is_written_as_it_comes() -> None:
    out = io.StringIO()
    seen: list[int] = []

    def watched() -> Iterator[dict[str, int]]:
        for number in range(3):
            seen.append(out.getvalue().count("{"))
            yield {"a": number}

    output.write_json(watched(), ("a",), out)
    assert seen == [0, 1, 2]


def test_csv_has_a_heading_and_quotes_what_a_spreadsheet_would_run() -> None:
    cells = ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "a,b", 'say "x"', "two\nlines", -5, 1.5, None, True, {"a": [1]}]
    text = written([{"a": cell} for cell in cells], "csv")
    rows = [row[0] if row else "" for row in csv.reader(io.StringIO(text, newline=""))]
    assert rows == ["a", "'=1+1", "'+1", "'-1", "'@x", "'\tx", r"'\x0dx", "a,b", 'say "x"', "two\nlines", "-5", "1.5",
                    "", "true", '{"a":[1]}']
    assert written([], "csv") == "a\r\n"


def test_csv_keeps_text_as_it_is_but_for_what_a_terminal_obeys() -> None:
    kept = "e\u0301 \U0001f469\u200d\U0001f4bb\tone\r\ntwo"
    text = written([{"a": kept}, {"a": "\x1b[2J\x9b \u202eabc\x7f\rx\ud800"}], "csv")
    _, first, second = [row[0] for row in csv.reader(io.StringIO(text, newline=""))]
    assert (first, second) == (kept, r"\x1b[2J\x9b \u202eabc\x7f\x0dx\ud800")


@given(st.text(st.characters(codec=None)))
def test_no_format_lets_out_what_a_terminal_obeys(text: str) -> None:
    record = {"a": text, "b": {"c": text}}
    for format in output.WRITERS:
        shown = written([record], format, ("a", "b"))
        assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202e\ud800-\udfff]", shown)
    assert json.loads(written([record], "jsonl")) == record


@given(st.text(st.characters(codec=None)))
def test_a_row_of_a_table_is_one_line(text: str) -> None:
    out = io.StringIO()
    tables.write_table([job(title=text, error=Error(text, "k"))], tables.JOBS, out)
    lines = out.getvalue().removesuffix("\n").split("\n")
    assert len(lines) == 2
    assert not re.search("[\x00-\x1f\x7f-\x9f\u202e\ud800-\udfff]", "".join(lines))


def test_a_table_away_from_a_terminal_cuts_nothing_and_keeps_its_columns() -> None:
    out = io.StringIO()
    tables.write_table((job(id=number, title="[b]x[/b] " * 40) for number in range(1, 1202)), tables.JOBS, out)
    lines = out.getvalue().splitlines()
    assert len(lines) == 1202
    assert lines[0].startswith("JOB  VER  STATUS")
    assert {line.index("accounts") for line in lines[1:501]} == {lines[1].index("accounts")}
    assert lines[-1].split()[0] == "1201"
    assert all(line.count("[b]x[/b]") == 40 for line in lines[1:])


class Terminal(io.StringIO):
    """Standard output as a terminal has it."""

    def isatty(self) -> bool:
        return True


def test_a_table_on_a_terminal_fits_it_and_never_cuts_an_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    out = Terminal()
    tables.write_table([job(id=123456789012, title="t" * 300)], tables.JOBS, out)
    assert "123456789012" in out.getvalue()
    assert "\x1b[" in out.getvalue()
    bare = re.sub("\x1b\\[[0-9;]*m", "", out.getvalue()).splitlines()
    assert len(bare) == 2
    assert max(map(len, bare)) <= 60


def test_no_color_means_no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    out = Terminal()
    tables.write_table([job()], tables.JOBS, out)
    assert not re.search("\x1b\\[[0-9;]*3[0-9]", out.getvalue())


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(None, ""), (0, "0 ms"), (999, "999 ms"), (1000, "1.0 s"), (59_949, "59.9 s"), (60_000, "1 m 00 s"),
     (3_599_999, "59 m 59 s"), (12_000_000, "3 h 20 m")],
)
def test_elapsed(milliseconds: int | None, text: str) -> None:
    assert tables.elapsed(milliseconds) == text


def test_show_tells_a_person_everything() -> None:
    steps = (
        StepRecord("1", "find", StepStatus.SUCCEEDED, "zendesk.search", attempts=1, output={"count": 0}, duration_ms=5),
        StepRecord("2", "s2", StepStatus.FAILED, None, branch="else", error=ERROR),
    )
    out = io.StringIO()
    expired = job(trigger_stored=False, trigger_expired_at=NOON, trigger_expired_by="retention 30d of recipe accounts")
    tables.write_show(JobDetail(expired, version(), None, steps), out)
    text = out.getvalue()
    for part in ("812.1 of 2: Ada", "accounts r3", "refused (http, step 3.then.1)",
                 "by retention 30d of recipe accounts",
                 '{"count": 0}', "zendesk.search", "late"):
        assert part in text


class Rows(list[Any]):
    """A list that knows how much of it was looked at."""

    looked_at = 0

    def __iter__(self) -> Iterator[Any]:
        for row in super().__iter__():
            self.looked_at += 1
            yield row


@pytest.mark.parametrize("where", ["trigger", "output"])
def test_of_a_large_value_only_what_is_shown_is_written_out(where: str) -> None:
    rows = Rows([{"row": number} for number in range(100_000)])
    step = StepRecord("1", "find", StepStatus.SUCCEEDED, "sql.query", attempts=1, output=rows, duration_ms=5)
    event, steps = (rows, ()) if where == "trigger" else ({"id": 1}, (step,))
    out = io.StringIO()
    tables.write_show(JobDetail(job(), version(), event, steps), out)
    assert "row" in out.getvalue()
    assert 10 < rows.looked_at < 5_000
    assert ("… and more: -o json has all of it" in out.getvalue()) is (where == "trigger")
