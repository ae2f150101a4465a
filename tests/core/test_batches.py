"""Bulk reruns: each test is named after the rule that it holds."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from core.batches import Pause, Release, judged
from core.errors import NotFound, Refused, UsageError
from core.selection import How, Selection, rate, rate_words
from data.job_records import JobFilter, Sort
from data.states import BatchStatus, Status

BAD = 'steps: [{id: read, action: files.read, with: {path: "{{ trigger.name }}"}}]'
LOG = 'steps: [{id: log, action: files.append, with: {path: log, text: "{{ trigger.name }}\\n"}}]'
MANY = "concurrency: 8\n"
UNTIL_TOLD = 'steps: [{action: command.run, with: {argv: [sh, -c, "until [ -e go ]; do sleep 0.05; done"]}}]'
FAILED = JobFilter(statuses=frozenset({Status.FAILED}))


@pytest.fixture
def failed(workspace):
    """Give the ids of twelve failed jobs, whose recipe is mended now."""
    workspace.recipe(BAD)
    ids = workspace.send(*({"name": f"n{number:02}"} for number in range(12)))
    workspace.run_until_idle()
    workspace.recipe(LOG)
    return tuple(ids)


def begin(workspace, ids, **how):
    """Rerun jobs as a batch and return its number."""
    done = workspace.automation.rerun(Selection(ids=ids), How(**how), by="ada", note="why")
    assert done.requested == ids
    return done.batch


@contextmanager
def told_to_go(workspace):
    """Let what waits to be told go on at the end, whatever happens."""
    try:
        yield
    finally:
        (workspace.path / "go").touch()


def purged(workspace, ids):
    """Apply retention, and return whether it has taken the data of these jobs."""
    workspace.automation.purge(by="ada")
    return not any(workspace.automation.job(id).trigger_stored for id in ids)


def counts(workspace, number):
    return workspace.automation.batches.get(number).counts


def names(*numbers):
    return [f"n{number:02}" for number in numbers]


def test_more_than_one_job_makes_a_batch_and_one_does_not(workspace, failed):
    assert workspace.rerun(failed[0]).batch is None
    assert workspace.rerun(*failed[1:3]).batch == 1
    workspace.run_until_idle()
    assert [one.id for one in workspace.automation.batches.all()] == [1]


def test_it_is_carried_out_in_the_order_in_which_the_events_came(workspace, failed):
    number = begin(workspace, failed[::-1][:0] + failed)
    workspace.run_until_idle()
    batch = workspace.automation.batches.get(number)
    assert workspace.lines() == names(*range(12))
    assert (batch.status, batch.counts.succeeded, batch.counts.jobs) == (BatchStatus.DONE, 12, 12)
    assert batch.finished_at is not None
    assert [(one.job_id, one.version, one.status) for one in workspace.automation.batches.jobs(number)] == [
        (id, 2, Status.SUCCEEDED) for id in failed
    ]
    assert workspace.detail(failed[0]).version.batch == number


def test_a_batch_tells_who_was_refused_and_its_counts_add_up(workspace, failed):
    workspace.rerun(failed[3])
    done = workspace.automation.rerun(Selection(filter=JobFilter()), by="ada")
    assert done.requested == (*failed[:3], *failed[4:])
    assert [(one.id, one.code) for one in done.refused] == [(failed[3], "queued")]
    workspace.run_until_idle()
    stands = counts(workspace, done.batch)
    assert (stands.jobs, stands.refused, stands.succeeded) == (12, 1, 11)
    (refused,) = [one for one in workspace.automation.batches.jobs(done.batch) if one.refusal]
    assert (refused.job_id, refused.refusal.code, refused.status) == (failed[3], "queued", None)


def test_plan_run_and_report_agree_to_the_job(workspace, failed, until):
    workspace.recipe(BAD, name="gone")
    gone = workspace.send({"name": "g1"}, {"name": "g2"}, recipe="gone")
    workspace.recipe(BAD, name="short")
    expired = workspace.send({"name": "e1"}, {"name": "e2"}, recipe="short")
    workspace.run_until_idle()
    (workspace.path / "recipes" / "gone.yaml").unlink()
    workspace.recipe("retention: 1s\n" + BAD, name="short")
    until(lambda: purged(workspace, expired), "data that is due")
    chosen = Selection(filter=JobFilter())
    workspace.recipe(UNTIL_TOLD, name="slow")
    (running,) = workspace.send({}, recipe="slow")
    with workspace.engine() as engine, told_to_go(workspace):
        until(lambda: (engine.tick(), workspace.status(running) is Status.RUNNING)[1])
        plan = workspace.automation.plan(chosen)
        done = workspace.automation.rerun(chosen, by="ada", note="why", plan=plan.digest)
        until(lambda: workspace.automation.batches.get(done.batch).finished_at is not None)
    told = {one.id: one.code for one in plan.refused}
    assert told == {
        **dict.fromkeys(gone, "recipe_missing"), **dict.fromkeys(expired, "trigger_expired"), running: "running"
    }
    assert (done.requested, done.refused) == (plan.requested, plan.refused)
    listed = {one.job_id: one for one in workspace.automation.batches.jobs(done.batch)}
    assert {id: one.refusal.code for id, one in listed.items() if one.refusal} == told
    stands = counts(workspace, done.batch)
    assert (stands.jobs, stands.refused, stands.succeeded) == (len(failed) + 5, 5, len(failed))
    reported = {job.id: job for job in workspace.automation.jobs(JobFilter(), Sort("id"))}
    assert {id for id, job in reported.items() if job.versions == 2} == set(done.requested) == set(failed)
    assert {id: reported[id].rerun_blocked.code for id in (*gone, *expired)} == {
        id: code for id, code in told.items() if id != running
    }


def test_it_pins_the_revisions_at_its_start(workspace, failed):
    number = begin(workspace, failed)
    workspace.recipe(LOG.replace("trigger.name", "'other'"))
    workspace.automation.recipes()
    workspace.run_until_idle()
    assert workspace.lines() == names(*range(12))
    assert counts(workspace, number).succeeded == 12


def test_a_canary_runs_first_and_waits_for_a_yes(workspace, failed):
    number = begin(workspace, failed, canary=3)
    workspace.run_until_idle()
    batch = workspace.automation.batches.get(number)
    assert workspace.lines() == names(0, 1, 2)
    assert batch.status is BatchStatus.PAUSED
    assert "3 succeeded, 0 failed" in batch.reason
    assert "the other 9" in batch.reason
    assert workspace.status(failed[5]) is Status.QUEUED
    workspace.automation.batches.resume(number, by="bob")
    workspace.run_until_idle()
    assert workspace.lines() == names(*range(12))
    assert workspace.automation.batches.get(number).status is BatchStatus.DONE


@pytest.mark.parametrize("how", [{"stop_failures": 2}, {"stop_share": 0.2}])
def test_so_many_failures_pause_the_rest_and_say_why(workspace, failed, how):
    workspace.recipe(BAD)
    number = begin(workspace, failed, order="strict", **how)
    workspace.run_until_idle()
    batch = workspace.automation.batches.get(number)
    # A share says nothing of a few.
    stopped_after = how.get("stop_failures", 10)
    assert (batch.status, batch.counts.failed) == (BatchStatus.PAUSED, stopped_after)
    assert f"{stopped_after} of {stopped_after} failed" in batch.reason
    # What was looked at counts no more.
    workspace.recipe(LOG)
    workspace.automation.batches.resume(number, by="ada")
    workspace.run_until_idle()
    assert counts(workspace, number).failed in (4, 12)


def test_an_error_never_seen_before_pauses_a_batch_that_is_to_stop_at_failures(workspace, failed):
    workspace.recipe('steps: [{id: other, action: files.read, with: {path: "other/{{ trigger.name }}"}}]')
    number = begin(workspace, failed, order="strict", stop_failures=50)
    workspace.run_until_idle()
    batch = workspace.automation.batches.get(number)
    assert (batch.status, batch.counts.failed) == (BatchStatus.PAUSED, 1)
    assert batch.reason.startswith("a job failed with an error that was never seen before: group ")


def test_paused_nothing_begins_and_resumed_it_goes_on(workspace, failed, until):
    number = begin(workspace, failed)
    paused = workspace.automation.batches.pause(number, by="bob")
    assert (paused.status, paused.reason) == (BatchStatus.PAUSED, "by bob")
    workspace.run_until_idle()
    assert workspace.lines() == []
    with pytest.raises(Refused, match="paused already"):
        workspace.automation.batches.pause(number, by="bob")
    workspace.automation.batches.resume(number, by="bob")
    workspace.run_until_idle()
    assert workspace.lines() == names(*range(12))
    with pytest.raises(Refused, match="has ended: it is done"):
        workspace.automation.batches.resume(number, by="bob")


def test_canceled_what_has_not_begun_is_canceled_and_says_who(workspace, failed):
    number = begin(workspace, failed, canary=2)
    workspace.run_until_idle()
    batch = workspace.automation.batches.cancel(number, by="bob")
    assert (batch.status, batch.canceled_by) == (BatchStatus.CANCELED, "bob")
    assert (batch.counts.succeeded, batch.counts.canceled) == (2, 10)
    assert batch.finished_at is not None
    version = workspace.detail(failed[5]).version
    assert (version.status, version.error.message) == (Status.CANCELED, f"canceled by bob with batch {number}")
    # A canceled one can be rerun.
    workspace.rerun_and_run(failed[5])
    assert workspace.lines() == names(0, 1, 5)


def test_its_failures_only_are_taken_up_again(workspace, failed):
    (workspace.path / "n03").write_text("there")
    workspace.recipe(BAD)
    number = begin(workspace, failed)
    workspace.run_until_idle()
    left = workspace.automation.batches.failed(number)
    assert left == tuple(id for id in failed if id != failed[3])
    workspace.recipe(LOG)
    workspace.rerun_and_run(failed[0])
    assert workspace.automation.batches.failed(number) == left[1:]


def test_the_jobs_of_one_object_run_one_after_the_other_and_others_beside_them(workspace):
    (workspace.path / "in").mkdir()
    watch = "trigger: {files.new_or_updated: {path: in, settle: 0s, parse: text}}\nconcurrency: 8\n"
    workspace.recipe(watch + 'steps: [{action: files.read, with: {path: "gone-{{ trigger.name }}"}}]')
    for turn in range(3):
        for name in ("a", "b", "c"):
            (workspace.path / "in" / name).write_text(f"{name}{turn}")
        workspace.poll()
    ids = tuple(workspace.statuses())
    workspace.recipe(watch + 'steps: [{action: files.append, with: {path: log, text: "{{ trigger.data }}\\n"}}]')
    begin(workspace, ids, order="key")
    workspace.run_until_idle()
    lines = workspace.lines()
    assert sorted(lines) == [f"{name}{turn}" for name in "abc" for turn in range(3)]
    for name in "abc":
        assert [line for line in lines if line.startswith(name)] == [f"{name}{turn}" for turn in range(3)]


def test_a_new_event_goes_before_a_bulk_rerun_of_another_recipe(workspace, failed):
    number = begin(workspace, failed)
    workspace.recipe(LOG, name="fresh")
    workspace.send({"name": "new"}, recipe="fresh")
    workspace.settings("[engine]\nslots = 1\n")
    workspace.run_until_idle()
    assert workspace.lines()[0] == "new"
    assert counts(workspace, number).succeeded == 12


def test_a_rate_lets_so_many_begin_in_a_second(workspace, failed, until):
    number = begin(workspace, failed, rate=0.001)
    with workspace.engine():
        until(lambda: counts(workspace, number).succeeded == 1)
        assert counts(workspace, number).waiting == 11
        workspace.automation.batches.set_rate(number, None, by="ada")
        until(lambda: workspace.automation.batches.get(number).status is BatchStatus.DONE)
    assert counts(workspace, number).succeeded == 12


def test_a_bulk_rerun_of_many_wants_a_note(workspace, failed):
    workspace.settings("[rerun]\nnote_above = 5\n")
    with pytest.raises(Refused) as refused:
        workspace.rerun(*failed)
    assert refused.value.code == "note_missing"
    assert workspace.rerun(*failed[:5]).batch == 1


def test_a_plan_that_no_longer_holds_says_what_moved(workspace, failed):
    plan = workspace.automation.plan(Selection(ids=failed))
    workspace.rerun(failed[2])
    workspace.recipe(LOG + "\ndescription: another\n")
    with pytest.raises(Refused) as refused:
        workspace.automation.rerun(Selection(ids=failed), by="ada", plan=plan.digest)
    assert refused.value.code == "plan_changed"
    assert f"1 no longer run ({failed[2]}: queued)" in str(refused.value)
    assert "sync would run r3, not r2" in str(refused.value)


def test_a_batch_that_is_not_there_is_told(workspace):
    with pytest.raises(NotFound, match="no batch 7"):
        workspace.automation.batches.pause(7, by="ada")


def test_a_rate_is_read_and_written_in_the_same_words():
    assert [rate(text) for text in ("10/s", "30/m", "90/h")] == [10, 0.5, 0.025]
    assert [rate_words(rate(text)) for text in ("10/s", "30/m", "90/h", "1/h")] == ["10/s", "30/m", "90/h", "1/h"]
    for wrong in ("10", "0/s", "-1/s", "10/d", "", "a/s"):
        with pytest.raises(UsageError, match="is no rate"):
            rate(wrong)


def test_what_is_next_for_a_batch_is_a_matter_of_its_counts(workspace, failed):
    batch = workspace.automation.batches.get(begin(workspace, failed, order="any"))
    assert judged(batch, 12, 12, "new") == Release(None)
    strict = workspace.automation.batches.get(begin_strict(workspace, failed))
    assert judged(strict, 0, 0, None) == Release(1)
    assert isinstance(judged(strict, 3, 3, None), Pause)


def begin_strict(workspace, ids):
    workspace.run_until_idle()
    return begin(workspace, ids, order="strict", stop_failures=3)
