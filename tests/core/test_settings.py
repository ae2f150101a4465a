"""What jobdeck.toml may say, what is told where it is wrong, and that secrets stay references."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from core.connectors.declare import Connection
from core.durations import duration
from core.errors import WorkspaceError
from core.places import find_workspace
from core.settings import SecretRef, Settings, load


class Api(BaseModel):
    model_config = ConfigDict(extra="forbid")

    base_url: str
    token: SecretStr | None = None
    key: str = Field(default="", pattern="^[a-f0-9]*$")
    port: int = 443
    headers: dict[str, str] = {}


TYPES = {"api": Connection("api", "an API", Api, open=lambda settings, workspace: None)}


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JOBDECK_WORKSPACE", "JOBDECK_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)


def written(folder: Path, text: str | bytes) -> Path:
    data = text if isinstance(text, bytes) else text.encode()
    (folder / "jobdeck.toml").write_bytes(data)
    return folder


def complaint(folder: Path, text: str | bytes) -> str:
    with pytest.raises(WorkspaceError) as raised:
        load(written(folder, text), TYPES)
    return str(raised.value)


def test_an_empty_file_gives_the_contracts_defaults(tmp_path: Path) -> None:
    settings = load(written(tmp_path, ""), TYPES)
    assert settings.store.url == "sqlite:///.jobdeck/jobdeck.db"
    assert settings.engine.model_dump() == {
        "listen": "127.0.0.1:8321",
        "slots": 16,
        "body_limit": 5 * 1024 * 1024,
        "retention": dt.timedelta(days=30),
        "allow_hosts": (),
    }
    assert (settings.rerun.note_above, settings.rerun.type_count_above) == (20, 100)
    assert settings.connection_types == {}
    assert settings.props == {}


def test_everything_can_be_said(tmp_path: Path) -> None:
    settings = load(
        written(
            tmp_path,
            """
            props = {chat_url = "https://chat.example.com/hook", limits = [1, 2], day = 2026-01-01}
            [connections.desk]
            type = "api"
            base_url = "https://example.com"
            token = {env = "DESK_TOKEN"}
            headers = {Authorization = {env = "API_AUTH"}}
            [store]
            url = "postgresql+psycopg://db.example.com/jobs"
            [engine]
            listen = "0.0.0.0:80"
            slots = 4
            body_limit = "1MiB"
            retention = "1d12h"
            allow_hosts = ["10.0.0.7"]
            [rerun]
            note_above = 0
            type_count_above = 1
            """,
        ),
        TYPES,
    )
    assert settings.props == {"chat_url": "https://chat.example.com/hook", "limits": [1, 2], "day": "2026-01-01"}
    assert settings.connection_types == {"desk": "api"}
    assert settings.connections["desk"]["token"] == SecretRef(env="DESK_TOKEN")
    assert settings.store.url == "postgresql+psycopg://db.example.com/jobs"
    assert settings.engine.body_limit == 1024 * 1024
    assert settings.engine.retention == dt.timedelta(hours=36)
    assert settings.engine.allow_hosts == ("10.0.0.7",)


def test_the_environment_names_another_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBDECK_DATABASE_URL", "postgresql+psycopg://elsewhere/jobs")
    assert load(written(tmp_path, '[store]\nurl = "sqlite:///x.db"'), TYPES).store.url.endswith("elsewhere/jobs")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[engine\n", "jobdeck.toml:1:8: Expected ']' at the end of a table declaration"),
        ('[store]\nurl = "a"\nurl = "b"\n', "jobdeck.toml:3:10: Cannot overwrite a value"),
        (b"# \xff", "jobdeck.toml:1: it is not UTF-8 text"),
        ("[engin]\nslots = 1", "jobdeck.toml: engin: unknown key 'engin'; did you mean 'engine'?"),
        ("[engine]\nslot = 1", "jobdeck.toml: engine.slot: unknown key 'slot'; did you mean 'slots'?"),
        ("[engine]\nslots = 0", "jobdeck.toml: engine.slots: must be greater than or equal to 1, not 0"),
        ('[engine]\nslots = "9"', "jobdeck.toml: engine.slots: must be a whole number, not '9'"),
        (
            '[engine]\nretention = "month"',
            "jobdeck.toml: engine.retention: 'month' is no duration: write one like 500ms, 30s, 10m, 2h, 1h30m or 30d",
        ),
        (
            '[engine]\nlisten = "8321"',
            "jobdeck.toml: engine.listen: '8321' is no address: write host:port, such as 127.0.0.1:8321",
        ),
        ("connections = 3", "jobdeck.toml: connections: it must be tables, [connections.NAME], not 3"),
        ("[connections]\nx = 3", "jobdeck.toml: connections.x: it must be a table, not 3"),
        ("[connections.x]\n", "jobdeck.toml: connections.x: it needs a type, one of: api"),
        ('[connections.x]\ntype = "apo"', "jobdeck.toml: connections.x.type: unknown type 'apo'; did you mean 'api'?"),
        ('[connections.x]\ntype = "api"', "jobdeck.toml: connections.x.base_url: 'base_url' is missing"),
        (
            '[connections.x]\ntype = "api"\nbase_url = "x"\ntokn = {env = "X"}',
            "jobdeck.toml: connections.x.tokn: unknown key 'tokn'; did you mean 'token'?",
        ),
        (
            '[connections.x]\ntype = "api"\nbase_url = "x"\ntoken = {env = 5}',
            "jobdeck.toml: connections.x.token: env must be a name in quotes, not 5",
        ),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, text: str | bytes, message: str) -> None:
    assert complaint(tmp_path, text) == message


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    text = '[engine]\nslots = 0\n[rerun]\nnote = 1\n[connections.a]\ntype = "b"\n[connections.c]\ntype = "api"'
    assert [line.split(": ")[1] for line in complaint(tmp_path, text).splitlines()] == [
        "engine.slots", "rerun.note", "connections.a.type", "connections.c.base_url",
    ]


def test_a_wrong_value_of_a_connection_is_not_shown(tmp_path: Path) -> None:
    said = complaint(tmp_path, '[connections.x]\ntype = "api"\nbase_url = "x"\nkey = "hunter2hunter2"')
    assert said.startswith("jobdeck.toml: connections.x.key: string should match pattern")
    assert "hunter2" not in said


# Secrets


def secretive(folder: Path) -> Settings:
    text = """
    [connections.desk]
    type = "api"
    base_url = "https://user:inurlpass@example.com"
    token = {env = "DESK_TOKEN"}
    key = {file = "keys/desk"}
    headers = {Authorization = {env = "API_AUTH"}}
    [connections.open]
    type = "api"
    base_url = "https://example.com"
    token = "written-out"
    [store]
    url = "postgresql+psycopg://jobs:store%2Fpass@db/jobs"
    """
    return load(written(folder, text), TYPES)


def test_secrets_are_put_in_when_a_connection_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = secretive(tmp_path)
    monkeypatch.setenv("DESK_TOKEN", "t0ps3cret")
    monkeypatch.setenv("API_AUTH", "Bearer abc")
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys/desk").write_text("deadbeef\n")
    opened = settings.connection("desk", tmp_path, TYPES)
    assert isinstance(opened, Api)
    assert opened.token is not None
    assert opened.token.get_secret_value() == "t0ps3cret"
    assert (opened.key, opened.headers) == ("deadbeef", {"Authorization": "Bearer abc"})


def test_a_secret_that_is_not_there_says_where_it_should_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = secretive(tmp_path)
    monkeypatch.delenv("DESK_TOKEN", raising=False)
    with pytest.raises(WorkspaceError, match=r"DESK_TOKEN holds a secret that jobdeck\.toml names, but it is not set"):
        settings.connection("desk", tmp_path, TYPES)
    monkeypatch.setenv("DESK_TOKEN", "x")
    with pytest.raises(WorkspaceError, match=r"keys/desk holds a secret .* cannot be read: No such file"):
        settings.connection("desk", tmp_path, TYPES)


def test_a_secret_that_its_connection_refuses_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = secretive(tmp_path)
    monkeypatch.setenv("DESK_TOKEN", "x")
    monkeypatch.setenv("API_AUTH", "x")
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys/desk").write_text("UPPER")
    with pytest.raises(WorkspaceError, match=r"connections\.desk\.key: string should match") as raised:
        settings.connection("desk", tmp_path, TYPES)
    assert "UPPER" not in str(raised.value)


def test_an_unknown_connection(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="unknown connection 'dsk'; did you mean 'desk'"):
        secretive(tmp_path).connection("dsk", tmp_path, TYPES)


def test_every_secret_that_can_be_read_is_collected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = secretive(tmp_path)
    monkeypatch.setenv("DESK_TOKEN", "t0ps3cret")
    monkeypatch.delenv("API_AUTH", raising=False)
    assert settings.secrets(tmp_path, TYPES) == {"t0ps3cret", "written-out", "store%2Fpass", "store/pass"}
    monkeypatch.setenv("API_AUTH", "Bearer abc")
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys/desk").write_text("deadbeef")
    everything = {"t0ps3cret", "written-out", "store%2Fpass", "store/pass", "Bearer abc", "deadbeef", "inurlpass"}
    assert settings.secrets(tmp_path, TYPES) == everything


def test_nothing_shows_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DESK_TOKEN", "t0ps3cret")
    settings = secretive(tmp_path)
    for said in (repr(settings), str(settings), repr(settings.connections["desk"]["token"])):
        assert not [secret for secret in ("t0ps3cret", "written-out", "inurlpass", "store%2Fpass") if secret in said]


def test_settings_cannot_be_changed(tmp_path: Path) -> None:
    settings = load(written(tmp_path, ""), TYPES)
    with pytest.raises(ValueError, match="frozen"):
        settings.engine.slots = 3  # type: ignore[misc]
    with pytest.raises(ValueError, match="frozen"):
        settings.store = settings.store  # type: ignore[misc]


# Durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("10m", 600), ("2h", 7200), ("30d", 2592000), ("1h30m", 5400), ("500ms", 0.5), ("1.5s", 1.5),
     ("0s", 0), ("1w", 604800), ("1d2h3m4s5ms", 93784.005)],
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text).total_seconds() == seconds


@pytest.mark.parametrize(
    "text", ["", "30", "s", "30 s", "-3s", "3m2h", "1h1h", "30S", "٣s", "1e3s", "9" * 400 + "d", 30, None, True]
)
def test_no_durations(text: object) -> None:
    with pytest.raises(ValueError, match=r"is no duration|is too long"):
        duration(text)


# Finding the workspace


def test_the_workspace_is_found_upwards(tmp_path: Path) -> None:
    inner = written(tmp_path, "") / "recipes" / "old"
    inner.mkdir(parents=True)
    assert find_workspace(inner) == tmp_path


def test_the_current_folder_is_where_the_search_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(written(tmp_path, ""))
    assert find_workspace() == tmp_path


def test_a_named_workspace_goes_before_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    monkeypatch.setenv("JOBDECK_WORKSPACE", str(written(tmp_path / "a", "")))
    assert find_workspace(tmp_path) == tmp_path / "a"
    assert find_workspace(tmp_path, written(tmp_path / "b", "")) == tmp_path / "b"


def test_no_workspace_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="or make one with `jobdeck init`"):
        find_workspace(tmp_path)
    with pytest.raises(WorkspaceError, match=r"is no workspace: it has no jobdeck\.toml; make one with `jobdeck init "):
        find_workspace(None, tmp_path)
    with pytest.raises(WorkspaceError, match=r"jobdeck\.toml is missing"):
        load(tmp_path, TYPES)
