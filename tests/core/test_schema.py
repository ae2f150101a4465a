"""The JSON Schema of the recipe language: it takes every recipe that runs, and refuses what cannot."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from core.connectors.registry import registry
from core.errors import RecipeProblems
from core.parse import parse
from core.parsing.nodes import plain, read
from core.schema import recipe_schema
from core.workspace import RECIPE

ROOT = Path(__file__).parents[2]
SCHEMA = recipe_schema()
VALIDATOR = Draft202012Validator(SCHEMA)

CONTRACT = """\
description: Keep Zendesk organizations in step with Salesforce accounts
trigger:
  salesforce.new_or_updated:          # <connector>.<trigger>
    connection: crm                   # a connection named in jobdeck.toml
    object: Account
    fields: [Id, Name, Website]
    every: 30s                        # poll interval
    since: 2026-01-01                 # "when first started, pick up events from"; without it: everything there is
  when: trigger.Name != ""            # trigger condition: no job where it is false
title: "{{ trigger.Name }}"           # what the jobs report shows for the job
report:                               # up to ten custom report columns
  Account: "{{ trigger.Id }}"
  Organization: "{{ steps.create.id or steps.update.id }}"
concurrency: 1                        # jobs of this recipe at once; 1 keeps event order (the default)
retention: 30d                        # how long trigger data and step data are kept
steps:
  - id: find
    action: zendesk.search_organizations
    with: {connection: desk, external_id: "{{ trigger.Id }}"}
  - if: steps.find.count > 0
    then:
      - id: update
        action: zendesk.update_organization
        with: {connection: desk, id: "{{ steps.find.organizations[0].id }}", name: "{{ trigger.Name }}"}
    else:
      - id: create
        action: zendesk.create_organization
        once: true                    # a rerun reuses the recorded output instead of creating it twice
        with: {connection: desk, name: "{{ trigger.Name }}", external_id: "{{ trigger.Id }}"}
  - monitor:                          # the error monitor
      - id: tell
        action: http.request
        with: {method: POST, url: "{{ props.chat_url }}", json: {text: "synced {{ trigger.Name }}"}}
    retry: {times: 3, wait: 2s, backoff: 2}
    on_error:                         # absent: the error is recorded as handled and the job goes on
      - id: note
        action: files.append
        with: {path: missed.log, text: "{{ error.message }}\\n"}
  - stop: failed                      # or: succeeded
    reason: "no name"
    if: trigger.Name == ""
"""

EVERY_STEP = """\
trigger: {webhook.received: {path: orders, verify: github, secret: {env: HOOK}}}
retention: {succeeded: 30d, failed: 90d}
start: false
report:
steps:
  - choose:
      - if: trigger.body.kind == "a"
        then: [{stop: succeeded, if: true}]
      - if: false
        then: [{id: one, set: {total: 1, list: [1, "{{ now }}"]}}]
    else:
      - set:
  - repeat: trigger.body.items
    as: row
    limit: 5
    do:
      - {action: log.write, with: {message: 12, level: "{{ row.level }}"}, skip: true, timeout: 1h30m, on_doubt: hold}
  - call: other
    with: {id: "{{ trigger.body.id }}"}
  - monitor: [{action: sql.query, with: {connection: shop, sql: SELECT 1, params: "{{ trigger.body }}"}}]
    retry: {times: 2, when: error.status == 429}
"""


def document(text: str) -> Any:
    root, _ = read(text, "recipes/r.yaml")
    return plain(root)


def recipes_in(text: str) -> list[str]:
    """Return the YAML blocks of a page that are whole recipes."""
    return [block for block in re.findall(r"```ya?ml\n(.*?)```", text, re.DOTALL) if "\nsteps:" in f"\n{block}"]


SAMPLES = {
    "contract": CONTRACT,
    "every step": EVERY_STEP,
    "init": RECIPE,
    **{path.name: path.read_text() for path in ROOT.glob("core/sandbox/recipes/*.yaml")},
    **{
        f"{path.name} {number}": text
        for path in [ROOT / "README.md", *ROOT.glob("docs/*.md")]
        for number, text in enumerate(recipes_in(path.read_text()))
    },
}


def test_it_is_a_schema_of_2020_12() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("name", SAMPLES)
def test_every_sample_recipe_fits(name: str) -> None:
    text = SAMPLES[name]
    parse("r", text, file="r.yaml", connections=None, recipes=None)
    assert [error.message for error in VALIDATOR.iter_errors(document(text))] == []


MANUAL = "trigger: {manual.event: }\nsteps:\n  - "


@pytest.mark.parametrize(
    "text",
    [
        CONTRACT.replace("concurrency:", "concurency:"),
        CONTRACT.replace("once: true ", "onec: true "),
        CONTRACT.replace("zendesk.create_organization", "zendesk.create_organisation"),
        CONTRACT.replace("salesforce.new_or_updated:", "salesforce.newish:"),
        CONTRACT.replace("object: Account", "objekt: Account"),
        CONTRACT.replace("times: 3", "times: three"),
        CONTRACT.replace("wait: 2s", "wait: 2 seconds"),
        CONTRACT.replace("stop: failed", "stop: broken"),
        CONTRACT.replace("since: 2026-01-01", "since: last year"),
        CONTRACT.replace("concurrency: 1", "concurrency: 0"),
        CONTRACT.replace("retention: 30d", "retention: 30"),
        CONTRACT.replace("method: POST", "method: SEND"),
        CONTRACT.replace("{connection: desk, external_id", "{connection: desk, extern_id"),
        CONTRACT.replace("with: {connection: desk, external_id", "with: {external_id"),
        CONTRACT.replace("external_id: \"{{ trigger.Id }}\"}\n  - if", "external_id: {a: 1}}\n  - if"),
        "trigger: {}\nsteps:\n  - set: {}\n",
        "trigger: {manual.event: {}, schedule.every: {every: 1m}}\nsteps:\n  - set: {}\n",
        "trigger: {schedule.every: {every: \"{{ props.every }}\"}}\nsteps:\n  - set: {}\n",
        "steps:\n  - set: {}\n",
        "trigger: {manual.event: }\nsteps: []\n",
        MANUAL + "log: hello\n",
        MANUAL + "{set: {}, stop: failed}\n",
        MANUAL + "action: log.write\n",
        MANUAL + "{repeat: trigger.items}\n",
        MANUAL + "{if: trigger.a, else: [{set: {}}]}\n",
        MANUAL + "choose: [{then: [{set: {}}]}]\n",
        MANUAL + "{id: 1st, set: {}}\n",
    ],
)
def test_what_no_recipe_can_say_does_not_fit(text: str) -> None:
    with pytest.raises(RecipeProblems):
        parse("r", text, file="r.yaml", connections=None, recipes=None)
    assert not VALIDATOR.is_valid(document(text))


def test_each_action_and_trigger_is_offered_with_what_it_does() -> None:
    offered = SCHEMA["$defs"]["step.action"]["properties"]["action"]["anyOf"]
    assert {one["const"]: one["description"] for one in offered} == {
        name: one.summary for name, one in registry().actions.items()
    }
    assert SCHEMA["$defs"]["trigger"]["properties"].keys() == {*registry().triggers, "when"}
