"""Events that people and scripts hand in with `jobdeck send`."""

from __future__ import annotations

from core.connectors.declare import Connector, Inputs, Manual, Trigger


class Event(Inputs):
    """The inputs of `manual.event`: there are none."""


CONNECTOR = Connector(
    name="manual",
    triggers=(
        Trigger(
            name="manual.event",
            summary="Only what `jobdeck send` hands in makes jobs.",
            inputs=Event,
            source=Manual(),
        ),
    ),
)
