"""What every connector keeps: declared whole, described, strict about its inputs, honest about errors and secrets."""

from __future__ import annotations

import datetime as dt
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from core.connectors.declare import Action, Call, Connection, Effect, Feed, Trigger, Watch, Watcher
from core.connectors.registry import CONNECTORS, actions, connection_types, triggers
from core.errors import StepError

CANARY = "canary-5f2d"
ACTIONS = {
    "http.request", "sql.query", "sql.insert", "sql.update", "sql.delete", "sql.upsert", "files.read", "files.write",
    "files.append", "command.run", "log.write", "zendesk.search_organizations", "zendesk.create_organization",
    "zendesk.update_organization", "zendesk.create_ticket", "zendesk.update_ticket", "email.send",
}  # fmt: skip
TRIGGERS = {
    "manual.event", "webhook.received", "sql.new", "sql.new_or_updated", "files.new", "files.new_or_updated",
    "schedule.every", "schedule.cron", "http.new", "http.new_or_updated",
}  # fmt: skip
MODELS = {
    **{name: action.inputs for name, action in actions().items()},
    **{name: trigger.inputs for name, trigger in triggers().items()},
    **{f"connections.{name}": kind.settings for name, kind in connection_types().items()},
}
FAILING: dict[str, dict[str, Any]] = {
    "http.request": {"url": f"http://ops:{CANARY}@127.0.0.1:1/?token={CANARY}", "headers": {"Authorization": CANARY}},
    "sql.query": {"connection": "c", "sql": "SELECT 1"},
    "sql.insert": {"connection": "c", "table": "t", "values": {"a": CANARY}},
    "sql.update": {"connection": "c", "table": "t", "values": {"a": CANARY}, "where": {"a": 1}},
    "sql.delete": {"connection": "c", "table": "t", "where": {"a": CANARY}},
    "sql.upsert": {"connection": "c", "table": "t", "values": {"a": CANARY}, "key": "a"},
    "files.read": {"path": "missing"},
    "files.write": {"path": "missing/file", "text": CANARY},
    "files.append": {"path": "missing/file", "text": CANARY},
    "command.run": {"argv": ["missing-program"], "env": {"TOKEN": CANARY}},
    "zendesk.search_organizations": {"connection": "c", "name": "Acme"},
    "zendesk.create_organization": {"connection": "c", "name": "Acme"},
    "zendesk.update_organization": {"connection": "c", "id": 1, "name": "Acme"},
    "zendesk.create_ticket": {"connection": "c", "comment": "Help"},
    "zendesk.update_ticket": {"connection": "c", "id": 1, "status": "open"},
    "salesforce.search": {"connection": "c", "object": "Account", "fields": ["Id"], "where": {"Name": CANARY}},
    "salesforce.get": {"connection": "c", "object": "Account", "id": "001000000000000AAA"},
    "salesforce.create": {"connection": "c", "object": "Account", "fields": {"Name": CANARY}},
    "salesforce.update": {"connection": "c", "object": "Account", "id": "001000000000000AAA", "fields": {"Name": "a"}},
    "salesforce.upsert": {"connection": "c", "object": "A", "external_id": {"X__c": "1"}, "fields": {"Name": CANARY}},
    "email.send": {"connection": "c", "to": "ann@example.com", "subject": "a", "text": "b", "from": "ops@example.com"},
}
POLLING: dict[str, dict[str, Any]] = {
    "sql.new": {"connection": "c", "table": "t", "key": "a"},
    "sql.new_or_updated": {"connection": "c", "query": "SELECT 1", "key": "a", "updated": "b"},
    "files.new": {"path": "missing"},
    "files.new_or_updated": {"path": "missing"},
    "http.new": {"connection": "c", "url": f"list?token={CANARY}", "key": "id"},
    "http.new_or_updated": {"connection": "c", "url": "list", "key": "id", "updated": "at"},
}
FEEDING: dict[str, dict[str, Any]] = {
    "salesforce.new": {"connection": "c", "object": "Account", "fields": ["Id"]},
    "salesforce.new_or_updated": {"connection": "c", "object": "Account", "fields": ["Id"], "where": {"Name": "a"}},
}
CONNECTED: dict[str, dict[str, Any]] = {
    "sql": {"url": f"postgresql+psycopg://ops:{CANARY}@127.0.0.1:1/shop"},
    "http": {"base_url": f"http://ops:{CANARY}@127.0.0.1:1", "headers": {"Authorization": CANARY}},
    "zendesk": {"base_url": "http://127.0.0.1:1", "email": "ops@example.com", "token": CANARY},
    "salesforce": {"instance_url": "http://127.0.0.1:1", "client_id": "app", "client_secret": CANARY},
    "smtp": {"host": "127.0.0.1", "port": 1, "user": "ops", "password": CANARY},
}


