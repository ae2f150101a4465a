"""Files and folders: read, write and append; a folder's files as events."""

from __future__ import annotations

import base64
import contextlib
import csv
import datetime as dt
import hashlib
import io
import json
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from io import FileIO
from pathlib import Path
from typing import Literal, Self, TypeAlias

from pydantic import Field, field_validator, model_validator

from core.connectors.declare import Action, Call, Connector, Effect, Found, Inputs, Seen, Trigger, Watch, Watcher
from core.connectors.paths import PathText, located, reason
from core.errors import AnswerLost, StepError
from core.settings import Duration
from data.job_records import JsonValue

LIMIT = 32 * 1024 * 1024  # bytes of a file whose content becomes data
Parse: TypeAlias = Literal["json", "csv", "text", "bytes"]
PARSE = "how it is read: json, csv (a header row, then a mapping for each row), text (UTF-8) or bytes (base64)"


class Read(Inputs):
    """The inputs of `files.read`."""

    path: PathText = Field(description="the file; a relative path is under the workspace")
    parse: Parse = Field(default="text", description=PARSE)


class Write(Inputs):
    """The inputs of `files.write` and `files.append`."""

    path: PathText = Field(description="the file; a relative path is under the workspace, its folder must be there")
    text: str | None = Field(default=None, description="what to write, as UTF-8 text")
    json_: JsonValue = Field(
        default=None, alias="json", description="what to write, as JSON on one line; instead of `text`"
    )

    @model_validator(mode="after")
    def _check_content(self) -> Self:
        if (self.text is not None) == ("json_" in self.model_fields_set):
            raise ValueError("write either `text` or `json`")
        return self

    def content(self) -> bytes:
        """Return the bytes to write; raises StepError for text that UTF-8 cannot say (a lone surrogate)."""
        if self.text is None:
            return (json.dumps(self.json_, ensure_ascii=True) + "\n").encode()
        try:
            return self.text.encode()
        except UnicodeEncodeError as error:
            raise StepError(f"{self.path}: character {error.start + 1} of the text is half of a pair", "file") from None


class Watched(Inputs):
    """The inputs of `files.new` and `files.new_or_updated`."""

    path: PathText = Field(description="the folder; a relative path is under the workspace")
    glob: str = Field(
        default="*",
        description="which names: `*.csv`; `**/*.csv` in folders below too; hidden ones only if it begins with a dot",
    )
    parse: Parse = Field(default="text", description=PARSE)
    settle: Duration = Field(
        default=dt.timedelta(seconds=1), description="a file that changed within this time waits for the next poll"
    )

    @field_validator("glob")
    @classmethod
    def _check_glob(cls, glob: str) -> str:
        if not glob.removeprefix("**/") or "/" in glob.removeprefix("**/"):
            raise ValueError(f"{glob!r} is no pattern of names: write `*.csv`, or `**/*.csv` for folders below too")
        return glob


def read(inputs: Read, call: Call) -> dict[str, JsonValue]:
    """Return the file's path, size in bytes and data; raises StepError of kind `file`, or `parse` for its content."""
    path = _path(inputs, call, writes=False)
    try:
        with _opened(path, os.O_RDONLY | _no_link(call)) as file:
            size = os.fstat(file.fileno()).st_size
            content = _read_some(file)
    except OSError as error:
        raise StepError(f"{inputs.path}: {reason(error)}", "file") from error
    try:
        return {"path": inputs.path, "size": size, "data": parsed(content, inputs.parse)}
    except ValueError as error:
        raise StepError(f"{inputs.path}: {error}", "parse") from error


def write(inputs: Write, call: Call) -> dict[str, JsonValue]:
    """Put a file in place whole: whoever reads it sees the old content or the new; returns path and size in bytes."""
    path = _path(inputs, call, writes=True)
    content = inputs.content()
    try:
        # A link is written through, as an editor does; a rename would put a file in its place.
        _replace(Path(os.path.realpath(path)), content)
    except OSError as error:
        raise StepError(f"{inputs.path}: {reason(error)}", "file") from error
    return {"path": inputs.path, "size": len(content)}


def append(inputs: Write, call: Call) -> dict[str, JsonValue]:
    """Add to the end of a file, on disk when it returns; returns path and size in bytes of the whole file.

    Raises AnswerLost where the system failed after it may have taken some of it.
    """
    path = _path(inputs, call, writes=True)
    content = inputs.content()
    try:
        file = _opened(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | _no_link(call))
    except OSError as error:
        raise StepError(f"{inputs.path}: {reason(error)}", "file") from error
    with file:
        try:
            _write_all(file, content)
            os.fsync(file.fileno())
        except OSError as error:
            raise AnswerLost(f"{inputs.path}: {reason(error)}; some of it may be written") from error
        return {"path": inputs.path, "size": os.fstat(file.fileno()).st_size}


