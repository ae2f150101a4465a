"""What a webhook trigger may say: a path, a key, and how deliveries are proven."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from core.connectors.registry import registry

RECEIVED = registry().triggers["webhook.received"].inputs


def test_a_signed_webhook_names_its_secret_and_does_not_hold_it():
    given = {"path": "shop/orders.v1", "key": "body.id", "verify": "github", "secret": {"env": "HOOK_SECRET"}}
    assert RECEIVED.model_validate(given).secret.env == "HOOK_SECRET"


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({}, "path"),
        ({"path": ""}, "path"),
        ({"path": "/a"}, "no webhook path"),
        ({"path": "a/../b"}, "no webhook path"),
        ({"path": "a b"}, "no webhook path"),
        ({"path": "ä"}, "no webhook path"),
        ({"path": "a", "key": "body.["}, "key"),
        ({"path": "a", "verify": "gitlab"}, "standard-webhooks"),
        ({"path": "a", "verify": "github"}, "needs a secret"),
        ({"path": "a", "secret": {"env": "X"}}, "used by nothing"),
        ({"path": "a", "verify": "github", "secret": "in the open"}, "secret"),
    ],
)
def test_a_wrong_webhook_is_refused(inputs, says):
    with pytest.raises(ValidationError, match=says):
        RECEIVED.model_validate(inputs)
