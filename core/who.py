"""Who acts: what is written beside all that a person asks for."""

from __future__ import annotations

import getpass
import os

from core.text import storable


def actor() -> str:
    """Return who acts: the login name, with `@` and the SSH client's address where there is one."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):
        name = str(os.getuid())
    client = os.environ.get("SSH_CONNECTION", "").split(" ")[0]
    return storable(f"{name}@{client}" if client else name)
