"""Reads the JSON events that `jobdeck send` hands in, strictly: what is wrong is told with file, line and column."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from core.errors import JobdeckError, Refused
from data.job_records import JsonValue

# Strings, so that nothing in them counts, and the words and numbers outside of them.
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|(-?[A-Za-z0-9][A-Za-z0-9.+-]*)')


class NotJson(JobdeckError):
    """A document is not JSON; the sentence begins with `file:line:column`."""


class NotSent(JobdeckError):
    """An event stops the sending; says how many before it were sent."""

    def __init__(self, why: JobdeckError, sent: int) -> None:
        were = "event was" if sent == 1 else "events were"
        code = f" ({why.code})" if isinstance(why, Refused) else ""
        super().__init__(f"{why}{code}\n{sent:,} {were} sent before it; this one and what follows it were not")


def read_events(files: Iterable[str], lines: bool) -> Iterator[JsonValue]:
    """Yield the events of files, `-` for standard input: one of each, or with `lines` one of each line.

    Raises NotJson at the first that is none, after those before it.
    """
    for name in files:
        with _opened(name) as (shown, stream):
            if lines:
                yield from _of_lines(shown, stream)
            else:
                yield parse(stream.read(), shown)


def batches(events: Iterable[JsonValue], size: int) -> Iterator[list[JsonValue]]:
    """Yield events by so many; where reading them fails, first those that were read."""
    batch: list[JsonValue] = []
    try:
        for event in events:
            batch.append(event)
            if len(batch) == size:
                yield batch
                batch = []
    except JobdeckError:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def parse(text: bytes, name: str, line: int = 1) -> JsonValue:
    """Return the JSON document in `text`, which begins at `line` of the file `name`, or raise NotJson."""
    from core.webhooks import parse_json

    try:
        return parse_json(text)
    except json.JSONDecodeError as error:
        before, why = error.doc[: error.pos], f"not JSON: {error.msg}"
    except ValueError as error:
        before, why = _before_fault(text), str(error)
    column = len(before) - (before.rfind("\n") + 1) + 1
    raise NotJson(f"{name}:{line + before.count(chr(10))}:{column}: {why}")


@contextmanager
def _opened(name: str) -> Iterator[tuple[str, BinaryIO]]:
    if name == "-":
        yield "<stdin>", sys.stdin.buffer
        return
    try:
        with Path(name).open("rb") as stream:
            yield name, stream
    except OSError as error:
        raise NotJson(f"{name}: cannot be read: {error.strerror}") from error


def _of_lines(name: str, stream: BinaryIO) -> Iterator[JsonValue]:
    for number, line in enumerate(stream, 1):
        if line.strip():
            yield parse(line.rstrip(b"\r\n"), name, number)


def _before_fault(text: bytes) -> str:
    """Return what stands before the first thing that Python's reader takes and JSON does not have."""
    try:
        decoded = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return text[: error.start].decode("utf-8-sig")
    found = (match for match in _TOKENS.finditer(decoded) if match[1])
    return next((decoded[: match.start()] for match in found if not _is_json(match[1])), "")


def _is_json(token: str) -> bool:
    digits = token.removeprefix("-")
    if digits.isdecimal():
        return len(digits) <= sys.get_int_max_str_digits()
    try:
        return math.isfinite(float(token))
    except ValueError:
        return True
