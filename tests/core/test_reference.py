"""The reference page: made of the declarations, and as they are now."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.connectors.registry import CONNECTORS
from core.reference import reference

PAGE = Path(__file__).parents[2] / "docs" / "reference.md"


def test_the_page_is_as_the_declarations_are() -> None:
    stale = "docs/reference.md is stale: python -m core.reference > docs/reference.md"
    assert PAGE.read_text(encoding="utf-8") == reference(), stale


@pytest.mark.parametrize("connector", CONNECTORS, ids=lambda one: one.name)
def test_everything_declared_is_described(connector) -> None:
    page = reference([connector])
    declared = [*connector.actions, *connector.triggers]
    models = [*(one.inputs for one in declared), *(one.settings for one in connector.connections)]
    for name in [one.name for one in declared] + [f"Connection `{one.type}`" for one in connector.connections]:
        assert name in page
    for model in models:
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name} says nothing of itself"
            assert f"| `{field.alias or name}` |" in page


def test_an_input_says_its_type_whether_it_is_needed_and_its_default() -> None:
    page = reference([one for one in CONNECTORS if one.name == "files"])
    assert "| `path` | text | **required** | the folder; a relative path is under the workspace |" in page
    assert '| `settle` | duration | `"1s"` | a file that changed within this time waits for the next poll |' in page
    assert "Effect: writes. In doubt: `hold`." in page
