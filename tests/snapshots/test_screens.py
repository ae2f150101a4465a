"""Pictures of the job's own screens; changed on purpose with `pytest --snapshot-update`."""

from __future__ import annotations

import dataclasses
import datetime as dt
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from piloted import PilotedApp, Seen
from stub_automation import BEGAN, FAILED_STEPS, StubAutomation, step
from stub_batches import paused_and_done
from textual.pilot import Pilot

from core.automation import EngineState
from data.records import ErrorGroup, ErrorNote
from data.states import Status, StepStatus
from tui.screens.batch import BatchScreen
from tui.screens.recipe import RecipeScreen
from tui.screens.revision import RecipeDiffScreen, RevisionScreen

SIZES = pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])


@pytest.fixture(autouse=True)
def _same_everywhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def automation() -> StubAutomation:
    stub = StubAutomation()
    stub.state = EngineState(True, 4711, "here", None, "127.0.0.1:8321")
    return stub


def shown(open: Callable[[PilotedApp], None], *steps: str) -> Callable[[Pilot[None]], Awaitable[None]]:
    """Return what opens a screen, then waits for each text and presses each key (`key:r`) of the steps."""

    async def run(pilot: Pilot[None]) -> None:
        assert isinstance(pilot.app, PilotedApp)
        seen = Seen(pilot.app, pilot)
        await seen.sees("engine running")
        open(pilot.app)
        for one in steps:
            if one.startswith("key:"):
                await seen.press(one[4:])
            else:
                await seen.sees(one)

    return run


@SIZES
def test_detail_of_a_failed_job(snap_compare: Any, automation: StubAutomation, size: tuple[int, int]) -> None:
    opened = shown(lambda app: app.open_job(812), "tell log.write", 'method: "POST"', "r rerun")
    assert snap_compare(PilotedApp(automation), terminal_size=size, run_before=opened)


@SIZES
def test_detail_asks_before_it_reruns(snap_compare: Any, automation: StubAutomation, size: tuple[int, int]) -> None:
    opened = shown(lambda app: app.open_job(812), "tell log.write", "key:r", "would happen again", ">Esc Cancel<")
    assert snap_compare(PilotedApp(automation), terminal_size=size, run_before=opened)


@SIZES
def test_detail_of_an_older_version(snap_compare: Any, automation: StubAutomation, size: tuple[int, int]) -> None:
    automation.add_version(Status.SUCCEEDED, duration_ms=900)
    opened = shown(lambda app: app.open_job(812, 1), "not the latest", "(r rerun)", "key:r", "L opens it")
    assert snap_compare(PilotedApp(automation), terminal_size=size, run_before=opened)


@SIZES
def test_versions(snap_compare: Any, automation: StubAutomation, size: tuple[int, int]) -> None:
    automation.add_version(Status.CANCELED, note="wrong file")
    automation.add_version(Status.SUCCEEDED, duration_ms=61_000)
    opened = shown(lambda app: app.open_history(812), "3 versions", "422", "r rerun")
    assert snap_compare(PilotedApp(automation), terminal_size=size, run_before=opened)


@SIZES
def test_bulk_reruns(snap_compare: Any, automation: StubAutomation, size: tuple[int, int]) -> None:
    automation.batches.known = paused_and_done()
    opened = shown(lambda app: app.action_screen_activity(), "8  paused", "a pause/resume")
    assert snap_compare(PilotedApp(automation), terminal_size=size, run_before=opened)


@SIZES
def test_a_bulk_rerun(snap_compare: Any, automation: StubAutomation, size: tuple[int, int]) -> None:
    automation.batches.known = paused_and_done()
    opened = shown(lambda app: app.push_screen(BatchScreen(8)), "trigger_expired", "rerun failed")
    assert snap_compare(PilotedApp(automation), terminal_size=size, run_before=opened)


@SIZES
def test_detail_with_secrets_masked_and_the_time_of_each_step(
    snap_compare: Any, automation: StubAutomation, size: tuple[int, int]
) -> None:
    began = BEGAN + dt.timedelta(minutes=1)
    automation.trigger = {"user": "ada", "Password": "hunter2", "headers": {"X-Api-Key": "k-1", "Accept": "*/*"}}
    found, *others = FAILED_STEPS
    automation.steps = (dataclasses.replace(found, started_at=began), *others[:2],
                        dataclasses.replace(others[2], started_at=began + dt.timedelta(milliseconds=400)), others[3])
    opened = shown(lambda app: app.open_job(812), "tell log.write", "key:g", "V shows them")
    assert snap_compare(PilotedApp(automation), terminal_size=size, run_before=opened)


def test_detail_on_a_tiny_screen(snap_compare: Any, automation: StubAutomation) -> None:
    async def opened(pilot: Pilot[None]) -> None:
        seen = Seen(pilot.app, pilot)  # type: ignore[arg-type]
        await seen.sees("engine on")
        seen.app.open_job(812)
        await seen.sees("2.else.1 create", "(L latest)")

    assert snap_compare(PilotedApp(automation), terminal_size=(40, 10), run_before=opened)


