"""What is copied, which way it goes from inside tmux, screen or neither, and the file that always has it."""

from __future__ import annotations

import base64
import json
import os
import shutil
import stat
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from piloted import in_app, running
from stub_automation import StubAutomation

from tui import clipboard
from tui.copying import place


@pytest.fixture(autouse=True)
def _outside_of_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("TMUX", "STY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "jobdeck" / "clip.txt"


@pytest.fixture
def tmux(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if shutil.which("tmux") is None and os.environ.get("CI") != "true":
        pytest.skip("tmux is not here")
    name = f"jobdeck-{uuid.uuid4().hex[:8]}"
    subprocess.run(["tmux", "-L", name, "-f", "/dev/null", "new-session", "-d", "sleep 60"], check=True)
    found = subprocess.run(["tmux", "-L", name, "display", "-p", "#{socket_path},#{pid},0"], capture_output=True)
    monkeypatch.setenv("TMUX", found.stdout.decode().strip())
    yield name
    subprocess.run(["tmux", "-L", name, "kill-server"], check=True)


def sent(text: str, tmp_path: Path) -> tuple[str, str]:
    written: list[str] = []
    return clipboard.copy([text], written.append, tmp_path), "".join(written)


def test_a_terminal_gets_it_by_osc_52_and_the_file_has_it_too(tmp_path: Path, file: Path) -> None:
    told, written = sent("Łódź 812", tmp_path)
    assert base64.b64decode(written.removeprefix("\x1b]52;c;").removesuffix("\a")).decode() == "Łódź 812"
    assert told == f"by OSC 52, if the terminal takes it; also in {file}"
    assert file.read_text(encoding="utf-8") == "Łódź 812"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_is_too_long_for_a_terminal_is_in_the_file(tmp_path: Path, file: Path) -> None:
    told, written = sent("x" * 60_000, tmp_path)
    assert (told, written) == (f"not to the clipboard: it is too long for a terminal; also in {file}", "")
    assert file.stat().st_size == 60_000


def test_screen_passes_it_on_in_strings_that_it_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "screen-256color")
    told, written = sent("y" * 1_000, tmp_path)
    pieces = written.removeprefix("\x1bP").removesuffix("\x1b\\").split("\x1b\\\x1bP")
    assert max(map(len, pieces)) < 256
    assert base64.b64decode("".join(pieces).removeprefix("\x1b]52;c;").removesuffix("\a")) == b"y" * 1_000
    assert told.startswith("by OSC 52 through screen")


def test_in_tmux_it_goes_by_tmux_as_tmux_comes(tmp_path: Path, tmux: str) -> None:
    told, written = sent("ein — Wort", tmp_path)
    assert told.startswith("by tmux; also in")
    assert written == ""
    kept = subprocess.run(["tmux", "-L", tmux, "show-buffer"], capture_output=True, check=True)
    assert kept.stdout.decode() == "ein — Wort"


def test_a_console_has_only_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.setenv("TERM", "linux")
    assert sent("812", tmp_path) == (f"not to the clipboard: this terminal has no way to it; also in {file}", "")


def test_without_a_runtime_folder_the_file_is_in_the_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    sent("812", tmp_path / ".jobdeck")
    assert (tmp_path / ".jobdeck" / "clip.txt").read_text() == "812"


def test_a_link_in_place_of_the_file_is_not_followed(tmp_path: Path, file: Path) -> None:
    file.parent.mkdir()
    (tmp_path / "other").write_text("kept")
    os.symlink(tmp_path / "other", file)
    sent("812", tmp_path)
    assert (tmp_path / "other").read_text() == "kept"
    assert file.read_text() == "812"


def test_a_place_in_the_data_is_told_as_an_expression_finds_it() -> None:
    assert place("output", ["items", 0, "first name", "id"]) == 'output.items[0]["first name"].id'


@in_app
async def test_every_screen_copies_its_command_and_what_is_under_the_cursor(file: Path) -> None:
    async with running(StubAutomation(), size=(200, 40)) as seen:
        seen.app.open_job(812)
        await seen.sees("tell log.write")

        async def copied(letter: str) -> str:
            await seen.press("Y")
            await seen.sees("Copy what?")
            await seen.press(letter)
            await seen.sees("also in")
            await seen.until(lambda: file.exists())
            text = file.read_text(encoding="utf-8")
            file.unlink()
            seen.app.say("")
            await seen.sees_not("also in")
            return text

        assert await copied("i") == "812.1"
        assert await copied("c") == "jobdeck show 812 --version 1"
        await seen.press("j")
        step = json.loads(await copied("j"))
        assert await copied("p") == step["path"]
        await seen.press("k", "tab", "j")
        place = await copied("p")
        assert place.partition(".")[0] in ("input", "output", "error")
        await seen.press("escape", "2")
        await seen.sees("started")
        assert await copied("c") == "jobdeck recipe show sync"
        assert (await copied("p")).endswith(".yaml")
