"""The comparison on the screen: how one comes to it, its two layouts, folding, and the way between differences."""

from __future__ import annotations

import pytest
from piloted import in_app, running
from stub_automation import FAILED_STEPS, StubAutomation, step

from data.states import Status, StepStatus
from tui.screens.diff import DiffScreen
from tui.widgets.diff_view import DiffView

MENDED = (
    FAILED_STEPS[0],
    FAILED_STEPS[1],
    FAILED_STEPS[2],
    step("2.else.1", "create", StepStatus.SUCCEEDED, "http.request", effect="writes", attempts=1,
         input={"method": "POST", "url": "https://desk.test/organizations", "json": {"name": "Acme \x1b[2J Ltd"}},
         output={"status": 201}),
    step("3", "tell", StepStatus.SUCCEEDED, "log.write", input={"message": "done"}),
)  # fmt: skip


@pytest.fixture
def automation() -> StubAutomation:
    stub = StubAutomation()
    stub.add_version(Status.SUCCEEDED)
    stub.add_version(Status.FAILED, error=stub.versions[0].error)
    stub.steps_of = {2: MENDED}
    stub.texts = {1: "a: 1\nb: 2\n", 2: "a: 1\nb: 3\n", 3: "a: 1\nb: 2\n"}
    return stub


def comparison(seen) -> DiffView:
    return seen.app.screen.query_one(DiffView)


@in_app
async def test_d_on_one_version_and_d_on_another_compares_the_older_with_the_newer(automation) -> None:
    async with running(automation) as seen:
        seen.app.open_history(812)
        await seen.sees("3 versions")
        await seen.press("j", "d")
        await seen.sees("version 2 is marked", "   2 d")
        await seen.press("j", "d")
        await seen.sees("812.1 and 812.2", "- 812.1 failed", "+ 812.2 succeeded", "failed -> succeeded")
        await seen.press("escape")
        await seen.sees("3 versions")
        await seen.sees_not("   2 d")


@in_app
async def test_d_twice_on_the_same_version_takes_the_mark_away(automation) -> None:
    async with running(automation) as seen:
        seen.app.open_history(812)
        await seen.sees("3 versions")
        await seen.press("d")
        await seen.sees("version 3 is marked")
        await seen.press("d")
        await seen.sees("version 3 is no longer marked")
        assert not isinstance(seen.app.screen, DiffScreen)


@in_app
async def test_d_on_a_job_compares_its_latest_version_with_the_last_good_one(automation) -> None:
    async with running(automation) as seen:
        seen.app.open_job(812)
        await seen.sees("version 3 of 3")
        await seen.press("d")
        await seen.sees("- 812.2 succeeded", "+ 812.3 failed", "the first step that differs: 2.else.1 create")
        await seen.sees('~ input $.json.name: "Acme')


@in_app
async def test_without_a_good_version_the_reason_is_told(automation) -> None:
    automation.versions = automation.versions[:1]
    async with running(automation) as seen:
        seen.app.open_job(812)
        await seen.sees("version 1 of 1")
        await seen.press("d")
        await seen.sees("nothing to compare it with")


@in_app
async def test_n_and_N_go_from_difference_to_difference_and_say_where_there_is_none_further(automation) -> None:
    async with running(automation) as seen:
        seen.app.open_diff(812, ((812, 1), (812, 2)))
        await seen.sees("failed -> succeeded")
        places = []
        while not places or comparison(seen).cursor != places[-1]:
            places.append(comparison(seen).cursor)
            await seen.press("n")
        rows = comparison(seen)._rows
        assert [at for at in range(len(rows)) if rows[at].difference] == places[1:]
        await seen.sees("no further difference")
        await seen.press("N")
        assert comparison(seen).cursor == places[-2]
        await seen.press("g", "N")
        await seen.sees("no difference before")


@in_app
async def test_a_step_folds_and_a_value_opens_whole(automation) -> None:
    async with running(automation) as seen:
        seen.app.open_diff(812, ((812, 1), (812, 2)))
        await seen.sees("~ input $.json.name")
        view = comparison(seen)
        view.move_to(next(at for at, row in enumerate(view._rows) if "$.json.name" in row.label))
        await seen.press("enter")
        await seen.sees('- "[red]Acme[/red]"', '+ "Acme \\u001b[2J Ltd"')
        await seen.press("h", "h", "h")
        await seen.sees("failed -> succeeded …")
        await seen.sees_not("$.json.name")
        await seen.press("l")
        await seen.sees("$.json.name")
        await seen.press("-")
        await seen.sees_not("$.json.name")
        await seen.press("+")
        await seen.sees("2.then.1 update http.request: not reached", "$.json.name")


@in_app
async def test_a_wide_screen_shows_the_two_side_by_side(automation) -> None:
    async with running(automation, size=(120, 40)) as seen:
        seen.app.open_diff(812, ((812, 1), (812, 2)))
        await seen.sees("failed -> succeeded")
        head = next(line for line in seen.text().splitlines() if "812.1 failed" in line)
        assert head.index("812.2 succeeded") >= 60
        line = next(line for line in seen.text().splitlines() if "$.json.name" in line)
        assert [part.count("Acme") for part in line.split(" | ")] == [1, 1]
        await seen.pilot.resize_terminal(80, 24)
        await seen.sees("- 812.1 failed", "+ 812.2 succeeded")


@in_app
async def test_a_version_that_goes_on_is_compared_anew_and_what_is_folded_stays_so(automation) -> None:
    automation.add_version(Status.RUNNING, finished_at=None)
    automation.steps_of[4] = MENDED[:3]
    async with running(automation) as seen:
        seen.app.open_diff(812, ((812, 2), (812, 4)))
        await seen.sees("+ 812.4 running", "2.else.1 create http.request: succeeded, only in the old run")
        await seen.press("-")
        automation.steps_of[4] = FAILED_STEPS
        automation.set_latest(status=Status.FAILED)
        await seen.sees("+ 812.4 failed", "2.else.1 create http.request: succeeded -> failed …")


@in_app
async def test_the_command_that_shows_the_same_can_be_copied(automation) -> None:
    async with running(automation) as seen:
        seen.app.open_diff(812, ((812, 1), (812, 2)))
        await seen.sees("failed -> succeeded")
        await seen.press("Y")
        await seen.sees("Copy what?")
        await seen.press("c")
        await seen.sees("copied jobdeck diff 812.1 812.2")
