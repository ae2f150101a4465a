"""A person's own keys: what of them is in force, and the sentence for what is not."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from piloted import in_app, running
from stub_automation import StubAutomation

from tui.actions import ACTIONS
from tui.cli import cli
from tui.keymap import BROKEN, CHANGING, Keymap, checked, keymap_file, load
from tui.keys_page import page

PAGE = Path(__file__).parents[2] / "docs" / "keys.md"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JOBDECK_KEYS", str(tmp_path / "keys.toml"))
    return tmp_path / "keys.toml"


def test_the_page_of_keys_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "stale: python -m tui.keys_page > docs/keys.md"


def test_the_example_of_the_page_is_in_force_as_it_stands() -> None:
    example = re.search(r"```toml\n(.*?)```", page(), re.DOTALL)
    assert example is not None
    keys, wrong = checked(tomllib.loads(example[1]))
    assert (len(keys), wrong) == (3, [])


def test_what_changes_something_is_known_to_the_rules() -> None:
    """A new action that changes something belongs into `CHANGING`."""
    assert {action.id for action in ACTIONS} >= CHANGING
    words = ("rerun:", "cancel", "start or stop", "settle", "edit the", "pause the", "rerun those")
    assert {action.id for action in ACTIONS if action.label.startswith(words)} <= CHANGING


def test_every_action_has_an_id_of_its_own() -> None:
    ids = [action.id for action in ACTIONS]
    assert sorted(set(ids)) == sorted(ids)


def test_the_keys_of_the_table_obey_the_rules_of_the_file() -> None:
    for action in ACTIONS:
        if action.keys and action.id not in ("back", "interrupt"):
            keys, wrong = checked({"keys": {action.id: list(action.keys)}})
            assert wrong == [] or action.id == "quit", wrong
            assert keys.get(action.id, action.keys) == action.keys
    assert not {key for action in ACTIONS if action.id in CHANGING for key in action.keys} & BROKEN


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"rerunn": "x"}, "keys.rerunn: unknown action 'rerunn'; did you mean 'rerun'?"),
        ({"rerun": 3}, 'keys.rerun: write a key, "r", or several, ["r", "F5"]'),
        ({"rerun": []}, 'keys.rerun: write a key, "r", or several, ["r", "F5"]'),
        ({"top": "Ctrl+H"}, "keys.top: terminals send Ctrl+H as Backspace"),
        ({"top": "ctrl+i"}, "keys.top: terminals send ctrl+i as Tab"),
        ({"top": "ctrl+["}, "keys.top: terminals send ctrl+[ as Esc"),
        ({"top": "Shift+g"}, "keys.top: terminals send Shift+g as the character itself: write 'G'"),
        ({"top": "Alt+g"}, "keys.top: terminals send Alt+g as Esc and then the key, which goes back first"),
        ({"top": "Ctrl+Shift+G"}, "keys.top: not every terminal can send Ctrl+Shift+G"),
        ({"top": "Hoome"}, "keys.top: no key is called 'Hoome'; did you mean 'home'?"),
        ({"top": " "}, 'keys.top: write "Space", "Tab" or "Enter" for a key that shows nothing'),
        ({"top": "Ctrl+A"}, "keys.top: Ctrl+A is GNU screen's prefix on many machines: give it another key too"),
        ({"top": "Esc"}, "keys.top: Esc goes back and does nothing else"),
        ({"rerun": "R"}, "keys.rerun: R may be sent by an arrow key on a slow line; no action that changes is on it"),
        ({"quit": "X"}, "keys.quit: it works while one types, so it cannot be 'X': take one with Ctrl, or F1 to F12"),
        ({"top": "k"}, "keys.top: k is the key of up (up) in the same place"),
        ({"search": "H"}, "keys.search: H is the key of history (versions of the job) in the same place"),
    ],
)
def test_what_cannot_be_is_told_and_not_in_force(entry: dict[str, object], sentence: str) -> None:
    assert checked({"keys": entry}) == ({}, [sentence])


def test_two_actions_may_change_their_keys_and_a_third_may_not_take_one() -> None:
    keys, wrong = checked({"keys": {"sort": "o", "sort_menu": "s", "filter_status": "o"}})
    assert keys == {"sort": ("o",), "sort_menu": ("s",)}
    assert [sentence.split(":")[0] for sentence in wrong] == ["keys.filter_status"]


def test_ctrl_space_is_written_as_people_say_it() -> None:
    keys, wrong = checked({"keys": {"mark_range": ["v", "Ctrl+Space"], "top": ["g", "Ctrl+A"]}})
    assert keys == {"mark_range": ("v", "ctrl+@"), "top": ("g", "ctrl+a")}
    assert wrong == []


@pytest.mark.parametrize(("text", "told"), [("[keys", "it is no TOML"), ("keys = 3", "it must be a table"),
                                            ("[kees]", "did you mean 'keys'?"), ("\xff", "")])  # fmt: skip
def test_a_file_that_is_none_leaves_the_keys_as_they_are(file: Path, text: str, told: str) -> None:
    file.write_bytes(text.encode("latin-1"))
    keymap = load()
    assert keymap.keys == {}
    assert told in keymap.problems[0]


def test_without_a_file_nothing_is_changed(file: Path) -> None:
    assert load() == Keymap()
    assert keymap_file({"HOME": "/home/ada"}) == Path("/home/ada/.config/jobdeck/keys.toml")
    assert keymap_file({"HOME": "/home/ada", "XDG_CONFIG_HOME": "/etc/ada"}) == Path("/etc/ada/jobdeck/keys.toml")


def test_the_command_tells_the_keys_in_force_and_what_is_wrong(file: Path) -> None:
    file.write_text('[keys]\nhistory = "F2"\nrerun = "R"\n')
    done = CliRunner().invoke(cli, ["keys", "-o", "jsonl"])
    assert '{"action":"history","keys":["F2"],"changed":true' in done.stdout
    assert '{"action":"rerun","keys":["r"],"changed":false' in done.stdout
    assert "R may be sent by an arrow key" in done.stderr
    done = CliRunner().invoke(cli, ["keys", "--check"])
    assert done.exit_code == 1
    assert "R may be sent by an arrow key" in done.stdout
    file.write_text('[keys]\nhistory = "F2"\n')
    done = CliRunner().invoke(cli, ["keys", "--check"])
    assert (done.exit_code, done.stdout) == (0, f"{file}: 1 changed\n")


@in_app
async def test_changed_keys_work_and_are_shown(file: Path) -> None:
    file.write_text('[keys]\nhistory = "f2"\nengine = ["E", "f9"]\nup = "W"\ndown = "D"\nnone = "x"\n')
    async with running(StubAutomation()) as seen:
        await seen.sees("unknown action 'none'", "F2 versions")
        await seen.press("E")
        await seen.sees("Start the engine?")
        await seen.press("escape")
        await seen.sees_not("Start the engine?")
        await seen.press("a", "f9")
        await seen.sees("Start the engine?")
        await seen.press("escape", "?", *"start or stop the engine")
        await seen.sees("E F9")
