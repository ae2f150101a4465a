"""Reruns that are not the whole recipe at its latest revision: from the failed step, and at the original revision."""

from __future__ import annotations

import pytest

from core.errors import Refused
from core.reruns import How, Selection
from core.resuming import first_change
from data.states import Status, StepStatus

FROM_FAILED = How(mode="failed")
ORIGINAL = How(revision="original")
STEPS = """
steps:
  - {id: one, action: files.append, with: {path: log, text: "one\\n"}}
  - {id: values, set: {a: "{{ trigger.a }}"}}
  - if: trigger.a == 1
    then:
      - {id: two, action: files.append, with: {path: log, text: "two {{ steps.values.a }}\\n"}}
      - {id: three, action: files.read, with: {path: "%s"}}
      - {id: four, action: files.append, with: {path: log, text: "four {{ steps.three.size }}\\n"}}
  - {id: five, action: files.append, with: {path: log, text: "five\\n"}}
"""


def rerun(workspace, job_id, how):
    return workspace.automation.rerun(Selection(ids=(job_id,)), how, by="ada")


def rerun_and_run(workspace, job_id, how):
    assert rerun(workspace, job_id, how).refused == ()
    workspace.run_until_idle()
    return workspace.detail(job_id)


def code(workspace, job_id, how):
    (why,) = rerun(workspace, job_id, how).refused
    return why.code


def test_from_failed_reuses_what_was_completed_up_to_the_failed_step(workspace):
    workspace.recipe(STEPS % "missing")
    first = workspace.run({"a": 1})
    assert first.version.error.step == "3.then.2"
    (workspace.path / "missing").write_text("here")
    plan = workspace.automation.plan(Selection(ids=(first.job.id,)), FROM_FAILED)
    assert plan.repeats == ()
    assert [one.path for one in workspace.automation.plan(Selection(ids=(first.job.id,))).repeats] == ["1", "3.then.1"]
    again = rerun_and_run(workspace, first.job.id, FROM_FAILED)
    assert workspace.lines() == ["one", "two 1", "four 4", "five"]
    assert (again.version.status, again.version.mode) == (Status.SUCCEEDED, "failed")
    steps = workspace.steps(first.job.id)
    assert {path: (one.status, one.resolved_by) for path, one in steps.items()} == {
        "1": (StepStatus.REUSED, "1.1"), "2": (StepStatus.REUSED, "1.1"), "3": (StepStatus.SUCCEEDED, None),
        "3.then.1": (StepStatus.REUSED, "1.1"), "3.then.2": (StepStatus.SUCCEEDED, None),
        "3.then.3": (StepStatus.SUCCEEDED, None), "4": (StepStatus.SUCCEEDED, None),
    }


def test_the_failed_step_and_what_follows_may_be_mended_what_comes_before_may_not(workspace):
    workspace.recipe(STEPS % "missing")
    workspace.run({"a": 1})
    (workspace.path / "there").write_text("x")
    workspace.recipe((STEPS % "there").replace("five\\n", "FIVE\\n"))
    assert workspace.automation.plan(Selection(ids=(1,)), FROM_FAILED).requested == (1,)
    workspace.recipe((STEPS % "there").replace('"one\\n"', '"ONE\\n"'))
    (why,) = workspace.automation.plan(Selection(ids=(1,)), FROM_FAILED).refused
    assert why.code == "recipe_changed"
    assert "step 1, before step 3.then.2" in why.message
    workspace.recipe(STEPS % "there")
    rerun_and_run(workspace, 1, FROM_FAILED)
    assert workspace.lines() == ["one", "two 1", "four 1", "five"]


def test_what_was_reused_before_still_says_where_it_first_ran(workspace):
    workspace.recipe(STEPS % "missing")
    workspace.run({"a": 1})
    rerun_and_run(workspace, 1, FROM_FAILED)
    (workspace.path / "missing").write_text("x")
    rerun_and_run(workspace, 1, FROM_FAILED)
    assert workspace.lines() == ["one", "two 1", "four 1", "five"]
    assert workspace.steps(1)["1"].resolved_by == "1.1"


def test_in_a_loop_the_turns_before_are_reused(workspace):
    workspace.recipe("""
steps:
  - repeat: trigger.names
    do:
      - {id: say, action: files.append, with: {path: log, text: "{{ item }}\\n"}}
      - {id: read, action: files.read, with: {path: "{{ item }}"}}
  - {id: count, set: {n: "{{ steps.read | length }}"}}
""")
    (workspace.path / "a").write_text("a")
    workspace.run({"names": ["a", "b", "c"]})
    for name in ("b", "c"):
        (workspace.path / name).write_text(name)
    again = rerun_and_run(workspace, 1, FROM_FAILED)
    assert workspace.lines() == ["a", "b", "c"]
    assert again.version.status is Status.SUCCEEDED
    assert workspace.steps(1)["2"].output == {"n": 3}


