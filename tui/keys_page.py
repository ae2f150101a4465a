"""The page of all keys, made of the table of actions: `python -m tui.keys_page > docs/keys.md`."""

from __future__ import annotations

from tui.actions import ACTIONS, Action, shown

_PLACES = {
    "report": "The jobs report", "detail": "A job", "history": "A job's versions", "recipes": "The recipes",
    "recipe": "A recipe", "activity": "Bulk reruns", "batch": "A bulk rerun", "errors": "Errors in groups",
    "diff": "Two versions compared", "steps": "The steps of a job", "tree": "What folds", "json": "Data",
    "lines": "Every list", "screen": "Every screen", "global": "Everywhere",
}  # fmt: skip
_HEAD = """# Keys

Made from the table of actions by `python -m tui.keys_page > docs/keys.md`; do not edit it by hand. `?` shows the keys
of where you are, `jobdeck keys` those in force.

## Your own keys

Keys are a person's, not a workspace's: `~/.config/jobdeck/keys.toml` (`$XDG_CONFIG_HOME/jobdeck/keys.toml`, or the file
that `JOBDECK_KEYS` names) gives actions other keys. An entry replaces all keys of its action:

```toml
[keys]
rerun = "ctrl+r"
refresh_now = "F5"
page_down = ["PgDn", "Ctrl+F"]
```

`jobdeck keys --check` tells what is wrong in it. A wrong entry is told when the terminal opens and not in force; the
others are. Refused are: an unknown action; a key of another action in the same place; what a terminal sends as another
key (Ctrl+H, Ctrl+I, Ctrl+J, Ctrl+M, Ctrl+[) or not at all (Shift with a letter: write the capital); keys that screen,
tmux or the terminal keep (Ctrl+A, Ctrl+B, Ctrl+Z, Ctrl+S, Ctrl+Q) as an action's only ones; Esc and Ctrl+C; and, for an
action that changes something, a key that an arrow key may send when a slow line parts its bytes: `[`, `~`, digits and
the letters A B C D F H O P Q R S.
"""


def page() -> str:
    """Return the page."""
    places = dict.fromkeys(place for action in ACTIONS for place in action.where)
    ordered = [*(place for place in _PLACES if place in places), *(place for place in places if place not in _PLACES)]
    return _HEAD + "".join(_section(place) for place in ordered)


def _section(place: str) -> str:
    rows = "".join(map(_row, (action for action in ACTIONS if place in action.where)))
    title = _PLACES.get(place, place.replace("_", " ").capitalize())
    return f"\n## {title}\n\n| key | does | action |\n|---|---|---|\n{rows}"


def _row(action: Action) -> str:
    keys = " ".join(f"`` {key} ``" if key == "`" else f"`{shown(key)}`" for key in action.keys)
    return f"| {keys or 'palette'} | {action.label} | `{action.id}` |\n".replace("`|`", "`\\|`")


if __name__ == "__main__":
    print(page(), end="")
