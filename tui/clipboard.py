"""The clipboard, from inside tmux, screen or neither; and always a file, since no terminal says whether it took it."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from tui.surroundings import console

OSC_LIMIT = 74_994
"""Bytes of base64 that common terminals still take in one OSC 52."""
_TOO_LONG = "not to the clipboard: it is too long for a terminal"
_CHUNK = 240
"""Bytes in one of the strings that GNU screen passes on (DCS); it takes no long ones."""
_WAIT = 2.0
_PIECE = 65_536
"""Characters that are encoded in one go."""


def way(environment: Mapping[str, str] = os.environ) -> str:
    """Return the way to the clipboard from here: `tmux`, `screen`, `osc52`, or empty where there is none."""
    if environment.get("TMUX"):
        return "tmux"
    term = environment.get("TERM", "")
    if environment.get("STY") or term.startswith("screen"):
        return "screen"
    return "" if console(environment) else "osc52"


def copy(pieces: Sequence[str], write: Callable[[str], object], folder: Path) -> str:
    """Put a text, given in pieces, on the clipboard and in a file, and return in words which way it went.

    `write` writes to the terminal; `folder` is for the file where the user has no runtime folder (XDG).
    """
    told = [_by(pieces, write), _in_file(pieces, folder)]
    return "; ".join(part for part in told if part)


def clip_file(folder: Path, environment: Mapping[str, str] = os.environ) -> Path:
    """Return the file for what was copied last."""
    runtime = environment.get("XDG_RUNTIME_DIR")
    return Path(runtime, "jobdeck", "clip.txt") if runtime and Path(runtime).is_dir() else folder / "clip.txt"


def _by(pieces: Sequence[str], write: Callable[[str], object]) -> str:
    chosen = way()
    # In tmux by tmux itself, which passes no OSC 52 on as it comes.
    if chosen == "tmux" and _tmux(pieces):
        return "by tmux"
    if not chosen:
        return "not to the clipboard: this terminal has no way to it"
    # Of so long a text it is known before it is encoded.
    if sum(map(len, pieces)) > OSC_LIMIT:
        return _TOO_LONG
    encoded = base64.b64encode(b"".join(_encoded(pieces))).decode()
    if len(encoded) > OSC_LIMIT:
        return _TOO_LONG
    sequence = f"\x1b]52;c;{encoded}\a"
    write(_through_screen(sequence) if chosen == "screen" else sequence)
    return f"by OSC 52{' through screen' if chosen == 'screen' else ''}, if the terminal takes it"


def _through_screen(sequence: str) -> str:
    pieces = (sequence[at : at + _CHUNK] for at in range(0, len(sequence), _CHUNK))
    return "".join(f"\x1bP{piece}\x1b\\" for piece in pieces)


def _tmux(pieces: Sequence[str]) -> bool:
    command = ["tmux", "load-buffer", "-w", "-"]
    try:
        done = subprocess.run(command, input=b"".join(_encoded(pieces)), capture_output=True, timeout=_WAIT)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _in_file(pieces: Sequence[str], folder: Path) -> str:
    file = clip_file(folder)
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Anew: one that is there may be another's to read, or lead elsewhere.
        file.unlink(missing_ok=True)
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.writelines(_encoded(pieces))
    except OSError as error:
        return f"not in {file}: {error.strerror}"
    return f"also in {file}"


def _encoded(pieces: Iterable[str]) -> Iterator[bytes]:
    # Piece by piece, so that the thread that draws goes on meanwhile.
    for text in pieces:
        for at in range(0, len(text), _PIECE):
            yield text[at : at + _PIECE].encode("utf-8", "replace")
