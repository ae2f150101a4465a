"""Retention: what it removes and when, what is left, what holds it off, and that it never stops the jobs."""

from __future__ import annotations

import datetime as dt
import re
import threading
from contextlib import closing, contextmanager
from typing import Any

import pytest
from sqlalchemy import select, text, update

import data.purge
from core import retention
from core.durations import duration
from core.errors import NotFound, Refused
from core.reruns import Selection
from core.retention import Purging, expires_at, rules_of, written
from core.settings import Settings
from data.database import Database, sqlite_url
from data.job_records import JobFilter, Sort
from data.states import Status
from data.tables import audit, holds, versions
from data.writer import Writer

DAY = dt.timedelta(days=1)
CANARY = "kanarienvogel"
RECIPE = """
title: "{{ trigger.name }}"
report: {Name: "{{ trigger.name }}"}
steps:
  - {id: say, set: {said: "{{ trigger.name }}"}}
  - {id: read, action: files.read, with: {path: "{{ trigger.path | default(trigger.name) }}"}}
"""
WORKS = 'steps: [{id: say, set: {said: "{{ trigger.name }}"}}]'


@contextmanager
def opened(workspace):
    with closing(Database(sqlite_url(workspace.path / ".jobdeck" / "jobdeck.db"))) as database:
        yield database


def change(workspace, *statements) -> None:
    """Change the store behind everybody's back."""
    with opened(workspace) as database, database.write() as connection:
        for statement in statements:
            connection.execute(statement)


def age(workspace, days: float, *ids: int) -> None:
    """Let jobs have ended so many days earlier than they did; all without `ids`."""
    micros = int(days * 86_400_000_000)
    which = text("job_id IN (SELECT value FROM json_each(:ids))").bindparams(ids=str(list(ids)))
    moved = update(versions).values(finished_at=text(f"finished_at - {micros}"))
    change(workspace, moved.where(which) if ids else moved)


def purge(workspace, **options) -> dict[str, int]:
    """Apply retention and return how many jobs each rule took."""
    return {one.rule: one.jobs for one in workspace.automation.purge(by="ada", **options)}


def stored(workspace, job_id) -> bool:
    return workspace.automation.job(job_id).trigger_stored


def acts(workspace) -> list[tuple[str, ...]]:
    with opened(workspace) as database, database.read() as connection:
        return [tuple(row) for row in connection.execute(
            select(audit.c.actor, audit.c.action, audit.c.subject, audit.c.note).order_by(audit.c.id))]


# Rules


def test_a_recipes_retention_goes_before_the_workspaces_which_is_30_days(workspace):
    workspace.recipe(WORKS)
    workspace.recipe(f"retention: 7d\n{WORKS}", name="own")
    ids = [*workspace.send({"name": "a"}), *workspace.send({"name": "b"}, recipe="own")]
    workspace.run_until_idle()
    plain, own = (workspace.automation.job(id) for id in ids)
    assert plain.expires_at == plain.finished_at + 30 * DAY
    assert own.expires_at == own.finished_at + 7 * DAY
    workspace.settings('[engine]\nretention = "12h"\n')
    assert workspace.automation.job(plain.id).expires_at == plain.finished_at + DAY / 2
    age(workspace, 8)
    assert purge(workspace) == {"retention 12h of the workspace": 1, "retention 7d of recipe own": 1}


def test_failed_jobs_are_kept_longer_if_asked_and_canceled_ones_as_long_as_failed(workspace):
    workspace.recipe("retention: {succeeded: 30d, failed: 90d}\n" + WORKS)
    workspace.send({"name": "a"}, {"name": "b"}, {"name": "c"})
    workspace.run_until_idle()
    for id, status in ((2, "failed"), (3, "canceled")):
        change(workspace, update(versions).where(versions.c.job_id == id).values(status=status))
    kept = [(job.expires_at - job.finished_at).days for job in map(workspace.automation.job, (1, 2, 3))]
    assert kept == [30, 90, 90]
    age(workspace, 31)
    assert purge(workspace) == {"retention succeeded: 30d of recipe sync": 1}
    age(workspace, 60)
    assert purge(workspace) == {"retention failed: 90d of recipe sync": 2}


