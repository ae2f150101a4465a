"""Everything that the terminal shows, scene by scene: each screen, also empty or broken, and each panel on it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import threading
from collections.abc import Callable, Sequence
from typing import Any

from piloted import PilotedApp
from staged import Scene, Staged
from stub_automation import BEGAN, FAILED_STEPS, step
from stub_batches import paused_and_done

from core.automation import EngineState
from core.errors import StoreError
from core.reruns import WHOLE, How, Plan, Repeat, RevisionChange, Selection
from data.job_records import Error, JobFilter, Refusal, Sort, Stopped
from data.records import Act, ErrorGroup, ErrorNote
from data.report import Report
from data.states import Status, StepStatus
from tui import views
from tui.screens.activity import ActivityScreen
from tui.screens.audit import AuditScreen
from tui.screens.batch import BatchScreen
from tui.screens.errors import ErrorsScreen
from tui.screens.messages import MessagesScreen
from tui.screens.recipe import RecipeScreen
from tui.screens.recipes import RecipesScreen
from tui.screens.report import ReportScreen
from tui.screens.revision import RecipeDiffScreen, RevisionScreen
from tui.views import View
from tui.widgets.bars import Said

# The report


def report(app: PilotedApp) -> None:
    app.push_screen(ReportScreen())


def nothing(app: PilotedApp) -> None:
    app.push_screen(ReportScreen(JobFilter(search="nothing is called so")))


class Unread(Report):
    """A report that cannot be read."""

    def _unread(self, *arguments: Any, **named: Any) -> Any:
        raise StoreError("the database is locked: another process writes for longer than 30 s")

    rows = near = job = count = has_more_than = position = _unread


class Unheard(Report):
    """A report that does not answer until it is given up."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._given_up = threading.Event()

    def stop(self) -> None:
        self._given_up.set()
        super().stop()

    def _unheard(self, *arguments: Any, **named: Any) -> Any:
        self._given_up.wait(2)
        raise Stopped

    rows = near = job = count = has_more_than = position = _unheard


def of(kind: type[Report]) -> Callable[[Staged], object]:
    """Have another kind of report."""
    return lambda automation: setattr(automation, "kind", kind)


def empty(automation: Staged) -> None:
    automation.database = automation.no_jobs
    automation.state = EngineState(False)


def planned(automation: Staged) -> None:
    """A bulk rerun: ids out of two recipes, refusals, repeats."""
    refused = (*(Refusal(id, "trigger_expired", "its trigger data was removed on 2026-04-04 (retention 30d)")
                 for id in (31, 32, 33, 34, 35, 36)), Refusal(41, "running", "41 is running"))
    diff = ("--- r2", "+++ r3", "@@ -4,2 +4,2 @@",
            '-  name: "{{ trigger.Name }}"', '+  name: "[b]{{ trigger.Nom }}[/b]"')
    changes = (RevisionChange("invoices", 2, 3, 100, diff), RevisionChange("sync", 3, 3, 28))
    repeats = (Repeat("invoices", "2.then.1", "http.request", 96), Repeat("sync", "1", "email.send", 3))

    def plan(selection: Selection, how: How = WHOLE, *, digest: str | None = None) -> Plan:
        return Plan(selection, tuple(range(100, 228)), refused, changes, repeats, "digest", how, (), 754_000)

    automation.plan = plan  # type: ignore[method-assign]


def view_saved(automation: Staged) -> None:
    failed = View(JobFilter(statuses=frozenset({Status.FAILED})), Sort("duration_ms"))
    views.save(automation.workspace, "failed, slow ones first", failed)
    views.save(automation.workspace, "[b]mine\x1b[2J", View(JobFilter(recipe="invoices"), since="2h"))


