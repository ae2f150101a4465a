"""Recipes carried out where it gets hard: lost answers, steps done once, many at once, secrets and odd payloads."""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote, unquote, urlencode

import pytest

from data.states import Status, StepStatus


def said(detail) -> dict[str, str]:
    """Return the status of every step by its path."""
    return {step.path: step.status.value for step in detail.steps}


def outputs(detail) -> dict[str, object]:
    """Return the output of every step by its path."""
    return {step.path: step.output for step in detail.steps}


# Lost answers


POST = """
steps:
  - {{id: post, action: http.request{more}, with: {{method: POST, url: "{url}", json: {{a: 1}}}}}}
  - set: {{b: "{{{{ steps.post.status }}}}"}}
"""


def test_a_write_whose_answer_was_lost_is_held_in_doubt(workspace, server):
    server.drops = 1
    workspace.recipe(POST.format(more="", url=server.url))
    detail = workspace.run()
    assert detail.version.status is Status.IN_DOUBT
    assert said(detail) == {"1": "in_doubt", "2": "not_reached"}
    assert detail.steps[0].error.kind
    assert len(server.received) == 1


def test_a_write_that_may_be_retried_is_and_carries_the_same_key(workspace, server):
    server.drops = 2
    workspace.recipe(POST.format(more=", on_doubt: retry", url=server.url))
    detail = workspace.run()
    assert detail.version.status is Status.SUCCEEDED
    assert detail.steps[0].attempts == 3
    assert outputs(detail)["2"] == {"b": 200}
    keys = {asked.key for asked in server.received}
    assert len(keys) == 1
    assert "" not in keys
    again = workspace.rerun_and_run(detail.job.id)
    assert again.version.status is Status.SUCCEEDED
    # Another version is another act.
    assert server.received[-1].key not in keys


def test_a_write_that_is_retried_in_vain_fails(workspace, server):
    server.drops = 99
    workspace.recipe(POST.format(more=", on_doubt: retry", url=server.url))
    detail = workspace.run()
    assert detail.version.status is Status.FAILED
    assert len(server.received) == detail.steps[0].attempts == 3


def test_a_write_whose_doubt_may_be_skipped_goes_on_with_null(workspace, server):
    server.drops = 1
    workspace.recipe(POST.format(more=", on_doubt: skip", url=server.url))
    detail = workspace.run()
    assert detail.version.status is Status.SUCCEEDED
    assert said(detail)["1"] == "skipped"
    assert detail.steps[0].error is not None
    assert outputs(detail)["2"] == {"b": None}


def test_a_connection_that_honours_keys_is_repeated(workspace, server):
    server.drops = 1
    workspace.settings(f'[connections.api]\ntype = "http"\nbase_url = "{server.url}"\nidempotency_keys = true\n')
    workspace.recipe("steps: [{action: http.request, with: {connection: api, method: POST, url: /a}}]")
    assert workspace.run().version.status is Status.SUCCEEDED
    assert len(server.received) == 2


def test_a_job_in_doubt_gives_its_turn_to_the_next(workspace, server):
    server.drops = 1
    workspace.recipe(POST.format(more="", url=server.url))
    first, second = workspace.send({}, {})
    workspace.run_until_idle()
    assert (workspace.status(first), workspace.status(second)) == (Status.IN_DOUBT, Status.SUCCEEDED)


# Addresses


@pytest.mark.parametrize(
    ("url", "reached"),
    [
        ("http://PLACE/x/{{ trigger.id }}", True),
        ("{{ props.base }}/y/{{ trigger.id }}", True),
        ("{{ props.base }}/{{ job.id }}?{{ trigger.id }}", True),
        ("{{ props.base }}{{ trigger.path }}", False),
        ("http://{{ trigger.place }}/x", False),
        ("http://127.0.0.1:{{ trigger.port }}/x", False),
        ("http://safe.example@{{ trigger.place }}/x", False),
        ("{% set props = trigger %}{{ props.base }}/x", False),
        ("{{ 'http:' }}//{{ trigger.place }}/", False),
    ],
)
def test_only_a_host_that_event_data_has_no_part_in_may_be_inside(workspace, server, url, reached):
    base = server.url.rstrip("/")
    place = base.removeprefix("http://")
    workspace.settings(f'[props]\nbase = "{base}"\n')
    workspace.recipe(f"steps: [{{action: http.request, with: {{url: \"{url.replace('PLACE', place)}\"}}}}]")
    event = {"id": "@evil.example/7", "path": "/a", "place": place, "port": place.partition(":")[2], "base": base}
    detail = workspace.run(event)
    assert (detail.version.error and detail.version.error.kind) == (None if reached else "blocked")
    assert bool(server.received) is reached


# Once


ONCE = """
steps:
  - {id: make, once: true, action: files.append, with: {path: log, text: "{{ trigger.name }}VARIANT\\n"}}
  - {id: told, set: {size: "{{ steps.make.size }}"}}
"""