def _path(inputs: Read | Write, call: Call, *, writes: bool) -> Path:
    return located(call.workspace, inputs.path, templated="path" in call.from_template, writes=writes)


def _no_link(call: Call) -> int:
    """Return the flag that keeps a resolved path resolved, should somebody put a link there meanwhile."""
    return os.O_NOFOLLOW if "path" in call.from_template else 0


def _read_some(file: FileIO) -> bytes:
    """Return the file's content, or enough of it to see that it is too large."""
    parts, left = [], LIMIT + 1
    while left and (part := file.read(left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _write_all(file: FileIO, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[file.write(view) :]


def parsed(content: bytes, parse: Parse) -> JsonValue:
    """Return a file's content as data; raises ValueError that says what is wrong with it and where."""
    if len(content) > LIMIT:
        raise ValueError(f"it is larger than {LIMIT // 1024 // 1024} MiB; what is larger cannot be kept as data")
    if parse == "bytes":
        return base64.b64encode(content).decode("ascii")
    try:
        text = content.decode("utf-8-sig" if parse != "text" else "utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 text at byte {error.start}") from None
    match parse:
        case "json":
            return _json(text)
        case "csv":
            return _csv(text)
    return text


def _json(text: str) -> JsonValue:
    def refuse(word: str) -> None:
        raise ValueError(f"it is not JSON: {word} is no JSON number")

    try:
        return json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON at line {error.lineno}, column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise ValueError("it is not JSON that can be read: it is nested too deeply") from None


def _csv(text: str) -> list[dict[str, str]]:
    csv.field_size_limit(LIMIT)
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(rows, None)
        if not header:
            raise ValueError("its first line must be the header row, and is empty")
        if len(set(header)) != len(header):
            raise ValueError("its header row names a column twice")
        return [_row(header, row, rows.line_num) for row in rows if row]
    except csv.Error as error:
        raise ValueError(f"it is not CSV at line {rows.line_num}: {error}") from None


def _row(header: list[str], row: list[str], line: int) -> dict[str, str]:
    if len(row) != len(header):
        raise ValueError(f"its line {line} has {len(row)} fields, its header row {len(header)}")
    return dict(zip(header, row, strict=True))


def _opened(path: Path, flags: int) -> FileIO:
    """Open a regular file, unbuffered; raises OSError, also for a device or a pipe, without waiting for it."""
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(None, "it is no file")
    return FileIO(descriptor, "ab" if flags & os.O_APPEND else "rb")


def _replace(path: Path, content: bytes) -> None:
    old = path.stat() if path.exists() else None
    if old and not stat.S_ISREG(old.st_mode):
        raise OSError(None, "it is no file")
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            if old:
                os.fchmod(file.fileno(), stat.S_IMODE(old.st_mode))
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def scan(inputs: Watched, watch: Watch) -> list[Seen]:
    """Return the folder's files, the longest unchanged first; raises StepError if a folder cannot be listed."""
    found = []
    for key, path in _files(inputs, watch.workspace):
        status = _status(key, path)
        if status and stat.S_ISREG(status.st_mode):
            found.append((status.st_mtime_ns, key, _seen(key, status, inputs, watch.now)))
    return [seen for _, _, seen in sorted(found, key=lambda one: one[:2])]


def _status(key: str, path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StepError(f"{key}: {reason(error)}", "file") from error


def _seen(key: str, status: os.stat_result, inputs: Watched, now: dt.datetime) -> Seen:
    moment = _modified(status)
    # A clock that lags behind the file's, or a file dated to the future, must not wait for ever.
    return Seen(key, _mark(status), moment, settled=abs(now - moment) >= inputs.settle)


def _modified(status: os.stat_result) -> dt.datetime:
    try:
        return dt.datetime.fromtimestamp(status.st_mtime, dt.UTC)
    except (OverflowError, ValueError, OSError):  # a file system can hold years that a calendar cannot
        return dt.datetime.max.replace(tzinfo=dt.UTC)


def _mark(status: os.stat_result) -> str:
    return f"{status.st_mtime_ns}:{status.st_ctime_ns}:{status.st_size}"


def _rewritten(before: str, after: str) -> bool:
    """Return whether two marks tell of another content: not where only rights or the name have changed."""
    return before.split(":")[::2] != after.split(":")[::2]


def fetch(inputs: Watched, watch: Watch, keys: Sequence[str]) -> Iterator[Found]:
    """Yield these files, read whole; at its end raises StepError for those that the system does not let us read."""
    unreadable = []
    for key, path in _paths(inputs, watch.workspace, keys):
        try:
            found = _found(key, path, inputs.parse)
        except FileNotFoundError:
            continue
        except OSError as error:
            unreadable.append(f"{key}: {reason(error)}")
            continue
        if found:
            yield found
    if unreadable:
        more = f"; and {len(unreadable) - 5} more" if len(unreadable) > 5 else ""
        raise StepError("; ".join(unreadable[:5]) + more, "file")


def _found(key: str, path: Path, parse: Parse) -> Found | None:
    """Return a file with its content, or None if it changed under our eyes."""
    with _opened(path, os.O_RDONLY) as file:
        before = os.fstat(file.fileno())
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        content = _read_some(file)
        if _mark(os.fstat(file.fileno())) != _mark(before):
            return None
    data: dict[str, JsonValue] = {
        "path": key,
        "name": key.rpartition("/")[2],
        "size": before.st_size,
        "modified": _modified(before).isoformat().replace("+00:00", "Z"),
        "sha256": digest,
        "data": None,
    }
    # A content may come back: only the system's own clock of changes tells the second time from the first.
    change = str(before.st_ctime_ns)
    try:
        data["data"] = parsed(content, parse)
    except ValueError as error:
        return Found(key, digest, data, error=f"{key}: {error}", change=change)
    return Found(key, digest, data, change=change)


def _files(inputs: Watched, workspace: Path) -> Iterator[tuple[str, Path]]:
    """Yield key and path of each file that the pattern names; a folder that cannot be listed is an error, not empty."""
    pattern, deep = inputs.glob.removeprefix("**/"), inputs.glob.startswith("**/")
    try:
        for folder, below, names in os.walk(workspace / inputs.path, onerror=_raise):
            below[:] = sorted(name for name in below if not name.startswith(".")) if deep else []
            for name in names:
                path = Path(folder, name)
                hidden = name.startswith(".") and not pattern.startswith(".")
                if not hidden and fnmatchcase(name, pattern):
                    yield _key(inputs, workspace, path), path
    except OSError as error:
        raise StepError(f"{error.filename or inputs.path}: {reason(error)}", "file") from error


def _raise(error: OSError) -> None:
    raise error


def _key(inputs: Watched, workspace: Path, path: Path) -> str:
    relative = path.relative_to(workspace / inputs.path).as_posix()
    name = os.fsencode(Path(inputs.path, relative).as_posix())
    # A name in another encoding than UTF-8 cannot be text in a database: its bytes are written out.
    return name.decode("utf-8", "backslashreplace")


def _paths(inputs: Watched, workspace: Path, keys: Sequence[str]) -> Iterator[tuple[str, Path]]:
    odd = dict(_files(inputs, workspace)) if any("\\" in key for key in keys) else {}
    for key in keys:
        yield key, odd.get(key, workspace / key)


def _trigger(name: str, summary: str, updates: bool) -> Trigger:
    return Trigger(
        name=name,
        summary=summary,
        inputs=Watched,
        source=Watcher(
            scan=scan, fetch=fetch, updates=updates, since_field=lambda inputs: "modified", changed=_rewritten
        ),
        output={
            "path": "the file's path, as the folder is given",
            "name": "its name",
            "size": "in bytes",
            "modified": "when it last changed, RFC 3339 in UTC",
            "sha256": "the digest of its content, in hexadecimal",
            "data": "its content, read as `parse` says",
        },
    )


def _example(inputs: Write) -> dict[str, JsonValue]:
    return {"path": inputs.path, "size": len(inputs.content())}


OUTPUT = {"path": "the path as given", "size": "the file's size in bytes"}

CONNECTOR = Connector(
    name="files",
    actions=(
        Action(
            name="files.read",
            summary="Read a file.",
            inputs=Read,
            effect=Effect.READS,
            run=read,
            output={**OUTPUT, "data": "its content, read as `parse` says"},
            text_inputs=frozenset({"path"}),
        ),
        Action(
            name="files.write",
            summary="Write a file whole, in place of what was there.",
            inputs=Write,
            effect=Effect.IDEMPOTENT,
            run=write,
            output=OUTPUT,
            text_inputs=frozenset({"path", "text"}),
            example=_example,
        ),
        Action(
            name="files.append",
            summary="Add to the end of a file.",
            inputs=Write,
            effect=Effect.WRITES,
            run=append,
            output=OUTPUT,
            text_inputs=frozenset({"path", "text"}),
            example=_example,
        ),
    ),
    triggers=(
        _trigger("files.new", "An event for each file that appears in a folder.", updates=False),
        _trigger("files.new_or_updated", "An event for each file that appears in a folder or changes.", updates=True),
    ),
)
