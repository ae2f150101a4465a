"""The command line's words, exit statuses and questions, with a stub in the place of the core."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

import tui.cli
import tui.cli_face
from core.errors import NotFound, Refused, StoreError, WorkspaceError
from core.reruns import WHOLE, How, Plan, Repeat, Rerun, RevisionChange, Selection
from data.job_records import Error, Job, JobFilter, Refusal, Sort
from data.records import Accepted, JobDetail, Problem, RecipeState, Revision, Version
from data.states import Status

NOON = dt.datetime(2026, 7, 30, 12, tzinfo=dt.UTC)
ROOT = Path(__file__).parents[2]


def job(number: int, status: Status = Status.FAILED) -> Job:
    return Job(
        id=number, recipe="accounts", title=f"Ada \x1b[2J {number}", status=status, event_key=str(number),
        received_at=NOON, first_started_at=NOON, started_at=NOON, finished_at=NOON, duration_ms=3, versions=1,
        error=Error("refused", "http"), report={}, trigger_stored=True,
    )


def version(job_id: int, number: int, status: Status) -> Version:
    return Version(
        id=number, job_id=job_id, number=number, latest=True, status=status, recipe_revision=1, mode="first",
        requested_by="ops", requested_at=NOON, note=None, started_at=NOON, finished_at=NOON, duration_ms=3,
        error=Error("refused again", "http") if status is Status.FAILED else None,
    )


@dataclass
class Stub:
    """Answers as the core would, and keeps what it was asked."""

    many: int = 3
    problems: list[Problem] = field(default_factory=list)
    refused: tuple[Refusal, ...] = ()
    ends: Status = Status.SUCCEEDED
    changed_plans: int = 0
    raises: Exception | None = None
    asked: list[tuple[Any, ...]] = field(default_factory=list)
    batches: list[list[Any]] = field(default_factory=list)
    rounds: int = 0
    settings: Any = field(default_factory=lambda: SimpleNamespace(
        rerun=SimpleNamespace(note_above=20, type_count_above=100),
    ))

    def __enter__(self) -> Stub:
        return self

    def __exit__(self, *exception: object) -> None:
        self.asked.append(("closed",))

    def jobs(self, filter: JobFilter, sort: Sort, limit: int | None = None) -> Iterator[Job]:
        if self.raises:
            raise self.raises
        self.asked.append(("jobs", filter, sort, limit))
        for number in range(1, min(self.many, limit or self.many) + 1):
            yield job(number)

    def report(self, filter: JobFilter, sort: Sort) -> Any:
        return SimpleNamespace(count=lambda: self.many)

    def job(self, job_id: int) -> Job:
        return job(job_id)

    def detail(self, job_id: int, number: int | None = None) -> JobDetail:
        if job_id == 404:
            raise NotFound("there is no job 404")
        self.asked.append(("detail", job_id, number))
        return JobDetail(job(job_id), version(job_id, number or 1, Status.FAILED), {"a": "\ud800"}, ())

    def history(self, job_id: int) -> list[Version]:
        self.rounds += 1
        ended = self.rounds > 2
        return [version(job_id, 1, self.ends if ended else Status.RUNNING)]

    def plan(self, selection: Selection, how: How = WHOLE, *, digest: str | None = None) -> Plan:
        if digest not in (None, f"d{self.changed_plans}"):
            raise Refused("plan_changed", "The plan has changed.")
        ids = selection.ids or tuple(range(1, self.many + 1))
        refused = {refusal.id for refusal in self.refused}
        return Plan(
            selection, tuple(number for number in ids if number not in refused), self.refused,
            (RevisionChange("accounts", 1, 2, 3),), (Repeat("accounts", "3.then.1", "desk.create", 2),),
            f"d{self.changed_plans}",
        )

    def rerun(
        self, selection: Selection, how: How = WHOLE, *, by: str, note: str | None = None, plan: str | None = None
    ) -> Rerun:
        self.asked.append(("rerun", selection, by, note, plan))
        if self.changed_plans:
            self.changed_plans -= 1
            raise Refused("plan_changed", "The plan has changed.")
        made = self.plan(selection)
        return Rerun(made.requested, made.refused, None if len(made.requested) < 2 else 7, made.digest)

    def resolve(self, job_id: int, path: str, *, happened: bool, output: Any = None, by: str) -> None:
        self.asked.append(("resolve", job_id, path, happened, output, by))

    def recipes(self) -> list[RecipeState]:
        return [RecipeState(1, "accounts", True, 2, tuple(self.problems), True)]

    def recipe(self, name: str) -> RecipeState:
        if name != "accounts":
            raise NotFound(f"there is no recipe {name!r}; did you mean 'accounts'?")
        return self.recipes()[0]

    start_recipe = stop_recipe = lambda self, name, by: self.recipe(name)

    def revisions(self, name: str) -> list[Revision]:
        return [Revision(2, name, 2, "steps: []\n", NOON), Revision(1, name, 1, "", NOON)]

    def check(self, names: Iterable[str] = ()) -> list[Problem]:
        return self.problems

    def send(self, recipe: str, events: Iterable[Any], *, key: str | None = None, by: str) -> list[Accepted]:
        batch = list(events)
        self.batches.append(batch)
        return [Accepted(str(number), number, number != 2) for number, _ in enumerate(batch, 1)]

    def status(self) -> Any:
        return SimpleNamespace(engine=self.engine(), jobs={Status.FAILED: 2}, recipes=tuple(self.recipes()))

    def engine(self) -> Any:
        return SimpleNamespace(running=False, pid=None, host=None, since=None, listen=None)

    def changes(self) -> int:
        return self.rounds


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stub:
    stub = Stub()
    (tmp_path / "jobdeck.toml").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JOBDECK_WORKSPACE", raising=False)
    monkeypatch.setattr(tui.cli_face, "open_automation", lambda workspace: stub)
    monkeypatch.setattr("core.who.actor", lambda: "ops")
    return stub


Run = Callable[..., Result]


@pytest.fixture
def run(stub: Stub) -> Run:
    def call(*words: str, input: str | bytes | None = None) -> Result:
        return CliRunner().invoke(tui.cli.cli, words, input=input, prog_name="jobdeck")

    return call


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the streams that the commands ask say that they are a terminal."""
    for module in ("cli_commands", "cli_rerun", "cli_batches"):
        monkeypatch.setattr(f"tui.{module}.on_terminal", lambda *streams: True)


