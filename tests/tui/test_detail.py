"""The job's detail: what it shows, and what its keys do."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from piloted import Seen, in_app, running
from stub_automation import BEGAN, FAILED_STEPS, StubAutomation, step

from data.job_records import Error, Refusal
from data.records import JobDetail, Link
from data.states import Status, StepStatus
from tui import clipboard, outside
from tui.screens.detail import DetailScreen
from tui.widgets.json_view import JsonView
from tui.widgets.step_tree import StepTree, tree

HALF_A_SECOND = dt.timedelta(milliseconds=500)


@pytest.fixture
def automation() -> StubAutomation:
    return StubAutomation()


async def opened(seen: Seen, version: int | None = None) -> DetailScreen:
    seen.app.open_job(812, version)
    await seen.sees("trigger event", "tell log.write")
    assert isinstance(seen.app.screen, DetailScreen)
    return seen.app.screen


@in_app
async def test_a_failed_job_opens_at_its_failed_step_with_error_and_input(automation: StubAutomation) -> None:
    async with running(automation) as seen:
        await opened(seen)
        await seen.sees("failed · version 1 of 1 · sync r1", "error at 2.else.1: 422: name is taken")
        await seen.sees("then: not taken", "else: taken", "2.else.1 create http.request")
        await seen.sees("succeeded 120 ms, 2 attempts")
        await seen.sees("message: ", "input {3}", 'method: "POST"')


@in_app
async def test_data_is_shown_as_text_markup_and_control_characters_included(automation: StubAutomation) -> None:
    async with running(automation) as seen:
        await opened(seen)
        await seen.sees("[red]Acme[/red] ^[]0;x^G")
        await seen.press("g")
        await seen.sees('Name: "[red]Acme[/red]"')
        assert "\x1b" not in seen.text()


@in_app
async def test_rerun_asks_with_the_plan_and_follows_the_new_version_live(automation: StubAutomation) -> None:
    async with running(automation) as seen:
        await opened(seen)
        await seen.press("r")
        await seen.sees("Rerun: 1 run, 0 not", "ran r1, will run r7", "would happen again", "2.else.1 http.request")
        await seen.press("c")
        await seen.sees("running · version 2 of 2", "812 runs again as version 2")
        assert [what for what, *_ in automation.asked] == ["rerun"]
        assert automation.asked[0][2] == "digest1"
        automation.steps = (*FAILED_STEPS[:3], step("2.else.1", "create", StepStatus.SUCCEEDED, "http.request"))
        automation.set_latest(status=Status.SUCCEEDED, duration_ms=900)
        await seen.sees("succeeded · version 2 of 2", "create http.request  succeeded")
        assert seen.app.screen.query_one(StepTree).selected_key == "2.else.1"


@pytest.mark.parametrize("key", ["enter", "escape", "q", "r", "x"])
@in_app
async def test_nothing_but_the_confirm_key_reruns(automation: StubAutomation, key: str) -> None:
    async with running(automation) as seen:
        await opened(seen)
        await seen.press("r")
        await seen.sees("Rerun: 1 run")
        await seen.press(key)
        if key in ("r", "x"):
            await seen.sees("Rerun: 1 run")
            await seen.press("escape")
        await seen.sees_not("Rerun: 1 run")
        assert automation.asked == []
        assert isinstance(seen.app.screen, DetailScreen)


@in_app
async def test_a_slow_look_at_the_old_version_does_not_come_back_over_the_new_one(automation: StubAutomation) -> None:
    began, go_on = threading.Event(), threading.Event()
    detail = automation.detail

    def slow(job_id: int, version: int | None = None) -> JobDetail:
        if version == 1 and not go_on.is_set():
            began.set()
            go_on.wait(10)
        return detail(job_id, version)

    async with running(automation) as seen:
        screen = await opened(seen)
        automation.detail = slow  # type: ignore[method-assign]
        automation.add_version(Status.SUCCEEDED)
        await seen.until(began.is_set)
        await seen.press("L")
        await seen.sees("version 2 of 2")
        looked = automation.looks
        go_on.set()
        await seen.until(lambda: automation.looks > looked + 1)
        await seen.sees("version 2 of 2")
        assert screen.version == 2


@in_app
async def test_an_older_version_says_why_it_cannot_be_rerun_and_l_opens_the_latest(automation: StubAutomation) -> None:
    automation.add_version(Status.SUCCEEDED)
    async with running(automation) as seen:
        await opened(seen, version=1)
        await seen.sees("version 1 of 2, not the latest", "(r rerun)")
        await seen.press("r")
        await seen.sees("version 1 of 2 is not the latest; L opens it")
        assert automation.asked == []
        await seen.press("L")
        await seen.sees("succeeded · version 2 of 2", "(L latest)")
        await seen.press("[")
        await seen.sees("failed · version 1 of 2")
        await seen.press("]", "]")
        await seen.sees("version 2 is the last")


@in_app
async def test_a_refusal_of_the_core_is_told(automation: StubAutomation) -> None:
    automation.blocked = Refusal(812, "trigger_expired", "the trigger data was removed on 2026-05-01 by retention 30d")
    async with running(automation) as seen:
        await opened(seen)
        await seen.sees("(r rerun)")
        await seen.press("r")
        await seen.sees("the trigger data was removed on 2026-05-01 by retention 30d")
        assert automation.asked == []


@in_app
async def test_a_version_of_another_operator_does_not_replace_what_one_reads(automation: StubAutomation) -> None:
    async with running(automation) as seen:
        await opened(seen)
        automation.add_version(Status.RUNNING)
        await seen.sees("version 1 of 2, not the latest", "(r rerun)")
        await seen.press("L")
        await seen.sees("running · version 2 of 2")


@pytest.mark.parametrize(("key", "happened"), [("h", True), ("g", False)])
@in_app
async def test_a_step_in_doubt_is_settled(automation: StubAutomation, key: str, happened: bool) -> None:
    doubt = step("2.else.1", "create", StepStatus.IN_DOUBT, "http.request", error=Error("read timed out", "timeout"))
    automation.steps = (*FAILED_STEPS[:3], doubt, FAILED_STEPS[4])
    automation.set_latest(status=Status.IN_DOUBT, error=None)
    async with running(automation) as seen:
        await opened(seen)
        await seen.press("i")
        await seen.sees("In doubt: 2.else.1 create http.request: read timed out", "jobdeck resolve 812 --step 2.else.1")
        await seen.press(key)
        await seen.until(lambda: automation.asked == [("resolve", "2.else.1", happened)])
        await seen.sees("queued · version 1 of 1")


@pytest.mark.parametrize("lines", [24, 12])
@in_app
async def test_search_opens_what_is_folded_and_escape_ends_it_before_it_goes_back(
    automation: StubAutomation, lines: int
) -> None:
    items = [{"n": number, "name": f"item {number}"} for number in range(5000)]
    automation.trigger = {"items": items, "deep": {"a": 1}}
    async with running(automation, size=(80, lines)) as seen:
        screen = await opened(seen)
        await seen.press("g")
        await seen.until(lambda: screen.query_one(JsonView).json.sections[0].name == "trigger")
        await seen.press("/", *"item 4999", "enter")
        await seen.sees('name: "item 4999"', "'item 4999': 1 of 1 place")
        assert screen.query_one(JsonView).count() < 1000
        await seen.press("escape")
        assert seen.app.screen is screen
        assert not screen.query_one(JsonView).searching
        await seen.press("escape")
        await seen.until(lambda: seen.app.screen is not screen)


@in_app
async def test_json_folds_and_shows_long_lists_part_by_part(automation: StubAutomation) -> None:
    automation.trigger = {"rows": list(range(1000)), "after": True}
    async with running(automation) as seen:
        await opened(seen)
        await seen.press("g", "tab", "-")
        await seen.sees("+ trigger {2} rows: …, after: true")
        await seen.press("l", "j", "l")
        await seen.sees("- rows [1,000]")
        view = seen.app.screen.query_one(JsonView)
        assert view.count() == 1 + 1 + 200 + 1 + 1
        await seen.press("G", "k")
        await seen.sees("… 800 more")
        await seen.press("enter")
        await seen.until(lambda: view.count() == 1 + 1 + 400 + 1 + 1)
        await seen.press("h")
        assert view.json.rows[view.cursor].label == "rows"


@in_app
async def test_a_tiny_screen_shows_one_pane_at_a_time(automation: StubAutomation) -> None:
    async with running(automation, size=(40, 10)) as seen:
        seen.app.open_job(812)
        await seen.sees("812 [red]Acme", "failed · version 1", "2.else.1 create", "no engine: a")
        assert "message:" not in seen.text()
        await seen.press("tab")
        await seen.sees("message:")
        await seen.press("tab")
        await seen.sees_not("message:")


@in_app
async def test_the_recipe_is_edited_and_the_first_problem_or_the_new_revision_told(
    automation: StubAutomation, monkeypatch: pytest.MonkeyPatch
) -> None:
    edits: list[Callable[[], None]] = [automation.broken]
    lines: list[int | None] = []

    def edit(app: object, path: Path, line: int | None) -> str | None:
        lines.append(line)
        edits.pop()()
        return None

    monkeypatch.setattr(outside, "edit", edit)
    async with running(automation) as seen:
        await opened(seen)
        await seen.press("e")
        await seen.sees('sync is broken at line 12, column 5; e opens it there: unknown key "actoin"')
        await seen.sees( "sync.yaml is broken at 12:5 — r3 keeps running")

        def mend() -> None:
            automation.recipe_states[0] = dataclasses.replace(automation.recipe_states[0], revision=4, problems=())
            automation.moved += 1

        edits.append(mend)
        await seen.press("e")
        await seen.sees("sync: r4 stored; r reruns with it")
        await seen.sees_not("is broken")
        assert lines == [None, 12]


@in_app
async def test_what_is_copied_and_how_is_told(automation: StubAutomation, monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[str] = []
    monkeypatch.setattr(clipboard, "copy", lambda pieces, *_: copied.append("".join(pieces)) or "by tmux")
    async with running(automation) as seen:
        await opened(seen)
        await seen.press("y")
        await seen.sees("copied 812 by tmux")
        await seen.press("Y")
        await seen.sees("Copy what?", "i id", "j JSON", "p path", "c command")
        await seen.press("c")
        await seen.sees("copied jobdeck show 812 --version 1 by tmux")
        assert copied == ["812", "jobdeck show 812 --version 1"]


@in_app
async def test_in_the_data_the_value_under_the_cursor_is_copied_and_its_path(
    automation: StubAutomation, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[str] = []
    monkeypatch.setattr(clipboard, "copy", lambda pieces, *_: copied.append("".join(pieces)) or "by tmux")
    automation.trigger = {"rows": [{"na me": "Ada\nLovelace"}, {"n": 2}]}
    async with running(automation) as seen:
        await opened(seen)
        await seen.press("g", "tab", "j", "j", "j")
        await seen.press("y")
        await seen.sees('copied trigger.rows[0]["na me"] by tmux')
        await seen.press("Y", "p")
        await seen.until(lambda: len(copied) == 2, "the path")
        await seen.press("k", "k", "Y")
        await seen.sees("j JSON")
        await seen.press("j")
        await seen.sees("copied JSON by tmux")
        assert copied[:2] == ["Ada\nLovelace", 'trigger.rows[0]["na me"]']
        assert json.loads(copied[2]) == [{"na me": "Ada\nLovelace"}, {"n": 2}]


@in_app
async def test_the_pager_gets_what_is_under_the_cursor_safe_on_a_terminal(
    automation: StubAutomation, monkeypatch: pytest.MonkeyPatch
) -> None:
    paged: list[str] = []
    monkeypatch.setattr(outside, "page", lambda app, text: paged.append(text.decode()))
    automation.trigger = {"letter": "Dear\x1b[2J Ada,\n\u202eyours"}
    async with running(automation) as seen:
        await opened(seen)
        await seen.press("p")
        await seen.until(lambda: paged, "the step")
        assert json.loads(paged[0])["error"]["kind"] == "http"
        await seen.press("g", "tab", "j", "f3")
        await seen.until(lambda: len(paged) == 2, "the text")
        assert paged[1] == "Dear^[[2J Ada,\n<RLO>yours\n"
        await seen.press("tab", "G", "p")
        await seen.sees("nothing is recorded of it")


@in_app
async def test_where_the_terminal_cannot_be_left_the_pager_says_what_does_the_same(automation: StubAutomation) -> None:
    async with running(automation) as seen:
        await opened(seen)
        await seen.press("p")
        await seen.sees("this terminal cannot be left for a pager; `jobdeck show` prints the same")


@in_app
async def test_a_rehearsal_asks_then_shows_its_verdict_and_how_it_compares(automation: StubAutomation) -> None:
    async with running(automation) as seen:
        await opened(seen)
        await seen.press("t")
        await seen.sees("Rehearse 812.1?", "What reads acts", "What writes is not sent", ">Esc Cancel<")
        await seen.press("t", "enter")
        await seen.sees_not("Rehearse 812.1?")
        assert automation.asked == []
        await seen.press("t")
        await seen.sees("Rehearse 812.1?")
        await seen.press("c")
        await seen.sees("nothing has changed: r1 comes out as 812.1 did", "812 > 812.1 and rehearsal of 812.1")
        assert automation.asked == [("rehearse", 812)]
        await seen.press("escape")
        await seen.sees("failed · version 1 of 1")


@in_app
async def test_what_cannot_be_rehearsed_says_why(automation: StubAutomation) -> None:
    automation.add_version(Status.SUCCEEDED)
    automation.blocked = Refusal(812, "trigger_expired", "the trigger data was removed on 2026-05-01 by retention 30d")
    async with running(automation) as seen:
        await opened(seen)
        await seen.press("t")
        await seen.sees("the trigger data was removed on 2026-05-01")
        await seen.press("[", "t")
        await seen.sees("version 1 of 2 is not the latest; L opens it")
        assert automation.asked == []


@in_app
async def test_a_bar_shows_where_in_the_versions_time_a_step_lies(automation: StubAutomation) -> None:
    began = BEGAN + dt.timedelta(minutes=1)
    automation.steps = (
        step("1", "find", StepStatus.SUCCEEDED, "http.request", started_at=began, duration_ms=500),
        step("2", "wait", StepStatus.SUCCEEDED, "http.request", duration_ms=1500, started_at=began + HALF_A_SECOND),
        step("3", "tell", StepStatus.NOT_REACHED, "log.write"),
        step("4", "l" * 60, StepStatus.SUCCEEDED, "log.write", started_at=began, duration_ms=1),
    )  # fmt: skip
    async with running(automation) as seen:
        await opened(seen)
        await seen.sees("▬▬▬·········\n", "···▬▬▬▬▬▬▬▬▬\n")
        [long] = [line for line in seen.text().splitlines() if "lll" in line]
        assert "succeeded 1 ms" in long
        assert "▬" not in long
        # What still runs would move with every look.
        automation.add_version(Status.RUNNING, finished_at=None)
        await seen.press("L")
        await seen.sees("running · version 2")
        assert "▬" not in seen.text()
    async with running(automation, size=(100, 24)) as narrow:
        narrow.app.open_job(812, 1)
        await narrow.sees("tell log.write")
        assert "▬" not in narrow.text()


@in_app
async def test_steps_that_are_no_actions_say_what_they_are_and_came_to(automation: StubAutomation) -> None:
    done = StepStatus.SUCCEEDED
    automation.steps = (
        step("1", "s1", done, kind="set", output={"a": 1}),
        step("2", "s2", StepStatus.RUNNING, kind="repeat", output={"count": 12}),
        *(step(f"2[{turn}].do.1", "s2_do_1", done, "log.write") for turn in range(2)),
        step("3", "guarded", StepStatus.HANDLED, kind="monitor", output={"tries": [{}, {}]},
             error=Error("no\x1b answer", "http", "3.monitor.1")),
        step("4", "s4", done, kind="stop", output={"status": "succeeded", "reason": "[b]enough[/b]"}),
        step("5", "tell", StepStatus.NOT_REACHED, "log.write"),
    )  # fmt: skip
    async with running(automation) as seen:
        await opened(seen)
        await seen.sees("1 set ", "2 repeat 2 of 12", "3 guarded monitor 3 tries, handled no^[ answer",
                        "4 stop succeeded: [b]enough[/b]")
        assert "s2_do_1" not in seen.text()


@in_app
async def test_enter_goes_from_a_call_to_its_job_and_from_a_called_job_to_its_caller(
    automation: StubAutomation,
) -> None:
    automation.steps = (
        *FAILED_STEPS,
        step("4", "all", StepStatus.SUCCEEDED, kind="repeat", output={"count": 1}),
        step("4[0].do.1", "s4_do_1", StepStatus.SUCCEEDED, "call sync", kind="call",
             output={"job": 812, "status": "succeeded", "steps": {}}),
    )  # fmt: skip
    automation.add_version(Status.FAILED)
    automation.parents[2] = Link(812, 1, "4[0].do.1")
    async with running(automation) as seen:
        await opened(seen)
        await seen.sees("called by 812.1 at 4[0].do.1")
        await seen.press("g")
        await seen.sees("  called by 812.1 at 4[0].do.1\n")
        await seen.press("enter")
        await seen.sees("version 1 of 2", "Enter opens job 812", "4[0].do.1 call sync job 812 succeeded")
        assert "called by" not in seen.text()
        await seen.press("enter")
        await seen.sees("version 2 of 2", "called by 812.1")
        await seen.press("escape", "escape")
        await seen.sees("version 2 of 2", "called by 812.1")


@in_app
async def test_enter_goes_to_the_other_jobs_of_the_same_object(automation: StubAutomation) -> None:
    async with running(automation) as seen:
        await opened(seen)
        assert "same object" not in seen.text()
        # A newer job comes while the detail is open.
        automation.kin, automation.moved = (812, 809, None), automation.moved + 1
        await seen.sees("newer job of the same object: 812")
        await seen.press("g")
        await seen.sees(">   newer job of the same object: 812", "older job of the same object: 809")
        await seen.press("enter")
        await seen.until(lambda: len(seen.app.screen_stack) == 3, "a further detail")
        await seen.press("escape")
        await seen.until(lambda: len(seen.app.screen_stack) == 2, "the first detail")
        await seen.press("g", "j", "enter")
        await seen.sees("there is no job 809")


@in_app
async def test_a_change_that_made_no_job_is_told_with_what_to_do(automation: StubAutomation) -> None:
    automation.kin = (None, None, BEGAN)
    async with running(automation) as seen:
        seen.app.open_job(812)
        await seen.sees("the object changed 2026-05-04", "its trigger only takes new ones",
                        "create it anew, or use a new_or_updated trigger")


def test_steps_stand_in_their_branches_loops_and_monitors() -> None:
    paths = ["1", "2.choose.1.then.1", "2", "2.else.1", "4", "4[0].do.1", "4[0].do.2", "4[1].do.1", "5.on_error.1"]
    roots = tree([step(path, path, StepStatus.SUCCEEDED) for path in paths])
    laid = []

    def walk(nodes: Any) -> None:
        for node in nodes:
            laid.append("  " * node.depth + node.label)
            walk(node.inner)

    walk(roots)
    assert laid == [
        "1", "2", "  choose.1.then", "    2.choose.1.then.1", "  else", "    2.else.1",
        "4", "  [0]", "    4[0].do.1", "    4[0].do.2", "  [1]", "    4[1].do.1", "5", "  on_error", "    5.on_error.1",
    ]  # fmt: skip
