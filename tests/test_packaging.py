"""What is installed is what is here: every package and every file beside the code is named in pyproject.toml."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
HOUSE = ("tui", "core", "data")
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
FILES = [path for top in HOUSE for path in (ROOT / top).rglob("*") if path.is_file() and path.suffix != ".pyc"]


def test_every_package_is_installed() -> None:
    folders = {path.parent.relative_to(ROOT) for path in FILES if path.suffix == ".py"}
    assert sorted(".".join(folder.parts) for folder in folders) == sorted(SETUPTOOLS["packages"])


def test_every_file_beside_the_code_is_installed() -> None:
    named = {
        path
        for package, patterns in SETUPTOOLS["package-data"].items()
        for pattern in patterns
        for path in ROOT.joinpath(*package.split(".")).glob(pattern)
    }
    assert {path for path in FILES if path.suffix != ".py"} == named
