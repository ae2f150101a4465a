"""Every action of the terminal in one table: it feeds key bindings, footer, help and the command palette."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from textual.binding import Binding


class Action(NamedTuple):
    """One thing that a key does: the method `action_<id>` of the widget or screen that binds it."""

    id: str
    keys: tuple[str, ...]
    """As one types them: a character, or Textual's name of a key that is none (`ctrl+f`, `escape`).

    Without any it is found in the command palette only, and may be given a key by a keymap.
    """
    label: str
    """What it does, for help and palette."""
    where: tuple[str, ...]
    short: str = ""
    """What the footer says; empty keeps it out of the footer."""
    priority: bool = False
    """Whether it comes before what has the focus; never with a printable key."""


LISTS = ("report", "lines")
JOBS = ("report", "detail", "history")
RECIPES = ("recipes", "recipe")
DIFFS = ("diff", "recipe_diff")
BATCHES = ("activity", "batch")

ACTIONS: tuple[Action, ...] = (
    # The job's verbs
    Action("rerun", ("r",), "rerun: the marked jobs, or this one, as their next version", JOBS, "rerun"),
    Action("rerun_group", ("r",), "rerun: all jobs that failed with this error", ("errors",), "rerun"),
    Action("latest", ("L",), "open the latest version", ("detail", "history"), "latest"),
    Action("history", ("H",), "versions of the job", ("report", "detail"), "versions"),
    Action("diff", ("d",), "compare the latest version with the last good one", ("detail",), "diff"),
    Action("diff_mark", ("d",), "mark this version; on another one, compare the two", ("history",), "diff"),
    Action("diff_revision", ("d",), "mark this revision; on another one, compare the two", ("recipe",), "diff"),
    Action("diff_before", ("d",), "compare with the revision before", ("revision",), "diff"),
    Action("settle", ("i",), "settle a step in doubt: it happened, or do it again", ("detail",), "settle"),
    Action("edit", ("e",), "edit the recipe in $VISUAL or $EDITOR", (*RECIPES, "report", "detail"), "edit recipe"),
    Action("cancel", ("x",), "cancel: the marked jobs, or this one", ("report", "detail"), "cancel"),
    Action("hold", ("m",), "hold the job's data past its retention, or release it", ("report", "detail")),
    Action("next_version", ("]",), "the next version", ("detail",)),
    Action("previous_version", ("[",), "the previous version", ("detail",)),
    Action("next_job", ("J",), "the next job of the report", ("detail",)),
    Action("previous_job", ("K",), "the previous job of the report", ("detail",)),
    Action("copy_id", ("y",), "copy the job's id", JOBS),
    Action("rehearse", ("t",), "try: the event once more, without its writes", ("detail",), "try"),
    Action("pager", ("p", "f3"), "show it as text in $PAGER", ("detail",), "pager"),
    Action("reveal", ("V",), "show the secrets of this step; the audit tells who did", ("detail",)),
    Action("note", ("n",), "write a note on the error; an empty one removes it", ("errors",), "note"),
    Action("recipe_run", ("a",), "start or stop the recipe", RECIPES, "start/stop"),
    # Bulk reruns
    Action("batch_run", ("a",), "pause the bulk rerun, or go on with it", BATCHES, "pause/resume"),
    Action("cancel_batch", ("x",), "cancel what has not begun of the bulk rerun", BATCHES, "cancel"),
    Action("retry_failed", ("r",), "rerun those of its jobs that failed", ("batch",), "rerun failed"),
    Action("batch_rate", ("o",), "choose how fast it goes", ("batch",), "rate"),
    Action("filter_results", ("t",), "choose which results are shown", ("batch",), "filter"),
    # The report
    Action("mark", ("space",), "mark the job and go on", ("report",), "mark"),
    Action("mark_range", ("v", "ctrl+@"), "mark a range: on, move, off", ("report",)),
    Action("mark_all", ("*",), "mark all that match the filter", ("report",)),
    Action("mark_invert", ("~",), "turn the marks round", ("report",)),
    Action("mark_none", ("U",), "take all marks away", ("report",)),
    Action("marked_only", ('"',), "show only the marked jobs, or all again", ("report",)),
    Action("filter", ("/", "\\"), "filter by text", ("report",), "filter"),
    Action("filter_value", (",",), "show only the value under the cursor", ("report",)),
    Action("exclude_value", ("-",), "leave out the value under the cursor", ("report",)),
    Action("failed_only", ("!",), "failed jobs only, or all again", ("report",), "failed"),
    Action("filter_status", ("t",), "filter by status", ("report",)),
    Action("filter_time", ("T",), "filter by when jobs were received: since, until", ("report",)),
    Action("sort", ("s",), "sort by the column under the cursor; again turns it round", ("report",), "sort"),
    Action("sort_second", ("S",), "sort by this column, too, within equal values of the first", ("report",)),
    Action("sort_left", ("<",), "sort by the column to the left", ("report",)),
    Action("sort_right", (">",), "sort by the column to the right", ("report",)),
    Action("sort_reverse", ("I",), "turn the order round", ("report",)),
    Action("sort_menu", ("o",), "choose the sort column by its letter", ("report",)),
    Action("columns", ("|",), "choose and order the columns", ("report",)),
    Action("pause", ("Z",), "pause live updates, or go on", ("report",)),
    Action("follow", ("F",), "go with the cursor's job when its place changes, or hold the place", ("report",)),
    Action("export", ("w",), "write the jobs shown, or the marked ones, to a file; again stops that", ("report",)),
    Action("saved_views", ("b",), "saved views: open, save, delete", ("report",), "views"),
    Action("undo", ("z",), "take the last change of filter, order, marks or columns back", ("report",)),
    # The columns of the report
    Action("column_state", ("space",), "show the column always, never, or as there is room", ("columns",), "show/hide"),
    Action("column_earlier", ("<", "K"), "move the column to the left", ("columns",), "move left"),
    Action("column_later", (">", "J"), "move the column to the right", ("columns",), "move right"),
    Action("columns_reset", ("U",), "all columns as they were at first", ("columns",), "reset"),
    # Saved views
    Action("view_save", ("w",), "save the report's view under a name", ("views",), "save"),
    Action("view_delete", ("x",), "delete the saved view", ("views",), "delete"),
    # Inside data
    Action("copy_value", ("y",), "copy the value", ("json",)),
    Action("search", ("/",), "search in the data", ("steps", "json"), "search"),
    Action("search_next", ("n",), "the next place found", ("json",)),
    Action("search_previous", ("N",), "the place found before", ("json",)),
    # Differences
    Action("next_difference", ("n",), "the next difference", DIFFS, "next"),
    Action("previous_difference", ("N",), "the difference before", DIFFS, "previous"),
    # Folding
    Action("expand", ("l", "right"), "open what is folded", ("tree", "json")),
    Action("collapse", ("h", "left"), "fold, or go to what it is in", ("tree", "json")),
    Action("expand_all", ("+",), "open all", ("tree", "json")),
    Action("collapse_all", ("-",), "fold all", ("tree", "json")),
    # Moving
    Action("open", ("enter",), "open", LISTS),
    Action("down", ("j", "down"), "down", LISTS),
    Action("up", ("k", "up"), "up", LISTS),
    Action("column_right", ("l", "right"), "one column to the right", ("report",)),
    Action("column_left", ("h", "left"), "one column to the left", ("report",)),
    Action("page_down", ("pagedown", "ctrl+f"), "one page down", LISTS),
    Action("page_up", ("pageup",), "one page up", LISTS),
    Action("half_page_down", ("ctrl+d",), "half a page down", LISTS),
    Action("half_page_up", ("ctrl+u",), "half a page up", LISTS),
    Action("top", ("g", "home"), "to the first", LISTS),
    Action("bottom", ("G", "end"), "to the last", LISTS),
    # Everywhere
    Action("back", ("escape",), "back: out of what is typed, searched or marked, then one level", ("screen",), "back"),
    Action("leave", ("q",), "back one level; from the jobs, quit", ("screen",)),
    Action("refresh_now", ("ctrl+r", "f5"), "read again", ("screen",)),
    Action("copy_menu", ("Y",), "copy: id, JSON, path, or the command that shows the same", ("screen",)),
    Action("next_pane", ("tab",), "the next pane", ("screen",)),
    Action("previous_pane", ("shift+tab",), "the previous pane", ("screen",)),
    Action("engine", ("a",), "start or stop the engine", ("global",)),
    Action("screen_jobs", ("1",), "the jobs", ("global",)),
    Action("screen_recipes", ("2",), "the recipes", ("global",)),
    Action("screen_activity", ("3",), "bulk reruns", ("global",)),
    Action("screen_errors", ("4",), "the errors", ("global",)),
    Action("messages", (), "messages: all that was told", ("global",)),
    Action("audit", (), "audit: who did what, when and why", ("global",)),
    Action("redraw", ("ctrl+l",), "draw the screen anew", ("global",)),
    Action("command_palette", ("ctrl+p", ":"), "find an action by its name", ("global",)),
    Action("help", ("?", "f1"), "the keys of what has the focus", ("global",), "help"),
    Action("quit", ("ctrl+q",), "quit", ("global",), priority=True),
    Action("interrupt", ("ctrl+c",), "quit, pressed twice", ("global",)),
)

_TEXTUAL_NAMES = {",": "comma", "space": "space"}
_SHOWN = {
    "escape": "Esc", "enter": "Enter", "space": "Space", "pagedown": "PgDn", "pageup": "PgUp", "home": "Home",
    "end": "End", "tab": "Tab", "shift+tab": "Shift+Tab", "down": "Down", "up": "Up", "left": "Left",
    "right": "Right", "backspace": "Backspace", "delete": "Delete", "insert": "Insert", "shift": "Shift",
    "ctrl": "Ctrl",
}  # fmt: skip


def actions(*where: str) -> list[Action]:
    """Return the actions of these places, in the order of the places."""
    return [action for place in where for action in ACTIONS if place in action.where]


def bindings(*where: str) -> list[Binding]:
    """Return the bindings of these places, each with its action's id, by which a keymap names it."""
    return [_binding(action) for action in actions(*where) if action.keys]


def shown(key: str) -> str:
    """Return a key as help and footer write it: `Ctrl+F`, `Esc`, `r`."""
    if key == "ctrl+@":
        return "Ctrl+Space"
    if key in _SHOWN or len(key) == 1:
        return _SHOWN.get(key, key)
    return "+".join(_SHOWN.get(part, part.upper()) for part in key.split("+"))


def bound(keys: Iterable[str]) -> str:
    """Return keys as Textual's bindings and keymaps name them."""
    return ",".join(_TEXTUAL_NAMES.get(key, key) for key in keys)


def _binding(action: Action) -> Binding:
    # Commands read the table too, and do without Textual.
    from textual.binding import Binding

    return Binding(bound(action.keys), action.id, action.label, show=False, id=action.id, priority=action.priority)
