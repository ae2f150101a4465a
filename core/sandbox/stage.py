"""The demo's world as a process of its own: the help desk, somebody at work in the CRM, the engine.

It lives for as long as its standard input stays open: it never outlives the demo that started it, however that ended.
"""

from __future__ import annotations

import base64
import os
import secrets
import signal
import sys
import threading
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

from core.automation import Automation
from core.errors import JobdeckError, WorkspaceError
from core.sandbox.accounts import Accounts
from core.sandbox.desk import desk_app
from core.sandbox.serve import Served
from core.settings import FILE as SETTINGS
from core.settings import load

CRM = "crm.db"
DESK = "desk.db"
SECRET = "desk.secret"
RECIPE = "sync_accounts"
READY = "ready"

PACE_S = 1.2
"""How often somebody does something in the CRM."""

_SAMPLES = files("core.sandbox")
_USER = "demo@desk.example/token:"


def main(workspace: Path) -> int:
    """Run the stage in `workspace`, furnished if it is empty; say READY, or why not, on standard output."""
    closed = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: closed.set())
    threading.Thread(target=_await_starters_end, args=(closed,), daemon=True).start()
    try:
        _run(workspace, closed)
    except (JobdeckError, OSError) as error:
        print(error, flush=True)
        return 1
    return 0


def _await_starters_end(closed: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    closed.set()


def _run(workspace: Path, closed: threading.Event) -> None:
    with _desk(workspace) as desk, closing(Accounts(workspace / CRM)) as accounts:
        _furnish(workspace, desk.url)
        with Automation(workspace) as automation:
            automation.start_engine()
            try:
                print(READY, flush=True)
                while not closed.wait(PACE_S):
                    accounts.act()
            finally:
                # Before the desk is gone: a job under way would only fail.
                automation.stop_engine()


def _desk(workspace: Path) -> Served:
    """Serve the desk, where an earlier demo in this workspace had it; raises WorkspaceError where that is taken."""
    port = _known_port(workspace)
    try:
        return Served(desk_app(workspace / DESK, token=_token(workspace)), port=port)
    except OSError as error:
        raise WorkspaceError(
            f"the help desk of {workspace} cannot listen on 127.0.0.1:{port}: {error.strerror}; "
            f"end what uses the port (another `jobdeck demo`?), or use another folder"
        ) from error


def _known_port(workspace: Path) -> int:
    """Return the port that the settings name, 0 where there are none yet."""
    if not (workspace / SETTINGS).exists():
        return 0
    desk = load(workspace).connections.get("desk", {})
    return urlsplit(str(desk.get("base_url", ""))).port or 0


def _token(workspace: Path) -> str:
    """Return the desk's token; the file beside the settings holds the header that carries it."""
    path = workspace / SECRET
    if not path.exists():
        coded = base64.b64encode(f"{_USER}{secrets.token_hex(16)}".encode()).decode()
        path.touch(mode=0o600)
        path.write_text(f"Basic {coded}\n", encoding="utf-8")
    coded = path.read_text(encoding="utf-8").split()[-1]
    return base64.b64decode(coded).decode().removeprefix(_USER)


def _furnish(workspace: Path, desk_url: str) -> None:
    """Write the sample settings and the sample recipe where there are none."""
    if (workspace / SETTINGS).exists():
        return
    (workspace / "recipes").mkdir(exist_ok=True)
    sample = _SAMPLES.joinpath("recipes", f"{RECIPE}.yaml").read_text(encoding="utf-8")
    (workspace / "recipes" / f"{RECIPE}.yaml").write_text(sample, encoding="utf-8")
    settings = _SAMPLES.joinpath("demo.toml").read_text(encoding="utf-8")
    (workspace / SETTINGS).write_text(settings.replace("@DESK@", desk_url), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
