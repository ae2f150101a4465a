"""What the list of error groups says of each, as lines; needs no screen."""

from __future__ import annotations

import datetime as dt

from rich.text import Text

from core.text import safe
from data.records import ErrorGroup
from tui.units import local
from tui.words import DOT

HEADING = f"{'jobs':>7} {'versions':>8}  {'first seen':11}  {'last seen':11}  note and message"


def group_line(group: ErrorGroup, width: int) -> Text:
    """Return a group as a line; what does not fit a narrow screen goes last."""
    first, last = _short(group.first_seen_at), _short(group.last_seen_at)
    text = Text(f"{group.jobs:>7,} {group.versions:>8,}  {first}  {last}  ", style="" if group.jobs else "dim")
    if group.note:
        text.append(safe(group.note.text, width), style="bold").append(DOT)
    return text.append(safe(group.message, width), style="red" if group.jobs else "dim")


def group_facts(group: ErrorGroup, width: int) -> Text:
    """Return what is to be said of a group, in four lines: message, where, since when, note."""
    where = f"step {group.step}" if group.step else ""
    began = local(group.first_seen_at)
    if group.first_revision is not None:
        began += f" in {group.first_recipe} r{group.first_revision}"
    lines = [
        Text(safe(group.message), style="bold red"),
        Text(DOT.join(safe(part) for part in (", ".join(group.recipes), where, group.action, group.kind) if part)),
        Text(f"first seen {safe(began)}{DOT}last {local(group.last_seen_at)}"),
        _note(group),
    ]
    for line in lines:
        line.truncate(max(width, 1), overflow="ellipsis")
    return Text("\n").join(lines)


def note_panel(group: ErrorGroup) -> list[Text]:
    """Return what is asked for a note on a group, and what becomes of the one that it has."""
    lines = [Text(f"A note on: {safe(group.message)}", style="bold"), Text("  Whoever meets this error reads it.")]
    if group.note is not None:
        lines.append(Text(f"  In the place of: {safe(group.note.text)}"))
        lines.append(Text("  Enter on an empty line removes it."))
    return lines


def _note(group: ErrorGroup) -> Text:
    if group.note is None:
        return Text("no note: n writes one", style="dim")
    return Text(f"note by {safe(group.note.by)} {local(group.note.at)}: {safe(group.note.text)}")


def _short(moment: dt.datetime) -> str:
    return f"{moment.astimezone():%m-%d %H:%M}"
