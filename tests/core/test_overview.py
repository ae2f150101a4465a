"""What the recipes' screens read: triggers of the last valid revision, jobs counted, revisions compared."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from core.errors import NotFound
from core.overview import Declared
from data.states import Status

STEP = "steps: [{id: say, action: log.write, with: {message: hello}}]\n"


def test_a_broken_file_leaves_what_its_last_valid_revision_says(workspace: Any) -> None:
    workspace.recipe(STEP)
    workspace.recipe("trigger: {schedule.every: {every: 10m}}\n" + STEP, name="tick")
    workspace.automation.recipes()
    workspace.recipe("nonsense: true\n")
    workspace.recipe("nonsense: true\n", name="never")
    workspace.automation.recipes()
    assert workspace.automation.overview.declared() == {
        "sync": Declared("manual.event", False, 0), "tick": Declared("schedule.every", True, 0),
    }  # fmt: skip


def test_a_job_counts_in_the_hour_that_brought_it_and_as_its_latest_version_stands(workspace: Any) -> None:
    workspace.recipe('steps: [{stop: failed, reason: "no", if: trigger.bad}]\n')
    first, *_ = workspace.send({"bad": True}, {"bad": True}, {"bad": False})
    workspace.run_until_idle()
    workspace.recipe("steps: [{stop: succeeded}]\n")
    workspace.rerun_and_run(first)
    state = workspace.automation.recipe("sync")
    received = [workspace.automation.job(id).received_at for id in (1, 2, 3)]
    tally = workspace.automation.overview.tallies(max(received))[state.id]
    assert tally.statuses == {Status.SUCCEEDED: 2, Status.FAILED: 1}
    assert (sum(hour.received for hour in tally.hours), sum(hour.failed for hour in tally.hours)) == (3, 1)
    later = workspace.automation.overview.tallies(max(received) + dt.timedelta(hours=25))[state.id]
    assert sum(hour.received for hour in later.hours) == 0
    assert later.statuses == tally.statuses


def test_two_revisions_are_compared_as_their_texts(workspace: Any) -> None:
    workspace.recipe(STEP)
    workspace.automation.recipes()
    workspace.recipe(STEP.replace("hello", "goodbye"))
    overview = workspace.automation.overview
    workspace.automation.recipes()
    change = overview.compared("sync", 1, 2)
    assert (change.old.number, change.new.number) == (1, 2)
    assert [line for line in change.lines[2:] if line[0] in "+-"] == [
        "-" + STEP.rstrip(), "+" + STEP.rstrip().replace("hello", "goodbye")
    ]
    assert overview.compared("sync", 2, 2).lines == ()
    with pytest.raises(NotFound, match="sync has no revision 3; its latest is r2"):
        overview.compared("sync", 1, 3)
    with pytest.raises(NotFound, match="did you mean"):
        overview.compared("sycn", 1, 2)
