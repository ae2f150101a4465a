"""Runs a program of one's own: JSON on its standard input, JSON on its standard output, in any language."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import time
from typing import Annotated

from pydantic import AfterValidator, Field

from core.connectors.declare import Action, Call, Connector, Effect, Inputs
from core.connectors.paths import PathText, located, reason
from core.errors import AnswerLost, StepError
from data.job_records import JsonValue

OUTPUT_LIMIT = 10 * 1024 * 1024  # bytes of standard output
ERROR_END = 2000  # bytes of standard error that an error quotes
TIMEOUT = 600.0  # seconds, where the step says nothing
GRACE = 2.0  # seconds between asking a program to end and ending it
LOOK = 0.1  # seconds between two looks at whether the step was canceled
KEPT = ("PATH", "HOME", "LANG")


def _word(text: str) -> str:
    if "\0" in text:
        raise ValueError("it cannot hold a NUL character")
    return text


def _name(text: str) -> str:
    if not text or "=" in text:
        raise ValueError(f"{text!r} is no name of an environment variable")
    return _word(text)


class Run(Inputs):
    """The inputs of `command.run`."""

    argv: list[Annotated[str, AfterValidator(_word)]] = Field(
        min_length=1, description="the program and its arguments, a list; no shell reads it"
    )
    cwd: PathText = Field(default=".", description="the folder to run in; a relative path is under the workspace")
    input: JsonValue = Field(default=None, description="given to the program as JSON on its standard input")
    env: dict[Annotated[str, AfterValidator(_name)], Annotated[str, AfterValidator(_word)]] = Field(
        default_factory=dict, description="environment variables beside PATH, HOME and LANG; no other is handed on"
    )


def run(inputs: Run, call: Call) -> JsonValue:
    """Return what the program printed, as data; null where it printed nothing.

    Raises StepError of kind `command` where it cannot start, exits with another status than 0 or prints no JSON;
    AnswerLost where it had to be ended: at the timeout, on cancel, or because it printed more than 10 MiB.
    """
    process = _start(inputs, call)
    with process:
        talk = _Talk(process, json.dumps(inputs.input).encode())
        try:
            talk.until(time.monotonic() + (call.timeout or TIMEOUT), call)
        except BaseException:
            _end(process)
            raise
    return _answer(inputs.argv[0], process.returncode, bytes(talk.output), bytes(talk.errors))


def _start(inputs: Run, call: Call) -> subprocess.Popen[bytes]:
    cwd = located(call.workspace, inputs.cwd, templated="cwd" in call.from_template, writes=True)
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    pipe = subprocess.PIPE
    try:
        return subprocess.Popen(
            inputs.argv, cwd=cwd, env=kept | inputs.env, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
        )
    except (OSError, ValueError) as error:
        why = reason(error) if isinstance(error, OSError) else "its arguments cannot be encoded"
        where = inputs.cwd if isinstance(error, OSError) and error.filename == str(cwd) else inputs.argv[0]
        raise StepError(f"{where!r} cannot be run: {why}", "command") from error


class _Talk:
    """Feeds a program and gathers what it prints, until it has ended."""

    def __init__(self, process: subprocess.Popen[bytes], fed: bytes) -> None:
        self.process = process
        self.left = memoryview(fed)
        self.output = bytearray()
        self.errors = bytearray()

    def until(self, deadline: float, call: Call) -> None:
        """Return when the program has ended; raises AnswerLost at the deadline, on cancel or at too much output."""
        name = self.process.args[0]  # type: ignore[index]
        with selectors.DefaultSelector() as selector:
            self._register(selector)
            while selector.get_map() or self.process.poll() is None:
                if call.canceled.is_set():
                    raise AnswerLost(f"{name!r} was ended: the step was canceled", "timeout")
                if time.monotonic() >= deadline:
                    raise AnswerLost(f"{name!r} was ended: it did not finish in time", "timeout")
                ended = self.process.poll() is not None
                ready = self._serve(selector)
                if len(self.output) > OUTPUT_LIMIT:
                    raise AnswerLost(f"{name!r} was ended: it printed more than {OUTPUT_LIMIT} bytes", "command")
                # A child left in the background may hold the pipes open for ever: the program itself has ended. What it
                # printed last may have come after a look that saw nothing, so that only one after its end counts.
                if not ready and ended:
                    return

    def _register(self, selector: selectors.BaseSelector) -> None:
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
        selector.register(self.process.stdin, selectors.EVENT_WRITE, self._feed)  # type: ignore[arg-type]
        selector.register(self.process.stdout, selectors.EVENT_READ, self._hear)  # type: ignore[arg-type]
        selector.register(self.process.stderr, selectors.EVENT_READ, self._overhear)  # type: ignore[arg-type]

    def _serve(self, selector: selectors.BaseSelector) -> bool:
        if not selector.get_map():
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(LOOK)
            return False
        ready = selector.select(LOOK)
        for key, _ in ready:
            if key.data(key.fd):
                selector.unregister(key.fileobj)
                key.fileobj.close()  # type: ignore[union-attr]
        return bool(ready)

    def _feed(self, pipe: int) -> bool:
        """Write some; return whether there is no more to write, or nobody who reads."""
        try:
            self.left = self.left[os.write(pipe, self.left[:65536]) :]
        except BrokenPipeError:
            return True
        return not self.left

    def _hear(self, pipe: int) -> bool:
        part = os.read(pipe, 65536)
        self.output += part
        return not part

    def _overhear(self, pipe: int) -> bool:
        part = os.read(pipe, 65536)
        self.errors = (self.errors + part)[-ERROR_END:]
        return not part


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the program and whatever it started in its group, first asking."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        if number is signal.SIGTERM:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)


def _answer(name: str, status: int, output: bytes, errors: bytes) -> JsonValue:
    if status != 0:
        how = f"was ended by signal {-status}" if status < 0 else f"exited with status {status}"
        raise StepError(f"{name!r} {how}" + _quoted(errors), "command", status if status > 0 else None)
    if not output.strip():
        return None
    try:
        return json.loads(output.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        end = _quoted(errors) or _quoted(output)
        raise StepError(f"{name!r} printed what is not JSON{end}", "command") from error


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no JSON number")


def _quoted(text: bytes) -> str:
    end = text[-ERROR_END:].decode("utf-8", "replace").strip()
    return f": {end}" if end else ""


CONNECTOR = Connector(
    name="command",
    actions=(
        Action(
            name="command.run",
            summary="Run a program: JSON in, JSON out.",
            inputs=Run,
            effect=Effect.WRITES,
            run=run,
            text_inputs=frozenset({"argv", "cwd", "env"}),
        ),
    ),
)
