"""Reruns asked for at the same moment: one wins, the other is told who."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from core.automation import Automation
from core.reruns import Selection

GOOD = 'steps: [{id: say, set: {name: "{{ trigger.name }}"}}]'
LOG = 'steps: [{id: log, action: files.append, with: {path: log, text: "{{ trigger.name }}\\n"}}]'


def test_two_operators_at_once_one_wins_the_other_is_told_who(workspace):
    workspace.recipe(GOOD)
    ids = tuple(workspace.send(*({"name": str(n)} for n in range(100))))
    workspace.run_until_idle()
    barrier = threading.Barrier(2)

    def rerun(who):
        with Automation(workspace.path) as automation:
            barrier.wait(10)
            # One by one, so that both are at it all the time.
            return [automation.rerun(Selection(ids=(id,)), by=who) for id in ids]

    with ThreadPoolExecutor(2) as pool:
        ada, bob = pool.map(rerun, ("ada", "bob"))
    for mine, others, who in zip(ada, bob, ids, strict=True):
        assert len(mine.requested) + len(others.requested) == 1, who
        (why,) = mine.refused or others.refused
        assert why.code == "queued"
        assert f"asked for by {'bob' if mine.refused else 'ada'}" in why.message
    workspace.run_until_idle()
    assert {len(workspace.automation.history(id)) for id in ids} == {2}


PROCESS = """
import json, sys
from pathlib import Path
from core.automation import Automation
from core.reruns import Selection
with Automation(Path(sys.argv[1])) as automation:
    print("ready", flush=True)
    sys.stdin.readline()
    done = automation.rerun(Selection(ids=tuple(json.loads(sys.argv[2]))), by=sys.argv[3], note="both")
    print(json.dumps([done.requested, [[one.id, one.code, one.message] for one in done.refused]]))
"""


def test_two_processes_at_once_one_wins_each_job(workspace):
    workspace.recipe(GOOD)
    ids = workspace.send(*({"name": str(n)} for n in range(500)))
    workspace.run_until_idle()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(workspace.path), json.dumps(ids), who],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for who in ("ada", "bob")
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    told = [json.loads(process.communicate(timeout=60)[0]) for process in processes]
    (ada, not_ada), (bob, not_bob) = told
    assert sorted(ada + bob) == ids
    assert {tuple(one) for one in not_ada} == {tuple(one) for one in not_ada if one[0] in bob}
    assert all(code == "queued" and "asked for by bob" in message for _, code, message in not_ada)
    assert all(code == "queued" and "asked for by ada" in message for _, code, message in not_bob)
    assert len(not_ada) + len(not_bob) == 500


def test_who_lost_to_a_rerun_that_has_ended_already_is_told_too(workspace, monkeypatch):
    workspace.recipe(LOG)
    workspace.run({"name": "a"})
    queue = workspace.automation._planner._alone

    def too_late(*asked):
        with Automation(workspace.path) as other:
            other.rerun(Selection(ids=(1,)), by="bob")
        workspace.run_until_idle()
        return queue(*asked)

    monkeypatch.setattr(workspace.automation._planner, "_alone", too_late)
    done = workspace.rerun(1)
    assert done.requested == ()
    assert [(one.id, one.code) for one in done.refused] == [(1, "not_latest")]
    assert workspace.lines() == ["a", "a"]
