"""What recipe files may say, and the exact sentences, with file, line and column, for those that are wrong."""

from __future__ import annotations

import datetime as dt
import json
import time
from typing import Annotated, Any, Literal

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import Field, model_validator

from core.connectors.declare import Action, Effect, Inputs, Manual, Schedule, Trigger, Watcher
from core.connectors.registry import Registry
from core.errors import RecipeProblems, StepError
from core.parse import decode, parse, validate_inputs
from core.parsing.nodes import MAX_BYTES
from core.recipe import ActionStep, BranchStep, CallStep, MonitorStep, Recipe, RepeatStep, SetStep, StopStep
from core.settings import Duration
from data.records import Problem
from data.states import Status


class Nothing(Inputs):
    pass


class Every(Inputs):
    every: Duration


class Poll(Inputs):
    connection: str
    object: str
    fields: list[str] = []
    created: str | None = None


class Search(Inputs):
    connection: str
    external_id: str


class Organization(Inputs):
    connection: str
    id: int | None = None
    name: str
    external_id: str | None = None


class Request(Inputs):
    connection: str | None = None
    method: Literal["GET", "POST"] = "GET"
    url: str
    headers: dict[str, str] = {}
    json_: Any = Field(default=None, alias="json")
    text: str | None = None
    accept: list[Annotated[int, Field(ge=100, le=599)]] = []
    params: dict[str, int | list[int]] | list[int] = {}

    @model_validator(mode="after")
    def _one_body(self) -> Request:
        if self.text is not None and self.json_ is not None:
            raise ValueError("give one body only: `json` or `text`")
        return self


class Append(Inputs):
    path: str
    text: str


class Run(Inputs):
    argv: list[str]
    input: Any = None


def _action(name: str, inputs: type[Inputs], connection: str | None = None, text: tuple[str, ...] = ()) -> Action:
    return Action(
        name, "an action", inputs, Effect.WRITES, lambda inputs, call: None, connection=connection,
        text_inputs=frozenset(text),
    )


def _watcher(name: str) -> Trigger:
    source = Watcher(
        scan=lambda inputs, watch: (), fetch=lambda inputs, watch, keys: (), updates=True,
        since_field=lambda inputs: inputs.created or ("updated" if name.endswith("updated") else None),
    )
    return Trigger(name, "a trigger", Poll, source, connection="salesforce")


ACTIONS = (
    _action("zendesk.search_organizations", Search, "zendesk"),
    _action("zendesk.update_organization", Organization, "zendesk"),
    _action("zendesk.create_organization", Organization, "zendesk"),
    _action("http.request", Request, "http", ("url", "headers", "text")),
    _action("files.append", Append, text=("path", "text")),
    _action("command.run", Run, text=("argv",)),
)
TRIGGERS = (
    Trigger("manual.event", "a trigger", Nothing, Manual()),
    Trigger("schedule.every", "a trigger", Every, Schedule(lambda inputs, after: after)),
    _watcher("salesforce.new_or_updated"),
    _watcher("salesforce.new"),
)
REGISTRY = Registry({one.name: one for one in ACTIONS}, {one.name: one for one in TRIGGERS}, {})
CONNECTIONS = {"crm": "salesforce", "desk": "zendesk", "helpdesk": "zendesk", "api": "http"}

EXAMPLE = """\
description: Keep Zendesk organizations in step with Salesforce accounts
trigger:
  salesforce.new_or_updated:          # <connector>.<trigger>
    connection: crm                   # a connection named in jobdeck.toml
    object: Account
    fields: [Id, Name, Website]
    every: 30s                        # poll interval
    since: 2026-01-01                 # "when first started, pick up events from"; without it: everything there is
  when: trigger.Name != ""            # trigger condition: no job where it is false
title: "{{ trigger.Name }}"           # what the jobs report shows for the job
report:                               # up to ten custom report columns
  Account: "{{ trigger.Id }}"
  Organization: "{{ steps.create.id or steps.update.id }}"
concurrency: 1                        # jobs of this recipe at once; 1 keeps event order (the default)
retention: 30d                        # how long trigger data and step data are kept
steps:
  - id: find
    action: zendesk.search_organizations
    with: {connection: desk, external_id: "{{ trigger.Id }}"}
  - if: steps.find.count > 0
    then:
      - id: update
        action: zendesk.update_organization
        with: {connection: desk, id: "{{ steps.find.organizations[0].id }}", name: "{{ trigger.Name }}"}
    else:
      - id: create
        action: zendesk.create_organization
        once: true                    # a rerun reuses the recorded output instead of creating it twice
        with: {connection: desk, name: "{{ trigger.Name }}", external_id: "{{ trigger.Id }}"}
  - monitor:                          # the error monitor
      - id: tell
        action: http.request
        with: {method: POST, url: "{{ props.chat_url }}", json: {text: "synced {{ trigger.Name }}"}}
    retry: {times: 3, wait: 2s, backoff: 2}
    on_error:                         # absent: the error is recorded as handled and the job goes on
      - id: note
        action: files.append
        with: {path: missed.log, text: "{{ error.message }}\\n"}
  - stop: failed                      # or: succeeded
    reason: "no name"
    if: trigger.Name == ""
"""

HEAD = "trigger:\n  manual.event:\nsteps:\n"
STOP = "steps: [{stop: failed}]\n"


