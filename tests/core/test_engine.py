"""Recipes carried out: every kind of step, what is recorded of it, and what it does when things go wrong."""

from __future__ import annotations

import threading

import pytest

from data.states import Status, StepStatus


def said(detail) -> dict[str, str]:
    """Return the status of every step by its path."""
    return {step.path: step.status.value for step in detail.steps}


def outputs(detail) -> dict[str, object]:
    """Return the output of every step by its path."""
    return {step.path: step.output for step in detail.steps}


# Steps


def test_an_action_is_recorded_whole(workspace):
    workspace.recipe("""
title: "{{ trigger.name }}"
report: {Who: "{{ trigger.name }}", Size: "{{ steps.write.size }}"}
steps:
  - id: write
    action: files.append
    with: {path: log, text: "{{ trigger.name }}\\n"}
""")
    detail = workspace.run({"name": "Ada"})
    assert (detail.version.status, detail.job.title) == (Status.SUCCEEDED, "Ada")
    assert detail.version.report == {"Who": "Ada", "Size": "4"}
    assert detail.version.recipe_revision == 1
    step = detail.steps[0]
    assert (step.path, step.id, step.action, step.status) == ("1", "write", "files.append", StepStatus.SUCCEEDED)
    assert step.input == {"path": "log", "text": "Ada\n"}
    assert step.output == {"path": "log", "size": 4}
    assert (step.attempts, step.error, step.index) == (1, None, ())
    assert step.started_at >= detail.version.started_at
    assert step.duration_ms >= 0
    assert workspace.lines() == ["Ada"]


@pytest.mark.parametrize(
    ("n", "branch", "value"), [(1, "then", "small"), (10, "else", "large")]
)
def test_a_condition_runs_one_branch_and_records_which(workspace, n, branch, value):
    workspace.recipe("""
steps:
  - id: pick
    if: trigger.n < 5
    then: [{id: small, set: {size: small}}]
    else: [{id: large, set: {size: large}}]
  - id: told
    set: {size: "{{ steps.small.size or steps.large.size }}"}
""")
    detail = workspace.run({"n": n})
    assert detail.steps[0].branch == branch
    assert outputs(detail)["2"] == {"size": value}
    assert said(detail)["1.else.1" if branch == "then" else "1.then.1"] == "not_reached"


@pytest.mark.parametrize(("n", "branch"), [(1, "choose.1"), (2, "choose.2"), (3, "else")])
def test_choose_takes_the_first_that_holds(workspace, n, branch):
    workspace.recipe("""
steps:
  - choose:
      - {if: trigger.n == 1, then: [{set: {a: 1}}]}
      - {if: trigger.n <= 2, then: [{set: {a: 2}}]}
    else: [{set: {a: 3}}]
""")
    detail = workspace.run({"n": n})
    assert detail.steps[0].branch == branch
    assert [step.output for step in detail.steps[1:] if step.status is StepStatus.SUCCEEDED] == [{"a": n}]


def test_a_choice_where_nothing_holds_does_nothing(workspace):
    workspace.recipe("steps: [{choose: [{if: false, then: [{set: {a: 1}}]}]}, {set: {b: 2}}]")
    detail = workspace.run()
    assert detail.steps[0].branch is None
    assert said(detail) == {"1": "succeeded", "1.choose.1.then.1": "not_reached", "2": "succeeded"}


def test_a_template_keeps_types_and_never_renders_twice(workspace):
    workspace.recipe("""
steps:
  - id: values
    set:
      number: "{{ trigger.number }}"
      text: "{{ trigger.text }}"
      part: "n={{ trigger.number }}"
      code: "{{ trigger.code }}"
      deep: {list: ["{{ trigger.number + 1 }}"]}
""")
    event = {"number": 12, "text": "123", "code": "{{ 7 * 7 }}{% raw %}"}
    assert workspace.run(event).steps[0].output == {
        "number": 12, "text": "123", "part": "n=12", "code": "{{ 7 * 7 }}{% raw %}", "deep": {"list": [13]},
    }


