"""What the engine logs and tells the terminal that started it: one line each, and nothing that a terminal obeys."""

from __future__ import annotations

import json

HOSTILE = "\x1b]52;c;aGk=\x07\x1b[2J\x9b\x7f\r\nerror: forged\u2028\u202e\ud800"


def test_what_an_event_has_logged_is_one_line_that_no_terminal_obeys(workspace, capsys):
    workspace.recipe('steps: [{action: log.write, with: {message: "said {{ trigger.said }}", level: warning}}]')
    workspace.run({"said": HOSTILE})
    (told,) = [line for line in capsys.readouterr().out.split("\n") if "said" in line]
    assert told.startswith("warning: job 1: said ^[]52;c;aGk=^G^[[2J\\x9b^?⏎error: forged")
    assert told.isprintable()
    logged = (workspace.path / ".jobdeck" / "engine.log").read_bytes()
    assert all(0x20 <= byte < 0x7F or byte == 0x0A for byte in logged)
    records = [json.loads(line) for line in logged.splitlines()]
    assert [one["message"] for one in records if "said" in one["message"]] == [f"job 1: said {HOSTILE}"]
