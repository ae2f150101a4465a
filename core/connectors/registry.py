"""Every action, trigger and connection type that there is, by name, collected from the connectors' declarations."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

from core.connectors import command, email, files, http, log, manual, salesforce, schedule, sql, webhook, zendesk
from core.connectors.declare import Action, Connection, Connector, Trigger

T = TypeVar("T")

CONNECTORS: tuple[Connector, ...] = (
    command.CONNECTOR,
    email.CONNECTOR,
    files.CONNECTOR,
    http.CONNECTOR,
    log.CONNECTOR,
    manual.CONNECTOR,
    salesforce.CONNECTOR,
    schedule.CONNECTOR,
    sql.CONNECTOR,
    webhook.CONNECTOR,
    zendesk.CONNECTOR,
)


@dataclass(frozen=True)
class Registry:
    """What recipes and jobdeck.toml can name."""

    actions: Mapping[str, Action]
    """By `<connector>.<verb>`."""
    triggers: Mapping[str, Trigger]
    """By `<connector>.<trigger>`."""
    connections: Mapping[str, Connection]
    """By type."""


@functools.cache
def registry() -> Registry:
    """Return everything that the connectors declare; a name that two of them take is a mistake in the code."""
    return Registry(
        actions=_by_name([(action.name, action) for connector in CONNECTORS for action in connector.actions]),
        triggers=_by_name([(trigger.name, trigger) for connector in CONNECTORS for trigger in connector.triggers]),
        connections=_by_name([(kind.type, kind) for connector in CONNECTORS for kind in connector.connections]),
    )


def actions() -> Mapping[str, Action]:
    """Return every action by its name."""
    return registry().actions


def triggers() -> Mapping[str, Trigger]:
    """Return every trigger by its name."""
    return registry().triggers


def connection_types() -> Mapping[str, Connection]:
    """Return every type of connection by its name."""
    return registry().connections


def _by_name(named: list[tuple[str, T]]) -> Mapping[str, T]:
    found = dict(named)
    if len(found) != len(named):
        raise RuntimeError(f"two connectors declare the same name among: {', '.join(name for name, _ in named)}")
    return MappingProxyType(found)
