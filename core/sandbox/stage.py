"""The demo's world as a process of its own: the stand-in CRM and help desk, people at work, the engine.

It lives for as long as its standard input stays open: it never outlives the demo that started it, however that ended.
"""

from __future__ import annotations

import itertools
import json
import os
import secrets
import signal
import sys
import threading
import urllib.request
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

from starlette.applications import Starlette

from core.automation import Automation
from core.errors import JobdeckError, WorkspaceError
from core.places import FILE as SETTINGS
from core.sandbox.accounts import Accounts
from core.sandbox.crm import crm_app
from core.sandbox.desk import desk_app
from core.sandbox.leads import Leads
from core.sandbox.serve import Served
from core.settings import load

CRM = "crm.db"
DESK = "desk.db"
LEADS = "leads.db"
CRM_SECRET = ".jobdeck/crm.secret"
DESK_TOKEN = ".jobdeck/desk.token"
RECIPE = "sync_accounts"
LEADS_RECIPE = "import_leads"
READY = "ready"

PACE_S = 1.2
"""How often somebody does something in the CRM or on the web site."""

_SAMPLES = files("core.sandbox")
_CLIENT = "jobdeck-demo"


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
    crm_there = crm_app(workspace / CRM, client_id=_CLIENT, client_secret=_secret(workspace / CRM_SECRET))
    desk_there = desk_app(workspace / DESK, token=_secret(workspace / DESK_TOKEN))
    with (
        _served(workspace, "crm", crm_there) as crm,
        _served(workspace, "desk", desk_there) as desk,
        closing(Accounts(workspace / CRM)) as accounts,
        closing(Leads(workspace / LEADS)) as leads,
    ):
        _furnish(workspace, crm.url, desk.url)
        with Automation(workspace) as automation:
            _stumble(desk.url)
            automation.start_engine()
            try:
                print(READY, flush=True)
                _work(accounts, leads, desk.url, closed)
            finally:
                # Before the apps are gone: a job under way would only fail.
                automation.stop_engine()


def _work(accounts: Accounts, leads: Leads, desk_url: str, closed: threading.Event) -> None:
    """Let people work at their pace until it is closed; now and then the desk stumbles."""
    for turn in itertools.count(1):
        if closed.wait(PACE_S):
            return
        worker = leads if turn % 4 == 0 else accounts
        worker.act()
        if turn % 25 == 0:
            _stumble(desk_url)


def _stumble(desk_url: str) -> None:
    """Have the desk answer the next new organization and the next new ticket with 503: nothing is wrong with them."""
    for path in ("/api/v2/organizations", "/api/v2/tickets"):
        fault = {"match": {"method": "POST", "path": path}, "status": 503}
        headers = {"Content-Type": "application/json"}
        sent = urllib.request.Request(f"{desk_url}/sandbox/faults", json.dumps(fault).encode(), headers)
        with urllib.request.urlopen(sent, timeout=10):
            pass


def _served(workspace: Path, name: str, app: Starlette) -> Served:
    """Serve an app where an earlier demo in this workspace had it; raises WorkspaceError where that is taken."""
    port = _known_port(workspace, name)
    try:
        return Served(app, port=port)
    except OSError as error:
        raise WorkspaceError(
            f"the {name} of {workspace} cannot listen on 127.0.0.1:{port}: {error.strerror}; "
            f"end what uses the port (another `jobdeck demo`?), or use another folder"
        ) from error


def _known_port(workspace: Path, name: str) -> int:
    """Return the port that the settings name for a connection, 0 where there are none yet."""
    if not (workspace / SETTINGS).exists():
        return 0
    connection = load(workspace).connections.get(name, {})
    url = connection.get("base_url") or connection.get("instance_url")
    return urlsplit(str(url or "")).port or 0


def _secret(path: Path) -> str:
    """Return the secret that is kept there, a new one where there is none."""
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(f"{secrets.token_hex(16)}\n", encoding="utf-8")
    return path.read_text(encoding="utf-8").strip()


def _furnish(workspace: Path, crm_url: str, desk_url: str) -> None:
    """Write the sample settings and the sample recipes where there are none."""
    if (workspace / SETTINGS).exists():
        return
    (workspace / "recipes").mkdir(exist_ok=True)
    for name in (RECIPE, LEADS_RECIPE):
        sample = _SAMPLES.joinpath("recipes", f"{name}.yaml").read_text(encoding="utf-8")
        (workspace / "recipes" / f"{name}.yaml").write_text(sample, encoding="utf-8")
    settings = _SAMPLES.joinpath("demo.toml").read_text(encoding="utf-8")
    settings = settings.replace("@CRM@", crm_url).replace("@DESK@", desk_url)
    (workspace / SETTINGS).write_text(settings, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
