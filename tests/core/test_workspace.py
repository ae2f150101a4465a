"""A new workspace works at once, and nothing that was there is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import WorkspaceError
from core.places import find_workspace
from core.settings import load
from core.workspace import create


def test_a_new_workspace_has_settings_that_load(tmp_path: Path) -> None:
    workspace = create(tmp_path / "new" / "deck")
    assert workspace == tmp_path / "new" / "deck"
    assert find_workspace(start=workspace / "recipes") == workspace
    assert load(workspace).engine.listen == "127.0.0.1:8321"


def test_its_recipe_is_valid(tmp_path: Path) -> None:
    from core.parse import parse

    workspace = create(tmp_path)
    text = (workspace / "recipes" / "hello.yaml").read_text(encoding="utf-8")
    recipe = parse("hello", text, file="recipes/hello.yaml", connections={}, recipes=frozenset({"hello"}))
    assert recipe.trigger.declared.name == "manual.event"
    assert recipe.warnings == ()


@pytest.mark.parametrize("present", ["jobdeck.toml", "recipes/hello.yaml"])
def test_nothing_is_written_over(tmp_path: Path, present: str) -> None:
    path = tmp_path / present
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    with pytest.raises(WorkspaceError, match="is there already"):
        create(tmp_path)
    assert path.read_text() == "mine"
    assert [found for found in tmp_path.rglob("*") if found.is_file()] == [path]


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError, match="cannot be written"):
        create(tmp_path / "file" / "deck")


def test_the_store_stays_out_of_version_control(tmp_path: Path) -> None:
    assert (create(tmp_path) / ".jobdeck" / ".gitignore").read_text() == "*\n"
