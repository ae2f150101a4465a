"""The options that say how jobs are rerun: of the command, and typed into the terminal's panel."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Callable
from typing import Any

import click

from core.errors import UsageError
from core.selection import MODES, ORDERS, REVISIONS, How
from tui.cli_options import Rate, StopAt

_HOW = (
    click.option("--from", "mode", type=click.Choice(MODES), default="start", show_default=True,
              help="failed: reuse what the latest version recorded up to the step that failed."),
    click.option("--revision", type=click.Choice(REVISIONS), default="latest", show_default=True,
              help="original: the revision that version 1 ran."),
    click.option("--order", type=click.Choice(ORDERS), default="key", show_default=True,
              help="Of many: one after the other; so for the jobs of one object only; or any."),
    click.option("--rate", type=Rate(), metavar="N/s", help="At most so many a second, as 10/s, 30/m."),
    click.option("--canary", type=click.IntRange(min=1), metavar="N", help="Run N, then wait for `batch resume`."),
    click.option("--stop-at", "stop_at", type=StopAt(), metavar="N|P%",
              help="Pause after N failures, when P% failed (of 10 or more), or at an error never seen before."),
)
_NAMES = ("mode", "revision", "order", "rate", "canary", "stop_at")


def how_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say how jobs are rerun; the command gets them as one `how`."""

    @functools.wraps(command)
    def told(*arguments: Any, **keywords: Any) -> Any:
        return command(*arguments, how=_how(**{name: keywords.pop(name) for name in _NAMES}), **keywords)

    return functools.reduce(lambda inner, option: option(inner), reversed(_HOW), told)


def how_of(text: str) -> How:
    """Return what these options say, written as the command takes them; raises UsageError."""
    said: list[How] = []
    command = click.command(add_help_option=False)(how_options(lambda how: said.append(how)))
    try:
        command.main(shlex.split(text), standalone_mode=False)
    except click.UsageError as error:
        raise UsageError(error.format_message()) from error
    except ValueError as error:
        raise UsageError(f"{text}: {error}") from error
    return said[0]


def _how(
    mode: str, revision: str, order: str, rate: float | None, canary: int | None,
    stop_at: tuple[int | None, float | None] | None,
) -> How:
    if mode == "failed" and revision == "original":
        raise UsageError("--from failed goes with the latest revision: leave out --revision original")
    failures, share = stop_at or (None, None)
    return How(mode, revision, order, rate, canary, failures, share)
