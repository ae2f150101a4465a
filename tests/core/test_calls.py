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
