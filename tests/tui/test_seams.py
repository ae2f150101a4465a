"""The private parts of Textual that the terminal rests on: where they are used, and that they are still there."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from textual import _compositor, app, events, message
from textual._compositor import ChopsUpdate, Compositor, CompositorUpdate, LayoutUpdate
from textual.app import App
from textual.dom import DOMNode
from textual.driver import Driver
from textual.drivers.linux_driver import LinuxDriver
from textual.screen import Screen

TUI = Path(__file__).parents[2] / "tui"
KNOWN = "8.2.8"


def test_this_is_the_textual_that_was_looked_at() -> None:
    """With another one, go through tui/seams.py beside its source, then change `KNOWN`."""
    assert version("textual") == KNOWN


@pytest.mark.parametrize(
    ("where", "arguments"),
    [
        (App._display, ["self", "screen", "renderable"]),
        (App._begin_update, ["self"]),
        (App._end_update, ["self"]),
        (App._handle_exception, ["self", "error"]),
        (App._check_bindings, ["self", "key", "priority"]),
        (App.post_display_hook, ["self"]),
        (CompositorUpdate.render_segments, ["self", "console"]),
        (LayoutUpdate.__init__, ["self", "strips", "region"]),
        (ChopsUpdate.__init__, ["self", "chops", "spans", "chop_ends"]),
        (Compositor.render_update, ["self", "full", "screen_stack", "simplify"]),
        (events.Key._set_forwarded, ["self"]),
        (DOMNode._context, ["self"]),
        (Driver.process_message, ["self", "message"]),
        (LinuxDriver.write, ["self", "data"]),
        (LinuxDriver.disable_input, ["self"]),
    ],
    ids=lambda value: getattr(value, "__qualname__", ""),
)
def test_a_private_method_takes_what_it_took(where: Callable[..., Any], arguments: list[str]) -> None:
    assert list(inspect.signature(where).parameters) == arguments


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        (App, ["self._batch_count", "self._closed", "self._driver", "self._running"]),
        (Screen, ["self._compositor"]),
        (message.Message, ["self._stop_propagation"]),
        (LinuxDriver, ["self._key_thread", "self._writer_thread", 'self.write("\\x1b[?25l")', 'write("\\x1b[?1049l")']),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_private_value_is_where_it_was(owner: type, names: list[str]) -> None:
    source = "\n".join(inspect.getsource(one) for one in owner.__mro__ if one.__module__.startswith("textual"))
    assert [name for name in names if name not in source] == []


def test_textual_still_displays_only_what_its_compositor_gives() -> None:
    assert "app._display(self, update)" in inspect.getsource(Screen._compositor_refresh)
    assert "_background_screens" in vars(app.App)
    assert hasattr(_compositor, "ChopsUpdate")


def test_no_other_file_knows_private_parts_of_textual() -> None:
    private = set(dir(App)) | set(dir(Screen)) | set(dir(events.Key)) | {"_compositor", "_driver", "_running"}
    private = {name for name in private if name.startswith("_") and not name.startswith("__")}
    found = []
    for path in sorted(TUI.rglob("*.py")):
        if path.name == "seams.py":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and f"{node.module}".startswith("textual._"):
                found.append((path.name, f"{node.module}"))
            if isinstance(node, ast.Attribute) and node.attr in private - own:
                found.append((path.name, node.attr))
    assert found == []
