"""Signs in to Salesforce: an access token by client credentials or by a signed assertion, kept until it is refused."""

from __future__ import annotations

import ipaddress
import re
import threading
import time
from typing import TYPE_CHECKING, Annotated, Self
from urllib.parse import urlencode, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from core.connectors import servers
from core.errors import AnswerLost, StepError
from data.job_records import JsonValue

if TYPE_CHECKING:
    from core.connectors.wire import Answer, Client, Patience

TOKEN_PATH = "/services/oauth2/token"
LOGIN = "https://login.salesforce.com"  # whom assertions are for; sandboxes have https://test.salesforce.com
ASSERTION_LIFE = 180  # seconds
FIRST_VERSION = 46  # since when an upsert answers with the record's id


def _origin(url: str) -> str:
    parts = urlsplit(url)
    if not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment or parts.username:
        raise ValueError("it must be https:// and a host, nothing behind it")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(parts.hostname)):
        raise ValueError("it must be https://: credentials go there")
    return url.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _version(text: str) -> str:
    found = re.fullmatch(r"v?([0-9]{2,3})\.0", text)
    if not found or int(found[1]) < FIRST_VERSION:
        raise ValueError(f"it must be a version of the API from v{FIRST_VERSION}.0 on, like v64.0")
    return f"v{found[1]}.0"


Origin = Annotated[str, AfterValidator(_origin)]


class Settings(BaseModel):
    """A connection of type `salesforce`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    instance_url: Origin = Field(description="the org's My Domain, `https://example.my.salesforce.com`")
    client_id: str = Field(min_length=1, description="the consumer key of the app that the org knows it by")
    client_secret: SecretStr | None = Field(default=None, min_length=1, description="its secret: client credentials")
    username: str | None = Field(default=None, min_length=1, description="the user to act as: JWT bearer, with the key")
    private_key: SecretStr | None = Field(
        default=None, min_length=1, description="the key (PEM, RSA) whose certificate the app has: JWT bearer"
    )
    login_url: Origin | None = Field(
        default=None, description="where to sign in; by default instance_url, for JWT https://login.salesforce.com"
    )
    api_version: Annotated[str, AfterValidator(_version)] = Field(default="v64.0", description="the API's version")

    @model_validator(mode="after")
    def _check_flow(self) -> Self:
        if (self.username is None) != (self.private_key is None):
            raise ValueError("JWT wants both `username` and `private_key`")
        if (self.client_secret is None) == (self.private_key is None):
            raise ValueError("give either `client_secret` or `username` and `private_key`")
        return self

    @property
    def login(self) -> str:
        """Where the token is asked for, and whom an assertion is for."""
        return self.login_url or (LOGIN if self.private_key else self.instance_url)


class Signing:
    """The access token of one connection, shared by its threads; asked for when it is first needed."""

    def __init__(self, settings: Settings) -> None:
        from core.connectors.wire import Client

        self._settings = settings
        self._client: Client = Client(settings.login)
        self._lock = threading.Lock()
        self._token: str | None = None

    def close(self) -> None:
        """Close the open connections."""
        self._client.close()

    def token(self, patience: Patience, refused: str | None = None) -> str:
        """Return the token, a new one where `refused` is the one that is kept.

        Raises StepError of kind `sign_in` where Salesforce refuses, and what wire.Client.send raises.
        """
        with self._lock:
            if self._token is None or self._token == refused:
                self._token = None
                self._token = self._asked(patience)
            return self._token

    def masked(self, text: str) -> str:
        """Return text without the credentials."""
        secrets = [self._token, *(one.get_secret_value() for one in (self._settings.client_secret,) if one)]
        for secret in secrets:
            text = text.replace(secret, "***") if secret else text
        return text

    def _asked(self, patience: Patience) -> str:
        from core.connectors import wire

        request = wire.Request(
            "POST",
            TOKEN_PATH,
            reads=False,  # a reading one would follow redirects, with the credentials in its body
            headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
            content=urlencode(self._grant()).encode(),
        )
        try:
            answer = self._client.send(request, patience)
        except AnswerLost as lost:
            # A token that nobody received has done nothing.
            kind = "timeout" if lost.kind == "timeout" else "network"
            raise StepError(f"signing in: {self._settings.login} gave no whole answer", kind) from lost
        body = _mapping(answer)
        token = body.get("access_token")
        if answer.status == 200 and isinstance(token, str) and token:
            return token
        words = ": ".join(str(body[name]) for name in ("error", "error_description") if body.get(name))
        said = servers.cut(self.masked(words))
        where = f"{answer.where} answered {servers.status(answer)}"
        raise StepError(f"signing in: {where}" + (f": {said}" if said else ""), "sign_in", answer.status)

    def _grant(self) -> dict[str, str]:
        if self._settings.client_secret is not None:
            return {
                "grant_type": "client_credentials",
                "client_id": self._settings.client_id,
                "client_secret": self._settings.client_secret.get_secret_value(),
            }
        return {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": self._assertion()}

    def _assertion(self) -> str:
        """Return who asks, for whom and where, signed (RFC 7523, section 3)."""
        import jwt

        assert self._settings.private_key is not None
        claims = {
            "iss": self._settings.client_id,
            "sub": self._settings.username,
            "aud": self._settings.login,
            "exp": int(time.time()) + ASSERTION_LIFE,
        }
        try:
            return jwt.encode(claims, self._settings.private_key.get_secret_value(), algorithm="RS256")
        except (jwt.PyJWTError, ValueError, TypeError):
            # Its text may quote the key.
            raise StepError(
                "signing in: private_key is to be an RSA key in PEM, without a passphrase", "sign_in"
            ) from None


def _mapping(answer: Answer) -> dict[str, JsonValue]:
    try:
        body = servers.parsed(answer)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
