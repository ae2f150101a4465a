"""Signatures, bodies and keys of webhook deliveries, each by a delivery that is read or refused."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import json
import time

import pytest
import standardwebhooks.webhooks
from standardwebhooks.webhooks import Webhook

from core.errors import WorkspaceError
from core.expressions import compile_condition
from core.webhooks import MAX_DEPTH, Delivery, Hook, Rejected, join_headers, parse_json, read

GITHUB_SECRET = "It's a Secret to Everybody"
STANDARD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRET = "whsec_" + base64.b64encode(b"another secret of 24 byt").decode()


def hook(verify="none", secret=None, key=None):
    return Hook("orders", "orders", verify, secret and (lambda: secret), key and compile_condition(key))


def delivery(body=b"{}", headers=None, query=None):
    return Delivery(headers or {}, body, query or {})


def github_headers(body, secret=GITHUB_SECRET, **more):
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"x-hub-signature-256": f"sha256={signature}", **more}


def standard_headers(body, secret=STANDARD_SECRET, message="msg_1", at=None):
    moment = dt.datetime.fromtimestamp(int(time.time() if at is None else at), dt.UTC)
    signature = Webhook(secret).sign(message, moment, body.decode())
    stamp = str(int(moment.timestamp()))
    return {"webhook-id": message, "webhook-timestamp": stamp, "webhook-signature": signature}


def refusal(hook, delivery):
    with pytest.raises(Rejected) as refused:
        read(hook, delivery)
    return refused.value


def flips(data: bytes):
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        yield bytes(flipped)


class TestGitHub:
    def test_the_documented_vector_holds(self):
        vector = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
        headers = {"x-hub-signature-256": vector}
        refused = refusal(hook("github", GITHUB_SECRET), delivery(b"Hello, World!", headers))
        assert refused.status == 400, "the signature holds, so that the body is what is refused"

    def test_no_flipped_bit_is_taken(self):
        body = b'{"action": "opened"}'
        checks = hook("github", GITHUB_SECRET)
        headers = github_headers(body)
        assert read(checks, delivery(body, headers))
        for flipped in flips(body):
            assert refusal(checks, delivery(flipped, headers)).status == 401
        for flipped in flips(headers["x-hub-signature-256"].encode()):
            broken = {"x-hub-signature-256": flipped.decode("latin-1")}
            assert refusal(checks, delivery(body, broken)).status == 401

    @pytest.mark.parametrize("headers", [
        {}, {"x-hub-signature-256": ""}, {"x-hub-signature-256": "sha256="}, {"x-hub-signature": "sha1=00"},
        {"x-hub-signature-256": "é" * 71},
    ])  # fmt: skip
    def test_a_missing_or_malformed_signature_is_401(self, headers):
        assert refusal(hook("github", GITHUB_SECRET), delivery(b"{}", headers)).status == 401

    def test_another_secret_is_401(self):
        headers = github_headers(b"{}", "not this")
        assert refusal(hook("github", GITHUB_SECRET), delivery(b"{}", headers)).status == 401

    def test_bytes_that_are_no_text_are_signed_as_they_are(self):
        body = b"\xff\x00"
        assert refusal(hook("github", GITHUB_SECRET), delivery(body, github_headers(body))).status == 400


class TestStandardWebhooks:
    def test_the_documented_vector_holds(self, monkeypatch):
        class Then(dt.datetime):
            @classmethod
            def now(cls, tz=None):
                return cls.fromtimestamp(1614265330, tz)

        monkeypatch.setattr(standardwebhooks.webhooks, "datetime", Then)
        headers = {
            "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "webhook-timestamp": "1614265330",
            "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        }
        key, trigger = read(hook("standard-webhooks", STANDARD_SECRET), delivery(b'{"test": 2432232314}', headers))
        assert key == "msg_p5jXN8AQM9LWM0D4loKWxJek"
        assert trigger["body"] == {"test": 2432232314}

    def test_no_flipped_bit_is_taken(self):
        body = b'{"test": 2432232314}'
        checks = hook("standard-webhooks", STANDARD_SECRET)
        headers = standard_headers(body)
        assert read(checks, delivery(body, headers))
        for flipped in flips(body):
            assert refusal(checks, delivery(flipped, headers)).status == 401
        for name, value in headers.items():
            for flipped in flips(value.encode()):
                broken = {**headers, name: flipped.decode("latin-1")}
                assert refusal(checks, delivery(body, broken)).status == 401, (name, flipped)

    @pytest.mark.parametrize(("age", "taken"), [(290, True), (310, False), (-290, True), (-310, False)])
    def test_five_minutes_either_way_are_tolerated(self, age, taken):
        headers = standard_headers(b"{}", at=time.time() - age)
        checks = hook("standard-webhooks", STANDARD_SECRET)
        if taken:
            assert read(checks, delivery(b"{}", headers))
        else:
            assert refusal(checks, delivery(b"{}", headers)).status == 401

    def test_any_of_several_signatures_and_secrets_will_do(self):
        headers = standard_headers(b"{}")
        both = f"v1a,AAAA v1,broken {standard_headers(b'{}', OTHER_SECRET)['webhook-signature']} "
        headers["webhook-signature"] = both + headers["webhook-signature"]
        for secret in (STANDARD_SECRET, f"{OTHER_SECRET} {STANDARD_SECRET}", STANDARD_SECRET.removeprefix("whsec_")):
            assert read(hook("standard-webhooks", secret), delivery(b"{}", headers))

    def test_a_secret_taken_away_takes_nothing_more(self):
        headers = standard_headers(b"{}", STANDARD_SECRET)
        assert refusal(hook("standard-webhooks", OTHER_SECRET), delivery(b"{}", headers)).status == 401

    @pytest.mark.parametrize("signature", [
        "", "v1", "v1,", ",", "v1,a,b", "v1,é", "v1," + "=" * 44, "v1," + "A" * 43 + "=", "v2," + "A" * 43 + "=",
    ])  # fmt: skip
    def test_a_malformed_signature_is_401(self, signature):
        headers = {**standard_headers(b"{}"), "webhook-signature": signature}
        assert refusal(hook("standard-webhooks", STANDARD_SECRET), delivery(b"{}", headers)).status == 401

    @pytest.mark.parametrize(
        "stamp", ["", "now", "nan", "1e9", "-1", "٣", "9" * 30, pytest.param(f"{time.time():.3f}", id="fraction")]
    )
    def test_a_malformed_time_is_401(self, stamp):
        headers = {**standard_headers(b"{}"), "webhook-timestamp": stamp}
        assert refusal(hook("standard-webhooks", STANDARD_SECRET), delivery(b"{}", headers)).status == 401

    @pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
    def test_a_missing_header_is_401(self, name):
        headers = standard_headers(b"{}")
        del headers[name]
        assert refusal(hook("standard-webhooks", STANDARD_SECRET), delivery(b"{}", headers)).status == 401

    @pytest.mark.parametrize("secret", ["whsec_", "not base64!", "  "])
    def test_a_useless_secret_takes_nothing(self, secret):
        assert refusal(hook("standard-webhooks", secret), delivery(b"{}", standard_headers(b"{}"))).status == 503


@pytest.mark.parametrize("verify", ["github", "standard-webhooks"])
def test_without_its_secret_a_hook_takes_nothing(verify):
    def missing():
        raise WorkspaceError("HOOK_SECRET is not set")

    for secret in (missing, lambda: "", None):
        refused = refusal(Hook("orders", "orders", verify, secret, None), delivery())
        assert refused.status == 503
        assert "HOOK_SECRET" not in str(refused)


def test_the_signature_is_judged_before_the_body_and_the_body_before_the_key():
    checks = hook("github", GITHUB_SECRET, key="body.nothing.at.all")
    assert refusal(checks, delivery(b"no json", {})).status == 401
    assert "not JSON" in str(refusal(checks, delivery(b"no json", github_headers(b"no json"))))
    assert "`key`" in str(refusal(checks, delivery(b"{}", github_headers(b"{}"))))


def test_an_unsigned_hook_takes_nothing_from_a_web_page():
    assert refusal(hook(), delivery(b"{}", {"origin": "https://example.com"})).status == 403
    headers = github_headers(b"{}", origin="https://example.com")
    assert read(hook("github", GITHUB_SECRET), delivery(b"{}", headers))


class TestBody:
    @pytest.mark.parametrize("kind", [
        None, "application/json", "application/vnd.github+json; charset=utf-8", "text/plain",
        "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/octet-stream", "???",
    ])  # fmt: skip
    def test_one_parser_reads_it_whatever_type_is_declared(self, kind):
        headers = {} if kind is None else {"content-type": kind}
        body = {"headers": {"x-admin": "yes"}, "path": "other", "query": {"a": "b"}, "body": 1}
        _, trigger = read(hook(), delivery(json.dumps(body).encode(), headers, {"q": "1"}))
        assert trigger == {"headers": headers, "body": body, "path": "orders", "query": {"q": "1"}}
        refused = refusal(hook(), delivery(b"payload=%7B%7D", headers))
        assert refused.status == 400
        assert ("application/json" in str(refused)) == bool(kind and "form" in kind)

    @pytest.mark.parametrize("body", [
        b"", b" ", b"no", b"{", b"[1,]", b'{"a":1}x', b"NaN", b"[Infinity]", b"-Infinity", b"[1e999]", b"'a'", b"\xff",
        b'"\xed\xa0\x80"', '{"a": 1}'.encode("utf-16"), b"[" * 100_000, b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
        b'{"a":' * 500 + b"1" + b"}" * 500, b"9" * 5000, b'"\x00"', b"01", b"<a/>", b"a=1&b=2",
    ])  # fmt: skip
    def test_what_is_not_json_is_400(self, body):
        assert refusal(hook(), delivery(body)).status == 400

    @pytest.mark.parametrize(("body", "value"), [
        (b'"\\ud800"', "\ud800"), (b'{"\\u0000": "\\u0000"}', {"\0": "\0"}), (b"null", None), (b"0", 0), (b'""', ""),
        (b'{"a": 1, "a": 2}', {"a": 2}), (b"\xef\xbb\xbf[]", []),
        ('["\U0001f600\u202e"]'.encode(), ["\U0001f600\u202e"]),
        (b"9" * 4000, int("9" * 4000)),
        (b'"[b]\\u001b]0;x\\u0007{{7*7}}"', "[b]\x1b]0;x\x07{{7*7}}"),
    ])  # fmt: skip
    def test_odd_json_is_kept_faithfully(self, body, value):
        assert read(hook(), delivery(body))[1]["body"] == value

    def test_what_is_deep_but_not_too_deep_is_taken(self):
        assert parse_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
        assert len(parse_json(b"[" + b"[{}]," * 1000 + b"[]]")) == 1001

    @pytest.mark.parametrize("encoding", ["gzip", "br", "GZIP", "identity, gzip"])
    def test_a_compressed_body_is_415(self, encoding):
        assert refusal(hook(), delivery(b"{}", {"content-encoding": encoding})).status == 415


def test_secret_headers_are_not_stored_and_the_others_are():
    raw = [(b"X-A", b"1"), (b"x-a", b"2"), (b"Authorization", b"s"), (b"Proxy-Authorization", b"s"), (b"Cookie", b"s"),
           (b"X-Hub-Signature", b"s"), (b"X-Hub-Signature-256", b"s"), (b"Webhook-Signature", b"s"),
           (b"Stripe-Signature", b"s"), (b"X-Gitlab-Token", b"s"), (b"X-Name", b"\xe9")]  # fmt: skip
    _, trigger = read(hook(), delivery(b"{}", join_headers(raw)))
    assert trigger["headers"] == {"x-a": "1, 2", "x-name": "é"}


class TestKey:
    @pytest.mark.parametrize(("headers", "key"), [
        ({}, None), ({"webhook-id": "m1"}, "m1"), ({"x-github-delivery": "d1"}, "d1"), ({"webhook-id": ""}, None),
        ({"webhook-id": "m1", "x-github-delivery": "d1"}, "m1"),
    ])  # fmt: skip
    def test_without_an_expression_it_is_the_deliverys_own_id(self, headers, key):
        assert read(hook(), delivery(b"{}", headers))[0] == key

    @pytest.mark.parametrize(("expression", "key"), [
        ("body.id", "812"), ("body.name", "Ada"), ("headers['x-id']", "h1"), ("body.ok", "true"),
        ("body.name ~ '/' ~ body.id", "Ada/812"), ("[body.name, body.id]", '["Ada", 812]'),
    ])  # fmt: skip
    def test_an_expression_computes_it(self, expression, key):
        body = b'{"id": 812, "name": "Ada", "ok": true}'
        headers = {"x-id": "h1", "webhook-id": "not this"}
        assert read(hook(key=expression), delivery(body, headers))[0] == key

    @pytest.mark.parametrize("expression", [
        "body.missing", "body.none", "body.empty", "nobody", "body.space", "body.nul", "body.half", "body.long",
        "headers.authorization",
    ])  # fmt: skip
    def test_one_that_fails_or_cannot_be_stored_is_400(self, expression):
        body = {"none": None, "empty": "", "space": " ", "nul": "a\0", "half": "\ud800", "long": "x" * 3000}
        refused = refusal(hook(key=expression), delivery(json.dumps(body).encode(), {"authorization": "s"}))
        assert refused.status == 400
        assert "key" in str(refused)


class TestCloudEvents:
    binary = {
        "ce-specversion": "1.0", "ce-type": "com.example.someevent", "ce-time": "2018-04-05T03:56:24Z",
        "ce-id": "1234-1234-1234", "ce-source": "/mycontext/subcontext",
    }  # fmt: skip
    structured = {
        "specversion": "1.0", "type": "com.example.someevent", "time": "2018-04-05T03:56:24Z", "id": "1234-1234-1234",
        "source": "/mycontext/subcontext", "datacontenttype": "application/json", "data": {"message": "Hello World!"},
    }  # fmt: skip

    @pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8"])
    def test_binary_mode(self, kind):
        headers = {**self.binary, "content-type": kind}
        key, trigger = read(hook(), delivery(b'{"message": "Hello World!"}', headers))
        assert key == "/mycontext/subcontext 1234-1234-1234"
        assert trigger["body"] == {"message": "Hello World!"}
        assert trigger["headers"] == headers

    @pytest.mark.parametrize("kind", ["application/cloudevents+json", "Application/CloudEvents+JSON; charset=utf-8"])
    def test_structured_mode_keeps_the_event_whole(self, kind):
        body = json.dumps(self.structured).encode()
        key, trigger = read(hook(), delivery(body, {"content-type": kind}))
        assert key == "/mycontext/subcontext 1234-1234-1234"
        assert trigger["body"] == self.structured

    def test_header_values_are_unquoted_and_percent_decoded_once(self):
        headers = {**self.binary, "ce-id": '"Euro%20%E2%82%AC \\"%2541"', "ce-source": "/%C3%A9"}
        assert read(hook(), delivery(b"{}", headers))[0] == '/é Euro € "%41'

    def test_an_event_without_data_has_a_null_body(self):
        assert read(hook(), delivery(b"", self.binary))[1]["body"] is None

    def test_a_delivery_id_and_an_expression_come_first(self):
        assert read(hook(), delivery(b"{}", {**self.binary, "webhook-id": "m1"}))[0] == "m1"
        assert read(hook(key="headers['ce-type']"), delivery(b"{}", self.binary))[0] == "com.example.someevent"

    @pytest.mark.parametrize("change", [
        {"ce-id": ""}, {"ce-id": None}, {"ce-source": None}, {"ce-type": None}, {"ce-type": ""},
        {"ce-specversion": "0.3"}, {"ce-source": "/a b"}, {"ce-source": "/a%20b"}, {"ce-id": "%ff"}, {"ce-id": "a%00"},
    ])  # fmt: skip
    def test_a_broken_binary_event_is_400(self, change):
        headers = {name: value for name, value in {**self.binary, **change}.items() if value is not None}
        assert refusal(hook(), delivery(b"{}", headers)).status == 400

    @pytest.mark.parametrize("change", [
        {"id": ""}, {"id": None}, {"id": 25}, {"id": {"x": "y"}}, {"id": "\ud800"}, {"source": ""}, {"type": None},
        {"specversion": "0.9"}, {"specversion": 1.0},
    ])  # fmt: skip
    def test_a_broken_structured_event_is_400(self, change):
        body = json.dumps({**self.structured, **change}).encode()
        assert refusal(hook(), delivery(body, {"content-type": "application/cloudevents+json"})).status == 400

    def test_a_structured_event_must_be_a_mapping(self):
        assert refusal(hook(), delivery(b"[]", {"content-type": "application/cloudevents+json"})).status == 400

    @pytest.mark.parametrize("kind", ["application/cloudevents-batch+json", "application/cloudevents+avro"])
    def test_batches_and_other_formats_are_415(self, kind):
        assert refusal(hook(), delivery(b"[]", {"content-type": kind})).status == 415
