"""Events that others post to the engine's listener: the declaration; the listener itself is core.listener."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from core.connectors.declare import Connector, Inputs, Trigger, Webhook
from core.settings import SecretRef


class Received(Inputs):
    """The inputs of `webhook.received`."""

    path: str = Field(
        min_length=1,
        max_length=200,
        description="where it is posted: `POST /hooks/<path>`; letters, digits and . _ ~ - /",
    )
    key: str | None = Field(
        default=None,
        description="an expression over `headers` and `body` that tells deliveries apart; without it their own id does",
    )
    verify: Literal["standard-webhooks", "github", "none"] = Field(
        default="none", description="how deliveries are signed: standard-webhooks, github or none"
    )
    secret: SecretRef | None = Field(
        default=None, description="the secret of the signature, as `{env: NAME}` or `{file: path}`"
    )

    @field_validator("path")
    @classmethod
    def _check_path(cls, path: str) -> str:
        allowed = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~-")
        for part in path.split("/"):
            if not part or part in (".", "..") or not set(part) <= allowed:
                raise ValueError(
                    f"{path!r} is no webhook path: write one like `shop/orders`, of letters, digits and . _ ~ - /"
                )
        return path

    @field_validator("key")
    @classmethod
    def _check_key(cls, key: str | None) -> str | None:
        from core.expressions import ExpressionError, compile_condition

        if key is not None:
            try:
                compile_condition(key)
            except ExpressionError as error:
                raise ValueError(str(error)) from error
        return key

    @model_validator(mode="after")
    def _check_secret(self) -> Self:
        if self.verify != "none" and self.secret is None:
            raise ValueError(f"verify: {self.verify} needs a secret: write `secret: {{env: NAME}}`")
        if self.verify == "none" and self.secret is not None:
            raise ValueError("the secret is used by nothing: say `verify: standard-webhooks` or `verify: github`")
        return self


CONNECTOR = Connector(
    name="webhook",
    triggers=(
        Trigger(
            name="webhook.received",
            summary="A delivery posted to the engine makes a job.",
            inputs=Received,
            source=Webhook(),
            output={
                "headers": "the request's headers, names in lower case, without signatures, authorization and cookies",
                "body": "the JSON body",
                "path": "the path that it was posted to",
                "query": "the parameters of the request's address",
            },
        ),
    ),
)