@pytest.mark.parametrize(("how", "status"), [("succeeded", Status.SUCCEEDED), ("failed", Status.FAILED)])
@pytest.mark.parametrize(
    "where",
    [
        "- {stop: HOW, reason: 'no {{ trigger.what }}'}",
        "- {if: true, then: [{stop: HOW, reason: 'no {{ trigger.what }}'}]}",
        "- {monitor: [{stop: HOW, reason: 'no {{ trigger.what }}'}], on_error: [{set: {handled: 1}}]}",
        "- {repeat: '[1, 2]', do: [{stop: HOW, reason: 'no {{ trigger.what }}'}]}",
        "- {monitor: [{action: files.read, with: {path: none}}], on_error: [{stop: HOW, reason: 'no name'}]}",
    ],
    ids=["top", "branch", "monitor", "repeat", "on_error"],
)
def test_stop_ends_the_job_there(workspace, where, how, status):
    workspace.recipe("steps:\n  " + where.replace("HOW", how) + "\n  - {id: after, set: {a: 1}}\n")
    detail = workspace.run({"what": "name"})
    assert detail.version.status is status
    assert said(detail)["2"] == "not_reached"
    # Nothing of a job that has ended is told as still running.
    assert "running" not in said(detail).values()
    if how == "failed":
        assert (detail.version.error.message, detail.version.error.kind) == ("no name", "stop")
    else:
        assert detail.version.error is None


def test_a_stop_whose_condition_is_false_is_skipped(workspace):
    workspace.recipe("steps: [{stop: failed, if: trigger.n == 1}, {set: {a: 1}}]")
    assert said(workspace.run({"n": 2})) == {"1": "skipped", "2": "succeeded"}


def test_skipped_steps_are_recorded_and_null(workspace):
    workspace.recipe("""
steps:
  - {id: built, skip: true, action: files.append, with: {path: log, text: x}}
  - {id: unwanted, if: trigger.no, action: files.append, with: {path: log, text: x}}
  - {id: block, skip: true, monitor: [{id: inner, set: {a: 1}}]}
  - {id: told, set: {a: "{{ steps.built }}", b: "{{ steps.unwanted.size }}", c: "{{ steps.inner.a }}"}}
""")
    detail = workspace.run({"no": False})
    assert said(detail) == {
        "1": "skipped", "2": "skipped", "3": "skipped", "3.monitor.1": "not_reached", "4": "succeeded",
    }
    assert [step.action for step in detail.steps[:2]] == ["files.append", "files.append"]
    assert outputs(detail)["4"] == {"a": None, "b": None, "c": None}
    assert workspace.lines() == []


def test_times_are_recorded_as_rfc_3339_wherever_they_go(workspace):
    workspace.recipe("""
steps:
  - {id: at, set: {now: "{{ now }}", deep: ["{{ now }}"]}}
  - {id: echo, action: command.run, with: {argv: [cat], input: "{{ now }}"}}
""")
    first, second = workspace.run().steps
    assert first.output["now"] == first.output["deep"][0] == second.output
    assert first.output["now"].endswith("Z")


