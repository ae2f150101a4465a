"""What every screen looks like, in pictures and as text; changed on purpose with `pytest --snapshot-update`."""

from __future__ import annotations

import asyncio
import difflib
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import scenes
from pytest_textual_snapshot import SVGImageExtension
from staged import LARGE, NORMAL, NOW, TINY, Scene, Stage, Staged, coloured, stage, stop_time
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

import tui.words
from data.database import Database, sqlite_url
from tests.benchmarks.generate import fill

JOBS = 60
SAME = "the same"
UNSEEN = {"on", "white", "bright_white", "black", "bright_black"}
"""Words of styles that are not seen on every ground, light or dark."""


class TextExtension(SingleFileSnapshotExtension):
    """A snapshot that is a file of text."""

    _file_extension = "txt"
    _write_mode = WriteMode.TEXT


@pytest.fixture(autouse=True)
def _same_everywhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    tui.words._encoding.cache_clear()
    stop_time(monkeypatch)
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Database, Database]]:
    """Give a store with jobs and one without."""
    folder = tmp_path_factory.mktemp("stores")
    Database(sqlite_url(folder / "none.db")).close()
    (folder / "jobs.db").write_bytes((folder / "none.db").read_bytes())
    fill(folder / "jobs.db", JOBS, int(NOW.timestamp()) * 1_000_000)
    found = Database(sqlite_url(folder / "jobs.db")), Database(sqlite_url(folder / "none.db"))
    yield found
    for database in found:
        database.close()


@pytest.fixture
def automation(stores: tuple[Database, Database], tmp_path: Path) -> Callable[[], Staged]:
    """Give what makes an automation in a workspace of its own."""
    numbers = iter(range(1_000))

    def made() -> Staged:
        workspace = tmp_path / str(next(numbers)) / "deck"
        workspace.mkdir(parents=True)
        return Staged(*stores, workspace)

    return made


@dataclass
class Looks:
    """What was seen of scenes."""

    pictures: dict[str, str] = field(default_factory=dict)
    """SVG by the name of the scene and the size."""
    texts: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    """Of each scene, by its name, what it is in each size and look, as text."""

    async def take_usual(self, shown: Stage, scene: Scene) -> None:
        """Look at a scene on a terminal that has all; it is opened large."""
        texts = self.texts[scene.name]
        if scene.drawn:
            self.pictures[f"{scene.name} 120x40"] = shown.app.export_screenshot()
            await shown.sized(*NORMAL)
            self.pictures[f"{scene.name} 80x24"] = shown.app.export_screenshot()
        texts["80x24"], texts["80x24, styles"] = shown.text(), shown.styles()
        if not scene.drawn:
            await shown.sized(*TINY)
            texts["40x10"] = shown.text()

    async def take_plain(self, shown: Stage, scene: Scene) -> None:
        """Look at a scene on a light terminal that has nothing but ASCII; small, it has no colours either."""
        texts = self.texts[scene.name]
        styles = shown.styles()
        texts["80x24, ASCII"] = shown.text()
        texts["80x24, styles in ansi-light"] = SAME if styles == texts["80x24, styles"] else styles
        shown.app.without_colours = True
        await shown.sized(*TINY)
        texts["40x10, ASCII"], texts["40x10, styles with NO_COLOR"] = shown.text(), shown.styles()
        shown.app.without_colours = False


async def seen(
    scenes: Iterable[Scene], automation: Callable[[], Staged], theme: str, opened: Callable[[Scene], tuple[int, int]],
    look: Callable[[Stage, Scene], Awaitable[None]],
) -> None:
    """Show one scene after the other, each opened in its size, and look at it."""
    async with stage(automation(), theme) as shown:
        for scene in scenes:
            await shown.sized(*opened(scene))
            await shown.show(scene, automation())
            await look(shown, scene)


@pytest.mark.parametrize("scenes", [scenes.REPORT, scenes.JOB, scenes.RECIPES, scenes.OTHERS],
                         ids=["report", "job", "recipes", "others"])  # fmt: skip
def test_everything_looks_as_it_did(
    scenes: Sequence[Scene], automation: Callable[[], Staged], snapshot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = Looks()
    drawn = [scene for scene in scenes if scene.drawn]
    others = [scene for scene in scenes if not scene.drawn]
    asyncio.run(seen([*drawn, *others], automation, "ansi-dark", lambda scene: LARGE if scene.drawn else NORMAL,
                     looks.take_usual))
    monkeypatch.setenv("LC_ALL", "C")
    tui.words._encoding.cache_clear()
    asyncio.run(seen(drawn, automation, "ansi-light", lambda _: NORMAL, looks.take_plain))
    changed = [*differing(snapshot.use_extension(TextExtension), {name: page(of) for name, of in looks.texts.items()}),
               *differing(snapshot.use_extension(SVGImageExtension), looks.pictures)]
    assert not changed, "\n".join(changed)
    for name, of in looks.texts.items():
        for look, text in of.items():
            # No ground but the terminal's own, and nothing in a colour that would not be seen on it.
            assert not coloured(text) & UNSEEN, f"{name}, {look}"
            assert "NO_COLOR" not in look or not coloured(text), f"{name}, {look}"
            assert "ASCII" not in look or text.isascii(), f"{name}, {look}"


def page(looks: Mapping[str, str]) -> str:
    """Return a scene as text, in all its looks."""
    return "\n".join(f"--- {look}\n{text}" for look, text in looks.items()) + "\n"


def differing(snapshot: Any, taken: Mapping[str, str]) -> Iterator[str]:
    """Yield the names of those that differ from how they were, each with how where that is text."""
    for name, now in taken.items():
        compared = snapshot(name=name)
        if compared != now:
            before = "" if now.startswith("<svg") else str(compared)
            yield "\n".join([name, *(difflib.unified_diff(before.splitlines(), now.splitlines(), n=1, lineterm="")
                                     if before else ())])
