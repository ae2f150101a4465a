"""E-mail over real SMTP on loopback: what is sent, who is refused, what is protected, what is in doubt."""

from __future__ import annotations

import asyncio
import email
import email.policy
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from pydantic import ValidationError

from core.connectors.declare import Effect
from core.connectors.registry import registry
from core.errors import AnswerLost, StepError

PASSWORD = "canary-5f2d"
MAIL = {"connection": "mail", "to": "ann@example.com", "subject": "Hello", "text": "Good morning"}


class Post:
    """A mailbox that keeps what it is handed; some addresses and subjects are refused, or end badly."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, list[str], bytes]] = []
        self.protected: list[bool] = []
        self.held = threading.Event()

    async def handle_MAIL(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        if address.startswith("nobody@"):
            return "550 5.7.1 not from here " + PASSWORD
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        if address.startswith("gone"):
            return f"550 5.1.1 {address} has left us"
        if address.startswith("full"):
            return "452 4.2.2 mailbox full"
        if address.startswith("cut"):
            server.transport.abort()
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        content = envelope.content
        if b"Subject: spam" in content:
            return "554 5.7.1 this looks like spam"
        self.kept.append((envelope.mail_from, list(envelope.rcpt_tos), content))
        self.protected.append(server.transport.get_extra_info("ssl_object") is not None)
        if b"Subject: lost" in content:
            server.transport.abort()
        if b"Subject: late" in content:
            await asyncio.to_thread(self.held.wait)
        return "250 OK"

    def read(self) -> Any:
        """The last message, parsed as its reader does."""
        return email.message_from_bytes(self.kept[-1][2], policy=email.policy.default)


class Running(Controller):
    """An SMTP server on a free port of loopback, from a thread of its own."""

    def __init__(self, post: Post, tls: ssl.SSLContext | None = None, **how: Any) -> None:
        self._how = how
        super().__init__(post, hostname="127.0.0.1", port=0, ssl_context=tls, ready_timeout=20)

    def factory(self) -> SMTP:
        return SMTP(self.handler, hostname="post.example", **self._how)

    def _trigger_server(self) -> None:
        # The port is known only now: it was asked for as 0.
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


def knows(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    right = isinstance(data, LoginPassword) and (data.login, data.password) == (b"ops", PASSWORD.encode())
    return AuthResult(success=right, handled=False)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def protected(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


@pytest.fixture
def post() -> Iterator[Post]:
    post = Post()
    yield post
    post.held.set()


@pytest.fixture
def serve(post: Post) -> Iterator[Any]:
    running: list[Running] = []

    def serve(**how: Any) -> Running:
        running.append(Running(post, **how))
        running[-1].start()
        return running[-1]

    yield serve
    post.held.set()
    for server in running:
        server.stop()


@pytest.fixture
def connect(tmp_path, authority, monkeypatch):
    """Open connections whose computer trusts the test's authority."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    kind = registry().connections["smtp"]

    def connect(**settings: Any) -> Any:
        given = {"host": "localhost", "tls": "none", "from": "Jobdeck <ops@example.com>", **settings}
        return kind.open(kind.settings.model_validate(given), tmp_path)

    return connect


@pytest.fixture
def send(run, serve, connect):
    """Send by a server that neither protects nor knows anybody."""
    client = connect(port=serve().port)
    return lambda timeout=10.0, **inputs: run("email.send", {**MAIL, **inputs}, connection=client, timeout=timeout)


def failed(send: Any, **inputs: Any) -> StepError:
    with pytest.raises(StepError) as caught:
        send(**inputs)
    assert PASSWORD not in f"{caught.value} {caught.value!r}"
    return caught.value


# What is sent


def test_a_message_is_sent_to_all_its_recipients(send, post):
    made = send(
        to=["ann@example.com", "Bob Öz <bob@example.com>"], cc="carl@example.com", bcc=["dora@example.com"],
        reply_to="desk@example.com", subject="Grüße € 5", text="Zeile 1\n.\nZeile ü\n" + "x" * 2000,
    )  # fmt: skip
    sender, recipients, content = post.kept[0]
    assert sender == "ops@example.com"
    assert recipients == ["ann@example.com", "bob@example.com", "carl@example.com", "dora@example.com"]
    message = post.read()
    assert (message["From"], message["Subject"]) == ("Jobdeck <ops@example.com>", "Grüße € 5")
    assert (message["To"], message["Cc"]) == ("ann@example.com, Bob Öz <bob@example.com>", "carl@example.com")
    assert (message["Reply-To"], message["Bcc"]) == ("desk@example.com", None)
    assert message.get_content().splitlines() == ["Zeile 1", ".", "Zeile ü", "x" * 2000]
    assert (message["Message-ID"], message["Auto-Submitted"]) == (made["id"], "auto-generated")
    assert message["Date"].datetime.tzinfo is not None
    assert b"dora" not in content
    assert content.isascii()


