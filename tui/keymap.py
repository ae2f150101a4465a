"""The keymap: which keys do what, by the table of actions and by a person's own file, which is checked before use."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from tui.actions import ACTIONS, Action, shown

CHANGING = frozenset(
    {"rerun", "rerun_group", "retry_failed", "settle", "edit", "cancel", "engine", "recipe_run"}
    | {"batch_run", "cancel_batch", "batch_rate"}
)
"""Actions that lead to a change: never on a key that a broken arrow key may send."""
BROKEN = frozenset({"escape", "[", "O", *"ABCDFHPQRS", "~", *"0123456789"})
"""What arrives of an arrow or function key whose bytes a slow line parts: Esc, `[` or `O`, then one of these."""
TAKEN = {
    "ctrl+a": "GNU screen's prefix", "ctrl+b": "tmux's prefix", "ctrl+z": "suspend", "ctrl+s": "stop of output",
    "ctrl+q": "resumption of output",
}  # fmt: skip
"""Keys that never reach the terminal on some machines."""
SAME_AS = {
    "ctrl+h": "Backspace", "ctrl+i": "Tab", "ctrl+m": "Enter", "ctrl+j": "Enter", "ctrl+[": "Esc",
    "ctrl+3": "Esc", "ctrl+8": "Backspace", "ctrl+?": "Backspace",
}  # fmt: skip
"""Keys that a terminal sends as others."""
ALIASES = {
    "esc": "escape", "return": "enter", "pgdn": "pagedown", "pgup": "pageup", "pagedn": "pagedown", "del": "delete",
    "ins": "insert", "ctrl+space": "ctrl+@", "shift+space": "space", "spacebar": "space", "comma": ",",
}  # fmt: skip
NAMED = frozenset(
    {"escape", "enter", "space", "pagedown", "pageup", "home", "end", "tab", "shift+tab", "backspace", "delete"}
    | {"insert", "down", "up", "left", "right", "ctrl+@", *(f"f{number}" for number in range(1, 13))}
    | {f"{held}+{arrow}" for held in ("shift", "ctrl") for arrow in ("down", "up", "left", "right")}
)
"""Keys that are no characters and that terminals send, by Textual's names."""
_ALWAYS = frozenset({"screen", "global"})
_WITHIN = frozenset(map(frozenset, (("detail", "steps"), ("detail", "tree"), ("steps", "tree"), ("detail", "json"))))


class Keymap(NamedTuple):
    """The keys in force, and what is wrong in the file that changes them; what is wrong is not in force."""

    keys: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    """The keys of each action that the file changes, by its id."""
    problems: tuple[str, ...] = ()
    file: Path | None = None
    """The file that was read, None where there is none."""

    def of(self, action: Action) -> Action:
        """Return an action with the keys in force."""
        return action._replace(keys=self.keys[action.id]) if action.id in self.keys else action

    def actions(self, actions: Iterable[Action] = ACTIONS) -> list[Action]:
        """Return actions with the keys in force."""
        return [self.of(action) for action in actions]


def keymap_file(environment: Mapping[str, str] = os.environ) -> Path:
    """Return where a person's keys are: JOBDECK_KEYS, else `jobdeck/keys.toml` in the configuration's folder (XDG)."""
    if environment.get("JOBDECK_KEYS"):
        return Path(environment["JOBDECK_KEYS"])
    home = environment.get("XDG_CONFIG_HOME") or Path(environment.get("HOME") or Path.home(), ".config")
    return Path(home, "jobdeck", "keys.toml")


