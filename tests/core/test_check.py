"""`jobdeck check` on a workspace: what only the files together, and jobdeck.toml, can tell."""

from __future__ import annotations

CALLS = "steps: [{{call: {}}}]\n"


def told(workspace, *names):
    return [str(problem) for problem in workspace.automation.check(names)]


def test_recipes_that_call_each_other_in_a_circle_are_each_told_the_way_round(workspace):
    workspace.recipe(CALLS.format("second"), "first")
    workspace.recipe(CALLS.format("third"), "second")
    workspace.recipe(CALLS.format("first"), "third")
    workspace.recipe(CALLS.format("first"), "outside")
    assert told(workspace) == [
        "recipes/first.yaml:2:16: recipe first would call itself through second, third: that never ends",
        "recipes/second.yaml:2:16: recipe second would call itself through third, first: that never ends",
        "recipes/third.yaml:2:16: recipe third would call itself through first, second: that never ends",
    ]


def test_a_called_recipe_and_a_connection_must_be_there(workspace):
    workspace.recipe(
        "steps:\n  - call: notfy\n  - {action: sql.query, with: {connection: shop, sql: SELECT 1}}\n", "sync"
    )
    workspace.recipe("steps: [{stop: succeeded}]\n", "notify")
    assert told(workspace, "sync") == [
        "recipes/sync.yaml:3:11: unknown recipe 'notfy'; did you mean 'notify'?",
        "recipes/sync.yaml:4:44: sql.query needs a connection of type 'sql': add [connections.shop] to jobdeck.toml",
    ]


def test_warnings_leave_a_recipe_valid(workspace):
    workspace.recipe("steps:\n  - stop: succeeded\n  - set: {a: 1}\n")
    problems = workspace.automation.check()
    assert [(str(one), one.warning) for one in problems] == [
        ("recipes/sync.yaml:4:5: warning: this is never reached: step 1 ends the job before it", True)
    ]
    assert workspace.automation.recipe("sync").problems == ()


def test_the_webhook_of_a_recipe_is_known(workspace):
    workspace.recipe(
        'trigger: {webhook.received: {path: orders}}\ntitle: "{{ trigger.headerz.host }}"\n'
        'steps: [{set: {a: "{{ trigger.body.order }}"}}]\n'
    )
    assert told(workspace) == ["recipes/sync.yaml:2:12: unknown name 'headerz' in trigger; did you mean 'headers'?"]


def test_another_since_than_at_the_first_start_is_wrong(workspace):
    (workspace.path / "inbox").mkdir()
    watching = "trigger: {files.new: {path: inbox, since: 2026-01-01}}\nsteps: [{stop: succeeded}, {set: {a: 1}}]\n"
    workspace.recipe(watching)
    with workspace.engine(polls=True) as engine:
        engine.poll_once()
    assert [line.partition(": ")[2] for line in told(workspace)] == [
        "warning: this is never reached: step 1 ends the job before it"
    ]
    workspace.recipe(watching.replace("2026-01-01", "2026-02-02"))
    wrong, warned = told(workspace)
    assert wrong.startswith("recipes/sync.yaml:1:36: 'since' is locked since the recipe first started on ")
    assert wrong == str(workspace.automation.recipe("sync").problems[0])
    assert "warning: this is never reached" in warned


def test_an_error_hides_no_warning_of_its_file(workspace):
    workspace.recipe("steps:\n  - stop: succeeded\n  - set: {a: 1}\n  - {action: http.requst}\n")
    assert [line.partition(": ")[2] for line in told(workspace)] == [
        "warning: this is never reached: step 1 ends the job before it",
        "unknown action 'http.requst'; did you mean 'http.request'?",
    ]


def test_a_url_without_a_host_needs_a_connection(workspace):
    workspace.settings('[connections.api]\ntype = "http"\nbase_url = "https://api.example"\n')
    workspace.recipe("""steps:
  - {action: http.request, with: {url: /rel}}
  - {action: http.request, with: {url: /rel, connection: api}}
  - {action: http.request, with: {url: "{{ trigger.url }}"}}
  - {action: http.request, with: {url: "https://api.example/x"}}
""")
    rule = "the URL must be http:// or https:// and a host, or a connection must be named"
    assert told(workspace) == [f"recipes/sync.yaml:3:40: http.request: url: {rule}"]


def test_what_may_not_be_empty_is_told_in_our_words(workspace):
    workspace.settings('[connections.shop]\ntype = "sql"\nurl = "sqlite:///shop.db"\n')
    workspace.recipe(
        "steps:\n  - {action: sql.delete, with: {connection: shop, table: a, where: {}}}\n"
        '  - {action: files.read, with: {path: ""}}\n'
    )
    assert [line.split(": ", 1)[1] for line in told(workspace)] == [
        "sql.delete: where: must not be empty, not {}", "files.read: path: must not be empty, not ''",
    ]