def test_a_rerun_counts_from_the_jobs_new_end(workspace):
    workspace.recipe(WORKS)
    workspace.run({"name": "a"})
    age(workspace, 31)
    workspace.rerun_and_run(1)
    assert purge(workspace) == {}
    age(workspace, 31)
    assert purge(workspace) == {"retention 30d of the workspace": 1}


def test_the_rows_and_the_report_say_when_it_expires(workspace):
    workspace.recipe(WORKS)
    workspace.run({"name": "a"})
    job = workspace.automation.job(1)
    assert [one.expires_at for one in workspace.automation.jobs(JobFilter(), Sort())] == [job.expires_at]
    report = workspace.automation.report(JobFilter(), Sort())
    assert [one.expires_at for one in report.rows(0, 5)] == [job.expires_at]
    workspace.recipe(f"retention: 1h\n{WORKS}")
    workspace.automation.recipes()
    assert [one.expires_at for one in report.near(job, 5, 5)[0]] == [job.finished_at + dt.timedelta(hours=1)]


@pytest.mark.parametrize("period", ["30d", "12h", "1d12h", "1h30m", "90s", "500ms", "2w", "0s"])
def test_durations_are_told_as_they_are_written(period):
    assert duration(written(duration(period))) == duration(period)


def test_a_retention_longer_than_time_itself_keeps_for_ever(workspace):
    workspace.recipe(WORKS)
    workspace.settings('[engine]\nretention = "999999999d"\n')
    workspace.run({"name": "a"})
    assert workspace.automation.job(1).expires_at is None
    assert purge(workspace) == {}


def test_the_jobs_of_a_recipe_whose_file_is_gone_go_by_its_last_revision(workspace):
    workspace.recipe(f"retention: 1d\n{WORKS}")
    workspace.run({"name": "a"})
    (workspace.path / "recipes" / "sync.yaml").unlink()
    age(workspace, 2)
    assert purge(workspace) == {"retention 1d of recipe sync": 1}


# What goes, and what is left


def test_what_is_left_of_a_job(workspace):
    workspace.recipe(RECIPE)
    workspace.run({"name": CANARY})
    workspace.automation.rerun(Selection(ids=(1,)), by="ada", note="a note of ours")
    workspace.run_until_idle()
    age(workspace, 31)
    before, past = workspace.automation.job(1), workspace.automation.history(1)
    assert before.title == CANARY
    assert before.report == {"Name": CANARY}
    assert CANARY in before.error.message
    assert purge(workspace) == {"retention 30d of the workspace": 1}

    after = workspace.automation.job(1)
    for fact in ("id", "recipe", "event_key", "status", "received_at", "first_started_at", "started_at", "finished_at",
                 "duration_ms", "versions"):
        assert getattr(after, fact) == getattr(before, fact), fact
    assert after.title == after.event_key
    assert after.report == {}
    assert after.error.message == "removed by retention"
    assert (after.error.kind, after.error.step, after.error.group) == (
        before.error.kind, before.error.step, before.error.group)
    assert after.trigger_expired_by == "retention 30d of the workspace"
    assert dt.datetime.now(dt.UTC) - after.trigger_expired_at < dt.timedelta(minutes=1)
    assert after.expires_at is None
    for then, now in zip(past, workspace.automation.history(1), strict=True):
        assert (now.number, now.status, now.mode, now.requested_by, now.note, now.recipe_revision, now.finished_at) == (
            then.number, then.status, then.mode, then.requested_by, then.note, then.recipe_revision, then.finished_at)
        assert now.expired
        detail = workspace.detail(1, now.number)
        assert (detail.trigger, detail.steps) == (None, ())
    assert purge(workspace) == {}


def test_the_rerun_is_refused_and_says_on_what_date_and_by_which_retention(workspace):
    workspace.recipe(f"retention: 30d\n{WORKS}")
    workspace.run({"name": "a"})
    age(workspace, 31)
    purge(workspace)
    (why,) = workspace.rerun(1).refused
    today = dt.datetime.now(dt.UTC).date().isoformat()
    assert why.code == "trigger_expired"
    assert why.message == f"its trigger data was removed on {today} by retention 30d of recipe sync"
    assert workspace.automation.job(1).rerun_blocked == why