def load(file: Path | None = None) -> Keymap:
    """Return the keymap of a file, the person's own unless one is named; never raises for what stands in it."""
    file = file or keymap_file()
    try:
        written = file.read_bytes()
    except FileNotFoundError:
        return Keymap()
    except OSError as error:
        return Keymap(problems=(f"it cannot be read: {error.strerror}",), file=file)
    # Here, for most have no such file.
    import tomllib

    try:
        table = tomllib.loads(written.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        return Keymap(problems=(f"it is no TOML: {error}",), file=file)
    keys, problems = checked(table)
    return Keymap(keys, tuple(problems), file)


def checked(table: Mapping[str, Any]) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Return the entries of a file's tables that can be in force, and a sentence for each one that cannot."""
    from core.wording import unknown

    wrong = [f"{name}: {unknown('table', name, ['keys'])}" for name in table if name != "keys"]
    wanted = table.get("keys", {})
    if not isinstance(wanted, dict):
        return {}, [*wrong, "keys: it must be a table, [keys], with lines such as rerun = \"r\""]
    known = {action.id: action for action in ACTIONS}
    keys: dict[str, tuple[str, ...]] = {}
    for id, value in wanted.items():
        try:
            if id not in known:
                raise ValueError(unknown("action", id, known))
            keys[id] = _keys(known[id], value)
        except ValueError as error:
            wrong.append(f"keys.{id}: {error}")
    return _without_clashes(keys, wrong), wrong


# One entry


def _keys(action: Action, value: Any) -> tuple[str, ...]:
    """Return an entry's keys by Textual's names, or raise ValueError that says what is wrong."""
    written = [value] if isinstance(value, str) else value
    if not isinstance(written, list) or not written or not all(isinstance(key, str) for key in written):
        raise ValueError('write a key, "r", or several, ["r", "F5"]')
    keys = tuple(dict.fromkeys(key_named(key) for key in written))
    for key in keys:
        _check(action, key)
    if all(key in TAKEN for key in keys):
        taken = " and ".join(f"{shown(key)} is {TAKEN[key]}" for key in keys)
        raise ValueError(f"{taken} on many machines: give it another key too")
    return keys


def key_named(written: str) -> str:
    """Return Textual's name of a key as people write it, `Ctrl+F`, `PgDn`, `r`; ValueError if no terminal sends it."""
    if len(written) == 1:
        if written.isprintable() and written != " ":
            return written
        raise ValueError('write "Space", "Tab" or "Enter" for a key that shows nothing')
    name = written.lower().replace(" ", "")
    name = ALIASES.get(name, name)
    if name in SAME_AS:
        raise ValueError(f"terminals send {written} as {SAME_AS[name]}")
    if name in NAMED:
        return name
    held, _, letter = name.rpartition("+")
    if held == "ctrl" and len(letter) == 1 and letter.isascii() and letter.isalpha():
        return name
    if held == "shift" and len(letter) == 1:
        raise ValueError(f"terminals send {written} as the character itself: write {letter.upper()!r}")
    if held in ("alt", "meta"):
        raise ValueError(f"terminals send {written} as Esc and then the key, which goes back first")
    if held:
        raise ValueError(f"not every terminal can send {written}")
    from core.wording import meant

    near = meant(name, [*NAMED, *ALIASES])
    raise ValueError(f"no key is called {written!r}{near}")


def _check(action: Action, key: str) -> None:
    if key == "escape" and action.id != "back":
        raise ValueError("Esc goes back and does nothing else")
    if key == "ctrl+c" and action.id != "interrupt":
        raise ValueError("Ctrl+C quits, pressed twice, and does nothing else")
    if action.id in CHANGING and key in BROKEN:
        raise ValueError(f"{shown(key)} may be sent by an arrow key on a slow line; no action that changes is on it")
    if action.priority and len(key) == 1:
        raise ValueError(f"it works while one types, so it cannot be {key!r}: take one with Ctrl, or F1 to F12")


# All of them


def _without_clashes(keys: dict[str, tuple[str, ...]], wrong: list[str]) -> dict[str, tuple[str, ...]]:
    """Return the entries without those that would take another action's key, each told in `wrong`."""
    shared = {frozenset((one.id, other.id)) for one, other, _ in _clashes(ACTIONS)}
    while True:
        clashes = _clashes(Keymap(keys).actions())
        fresh = ((one, other, key) for one, other, key in clashes if frozenset((one.id, other.id)) not in shared)
        found = next(fresh, None)
        if found is None:
            return keys
        one, other, key = found
        # Of two entries the one that stands later gives way; an action that the file leaves alone never does.
        late = next(action for id in reversed(keys) for action in (one, other) if action.id == id)
        kept = other if late is one else one
        wrong.append(f"keys.{late.id}: {shown(key)} is the key of {kept.id} ({kept.label}) in the same place")
        keys = {id: entry for id, entry in keys.items() if id != late.id}


def _clashes(actions: Iterable[Action]) -> Iterable[tuple[Action, Action, str]]:
    by_key: dict[str, list[Action]] = {}
    for action in actions:
        for key in action.keys:
            for other in by_key.get(key, []):
                if _together(action, other):
                    yield other, action, key
            by_key.setdefault(key, []).append(action)


def _together(one: Action, other: Action) -> bool:
    """Return whether there is a place where both may be pressed."""
    return any(
        first == second
        or first in _ALWAYS
        or second in _ALWAYS
        or frozenset((first, second)) in _WITHIN
        or ("lines" in (first, second) and "report" not in (first, second))
        for first in one.where
        for second in other.where
    )