def read(text: str, name: str = "sync", **named: Any) -> Recipe:
    known = {"connections": CONNECTIONS, "recipes": frozenset({"archive", "notify"}), "registry": REGISTRY, **named}
    return parse(name, text, file=f"recipes/{name}.yaml", **known)


def problems(text: str, name: str = "sync", **named: Any) -> list[str]:
    """Return the problems as users see them, less the file's name, which every one has."""
    with pytest.raises(RecipeProblems) as raised:
        read(text, name, **named)
    lines = [str(problem) for problem in raised.value.problems]
    assert all(line.startswith(f"recipes/{name}.yaml:") for line in lines)
    return [line.removeprefix(f"recipes/{name}.yaml:") for line in lines]


def told(recipe: Recipe) -> list[str]:
    """Return the warnings as users see them."""
    return [str(warning) for warning in recipe.warnings]


def steps(*lines: str) -> str:
    """Return a recipe with these lines under `steps`; the first of them is line 4."""
    return HEAD + "".join(f"  {line}\n" for line in lines)


# What is right


def test_the_contracts_example() -> None:
    recipe = read(EXAMPLE)
    assert recipe.description == "Keep Zendesk organizations in step with Salesforce accounts"
    assert recipe.trigger.declared.name == "salesforce.new_or_updated"
    assert recipe.trigger.inputs == Poll(connection="crm", object="Account", fields=["Id", "Name", "Website"])
    assert (recipe.trigger.connection, recipe.trigger.every, recipe.trigger.since) == ("crm", 30.0, "2026-01-01")
    assert recipe.trigger.when is not None
    assert not recipe.trigger.when.truth({"trigger": {"Name": ""}})
    assert recipe.title.text({"trigger": {"Name": "Acme"}}) == "Acme"
    assert list(recipe.report) == ["Account", "Organization"]
    assert recipe.concurrency == 1
    assert recipe.retention is not None
    assert recipe.retention.succeeded == recipe.retention.failed == dt.timedelta(days=30)
    assert recipe.start
    assert recipe.warnings == ()
    assert [(step.path, step.id, step.line) for step in recipe.walk()] == [
        ("1", "find", 17), ("2", "s2", 20), ("2.then.1", "update", 22), ("2.else.1", "create", 26),
        ("3", "s3", 30), ("3.monitor.1", "tell", 31), ("3.on_error.1", "note", 36), ("4", "s4", 39),
    ]
    find, branch, monitor, stop = recipe.steps
    assert isinstance(find, ActionStep)
    assert (find.action.name, find.connection, find.once) == ("zendesk.search_organizations", "desk", False)
    assert find.inputs.value({"trigger": {"Id": "7"}}) == {"connection": "desk", "external_id": "7"}
    assert isinstance(branch, BranchStep)
    assert [arm.branch for arm in branch.arms] == ["then", "else"]
    assert branch.condition is None
    create = branch.arms[1].steps[0]
    assert isinstance(create, ActionStep)
    assert create.once
    assert isinstance(monitor, MonitorStep)
    assert monitor.retry is not None
    assert (monitor.retry.times, monitor.retry.wait, monitor.retry.backoff, monitor.retry.when) == (3, 2.0, 2.0, None)
    assert isinstance(stop, StopStep)
    assert stop.status is Status.FAILED
    assert stop.condition is not None
    assert stop.reason.text({}) == "no name"


def test_every_kind_of_step() -> None:
    recipe = read(
        steps(
            "- choose:",
            "    - if: trigger.kind == 'a'",
            "      then: [{set: {x: 1}}]",
            "    - if: trigger.kind == 'b'",
            "      then: [{call: archive, with: {id: '{{ trigger.id }}'}}]",
            "  else: [{stop: succeeded}]",
            "  if: trigger.kind",
            "- id: each",
            "  repeat: trigger.lines",
            "  as: line",
            "  limit: 5",
            "  do:",
            "    - monitor:",
            "        - {action: command.run, with: {argv: [echo, '{{ line.n }}', 7]}, timeout: 1m30s, on_doubt: retry}",
            "      retry: {times: 1, when: error.status == 429}",
            "      on_error: [{set: {m: '{{ error.message }} {{ line }}'}, skip: true}]",
            "- {repeat: trigger.lines, do: [{set: {y: '{{ item }}'}}]}",
        )
    )
    assert [(step.path, step.id) for step in recipe.walk()] == [
        ("1", "s1"), ("1.choose.1.then.1", "s1_choose_1_then_1"), ("1.choose.2.then.1", "s1_choose_2_then_1"),
        ("1.else.1", "s1_else_1"), ("2", "each"), ("2.do.1", "s2_do_1"), ("2.do.1.monitor.1", "s2_do_1_monitor_1"),
        ("2.do.1.on_error.1", "s2_do_1_on_error_1"), ("3", "s3"), ("3.do.1", "s3_do_1"),
    ]
    choose, each, again = recipe.steps
    assert isinstance(choose, BranchStep)
    assert [arm.branch for arm in choose.arms] == ["choose.1", "choose.2", "else"]
    assert choose.condition is not None
    assert isinstance(choose.arms[0].steps[0], SetStep)
    called = choose.arms[1].steps[0]
    assert isinstance(called, CallStep)
    assert (called.recipe, called.inputs.value({"trigger": {"id": 5}})) == ("archive", {"id": 5})
    assert isinstance(each, RepeatStep)
    assert (each.name, each.limit) == ("line", 5)
    monitor = each.body[0]
    assert isinstance(monitor, MonitorStep)
    assert monitor.retry is not None
    assert monitor.retry.when is not None
    assert (monitor.retry.wait, monitor.retry.backoff) == (0.0, 1.0)
    run = monitor.body[0]
    assert isinstance(run, ActionStep)
    assert (run.timeout, run.on_doubt) == (90.0, "retry")
    assert monitor.on_error[0].skip
    assert isinstance(again, RepeatStep)
    assert (again.name, again.limit) == ("item", None)


