"""A terminal in a pty for tests: runs a program, answers as a terminal does, shows its screen, counts its bytes."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType

import pyte

ROOT = Path(__file__).parents[2]
_TELLING = ("NO_COLOR", "TEXTUAL", "SSH_", "TMUX", "STY", "JOBDECK_")
"""Beginnings of variables that would have a program draw otherwise."""
QUIET = 0.25
"""Seconds without a byte after which a program is taken to be done writing."""


@dataclass(frozen=True, slots=True)
class Link:
    """A slow line between program and terminal; what has to wait is kept by its near end, as an SSH server does."""

    bytes_per_second: float = float("inf")
    latency: float = 0.0
    """Seconds that a byte takes, each way."""


class Delayed:
    """Passes pieces on, each when it has come through a link."""

    def __init__(self, link: Link, then: Callable[[bytes], object]) -> None:
        self._link = link
        self._then = then
        self._free_at = 0.0
        self._pieces: SimpleQueue[tuple[float, bytes] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._pass_on, daemon=True)
        self._thread.start()

    def put(self, piece: bytes) -> None:
        """Send a piece into the link."""
        self._free_at = max(self._free_at, time.monotonic()) + len(piece) / self._link.bytes_per_second
        self._pieces.put((self._free_at + self._link.latency, piece))

    def close(self) -> None:
        """Pass on what is on its way, and end."""
        self._pieces.put(None)
        self._thread.join(10)

    def _pass_on(self) -> None:
        while (item := self._pieces.get()) is not None:
            due, piece = item
            time.sleep(max(due - time.monotonic(), 0))
            self._then(piece)


class Terminal:
    """A running program and the screen that it has drawn; every wait has a deadline."""

    def __init__(
        self, argv: Sequence[str], *, columns: int = 80, lines: int = 24, environment: dict[str, str] | None = None,
        link: Link = Link(), answers: bool = True,
    ) -> None:
        """`answers`: whether it tells where its cursor is."""
        self._answers = answers
        self.screen = pyte.Screen(columns, lines)
        # Without it, pyte's next line (ESC E) goes down and not to the left, as terminals do.
        self.screen.set_mode(pyte.modes.LNM)
        self.received = bytearray()
        self._stream = pyte.ByteStream(self.screen)
        self._written_at = time.monotonic()
        self._news = threading.Condition()
        self._ours, theirs = pty.openpty()
        self._resize(columns, lines)
        settings = {"TERM": "xterm-256color", "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"}
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(_TELLING)}
        self.process = subprocess.Popen(
            argv, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, close_fds=True,
            env={**inherited, **settings, **(environment or {})},
        )
        os.close(theirs)
        self._up, self._down = Delayed(link, self._type), Delayed(link, self._receive)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the program, if it has not ended, and everything that it started."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        self._reader.join(10)
        self._down.close()
        self._up.close()
        os.close(self._ours)

    def send(self, keys: str) -> None:
        """Type keys, as the bytes that a terminal sends for them."""
        self._up.put(keys.encode())

    def _type(self, keys: bytes) -> None:
        # What the terminal answers to a program that has just ended goes nowhere.
        with suppress(OSError):
            os.write(self._ours, keys)

    def text(self) -> str:
        """Return the screen as lines of text."""
        with self._news:
            return "\n".join(line.rstrip() for line in self.screen.display)

    def wait_for(self, condition: str | Callable[[str], bool], seconds: float = 15.0) -> str:
        """Wait until the screen has a text, or a condition holds of it; return the screen."""
        holds = condition if callable(condition) else lambda screen: condition in screen
        deadline = time.monotonic() + seconds
        while not holds(screen := self.text()):
            with self._news:
                if not self._news.wait(min(0.05, deadline - time.monotonic())) and time.monotonic() > deadline:
                    raise AssertionError(f"not within {seconds} s: {condition}; the screen is\n{screen}")
        return screen

    def wait_until_quiet(self, quiet: float = QUIET, seconds: float = 15.0) -> None:
        """Wait until nothing was written for `quiet` seconds."""
        deadline = time.monotonic() + seconds
        while (left := self._written_at + quiet - time.monotonic()) > 0:
            if time.monotonic() > deadline:
                raise AssertionError(f"still writing after {seconds} s")
            with self._news:
                self._news.wait(left)

    def written_by(self, keys: str) -> bytes:
        """Type keys and return everything that was written until it was quiet again."""
        self.wait_until_quiet()
        with self._news:
            begin = len(self.received)
        self.send(keys)
        with self._news:
            self._news.wait_for(lambda: len(self.received) > begin, 2)
        self.wait_until_quiet()
        with self._news:
            return bytes(self.received[begin:])

    def _resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def resize(self, columns: int, lines: int) -> None:
        """Give the terminal another size, and tell the program."""
        with self._news:
            self.screen.resize(lines, columns)
        self._resize(columns, lines)
        os.killpg(self.process.pid, signal.SIGWINCH)

    def redrawn(self) -> str:
        """Lose what is shown, tell the program of a resize, and return the screen that it draws anew."""
        self.wait_until_quiet()
        with self._news:
            self._stream.feed(b"\x1b[2J")
            begin = len(self.received)
            os.killpg(self.process.pid, signal.SIGWINCH)
            self._news.wait_for(lambda: len(self.received) > begin, 15)
        self.wait_until_quiet()
        return self.text()

    def _read(self) -> None:
        while True:
            try:
                piece = os.read(self._ours, 65536)
            except OSError:
                return
            if not piece:
                return
            self._down.put(piece)

    def _receive(self, piece: bytes) -> None:
        with self._news:
            self.received += piece
            self._written_at = time.monotonic()
            self._stream.feed(piece)
            self._news.notify_all()
        for _ in range(piece.count(b"\x1b[6n") * self._answers):
            # The cursor position report (ECMA-48 DSR 6), by which a program knows that all before was drawn.
            self._up.put(f"\x1b[{self.screen.cursor.y + 1};{self.screen.cursor.x + 1}R".encode())


def jobdeck(
    workspace: Path, *, columns: int = 80, lines: int = 24, link: Link = Link(), answers: bool = True,
    arguments: Sequence[str] = (), **environment: str,
) -> Terminal:
    """Return the terminal UI, opened on a workspace."""
    argv = [sys.executable, "-c", "from tui.main import main; main()", *arguments]
    environment["JOBDECK_WORKSPACE"] = str(workspace)
    return Terminal(argv, columns=columns, lines=lines, environment=environment, link=link, answers=answers)
