"""Nonsense wherever text from outside gets in: on a real terminal it is shown, and nothing of it is obeyed."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from terminal import Terminal, jobdeck

from core.automation import Automation
from core.runner import Engine
from core.selection import Selection
from data.records import JobFilter, Sort
from tui import views
from tui.views import View

MARKUP = "[@click=app.quit]a[/] [/] [bold]b {{ 7*7 }}"
OBEYED = (
    "\x1b]0;777\x07\x1b]52;c;Nzc3\x1b\\\x1b[777;777H\x1b[?777h\x1b[777m\x1bP777\x1b\\\x1bc\x9b777m\x9d0;777\x9c\x84"
    "\a\b\x0e\x0f\x05\x7f\x00\r"
)
INVISIBLE = "\u202e\u2066\u200b\u200f\u2028\ufeff\xad\u061c"
SURROGATES = "\ud800\udfff"
NONSENSE = MARKUP + OBEYED + INVISIBLE + SURROGATES
WRITABLE = MARKUP + OBEYED + INVISIBLE
"""What a file of text can hold of it."""

SEQUENCE = re.compile(
    r"\x1b\[[<>?=]?[\d;]*\$?[A-HJKLMPSTXZ@`acdfghlmnpqrstu]"  # CSI: moves, erasures, styles, modes, questions
    r"|\x1b\[[\d;]* [a-z]|\x1b[78=>DEMHc]|\x1b[()][AB0]"  # cursor's shape, single shifts, line drawing
    r"|[\r\n]"
)
"""What Jobdeck writes that is not text; of OSC and DCS, which hold texts, it writes none unasked."""
UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def obeyed(written: bytes) -> set[str]:
    """Return what a terminal would have obeyed of what others wrote."""
    text = written.decode("utf-8")
    found = {sequence for sequence in SEQUENCE.findall(text) if "777" in sequence or sequence == "\x1bc"}
    return found | set(UNSEEN.findall(SEQUENCE.sub("", text)))


@given(st.text(st.sampled_from("\x1b[]\x07\x9b\x9d\\;7mH0\u202e\u200b"), min_size=1, max_size=12))
@settings(max_examples=50)
def test_what_looks_for_what_is_obeyed_finds_it(text: str) -> None:
    harmless = SEQUENCE.sub("", text)
    assert bool(obeyed(text.encode())) == bool(UNSEEN.search(harmless) or re.search(r"\x1b\[[?<>=]?[\d;]*777", text))
    assert obeyed(b"\x1b[1;1H\x1b[1mtext\x1b[0m\x1b[?25l\r\n") == set()


def quoted(text: str) -> str:
    """Return a text as YAML writes it between quotes, where JSON's escapes hold too."""
    return json.dumps(text)


RECIPE = f"""\
description: {quoted("about " + WRITABLE)}
trigger: {{manual.event: {{}}}}
title: "{{{{ trigger.title }}}}"
report:
  {quoted("column [bold]b")}: "{{{{ trigger.title }}}}"
steps:
  - {{id: seen, set: {{it: "{{{{ trigger }}}}", {quoted("key " + MARKUP)}: {quoted(WRITABLE)}}}}}
  - if: trigger.bad
    then:
      - {{stop: failed, reason: "{{{{ trigger.title }}}}"}}
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a workspace that is full of nonsense."""
    folder = tmp_path_factory.mktemp("all") / f"deck {MARKUP.replace('/', '')}\x1b[777m"
    (folder / "recipes").mkdir(parents=True)
    (folder / "jobdeck.toml").touch()
    (folder / "recipes" / "sync.yaml").write_text(RECIPE)
    (folder / "recipes" / f"odd[bold]\x1b[777m\u202e.yaml").write_text(f"trigger: {{manual.event: {{}}}}\n{quoted(WRITABLE)}: 1\n")
    with Automation(folder) as automation:
        events = [{"title": f"{name} {NONSENSE}", "bad": bad, f"k{NONSENSE}": [NONSENSE, {"password": NONSENSE}]}
                  for name, bad in (("one", True), ("two", True), ("three", False))]  # fmt: skip
        automation.send("sync", events, by=f"ada{WRITABLE}")
        work(folder, automation)
        automation.rerun(Selection(ids=(1, 2)), by=f"ada{WRITABLE}", note=f"why {NONSENSE}")
        work(folder, automation)
        automation.rerun(Selection(ids=(1,)), by=f"ada{WRITABLE}", note=f"why {NONSENSE}")
        work(folder, automation)
        for group in automation.failures.groups():
            automation.failures.note(group.group, f"note {NONSENSE}", by=f"ada{WRITABLE}")
        (folder / "recipes" / "sync.yaml").write_text(f"{RECIPE}  - {{id: more, {quoted(WRITABLE)}: 1}}\n")
        automation.recipes()
    views.save(folder, f"view {WRITABLE}", View(JobFilter(search=f"one {WRITABLE}"), Sort("id")))
    return folder


