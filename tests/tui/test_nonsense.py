"""Nonsense wherever text from outside gets in: on a real terminal it is shown, and nothing of it is obeyed."""

from __future__ import annotations

import json
import re
import sys
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from terminal import Terminal, jobdeck

from core.automation import Automation
from core.runner import Engine
from core.selection import Selection
from data.job_records import JobFilter, Sort
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
    for name in ("odd[bold]\x1b[777m\u202e", "torn"):
        (folder / "recipes" / f"{name}.yaml").write_text(f"trigger: {{manual.event: {{}}}}\n{quoted(WRITABLE)}: 1\n")
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
        (folder / "recipes" / "sync.yaml").write_text(f"{RECIPE}  - {{id: more, set: {{it: {quoted(WRITABLE)}}}}}\n")
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
    ("Y", "Copy what?"), ("\x1b", "!Copy what?"), ("|", "Space shows"), ("\x1b", "3 jobs"),
    ("b", "in the report now"), ("x", "Delete the saved view"), ("\x1b", "!Delete"), ("\r", "of 3 jobs"),
    ("\x1b", "all — 3 jobs"), ("w", "Write the jobs"), ("\x1b", "!Write the jobs"),
    ("T", "Received since"), ("\x1b", "!Received since"), ("r", "Rerun: 1 run"), ("\x1b", "!Rerun:"),
    ("*", "3 marked"), ("r", "Rerun: 3 run"), ("\x1b", "!Rerun:"), ("U", "!marked"),
    # The job under the cursor, which failed, and all that there is of it.
    ("G", "> 1 ✗ failed"), ("\r", "jobs > 1.3"), ("\t", "trigger event"), ("+", "[bold]b"), ("G", "jobs > 1.3"),
    ("Y", "Copy what?"), ("\x1b", "!Copy what?"), ("/bold\r", "1 of 1 place"), ("\t", "jobs > 1.3"),
    ("g", "secrets masked"), ("V", "Show the secrets"), ("c", "secrets shown"), ("t", "Rehearse 1.3?"),
    ("\x1b", "!Rehearse 1.3?"), (":", "H versions of"), ("\x1b", "!H versions of"), ("?", "type to filter"),
    ("\x1b", "!type to filter"), ("H", "> 3*"), ("d", "is marked"), ("j", "> 2"), ("d", "1.2 and 1.3"),
    ("n", "1.2 and 1.3"), ("+", "1.2 and 1.3"), ("G", "1.2 and 1.3"), ("\x1b", "> versions"), ("\x1b", "jobs > 1.3"),
    ("\x1b", "3 jobs"),
    # The others.
    ("2", "3, 2 failed"), ("e", "e opens it there"), ("G", "> torn"), ("\r", "recipes > torn"),
    ("\x1b", "!recipes > torn"), ("k", "> sync"), ("a", "Stop sync"), ("\x1b", "!Stop sync"), ("\r", "recipes > sync"),
    ("\t", "r2"), ("\r", "recipes > sync > r2"), ("G", "recipes > sync > r2"), ("\x1b", "!sync > r2"),
    ("\x1b", "!recipes > sync"), ("3", "done"), ("\r", "batch 1 done"), ("r", "Rerun: "), ("\x1b", "!Rerun:"),
    ("\x1b", "!batch 1 done"), ("4", "note by"), ("n", "A note on"), ("\x1b", "!A note on"), ("r", "Rerun:"),
    ("\x1b", "!Rerun:"), ("\r", "of 3 jobs"), ("\x1b", "note by"), (":audit", "audit: who"), ("\r", "by ada["),
    ("G", "by ada["), ("\x1b", "note by"), (":messages", "messages: all"), ("\r", "is marked; d on"),
)  # fmt: skip
"""Keys, and what is on the screen then, or after `!` no longer."""


def holds(then: str, screen: str) -> bool:
    """Return whether a screen is the one that a step of the walk leads to."""
    shown = " ".join(screen.split())
    return then[1:] not in shown if then.startswith("!") else then in shown


def test_nothing_from_outside_is_obeyed_on_any_screen(workspace: Path) -> None:
    options = {"EDITOR": "true", "VISUAL": "true", "ESCDELAY": "1"}
    with jobdeck(workspace, **options) as terminal:
        seen = [terminal.wait_for("3 jobs")]
        for keys, then in WALK:
            terminal.send(keys)
            terminal.wait_for(partial(holds, then))
            terminal.wait_until_quiet(0.06)
            seen.append(terminal.text())
        # A large screen shows columns and panes that a small one has no room for.
        terminal.resize(160, 40)
        terminal.send("1")
        terminal.wait_for("3 jobs")
        terminal.send("\r")
        terminal.wait_for("jobs > 1.3")
        terminal.wait_until_quiet()
        assert terminal.process.poll() is None
        assert obeyed(bytes(terminal.received)) == set()
    # As it was written, with what is not seen made visible.
    assert any("[bold]b {{ 7*7 }}^[]0;777^G^[]52;" in screen for screen in seen)


COMMANDS = (
    "jobs", "show 1", "history 1", "diff 1.1 1.3", "errors", "audit", "batches", "batch show 1", "recipes",
    "recipe show sync", "recipe revisions sync", "recipe coverage sync", "rerun --all --dry-run", "status",
)
PROGRAM = f"""
import sys
from tui.cli import cli
for words in {COMMANDS}:
    print(f"==== {{words}}")
    cli(["-w", sys.argv[1], *words.split()], prog_name="jobdeck", standalone_mode=False)
print("==== done")
"""


def test_nothing_from_outside_is_obeyed_in_any_table(workspace: Path) -> None:
    with Terminal([sys.executable, "-c", PROGRAM, str(workspace)], columns=160, lines=400,
                  environment={"COLUMNS": "160"}) as terminal:
        shown = terminal.wait_for("==== done", 30)
        assert obeyed(bytes(terminal.received)) == set()
    tables = shown.split("==== ")[1:-1]
    assert [table.splitlines()[0] for table in tables] == list(COMMANDS)
    untold = {table.splitlines()[0] for table in tables if "[/]" not in table and "[bold]" not in table}
    assert untold <= {"status", "recipe coverage sync", "recipe revisions sync", "rerun --all --dry-run"}
