"""Events of 5 MB in the job's detail: few lines are made of them, and search, pager and copy have them whole."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from piloted import Seen, in_app, running
from stub_automation import StubAutomation

from core.letting_go import let_go_of
from data.records import JobDetail
from tui import clipboard, outside
from tui.json_lines import ALL, MOST
from tui.uncollected import uncollected
from tui.widgets.json_view import JsonView

SIZE = 5_000_000
LINE = "A line of a long text.\n"
END = "the needle"


def deep() -> Any:
    value: Any = END
    for _ in range(190):
        value = {"text": "x" * (SIZE // 190), "in": [value]}
    return value


EVENTS: dict[str, Callable[[], Any]] = {
    "a text": lambda: LINE * (SIZE // len(LINE)) + END,
    "keys": lambda: {**{f"key {number}": "x" * 80 for number in range(50_000)}, "last": END},
    "a list": lambda: [*range(100_000), END],
    "deep": deep,
}


@pytest.fixture(params=EVENTS)
def automation(request: pytest.FixtureRequest) -> StubAutomation:
    stub = StubAutomation()
    stub.trigger = {"password": "hunter2", "data": EVENTS[request.param]()}
    return stub


async def opened(seen: Seen) -> JsonView:
    seen.app.open_job(812)
    await seen.sees("trigger event", "tell log.write")
    await seen.press("g", "tab")
    await seen.sees('password: "••••"')
    return seen.app.screen.query_one(JsonView)


@in_app
async def test_however_it_is_opened_few_lines_are_made(automation: StubAutomation) -> None:
    async with running(automation) as seen:
        view = await opened(seen)
        assert view.count() < 500
        await seen.press("+")
        assert view.count() <= ALL + 500
        await seen.press("-", "l", "G", "l")
        for _ in range(30):
            await seen.press("G", "l")
        assert view.count() < MOST + 500


@in_app
async def test_a_search_finds_what_is_at_the_very_end_and_tells_how_many(automation: StubAutomation) -> None:
    async with running(automation) as seen:
        view = await opened(seen)
        await seen.press("/", *"needle", "enter")
        await seen.sees("'needle': 1 of 1 place")
        assert view.json.rows[view.cursor].value in (automation.trigger["data"], END)


@in_app
async def test_the_pager_and_the_clipboard_have_it_whole(
    automation: StubAutomation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    paged: list[bytes] = []
    monkeypatch.setattr(outside, "page", lambda app, text: paged.append(text))
    monkeypatch.setattr(clipboard, "way", lambda: "")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    async with running(automation) as seen:
        await opened(seen)
        await seen.press("p")
        await seen.until(lambda: paged, "the pager")
        await seen.press("y")
        await seen.sees("copied trigger")
    file = (tmp_path / "jobdeck" / "clip.txt").read_bytes()
    for whole in (paged[0], file):
        assert END.encode() in whole
        assert whole.count(b"x") == str(automation.trigger).count("x")
        assert b"hunter2" not in whole


@in_app
async def test_its_secrets_are_shown_once_that_is_in_the_audit(automation: StubAutomation) -> None:
    async with running(automation) as seen:
        await opened(seen)
        await seen.press("V", "c")
        await seen.sees('password: "hunter2"')
        assert automation.asked == [("reveal", 812, 1, None)]


class Mapping(dict[str, Any]):
    """One that can be referred to weakly."""


def test_what_is_let_go_is_freed_and_what_others_hold_stays_whole(automation: StubAutomation) -> None:
    shared = {"n": [1, 2]}
    trigger = Mapping(inner=[Mapping(n=1), shared])
    gone = [weakref.ref(trigger), weakref.ref(trigger["inner"][0])]
    details: list[JobDetail] = [automation.detail(812)]
    object.__setattr__(details[0], "trigger", trigger)
    del trigger
    let_go_of(details)
    assert details == []
    assert [one() for one in gone] == [None, None]
    assert shared == {"n": [1, 2]}


def test_garbage_is_collected_again_when_the_last_of_those_that_read_has_ended() -> None:
    first, second = uncollected(), uncollected()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not gc.isenabled()
    second.__exit__(None, None, None)
    assert gc.isenabled()