def test_an_old_event_is_never_new_again(workspace):
    workspace.recipe(WORKS)
    first = workspace.automation.send("sync", [{"name": "a"}], key="trigger.name", by="ada")
    workspace.run_until_idle()
    age(workspace, 31)
    purge(workspace)
    again = workspace.automation.send("sync", [{"name": "a"}], key="trigger.name", by="ada")
    assert (again[0].new, again[0].job_id) == (False, first[0].job_id)


def test_nothing_of_it_is_in_the_file_or_its_log(workspace, until):
    workspace.recipe(RECIPE)
    for number in range(40):
        workspace.send({"name": f"{CANARY} {number}", "long": CANARY * 900})
    with workspace.engine() as engine:
        workspace_idle(engine)
        age(workspace, 31)
        assert files_with_canary(workspace)
        assert sum(purge(workspace).values()) == 40
        # The process that checkpoints is the engine; it sees that another has removed something. Whoever reads just
        # then holds it back until it looks again.
        until(lambda: (engine._purging.look(), not files_with_canary(workspace))[1], "a file without it")


def test_without_an_engine_it_empties_the_log_itself(workspace):
    workspace.recipe(RECIPE)
    workspace.run(*({"name": f"{CANARY} {number}"} for number in range(5)))
    age(workspace, 31)
    # Somebody else looks at the store: nobody is the last to close it.
    with opened(workspace) as other:
        other.data_version()
        assert files_with_canary(workspace)
        assert sum(purge(workspace).values()) == 5
        assert files_with_canary(workspace) == []


def workspace_idle(engine) -> None:
    done = threading.Event()
    while not done.wait(0.005):
        engine.tick()
        if engine.idle():
            return


def files_with_canary(workspace) -> list[str]:
    found = workspace.path.glob(".jobdeck/jobdeck.db*")
    return [path.name for path in found if CANARY.encode() in path.read_bytes()]


# What is never removed


@pytest.mark.parametrize("status", [Status.QUEUED, Status.RUNNING, Status.IN_DOUBT])
def test_open_versions_never_expire(workspace, status):
    workspace.recipe(WORKS)
    workspace.run({"name": "a"})
    age(workspace, 1000)
    workspace.rerun(1)
    change(workspace, update(versions).where(versions.c.number == 2).values(status=status))
    assert workspace.automation.job(1).expires_at is None
    assert purge(workspace) == {}
    assert stored(workspace, 1)


def test_a_held_job_stays_until_it_is_released(workspace):
    workspace.recipe(WORKS)
    workspace.run({"name": "a"}, {"name": "b"})
    held = workspace.automation.hold(1, reason=" a dispute ", by="ada").held
    assert (held.reason, held.by) == ("a dispute", "ada")
    age(workspace, 31)
    assert purge(workspace) == {"retention 30d of the workspace": 1}
    assert [stored(workspace, id) for id in (1, 2)] == [True, False]
    assert workspace.automation.job(1).expires_at is None
    assert workspace.rerun(1).requested == (1,)
    workspace.run_until_idle()
    age(workspace, 31)
    assert purge(workspace) == {}
    assert workspace.automation.release(1, by="eve").held is None
    assert purge(workspace) == {"retention 30d of the workspace": 1}
    told = [act[:3] for act in acts(workspace)]
    assert told == [("ada", "hold", "job 1"), ("ada", "purge", "1 jobs"), ("ada", "rerun", "job 1.2"),
                    ("eve", "release", "job 1"), ("ada", "purge", "1 jobs")]
    assert acts(workspace)[0][3] == "a dispute"
    assert acts(workspace)[1][3] == "1 by retention 30d of the workspace"


