"""The log: a line at its level."""

from __future__ import annotations


def test_a_message_is_logged_at_its_level(run):
    lines = []
    assert run("log.write", {"message": "a\nb", "level": "warning"}, log=lambda *line: lines.append(line)) is None
    assert lines == [("warning", "a\nb")]
