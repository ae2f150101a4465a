"""The engine as a process of its own, as a terminal starts it."""

from __future__ import annotations

import json
from typing import Any


def test_an_engine_that_a_terminal_started_logs_its_own_messages(workspace: Any) -> None:
    workspace.settings('[engine]\nlisten = "127.0.0.1:0"\n')
    workspace.recipe("nonsense: true\n", name="broken")
    workspace.automation.start_engine()
    assert not workspace.automation.stop_engine().running
    lines = (workspace.path / ".jobdeck" / "engine.log").read_text().splitlines()
    told = [json.loads(line)["message"] for line in lines]
    assert any(" started, listening on 127.0.0.1:" in message for message in told)
    assert any(message.startswith("broken is broken: ") for message in told)
    assert told[-1].endswith(" stopped")
