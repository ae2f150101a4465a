"""Which names say that a value is a secret, and what is masked of data."""

from __future__ import annotations

import pytest

from core.errors import NotFound
from core.secrecy import masked, secret_name


@pytest.mark.parametrize(
    "name",
    ["password", "Passwd", "userPassword", "client_secret", "csrftoken", "access-token", "token_type", "X-Api-Key",
     "apiKey", "apikey", "Authorization", "Set-Cookie", "private_key", "$.body.tokens[0]", "X-Hub-Signature-256"],
)  # fmt: skip
def test_names_of_secrets(name):
    assert secret_name(name)


@pytest.mark.parametrize("name", ["tokenizer", "secretary", "key", "author", "passenger", "cookies2go", "monkey", ""])
def test_names_of_no_secrets(name):
    assert not secret_name(name)


def test_texts_and_numbers_below_such_a_name_are_masked_and_what_holds_none_is_not_copied():
    plain = {"rows": [{"a": 1}]}
    data = {"plain": plain, "Password": {"value": "x", "length": 4, "set": True, "old": None, "hint": ""}}
    assert masked(data, "*") == {
        "plain": plain, "Password": {"value": "*", "length": "*", "set": True, "old": None, "hint": ""},
    }
    assert masked(data, "*")["plain"] is plain
    assert masked(plain, "*") is plain
    assert data["Password"]["value"] == "x"


@pytest.mark.parametrize("pair", [("name", "value"), ("Name", "Value"), ("key", "value")])
def test_the_value_of_a_named_pair_is_masked_by_that_name(pair):
    name, value = pair
    headers = [{name: "Authorization", value: "Bearer x", "comment": "c"}, {name: "Accept", value: "text/html"}]
    assert masked({"headers": headers}, "*") == {
        "headers": [{name: "Authorization", value: "*", "comment": "c"}, {name: "Accept", value: "text/html"}],
    }
    assert masked(headers, "*")[1] is headers[1]


def test_what_is_too_deep_to_be_looked_through_is_masked_as_a_whole():
    deep = {"password": "x"}
    for _ in range(5000):
        deep = [deep]
    assert masked(deep, "*") == "*"


def test_revealing_is_put_down_in_the_audit(workspace):
    workspace.recipe("steps: [{set: {a: 1}}]\n")
    job = workspace.run({"password": "x"}).job.id
    workspace.automation.reveal(job, 1, "1", by="ada")
    workspace.automation.reveal(job, 1, None, by="bob")
    told = [(act.actor, act.action, act.subject) for act in workspace.automation.audit.acts()][:2]
    assert told == [("bob", "reveal", f"job {job}.1 trigger event"), ("ada", "reveal", f"job {job}.1 step 1")]
    with pytest.raises(NotFound, match=f"there is no job {job}.7"):
        workspace.automation.reveal(job, 7, "1", by="ada")
