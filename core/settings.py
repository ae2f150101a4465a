"""The workspace's settings: jobdeck.toml, read and validated."""

from __future__ import annotations

import datetime as dt
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ByteSize, ConfigDict, Field, SecretStr, ValidationError

from core.connectors.declare import Connection
from core.durations import duration
from core.errors import WorkspaceError
from core.places import FILE, STORE_URL, STORE_VARIABLE, read
from core.wording import Complaint, complaints, listed, shown, unknown

Duration = Annotated[dt.timedelta, BeforeValidator(duration)]
"""A model's field that is written like `30s`."""


class SecretRef(BaseModel):
    """Where a secret is: `{env = "NAME"}` or `{file = "path"}`; the secret itself is read when it is needed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    env: str | None = Field(default=None, min_length=1)
    file: str | None = Field(default=None, min_length=1)

    def model_post_init(self, context: Any) -> None:
        """Refuse a reference to nothing, or to two places."""
        if (self.env is None) == (self.file is None):
            raise ValueError('a secret is {env = "NAME"} or {file = "path"}')

    def resolve(self, workspace: Path) -> str:
        """Return the secret; a file's path is relative to the workspace, its last line end is no part of it.

        Raises WorkspaceError that says which variable or file is missing.
        """
        if self.env is not None:
            return _from_environment(self.env)
        return _from_file(workspace / str(self.file))


def _from_environment(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise WorkspaceError(f"the environment variable {name} holds a secret that {FILE} names, but it is not set")
    return value


def _from_file(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise WorkspaceError(f"{path} holds a secret that {FILE} names, but cannot be read: {reason}") from error
    secret = text.removesuffix("\n").removesuffix("\r")
    if not secret:
        raise WorkspaceError(f"{path} holds a secret that {FILE} names, but it is empty")
    return secret


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class StoreSettings(_Table):
    """Where jobs are kept."""

    url: str = Field(default=STORE_URL, repr=False, min_length=1)
    """`sqlite:///path`, relative to the workspace, or `postgresql+psycopg://…`."""


def _address(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not (host and colon and port.isascii() and port.isdigit() and int(port) < 65536):
        raise ValueError(f"{shown(text)} is no address: write host:port, such as 127.0.0.1:8321")
    return text


def _json(value: Any) -> Any:
    """Return a TOML value as JSON can say it: times become text."""
    match value:
        case dt.date() | dt.time():
            return value.isoformat()
        case dict():
            return {key: _json(inner) for key, inner in value.items()}
        case list():
            return [_json(inner) for inner in value]
    return value


class EngineSettings(_Table):
    """How the engine runs."""

    listen: Annotated[str, AfterValidator(_address)] = "127.0.0.1:8321"
    """`host:port` of the webhook listener."""
    slots: int = Field(default=16, ge=1, le=1000)
    """Jobs at once."""
    body_limit: ByteSize = ByteSize(5 * 1024 * 1024)
    """Bytes of a delivery; larger ones get 413."""
    retention: Duration = dt.timedelta(days=30)
    allow_hosts: Annotated[tuple[str, ...], Field(strict=False)] = ()


class RerunSettings(_Table):
    """When a rerun asks for more than a yes."""

    note_above: int = Field(default=20, ge=0)
    type_count_above: int = Field(default=100, ge=0)


class Settings(_Table):
    """What jobdeck.toml says; secrets are references until a connection is opened."""

    connections: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict, repr=False)
    """Each connection's table with its `type`, secrets as `SecretRef`."""
    props: Annotated[Mapping[str, Any], BeforeValidator(_json)] = Field(default_factory=dict)
    store: StoreSettings = StoreSettings()
    engine: EngineSettings = EngineSettings()
    rerun: RerunSettings = RerunSettings()

    @property
    def connection_types(self) -> dict[str, str]:
        """The type of each connection, by its name."""
        return {name: table["type"] for name, table in self.connections.items()}

    def connection(self, name: str, workspace: Path, types: Mapping[str, Connection] | None = None) -> BaseModel:
        """Return a connection's settings as its type declares them, secrets in place; raises WorkspaceError."""
        if name not in self.connections:
            raise WorkspaceError(f"{FILE}: {unknown('connection', name, self.connections)}")
        table = dict(self.connections[name])
        model: type[BaseModel] = _known_types(types)[table.pop("type")].settings
        try:
            return model.model_validate(_resolved(table, workspace))
        except ValidationError as error:
            found = complaints(error, model, table, show_values=False)
            raise WorkspaceError("\n".join(f"{FILE}: connections.{name}{_below(one)}" for one in found)) from None

    def secrets(self, workspace: Path, types: Mapping[str, Connection] | None = None) -> frozenset[str]:
        """Return every secret that can be read now, to be masked wherever text is recorded."""
        return frozenset(text for text in self._secret_texts(workspace, types) if text)

    def _secret_texts(self, workspace: Path, types: Mapping[str, Connection] | None) -> Iterator[str]:
        yield from _declared_secret(self.store.url)
        for name, table in self.connections.items():
            yield from _read(table, workspace)
            try:
                settings = self.connection(name, workspace, types)
            except WorkspaceError:
                continue
            yield from _declared_secret(settings)


def _resolved(value: Any, workspace: Path) -> Any:
    match value:
        case SecretRef():
            return value.resolve(workspace)
        case Mapping():
            return {key: _resolved(inner, workspace) for key, inner in value.items()}
        case list():
            return [_resolved(inner, workspace) for inner in value]
    return value


def _read(value: Any, workspace: Path) -> Iterator[str]:
    """Yield the secrets that a table refers to; one that cannot be read now cannot leak either."""
    if isinstance(value, SecretRef):
        try:
            yield value.resolve(workspace)
        except WorkspaceError:
            return
    elif isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _read(inner, workspace)


