"""Makes a new workspace: settings and one recipe, commented, that works at once."""

from __future__ import annotations

from pathlib import Path

from core.errors import WorkspaceError

SETTINGS = """\
# This folder is a Jobdeck workspace: this file holds its settings, recipes/ its recipes,
# .jobdeck/ its database and logs. Everything here is optional; what is commented out shows the default or an example.

# Recipes read these as {{ props.NAME }}.
[props]
# chat_url = "https://chat.example.com/hook"

# What recipes talk to. Secrets stay out of this file: {env = "NAME"} or {file = "path"}.
# [connections.shop]
# type = "sql"
# url = "sqlite:///shop.db"
#
# [connections.api]
# type = "http"
# base_url = "https://api.example.com"
# headers = {Authorization = {env = "API_AUTH"}}

[engine]
# listen = "127.0.0.1:8321"     # webhooks: POST /hooks/<path>
# slots = 16                    # jobs at once
# body_limit = "5MiB"           # larger deliveries are refused
# retention = "30d"             # how long trigger data and step data are kept, where a recipe says nothing
"""

RECIPE = """\
# A recipe: what starts a job (trigger), and what the job does (steps).
# The file's name is the recipe's name. Check it with: jobdeck check hello
description: Greets whoever an event names

# Only what is handed in by hand or by scripts: echo '{"name": "Ada"}' | jobdeck send hello
trigger:
  manual.event: {}

# What the jobs report shows for a job; {{ ... }} is an expression.
title: "Hello, {{ trigger.name | default('world') }}"

steps:
  - id: greeting
    set:
      text: "Hello, {{ trigger.name | default('world') }}!"
  - id: greet
    action: log.write
    with:
      message: "{{ steps.greeting.text }}"
"""

# Trigger data and step data live in there: nothing to put under version control.
_IGNORED = "*\n"


def create(directory: Path) -> Path:
    """Make `directory` a workspace and return it, absolute; nothing that is there is written over.

    Raises WorkspaceError where one of the files is there already, or the folder cannot be written.
    """
    workspace = directory.absolute()
    files = {
        workspace / "jobdeck.toml": SETTINGS,
        workspace / "recipes" / "hello.yaml": RECIPE,
    }
    for path in files:
        if path.exists() or path.is_symlink():
            raise WorkspaceError(f"{path} is there already, and nothing is written over: choose another folder")
    try:
        (workspace / "recipes").mkdir(parents=True, exist_ok=True)
        (workspace / ".jobdeck").mkdir(mode=0o700, exist_ok=True)
        _write({workspace / ".jobdeck" / ".gitignore": _IGNORED}, replace=True)
        _write(files, replace=False)
    except OSError as error:
        raise WorkspaceError(f"{error.filename}: the workspace cannot be written: {error.strerror}") from error
    return workspace


def _write(files: dict[Path, str], *, replace: bool) -> None:
    for path, text in files.items():
        with path.open("w" if replace else "x", encoding="utf-8") as file:
            file.write(text)