def opened(kind: str | None, workspace: Path) -> Any:
    if kind is None:
        return None
    declared = connection_types()[kind]
    return declared.open(declared.settings.model_validate(CONNECTED[kind]), workspace)


def test_what_the_recipe_language_promises_is_there():
    assert set(actions()) >= ACTIONS
    assert set(triggers()) >= TRIGGERS


def test_every_action_and_polling_trigger_is_made_to_fail_here():
    assert set(FAILING) == set(actions()) - {"log.write"}
    assert set(POLLING) == {name for name, one in triggers().items() if isinstance(one.source, Watcher)}
    assert set(FEEDING) == {name for name, one in triggers().items() if isinstance(one.source, Feed)}
    assert set(CONNECTED) == set(connection_types())


@pytest.mark.parametrize("connector", CONNECTORS, ids=lambda connector: connector.name)
def test_a_connector_names_what_it_offers_after_itself(connector):
    for offered in (*connector.actions, *connector.triggers):
        assert re.fullmatch(rf"{connector.name}\.[a-z_]+", offered.name)


@pytest.mark.parametrize("declared", [*actions().values(), *triggers().values()], ids=lambda declared: declared.name)
def test_it_is_declared_whole(declared: Action | Trigger):
    assert re.fullmatch(r"[A-Z][^\n]{5,90}\.", declared.summary)
    assert all(declared.output.values())
    fields = declared.inputs.model_fields
    if declared.connection:
        assert declared.connection in connection_types()
        assert "connection" in fields
    else:
        assert "connection" not in fields
    if isinstance(declared, Action):
        assert isinstance(declared.effect, Effect) or callable(declared.effect)
        known = {field.alias or name for name, field in fields.items()}
        assert declared.text_inputs <= known


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_every_input_is_described(model: type[BaseModel]):
    for name, described in model.model_json_schema(mode="validation")["properties"].items():
        assert re.fullmatch(r"[^\n]{5,120}", described.get("description", "")), name


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_an_unknown_input_is_refused(model: type[BaseModel]):
    with pytest.raises(ValidationError) as caught:
        model.model_validate({"no_such_input": 1})
    assert ("no_such_input",) in [error["loc"] for error in caught.value.errors()]


@pytest.mark.parametrize("name", FAILING)
def test_an_action_fails_with_a_step_error_that_keeps_secrets(name, tmp_path):
    action = actions()[name]
    connection = opened(action.connection if "connection" in FAILING[name] else None, tmp_path)
    call = Call(tmp_path, connection, lambda: "key", 5.0, threading.Event())
    with pytest.raises(StepError) as caught:
        action.run(action.inputs.model_validate(FAILING[name]), call)
    assert CANARY not in f"{caught.value} {caught.value!r}"


@pytest.mark.parametrize("name", POLLING)
def test_a_polling_trigger_fails_with_a_step_error_that_keeps_secrets(name, tmp_path):
    trigger = triggers()[name]
    assert isinstance(trigger.source, Watcher)
    watch = Watch(tmp_path, opened(trigger.connection, tmp_path), dt.datetime.now(dt.UTC), threading.Event())
    with pytest.raises(StepError) as caught:
        list(trigger.source.scan(trigger.inputs.model_validate(POLLING[name]), watch))
    assert CANARY not in f"{caught.value} {caught.value!r}"


@pytest.mark.parametrize("name", FEEDING)
def test_a_feeding_trigger_fails_with_a_step_error_that_keeps_secrets(name, tmp_path):
    trigger = triggers()[name]
    assert isinstance(trigger.source, Feed)
    watch = Watch(tmp_path, opened(trigger.connection, tmp_path), dt.datetime.now(dt.UTC), threading.Event())
    with pytest.raises(StepError) as caught:
        list(trigger.source.poll(trigger.inputs.model_validate(FEEDING[name]), watch, None, None))
    assert CANARY not in f"{caught.value} {caught.value!r}"


@pytest.mark.parametrize("kind", connection_types().values(), ids=lambda kind: kind.type)
def test_a_connection_shows_no_secret(kind: Connection, tmp_path):
    settings = kind.settings.model_validate(CONNECTED[kind.type])
    client = kind.open(settings, tmp_path)
    assert CANARY not in f"{settings!r} {settings} {client!r}"
    kind.close(client)


def test_what_is_only_declared_needs_no_heavy_library():
    code = "import sys, core.connectors.registry as r; r.registry(); print(*sys.modules)"
    root = Path(__file__).parents[2]
    loaded = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True).stdout
    assert not {"sqlalchemy", "httpx", "textual", "starlette"} & set(loaded.split())
