"""Sends e-mail over SMTP: one message to one server, accepted for every recipient or for none."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
import smtplib
import ssl
import time
from collections.abc import Iterator
from email.errors import ObsoleteHeaderDefect
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from core.connectors import servers
from core.connectors.declare import Action, Call, Connection, Connector, Effect, Inputs
from core.errors import AnswerLost, StepError
from data.job_records import JsonValue

TIMEOUT = 60.0  # seconds, where the step says nothing: servers look into a message before they take it
GOODBYE = 2.0  # seconds that the server gets for its farewell
PORTS = {"starttls": 587, "tls": 465, "none": 25}
# Not every server takes 8-bit bodies, so what is not ASCII is encoded.
POLICY = SMTP.clone(cte_type="7bit")
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")  # a tab is a blank in a header
HALF = "it holds half of a pair of characters, which no encoding can say"

Addresses = str | list[str]


class Settings(BaseModel):
    """A connection of type `smtp`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(min_length=1, description="the server's name, which its certificate must hold")
    port: int | None = Field(
        default=None, ge=1, le=65535, description="its port; by default 587 for starttls, 465 for tls, 25 for none"
    )
    tls: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="starttls, tls from the first byte, or none: unprotected, without a password"
    )
    user: str | None = Field(default=None, min_length=1, description="who signs in; without it nobody does")
    password: SecretStr | None = Field(default=None, min_length=1, description="the password of `user`")
    from_: str | None = Field(
        default=None, alias="from",
        description="the sender where a step names none; by default `user`, at `host` where that is no address",
    )

    @property
    def sender(self) -> str | None:
        """Who sends where a step does not say; None where nothing tells."""
        if self.from_ is not None or self.user is None:
            return self.from_
        sender = self.user if "@" in self.user else f"{self.user}@{self.host}"
        with contextlib.suppress(ValueError):
            return one_address(sender).addr_spec
        return None

    @model_validator(mode="after")
    def _check_sign_in(self) -> Self:
        if (self.user is None) != (self.password is None):
            raise ValueError("`user` and `password` go together: give both or neither")
        if self.password is not None and self.tls == "none":
            raise ValueError("a password is not sent unprotected: use tls 'starttls' or 'tls'")
        if self.from_ is not None:
            one_address(self.from_)
        return self


class Message(Inputs):
    """The inputs of `email.send`."""

    connection: str = Field(min_length=1, description="a connection of type smtp")
    to: Addresses = Field(
        min_length=1, description="an address, `ann@example.com` or `Ann <ann@example.com>`, or a list of them"
    )
    subject: str = Field(description="the subject, on one line")
    text: str = Field(description="the message, as plain text")
    html: str | None = Field(default=None, description="the same message as HTML, for those who read it so")
    from_: str | None = Field(default=None, alias="from", description="the sender; by default the connection's `from`")
    cc: Addresses = Field(default_factory=list, description="who gets a copy, an address or a list")
    bcc: Addresses = Field(default_factory=list, description="who gets a copy unseen, an address or a list")
    reply_to: Addresses = Field(default_factory=list, description="where answers go, an address or a list")


