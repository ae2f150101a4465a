"""Draws docs/report.svg, the picture of the README, from the demo: `python docs/report.py`."""

from __future__ import annotations

import asyncio
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from core.automation import Automation, actor
from core.reruns import Selection
from core.sandbox.accounts import FIRST_ACCOUNTS
from core.sandbox.demo import CORRECTION, MISTAKE, staged
from core.sandbox.leads import FIRST_LEADS
from core.sandbox.stage import RECIPE
from data.records import JobFilter, Sort
from data.states import Status
from tui.app import JobdeckApp

PICTURE = Path(__file__).with_name("report.svg")
SIZE = (110, 26)
RERUN = 3
"""How many of the failed jobs have been rerun when the picture is taken; the others show why they failed."""


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for the condition; raises TimeoutError after half a minute."""
    deadline = time.monotonic() + 30
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the demo did not come so far")
        time.sleep(0.1)


def prepare(automation: Automation) -> None:
    """Bring the demo to where there is something of everything to see."""

    def ended() -> int:
        counts = automation.status().jobs
        return counts.get(Status.SUCCEEDED, 0) + counts.get(Status.FAILED, 0)

    first = FIRST_ACCOUNTS + FIRST_LEADS
    wait_until(lambda: ended() >= first)
    recipe = automation.recipe_path(RECIPE)
    recipe.write_text(recipe.read_text().replace(MISTAKE, CORRECTION))
    failed = automation.jobs(
        JobFilter(recipe=RECIPE, statuses=frozenset({Status.FAILED})), Sort("id", descending=True), RERUN
    )
    automation.rerun(Selection(ids=tuple(job.id for job in failed)), by=actor())
    wait_until(lambda: ended() >= first + 8)


async def drawn(automation: Automation) -> str:
    """Return the report as SVG, with one job marked."""
    app = JobdeckApp(automation)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause(1)
        await pilot.press("j", "j", "j", "space", "j")
        await pilot.pause(1)
        return app.export_screenshot(title="jobdeck demo")


def offline(svg: str) -> str:
    """Return the picture without the fonts that it would fetch; a terminal's font is on every machine."""
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)


def main() -> None:
    """Draw it."""
    with (
        tempfile.TemporaryDirectory() as folder,
        staged(Path(folder) / "demo") as workspace,
        Automation(workspace) as automation,
    ):
        prepare(automation)
        PICTURE.write_text(offline(asyncio.run(drawn(automation))), encoding="utf-8")


if __name__ == "__main__":
    main()