def test_the_least_that_is_a_recipe() -> None:
    recipe = read("trigger: {manual.event: }\n" + STOP)
    assert (recipe.description, recipe.report, recipe.concurrency, recipe.retention) == ("", {}, 1, None)
    assert recipe.title.text({}) == ""


def test_retention_of_each_outcome_and_start() -> None:
    recipe = read("trigger: {manual.event: {}}\nretention: {succeeded: 1d, failed: 90d}\nstart: false\n" + STOP)
    assert recipe.retention is not None
    assert (recipe.retention.succeeded.days, recipe.retention.failed.days) == (1, 90)
    assert not recipe.start


def test_every_belongs_to_the_schedule_and_to_the_poll() -> None:
    assert read("trigger: {schedule.every: {every: 10m}}\n" + STOP).trigger.inputs.every == dt.timedelta(minutes=10)
    polled = read("trigger: {salesforce.new: {connection: crm, object: A, every: 2m}}\n" + STOP).trigger
    assert (polled.every, polled.since) == (120.0, None)
    assert read("trigger: {salesforce.new: {connection: crm, object: A}}\n" + STOP).trigger.every == 30.0


@pytest.mark.parametrize("since", ["2026-01-01", "2026-01-01T08:00:00Z", "2026-01-01t08:00:00.5+02:00"])
def test_since(since: str) -> None:
    text = f"trigger: {{salesforce.new: {{connection: crm, object: A, created: C, since: '{since}'}}}}\n"
    assert read(text + STOP).trigger.since == since


def test_words_and_numbers_are_as_yaml_1_2_has_them() -> None:
    text = "- set: {a: on, b: yes, c: 012, d: 0o14, e: 0x1F, f: 1_000, g: 2026-01-01, h: ~, i: 1e3, j: .inf, k: 12:30}"
    step = read(steps(text)).steps[0]
    assert isinstance(step, SetStep)
    assert step.values.value({}) == {
        "a": "on", "b": "yes", "c": 12, "d": 12, "e": 31, "f": "1_000", "g": "2026-01-01", "h": None, "i": 1000.0,
        "j": ".inf", "k": "12:30",
    }


def test_aliases_stand_for_what_they_name() -> None:
    step = read(steps("- set: {a: &x {b: 1}, c: *x}")).steps[0]
    assert isinstance(step, SetStep)
    assert step.values.value({}) == {"a": {"b": 1}, "c": {"b": 1}}


def test_what_is_always_text_may_be_written_as_a_number() -> None:
    text = "- {action: http.request, with: {url: 'http://x', headers: {X-Count: 5, X-On: true}}}"
    step = read(steps(text)).steps[0]
    assert isinstance(step, ActionStep)
    inputs = validate_inputs(step.action, step.inputs.value({}))
    assert inputs.headers == {"X-Count": "5", "X-On": "true"}  # type: ignore[attr-defined]


def test_connections_and_recipes_are_not_checked_where_none_are_given() -> None:
    text = steps("- {action: http.request, with: {connection: nowhere, url: x}}", "- call: nothing")
    assert len(read(text, connections=None, recipes=None).steps) == 2


def test_all_connectors_are_known_by_default() -> None:
    text = steps("- {action: log.write, with: {message: hello}}")
    assert read(text, registry=None).steps[0].id == "s1"


def test_windows_line_ends_and_a_byte_order_mark() -> None:
    data = b"\xef\xbb\xbf" + EXAMPLE.replace("\n", "\r\n").encode()
    assert [step.line for step in read(decode(data, "x.yaml")).walk()] == [step.line for step in read(EXAMPLE).walk()]