def work(folder: Path, automation: Automation) -> None:
    """Let an engine work until all jobs have ended."""
    engine = Engine(folder, listens=False, polls=False)
    try:
        engine.start()
        while not engine.idle():
            engine.tick()
    finally:
        engine.close()


WALK: tuple[tuple[str, str], ...] = (
    ("Y", "Copy what?"), ("\x1b", "r rerun"), ("|", "Space show"), ("\x1b", "3 jobs"),
    ("b", "view"), ("x", "Delete"), ("\x1b", "w save"), ("\r", "one ["), ("\x1b", "3 jobs"),
    ("w", "Write the jobs"), ("\x1b", "r rerun"), ("T", "Received since"), ("\x1b", "r rerun"),
    ("r", "sync"), ("\x1b", "Space mark"), ("*", "marked"), ("r", "sync"), ("\x1b", "marked"), ("U", "3 jobs"),
    # The job under the cursor, which failed, and all that there is of it.
    ("G", "3 jobs"), ("\r", "jobs > 1.3"), ("\t", "[bold]b"), ("+", "password"), ("G", "{{ 7*7 }}"), ("g", "["),
    ("/bold\r", "bold"), ("\x1b", "["), ("Y", "Copy what?"), ("\x1b", "["), ("\t", "["), ("g", "secrets masked"),
    ("V", "Show the secrets"), ("\x1b", "r rerun"), ("t", "sync"), ("\x1b", "jobs > 1.3"), (":", "versions of"),
    ("\x1b", "jobs > 1.3"), ("?", "type to filter"), ("\x1b", "jobs > 1.3"),
    ("H", "jobs > 1 > versions"), ("d", "is marked"), ("j", "["), ("d", "1.2 and 1.3"), ("n", "["), ("+", "["),
    ("G", "["), ("\x1b", "versions"), ("\x1b", "jobs > 1.3"), ("\x1b", "3 jobs"),
    # The others.
    ("2", "a start/stop"), ("G", "a start/stop"), ("e", "[bold]"), ("g", "sync"), ("a", "Stop sync"),
    ("\x1b", "a start/stop"), ("\r", "recipes > sync"), ("\t", "r1"), ("\r", "recipes > sync > r1"), ("G", "["),
    ("\x1b", "recipes > sync"), ("\x1b", "a start/stop"), ("j", "["), ("\r", "recipes > "), ("\x1b", "a start/stop"),
    ("3", "done"), ("\r", "batch 1"), ("r", "["), ("\x1b", "batch 1"), ("\x1b", "activity"),
    ("4", "note by"), ("n", "A note on"), ("\x1b", "n note"), ("r", "["), ("\x1b", "n note"), ("\r", "jobs"),
    ("\x1b", "n note"), (":audit", "audit: who"), ("\r", "by ada["), ("G", "ada["), ("\x1b", "n note"),
    (":messages", "messages: all"), ("\r", "messages"), ("\x1b", "n note"),
)  # fmt: skip


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (160, 40)])
def test_nothing_from_outside_is_obeyed_on_any_screen(workspace: Path, columns: int, lines: int) -> None:
    editor = f"{sys.executable} -c pass"
    with jobdeck(workspace, columns=columns, lines=lines, EDITOR=editor, VISUAL=editor) as terminal:
        terminal.wait_for("3 jobs")
        seen = [terminal.wait_for("[@click=app.quit]a[/] [/] [")]
        for keys, then in WALK:
            terminal.send(keys)
            seen.append(terminal.wait_for(then))
            terminal.wait_until_quiet(0.06)
            seen.append(terminal.text())
        assert terminal.process.poll() is None
        assert obeyed(bytes(terminal.received)) == set()
    # As it was written, with what is not seen made visible.
    assert any("[bold]b {{ 7*7 }}^[]0;777^G^[]52;" in screen for screen in seen)