def test_what_is_no_recipe_file_stops_nothing(workspace):
    workspace.recipe("steps: [{set: {a: 1}}]")
    folder = workspace.path / "recipes"
    (folder / "folder.yaml").mkdir()
    (folder / "dangling.yaml").symlink_to("nowhere")
    (folder / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    assert workspace.run().version.status is Status.SUCCEEDED
    states = {state.name: state for state in workspace.automation.recipes()}
    assert sorted(states) == ["binary", "sync"]
    assert str(states["binary"].problems[0]).startswith("recipes/binary.yaml:1:1: ")


# Loops


def test_a_loop_records_every_iteration_under_its_path_and_index(workspace):
    workspace.recipe("""
steps:
  - {id: first, set: {a: 1}}
  - repeat: trigger.rows
    as: row
    do:
      - {id: head, set: {name: "{{ row.name }}"}}
      - repeat: row.cells
        as: cell
        do:
          - {set: {nothing: 0}}
          - {id: cell_step, set: {at: "{{ row.name }}{{ cell }}", before: "{{ steps.cell_step }}"}}
  - id: all
    set: {heads: "{{ steps.head }}", cells: "{{ steps.cell_step }}", count: "{{ steps.s2.count }}"}
""")
    detail = workspace.run({"rows": [{"name": "a", "cells": [1, 2]}, {"name": "b", "cells": [3]}]})
    assert detail.version.status is Status.SUCCEEDED, detail.version.error
    found = {step.path: step for step in detail.steps}
    assert list(found) == [
        "1", "2", "2[0].do.1", "2[0].do.2", "2[0].do.2[0].do.1", "2[0].do.2[0].do.2", "2[0].do.2[1].do.1",
        "2[0].do.2[1].do.2", "2[1].do.1", "2[1].do.2", "2[1].do.2[0].do.1", "2[1].do.2[0].do.2", "3",
    ]
    inner = found["2[0].do.2[1].do.2"]
    assert (inner.index, inner.output, inner.id) == ((0, 1), {"at": "a2", "before": None}, "cell_step")
    assert found["2[1].do.1"].index == (1,)
    assert found["2"].output == {"count": 2}
    assert found["3"].output == {
        "heads": [{"name": "a"}, {"name": "b"}],
        "cells": [[{"at": "a1", "before": None}, {"at": "a2", "before": None}], [{"at": "b3", "before": None}]],
        "count": 2,
    }


def test_a_loop_ends_where_an_iteration_fails(workspace):
    workspace.recipe("""
steps:
  - repeat: trigger.paths
    do: [{id: read, action: files.read, with: {path: "{{ item }}"}}]
""")
    (workspace.path / "there").write_text("x")
    detail = workspace.run({"paths": ["there", "missing", "there"]})
    assert detail.version.status is Status.FAILED
    assert detail.version.error.step == "1[1].do.1"
    assert said(detail) == {"1": "failed", "1[0].do.1": "succeeded", "1[1].do.1": "failed"}


def test_a_loop_over_nothing_and_one_with_a_limit(workspace):
    workspace.recipe("""
steps:
  - {repeat: "[]", do: [{id: none, set: {a: 1}}]}
  - {repeat: "[1, 2, 3]", limit: 2, do: [{id: some, set: {a: "{{ item }}"}}]}
  - {set: {none: "{{ steps.none }}", some: "{{ steps.some }}"}}
""")
    detail = workspace.run()
    assert detail.steps[-1].output == {"none": [], "some": [{"a": 1}, {"a": 2}]}
    assert any("first 2 of 3" in warning for warning in detail.version.warnings)


def test_a_loop_over_what_is_no_list_fails(workspace):
    workspace.recipe("steps: [{repeat: trigger.n, do: [{set: {a: 1}}]}]")
    detail = workspace.run({"n": {"a": 1}})
    assert "wants a list" in detail.version.error.message
    assert said(detail)["1"] == "failed"


# Monitors


MISSING = "{action: files.read, with: {path: missing}}"


def test_a_monitor_without_handler_records_the_error_and_goes_on(workspace):
    workspace.recipe(f"steps: [{{monitor: [{MISSING}, {{set: {{a: 1}}}}]}}, {{set: {{b: 2}}}}]")
    detail = workspace.run()
    assert detail.version.status is Status.SUCCEEDED
    assert said(detail) == {"1": "handled", "1.monitor.1": "failed", "1.monitor.2": "not_reached", "2": "succeeded"}
    assert "missing" in detail.steps[0].error.message


def test_the_handler_knows_the_error(workspace, server):
    server.status = 418
    workspace.recipe(f"""
steps:
  - monitor: [{{id: call, action: http.request, with: {{method: POST, url: "{server.url}"}}}}]
    on_error:
      - id: note
        set:
          step: "{{{{ error.step }}}}"
          status: "{{{{ error.status }}}}"
          text: "{{{{ error.kind }}}}: {{{{ error.message }}}}"
""")
    detail = workspace.run()
    note = outputs(detail)["1.on_error.1"]
    assert note["status"] == 418
    assert note["step"] == "1.monitor.1"
    assert "418" in note["text"]
    assert said(detail)["1"] == "handled"


def test_a_handler_that_fails_fails_the_job_with_its_own_error(workspace):
    workspace.recipe(f"steps: [{{monitor: [{MISSING}], on_error: [{{action: files.read, with: {{path: other}}}}]}}]")
    detail = workspace.run()
    assert detail.version.status is Status.FAILED
    assert "other" in detail.version.error.message
    assert said(detail) == {"1": "failed", "1.monitor.1": "failed", "1.on_error.1": "failed"}


def test_an_error_that_went_through_others_names_the_step_that_failed(workspace):
    workspace.recipe("""
steps:
  - monitor: [{repeat: "[1]", do: [{action: files.read, with: {path: none}}]}]
""")
    detail = workspace.run()
    assert {step.path: step.error.step for step in detail.steps if step.error} == {
        "1": "1.monitor.1[0].do.1", "1.monitor.1": "1.monitor.1[0].do.1", "1.monitor.1[0].do.1": "1.monitor.1[0].do.1",
    }


def test_monitors_nest_and_the_inner_one_goes_first(workspace):
    workspace.recipe(f"""
steps:
  - monitor:
      - monitor: [{MISSING}]
        on_error: [{{id: inner, set: {{step: "{{{{ error.step }}}}"}}}}, {{action: files.read, with: {{path: other}}}}]
    on_error: [{{id: out, set: {{step: "{{{{ error.step }}}}"}}}}]
""")
    found = outputs(workspace.run())
    assert found["1.monitor.1.on_error.1"] == {"step": "1.monitor.1.monitor.1"}
    assert found["1.on_error.1"] == {"step": "1.monitor.1.on_error.2"}


RETRIED = """
steps:
  - monitor:
      - {{id: mark, action: files.append, with: {{path: log, text: "try\\n"}}}}
      - {{id: once, once: true, action: files.append, with: {{path: once, text: "x\\n"}}}}
      - {{id: unwanted, if: "false", action: files.append, with: {{path: unwanted, text: x}}}}
      - {{id: fail, action: files.read, with: {{path: missing}}}}
    retry: {retry}
"""


def test_a_retry_runs_the_monitored_steps_again_from_the_first(workspace):
    workspace.recipe(RETRIED.format(retry="{times: 2, wait: 1ms}"))
    detail = workspace.run()
    monitor, *inner = detail.steps
    assert (monitor.status, monitor.attempts) == (StepStatus.HANDLED, 3)
    assert [one["step"] for one in monitor.output["tries"]] == ["1.monitor.4", "1.monitor.4"]
    assert workspace.lines() == ["try"] * 3
    # What is `once` and has succeeded is reused; what is not wanted is not wanted the second time either.
    assert workspace.lines("once") == ["x"]
    assert workspace.lines("unwanted") == []
    assert [step.attempts for step in inner] == [3, 1, 0, 3]
    assert [step.status.value for step in inner] == ["succeeded", "succeeded", "skipped", "failed"]


def test_a_once_step_in_a_loop_is_not_repeated_by_a_retry(workspace):
    workspace.recipe("""
steps:
  - monitor:
      - repeat: "[1, 2]"
        do: [{once: true, action: files.append, with: {path: log, text: "{{ item }}\\n"}}]
      - {action: files.read, with: {path: missing}}
    retry: {times: 2}
""")
    workspace.run()
    assert workspace.lines() == ["1", "2"]


def test_a_retry_that_succeeds_ends_the_monitor_well(workspace):
    workspace.recipe("""
steps:
  - monitor:
      - {id: write, action: files.append, with: {path: log, text: "x\\n"}}
      - {id: check, action: command.run, with: {argv: [sh, -c, "test $(wc -l < log) = 3"]}}
      - {id: inner, set: {a: 1}}
    retry: {times: 5}
    on_error: [{stop: failed}]
  - {set: {a: "{{ steps.inner.a }}"}}
""")
    detail = workspace.run()
    assert detail.version.status is Status.SUCCEEDED
    assert said(detail)["1"] == "succeeded"
    assert len(workspace.lines()) == 3


def test_a_retry_waits_longer_each_time(workspace):
    workspace.recipe(RETRIED.format(retry="{times: 3, wait: 20ms, backoff: 2}"))
    detail = workspace.run()
    assert len(workspace.lines()) == 4
    assert detail.version.duration_ms >= 20 + 40 + 80


@pytest.mark.parametrize(
    ("when", "tries", "warned"),
    [("error.kind == 'file'", 3, False), ("error.kind == 'other'", 1, False), ("error.message.more", 1, True)],
)
def test_a_retry_asks_its_condition(workspace, when, tries, warned):
    workspace.recipe(RETRIED.format(retry=f'{{times: 2, when: "{when}"}}'))
    detail = workspace.run()
    assert len(workspace.lines()) == tries
    assert any("retry.when" in warning for warning in detail.version.warnings) is warned


DONE_ONCE = """
steps:
  - {id: sum, set: {double: "{{ trigger.n * 2 }}"}}
  - if: steps.sum.double > 2
    then:
      - {id: never, skip: true, set: {a: 1}}
  - {stop: succeeded, reason: enough}
"""


def test_a_step_that_only_decides_or_computes_was_done_once(workspace):
    workspace.recipe(DONE_ONCE)
    told = [(step.path, step.status.value, step.attempts) for step in workspace.run({"n": 2}).steps]
    assert told == [("1", "succeeded", 1), ("2", "succeeded", 1), ("2.then.1", "skipped", 0), ("3", "succeeded", 1)]


# Errors


def test_an_undefined_name_fails_the_step_and_is_named(workspace):
    workspace.recipe('steps: [{id: say, action: log.write, with: {message: "{{ trigger.nobody.name }}"}}]')
    detail = workspace.run({"name": "Ada"})
    assert detail.version.status is Status.FAILED
    error = detail.version.error
    assert (error.kind, error.step) == ("expression", "1")
    assert "nobody" in error.message
    assert error.group
    assert detail.steps[0].attempts == 0


@pytest.mark.parametrize(
    "step",
    [
        "{if: trigger.none.x, then: [{set: {a: 1}}]}",
        "{if: trigger.none.x, set: {a: 1}}",
        '{set: {a: "{{ trigger.none.x }}"}}',
        '{stop: failed, reason: "{{ trigger.none.x }}"}',
        "{repeat: trigger.none.x, do: [{set: {a: 1}}]}",
        "{choose: [{if: trigger.none.x, then: [{set: {a: 1}}]}]}",
    ],
)
def test_an_error_of_an_expression_fails_its_step_and_a_monitor_handles_it(workspace, step):
    workspace.recipe(f"steps: [{{monitor: [{step}], on_error: [{{set: {{what: '{{{{ error.kind }}}}'}}}}]}}]")
    detail = workspace.run({"a": 1})
    assert detail.version.status is Status.SUCCEEDED
    assert said(detail)["1.monitor.1"] == "failed"
    assert outputs(detail)["1.on_error.1"] == {"what": "expression"}


def test_an_input_of_the_wrong_type_fails_the_step(workspace):
    workspace.recipe('steps: [{action: command.run, with: {argv: "{{ trigger.argv }}"}}]')
    detail = workspace.run({"argv": {"a": 1}})
    assert detail.version.status is Status.FAILED
    assert "argv" in detail.version.error.message


def test_a_connection_that_is_not_there_fails_the_step(workspace):
    workspace.recipe("steps: [{action: sql.query, with: {connection: shop, sql: SELECT 1}}]")
    detail = workspace.run()
    assert detail.version.error.kind == "connection"
    assert "shop" in detail.version.error.message


def test_errors_in_title_and_report_leave_cells_empty_and_warn(workspace):
    workspace.recipe("""
title: "{{ trigger.nobody.name }}"
report: {Good: "{{ trigger.name }}", Bad: "{{ trigger.nobody.name }}"}
steps: [{set: {a: 1}}]
""")
    detail = workspace.run({"name": "Ada"})
    assert detail.version.status is Status.SUCCEEDED
    assert detail.job.title == ""
    assert detail.version.report == {"Good": "Ada", "Bad": ""}
    assert any(warning.startswith("title:") for warning in detail.version.warnings)
    assert any("Bad" in warning for warning in detail.version.warnings)


def test_a_trigger_condition_makes_jobs_only_where_it_holds(workspace):
    workspace.recipe("trigger: {manual.event: {}, when: trigger.n > 1}\nsteps: [{set: {a: 1}}]")
    first, second = workspace.send({"n": 1}, {"n": 2}, key="trigger.n")
    assert first is None
    assert second is not None
    assert workspace.send({"n": 1}, {"n": 2}, key="trigger.n") == [None, second]


def test_an_error_in_the_trigger_condition_makes_a_job_that_failed(workspace):
    workspace.recipe("trigger: {manual.event: {}, when: trigger.n.deep > 1}\nsteps: [{set: {a: 1}}]")
    detail = workspace.run({"name": "Ada"})
    assert (detail.version.status, detail.version.error.kind) == (Status.FAILED, "condition")
    assert detail.trigger == {"name": "Ada"}


def test_a_step_that_takes_too_long_is_given_up(workspace):
    workspace.recipe("steps: [{action: command.run, timeout: 200ms, with: {argv: [sleep, '60']}}]")
    detail = workspace.run()
    # A program that had to be ended may have done its work: the write is in doubt.
    assert detail.version.status is Status.IN_DOUBT
    assert "time" in detail.steps[0].error.message


def test_a_reading_step_that_takes_too_long_fails(workspace, server):
    server.wait = threading.Event()
    workspace.recipe(f'steps: [{{action: http.request, timeout: 150ms, with: {{url: "{server.url}"}}}}]')
    detail = workspace.run()
    server.wait.set()
    assert (detail.version.status, detail.version.error.kind) == (Status.FAILED, "timeout")


def test_jobs_of_two_recipes_each_run_their_own_event(workspace) -> None:
    expected = {}
    for name in ("first", "second"):
        workspace.recipe("steps:\n  - id: seen\n    set: {it: '{{ trigger.it }}'}\n", name)
    for number in range(4):
        for name in ("first", "second"):
            expected[workspace.send({"it": f"{name} {number}"}, recipe=name)[0]] = f"{name} {number}"
    workspace.run_until_idle()
    assert {id: workspace.detail(id).steps[0].output["it"] for id in expected} == expected
