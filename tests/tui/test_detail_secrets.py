"""Secrets in the job's detail: masked wherever data is shown, copied or paged; revealed on a key that is audited."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from piloted import Seen, in_app, running
from stub_automation import FAILED_STEPS, StubAutomation, step

from core.automation import Automation
from data.states import Status, StepStatus
from tui import clipboard, columns, output, outside
from tui.arrangement import columns_with
from tui.screens.detail import DetailScreen

SECRETS = {
    "user": "ada", "Password": "hunter2", "pin": {"api_key": 4711}, "headers": {"X-Auth-Token": "abc-123"},
    "tokens": ["t-one", "t-two"], "tokenizer": "wordpiece",
}  # fmt: skip
HIDDEN = ("hunter2", "4711", "abc-123", "t-one", "t-two")


@pytest.fixture
def automation() -> StubAutomation:
    stub = StubAutomation()
    called = step("2.else.1", "create", StepStatus.FAILED, "http.request", input={"headers": {"Cookie": "sid=99"}},
                  error=FAILED_STEPS[3].error)
    stub.steps = (*FAILED_STEPS[:3], called, FAILED_STEPS[4])
    stub.trigger = SECRETS
    return stub


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    texts: list[str] = []
    monkeypatch.setattr(clipboard, "copy", lambda pieces, *_: texts.append("".join(pieces)) or "by tmux")
    return texts


async def opened(seen: Seen, *keys: str) -> None:
    seen.app.open_job(812)
    await seen.sees("trigger event", "tell log.write")
    await seen.press(*keys)


@in_app
async def test_values_under_keys_that_name_a_secret_are_masked(automation: StubAutomation) -> None:
    async with running(automation, size=(80, 40)) as seen:
        await opened(seen, "g")
        await seen.sees('Password: "••••"', 'api_key: "••••"', 'X-Auth-Token: "••••"', '0: "••••"', 'user: "ada"')
        await seen.sees('tokenizer: "wordpiece"', "secrets masked, V shows them")
        await seen.press("tab", "-")
        await seen.sees("+ trigger {6}")
        assert not any(secret in seen.text() for secret in HIDDEN)


@in_app
async def test_a_search_does_not_find_what_is_masked(automation: StubAutomation) -> None:
    async with running(automation) as seen:
        await opened(seen, "g", "tab", "/", *"hunter", "enter")
        await seen.sees("'hunter' is nowhere in the data")


@in_app
async def test_copies_and_the_pager_get_what_is_shown(
    automation: StubAutomation, copied: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    paged: list[str] = []
    monkeypatch.setattr(outside, "page", lambda app, text: paged.append(text.decode()))
    async with running(automation) as seen:
        await opened(seen, "g", "Y", "j")
        await seen.until(lambda: copied, "a copy")
        await seen.press("p")
        await seen.until(lambda: paged, "the pager")
        await seen.press("tab", "y")
        await seen.until(lambda: len(copied) == 2, "a further copy")
        for text in (*copied, *paged):
            assert '"Password": "••••"' in text
            assert not any(secret in text for secret in HIDDEN)


@in_app
async def test_v_reveals_after_a_panel_with_an_audit_line_until_one_leaves_the_step(
    automation: StubAutomation, copied: list[str]
) -> None:
    async with running(automation) as seen:
        await opened(seen, "g", "V")
        await seen.sees("Show the secrets in the trigger event of 812.1?", "goes into the audit", ">Esc Cancel<")
        await seen.press("enter")
        await seen.sees_not("Show the secrets")
        assert automation.asked == []
        await seen.press("V", "c")
        await seen.sees('Password: "hunter2"', "secrets shown until you leave it")
        assert automation.asked == [("reveal", 812, 1, None)]
        await seen.press("V")
        await seen.sees("they are shown until you leave the step")
        await seen.press("tab", "j", "j", "y")
        await seen.sees("copied trigger.Password by tmux")
        assert copied == ["hunter2"]
        assert not any("hunter2" in said.text for said in seen.app.messages)
        await seen.press("tab", "G", "g")
        await seen.sees('Password: "••••"')
        assert "hunter2" not in seen.text()


@in_app
async def test_a_step_is_revealed_alone_and_masked_again_after_another_screen(automation: StubAutomation) -> None:
    async with running(automation) as seen:
        await opened(seen, "V", "c")
        await seen.sees('"sid=99"')
        assert automation.asked == [("reveal", 812, 1, "2.else.1")]
        await seen.press("H")
        await seen.sees("1 version")
        await seen.press("escape")
        await seen.sees("secrets masked")
        assert "sid=99" not in seen.text()


@in_app
async def test_another_version_is_masked_even_at_the_same_step(automation: StubAutomation) -> None:
    automation.add_version(Status.FAILED)
    async with running(automation) as seen:
        await opened(seen, "V", "c")
        await seen.sees('"sid=99"')
        await seen.press("[")
        await seen.sees("version 1 of 2", "secrets masked")
        await seen.press("]")
        await seen.sees("version 2 of 2")
        assert "sid=99" not in seen.text()


@in_app
async def test_where_nothing_is_masked_v_says_so(automation: StubAutomation) -> None:
    async with running(automation) as seen:
        await opened(seen, "j", "V")
        await seen.sees("nothing is masked here")
        assert automation.asked == []


@in_app
async def test_a_comparison_tells_that_a_secret_differs_and_not_what_it_is(automation: StubAutomation) -> None:
    other = automation.steps[3]._replace(input={"headers": {"Cookie": "sid=100"}})
    automation.steps_of = {2: (*automation.steps[:3], other, automation.steps[4])}
    automation.add_version(Status.FAILED)
    async with running(automation) as seen:
        seen.app.open_diff(812, ((812, 1), (812, 2)))
        await seen.sees('$.headers.Cookie: "••••" -> "••••"')
        assert "sid=" not in seen.text()


def test_the_report_masks_columns_that_name_a_secret(automation: StubAutomation) -> None:
    job = automation.job(812)._replace(report={"order": "A-7", "reset_token": "abc-123"})
    column = next(column for column in columns.COLUMNS if column.id == "report")
    assert column.text(job, 80) == "A-7 · ••••"
    own = {column.title: column.text(job, 80) for column in columns_with(("order", "reset_token"))}
    assert (own["order"], own["reset_token"]) == ("A-7", "••••")


def test_a_listing_masks_them_too(automation: StubAutomation) -> None:
    job = automation.job(812)._replace(report={"order": "A-7", "reset_token": "abc-123"})
    assert output.job_json(job)["report"] == {"order": "A-7", "reset_token": "••••"}


@in_app
async def test_headers_in_a_list_are_masked_by_the_name_beside_them(automation: StubAutomation) -> None:
    automation.trigger = {"headers": [{"name": "Authorization", "value": "Bearer abc"}, {"name": "A", "value": "b"}]}
    async with running(automation) as seen:
        await opened(seen, "g")
        await seen.sees('value: "••••"', 'value: "b"', "secrets masked")
        assert "Bearer abc" not in seen.text()


@in_app
async def test_revealing_is_in_the_audit_before_anything_is_shown(tmp_path: Path) -> None:
    (tmp_path / "jobdeck.toml").touch()
    (tmp_path / "recipes").mkdir()
    (tmp_path / ".jobdeck").mkdir()
    (tmp_path / "recipes" / "sync.yaml").write_text("trigger: {manual.event: {}}\nsteps: [{set: {a: 1}}]\n")
    with Automation(tmp_path) as real:
        [job] = [one.job_id for one in real.send("sync", [{"password": "hunter2"}], by="ada")]

        def acts() -> list[Any]:
            return [(act.action, act.subject) for act in real.audit.acts()]

        async with running(real) as seen:
            seen.app.open_job(job)
            await seen.sees('password: "••••"')
            await seen.press("V", "escape")
            await seen.sees_not("Show the secrets")
            assert acts() == []
            await seen.press("V", "c")
            await seen.sees('password: "hunter2"')
            assert acts() == [("reveal", f"job {job}.1 trigger event")]
            assert isinstance(seen.app.screen, DetailScreen)