class Server:
    """A mail server and who signs in to it; each message has a connection of its own."""

    def __init__(self, settings: Settings) -> None:
        self.sender = settings.sender
        self._settings = settings
        self._port = settings.port or PORTS[settings.tls]
        self._context = None if settings.tls == "none" else ssl.create_default_context()

    @property
    def where(self) -> str:
        """Host and port, for error messages."""
        return f"{self._settings.host}:{self._port}"

    def words(self, answer: object) -> str:
        """Return a server's words, on one line and without the password."""
        text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else str(answer)
        secret = self._settings.password.get_secret_value() if self._settings.password else ""
        return servers.cut(text.replace(secret, "***") if secret else text)

    @contextlib.contextmanager
    def session(self, deadline: float) -> Iterator[smtplib.SMTP]:
        """Give a session that is signed in; raises StepError where there is none to be had."""
        smtp = self._connected(deadline)
        try:
            yield smtp
        finally:
            # What was said until here stands: how the server takes the farewell changes nothing.
            with contextlib.suppress(OSError, smtplib.SMTPException):
                limit(smtp, time.monotonic() + GOODBYE)
                smtp.quit()
            smtp.close()

    def _connected(self, deadline: float) -> smtplib.SMTP:
        left = max(deadline - time.monotonic(), 0.001)
        smtp: smtplib.SMTP | None = None
        try:
            if self._settings.tls == "tls":
                smtp = smtplib.SMTP_SSL(self._settings.host, self._port, timeout=left, context=self._context)
            else:
                smtp = smtplib.SMTP(self._settings.host, self._port, timeout=left)
            self._sign_in(smtp, deadline)
        except (OSError, smtplib.SMTPException, ValueError) as error:
            if smtp is not None:
                smtp.close()
            raise self._unconnected(error) from error
        return smtp

    def _sign_in(self, smtp: smtplib.SMTP, deadline: float) -> None:
        if self._settings.tls == "starttls":
            limit(smtp, deadline)
            smtp.starttls(context=self._context)
        limit(smtp, deadline)
        smtp.ehlo_or_helo_if_needed()
        if self._settings.user and self._settings.password:
            smtp.login(self._settings.user, self._settings.password.get_secret_value())

    def _unconnected(self, error: Exception) -> StepError:
        match error:
            case smtplib.SMTPNotSupportedError():
                return StepError(f"{self.where}: {self.words(error)}", "smtp")
            case smtplib.SMTPAuthenticationError():
                said = f"{error.smtp_code} {self.words(error.smtp_error)}"
                return StepError(f"{self.where} does not let {self._settings.user} in: {said}", "smtp", error.smtp_code)
            case smtplib.SMTPResponseException():
                said = f"{error.smtp_code} {self.words(error.smtp_error)}"
                return StepError(f"{self.where} takes no mail: {said}", "smtp", error.smtp_code)
        kind, why = self.broken(error)
        return StepError(f"{self.where} could not connect: {why}", "timeout" if kind == "timeout" else "connect")

    def broken(self, error: Exception) -> tuple[str, str]:
        """Return kind and words of an error that is not the server's answer."""
        # smtplib tells a time-out as a lost connection.
        if isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError):
            return "timeout", "no answer in time"
        return "network", self.words(getattr(error, "strerror", None) or error)