def test_html_comes_beside_the_text(send, post):
    send(text="plain", html="<p>grüße</p>")
    message = post.read()
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content().strip() for part in message.iter_parts()] == ["plain", "<p>grüße</p>"]


def test_a_repeat_can_be_told_by_its_id(run, serve, connect, post):
    client = connect(port=serve().port)
    ids = [run("email.send", MAIL, connection=client, idempotency_key=key)["id"] for key in ("k-1", "k-1", "k-2")]
    assert ids == ["<k-1@example.com>", "<k-1@example.com>", "<k-2@example.com>"]
    assert [email.message_from_bytes(kept[2])["Message-ID"] for kept in post.kept] == ids


def test_the_step_may_name_the_sender(send, post):
    send(**{"from": "Acme Inc. <sales@acme.example>"})
    assert (post.kept[0][0], post.read()["From"].addresses[0].display_name) == ("sales@acme.example", "Acme Inc.")


def test_a_domain_that_is_not_ascii_is_sent_as_dns_has_it(send, post):
    send(to="ann@bücher.example")
    assert post.kept[0][1] == ["ann@xn--bcher-kva.example"]


def test_one_recipient_gets_one_copy(send, post):
    send(to=["ann@example.com"], cc=["Ann <ann@example.com>"])
    assert post.kept[0][1] == ["ann@example.com"]


def test_it_writes_and_waits_for_a_decision_in_doubt():
    action = registry().actions["email.send"]
    assert (action.effect, action.on_doubt) == (Effect.WRITES, None)


# What comes from outside


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"subject": "a\r\nBcc: eve@example.com"}, "subject: it holds a line break"),
        ({"subject": "a\nb"}, "subject: it holds a line break"),
        ({"subject": "a\rb"}, "subject: it holds a line break"),
        ({"subject": "a\u2028b"}, "subject: it holds a line break"),
        ({"subject": "a\x1b[2Jb"}, "control character"),
        ({"to": "ann@example.com\r\nBcc: eve@example.com"}, "to: "),
        ({"to": "ann@example.com, eve@example.com"}, "not one address"),
        ({"to": "all: ann@example.com, eve@example.com;"}, "not one address"),
        ({"to": ["ann@example.com", "eve"]}, "'eve' is not one address"),
        ({"to": "ann@"}, "not one address"),
        ({"to": "@example.com"}, "not one address"),
        ({"to": "ann@example.com eve@example.com"}, "not one address"),
        ({"to": "ann@example.com> RCPT TO:<eve@example.com"}, "not one address"),
        ({"to": "=?utf-8?q?a=0d=0aBcc:_eve?= <ann@example.com>"}, "not one address"),
        ({"to": "ä@example.com"}, "not one address"),
        ({"cc": "x"}, "cc: "),
        ({"bcc": "x"}, "bcc: "),
        ({"reply_to": "x"}, "reply_to: "),
        ({"from": "ann@example.com, eve@example.com"}, "from: "),
        ({"text": "\ud800"}, "half of a pair"),
        ({"html": "\ud800"}, "half of a pair"),
        ({"subject": "\ud800"}, "half of a pair"),
    ],
)
def test_no_header_and_no_recipient_is_slipped_in(send, post, inputs, says):
    error = failed(send, **inputs)
    assert says in str(error)
    assert (error.kind, isinstance(error, AnswerLost)) == ("input", False)
    assert post.kept == []


@pytest.mark.parametrize(
    "text", ["..\r\n.\r\nMAIL FROM:<eve@example.com>", ".\nQUIT\n", "a\n.\r.\n", "\r\n.\r\n", "a\r.\rb", "From x\n"]
)
def test_no_text_ends_the_message_early(send, post, text):
    send(text=text)
    assert len(post.kept) == 1
    assert post.read().get_content().splitlines() == (text.splitlines() or [""])


@pytest.mark.parametrize("inputs", [{"to": []}, {"to": ""}, {"to": None}, {"subject": None}, {"body": "a"}])
def test_wrong_inputs_are_refused(send, inputs):
    with pytest.raises(ValidationError):
        send(**inputs)


def test_somebody_must_send_it(run, serve, connect):
    client = connect(port=serve().port, **{"from": None})
    with pytest.raises(StepError, match="from is empty: say in the step, or in the connection"):
        run("email.send", MAIL, connection=client)


@pytest.mark.parametrize(
    ("user", "sender"),
    [("ops", "ops@localhost"), ("ann@example.com", "ann@example.com"), ("DOMAIN\\ann", None), ("a b", None)],
)
def test_who_signs_in_sends_it_where_nobody_else_is_named(connect, user, sender):
    client = connect(**{"from": None}, user=user, password=PASSWORD, tls="starttls")
    assert client.sender == sender


@pytest.mark.parametrize(
    "settings",
    [
        {"user": "ops", "tls": "starttls"},
        {"password": PASSWORD, "tls": "starttls"},
        {"user": "ops", "password": PASSWORD, "tls": "none"},
        {"from": "nobody"},
        {"tls": "ssl"},
        {"port": 0},
    ],
)
def test_wrong_settings_are_refused(connect, settings):
    with pytest.raises(ValidationError):
        connect(**settings)


