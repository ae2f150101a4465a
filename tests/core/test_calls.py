"""Recipes that call recipes: what the caller gets, and when the called one runs again."""

from __future__ import annotations

from data.states import Status

KID = 'steps:\n  - {action: files.append, with: {path: log, text: "x\\n"}}\n'
PAR = """
steps:
  - monitor:
      - {id: c, call: kid, with: {k: "{{ trigger.k }}"}}
      - {action: command.run, with: {argv: [sh, -c, "THEN"]}}
    retry: {times: 3, wait: 10ms}
"""


def test_a_retry_calls_the_recipe_again_as_the_childs_next_version(workspace):
    # Fails the first time, and leaves what the second needs.
    kid = "steps: [{action: command.run, with: {argv: [sh, -c, 'test -e made || { touch made; exit 1; }']}}]"
    workspace.recipe(kid, "kid")
    workspace.recipe(PAR.replace("THEN", "true"))
    parent = workspace.run({"k": 1})
    assert parent.version.status is Status.SUCCEEDED
    assert workspace.steps(parent.job.id)["1"].status.value == "succeeded"
    child = workspace.steps(parent.job.id)["1.monitor.1"].output["job"]
    versions = workspace.automation.history(child)
    assert [(one.number, one.status.value) for one in versions] == [(2, "succeeded"), (1, "failed")]
    # Each of them names its caller.
    for version in (1, 2):
        called_by = workspace.detail(child, version).parent
        assert (called_by.job_id, called_by.version, called_by.path) == (parent.job.id, 1, "1.monitor.1")


def test_a_retry_for_another_steps_failure_calls_again_too(workspace):
    workspace.recipe(KID, "kid")
    workspace.recipe(PAR.replace("THEN", "test -e made || { touch made; exit 1; }"))
    parent = workspace.run({"k": 1})
    assert parent.version.status is Status.SUCCEEDED
    assert workspace.lines() == ["x", "x"]
    # A rerun is one more version of the same child.
    workspace.rerun_and_run(parent.job.id)
    child = workspace.steps(parent.job.id)["1.monitor.1"].output["job"]
    assert workspace.automation.job(child).versions == 3


WAYS = """
steps:
  - if: trigger.n > 5
    then: [{id: big, set: {a: 1}}]
    else: [{id: small, set: {a: "{{ trigger.n }}"}}]
  - {id: nothing, repeat: "[]", do: [{id: never, set: {a: 1}}]}
  - repeat: "[[1, 2], [], [3]]"
    as: row
    do:
      - {repeat: row, do: [{id: cell, set: {v: "{{ item }}"}}]}
      - {id: row_end, if: row, set: {v: 1}}
  - {if: false, then: [{repeat: "[1]", do: [{id: unseen, set: {a: 1}}]}]}
  - {id: handled, monitor: [{id: fails, action: files.read, with: {path: none}}]}
"""
SEEN = {
    "s1": None, "big": None, "small": {"a": 1}, "nothing": {"count": 0}, "never": [], "s3": {"count": 3},
    "s3_do_1": [{"count": 2}, {"count": 0}, {"count": 1}], "cell": [[{"v": 1}, {"v": 2}], [], [{"v": 3}]],
    "row_end": [{"v": 1}, None, {"v": 1}], "s4": None, "s4_then_1": None, "unseen": None, "handled": None,
    "fails": None,
}  # fmt: skip


def test_a_callers_view_of_the_steps_is_the_childs_own(workspace):
    workspace.recipe(WAYS + '  - {id: end, set: {seen: "{{ steps }}"}}\n', "kid")
    workspace.recipe("""
steps:
  - {id: c, call: kid, with: {n: 1}}
  - {id: told, set: {big: "{{ steps.c.steps.big.a }}", never: "{{ steps.c.steps.never }}"}}
""")
    parent = workspace.run()
    assert parent.version.error is None
    steps = dict(parent.steps[0].output["steps"])
    seen = steps.pop("end")["seen"]
    assert seen.pop("end") is None
    assert steps == seen == SEEN
    assert parent.steps[1].output == {"big": None, "never": []}
    dry = workspace.automation.trials.dry_run("sync", {})
    assert dry.steps[0].output["steps"]["cell"] == SEEN["cell"]
    assert dry.steps[1].output == {"big": None, "never": []}


def test_what_a_retry_did_not_come_to_again_has_not_run(workspace):
    # Three items in the first try, of which the last fails, one in the second.
    workspace.recipe("""
steps:
  - monitor:
      - {id: tried, action: command.run, with: {argv: [sh, -c, "test -e made && echo [1] || echo [1,2,3]; touch made"]}}
      - {repeat: steps.tried, do: [{id: each, action: command.run, with: {argv: [test, "{{ item }}", -lt, "3"]}}]}
    retry: {times: 1, wait: 1ms}
""", "kid")
    workspace.recipe("steps: [{id: c, call: kid}]")
    steps = workspace.run().steps[0].output["steps"]
    assert (steps["tried"], steps["each"]) == ([1], [None])


def test_who_handles_a_failed_call_knows_how_far_it_came(workspace):
    workspace.recipe("steps: [{id: first, set: {a: 1}}, {action: files.read, with: {path: none}}]", "kid")
    workspace.recipe("""
steps:
  - monitor: [{id: c, call: kid}]
    on_error: [{id: told, set: {status: "{{ steps.c.status }}", a: "{{ steps.c.steps.first.a }}"}}]
""")
    parent = workspace.run()
    assert workspace.steps(parent.job.id)["1.on_error.1"].output == {"status": "failed", "a": 1}
    dry = {step.path: step for step in workspace.automation.trials.dry_run("sync", {}).steps}
    assert dry["1.on_error.1"].output == {"status": "failed", "a": 1}
    assert "the dry run of kid failed" in dry["1.monitor.1"].error.message