def test_a_once_step_is_reused_by_a_rerun_with_the_same_input(workspace):
    workspace.recipe(ONCE.replace("VARIANT", ""))
    first = workspace.run({"name": "Ada"})
    again = workspace.rerun_and_run(first.job.id)
    step = again.steps[0]
    assert (step.status, step.output, step.resolved_by) == (StepStatus.REUSED, first.steps[0].output, "1.1")
    assert step.attempts == 0
    assert outputs(again)["2"] == {"size": 4}
    assert workspace.lines() == ["Ada"]
    # And by the rerun of the rerun, also where the recipe moved around the step.
    workspace.recipe(ONCE.replace("VARIANT", "").replace("steps:", "steps:\n  - {set: {new: 1}}"))
    third = workspace.rerun_and_run(first.job.id)
    assert said(third) == {"1": "succeeded", "2": "reused", "3": "succeeded"}
    assert workspace.lines() == ["Ada"]


def test_a_once_step_with_another_input_acts(workspace):
    workspace.recipe(ONCE.replace("VARIANT", ""))
    first = workspace.run({"name": "Ada"})
    workspace.recipe(ONCE.replace("VARIANT", "!"))
    again = workspace.rerun_and_run(first.job.id)
    assert again.version.recipe_revision == 2
    assert again.steps[0].status is StepStatus.SUCCEEDED
    assert workspace.lines() == ["Ada", "Ada!"]


def test_once_steps_of_a_loop_are_reused_by_iteration(workspace):
    loop = """
steps:
  - repeat: trigger.n
    do: [{id: make, once: true, action: files.append, with: {path: log, text: "x\\n"}}]
  - {action: files.read, with: {path: missing}}
"""
    workspace.recipe(loop)
    first = workspace.run({"n": [1, 2]})
    again = workspace.rerun_and_run(first.job.id)
    assert said(again) == {"1": "succeeded", "1[0].do.1": "reused", "1[1].do.1": "reused", "2": "failed"}
    assert workspace.lines() == ["x", "x"]


# Concurrency


def test_one_at_a_time_keeps_the_order_of_events(workspace):
    workspace.recipe('steps: [{action: files.append, with: {path: log, text: "{{ trigger.n }}\\n"}}]')
    workspace.send(*({"n": n} for n in range(30)))
    workspace.run_until_idle()
    assert workspace.lines() == [str(n) for n in range(30)]


def test_as_many_run_at_once_as_the_recipe_says(workspace, until):
    # Each waits for the others: they end only if three run at once, and a fourth never joins them.
    workspace.recipe("""
concurrency: 3
steps:
  - action: command.run
    timeout: 20s
    with:
      argv: [sh, -c, "touch began{{ trigger.n }}; while [ $(ls began* | wc -l) -lt 3 ]; do sleep 0.01; done"]
""")
    workspace.send(*({"n": n} for n in range(3)))
    workspace.run_until_idle()
    assert set(workspace.statuses().values()) == {"succeeded"}


# Secrets


def test_secrets_are_masked_in_whatever_is_recorded(workspace, server, monkeypatch):
    secret = 'pa"ss\\wörd'
    monkeypatch.setenv("API_AUTH", secret)
    workspace.settings(
        f'[connections.api]\ntype = "http"\nbase_url = "{server.url}"\nheaders = {{X-Auth = {{env = "API_AUTH"}}}}\n'
    )
    workspace.recipe("""
steps:
  - id: echo
    action: command.run
    with: {argv: [cat], input: {text: "{{ trigger.leak }}", number: "{{ trigger.number }}"}}
  - id: told
    set: {again: "{{ steps.echo.text }}", number: "{{ steps.echo.number }}"}
  - {id: fail, action: files.read, with: {path: "{{ trigger.leak }}"}}
""")
    detail = workspace.run({"leak": f"token={secret}!", "number": 7})
    recorded = json.dumps([[step.input, step.output, step.error and step.error.message] for step in detail.steps])
    assert "pa" not in recorded.replace("path", "")
    assert detail.steps[0].output == {"text": "token=••••!", "number": 7}
    assert "••••" in detail.version.error.message


@pytest.mark.parametrize(
    "written", ['{env = "API_AUTH"}', '"Bearer canary/5d41+402a"'], ids=["referred", "written out"]
)
def test_a_secret_is_masked_in_whatever_form_it_comes(workspace, monkeypatch, written):
    token = "canary/5d41+402a"
    monkeypatch.setenv("API_AUTH", f"Bearer {token}")
    workspace.settings(
        '[connections.api]\ntype = "http"\nbase_url = "http://127.0.0.1:1"\n'
        f"headers = {{Authorization = {written}, Accept = \"application/json\"}}\n"
    )
    workspace.recipe('steps: [{set: {all: "{{ trigger }}"}}]')
    told = {
        "alone": token, "whole": f"Bearer {token}!", "quoted": quote(token, safe=""), "query": urlencode({"t": token}),
        "lower": quote(token, safe="").lower(), "base64": b64encode(token.encode()).decode(),
        **{f"inside{n}": b64encode(f"{'u' * n}:{token}:more".encode()).decode() for n in range(3)},
        "url_base64": urlsafe_b64encode(f"Bearer {token}".encode()).decode(),
    }
    kept = {"scheme": "Bearer", "accept": "application/json", "other": b64encode(b"nothing to hide").decode()}
    output = workspace.run(told | kept).steps[0].output["all"]
    assert {name: output[name] for name in kept} == kept
    assert [name for name in told if "••••" not in output[name]] == []
    assert [name for name in told if token in unquote(output[name])] == []


