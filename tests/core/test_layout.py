"""What each step of a version is called and came to, as every face shows it."""

from __future__ import annotations

import io

from data.records import Link
from data.states import StepStatus
from tui.cli_tables import write_show
from tui.output import show_json
from tui.steps import place_of, told, turns, what

RECIPE = """
steps:
  - set: {a: 1}
  - if: trigger.rows
    then:
      - repeat: trigger.rows
        do:
          - call: child
            with: {row: "{{ item }}"}
    else:
      - {stop: succeeded, reason: 'nothing of {{ trigger.who }}'}
  - monitor:
      - {action: files.read, with: {path: none}}
    retry: {times: 2, wait: 0s}
    on_error:
      - {action: log.write, with: {message: missed}}
  - {action: log.write, with: {message: done}}
"""


def test_every_step_has_its_kind_and_what_it_came_to(workspace):
    workspace.recipe("steps: [{set: {b: 1}}]", "child")
    workspace.recipe(RECIPE)
    detail = workspace.run({"rows": [7, 8]})
    begun = turns(detail.steps)
    assert [(step.path, step.kind, told(step, begun.get(step.path, 0))) for step in detail.steps] == [
        ("1", "set", ""), ("2", "condition", "took then"), ("2.then.1", "repeat", "2 of 2"),
        ("2.then.1[0].do.1", "call", "job 2 succeeded"), ("2.then.1[1].do.1", "call", "job 3 succeeded"),
        ("2.else.1", "stop", ""), ("3", "monitor", f"3 tries, handled {detail.steps[7].error.message}"),
        ("3.monitor.1", "action", ""), ("3.on_error.1", "action", ""), ("4", "action", ""),
    ]  # fmt: skip
    assert [what(step) for step in detail.steps][3:6] == ["call child", "call child", "stop"]
    stopped = workspace.run({"rows": [], "who": "Ada"})
    assert {step.path: told(step) for step in stopped.steps if told(step)} == {
        "2": "took else", "2.else.1": "succeeded: nothing of Ada",
    }


def test_a_loop_and_a_call_under_way_say_how_far_they_are(workspace):
    workspace.recipe("steps: [{action: files.read, with: {path: none}}]", "child")
    workspace.recipe("steps: [{repeat: '[1, 2, 3]', do: [{call: child}]}]")
    detail = workspace.run()
    assert told(detail.steps[0], turns(detail.steps)[detail.steps[0].path]) == "1 of 3"
    assert told(detail.steps[1]) == "job 2 failed"
    assert detail.steps[1].status is StepStatus.FAILED


def test_a_called_job_names_its_caller(workspace):
    workspace.recipe("steps: [{set: {b: 1}}]", "child")
    workspace.recipe(RECIPE)
    assert show_json(workspace.run({"rows": [7]}))["parent"] is None
    child = workspace.detail(2)
    assert child.parent == Link(1, 1, "2.then.1[0].do.1")
    assert show_json(child)["parent"] == {"job": 1, "version": 1, "path": "2.then.1[0].do.1"}
    out = io.StringIO()
    write_show(child, out)
    assert f"called by  {place_of(child.parent)}" in out.getvalue()
    out = io.StringIO()
    write_show(workspace.detail(1), out)
    assert [line for line in out.getvalue().splitlines() if "job 2 succeeded" in line]