@SIZES
def test_two_versions_compared(snap_compare: Any, automation: StubAutomation, size: tuple[int, int]) -> None:
    automation.add_version(Status.SUCCEEDED, duration_ms=900)
    automation.texts = {1: "steps:\n  - find\n  - create: Acme\n", 2: "steps:\n  - find\n  - create: Acme Ltd\n"}
    created = step("2.else.1", "create", StepStatus.SUCCEEDED, "http.request", effect="writes", attempts=1,
                   input={"method": "POST", "url": "https://desk.test/organizations", "json": {"name": "Acme Ltd"}},
                   output={"status": 201, "body": {"id": 4711}})
    told = step("3", "tell", StepStatus.SUCCEEDED, "log.write", input={"message": "done"})
    automation.steps_of = {2: (*FAILED_STEPS[:3], created, told)}
    opened = shown(
        lambda app: app.open_diff(812, ((812, 1), (812, 2))), "the first step that differs", "n next", "key:n", "key:n",
        "key:n", "key:n",
    )
    assert snap_compare(PilotedApp(automation), terminal_size=size, run_before=opened)


GROUPS = [
    ErrorGroup("5f3a91c2", ("sync",), 1204, 1377, BEGAN, BEGAN + dt.timedelta(hours=5), "422: name is taken", "http",
               "2.else.1", "http.request", "sync", 3, ErrorNote("ask the desk [b]first[/b]", "ada@10.0.0.3", BEGAN)),
    ErrorGroup("0b77aa01", ("leads", "sync"), 3, 3, BEGAN, BEGAN, "trigger.Website is undefined\x1b[2J", "expression",
               "1", None, "leads", 1, None),
    ErrorGroup("c0ffee00", ("tidy",), 0, 12, BEGAN, BEGAN, "disk full", "file", "1", "files.write", "tidy", None, None),
]


@SIZES
def test_errors(snap_compare: Any, automation: StubAutomation, size: tuple[int, int]) -> None:
    automation.error_groups = GROUPS
    opened = shown(lambda app: app.action_screen_errors(), "disk full", "note by ada", "r rerun")
    assert snap_compare(PilotedApp(automation), terminal_size=size, run_before=opened)


@SIZES
def test_no_errors(snap_compare: Any, automation: StubAutomation, size: tuple[int, int]) -> None:
    opened = shown(lambda app: app.action_screen_errors(), "No job has failed", "(r rerun)")
    assert snap_compare(PilotedApp(automation), terminal_size=size, run_before=opened)


@SIZES
def test_detail_of_a_job_whose_object_went_on(
    snap_compare: Any, automation: StubAutomation, size: tuple[int, int]
) -> None:
    automation.kin = (815, 809, BEGAN + dt.timedelta(hours=1))
    opened = shown(lambda app: app.open_job(812), "tell log.write", "new_or_updated", "key:g", ">   newer job")
    assert snap_compare(PilotedApp(automation), terminal_size=size, run_before=opened)


@SIZES
def test_recipes(snap_compare: Any, automation: StubAutomation, size: tuple[int, int]) -> None:
    polled = {"polled_at": BEGAN, "next_poll_at": BEGAN + dt.timedelta(seconds=30)}
    automation.recipe_states[0] = dataclasses.replace(automation.recipe_states[0], **polled)
    opened = shown(lambda app: app.action_screen_recipes(), "349, 3 failed", "most from", "a start/stop")
    assert snap_compare(PilotedApp(automation), terminal_size=size, run_before=opened)


@SIZES
def test_recipes_one_of_them_broken(snap_compare: Any, automation: StubAutomation, size: tuple[int, int]) -> None:
    automation.broken()
    opened = shown(lambda app: app.action_screen_recipes(), "349 jobs", "r3 keeps running", "sync.yaml is broken")
    assert snap_compare(PilotedApp(automation), terminal_size=size, run_before=opened)


@SIZES
def test_no_recipes(snap_compare: Any, automation: StubAutomation, size: tuple[int, int]) -> None:
    automation.recipe_states = []
    opened = shown(lambda app: app.action_screen_recipes(), "No recipe yet", "(a start/stop)")
    assert snap_compare(PilotedApp(automation), terminal_size=size, run_before=opened)


@SIZES
def test_a_recipe(snap_compare: Any, automation: StubAutomation, size: tuple[int, int]) -> None:
    opened = shown(
        lambda app: app.push_screen(RecipeScreen("sync")), "branch else", "349 jobs", "key:tab", "key:d", "r3 is marked"
    )
    assert snap_compare(PilotedApp(automation), terminal_size=size, run_before=opened)


@SIZES
def test_two_revisions_compared(snap_compare: Any, automation: StubAutomation, size: tuple[int, int]) -> None:
    opened = shown(lambda app: app.push_screen(RecipeDiffScreen("sync", 1, 3)), "[b]Acme[/b]", "n next", "key:n")
    assert snap_compare(PilotedApp(automation), terminal_size=size, run_before=opened)


@SIZES
def test_a_revision(snap_compare: Any, automation: StubAutomation, size: tuple[int, int]) -> None:
    opened = shown(lambda app: app.push_screen(RevisionScreen(automation.revised[-1])), "^[[2J", "(d diff)")
    assert snap_compare(PilotedApp(automation), terminal_size=size, run_before=opened)
