"""Events saved for a recipe's tests: `tests/<recipe>/<name>.json` in the workspace, secrets masked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.errors import NotFound, Refused, UsageError, WorkspaceError
from core.journal import Masking
from core.secrecy import holds_secret
from core.wording import meant
from data.job_records import JsonValue

FOLDER = "tests"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Saved:
    """An event that was saved."""

    path: Path
    """Relative to the workspace."""
    masked: tuple[str, ...]
    """Where in the event something was masked: `headers.x-api-key`, `items[0].token`."""


def names(workspace: Path, recipe: str) -> list[str]:
    """Return the names of the events that are saved for a recipe."""
    return sorted(path.stem for path in (workspace / FOLDER / recipe).glob("*.json"))


def found(workspace: Path, recipe: str, name: str) -> Path:
    """Return where the saved event of this name is; raises NotFound with those that there are."""
    known = names(workspace, recipe)
    if name in known:
        return workspace / FOLDER / recipe / f"{name}.json"
    told = f"; saved for {recipe}: {', '.join(known)}" if known else ""
    raise NotFound(f"there is no file {name} and no saved event of this name{meant(name, known) or told}")


def save(workspace: Path, recipe: str, name: str, event: JsonValue, masking: Masking) -> Saved:
    """Save an event under a name; what is there is never written over.

    Masked are the secrets of the workspace's connections, and texts whose name says that they are one: password, token.
    Raises UsageError, Refused (`exists`), WorkspaceError.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot name a saved event: use letters, digits and . _ -")
    masked: list[str] = []
    text = json.dumps(_masked(event, (), masking, masked, False), indent=2) + "\n"
    path = Path(FOLDER) / recipe / f"{name}.json"
    try:
        (workspace / path).parent.mkdir(parents=True, exist_ok=True)
        with (workspace / path).open("x", encoding="ascii") as file:
            file.write(text)
    except FileExistsError:
        raise Refused("exists", f"{path} is there already: choose another name, or remove it") from None
    except OSError as error:
        raise WorkspaceError(f"{path} cannot be written: {error.strerror}") from error
    return Saved(path, tuple(masked))


def _masked(
    value: JsonValue, at: tuple[str | int, ...], masking: Masking, masked: list[str], secret: bool
) -> JsonValue:
    match value:
        case dict():
            return {
                masking.text(key): _masked(one, (*at, key), masking, masked, secret or holds_secret(value, key))
                for key, one in value.items()
            }
        case list():
            return [_masked(one, (*at, number), masking, masked, secret) for number, one in enumerate(value)]
        case str() if value:
            hidden = Masking.MASK if secret else masking.text(value)
            if hidden != value:
                masked.append("".join(_written(at)))
            return hidden
    return value


def _written(at: tuple[str | int, ...]) -> Iterator[str]:
    for number, part in enumerate(at):
        yield f"[{part}]" if isinstance(part, int) else f".{part}" if number else part