def test_a_hold_is_refused_where_it_says_nothing_is_taken_or_comes_too_late(workspace):
    workspace.recipe(WORKS)
    workspace.run({"name": "a"}, {"name": "b"})
    automation = workspace.automation
    for act, code, says in (
        (lambda: automation.hold(1, reason=" ", by="ada"), "no_reason", "--reason"),
        (lambda: automation.release(1, by="ada"), "not_held", "nobody holds job 1"),
    ):
        with pytest.raises(Refused, match=says) as refused:
            act()
        assert refused.value.code == code
    automation.hold(1, reason="first", by="ada")
    with pytest.raises(Refused, match=r"ada holds job 1 since .*: first") as refused:
        automation.hold(1, reason="second", by="eve")
    assert refused.value.code == "held"
    age(workspace, 31)
    purge(workspace)
    with pytest.raises(Refused, match="nothing of job 2 is left to hold: its trigger data was removed on") as refused:
        automation.hold(2, reason="late", by="eve")
    assert refused.value.code == "trigger_expired"
    with pytest.raises(NotFound):
        automation.hold(99, reason="none", by="eve")
    with pytest.raises(NotFound):
        automation.release(99, by="eve")


def test_a_called_job_waits_for_the_one_that_called_it(workspace):
    workspace.recipe(f"retention: 1d\n{WORKS}", name="child")
    workspace.recipe('retention: 30d\nsteps: [{id: ask, call: child, with: {name: "{{ trigger.name }}"}}]')
    workspace.run({"name": "a"})
    age(workspace, 2)
    assert purge(workspace) == {}
    assert stored(workspace, 2)
    workspace.rerun_and_run(1)
    assert workspace.automation.job(2).versions == 2
    age(workspace, 31)
    assert purge(workspace) == {"retention 1d of recipe child": 1, "retention 30d of recipe sync": 1}
    assert workspace.detail(2).parent.job_id == 1


def test_dry_run_says_the_same_and_removes_nothing(workspace):
    workspace.recipe(RECIPE)
    workspace.run(*({"name": CANARY} for _ in range(120)))
    age(workspace, 31)
    planned = workspace.automation.purge(by="ada", dry_run=True)
    assert [one.jobs for one in planned] == [120]
    assert planned[0].bytes > 120 * len(CANARY) * 4
    assert all(stored(workspace, id) for id in range(1, 121))
    assert acts(workspace) == []
    assert workspace.automation.purge(by="ada") == planned


# Beside the jobs


def test_a_rerun_that_was_planned_before_the_purge_is_refused_too(workspace, monkeypatch):
    workspace.recipe(WORKS)
    workspace.run({"name": "a"}, {"name": "b"})
    age(workspace, 31, 1)
    automation = workspace.automation
    queue = automation._planner._begun

    def beaten(*given: Any) -> Any:
        purge(workspace)
        return queue(*given)

    monkeypatch.setattr(automation._planner, "_begun", beaten)
    done = workspace.rerun(1, 2)
    assert done.requested == (2,)
    assert [(one.id, one.code) for one in done.refused] == [(1, "trigger_expired")]


def test_a_purge_during_a_bulk_rerun_takes_whole_jobs_and_no_open_one(workspace, monkeypatch):
    monkeypatch.setattr(data.purge, "BATCH", 5)
    monkeypatch.setattr("core.batches.CHUNK", 10)
    workspace.settings("[rerun]\nnote_above = 1000\n")
    workspace.recipe(WORKS)
    jobs = 400
    workspace.automation.send("sync", ({"name": str(number)} for number in range(jobs)), by="ada")
    workspace.run_until_idle()
    age(workspace, 31)
    removed: list[int] = []
    begun = threading.Event()
    remove = data.purge.remove

    def told(*given: Any) -> Any:
        batch = remove(*given)
        if batch.jobs:
            begun.set()
        return batch

    monkeypatch.setattr(data.purge, "remove", told)
    thread = threading.Thread(target=lambda: removed.append(sum(purge(workspace).values())))
    with workspace.engine() as engine:
        thread.start()
        assert begun.wait(30)
        done = workspace.rerun(*range(jobs, 0, -1))
        thread.join()
        workspace_idle(engine)
    assert len(done.requested) + len(done.refused) == jobs
    assert {one.code for one in done.refused} <= {"trigger_expired"}
    assert removed[0] == len(done.refused)
    assert done.requested
    assert done.refused
    for job in workspace.automation.jobs(JobFilter(), Sort("id")):
        again = job.id in done.requested
        assert (job.versions, job.trigger_stored, job.status) == (2 if again else 1, again, Status.SUCCEEDED)


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = dt.datetime.now(dt.UTC)

    def __call__(self) -> dt.datetime:
        return self.now


