"""The house stands as it was drawn: who imports whom, what is never loaded, and that the tools are content."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = ("tui", "core", "data")


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_imports_go_down_only_and_stay_in_their_floor():
    lint = Path(sys.executable).with_name("lint-imports")
    told = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "0 broken" in told.stdout


def test_what_screens_may_not_read_of_data_is_all_but_records_and_states():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (screens,) = [one for one in contracts if one.get("source_modules") == ["tui"]]
    there = {f"data.{path.stem}" for path in (ROOT / "data").iterdir() if not path.name.startswith("__")}
    assert set(screens["forbidden_modules"]) == there - {"data.job_records", "data.records", "data.states"}


@pytest.mark.parametrize(
    ("module", "never"),
    [
        ("core.runner", "textual"),
        ("core.automation", "textual"),
        ("core.sandbox.serve", "textual"),
        ("data.database", "alembic"),
    ],
)
def test_what_is_never_loaded_on_import(module, never):
    told = run("-c", f"import {module}, sys; print(sorted(n for n in sys.modules if n.split('.')[0] == {never!r}))")
    assert told.stdout == "[]\n", told.stderr


def test_ruff_is_content():
    told = run("-m", "ruff", "check", "--quiet", *FLOORS, "tests")
    assert told.returncode == 0, told.stdout + told.stderr


def test_there_is_no_package_under_tests_that_would_shadow_one_of_ours():
    assert list((ROOT / "tests").rglob("__init__.py")) == []