def _declared_secret(value: Any) -> Iterator[str]:
    """Yield the secrets written out in a connection's table: SecretStr, passwords in URLs, credentials in headers."""
    match value:
        case SecretStr():
            yield from _declared_secret(value.get_secret_value())
            yield value.get_secret_value()
        case str() if "://" in value:
            yield from _password(value)
        case BaseModel():
            for name in type(value).model_fields:
                yield from _declared_secret(getattr(value, name))
        case Mapping():
            for name, inner in value.items():
                yield from _declared_secret(inner)
                if isinstance(inner, str) and _CREDENTIAL.search(str(name)):
                    yield inner


_CREDENTIAL = re.compile(r"(auth|authorization|cookie|api[-_]?key|token|password)$|secret", re.IGNORECASE)
"""The names of headers whose values are secrets, even where somebody has written them out."""


def _password(url: str) -> Iterator[str]:
    """Yield the password inside a URL, as it stands there and as it is sent."""
    try:
        written = urlsplit(url).password or ""
    except ValueError:
        return
    yield from (written, unquote(written))


def load(workspace: Path, types: Mapping[str, Connection] | None = None) -> Settings:
    """Return the workspace's settings; JOBDECK_DATABASE_URL goes before `[store] url`.

    `types` are the connection types, by default all that there are. Raises WorkspaceError with all that is wrong.
    """
    raw = read(workspace)
    connections, wrong = _connections(raw.pop("connections", {}), types)
    try:
        settings = Settings.model_validate(raw)
    except ValidationError as error:
        found = complaints(error, Settings, raw)
        wrong = [f"{FILE}: {complaint.key}: {complaint.sentence}" for complaint in found] + wrong
    if wrong:
        raise WorkspaceError("\n".join(wrong))
    update: dict[str, Any] = {"connections": MappingProxyType(connections)}
    if os.environ.get(STORE_VARIABLE):
        update["store"] = StoreSettings(url=os.environ[STORE_VARIABLE])
    return settings.model_copy(update=update)


def _below(complaint: Complaint) -> str:
    """Return a complaint to be put behind the name of the table that it is about."""
    return f".{complaint.key}: {complaint.sentence}" if complaint.loc else f": {complaint.sentence}"


def _connections(raw: Any, types: Mapping[str, Connection] | None) -> tuple[dict[str, Any], list[str]]:
    """Return the connections with their references, and what is wrong with them."""
    if not isinstance(raw, dict):
        return {}, [f"{FILE}: connections: it must be tables, [connections.NAME], not {shown(raw)}"]
    known = _known_types(types) if raw else {}
    tables, wrong = {}, []
    for name, table in raw.items():
        try:
            tables[name] = _connection(table, known)
        except ValueError as error:
            wrong += [f"{FILE}: connections.{name}{sentence}" for sentence in error.args]
    return tables, wrong


def _connection(table: Any, known: Mapping[str, Connection]) -> Mapping[str, Any]:
    """Return a connection's table with references for its secrets, or raise ValueError of all that is wrong."""
    if not isinstance(table, dict):
        raise ValueError(f": it must be a table, not {shown(table)}")
    kind = table.get("type")
    if not isinstance(kind, str) or kind not in known:
        what = unknown("type", kind, known) if isinstance(kind, str) else f"it needs a type, one of: {listed(known)}"
        raise ValueError(f".type: {what}" if isinstance(kind, str) else f": {what}")
    places: set[tuple[str | int, ...]] = set()
    settings = {key: _referred(value, (key,), places) for key, value in table.items()}
    _check_connection(known[kind].settings, settings, places)
    return MappingProxyType(settings)


def _check_connection(model: type[BaseModel], settings: dict[str, Any], places: set[tuple[str | int, ...]]) -> None:
    """Check all that can be checked while the secrets are only references."""
    plain = {key: _placeholder(value) for key, value in settings.items() if key != "type"}
    try:
        model.model_validate(plain)
    except ValidationError as error:
        found = complaints(error, model, plain, show_values=False)
        wrong = [_below(one) for one in found if not _of_secret(one, places)]
        if wrong:
            raise ValueError(*wrong) from None


def _of_secret(complaint: Complaint, places: set[tuple[str | int, ...]]) -> bool:
    """Whether a complaint is about a value that is not read yet; a wrong key is one whatever its value."""
    if complaint.kind == "extra_forbidden":
        return False
    return any(complaint.loc[: len(place)] == place for place in places)


def _referred(value: Any, loc: tuple[str | int, ...], places: set[tuple[str | int, ...]]) -> Any:
    """Return a value with a `SecretRef` for each `{env = …}` and `{file = …}` in it; their places go into `places`."""
    if isinstance(value, dict) and len(value) == 1 and set(value) <= {"env", "file"}:
        place, name = next(iter(value.items()))
        if not isinstance(name, str) or not name:
            raise ValueError(f".{'.'.join(map(str, loc))}: {place} must be a name in quotes, not {shown(name)}")
        places.add(loc)
        return SecretRef(**value)
    if isinstance(value, dict):
        return {key: _referred(inner, (*loc, key), places) for key, inner in value.items()}
    if isinstance(value, list):
        return [_referred(inner, (*loc, index), places) for index, inner in enumerate(value)]
    return value


def _placeholder(value: Any) -> Any:
    match value:
        case SecretRef():
            return "secret"
        case dict():
            return {key: _placeholder(inner) for key, inner in value.items()}
        case list():
            return [_placeholder(inner) for inner in value]
    return value


def _known_types(types: Mapping[str, Connection] | None) -> Mapping[str, Connection]:
    if types is not None:
        return types
    # The connectors read their settings with this file's Duration, so this file cannot ask for them first.
    from core.connectors.registry import registry

    return registry().connections
