"""Paths of recipes: relative ones lie under the workspace, and what comes from outside may not lead elsewhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from core.errors import StepError

SETTINGS = "jobdeck.toml"
RECIPES = "recipes"


def _plain(path: str) -> str:
    if "\0" in path:
        raise ValueError("a path cannot hold a NUL character")
    try:
        path.encode()
    except UnicodeEncodeError:
        raise ValueError("a path cannot hold half of a surrogate pair") from None
    return path


PathText = Annotated[str, Field(min_length=1), AfterValidator(_plain)]
"""A model's field that is a path."""


def located(workspace: Path, path: str, *, templated: bool, writes: bool) -> Path:
    """Return where `path` is; one from a template is resolved, and refused where it is not an event's to name.

    Such a path must lie in the workspace with its links followed, and outside of what Jobdeck itself reads from there:
    names that begin with a dot, jobdeck.toml and, for writing, the recipes. Raises StepError of kind `path`.
    """
    if not templated:
        return workspace / path
    root = Path(os.path.realpath(workspace))
    resolved = Path(os.path.realpath(root / path))
    if not resolved.is_relative_to(root):
        raise StepError(f"{path!r} comes from a template and leads out of the workspace", "path")
    # Compared without case: some file systems do not tell .JOBDECK from .jobdeck.
    parts = [part.casefold() for part in resolved.relative_to(root).parts]
    own = parts[:1] == [SETTINGS] or any(part.startswith(".") for part in parts)
    if own or (writes and parts[:1] == [RECIPES]):
        raise StepError(f"{path!r} comes from a template and leads to a file of the workspace itself", "path")
    return resolved


def reason(error: OSError) -> str:
    """Return why the system refused, as the end of a sentence."""
    return (error.strerror or str(error)).lower()