REPORT: Sequence[Scene] = (
    Scene("the jobs", report, ("60 jobs", "r rerun")),
    Scene("jobs marked", report, ("60 jobs", "key:space", "key:j", "key:space", "2 marked", "key:v", "marking")),
    Scene("failed jobs", report, ("60 jobs", "key:!", "4 of 60 jobs", "key:l", "key:l"), drawn=False),
    Scene("no job matches", nothing, ("No job matches",), drawn=False),
    Scene("no jobs yet", report, ("No jobs yet",), empty, drawn=False),
    Scene("jobs that cannot be read", report, ("could not be read", "locked"), of(Unread), drawn=False),
    Scene("jobs being read", report, ("Reading the jobs",), of(Unheard), drawn=False),
    Scene("a text to filter by", report, ("60 jobs", "key:/", "#812"), drawn=False),
    Scene("times to filter by", report, ("key:T", "Received since"), goes_on=True, drawn=False),
    Scene("a status to filter by", report, ("key:t", "Show which jobs?"), goes_on=True, drawn=False),
    Scene("an order", report, ("key:o", "Sort by?"), goes_on=True, drawn=False),
    Scene("a file to write", report, ("key:w", "Write the jobs shown"), goes_on=True, drawn=False),
    Scene("the engine to stop", report, ("key:a", "Stop the engine?"), goes_on=True, drawn=False),
    Scene("what to copy", report, ("key:Y", "Copy what?"), goes_on=True, drawn=False),
    Scene("a bulk rerun's plan", report, ("60 jobs", "key:r", "Rerun: 128 run", ">Esc Cancel<"), planned, drawn=False),
    Scene("a rerun's options", report, ("key:r", "Cancel<", "key:t", "How?"), goes_on=True, drawn=False),
    Scene("a rerun's reason", report, ("key:escape", "key:r", "Cancel<", "key:c", "why?"), goes_on=True,
          drawn=False),
    Scene("jobs to cancel", report, ("60 jobs", "key:space", "1 marked", "key:x", "Cancel 6 jobs?"),
          lambda automation: setattr(automation, "standing", {
              Status.QUEUED: 3, Status.RUNNING: 2, Status.IN_DOUBT: 1, Status.SUCCEEDED: 4}), drawn=False),
    Scene("columns", report, ("60 jobs", "key:|", "Space shows", "key:j", "key:space")),
    Scene("saved views", report, ("60 jobs", "key:b", "in the report now", "failed, slow"), view_saved),
    Scene("no saved view", report, ("60 jobs", "key:b", "No view is saved"), drawn=False),
    Scene("a view's name", report, ("60 jobs", "key:b", "No view", "key:w", "which name?"), drawn=False),
    Scene("a view to delete", report, ("60 jobs", "key:b", "failed, slow", "key:x", "Delete"), view_saved, drawn=False),
)  # fmt: skip


# A job


def job(app: PilotedApp) -> None:
    app.open_job(812)


def rerun_once(automation: Staged) -> None:
    automation.add_version(Status.SUCCEEDED, duration_ms=900)


def secrets(automation: Staged) -> None:
    began = BEGAN + dt.timedelta(minutes=1)
    automation.trigger = {"user": "ada", "Password": "hunter2", "headers": {"X-Api-Key": "k-1", "Accept": "*/*"}}
    found, *others = FAILED_STEPS
    automation.steps = (found._replace(started_at=began), *others[:2],
                        others[2]._replace(started_at=began + dt.timedelta(milliseconds=400)), others[3])


def doubt(automation: Staged) -> None:
    lost = Error("read timed out after 30 s", "timeout")
    doubtful = step("2.else.1", "create", StepStatus.IN_DOUBT, "http.request", error=lost)
    automation.steps = (*FAILED_STEPS[:3], doubtful, FAILED_STEPS[4])
    automation.set_latest(status=Status.IN_DOUBT, error=None, finished_at=None)
    automation.standing = {Status.IN_DOUBT: 1}


def went_on(automation: Staged) -> None:
    automation.kin = (815, 809, BEGAN + dt.timedelta(hours=1))


def expired(automation: Staged) -> None:
    automation.trigger = None
    why = "the trigger data was removed on 2026-05-01 by retention 30d"
    automation.blocked = Refusal(812, "trigger_expired", why)


def versions(automation: Staged) -> None:
    automation.add_version(Status.CANCELED, note="wrong file")
    automation.add_version(Status.SUCCEEDED, duration_ms=61_000)


