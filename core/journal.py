"""The journal of one run: what every step did, durable before it acts, under the token that the run holds."""

from __future__ import annotations

import datetime as dt
import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from time import monotonic
from typing import Protocol
from urllib.parse import quote, quote_plus

from data.encoding import dump_json
from data.job_records import Error, JsonValue
from data.records import StepRecord
from data.runs import Progress, Settled, StepRow, Token, step_row
from data.states import StepStatus

Clock = Callable[[], dt.datetime]
Completed = Callable[[str, tuple[int, ...], str, JsonValue], tuple[JsonValue, int] | None]


class Recorder(Protocol):
    """Where records go: data.writer.Writer."""

    def record(self, progress: Progress) -> bool:
        """Write what a run has to say; False if its token was taken over."""


class Fenced(Exception):
    """The version was taken over: this run writes nothing more and stops without a word."""


class Masking:
    """Replaces the secrets that are known in whatever is recorded."""

    MASK = "••••"

    def __init__(self, secrets: Iterable[str]) -> None:
        texts = sorted({form for secret in secrets for form in _forms(secret)}, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, texts))) if texts else None

    def text(self, text: str) -> str:
        """Return `text` without secrets."""
        return self._pattern.sub(self.MASK, text) if self._pattern else text

    def json(self, value: JsonValue) -> JsonValue:
        """Return a JSON value without secrets; the value itself where it holds none."""
        if self._pattern is None:
            return value
        found = self._pattern.search(json.dumps(value, ensure_ascii=False))
        return value if found is None else self._masked(value)

    def _masked(self, value: JsonValue) -> JsonValue:
        # Text by text: a secret may look like a number, or like JSON's own punctuation.
        match value:
            case str():
                return self.text(value)
            case dict():
                return {self.text(key): self._masked(inner) for key, inner in value.items()}
            case list() | tuple():
                return [self._masked(inner) for inner in value]
        return value

    @classmethod
    def hides(cls, value: JsonValue) -> bool:
        """Return whether something may have been masked in a recorded value."""
        return cls.MASK in json.dumps(value, ensure_ascii=False)


_WORD = 8
"""Characters of the shortest part of a secret, and of the shortest secret written otherwise, that is no mere word."""


def _forms(secret: str) -> set[str]:
    """Return a secret as it may be met: written for JSON, its words alone (`Bearer TOKEN`), for URLs, in base64."""
    words = {word for word in secret.split() if len(word) >= _WORD}
    plain = {secret, *words} - {""}
    # The lines of a key are too many to look for in each way.
    encoded = {secret} if "\n" in secret else plain
    return plain | {form for text in plain for form in _in_json(text)} | {
        form for text in encoded if len(text) >= _WORD for form in (*_in_url(text), *_in_base64(text))
    }


def _in_json(text: str) -> tuple[str, str]:
    return json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]


def _in_url(text: str) -> set[str]:
    raw = text.encode("utf-8", "surrogatepass")
    quoted = {quote(raw, safe=""), quote(raw), quote_plus(raw)}
    return quoted | {re.sub("%..", lambda code: code[0].lower(), one) for one in quoted}