def test_secrets_are_masked_in_the_error_that_a_handler_sends_on(workspace, monkeypatch):
    monkeypatch.setenv("API_AUTH", "canary-5d41402a")
    workspace.settings(
        '[connections.api]\ntype = "http"\nbase_url = "http://127.0.0.1:1"\nheaders = {P = {env = "API_AUTH"}}\n'
    )
    for fails in (
        '{action: command.run, with: {argv: [sh, -c, "echo said canary-5d41402a >&2; exit 1"]}}',
        '{action: files.read, with: {path: x, parse: "{{ trigger.said }}"}}',
        '{action: files.read, if: "trigger.said[\'canary-5d41402a\'].x", with: {path: x}}',
    ):
        workspace.recipe(f"""
steps:
  - monitor: [{fails}]
    on_error: [{{action: files.append, with: {{path: log, text: "{{{{ error.message }}}}\\n"}}}}]
""")
        detail = workspace.run({"said": "canary-5d41402a"})
        assert detail.version.status is Status.SUCCEEDED
        assert detail.steps[0].error.message == workspace.lines()[-1]
    told = "".join(workspace.lines())
    assert "canary" not in told
    assert told.count("••••") >= 3


def test_a_secret_that_looks_like_data_breaks_no_job(workspace, monkeypatch):
    monkeypatch.setenv("PIN", "1234")
    api = '[connections.m]\ntype = "http"\nbase_url = "http://127.0.0.1:1"\nheaders = {P = {env = "PIN"}}\n'
    workspace.settings(api)
    workspace.recipe('steps: [{set: {n: "{{ trigger.n }}", t: "{{ trigger.t }}"}}]')
    detail = workspace.run({"n": 91234, "t": "pin 1234"})
    assert detail.version.status is Status.SUCCEEDED
    assert detail.steps[0].output == {"n": 91234, "t": "pin ••••"}


# Payloads


ODD = {
    "nul": "a\0b",
    "surrogate": "\ud800 and \udfff",
    "controls": "".join(map(chr, range(32))) + "\x7f\x9b",
    "bidi": "\u202eabc\u2066",
    "markup": "[bold red]x[/] <b>&amp;</b> {{ 7*7 }} {% for %}",
    "escape": "\x1b]0;title\x07\x1b[2J",
    "wide": "日本語 \U0001f600",
    "\0key": {"": [[], {}, None, True, 1.5, -0.0, 10**40]},
    "'; DROP TABLE jobs; --": '"',
}


def test_odd_payloads_are_kept_faithfully(workspace):
    workspace.recipe("""
title: "{{ trigger.nul }}{{ trigger.surrogate }}{{ trigger.escape }}"
report: {Odd: "{{ trigger.surrogate }}{{ trigger.nul }}"}
steps:
  - {id: all, set: {whole: "{{ trigger }}"}}
  - {id: echo, action: command.run, with: {argv: [cat], input: "{{ trigger }}"}}
""")
    detail = workspace.run(ODD)
    assert detail.version.status is Status.SUCCEEDED, detail.version.error
    assert detail.trigger == ODD
    assert detail.steps[0].output == {"whole": ODD}
    assert detail.steps[1].output == ODD
    detail.job.title.encode("utf-8")


def test_odd_event_keys_are_told_apart(workspace):
    workspace.recipe("steps: [{set: {a: 1}}]")
    keys = ["a\0", "a", "\ud800", "\\ud800", "[b]", ""]
    ids = workspace.send(*({"k": key} for key in keys[:5]), key="trigger.k")
    assert len({*ids}) >= 4
    assert workspace.send(*({"k": key} for key in keys[:5]), key="trigger.k") == ids


def test_a_large_payload_goes_through_every_step(workspace):
    workspace.recipe('steps: [{set: {size: "{{ trigger.big | length }}", big: "{{ trigger.big }}"}}]')
    big = "ä" * (2 * 1024 * 1024)
    detail = workspace.run({"big": big})
    assert detail.steps[0].output["size"] == len(big)
    assert detail.trigger["big"] == big


def test_a_number_that_json_cannot_say_is_no_crash(workspace):
    workspace.recipe("""
steps:
  - monitor: [{set: {a: "{{ trigger.big * trigger.big }}"}}]
  - monitor: [{action: command.run, with: {argv: [cat], input: "{{ trigger.big * trigger.big }}"}}]
  - {id: end, set: {b: 1}}
""")
    detail = workspace.run({"big": 1e300})
    assert said(detail)["3"] == "succeeded", detail.version.error