def compared(automation: Staged) -> None:
    rerun_once(automation)
    automation.texts = {1: "steps:\n  - find\n  - create: Acme\n", 2: "steps:\n  - find\n  - create: Acme Ltd\n"}
    created = step("2.else.1", "create", StepStatus.SUCCEEDED, "http.request", effect="writes", attempts=1,
                   input={"method": "POST", "url": "https://desk.test/organizations", "json": {"name": "Acme Ltd"}},
                   output={"status": 201, "body": {"id": 4711}})
    told = step("3", "tell", StepStatus.SUCCEEDED, "log.write", input={"message": "done"})
    automation.steps_of = {2: (*FAILED_STEPS[:3], created, told)}


OPEN = ("tell log.write", 'method: "POST"', "r rerun")
JOB: Sequence[Scene] = (
    Scene("a failed job", job, OPEN),
    Scene("a job's rerun", job, (*OPEN, "key:r", "would happen again", ">Esc Cancel<"), drawn=False),
    Scene("an older version", lambda app: app.open_job(812, 1), ("not the latest", "(r rerun)", "key:r", "L opens it"),
          rerun_once, drawn=False),
    Scene("a job's secrets masked", job, ("tell log.write", "key:g", "V shows them"), secrets),
    Scene("a job whose object went on", job, ("tell log.write", "new_or_updated", "key:g", ">   newer job"),
          went_on, drawn=False),
    Scene("a job whose event is gone", job, ("tell log.write", "key:g", "(r rerun)"), expired, drawn=False),
    Scene("a job that is not there", lambda app: app.open_job(9), ("there is no job 9",), drawn=False),
    Scene("a step in doubt", job, ("tell log.write", "i settle", "key:i", "Nobody knows"), doubt, drawn=False),
    Scene("a job's data searched", job, (*OPEN, "key:tab", "key:/", "key:a"), drawn=False),
    Scene("a job's secrets asked for", job, ("tell log.write", "key:g", "V shows", "key:V", "audit"), secrets,
          drawn=False),
    Scene("a job tried", job, (*OPEN, "key:t", "Rehearse 812.1?"), drawn=False),
    Scene("a job canceled", job, ("tell log.write", "i settle", "key:x", "Cancel 1 job?"), doubt, drawn=False),
    Scene("versions", lambda app: app.open_history(812),
          ("3 versions", "422", "r rerun", "key:j", "key:d", "is marked"),
          versions),
    Scene("two versions compared", lambda app: app.open_diff(812, ((812, 1), (812, 2))),
          ("the first step that differs", "n next", "key:n", "key:n", "key:n", "key:n"), compared),
    Scene("nothing to compare with", lambda app: app.open_diff(812), ("no version before succeeded",), drawn=False),
)  # fmt: skip


# Recipes


def recipes(app: PilotedApp) -> None:
    app.push_screen(RecipesScreen())


def recipe(app: PilotedApp) -> None:
    app.push_screen(RecipeScreen("sync"))


def polled(automation: Staged) -> None:
    times = {"polled_at": BEGAN, "next_poll_at": BEGAN + dt.timedelta(seconds=30)}
    automation.recipe_states[0] = dataclasses.replace(automation.recipe_states[0], **times)


def newest_revision(app: PilotedApp) -> None:
    app.push_screen(RevisionScreen(app.automation.revisions("sync")[-1]))


RECIPES: Sequence[Scene] = (
    Scene("recipes", recipes, ("349, 3 failed", "most from", "a start/stop"), polled),
    Scene("a broken recipe among others", recipes, ("349 jobs", "r3 keeps running", "sync.yaml is broken"),
          lambda automation: automation.broken()),
    Scene("no recipes", recipes, ("No recipe yet", "(a start/stop)"),
          lambda automation: automation.recipe_states.clear(), drawn=False),
    Scene("a recipe to stop", recipes, ("349, 3 failed", "key:a", "Stop sync"), drawn=False),
    Scene("a recipe", recipe, ("branch else", "349 jobs", "key:tab", "key:d", "r3 is marked")),
    Scene("a broken recipe", recipe, ("branch else", "349 jobs", "actoin"),
          lambda automation: automation.broken(), drawn=False),
    Scene("two revisions compared", lambda app: app.push_screen(RecipeDiffScreen("sync", 1, 3)),
          ("[b]Acme[/b]", "n next", "key:n")),
    Scene("a revision", newest_revision, ("^[[2J", "(d diff)")),
)  # fmt: skip