def _in_base64(text: str) -> Iterator[str]:
    """Yield what base64 makes of a text wherever it stands in what is encoded, as in `user:TOKEN`."""
    raw = text.encode("utf-8", "surrogatepass")
    for before in range(3):
        # Only the characters that nothing before or after the text has a part in.
        whole = slice(-(-before * 8 // 6), (before + len(raw)) * 8 // 6)
        for encode in (b64encode, urlsafe_b64encode):
            yield encode(bytes(before) + raw)[whole].decode("ascii")


class Journal:
    """What one run of a version has recorded, and the way to record more."""

    def __init__(
        self, writer: Recorder, token: Token, earlier: Iterable[StepRecord], *, clock: Clock, masking: Masking,
        completed: Completed,
    ) -> None:
        """`earlier`: the records that former attempts of the same version left; `completed`: see `completed_before`."""
        self._completed = completed
        self._writer = writer
        self._token = token
        self._clock = clock
        self._masking = masking
        self._records = {record.path: record for record in earlier}
        self._next = 1 + max((record.ordinal for record in self._records.values()), default=0)
        self._unwritten: dict[str, StepRow] = {}
        self._began: dict[str, float] = {}
        self._last_input: tuple[JsonValue, str] | None = None

    @property
    def records(self) -> list[StepRecord]:
        """What is recorded, in the order in which the steps first began."""
        return sorted(self._records.values(), key=lambda record: record.ordinal)

    def recall(self, path: str) -> StepRecord | None:
        """Return what is recorded of the step at `path`, by this attempt or a former one."""
        return self._records.get(path)

    def take_over(self, records: Iterable[StepRecord]) -> None:
        """Record, with the next write, what an earlier version did as done; what this version has recorded stays."""
        for record in records:
            if record.path not in self._records:
                self._put(record._replace(started_at=self._clock()))
        self._next = 1 + max((record.ordinal for record in self._records.values()), default=0)

    def begin(
        self, path: str, step_id: str, *, index: tuple[int, ...] = (), action: str | None = None,
        effect: str | None = None, on_doubt: str | None = None, input: JsonValue = None, has_input: bool = False,
    ) -> None:
        """Record that a step begins; with an action, it is durable when this returns. Raises Fenced."""
        former = self._records.get(path)
        self._began[path] = monotonic()
        self._put(
            StepRecord(
                path, step_id, StepStatus.RUNNING, action, effect, index=index,
                attempts=1 + (former.attempts if former else 0), input=self._masking.json(input), has_input=has_input,
                started_at=self._clock(), ordinal=self._ordinal(former), resolved_by=former and former.resolved_by,
            ),
            on_doubt,
        )
        if action is not None:
            self.flush()

    def end(
        self, path: str, status: StepStatus, *, output: JsonValue = None, error: Error | None = None,
        branch: str | None = None,
    ) -> JsonValue:
        """Record how a step that began has ended, with the next write. Return the output as it is recorded."""
        output = self._masking.json(output)
        record = self._records[path]
        self._put(
            record._replace(
                status=status, output=output, branch=branch, duration_ms=self._took(record),
                error=error and self._told(error),
            )
        )
        return output

    def fail(self, path: str, error: Error, *, output: JsonValue = None) -> Error:
        """Record that a step that began has failed, with the next write. Return the error as it is recorded."""
        self.end(path, StepStatus.FAILED, output=output, error=error)
        return self._told(error)

    def _told(self, error: Error) -> Error:
        return error._replace(message=self._masking.text(error.message))

    def _took(self, record: StepRecord) -> int | None:
        began = self._began.pop(record.path, None)
        if began is not None:
            return round((monotonic() - began) * 1000)
        # Begun by a former attempt, or before the run was parked: only the clock has both ends.
        return record.started_at and round((self._clock() - record.started_at).total_seconds() * 1000)

    def note(
        self, path: str, step_id: str, status: StepStatus, *, index: tuple[int, ...] = (), output: JsonValue = None,
        branch: str | None = None, action: str | None = None, error: Error | None = None, input: JsonValue = None,
        has_input: bool = False, resolved_by: str | None = None,
    ) -> None:
        """Record, with the next write, a step that did not act; one that succeeded was done once more by that."""
        former = self._records.get(path)
        attempts = (former.attempts if former else 0) + (status is StepStatus.SUCCEEDED)
        self._put(
            StepRecord(
                path, step_id, status, action, branch=branch, index=index, attempts=attempts,
                input=self._masking.json(input), has_input=has_input, output=self._masking.json(output),
                error=error and self._told(error), started_at=self._clock(), duration_ms=0,
                ordinal=self._ordinal(former), resolved_by=resolved_by,
            )
        )

    def note_failure(
        self, path: str, step_id: str, error: Error, *, index: tuple[int, ...] = (), action: str | None = None
    ) -> Error:
        """Record, with the next write, a step that failed before it began. Return the error as it is recorded."""
        self.note(path, step_id, StepStatus.FAILED, index=index, action=action, error=error)
        return self._told(error)

    def tell(self, path: str, output: JsonValue) -> None:
        """Record, with the next write, what a step that goes on has to say so far."""
        self._put(self._records[path]._replace(output=self._masking.json(output)))

    def completed_before(
        self, step_id: str, index: tuple[int, ...], action: str, input: JsonValue
    ) -> tuple[JsonValue, int] | None:
        """Return the output, and the version, of the last earlier version that completed this step with this input."""
        return self._completed(step_id, index, action, self._masking.json(input))

    def set_back(self, inside: Callable[[str], bool], kept: Callable[[StepRecord], bool]) -> None:
        """Forget what the steps at the paths that `inside` names did, so that they run again; durable with `flush`."""
        for record in list(self._records.values()):
            if inside(record.path) and not kept(record):
                self._put(record._replace(status=StepStatus.NOT_REACHED, error=None, output=None, has_input=False))

    def flush(self) -> None:
        """Make durable what has been recorded; raises Fenced."""
        if self._unwritten:
            self._write(None)

    def settle(self, settled: Settled) -> None:
        """Record how the run settled, with all that is not durable yet; raises Fenced."""
        self._write(
            replace(
                settled, error=settled.error and self._told(settled.error),
                report=self._masking.json(settled.report), warnings=tuple(map(self._masking.text, settled.warnings)),
            )
        )

    def _write(self, settled: Settled | None) -> None:
        steps = tuple(self._unwritten.values())
        self._unwritten = {}
        if not self._writer.record(Progress(self._token, steps, settled)):
            raise Fenced

    def _ordinal(self, former: StepRecord | None) -> int:
        if former is not None:
            return former.ordinal
        self._next += 1
        return self._next - 1

    def _put(self, record: StepRecord, on_doubt: str | None = None) -> None:
        self._records[record.path] = record
        # Made ready here, by the thread that runs the version, not by the writer that all of them wait for.
        self._unwritten[record.path] = step_row(self._token.version_id, record, on_doubt, self._input(record))

    def _input(self, record: StepRecord) -> str | None:
        """Return a record's input as JSON: written out once for a step that begins and ends."""
        if not record.has_input:
            return None
        if self._last_input is None or self._last_input[0] is not record.input:
            self._last_input = record.input, dump_json(record.input)
        return self._last_input[1]
