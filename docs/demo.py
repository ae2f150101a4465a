"""Records docs/demo.svg, the pictures of the README, from the demo as it runs: `python docs/demo.py`."""

from __future__ import annotations

import asyncio
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path

from textual.pilot import Pilot

from core.automation import Automation
from core.sandbox.accounts import FIRST_ACCOUNTS
from core.sandbox.demo import CORRECTION, MISTAKE, staged
from core.sandbox.leads import FIRST_LEADS
from core.sandbox.stage import RECIPE
from data.job_records import Job
from data.states import ENDED
from tui.app import JobdeckApp
from tui.widgets.job_table import JobTable

PICTURE = Path(__file__).with_name("demo.svg")
SIZE = (112, 26)
SHOWN_S = 5
"""Seconds that each picture is shown."""
_LONGEST_S = 60.0

_STYLE = """
.t-matrix { font-family: Fira Code, Menlo, DejaVu Sans Mono, Consolas, monospace; font-size: 20px; }
.t-title { font-family: arial, sans-serif; font-size: 18px; font-weight: bold; }
.later { visibility: hidden; }
@keyframes shown { 0% { visibility: visible; } SHARE% { visibility: hidden; } 100% { visibility: hidden; } }
@media (prefers-reduced-motion: no-preference) { .shown { animation: shown WHOLEs step-end infinite; } }
"""


@dataclass
class Recording:
    """The pictures so far, and the application that they are taken of."""

    app: JobdeckApp
    pilot: Pilot[None]
    pictures: list[str] = field(default_factory=list)

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for the condition; raises TimeoutError, with what is on the screen, after a minute."""
        deadline = time.monotonic() + _LONGEST_S
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} did not come:\n{self._text()}")
            await self.pilot.pause(0.05)

    async def until_shown(self, text: str) -> None:
        """Wait until a text is on the screen."""
        await self.until(lambda: text in self._text(), text)

    async def take(self, caption: str) -> None:
        """Take a picture once nothing more happens to the screen by itself."""
        await self.pilot.pause(0.5)
        self.pictures.append(self.app.export_screenshot(title=caption))

    def _text(self) -> str:
        texts = re.findall(r"<text[^>]*>(.*?)</text>", self.app.export_screenshot())
        return unescape("\n".join(texts)).replace("\N{NO-BREAK SPACE}", " ")


async def recorded(automation: Automation) -> list[str]:
    """Return the pictures of the story: jobs fail, one is looked at, the recipe mended, all rerun and compared."""
    app = JobdeckApp(automation)
    async with app.run_test(size=SIZE) as pilot:
        recording = Recording(app, pilot)
        job = await _failure(recording, automation)
        await _rerun(recording, automation)
        await _compared(recording, job)
        return recording.pictures


async def _failure(recording: Recording, automation: Automation) -> Job:
    """Look at a job that failed by the recipe's mistake, and return it."""
    press = recording.pilot.press

    def ended() -> int:
        counts = automation.status().jobs
        return sum(counts.get(status, 0) for status in ENDED)

    await recording.until(lambda: ended() >= FIRST_ACCOUNTS + FIRST_LEADS, "the first jobs")
    job = await _go_up_to(recording, _is_mistaken)
    await recording.take("Every event is a job; the row of a failed one says why")
    await press("enter")
    await recording.until_shown("version 1 of 1")
    await recording.take("Enter: its steps, and the error of the one that failed")
    await press("escape")
    return job


async def _rerun(recording: Recording, automation: Automation) -> None:
    """Mend the recipe, and rerun all that failed."""
    press = recording.pilot.press
    recipe = automation.recipe_path(RECIPE)
    recipe.write_text(recipe.read_text(encoding="utf-8").replace(MISTAKE, CORRECTION), encoding="utf-8")
    await press("!", "*")
    await recording.until_shown("marked")
    await press("r")
    await recording.until_shown("Rerun: ")
    await recording.take("The recipe is mended (e). ! * r: what rerunning all that failed would do")
    await press("t")
    await press(*"--rate 1/s", "enter")
    await recording.until_shown("1/s")
    await press("c")
    await recording.until_shown("as batch 1")
    await press("3")
    await recording.until_shown("of ")
    await press("enter")
    await recording.until_shown("3 of ")
    await recording.take("c, then 3: the bulk rerun under way, here at one job a second")
    await recording.until(lambda: automation.batches.get(1).finished_at is not None, "the end of the batch")