# What is wrong: YAML


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "1:1: the file is empty: a recipe needs a trigger and steps"),
        ("# nothing yet\n", "1:1: the file is empty: a recipe needs a trigger and steps"),
        ("[1]", "1:1: a recipe is a mapping with the keys trigger and steps, not a list"),
        ("hello", "1:1: a recipe is a mapping with the keys trigger and steps, not 'hello'"),
        ("a: [1\n", "1:4: the bracket that opens here is never closed: ] is missing"),
        ("a: 'x\nb: 1\n", "1:4: the quote that opens here is never closed"),
        ("a: {b: c[0]}\n", "1:9: } or a comma is missing before [: quote text with , : [ or {"),
        ("a:\n\tb: 1\n", "2:1: a tab cannot indent: use spaces"),
        ("a: b: c\n", "1:5: ':' is not expected here: check the indentation; quote text with ': '"),
        ("a: @x\n", "1:4: a value cannot begin with @: put it in quotes"),
        ("a: *x\n", "1:4: the alias *x has no anchor &x before it"),
        ("a: 1\n---\nb: 2\n", "2:1: a second document begins here: write one recipe in a file"),
        ("a: 1\nb\0: 2\n", "2:2: the character U+0000 is not allowed here: remove it, or write it as an escape"),
        ("a: \ud800\n", "1:4: the character U+D800 is not allowed here: remove it, or write it as an escape"),
        ("a: " + "[" * 100, "1:63: nested deeper than 60 levels"),
        ("- a\nb: 1\n", "2:1: this does not belong to the list or mapping above it: check the indentation"),
        ("x" * (MAX_BYTES + 1), "1:1: the file is larger than 1024 KiB, which no recipe needs to be"),
    ],
)
def test_what_is_no_yaml(text: str, said: str) -> None:
    assert problems(text) == [said]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("- set: {a: 1, a: 2}", "4:17: the key 'a' stands twice in this mapping, first in line 4"),
        ("- set: {a: {{ x }}}", '4:15: a mapping cannot be a key; a template must stand in quotes: "{{ … }}"'),
        ("- set: {1: x}", '4:11: a key must be text: write "1" in quotes'),
        ("- set: {[a]: x}", "4:11: a key must be text"),
        ("- set: {a: !!python/object/apply:os.system [id]}",
         "4:14: tags are not used in recipes: remove !!python/object/apply:os.system"),
        ("- set: {a: !secret x}", "4:14: tags are not used in recipes: remove !secret"),
        ("- set: {a: &x [*x]}", "4:14: the alias *x stands inside its own anchor: that never ends"),
        (f"- set: {{a: {'9' * 5000}}}",
         "4:14: this number has too many digits: put it in quotes to have it as text"),
        ("- set: {a: 1e999}", "4:14: 1e999 is too large for a number: put it in quotes to have it as text"),
    ],
)
def test_yaml_that_recipes_do_not_use(line: str, said: str) -> None:
    assert problems(steps(line)) == [said]


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(RecipeProblems, match=r"x\.yaml:2:4: it is not UTF-8 text: byte 0xff; save the file as UTF-8"):
        decode("a: 1\nü: ".encode() + b"\xff", "x.yaml")
    with pytest.raises(RecipeProblems, match=r"x\.yaml:1:1: the file is larger than 1024 KiB"):
        decode(b"x" * (MAX_BYTES + 1), "x.yaml")


def test_a_billion_laughs_are_refused_at_once() -> None:
    laughs = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    assert len(laughs) < 400
    began = time.perf_counter()
    assert problems(laughs) == ["5:4: more than 50000 values, aliases written out: no recipe needs so many"]
    assert time.perf_counter() - began < 1


def test_a_file_of_too_many_values_is_refused_before_it_is_read_whole() -> None:
    assert problems("a:\n" + "- x\n" * 60_000) == [
        "49999:3: more than 50000 values, aliases written out: no recipe needs so many"
    ]


def test_of_very_many_problems_the_first_are_told() -> None:
    told = problems(steps(*(["- 5"] * 150)))
    assert (len(told), told[-1]) == (101, "104:5: and 50 more problems")


# What is wrong: the recipe


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (STOP, ["1:1: 'trigger' is missing in a recipe"]),
        ("trigger: {manual.event: }\n", ["1:1: 'steps' is missing in a recipe"]),
        ("trigger: manual.event\n" + STOP,
         ["1:10: a trigger is a mapping, such as `manual.event: {}`, not 'manual.event'"]),
        ("trigger: {when: 'true'}\n" + STOP,
         ["1:10: a recipe has one trigger; known: "
          "manual.event, salesforce.new, salesforce.new_or_updated, schedule.every"]),
        ("trigger: {manual.evnt: }\n" + STOP, ["1:11: unknown trigger 'manual.evnt'; did you mean 'manual.event'?"]),
        ("trigger: {manual.event: 5}\n" + STOP, ["1:25: the inputs of manual.event are a mapping, not 5"]),
        ("trigger: {manual.event: {every: 5s}}\n" + STOP, ["1:26: manual.event: unknown input 'every'; known: none"]),
        ("trigger:\n  manual.event:\n  schedule.every: {every: 1m}\n" + STOP,
         ["3:3: a recipe has one trigger; known: "
          "manual.event, salesforce.new, salesforce.new_or_updated, schedule.every"]),
        ("trigger: {schedule.every: {every: 5}}\n" + STOP,
         ["1:35: schedule.every: every: 5 is no duration: write one like 500ms, 30s, 10m, 2h, 1h30m or 30d"]),
        ("trigger: {salesforce.new: {connection: crm, object: A, every: 500ms}}\n" + STOP,
         ["1:63: 'every' must be at least 1s, not '500ms'"]),
        ("trigger: {salesforce.new: {connection: crm, object: A, created: C, since: yesterday}}\n" + STOP,
         ["1:75: 'since' must be a date or an RFC 3339 time, 2026-01-01 or 2026-01-01T08:00:00Z, not 'yesterday'"]),
        ("trigger: {salesforce.new: {connection: crm, object: A, since: 2026-02-30}}\n" + STOP,
         ["1:56: salesforce.new: 'since' has nothing to compare: "
          "say which field holds the time, with 'created' or 'updated'",
          "1:63: 'since' must be a date or an RFC 3339 time, 2026-01-01 or 2026-01-01T08:00:00Z, not '2026-02-30'"]),
        ("trigger: {salesforce.new: {connection: desk, object: A}}\n" + STOP,
         ["1:40: salesforce.new needs a connection of type 'salesforce', and 'desk' is of type 'zendesk'"]),
        ("trigger: {salesforce.new: {object: 5}}\n" + STOP,
         ["1:11: salesforce.new: 'connection' is missing",
          "1:36: salesforce.new: object: must be text, not 5"]),
        ("trigger: {manual.event: }\nwen: x\ntitel: x\n" + STOP,
         ["2:1: unknown key 'wen' in a recipe; known: "
          "concurrency, description, report, retention, start, steps, title, trigger",
          "3:1: unknown key 'titel' in a recipe; did you mean 'title'?"]),
        ("trigger: {manual.event: }\nconcurrency: 0\nstart: yes\ndescription: 5\n" + STOP,
         ["2:14: 'concurrency' must be a whole number from 1 to 1000, not 0",
          "3:8: 'start' must be true or false, not 'yes'",
          "4:14: 'description' must be text, not 5"]),
        ("trigger: {manual.event: }\nretention: 30\n" + STOP,
         ["2:12: 'retention': 30 is no duration: write one like 500ms, 30s, 10m, 2h, 1h30m or 30d"]),
        ("trigger: {manual.event: }\nretention: {failed: 30d}\n" + STOP, ["2:12: 'succeeded' is missing in retention"]),
        ("trigger: {manual.event: }\nreport: {a: [1]}\ntitle:\n" + STOP,
         ['2:13: this must be text, such as "{{ trigger.id }}", not a list',
          '3:1: this must be text, such as "{{ trigger.id }}", not nothing']),
        ("trigger: {manual.event: }\nreport: {" + ", ".join(f"c{n}: x" for n in range(12)) + "}\n" + STOP,
         ["2:80: a report has up to 10 columns; this one has 12"]),
        ("trigger: {manual.event: }\nsteps: {}\n",
         ["2:8: 'steps' must be a list with at least one item, not a mapping"]),
        ("trigger: {manual.event: }\nsteps: []\n",
         ["2:8: 'steps' must be a list with at least one item, not an empty list"]),
    ],
)
def test_what_is_no_recipe(text: str, said: list[str]) -> None:
    assert problems(text) == said


