"""What a key may write to a terminal of 80x24, and what it does write: bytes, counted in a pty."""

from __future__ import annotations

from terminal import Terminal

BYTES = {
    "a move": 200,
    "a move that scrolls": 400,
    "a column": 200,
    "a page": 1_500,
    "the end, the top": 1_600,
    "a mark": 100,
    "a message": 200,
    "another pane": 200,
    "a job and back": 5_000,
    "nothing, 1.5 s": 0,
}
"""Bytes for each; where something is done twice, for the dearer of the two."""
IDLE = 1.5


def spent(terminal: Terminal) -> dict[str, int]:
    """Return the bytes that each of `BYTES` takes; the terminal shows the report's first page, the cursor on top."""

    def writes(*keys: str) -> int:
        return max(len(terminal.written_by(key)) for key in keys)

    found = {"a move": writes("j", "k"), "a column": writes("l", "h"), "a mark": writes(" ", " ")}
    # From the last row of the screen on, and back over its first.
    writes("G")
    found["a move that scrolls"] = writes(*"k" * 24)
    found["a page"] = writes("\x1b[5~", "\x1b[5~", "\x1b[6~")
    found["the end, the top"] = writes("G", "g")
    found["a message"] = writes("-")
    terminal.wait_until_quiet()
    before = len(terminal.received)
    terminal.send("\r")
    terminal.wait_for("trigger event")
    terminal.wait_until_quiet(1.0)
    there = len(terminal.received) - before
    found["another pane"] = writes("\t", "\t")
    found["a job and back"] = there + len(terminal.written_by("\x1b"))
    at = len(terminal.received)
    terminal.wait_until_quiet(IDLE)
    found["nothing, 1.5 s"] = len(terminal.received) - at
    return found