def test_a_monitor_that_handled_an_error_is_not_run_again(workspace):
    workspace.recipe("""
steps:
  - monitor: [{id: no, action: files.read, with: {path: never}}]
    on_error: [{id: handled, action: files.append, with: {path: log, text: "{{ error.kind }}\\n"}}]
  - {id: last, action: files.read, with: {path: missing}}
""")
    workspace.run({})
    (workspace.path / "missing").write_text("x")
    (workspace.path / "never").write_text("x")
    again = rerun_and_run(workspace, 1, FROM_FAILED)
    assert again.version.status is Status.SUCCEEDED
    assert len(workspace.lines()) == 1


def test_from_failed_wants_a_failed_step(workspace):
    workspace.recipe("steps: [{set: {a: 1}}]")
    workspace.run({})
    assert code(workspace, 1, FROM_FAILED) == "not_failed"
    workspace.recipe("trigger: {manual.event: {}, when: trigger.a.b}\nsteps: [{set: {a: 1}}]")
    workspace.send({})
    assert code(workspace, 2, FROM_FAILED) == "not_failed"
    assert code(workspace, 2, ORIGINAL) == "no_revision"


def test_at_the_original_revision_as_plan_version_and_row_say(workspace):
    workspace.recipe('steps: [{action: files.append, with: {path: log, text: "r1\\n"}}]')
    workspace.run({})
    workspace.recipe('steps: [{action: files.append, with: {path: log, text: "r2\\n"}}]')
    plan = workspace.automation.plan(Selection(ids=(1,)), ORIGINAL)
    assert (plan.revisions[0].ran, plan.revisions[0].will_run) == (1, 1)
    again = rerun_and_run(workspace, 1, ORIGINAL)
    assert workspace.lines() == ["r1", "r1"]
    assert (again.version.mode, again.version.recipe_revision) == ("original", 1)
    assert again.job.mode == "original"
    assert rerun_and_run(workspace, 1, How()).version.recipe_revision == 2


def test_another_plan_than_was_shown_is_refused_by_mode_too(workspace):
    workspace.recipe(STEPS % "missing")
    workspace.run({"a": 1})
    plan = workspace.automation.plan(Selection(ids=(1,)))
    with pytest.raises(Refused):
        workspace.automation.rerun(Selection(ids=(1,)), FROM_FAILED, by="ada", plan=plan.digest)


HEAD = "trigger: {manual.event: {}}\n"


@pytest.mark.parametrize(
    ("before", "after", "failed", "change"),
    [
        ("[{set: {a: 1}}, {set: {b: 1}}]", "[{set: {a: 1}}, {set: {b: 2}}]", "2", None),
        ("[{set: {a: 1}}, {set: {b: 1}}]", "[{set: {a: 2}}, {set: {b: 1}}]", "2", "1"),
        ("[{set: {a: 1}}]", "[{set: {z: 1}}, {set: {a: 1}}]", "1", None),
        ("[{if: a, then: [{set: {a: 1}}], else: [{set: {b: 1}}]}]",
         "[{if: a, then: [{set: {a: 2}}], else: [{set: {b: 2}}]}]", "1.then.1", None),
        ("[{if: a, then: [{set: {a: 1}}]}]", "[{if: b, then: [{set: {a: 1}}]}]", "1.then.1", "1"),
        ("[{if: a, then: [{set: {a: 1}}, {set: {b: 1}}]}]", "[{if: a, then: [{set: {a: 2}}, {set: {b: 1}}]}]",
         "1.then.2", "1.then.1"),
        ("[{repeat: a, do: [{set: {a: 1}}, {set: {b: 1}}]}]", "[{repeat: a, do: [{set: {a: 1}}, {set: {b: 2}}]}]",
         "1[3].do.2", None),
        ("[{monitor: [{set: {a: 1}}], on_error: [{set: {b: 1}}]}]",
         "[{monitor: [{set: {a: 2}}], on_error: [{set: {b: 1}}]}]", "1.on_error.1", "1"),
        ("[{choose: [{if: a, then: [{set: {a: 1}}]}, {if: b, then: [{set: {b: 1}}]}]}]",
         "[{choose: [{if: a, then: [{set: {a: 1}}]}, {if: b, then: [{set: {b: 2}}]}]}]", "1.choose.2.then.1", None),
        ("[{choose: [{if: a, then: [{set: {a: 1}}]}, {if: b, then: [{set: {b: 1}}]}]}]",
         "[{choose: [{if: c, then: [{set: {a: 1}}]}, {if: b, then: [{set: {b: 1}}]}]}]", "1.choose.2.then.1", "1"),
        ("[{set: {a: 1}}, {set: {b: 1}}]", "[{set: {a: 1}}]", "2", None),
    ],
)
def test_the_first_change_before_a_failed_step(before, after, failed, change):
    assert first_change(f"{HEAD}steps: {before}", f"{HEAD}steps: {after}", failed) == change