@pytest.mark.parametrize("name", ["a b", "ä", "", "../x", "a.b"])
def test_names_of_recipes(name: str) -> None:
    rule = f"1:1: {name!r} cannot be a recipe's name: use letters, digits, _ and - only, and rename "
    assert [said.startswith(rule) for said in problems(EXAMPLE, name)] == [True]


# What is wrong: steps


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("- 5", "4:5: a step is a mapping, such as `action: log.write`, not 5"),
        ("- {}", "4:5: this is no step: it needs one of the keys "
                 "action, then, choose, repeat, monitor, stop, call, set"),
        ("- {acton: x}", "4:5: this is no step: it needs one of the keys "
                         "action, then, choose, repeat, monitor, stop, call, set; did you mean 'action'?"),
        ("- {set: {}, stop: failed}", "4:6: a step has one of action, then, choose, repeat, monitor, stop, call, set; "
                                      "this one has stop and set"),
        ("- {if: trigger.x, else: [{stop: failed}]}", "4:5: 'then' is missing in a condition step"),
        ("- {then: [{stop: failed}]}", "4:5: 'if' is missing in a condition step"),
        ("- {if: trigger.x, then: []}", "4:27: 'then' must be a list with at least one item, not an empty list"),
        ("- {if: [a], then: [{stop: failed}]}",
         "4:10: this must be an expression, such as trigger.amount > 0, not a list"),
        ("- {choose: [5]}", "4:15: an item of choose is a mapping with if and then, not 5"),
        ("- {choose: [{if: trigger.x}]}", "4:15: 'then' is missing in an item of choose"),
        ("- {stop: maybe}", "4:12: 'stop' must be one of failed, succeeded, not 'maybe'"),
        ("- {stop: failed, once: true}", "4:20: unknown key 'once' in a stop step; known: id, if, reason, skip, stop"),
        ("- {repeat: trigger.x}", "4:5: 'do' is missing in a repeat step"),
        ("- {repeat: trigger.x, as: job, do: [{stop: failed}]}",
         "4:29: 'job' cannot name a loop's item: it is no name, or one with a meaning"),
        ("- {repeat: trigger.x, limit: 0, do: [{stop: failed}]}",
         "4:32: 'limit' must be a whole number from 1 to 1000000, not 0"),
        ("- {monitor: [{stop: failed}], retry: {wait: 1s}}", "4:40: 'times' is missing in retry"),
        ("- {monitor: [{stop: failed}], retry: {times: 1, backof: 2}}",
         "4:51: unknown key 'backof' in retry; did you mean 'backoff'?"),
        ("- {call: archiv}", "4:12: unknown recipe 'archiv'; did you mean 'archive'?"),
        ("- {set: 5}", "4:11: 'set' must be a mapping, not 5"),
        ("- {id: class, stop: failed}",
         "4:10: 'class' is no id: letters, digits and _ only, no digit first, no keyword"),
        ("- {id: 1a, stop: failed}",
         "4:10: '1a' is no id: letters, digits and _ only, no digit first, no keyword"),
        ("- {id: 5, stop: failed}", "4:10: 'id' must be text, not 5"),
        ("- {action: http.reqest, with: {}}", "4:14: unknown action 'http.reqest'; did you mean 'http.request'?"),
        ("- {action: files.append, with: [a]}", "4:34: 'with' must be a mapping, not a list"),
        ("- {action: http.request, with: {url: x}, on_doubt: wait}",
         "4:54: 'on_doubt' must be one of hold, retry, skip, not 'wait'"),
        ("- {action: http.request, with: {url: x}, timeout: 0s}", "4:53: 'timeout' must be at least 0.001s, not '0s'"),
    ],
)
def test_what_is_no_step(line: str, said: str) -> None:
    assert problems(steps(line)) == [said]


