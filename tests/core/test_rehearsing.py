"""Rehearsals: what acts and what is answered, how they compare, and the verdict: was it the world or the recipe?"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest

from core.errors import NotFound, Refused
from data.states import Status

READS = "  - {id: seen, action: files.read, with: {path: seen.json, parse: json}}\n"
CHECKS = '  - {stop: failed, if: not steps.seen.data.ok, reason: "not ok"}\n'


@pytest.fixture
def rehearsing(workspace):
    return workspace.automation.rehearsing


def see(workspace, **data):
    (workspace.path / "seen.json").write_text(json.dumps(data))


def rehearse(workspace, job, revision=None):
    return workspace.automation.rehearsing.rehearse(job, revision, by="ada")


def acts(workspace):
    with closing(sqlite3.connect(workspace.path / ".jobdeck" / "jobdeck.db")) as store:
        return store.execute("SELECT actor, action, subject, note FROM audit ORDER BY id").fetchall()


def steps(done):
    return {step.path: step for step in done.ran.steps}


# What acts


def test_reads_act_and_writes_are_answered_by_what_the_job_itself_last_recorded(workspace):
    append = "  - {id: told, action: files.append, with: {path: log, text: '{{ trigger.name }}'}}\n"
    workspace.recipe("steps:\n" + READS + append + CHECKS)
    see(workspace, ok=False)
    job = workspace.run({"name": "Ada"}).job.id
    workspace.run({"name": "somebody else"})
    see(workspace, ok=True)
    done = rehearse(workspace, job)
    assert (done.ran.status, steps(done)["1"].output["data"]) == (Status.SUCCEEDED, {"ok": True})
    assert (steps(done)["2"].output["size"], done.ran.not_sent) == (3, {"2": f"{job}.1"})
    assert workspace.lines() == ["Adasomebody else"]
    assert len(workspace.automation.history(job)) == 1


def test_each_iteration_gets_its_own_answer_and_a_step_that_the_job_never_completed_one_of_the_recipe(workspace):
    told = "{id: told, action: files.append, with: {path: log, text: '{{ item }}'}}"
    workspace.recipe(f"steps:\n  - {{repeat: trigger.rows, do: [{told}]}}\n  - {{stop: failed, if: trigger.bad}}\n")
    job = workspace.run({"rows": ["a", "bcd"], "bad": True}).job.id
    done = rehearse(workspace, job)
    assert [steps(done)[f"1[{at}].do.1"].output["size"] for at in (0, 1)] == [1, 4]
    never = workspace.send({"rows": ["xy"], "bad": True})[0]
    workspace.recipe(f"steps:\n  - {{stop: failed, if: trigger.bad}}\n  - {{repeat: trigger.rows, do: [{told}]}}\n")
    workspace.run_until_idle()
    workspace.recipe(f"steps:\n  - {{repeat: trigger.rows, do: [{told}]}}\n")
    workspace.automation.recipes()
    done = rehearse(workspace, never, revision=3)
    assert done.ran.not_sent == {"1[0].do.1": f"{job}.1"}


def test_expressions_see_the_job_and_version_that_are_rehearsed(workspace):
    workspace.recipe('steps: [{id: who, set: {who: "{{ job.id }}.{{ job.version }}"}}]\n')
    workspace.run()
    job = workspace.run().job.id
    done = rehearse(workspace, job)
    assert steps(done)["1"].output == {"who": f"{job}.1"}
    assert done.verdict == f"nothing has changed: r1 comes out as {job}.1 did"


# Verdicts


def test_the_same_revision_that_now_succeeds_says_that_the_world_has_changed(workspace):
    workspace.recipe("steps:\n" + READS + CHECKS)
    see(workspace, ok=False)
    job = workspace.run().job.id
    see(workspace, ok=True)
    done = rehearse(workspace, job)
    assert done.verdict == (
        "the world has changed: the same r1, which failed at step 2, now succeeds; "
        "the first step that differs is 1 seen"
    )
    assert done.diff.first.path == "1"


def test_the_same_revision_that_fails_elsewhere_says_that_the_world_has_changed(workspace):
    workspace.recipe("steps:\n" + READS + CHECKS)
    job = workspace.run().job.id
    see(workspace, ok=False)
    verdict = rehearse(workspace, job).verdict
    assert verdict.startswith("the world has changed: the same r1, which failed at step 1, now fails at step 2")


def test_the_same_failure_of_the_same_revision_is_the_recipe_or_the_data(workspace):
    workspace.recipe("steps:\n" + READS + CHECKS)
    see(workspace, ok=False)
    job = workspace.run().job.id
    done = rehearse(workspace, job)
    assert done.verdict.startswith(f"it is the recipe or the data: r1 fails as {job}.1 did, at step 2")
    assert (done.ran.status, done.diff.first) == (Status.FAILED, None)


def test_another_revision_that_succeeds_says_that_the_recipe_was_it(workspace):
    workspace.recipe("steps:\n  - {set: {a: '{{ trigger.missing.name }}'}}\n")
    job = workspace.run({"missing": 1}).job.id
    workspace.recipe("steps:\n  - {set: {a: 1}}\n")
    workspace.automation.recipes()
    done = rehearse(workspace, job, revision=2)
    assert done.verdict.startswith("the recipe was it: r2 succeeds where r1 failed at step 1")
    assert rehearse(workspace, job).verdict.startswith("it is the recipe or the data: r1 fails")
    workspace.recipe("steps:\n  - {set: {b: 1}}\n  - {set: {a: '{{ trigger.missing.name }}'}}\n")
    workspace.automation.recipes()
    assert rehearse(workspace, job, revision=3).verdict.startswith("r3 does not mend it: it fails as r1 did, at step 2")


def test_a_step_that_failed_as_a_write_cannot_be_judged(workspace, server):
    server.status = 422
    writes = "steps:\n  - {{id: made, action: http.request, with: {{method: {}, url: '{}'}}}}\n"
    workspace.recipe(writes.format("POST", server.url))
    job = workspace.run().job.id
    for revision in (None, 2):
        verdict = rehearse(workspace, job, revision).verdict
        assert verdict.startswith(f"step 1 made failed in {job}.1 and cannot be judged: it is a write, and writes are")
        workspace.recipe(writes.format("PUT", server.url))
        workspace.automation.recipes()
    assert verdict.endswith("not sent; what it would be given has changed")
    assert len(server.received) == 1


def test_a_read_before_a_failed_write_that_came_out_differently_is_told_but_the_write_not_judged(workspace, server):
    server.status = 422
    workspace.recipe(
        f"steps:\n{READS}  - {{action: http.request, with: {{method: POST, url: '{server.url}', "
        "json: '{{ steps.seen.data }}'}}\n"
    )
    see(workspace, n=1)
    job = workspace.run().job.id
    see(workspace, n=2)
    verdict = rehearse(workspace, job).verdict
    assert verdict.startswith("the world has changed: step 1 seen came out differently; but step 2 failed")
    assert "cannot be judged" in verdict


def test_a_failed_write_that_was_handled_is_no_excuse_for_a_read_that_fails_again(workspace, server):
    server.status = 422
    workspace.recipe(
        f"steps:\n  - monitor: [{{action: http.request, with: {{method: POST, url: '{server.url}'}}}}]\n{READS}"
    )
    job = workspace.run().job.id
    assert rehearse(workspace, job).verdict.startswith("it is the recipe or the data")
    see(workspace)
    assert rehearse(workspace, job).verdict.startswith("the world has changed: the same r1, which failed at step 2")


def test_a_failed_call_is_not_judged_for_the_writes_of_the_called_recipe_are_answered_too(workspace, server):
    server.status = 422
    workspace.recipe(f"steps:\n  - {{action: http.request, with: {{method: POST, url: '{server.url}'}}}}\n", "child")
    workspace.recipe("steps:\n  - {id: child, call: child}\n")
    job = workspace.run().job.id
    verdict = rehearse(workspace, job).verdict
    assert verdict.startswith(f"step 1 child failed in {job}.1 and cannot be judged: it calls another recipe, whose")


def test_a_job_that_failed_before_its_first_step_is_rehearsed_through_the_last_revision(workspace):
    workspace.recipe("trigger: {manual.event: {}, when: trigger.a.b > 1}\nsteps: [{set: {a: 1}}]\n")
    job = workspace.send({})[0]
    done = rehearse(workspace, job)
    assert done.verdict == f"{job}.1 failed before it ran any revision; r1 succeeds"
    assert done.ran.title == workspace.automation.job(job).title


def test_a_good_version_that_would_fail_now_says_what_has_changed(workspace):
    workspace.recipe("steps:\n" + READS + CHECKS)
    see(workspace, ok=True)
    job = workspace.run().job.id
    see(workspace, ok=False)
    verdict = rehearse(workspace, job).verdict
    assert verdict.startswith(f"the world has changed since {job}.1: the same r1 fails at step 2; the first step that")


# What is kept, and what is refused


def test_it_is_kept_apart_from_the_versions_and_in_the_audit_and_goes_with_the_jobs_data(workspace, rehearsing):
    workspace.recipe("retention: 30d\nsteps:\n" + READS)
    job = workspace.run({"name": "canary"}).job.id
    first, second = (rehearse(workspace, job) for _ in range(2))
    kept = rehearsing.kept(job)
    assert [(one.id, one.version, one.revision, one.status, one.by) for one in kept] == [
        (second.id, 1, 1, "failed", "ada"), (first.id, 1, 1, "failed", "ada"),
    ]
    assert kept[0].verdict == second.verdict
    assert acts(workspace)[-1] == (
        "ada", "rehearse", f"job {job}", f"rehearsal {second.id}: {job}.1 through r1: failed"
    )
    with closing(sqlite3.connect(workspace.path / ".jobdeck" / "jobdeck.db")) as store, store:
        store.execute("UPDATE versions SET finished_at = 0")
    workspace.automation.purge(by="ada")
    assert rehearsing.kept(job) == []
    with pytest.raises(Refused, match="by retention 30d of recipe sync") as expired:
        rehearse(workspace, job)
    assert expired.value.code == "trigger_expired"


def test_secrets_are_masked_in_what_is_told_and_in_what_is_kept(workspace, monkeypatch):
    monkeypatch.setenv("API_AUTH", "canary-5f2d")
    workspace.settings(
        '[connections.api]\ntype = "http"\nbase_url = "http://127.0.0.1:1"\n'
        'headers = {Authorization = {env = "API_AUTH"}}\n'
    )
    workspace.recipe(
        "report: {Said: '{{ trigger.a }}'}\nsteps:\n"
        "  - {action: http.request, with: {connection: api, method: POST, url: /, text: '{{ trigger.a }}'}}\n"
        "  - {stop: failed, reason: '{{ trigger.a }}'}\n"
    )
    done = rehearse(workspace, workspace.run({"a": "it is canary-5f2d"}).job.id)
    assert done.ran.error.message == done.ran.report["Said"] == "it is ••••"
    assert done.ran.steps[0].input["text"] == "it is ••••"
    with closing(sqlite3.connect(workspace.path / ".jobdeck" / "jobdeck.db")) as store:
        (content,) = store.execute("SELECT content FROM rehearsals").fetchone()
    assert "canary-5f2d" not in content


def test_refusals_have_the_codes_of_rerunning(workspace):
    workspace.recipe("steps: [{set: {a: 1}}]\n")
    job = workspace.send({})[0]

    def code(revision=None):
        with pytest.raises(Refused) as refused:
            rehearse(workspace, job, revision)
        return refused.value.code

    assert code() == "queued"
    workspace.run_until_idle()
    workspace.recipe("steps: [{action: http.request, with: {connection: api, url: /}}]\n")
    workspace.automation.recipes()
    assert rehearse(workspace, job).ran.status is Status.SUCCEEDED
    assert code(2) == "connection_missing"
    workspace.recipe("nonsense")
    assert code() == "recipe_invalid"
    (workspace.path / "recipes" / "sync.yaml").unlink()
    assert code() == "recipe_missing"
    workspace.recipe("steps: [{set: {a: 1}}]\n")
    with pytest.raises(NotFound, match="sync has no revision 9; its last is r3"):
        rehearse(workspace, job, 9)
    with pytest.raises(NotFound, match="there is no job 404"):
        rehearse(workspace, 404)
