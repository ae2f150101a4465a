"""Reads stored JSON, a large document piece by piece: other threads go on meanwhile, above all the one that draws."""

from __future__ import annotations

import json
import re
from json.decoder import scanstring  # type: ignore[attr-defined]

from data.job_records import JsonValue

AT_ONCE = 200_000
"""Characters that are read in one go, in which no other thread runs: a few milliseconds."""
PIECE = 65_536

_CHARACTERS = re.compile(r'(?:[^"\\]+|\\u[0-9a-fA-F]{4}|\\[^u])*')
"""What stands in a text, no escape of it cut."""

_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]


def read_json(text: str) -> JsonValue:
    """Return the document in `text`, as `json.loads` does."""
    if len(text) <= AT_ONCE:
        return json.loads(text)
    try:
        value, end = _value(text, 0)
    except (ValueError, StopIteration, IndexError, RecursionError):
        # Written otherwise than we write it, or very deep.
        return json.loads(text)
    return value if end == len(text) else json.loads(text)


def _value(text: str, at: int) -> tuple[JsonValue, int]:
    """Return the value that begins at `at`, and where it ends; raises what reading it from a cut text raises."""
    read = _READERS.get(text[at])
    if read is None:
        return _scan(text, at)
    try:
        value, length = _scan(text[at : at + PIECE], 0)
    except (ValueError, StopIteration):
        return read(text, at)
    return value, at + length


def _mapping(text: str, at: int) -> tuple[dict[str, JsonValue], int]:
    value: dict[str, JsonValue] = {}
    while text[at] != "}":
        key, at = scanstring(text, _expect(text, at + 1, '"'), True)
        value[key], at = _value(text, _expect(text, at, ":"))
        if text[at] not in ",}":
            raise ValueError(text[at])
    return value, at + 1


def _list(text: str, at: int) -> tuple[list[JsonValue], int]:
    value: list[JsonValue] = []
    while text[at] != "]":
        one, at = _value(text, at + 1)
        value.append(one)
        if text[at] not in ",]":
            raise ValueError(text[at])
    return value, at + 1


def _text(text: str, at: int) -> tuple[str, int]:
    pieces: list[str] = []
    at += 1
    while text[at] != '"':
        end = _CHARACTERS.match(text, at, at + PIECE).end()  # type: ignore[union-attr]
        if end == at:
            raise ValueError(text[at])
        piece = scanstring(text[at:end] + '"', 0, True)[0]
        if pieces and "\ud800" <= pieces[-1][-1] <= "\udbff" and "\udc00" <= piece[0] <= "\udfff":
            # A character beyond the first 65,536 stands there as two, and was cut between them.
            high, low = ord(pieces[-1][-1]), ord(piece[0])
            pieces[-1], piece = pieces[-1][:-1], chr(0x10000 + (high - 0xD800) * 0x400 + low - 0xDC00) + piece[1:]
        pieces.append(piece)
        at = end
    return "".join(pieces), at + 1


def _expect(text: str, at: int, character: str) -> int:
    if text[at] != character:
        raise ValueError(text[at])
    return at + 1


_READERS = {"{": _mapping, "[": _list, '"': _text}