def test_ids_that_two_steps_have() -> None:
    lines = ["- {id: a, stop: failed}", "- {id: s3, stop: failed}", "- {stop: failed}", "- {id: a, stop: failed}"]
    assert problems(steps(*lines)) == ["5:10: the id 's3' is taken by step 3", "7:10: the id 'a' is taken by step 1"]


def test_all_problems_are_told_in_the_order_of_the_file() -> None:
    lines = ["- {action: http.get, if: tigger.x}", "- 5", "- {stop: x, reason: '{{ steps.nope }}'}"]
    assert problems(steps(*lines)) == [
        "4:14: unknown action 'http.get'; did you mean 'http.request'?",
        "4:28: unknown name 'tigger'; did you mean 'trigger'?",
        "5:5: a step is a mapping, such as `action: log.write`, not 5",
        "6:12: 'stop' must be one of failed, succeeded, not 'x'",
        "6:27: unknown step 'nope'; known: s1, s3",
    ]


# What is wrong: inputs


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("{}", ["4:14: http.request: 'url' is missing"]),
        ("{url: x, metod: GET}", ["4:43: http.request: unknown input 'metod'; did you mean 'method'?"]),
        ("{url: x, metod: '{{ props.m }}'}", ["4:43: http.request: unknown input 'metod'; did you mean 'method'?"]),
        ("{url: x, method: GETT}", ["4:51: http.request: method: must be 'GET' or 'POST', not 'GETT'"]),
        ("{url: x, accept: [200, x]}", ["4:57: http.request: accept[1]: must be a whole number, not 'x'"]),
        ("{url: x, accept: ['200']}", ["4:52: http.request: accept[0]: must be a whole number, not '200'"]),
        ("{url: x, accept: [99]}", ["4:52: http.request: accept[0]: must be greater than or equal to 100, not 99"]),
        ("{url: [x]}", ['4:40: http.request: url: must be text, not ["x"]']),
        ("{url: x, params: {a: b}}", ['4:51: http.request: params: must be a list, not {"a": "b"}',
                                      "4:55: http.request: params.a: must be a whole number or a list, not 'b'"]),
        ("{url: x, text: a, json: 1}", ["4:14: http.request: give one body only: `json` or `text`"]),
        ("{url: x, connection: apy}", ["4:55: unknown http connection 'apy'; did you mean 'api'?"]),
        ("{url: x, connection: desk}",
         ["4:55: http.request needs a connection of type 'http', and 'desk' is of type 'zendesk'"]),
        ("{url: x, connection: '{{ props.c }}'}",
         ["4:55: 'connection' must be the name of a connection in jobdeck.toml, not a template"]),
    ],
)
def test_wrong_inputs(given: str, said: list[str]) -> None:
    assert problems(steps(f"- {{action: http.request, with: {given}}}")) == said


def test_a_type_without_connections_says_what_to_add() -> None:
    text = steps("- {action: http.request, with: {url: x, connection: api}}")
    assert problems(text, connections={}) == [
        "4:55: http.request needs a connection of type 'http': add [connections.api] to jobdeck.toml"
    ]


@pytest.mark.parametrize(
    "given",
    ["accept: '{{ trigger.a }}'", "accept: [404, '{{ trigger.a }}']", "method: '{{ trigger.m }}'",
     "params: {a: '{{ trigger.n }}'}", "params: ['{{ trigger.n }}']"],
)
def test_what_a_template_becomes_is_not_known_beforehand(given: str) -> None:
    assert read(steps(f"- {{action: http.request, with: {{url: x, {given}}}}}")).steps


def test_inputs_as_a_whole_are_no_template() -> None:
    text = steps("- {action: http.request, with: '{{ trigger }}'}")
    assert problems(text) == ["4:34: 'with' must be a mapping, not '{{ trigger }}'"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("trigger: {manual.event: {}}\nsteps: &s\n  - {if: 'true', then: *s}\n",
         "2:8: the alias *s stands inside its own anchor: that never ends"),
        ("!recipe {trigger: {manual.event: {}}, steps: [{set: {a: 1}}]}\n",
         "1:1: tags are not used in recipes: remove !recipe"),
        ("trigger: {schedule.every: !x {every: 10m}}\nsteps: [{set: {a: 1}}]\n",
         "1:27: tags are not used in recipes: remove !x"),
        (steps("- {action: files.append, with: !x {path: a}}"), "4:34: tags are not used in recipes: remove !x"),
        (steps("- {repeat: !x trigger.y, do: [{set: {a: 1}}]}"), "4:14: tags are not used in recipes: remove !x"),
        (steps("- !x {set: {a: 1}}"), "4:5: tags are not used in recipes: remove !x"),
    ],
)
def test_what_could_not_be_read_is_told_once(text: str, said: str) -> None:
    assert problems(text) == [said]


def test_rendered_inputs_are_validated() -> None:
    action = REGISTRY.actions["http.request"]
    with pytest.raises(StepError) as raised:
        validate_inputs(action, {"method": "PULL", "accept": ["x"], "lenght": 1})
    assert raised.value.kind == "input"
    assert str(raised.value) == (
        "http.request: method: must be 'GET' or 'POST', not 'PULL'; 'url' is missing; "
        "accept[0]: must be a whole number, not 'x'; "
        "unknown input 'lenght'; known: accept, connection, headers, json, method, params, text, url"
    )