# The others

GROUPS = [
    ErrorGroup("5f3a91c2", ("sync",), 1204, 1377, BEGAN, BEGAN + dt.timedelta(hours=5), "422: name is taken", "http",
               "2.else.1", "http.request", "sync", 3, ErrorNote("ask the desk [b]first[/b]", "ada@10.0.0.3", BEGAN)),
    ErrorGroup("0b77aa01", ("leads", "sync"), 3, 3, BEGAN, BEGAN, "trigger.Website is undefined\x1b[2J", "expression",
               "1", None, "leads", 1, None),
    ErrorGroup("c0ffee00", ("tidy",), 0, 12, BEGAN, BEGAN, "disk full", "file", "1", "files.write", "tidy", None, None),
]
ACTS = [
    Act(9, BEGAN, "ada@10.0.0.3", "rerun", "812", "after the \x1b]52;c;aGk=\x07[b]outage[/b]"),
    Act(8, BEGAN, "ops@10.0.0.7", "batch pause", "batch 8", None),
    Act(7, BEGAN, "engine", "recipe", "sync r3", None),
]


def batches(automation: Staged) -> None:
    automation.batches.known = paused_and_done()


def batch(app: PilotedApp) -> None:
    app.push_screen(BatchScreen(8))


def told(app: PilotedApp) -> None:
    app.messages.extend([Said("copied 812 by OSC 52; if paste is empty, see clip.txt", at=BEGAN),
                         Said("sync.yaml:12:5: unknown key \x1b[2J[b]actoin[/b]", True, BEGAN)])
    app.push_screen(MessagesScreen())


def groups(automation: Staged) -> None:
    automation.error_groups = GROUPS


def help(app: PilotedApp) -> None:
    app.open_job(812, 1)


OTHERS: Sequence[Scene] = (
    Scene("bulk reruns", lambda app: app.push_screen(ActivityScreen()), ("8  paused", "a pause/resume"), batches),
    Scene("no bulk rerun", lambda app: app.push_screen(ActivityScreen()), ("no bulk rerun yet",), drawn=False),
    Scene("a bulk rerun", batch, ("trigger_expired", "rerun failed"), batches),
    Scene("a bulk rerun to go on", batch, ("trigger_expired", "key:a", "Resume batch 8?"), batches, drawn=False),
    Scene("a bulk rerun's rate", batch, ("key:o", "At most"), goes_on=True, drawn=False),
    Scene("a bulk rerun's results chosen", batch, ("key:t", "Which results"), goes_on=True, drawn=False),
    Scene("errors", lambda app: app.push_screen(ErrorsScreen()), ("disk full", "note by ada", "r rerun"), groups),
    Scene("no errors", lambda app: app.push_screen(ErrorsScreen()), ("No job has failed", "(r rerun)"), drawn=False),
    Scene("a note on an error", lambda app: app.push_screen(ErrorsScreen()),
          ("disk full", "key:n", "A note on", "In the place of"), groups, drawn=False),
    Scene("the audit", lambda app: app.push_screen(AuditScreen()), ("ada@10.0.0.3", "engine"),
          lambda automation: setattr(automation, "acts_known", ACTS)),
    Scene("an empty audit", lambda app: app.push_screen(AuditScreen()), ("nothing was done so far",), drawn=False),
    Scene("messages", told, ("copied 812", "actoin")),
    Scene("no messages", lambda app: app.push_screen(MessagesScreen()), ("nothing was told so far",), drawn=False),
    Scene("keys", help, ("tell log.write", "key:?", "type to filter", "off: version 1 of 2"), rerun_once),
    Scene("keys found", help, ("tell log.write", "key:?", "type to", "key:c", "key:o", "key:p", "copy"),
          rerun_once, drawn=False),
    Scene("the palette", help, ("tell log.write", "key::", "off: version 1 of 2"), rerun_once),
    Scene("an action found", help,
          ("tell log.write", "key::", "off:", "key:v", "key:e", "key:r", "versions"), rerun_once,
          drawn=False),
)  # fmt: skip