def limit(smtp: smtplib.SMTP, deadline: float) -> None:
    """Let the next answer take no longer than what is left; raises TimeoutError where nothing is."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    if smtp.sock is not None:
        smtp.sock.settimeout(left)


def send(inputs: Message, call: Call) -> dict[str, JsonValue]:
    """Send the message and return its Message-ID, which is made of the idempotency key: a repeat has the same.

    Raises StepError where the server takes it for one recipient or more not, so that none gets it, and AnswerLost where
    nobody knows whether it was taken.
    """
    server: Server = call.connection
    sender = _address("from", inputs.from_ or server.sender or "")
    to, cc, bcc = (_addresses(name, getattr(inputs, name)) for name in ("to", "cc", "bcc"))
    message = _message(inputs, sender, to, cc, call.idempotency_key())
    content = _bytes(message, inputs)
    deadline = time.monotonic() + (call.timeout or TIMEOUT)
    with server.session(deadline) as smtp:
        _enveloped(server, smtp, sender, [*to, *cc, *bcc], deadline)
        _handed_over(server, smtp, content, deadline)
    return {"id": str(message["Message-ID"])}


def one_address(text: str) -> Address:
    """Return the one address that a text is, `ann@example.com` or `Ann <ann@example.com>`; raises ValueError.

    A domain that is not ASCII is given in its IDNA form (RFC 3490); a name before the @ that is not is refused.
    """
    wrong = ValueError(f"{text!r} is not one address: write ann@example.com or Ann <ann@example.com>")
    if CONTROL.search(text):
        raise wrong
    try:
        header = POLICY.header_factory("To", text)
        found = [address for group in header.groups if group.display_name is None for address in group.addresses]
        one = Address(found[0].display_name, found[0].username, found[0].domain.encode("idna").decode("ascii"))
    except Exception:
        # The library's parser trips over some texts, each in its own way.
        raise wrong from None
    # Obsolete is what people write all the same: `Acme Inc. <info@example.com>`.
    flaws = [flaw for flaw in header.defects if not isinstance(flaw, ObsoleteHeaderDefect)]
    if flaws or len(found) != 1 or len(header.groups) != 1 or not one.username or not one.domain:
        raise wrong
    return one


def _address(name: str, text: str) -> Address:
    if not text:
        raise StepError(f"{name} is empty: say in the step, or in the connection, who sends it", "input")
    try:
        return one_address(text)
    except ValueError as error:
        raise StepError(f"{name}: {error}", "input") from None


def _addresses(name: str, value: Addresses) -> list[Address]:
    """Return each text as one address: a text from outside that holds two adds no recipient, it is an error."""
    return [_address(name, text) for text in ([value] if isinstance(value, str) else value)]


def _message(
    inputs: Message, sender: Address, to: list[Address], cc: list[Address], idempotency_key: str
) -> EmailMessage:
    message = EmailMessage(policy=POLICY)
    headers: dict[str, Any] = {
        "From": sender,
        "To": to,
        "Cc": cc,
        "Reply-To": _addresses("reply_to", inputs.reply_to),
        "Subject": inputs.subject,
        "Date": format_datetime(dt.datetime.now(dt.UTC)),
        "Message-ID": f"<{idempotency_key}@{sender.domain}>",
        # RFC 3834: what answers by itself, such as an out-of-office note, does not answer this.
        "Auto-Submitted": "auto-generated",
    }
    for name, value in headers.items():
        if value:
            _set(message, name, value)
    return message


def _bytes(message: EmailMessage, inputs: Message) -> bytes:
    try:
        message.set_content(inputs.text)
        if inputs.html is not None:
            message.add_alternative(inputs.html, subtype="html")
        return message.as_bytes()
    except UnicodeError:
        raise StepError(f"the message: {HALF}", "input") from None


def _set(message: EmailMessage, name: str, value: Any) -> None:
    try:
        if isinstance(value, str) and CONTROL.search(value):
            raise ValueError
        message[name] = value
    except UnicodeError:
        raise StepError(f"{name.lower()}: {HALF}", "input") from None
    except ValueError:
        raise StepError(f"{name.lower()}: it holds a line break or another control character", "input") from None


def _enveloped(
    server: Server, smtp: smtplib.SMTP, sender: Address, recipients: list[Address], deadline: float
) -> None:
    """Tell the server who sends and who gets the message; raises StepError unless all are taken."""
    refused: list[tuple[int, str]] = []
    try:
        limit(smtp, deadline)
        answer = smtp.mail(sender.addr_spec)
        if answer[0] != 250:
            refused.append((answer[0], f"the sender {sender.addr_spec}: {_said(server, answer)}"))
        for one in dict.fromkeys(recipient.addr_spec for recipient in recipients if not refused):
            limit(smtp, deadline)
            answer = smtp.rcpt(one)
            if answer[0] not in (250, 251):
                refused.append((answer[0], f"{one}: {_said(server, answer)}"))
    except (OSError, smtplib.SMTPException) as error:
        kind, why = server.broken(error)
        raise StepError(f"{server.where}: {why}; nothing was sent", kind) from error
    if refused:
        told = "; ".join(text for _, text in refused)
        raise StepError(f"{server.where} refuses, so nothing was sent: {told}", "smtp", refused[0][0])


def _handed_over(server: Server, smtp: smtplib.SMTP, content: bytes, deadline: float) -> None:
    try:
        limit(smtp, deadline)
    except TimeoutError as error:
        raise StepError(f"{server.where}: {server.broken(error)[1]}; nothing was sent", "timeout") from error
    answer: tuple[int, bytes | str]
    try:
        answer = smtp.data(content)
    except smtplib.SMTPDataError as error:
        answer = error.smtp_code, error.smtp_error
    except (OSError, smtplib.SMTPException) as error:
        kind, why = server.broken(error)
        lost = "timeout" if kind == "timeout" else "answer_lost"
        raise AnswerLost(f"{server.where}: {why}; it may have taken the message", lost) from error
    if answer[0] != 250:
        raise StepError(f"{server.where} refuses the message: {_said(server, answer)}", "smtp", answer[0])


def _said(server: Server, answer: tuple[int, bytes | str]) -> str:
    return f"{answer[0]} {server.words(answer[1])}"


def _open(settings: Settings, workspace: Path) -> Server:
    return Server(settings)


CONNECTOR = Connector(
    name="email",
    actions=(
        Action(
            name="email.send",
            summary="Send an e-mail.",
            inputs=Message,
            effect=Effect.WRITES,
            run=send,
            output={"id": "its Message-ID"},
            example={"id": "<20260101120000.1@example.com>"},
            connection="smtp",
            text_inputs=frozenset({"to", "subject", "text", "html", "from", "cc", "bcc", "reply_to"}),
        ),
    ),
    connections=(
        Connection(
            type="smtp",
            summary="A mail server that takes messages by SMTP.",
            settings=Settings,
            open=_open,
        ),
    ),
)
