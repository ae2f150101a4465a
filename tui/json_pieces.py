"""JSON written out in small pieces: however large a value is, other threads go on meanwhile, and it may be deep."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TypeAlias

from data.job_records import JsonValue

PIECE = 65_536
"""Characters that are written in one go."""

Entries: TypeAlias = Iterator[tuple[str, JsonValue]]


def json_pieces(value: JsonValue | Mapping[str, JsonValue]) -> Iterator[str]:
    """Yield a value as JSON as `json.dumps` writes it with an indent of two, text in Unicode, piece by piece."""
    gathered: list[str] = []
    size = 0
    for part in _parts(value):
        gathered.append(part)
        size += len(part)
        if size >= PIECE:
            yield "".join(gathered)
            gathered, size = [], 0
    yield "".join(gathered)


def _parts(value: JsonValue | Mapping[str, JsonValue]) -> Iterator[str]:
    stack: list[tuple[Entries, str]] = [(iter([("", value)]), "")]
    while stack:
        entries, closing = stack[-1]
        for head, inner in entries:
            yield head
            if inner and isinstance(inner, (Mapping, list, tuple)):
                line = "\n" + "  " * len(stack)
                opening, closing = ("{", "}") if isinstance(inner, Mapping) else ("[", "]")
                yield opening
                stack.append((_entries(inner, line), line[:-2] + closing))
                break
            yield from _text(inner) if isinstance(inner, str) else [json.dumps(inner)]
        else:
            yield closing
            stack.pop()


def _entries(value: JsonValue, line: str) -> Entries:
    between = line
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield f"{between}{json.dumps(key, ensure_ascii=False)}: ", inner
            between = "," + line
    else:
        for inner in value:
            yield between, inner
            between = "," + line


def _text(text: str) -> Iterator[str]:
    if len(text) <= PIECE:
        yield json.dumps(text, ensure_ascii=False)
        return
    yield '"'
    for at in range(0, len(text), PIECE):
        yield json.dumps(text[at : at + PIECE], ensure_ascii=False)[1:-1]
    yield '"'
