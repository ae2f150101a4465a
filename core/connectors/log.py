"""Writes a line of the recipe's own into the engine's log."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from core.connectors.declare import Action, Call, Connector, Effect, Inputs


class Write(Inputs):
    """The inputs of `log.write`."""

    message: str = Field(description="the line to write")
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="how grave it is: debug, info, warning or error"
    )


def write(inputs: Write, call: Call) -> None:
    """Write the message at its level; returns nothing."""
    call.log(inputs.level, inputs.message)


CONNECTOR = Connector(
    name="log",
    actions=(
        Action(
            name="log.write",
            summary="Write a line into the engine's log.",
            inputs=Write,
            effect=Effect.IDEMPOTENT,
            run=write,
            text_inputs=frozenset({"message"}),
        ),
    ),
)