def test_rendered_inputs_that_are_always_text() -> None:
    given = {"argv": ["a", 1, None, {"b": [True]}], "input": {"n": 1}}
    inputs = validate_inputs(REGISTRY.actions["command.run"], given)
    assert inputs.argv == ["a", "1", "", '{"b":[true]}']  # type: ignore[attr-defined]
    assert inputs.input == {"n": 1}  # type: ignore[attr-defined]
    request = validate_inputs(REGISTRY.actions["http.request"], {"url": {"a": 1}, "headers": {"n": 1.5}, "text": None})
    assert (request.url, request.headers, request.text) == ('{"a":1}', {"n": "1.5"}, None)  # type: ignore[attr-defined]


# What is wrong: expressions


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("- set: {a: '{{ triger.x }}'}", "4:18: unknown name 'triger'; did you mean 'trigger'?"),
        ("- set: {a: '{{ item }}'}", "4:18: unknown name 'item'; known: job, now, props, steps, trigger"),
        ("- set: {a: '{{ error.message }}'}", "4:18: unknown name 'error'; known: job, now, props, steps, trigger"),
        ("- set: {a: '{{ steps.s2.x }}'}", "4:18: unknown step 's2'; known: s1"),
        ("- set: {a: \"{{ steps['s2'] }}\"}", "4:14: unknown step 's2'; known: s1"),
        ("- {repeat: trigger.x, as: row, do: [{set: {a: '{{ rw }}'}}]}",
         "4:53: unknown name 'rw'; did you mean 'row'?"),
        ("- {if: trigger.x ===, stop: failed}", "4:22: '=' was not expected here"),
        ("- {if: trigger.x +, stop: failed}", "4:20: it ends where a value is missing"),
        ("- {if: '{{ trigger.x }}', stop: failed}", "4:11: it takes a bare expression, without {{ }}"),
        ("- {if: trigger.x | uper, stop: failed}", "4:22: there is no filter uper; did you mean 'upper'?"),
    ],
)
def test_wrong_expressions(line: str, said: str) -> None:
    assert problems(steps(line)) == [said]


def test_a_wrong_name_in_a_block_of_text_is_found_there() -> None:
    assert problems(steps("- set:", "    text: |", "      Dear {{ trigger.name }},", "      {{ poops.sign }}")) == [
        "7:12: unknown name 'poops'; did you mean 'props'?"
    ]


def test_a_syntax_error_in_a_block_of_text_is_found_there() -> None:
    lines = problems(steps("- set:", "    text: |", "      Dear {{ trigger.name }},", "      sign {{ a b }}"))
    assert [line.split(": ")[0] for line in lines] == ["7:19"]


def test_steps_are_not_known_before_they_run() -> None:
    text = 'trigger:\n  manual.event:\n  when: steps.s1\ntitle: "{{ job.id }}"\n' + STOP
    assert problems(text) == [
        "3:9: unknown name 'steps'; known: now, props, trigger",
        "4:12: unknown name 'job'; known: now, props, trigger",
    ]


def test_a_reference_to_a_later_step_is_a_warning() -> None:
    recipe = read(
        steps(
            "- {id: a, set: {x: '{{ steps.b.y or steps.a }}'}}",
            "- {id: b, set: {x: '{{ steps.a.x }}'}}",
            "- {id: c, repeat: steps.b.x, do: [{set: {x: '{{ steps.c }}'}}]}",
        )
    )
    assert told(recipe) == [
        "recipes/sync.yaml:4:26: warning: steps.b is null here: the step has not ended by then",
        "recipes/sync.yaml:4:39: warning: steps.a is null here: the step has not ended by then",
        "recipes/sync.yaml:6:51: warning: steps.c is null here: the step has not ended by then",
    ]


def test_a_template_in_a_triggers_inputs_is_a_warning() -> None:
    recipe = read("trigger: {salesforce.new: {connection: crm, object: '{{ props.object }}'}}\n" + STOP)
    assert told(recipe) == [
        "recipes/sync.yaml:1:53: warning: salesforce.new: a trigger's inputs are no templates: {{ stays as it is",
    ]


FIND = Action(
    "desk.find", "an action", Nothing, Effect.READS, lambda inputs, call: None,
    output={"count": "how many", "rows": "the rows"},
)
HOOK = Trigger("hook.received", "a trigger", Nothing, Manual(), output={"headers": "them", "body": "it"})
KNOWING = Registry({"desk.find": FIND}, {**REGISTRY.triggers, "hook.received": HOOK}, {})


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("steps.find.cuont", "unknown name 'cuont' in steps.find; did you mean 'count'?"),
        ("steps['find'].total > 1", "unknown name 'total' in steps.find; known: count, rows"),
        ("trigger.headerz.host", "unknown name 'headerz' in trigger; did you mean 'headers'?"),
        ("job.number", "unknown name 'number' in job; known: id, recipe, revision, version"),
        ("steps.made.totals", "unknown name 'totals' in steps.made; did you mean 'total'?"),
        ("steps.child.output", "unknown name 'output' in steps.child; known: job, status, steps"),
        ("steps.find.rows[0].whatever", None),
        ("steps.find.cuont | default(0)", None),
        ("steps.find.cuont is defined and steps.find.cuont", None),
        ("trigger.body.anything", None),
        ("steps.child.steps.anything", None),
    ],
)
def test_names_are_held_against_what_is_declared_to_be_there(expression: str, said: str | None) -> None:
    text = (
        "trigger: {hook.received: }\nsteps:\n  - {id: find, action: desk.find}\n  - {id: made, set: {total: 1}}\n"
        f"  - {{id: child, call: notify}}\n  - {{if: \"{expression}\", stop: succeeded}}\n"
    )
    if said is None:
        assert told(read(text, registry=KNOWING)) == []
    else:
        assert [one.partition(": ")[2] for one in problems(text, registry=KNOWING)] == [said]


