"""What the environment says of the terminal, and what a person wants of it there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import StrEnum

from core.errors import UsageError

_CONSOLES = ("linux", "vt", "ansi", "cons", "sun", "cygwin")
"""Beginnings of TERM of terminals whose fonts have few signs, and that have no second screen to draw on."""
_PLAIN = (*_CONSOLES, "screen")
"""Beginnings of TERM of terminals that may print what they do not know."""


class Drawing(StrEnum):
    """What is written for a change on the screen."""

    PLAIN = "plain"
    """What Textual writes: every region that was painted anew."""
    DIFF = "diff"
    """The cells that differ."""
    PACED = "paced"
    """The same, but nothing before the terminal has painted what was written, then what is newest."""


def drawing(environment: Mapping[str, str] = os.environ) -> Drawing:
    """Return how to draw: as JOBDECK_DRAW says, else paced over SSH and by differences elsewhere; raises UsageError.

    Inside tmux or screen it is they that answer, not the terminal behind the slow line, which they pace themselves.
    """
    wanted = environment.get("JOBDECK_DRAW", "")
    if wanted in tuple(Drawing):
        return Drawing(wanted)
    if wanted:
        raise UsageError(f"JOBDECK_DRAW={wanted!r} is none of {', '.join(Drawing)}")
    multiplexed = environment.get("TMUX") or environment.get("STY")
    return Drawing.PACED if environment.get("SSH_CONNECTION") and not multiplexed else Drawing.DIFF


def accessible(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether a screen reader follows: the terminal's cursor is where the focus is, errors stay, no drawing."""
    return environment.get("JOBDECK_ACCESSIBLE", "") not in ("", "0")


def console(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether TERM names a console, whose font has few signs."""
    return environment.get("TERM", "").startswith(_CONSOLES)


def plain_terminal(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether TERM names a terminal that knows little more than a VT100."""
    return environment.get("TERM", "").startswith(_PLAIN)
