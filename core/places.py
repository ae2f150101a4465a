"""Where things are: the workspace, its settings file, its store; asked before anything checks what the file says."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from core.errors import WorkspaceError

FILE = "jobdeck.toml"
_SQLITE = "sqlite:///"
STORE_URL = f"{_SQLITE}.jobdeck/jobdeck.db"
"""The store, relative to the workspace, where neither `[store] url` nor `STORE_VARIABLE` names another."""
STORE_VARIABLE = "JOBDECK_DATABASE_URL"


def find_workspace(start: Path | None = None, named: Path | None = None) -> Path:
    """Return the workspace: `named`, else JOBDECK_WORKSPACE, else the nearest folder with a jobdeck.toml upwards.

    Raises WorkspaceError where there is none.
    """
    if named is not None:
        return _held(Path(named))
    if os.environ.get("JOBDECK_WORKSPACE"):
        return _held(Path(os.environ["JOBDECK_WORKSPACE"]))
    here = (start or Path.cwd()).absolute()
    for folder in (here, *here.parents):
        if (folder / FILE).is_file():
            return folder
    raise WorkspaceError(
        f"no {FILE} in {here} or above it: go to a workspace, name one with -w, or make one with `jobdeck init`"
    )


def _held(folder: Path) -> Path:
    if not (folder / FILE).is_file():
        raise WorkspaceError(f"{folder} is no workspace: it has no {FILE}; make one with `jobdeck init {folder}`")
    return folder.absolute()


def read(workspace: Path) -> dict[str, Any]:
    """Return what jobdeck.toml says, unchecked; raises WorkspaceError where it cannot be read."""
    # Here, for the terminal's start can do without.
    import tomllib

    path = workspace / FILE
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        raise WorkspaceError(f"{path} is missing; make a workspace with `jobdeck init`") from None
    except OSError as error:
        raise WorkspaceError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise WorkspaceError(f"{FILE}:{line}: it is not UTF-8 text") from error
    except tomllib.TOMLDecodeError as error:
        raise WorkspaceError(_toml_message(str(error))) from error


def _toml_message(text: str) -> str:
    found = re.fullmatch(r"(.*) \(at line ([0-9]+), column ([0-9]+)\)", text, re.DOTALL)
    return f"{FILE}:{found[2]}:{found[3]}: {found[1]}" if found else f"{FILE}: {text}"


def store_file(workspace: Path) -> Path | None:
    """Return the file of the workspace's store, None where its URL says more than a path; raises WorkspaceError.

    Only for a look before the settings are loaded: those say what is wrong with it.
    """
    url = os.environ.get(STORE_VARIABLE) or _named_url(workspace)
    path = str(url).removeprefix(_SQLITE)
    return workspace / path if str(url).startswith(_SQLITE) and path and not {"?", "%", ":"} & set(path) else None


def _named_url(workspace: Path) -> object:
    try:
        # Most files say nothing of it, and to read one as TOML takes longer than to read the first rows.
        if b"store" not in (workspace / FILE).read_bytes():
            return STORE_URL
    except OSError:
        return None
    named = read(workspace).get("store", {})
    return named.get("url", STORE_URL) if isinstance(named, dict) else None