def test_an_error_has_the_names_of_an_error_only() -> None:
    text = steps("- monitor: [{set: {a: 1}}]", "  on_error: [{set: {why: '{{ error.mesage }}'}}]")
    assert problems(text) == ["5:32: unknown name 'mesage' in error; did you mean 'message'?"]


def test_steps_of_another_branch_are_a_warning() -> None:
    recipe = read(
        steps(
            "- if: trigger.a",
            "  then: [{id: one, set: {x: 1}}]",
            "  else: [{set: {x: '{{ steps.one.x }}'}}]",
            "- set: {x: '{{ steps.one.x }}'}",
            "- choose:",
            "    - {if: trigger.a, then: [{id: two, set: {x: 1}}]}",
            "    - {if: steps.two, then: [{set: {x: '{{ steps.two }}'}}]}",
        )
    )
    assert told(recipe) == [
        "recipes/sync.yaml:6:26: warning: steps.one is null here: the step stands in another branch",
        "recipes/sync.yaml:10:14: warning: steps.two is null here: the step has not ended by then",
        "recipes/sync.yaml:10:46: warning: steps.two is null here: the step stands in another branch",
    ]


def test_what_follows_an_unconditional_stop_is_a_warning() -> None:
    recipe = read(
        steps(
            "- {if: trigger.a, stop: succeeded}",
            "- if: trigger.b",
            "  then: [{stop: failed}, {set: {x: 1}}]",
            "- if: trigger.c",
            "  then: [{stop: failed}]",
            "  else: [{set: {x: 1}}, {stop: succeeded}]",
            "- set: {x: 1}",
        )
    )
    assert told(recipe) == [
        "recipes/sync.yaml:6:28: warning: this is never reached: step 2.then.1 ends the job before it",
        "recipes/sync.yaml:10:5: warning: this is never reached: step 3 ends the job before it",
    ]


def test_a_loops_step_seen_from_outside_is_a_list() -> None:
    recipe = read(
        steps(
            "- {repeat: trigger.rows, do: [{id: one, set: {x: 1}}, {set: {y: '{{ steps.one.x }}'}}]}",
            "- set: {x: '{{ steps.one.x }}', y: '{{ steps.one[0].x }}'}",
        )
    )
    assert [warning.message for warning in recipe.warnings] == [
        "steps.one is a list here, an item for each time that its loop ran: write steps.one[0].x"
    ]


def test_a_recipe_that_calls_itself_is_wrong() -> None:
    assert problems(steps("- call: sync"), recipes=frozenset({"sync"})) == [
        "4:11: recipe sync would call itself: that never ends"
    ]
    through = {"archive": frozenset({"notify"}), "notify": frozenset({"sync"}), "sync": frozenset({"archive"})}
    assert problems(steps("- call: archive"), calls=through) == [
        "4:11: recipe sync would call itself through archive, notify: that never ends"
    ]
    assert told(read(steps("- call: archive"), calls={"archive": frozenset({"archive", "notify"})})) == []


# Whatever comes


def attempt(text: str) -> None:
    """Read a text, whatever it is: there are problems with their places, or there is a recipe, and nothing else."""
    found: tuple[Problem, ...] = ()
    try:
        read(text)
    except RecipeProblems as error:
        found = error.problems or (Problem("", 0, 0, ""),)
    assert all(problem.line >= 1 and problem.column >= 1 and problem.message for problem in found)


@settings(max_examples=200, deadline=None)
@given(st.text())
@example("%YAML 1000.1\n---\na")
@example('a: "\\U99999999"')
@example("? ? a")
@example("{[]: }")
@example("\x85")
@example("&a")
def test_any_text_is_read_or_refused(text: str) -> None:
    attempt(text)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_change_of_a_recipe_is_read_or_refused(data: st.DataObject) -> None:
    text = EXAMPLE
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 40)))
        piece = data.draw(st.one_of(st.text(max_size=4), st.sampled_from(PIECES)))
        text = text[:start] + piece + text[end:]
    attempt(text)


PIECES = (
    "\t", "\n", "- ", ": ", "{", "}", "[", "]", "&a ", "*a", "!!int ", "{{", "}}", "{%", "'", '"', "|\n", "#", "? ",
    "<<: *a", "null", "5", "true", "-1", "\0", "steps.", "monitor:\n", "repeat: x\n", "9" * 400, "…", "\ud83d",
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers()
    | st.sampled_from(["x", "{{ trigger.x }}", "{{", "30s", "failed", "archive"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["id", "if", "then", "else", "choose", "repeat", "as", "do", "limit", "monitor", "retry", "on_error", "stop",
         "reason", "call", "with", "set", "action", "once", "skip", "timeout", "on_doubt", "times", "url", "x"]
    ), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=4))
def test_any_steps_are_read_or_refused(given_steps: list[Any]) -> None:
    attempt(json.dumps({"trigger": {"manual.event": None}, "steps": given_steps}))