# What is loaded

def imported_by(words: str) -> set[str]:
    code = (
        "import sys\n"
        "import tui.cli\n"
        f"try: tui.cli.cli({words.split()!r}, prog_name='jobdeck')\n"
        "except BaseException: pass\n"
        "print('\\n' + ' '.join({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_help_loads_neither_textual_nor_the_store() -> None:
    assert not imported_by("--help") & {"textual", "sqlalchemy", "httpx", "rich", "pydantic"}


def test_the_engine_never_loads_textual(tmp_path: Path) -> None:
    (tmp_path / "jobdeck.toml").write_text("")
    assert "textual" not in imported_by(f"engine --until-idle -w {tmp_path}")


# Listings

@pytest.mark.parametrize("format", ["table", "json", "jsonl", "csv"])
@pytest.mark.parametrize(("words", "shape"), [
    ("jobs", list), ("history 1", list), ("recipes", list), ("recipe revisions accounts", list),
    ("recipe show accounts", dict), ("show 1", dict), ("status", dict), ("rerun 1 --yes", dict),
    ("rerun 1 --dry-run", dict),
])
def test_every_listing_has_every_format(run: Run, words: str, shape: type, format: str) -> None:
    result = run(*words.split(), "-o", format)
    assert result.exit_code == 0, result.output
    assert "\x1b" not in result.output
    if format == "json":
        assert isinstance(json.loads(result.stdout), shape)


def test_filters_become_a_filter(run: Run, stub: Stub) -> None:
    result = run("jobs", "--recipe", "accounts", "--status", "failed,in_doubt", "--since", "2026-07-30T14:00:00+02:00",
                 "--search", "#812", "--error", "g1", "--sort", "-duration_ms", "--limit", "2", "-o", "json")
    assert [told["id"] for told in json.loads(result.stdout)] == [1, 2]
    assert stub.asked[0] == (
        "jobs",
        JobFilter(recipe="accounts", statuses=frozenset({Status.FAILED, Status.IN_DOUBT}), since=NOON, search="#812",
                  error_group="g1"),
        Sort("duration_ms", True), 2,
    )


def test_the_newest_come_first_unless_told(run: Run, stub: Stub) -> None:
    run("jobs")
    assert stub.asked[0][2:] == (Sort("received_at", True), None)
    run("jobs", "--sort", "title")
    assert stub.asked[2][2] == Sort("title", False)


def test_a_duration_counts_back_from_now_and_a_date_is_local(run: Run, stub: Stub) -> None:
    run("jobs", "--since", "2h", "--until", "2026-07-30")
    wanted = stub.asked[0][1]
    assert abs(dt.datetime.now(dt.UTC) - dt.timedelta(hours=2) - wanted.since) < dt.timedelta(minutes=1)
    assert wanted.until == dt.datetime(2026, 7, 30).astimezone()


@pytest.mark.parametrize(("words", "told"), [
    ("jobs --status failt", "'failed'"),
    ("jobs --sort receivd_at", "'received_at'"),
    ("jobs --since yesterday", "2026-07-30"),
    ("jobs --since 99999999999d --until x", "no time"),
    ("jobs --limit -1", "--limit"),
    ("jbos", "jobs"),
    ("show x", "812.3"),
    ("show 1.2 --version 3", "say one"),
    ("history 1.2", "alone"),
    ("rerun --yes", "which jobs"),
    ("rerun --yes --status failed", "--all"),
    ("rerun 1 --all --yes", "not both"),
    ("rerun 1 --status failed --yes", "--all"),
    ("rerun 1.2 3 --yes", "single job"),
    ("rerun 1.2 1.3 --yes", "two versions"),
    ("rerun 1", "--yes"),
    ("rerun 1 --rate 3 --yes", "10/s"),
    ("rerun 1 --stop-at 101% --yes", "20%"),
    ("rerun 1 --from failed --revision original --yes", "latest revision"),
    ("batch rate 1 fast", "10/s"),
    ("batch retry-failed 1", "--yes"),
    ("resolve 1 --step 2", "--happened"),
    ("resolve 1 --step 2 --happened --repeat", "--happened"),
    ("resolve 1 --step 2 --repeat --output 1", "--happened"),
    ("resolve 1 --step 2 --happened --output {", "--output:1:2"),
    ("send accounts nowhere.json", "nowhere.json"),
    ("", "terminal"),
])
def test_wrong_usage_ends_with_2_and_says_what_is_right(run: Run, words: str, told: str) -> None:
    result = run(*words.split())
    assert result.exit_code == 2, result.output
    assert told in result.stderr
    assert result.stdout == ""


def test_a_table_that_is_cut_says_so(run: Run, stub: Stub, terminal: None) -> None:
    stub.many = 12_034
    result = run("jobs")
    assert result.stdout.count("accounts") == 50
    assert result.stderr == "50 of 12,034; --limit N for more\n"
    assert run("jobs", "-o", "jsonl").stdout.count("\n") == 12_034


def test_show_shows_the_version_that_is_named(run: Run, stub: Stub) -> None:
    assert json.loads(run("show", "5.2", "-o", "json").stdout)["version"] == 2
    assert json.loads(run("show", "5", "--version", "3", "-o", "json").stdout)["trigger"] == {"a": "\ud800"}
    assert "\\ud800" in run("show", "5").stdout


# Errors

def test_errors_are_sentences_with_an_exit_status(run: Run, stub: Stub, tmp_path: Path) -> None:
    result = run("show", "404")
    assert (result.exit_code, result.stderr, result.stdout) == (1, "jobdeck: there is no job 404\n", "")
    stub.raises = StoreError("the database\x1b is locked")
    result = run("jobs", "-o", "csv")
    assert (result.exit_code, result.stderr) == (1, "jobdeck: the database^[ is locked\n")
    stub.raises = KeyboardInterrupt()
    assert run("jobs").exit_code == 130


def test_no_workspace_is_wrong_usage_and_a_wrong_one_is_not(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "empty").mkdir()
    result = run("jobs", "-w", "empty")
    assert result.exit_code == 2
    assert "jobdeck init" in result.stderr

    def refuses(workspace: Path) -> None:
        raise WorkspaceError("jobdeck.toml:1:1: wrong")

    monkeypatch.setattr(tui.cli_face, "open_automation", refuses)
    assert run("jobs").exit_code == 1


@pytest.mark.parametrize("words", ["-w deck jobs", "jobs -w deck", "-w nowhere jobs --workspace deck"])
def test_the_workspace_is_named_before_or_after_the_command(
    stub: Stub, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str,
) -> None:
    (tmp_path / "deck").mkdir()
    (tmp_path / "deck" / "jobdeck.toml").write_text("")
    opened: list[Path] = []
    monkeypatch.setattr(tui.cli_face, "open_automation", lambda workspace: opened.append(workspace) or stub)
    assert run(*words.split()).exit_code == 0
    assert opened == [tmp_path / "deck"]
    monkeypatch.setenv("JOBDECK_WORKSPACE", str(tmp_path / "deck"))
    monkeypatch.chdir("/")
    assert run("jobs").exit_code == 0


# Recipes

def test_check_prints_problems_as_compilers_do(run: Run, stub: Stub) -> None:
    assert run("check").stdout == "1 recipe is valid\n"
    assert run("check", "a", "b").stdout == "2 recipes are valid\n"
    stub.problems = [Problem("recipes/accounts.yaml", 3, 5, "unknown key 'stpes'; did you mean 'steps'?")]
    result = run("check")
    assert result.exit_code == 1
    assert result.stdout == "recipes/accounts.yaml:3:5: unknown key 'stpes'; did you mean 'steps'?\n"


def test_a_recipe_shows_its_state_and_its_last_revisions_text(run: Run) -> None:
    assert "r2" in run("recipe", "show", "accounts").stdout
    assert "steps: []" in run("recipe", "show", "accounts").stdout
    assert json.loads(run("recipe", "show", "accounts", "-o", "json").stdout)["text"] == "steps: []\n"
    assert run("recipe", "start", "acounts").exit_code == 1
    assert run("recipe", "stop", "accounts").exit_code == 0


# Sending

def test_send_hands_in_a_document_a_file(run: Run, stub: Stub, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": 1}')
    (tmp_path / "b.json").write_bytes(b'\xef\xbb\xbf[2]\n')
    result = run("send", "accounts", "a.json", "b.json", "-", "-o", "json", input='"three"')
    assert json.loads(result.stdout) == [
        {"key": "1", "job": 1, "new": True}, {"key": "2", "job": 2, "new": False}, {"key": "3", "job": 3, "new": True},
    ]
    assert stub.batches == [[{"a": 1}, [2], "three"]]
    assert "known" in run("send", "accounts", "a.json", "b.json").stdout


def test_send_reads_standard_input_where_no_file_is_named(run: Run, stub: Stub) -> None:
    assert run("send", "accounts", input="{}").exit_code == 0
    assert stub.batches == [[{}]]


def test_lines_are_sent_in_bounded_batches(run: Run, stub: Stub) -> None:
    lines = "".join(f"{number}\n\n" for number in range(1201))
    assert run("send", "accounts", "--lines", "-o", "jsonl", input=lines).stdout.count("\n") == 1201
    assert [len(batch) for batch in stub.batches] == [500, 500, 201]


@pytest.mark.parametrize(("text", "told"), [
    (b'{"a": 1,}', "bad.json:1:9: not JSON"),
    (b'{\n  "a": NaN}', "bad.json:2:8: NaN"),
    (b'["NaN", -Infinity]', "bad.json:1:9: -Infinity"),
    (b"[1e999]", "bad.json:1:2: "),
    (b"[\n" + b"9" * 5000 + b"]", "bad.json:2:1: "),
    (b'"\xff"', "bad.json:1:2: "),
    (b"[" * 100_000, "bad.json:1:"),
    (b"", "bad.json:1:1: not JSON"),
])
def test_what_is_not_json_is_told_with_its_place(run: Run, stub: Stub, tmp_path: Path, text: bytes, told: str) -> None:
    (tmp_path / "bad.json").write_bytes(text)
    result = run("send", "accounts", "bad.json")
    assert result.exit_code == 1
    assert told in result.stderr
    assert stub.batches == []


def test_the_good_lines_before_a_bad_one_are_sent(run: Run, stub: Stub, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('1\n2\n\n{"a":\n5\n')
    result = run("send", "accounts", "in.jsonl", "--lines", "-o", "json")
    assert result.exit_code == 1
    assert "in.jsonl:4:" in result.stderr
    assert "2 events were sent before it" in result.stderr
    assert stub.batches == [[1, 2]]
    assert len(json.loads(result.stdout)) == 2


def test_an_unknown_recipe_is_told_before_anything_is_read(run: Run, stub: Stub) -> None:
    result = run("send", "acounts", input="{")
    assert "did you mean 'accounts'" in result.stderr
    assert result.exit_code == 1


# Rerunning

def test_rerun_by_ids(run: Run, stub: Stub) -> None:
    result = run("rerun", "3", "1", "3", "--yes", "--note", "fixed", "--plan", "d0", "-o", "json")
    assert json.loads(result.stdout) == {"requested": [3, 1], "refused": [], "batch": 7, "plan": "d0"}
    assert stub.asked[0] == ("rerun", Selection(ids=(3, 1)), "ops", "fixed", "d0")
    run("rerun", "812.3", "--yes")
    assert stub.asked[2][1] == Selection(ids=(812,), version=3)


def test_rerun_by_filter(run: Run, stub: Stub) -> None:
    assert run("rerun", "--status", "failed", "--all", "--yes").exit_code == 0
    assert stub.asked[0][1] == Selection(filter=JobFilter(statuses=frozenset({Status.FAILED})))


def test_who_is_refused_is_told_and_the_others_run(run: Run, stub: Stub) -> None:
    stub.refused = (Refusal(2, "running", "Version 1 of job 2 is running."),)
    result = run("rerun", "1", "2", "--yes", "-o", "json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["refused"] == [
        {"id": 2, "code": "running", "message": "Version 1 of job 2 is running."},
    ]
    assert "running: 1 job: 2" in result.stderr
    assert "Version 1 of job 2 is running." in result.stderr


def test_a_dry_run_only_plans(run: Run, stub: Stub) -> None:
    stub.refused = (Refusal(2, "running", "Version 1 of job 2 is running."),)
    result = run("rerun", "--all", "--dry-run")
    assert result.exit_code == 0
    for part in ("2 of 3 jobs would run", "r1 -> r2", "3.then.1 desk.create: 2 jobs", "running: 1 job"):
        assert part in result.stdout
    assert json.loads(run("rerun", "--all", "--dry-run", "-o", "json").stdout)["requested"] == [1, 3]
    assert not [asked for asked in stub.asked if asked[0] == "rerun"]
    result = run("rerun", "--all", "--dry-run", "--plan", "old")
    assert result.exit_code == 1
    assert "plan_changed" in result.stderr


def test_a_terminal_is_asked_and_no_is_the_default(run: Run, stub: Stub, terminal: None) -> None:
    result = run("rerun", "1", input="\n")
    assert result.exit_code == 1
    assert "desk.create" in result.stderr
    assert not [asked for asked in stub.asked if asked[0] == "rerun"]
    result = run("rerun", "1", "-o", "json", input="y\n")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["requested"] == [1]
    assert stub.asked[-2][4] == "d0"


def test_a_plan_that_changed_meanwhile_is_asked_again(run: Run, stub: Stub, terminal: None) -> None:
    stub.changed_plans = 1
    result = run("rerun", "1", input="y\ny\n")
    assert result.exit_code == 0
    assert result.stderr.count("would run") == 2
    stub.changed_plans = 1
    assert run("rerun", "1", "--plan", "d1", input="y\n").exit_code == 1


def test_many_jobs_want_a_note_and_their_number_typed(run: Run, stub: Stub, terminal: None) -> None:
    stub.many = 101
    assert run("rerun", "--all", input="because\n100\n").exit_code == 1
    result = run("rerun", "--all", input="because\n101\n")
    assert result.exit_code == 0, result.stderr
    assert stub.asked[-2][3] == "because"


def test_an_interrupted_question_ends_with_130(run: Run, stub: Stub, terminal: None) -> None:
    assert run("rerun", "1", input="").exit_code == 130


@pytest.mark.parametrize(("ends", "exit_code", "told"), [
    (Status.SUCCEEDED, 0, ""),
    (Status.FAILED, 1, "1.1: failed: refused again"),
    (Status.IN_DOUBT, 1, "jobdeck resolve 1"),
])
def test_wait_returns_when_they_have_ended(run: Run, stub: Stub, ends: Status, exit_code: int, told: str) -> None:
    stub.ends = ends
    result = run("rerun", "1", "--yes", "--wait")
    assert result.exit_code == exit_code
    assert told in result.stderr
    assert "no engine is running" in result.stderr
    assert stub.rounds == 3


def test_resolve_hands_on_what_was_said(run: Run, stub: Stub) -> None:
    assert run("resolve", "7", "--step", "3.then.1", "--happened", "--output", '{"id": 5}').exit_code == 0
    assert run("resolve", "7", "--step", "2", "--repeat").exit_code == 0
    assert [asked for asked in stub.asked if asked[0] == "resolve"] == [
        ("resolve", 7, "3.then.1", True, {"id": 5}, "ops"), ("resolve", 7, "2", False, None, "ops"),
    ]


# Workspaces and completion

def test_init_makes_a_workspace_once(tmp_path: Path) -> None:
    runner = CliRunner()
    result = runner.invoke(tui.cli.cli, ["init", str(tmp_path / "deck")])
    assert result.exit_code == 0
    assert "jobdeck send hello" in result.stdout
    result = runner.invoke(tui.cli.cli, ["init", str(tmp_path / "deck")])
    assert result.exit_code == 1
    assert "is there already" in result.stderr


def test_the_shell_completes_commands_recipes_and_statuses(stub: Stub, tmp_path: Path) -> None:
    from click.shell_completion import BashComplete

    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "accounts.yaml").write_text("")

    def completed(*words: str) -> list[str]:
        shell = BashComplete(tui.cli.cli, {}, "jobdeck", "_JOBDECK_COMPLETE")
        return [item.value for item in shell.get_completions(list(words[:-1]), words[-1])]

    assert completed("his") == ["history"]
    assert completed("send", "a") == ["accounts"]
    assert completed("jobs", "--status", "failed,que") == ["failed,queued"]


def test_help_has_every_command_and_how_to_complete(run: Run) -> None:
    text = run("--help").stdout
    for word in ("init", "check", "engine", "send", "jobs", "show", "history", "rerun", "resolve", "recipes",
                 "recipe", "status", "demo", "_JOBDECK_COMPLETE"):
        assert word in text