@pytest.fixture
def purging(workspace, monkeypatch):
    """Give an engine's retention, its clock, and how often the rules were applied."""
    applied: list[retention.Purge] = []
    apply = retention.apply

    def counted(*given: Any, **more: Any) -> retention.Purge:
        applied.append(apply(*given, **more))
        return applied[-1]

    monkeypatch.setattr(retention, "apply", counted)
    clock = Clock()
    with opened(workspace) as database:
        writer = Writer(database)
        rules = workspace.automation._terms.rules

        def make() -> Purging:
            return Purging(database, writer, lambda: [rule for each in rules().values() for rule in each], clock)

        yield make, clock, applied
        writer.close()


def forget_the_last(workspace, applied) -> None:
    """Let it be as if retention had never been applied."""
    change(workspace, text("DELETE FROM meta WHERE key LIKE 'purge.%'"))
    applied.clear()


def test_the_engine_applies_it_at_its_start_when_a_day_is_over_and_then_daily(workspace, purging):
    make, clock, applied = purging
    workspace.recipe(WORKS)
    workspace.run({"name": "a"})
    forget_the_last(workspace, applied)
    engine = make()
    engine.look()
    engine.look()
    assert len(applied) == 1
    clock.now += DAY - dt.timedelta(seconds=1)
    make().look()
    assert len(applied) == 1
    clock.now += 30 * DAY
    make().look()
    assert [purge.jobs for purge in applied] == [0, 1]
    assert ("engine", "purge", "1 jobs", "1 by retention 30d of the workspace") in acts(workspace)
    # A clock that has run ahead is put right.
    clock.now -= 20 * DAY
    make().look()
    assert len(applied) == 3


def test_an_engine_that_stops_in_the_midst_leaves_the_rest_to_the_next(workspace, purging, monkeypatch):
    make, clock, applied = purging
    monkeypatch.setattr(data.purge, "BATCH", 3)
    workspace.recipe(WORKS)
    workspace.run(*({"name": str(number)} for number in range(10)))
    forget_the_last(workspace, applied)
    clock.now += 31 * DAY
    stopped = make()
    remove = data.purge.remove

    def stops(*given: Any) -> Any:
        batch = remove(*given)
        if batch.jobs:
            stopped.close()
        return batch

    monkeypatch.setattr(data.purge, "remove", stops)
    stopped.look()
    make().look()
    assert [(purge.jobs, purge.whole) for purge in applied] == [(3, False), (7, True)]


def test_a_running_engine_purges_while_it_works(workspace, until):
    workspace.recipe(WORKS)
    workspace.run({"name": "a"})
    age(workspace, 31)
    change(workspace, text("DELETE FROM meta WHERE key LIKE 'purge.%'"))
    with workspace.engine():
        until(lambda: not stored(workspace, 1), "the purge")
        workspace.send({"name": "b"})
        until(lambda: workspace.status(2) is Status.SUCCEEDED, "the next job")
    assert re.search(r"the data of 1 jobs of sync was removed by retention 30d of the workspace",
                     (workspace.path / ".jobdeck" / "engine.log").read_text())


def test_a_rule_is_a_function_of_recipe_and_settings(workspace):
    workspace.recipe(WORKS)
    workspace.run({"name": "a"})
    job = workspace.automation.job(1)
    recipe = workspace.automation._library.loaded(workspace.automation.recipe("sync")).recipe
    (rule,) = rules_of(7, recipe, Settings())
    assert (rule.recipe_id, rule.sentence) == (7, "retention 30d of the workspace")
    assert expires_at(job, {"sync": (rule,)}) == job.finished_at + 30 * DAY
    assert expires_at(job, {}) is None
    with opened(workspace) as database, database.read() as connection:
        assert connection.execute(select(holds)).all() == []