# Refusals


def test_refused_recipients_are_told_and_nobody_gets_it(send, post):
    error = failed(send, to=["ann@example.com", "gone@example.com"], bcc=["full@example.com"])
    assert (error.kind, error.status, isinstance(error, AnswerLost)) == ("smtp", 550, False)
    assert "gone@example.com: 550 5.1.1 gone@example.com has left us" in str(error)
    assert "full@example.com: 452 4.2.2 mailbox full" in str(error)
    assert post.kept == []


def test_a_refused_sender_and_a_refused_message_are_told(run, serve, connect, protected, post):
    client = connect(port=serve(tls_context=protected, authenticator=knows).port, tls="starttls", user="ops",
                     password=PASSWORD)  # fmt: skip
    with pytest.raises(StepError, match=r"the sender nobody@example.com: 550 5.7.1 not from here \*\*\*") as caught:
        run("email.send", {**MAIL, "from": "nobody@example.com"}, connection=client)
    assert caught.value.status == 550
    with pytest.raises(StepError, match=r"refuses the message: 554 5\.7\.1 this looks like spam") as caught:
        run("email.send", {**MAIL, "subject": "spam"}, connection=client)
    assert (caught.value.kind, caught.value.status, post.kept) == ("smtp", 554, [])


# Protection


@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_it_signs_in_and_sends_protected(run, serve, connect, protected, post, tls):
    how = {"tls_context": protected, "require_starttls": True} if tls == "starttls" else {"tls": protected}
    port = serve(authenticator=knows, auth_required=tls == "starttls", auth_require_tls=tls == "starttls", **how).port
    run("email.send", MAIL, connection=connect(port=port, tls=tls, user="ops", password=PASSWORD))
    assert post.protected == [True]


def test_a_wrong_password_is_told_without_it(run, serve, connect, protected, post):
    port = serve(tls_context=protected, authenticator=knows).port
    client = connect(port=port, tls="starttls", user="ops", password="canary-wrong")
    with pytest.raises(StepError, match=rf"localhost:{port} does not let ops in: 535") as caught:
        run("email.send", MAIL, connection=client)
    assert (caught.value.kind, caught.value.status, "canary" in str(caught.value)) == ("smtp", 535, False)


@pytest.mark.parametrize(
    ("host", "trusted", "says"),
    [("127.0.0.1", True, "CERTIFICATE_VERIFY_FAILED"), ("localhost", False, "CERTIFICATE_VERIFY_FAILED")],
)
@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_a_server_that_cannot_prove_its_name_gets_nothing(
    run, serve, connect, protected, post, monkeypatch, host, trusted, says, tls
):
    if not trusted:
        monkeypatch.delenv("SSL_CERT_FILE")
    port = serve(**({"tls_context": protected} if tls == "starttls" else {"tls": protected})).port
    client = connect(host=host, port=port, tls=tls, user="ops", password=PASSWORD)
    with pytest.raises(StepError, match=says) as caught:
        run("email.send", MAIL, connection=client)
    assert (caught.value.kind, isinstance(caught.value, AnswerLost), post.kept) == ("connect", False, [])


def test_a_server_without_starttls_gets_nothing(run, serve, connect, post):
    with pytest.raises(StepError, match="STARTTLS"):
        run("email.send", MAIL, connection=connect(port=serve().port, tls="starttls"))
    assert post.kept == []


# Lost answers


def test_a_message_whose_answer_was_lost_is_in_doubt(send, post):
    error = failed(send, subject="lost")
    assert isinstance(error, AnswerLost)
    assert "it may have taken the message" in str(error)
    assert len(post.kept) == 1


def test_a_message_whose_answer_is_late_is_in_doubt(send, post):
    error = failed(send, subject="late", timeout=0.5)
    assert (isinstance(error, AnswerLost), error.kind) == (True, "timeout")
    assert len(post.kept) == 1


def test_what_breaks_before_the_message_is_a_plain_error(send, post):
    error = failed(send, to="cut@example.com")
    assert (isinstance(error, AnswerLost), error.kind) == (False, "network")
    assert "nothing was sent" in str(error)


def test_where_nobody_answers_nothing_was_sent(run, connect):
    with pytest.raises(StepError) as caught:
        run("email.send", MAIL, connection=connect(port=1))
    assert (caught.value.kind, isinstance(caught.value, AnswerLost)) == ("connect", False)


def test_a_server_that_says_nothing_ends_at_the_timeout(run, connect):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = connect(host="127.0.0.1", port=silent.getsockname()[1])
        with pytest.raises(StepError, match="no answer in time") as caught:
            run("email.send", MAIL, connection=client, timeout=0.3)
    assert (caught.value.kind, isinstance(caught.value, AnswerLost)) == ("timeout", False)
