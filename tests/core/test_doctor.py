"""What the doctor finds in a workspace, and what it says to do."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from core.doctor import Finding, Level, examine, file_system
from core.lock import FILE as LOCK_FILE
from data.health import examine as examine_file


def found(workspace: Any, area: str) -> list[Finding]:
    return [one for one in examine(workspace.path) if one.area == area]


def problems(workspace: Any) -> list[Finding]:
    return [one for one in examine(workspace.path) if one.level is Level.PROBLEM]


def test_a_sound_workspace_has_no_problem(workspace: Any) -> None:
    workspace.recipe("steps:\n  - id: tell\n    action: log.write\n    with: {message: hello}\n")
    assert workspace.automation.check() == []
    assert problems(workspace) == []
    assert {one.area for one in examine(workspace.path)} >= {"settings", "store", "recipes", "engine"}


def test_a_damaged_file_is_told_and_the_rest_is_looked_at(workspace: Any) -> None:
    workspace.automation.recipes()
    workspace.close()
    file = workspace.path / ".jobdeck" / "jobdeck.db"
    for beside in file.parent.glob("jobdeck.db-*"):
        beside.unlink()
    file.write_bytes(b"this is no database, whatever its name says" * 100)
    told = found(workspace, "store")
    assert any(one.level is Level.PROBLEM and "file is not a database" in one.what for one in told)
    assert found(workspace, "engine")


def test_an_older_schema_is_told_and_not_changed(workspace: Any) -> None:
    workspace.automation.recipes()
    workspace.close()
    file = workspace.path / ".jobdeck" / "jobdeck.db"
    with sqlite3.connect(file) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '0001'")
    raw.close()
    assert examine_file(file).schema == "0001"
    told = next(one for one in examine(workspace.path) if one.what.startswith("its schema is"))
    assert (told.level, told.what[:20]) == (Level.WARNING, "its schema is 0001, ")


def test_settings_that_are_wrong_are_told_line_by_line(workspace: Any) -> None:
    workspace.settings("[engine]\nslots = 0\nlistn = 3\n")
    told = found(workspace, "settings")
    assert len(told) == 2
    assert all(one.level is Level.PROBLEM and "jobdeck.toml" in one.what for one in told)


def test_a_secret_that_is_not_set_is_a_problem(workspace: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DESK_TOKEN", raising=False)
    workspace.settings(
        '[connections.desk]\ntype = "http"\nbase_url = "https://desk.test"\nheaders.Token = {env = "DESK_TOKEN"}\n'
    )
    [told] = found(workspace, "connections")
    assert told.level is Level.PROBLEM
    assert "DESK_TOKEN" in told.what
    monkeypatch.setenv("DESK_TOKEN", "t0p-s3cret")
    [told] = found(workspace, "connections")
    assert told.level is Level.OK
    assert "t0p-s3cret" not in told.what


def test_a_broken_recipe_is_told_with_its_place(workspace: Any) -> None:
    workspace.recipe("steps: 3\n")
    assert any("sync.yaml:" in one.what for one in found(workspace, "recipes") if one.level is Level.PROBLEM)


def test_an_engine_that_was_killed_is_told(workspace: Any) -> None:
    assert [one.level for one in found(workspace, "engine")] == [Level.WARNING]
    lock = workspace.path / LOCK_FILE
    lock.parent.mkdir(exist_ok=True)
    lock.write_text('{"pid": 1}')
    assert any("ended without giving up its lock" in one.what for one in found(workspace, "engine"))


@pytest.mark.parametrize(
    ("path", "kind"), [("/srv/share/deck/jobdeck.db", "nfs4"), ("/srv/local/x", "ext4"), ("/other", "overlay")]
)
def test_the_file_system_is_the_one_that_is_mounted_nearest(tmp_path: Path, path: str, kind: str) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 0:2 / / rw shared:1 - overlay overlay rw\n"
        "23 22 8:1 / /srv rw - ext4 /dev/sda1 rw\n"
        "24 23 0:40 / /srv/share rw,relatime shared:5 - nfs4 files:/share rw\n"
    )
    assert file_system(Path(path), mounts) == kind
    assert file_system(Path(path), tmp_path / "none") == ""