async def _compared(recording: Recording, job: Job) -> None:
    """Look at what became of the job."""
    press = recording.pilot.press
    await press("escape", "1", "escape")
    await _go_up_to(recording, lambda other: other.id == job.id)
    await recording.take("The same rows, rerun in place: version 2, and why the rest still fails")
    await press("H")
    await recording.until_shown("2 versions")
    await press("d", "j", "d")
    await recording.until_shown("domain_names")
    await recording.take("H, d on each: what differs between the two versions")


async def _go_up_to(recording: Recording, found: Callable[[Job], bool]) -> Job:
    """Go from the oldest job up to the first of which that holds, and return it."""
    table = recording.app.screen.query_one(JobTable)
    await recording.pilot.press("G")
    await recording.until(lambda: table.current is not None and table.current.id == 1, "the oldest job")
    while table.current is None or not found(table.current):
        await recording.pilot.press("k")
    return table.current


def _is_mistaken(job: Job) -> bool:
    return job.error is not None and "domain" in job.error.message


def together(pictures: Sequence[str]) -> str:
    """Return one picture that shows these, of the same size, one after the other; where nothing moves, the first."""
    styles: dict[str, str] = {}
    frames = "".join(_frame(picture, styles, at=SHOWN_S * number) for number, picture in enumerate(pictures))
    first = _own(pictures[0])
    share = f"{100 / len(pictures):.3f}"
    rules = _STYLE.replace("SHARE", share).replace("WHOLE", str(SHOWN_S * len(pictures)))
    rules += "".join(f".{name} {{ {rule} }}\n" for rule, name in styles.items())
    head, defs = _part(r"<svg[^>]*>", first), _part(r"<defs>.*</defs>", first)
    window = _part(r"(?<=</defs>).*?(?=<text class=\"t-title\")", first)
    dots = _part(r"<g transform=\"translate\(26,22\)\">.*?</g>", first)
    return re.sub(r"\s*\n\s*", "\n", f"{head}\n<style>{rules}</style>\n{defs}\n{window}\n{dots}\n{frames}</svg>\n")


def _frame(picture: str, styles: dict[str, str], *, at: int) -> str:
    """Return the title and the screen of a picture, first shown after `at` seconds; styles get the shared names."""
    own = _own(picture)
    rules = dict(re.findall(r"\.t-(r\d+) \{ (.*?);? \}", own))
    names = {name: styles.setdefault(rule, f"s{len(styles)}") for name, rule in rules.items()}
    title = _part(r"<text class=\"t-title\".*?</text>", own)
    screen = _part(r"<g transform=\"translate\(9, 41\)\".*(?=</svg>)", own)
    screen = re.sub(r"class=\"t-(r\d+)\"", lambda found: f'class="{names[found[1]]}"', screen)
    return f'<g class="shown{" later" if at else ""}" style="animation-delay: {at}s">{title}{screen}</g>\n'


def _own(picture: str) -> str:
    """Return a picture that shares its names with the others."""
    return re.sub(r"terminal-\d+", "t", picture)


def _part(pattern: str, picture: str) -> str:
    found = re.search(pattern, picture, re.DOTALL)
    assert found is not None, pattern
    return found[0]


def main() -> None:
    """Record it."""
    with (
        tempfile.TemporaryDirectory() as folder,
        staged(Path(folder) / "demo") as workspace,
        Automation(workspace) as automation,
    ):
        PICTURE.write_text(together(asyncio.run(recorded(automation))), encoding="utf-8")


if __name__ == "__main__":
    main()
