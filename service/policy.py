"""Policy: lifetimes, thresholds and limits.  From a TOML file, with overrides per organization.

Durations in the file are seconds (`access_token_ttl = 900`).
"""

import functools
import tomllib
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta, Struct, field

from service.kernel.jose import Algorithm
from service.kernel.passwords import HashParameters


class PolicyError(Exception):
    """The policy file cannot be read or holds a value out of bounds.  One line says where."""


def _between(least: int, most: int) -> Meta:
    return Meta(ge=least, le=most)


SERVICE_SCOPES = ("revocations:read", "api-keys:verify", "secrets:sealed")
"""Scopes of the service itself, for clients."""

KEY_SCOPES = ("revocations:read", "api-keys:verify")
"""Those of them that an API key may hold; only a platform administrator grants them."""


Scope: TypeAlias = Annotated[str, Meta(max_length=100, pattern=r"^[!#-)+-\[\]-~]+\Z")]
"""A scope's name (RFC 6749 section 3.3): without a space, which would make two of it, and without a
`*`, which would seem to mean more than itself."""


class Tokens(Struct, frozen=True, forbid_unknown_fields=True):
    """Lifetimes, in seconds."""

    access_token_ttl: Annotated[int, _between(60, 3600)] = 900
    session_absolute_ttl: Annotated[int, _between(300, 31_536_000)] = 30 * 86_400
    session_idle_ttl: Annotated[int, _between(60, 31_536_000)] = 7 * 86_400
    exchanged_token_ttl: Annotated[int, _between(300, 900)] = 600
    """Of a token that an API key was exchanged for."""
    refresh_grace: Annotated[int, _between(0, 30)] = 10
    """So long a superseded refresh token is answered with the current one again.  At 0 a second use
    is a replay, and `lost_answer_grace` counts for nothing."""
    lost_answer_grace: Annotated[int, _between(0, 600)] = 60
    """So long the one before the current one is, from where the session was last seen, when nobody
    has used the current one: its answer may have been lost."""
    audience: Annotated[str, Meta(max_length=200)] = ""
    """The `aud` of access tokens; empty means the issuer."""
    algorithm: Algorithm = "ES256"
    record_every_rotation: bool = False


class Audit(Struct, frozen=True, forbid_unknown_fields=True):
    """How long the audit trail is kept (whole months), and how often its chains are signed."""

    retention_months: Annotated[int, _between(3, 1200)] = 24
    checkpoint_seconds: Annotated[int, _between(1, 86_400)] = 300
    checkpoint_events: Annotated[int, _between(1, 1_000_000)] = 1000


class Lockout(Struct, frozen=True, forbid_unknown_fields=True):
    """How many failures lock an account, in what window, for how long (seconds)."""

    failures: Annotated[int, _between(1, 100)] = 5
    window: Annotated[int, _between(60, 86_400)] = 900
    duration: Annotated[int, _between(60, 86_400)] = 900
    devices: Annotated[int, _between(1, 100)] = 10
    device_ttl: Annotated[int, _between(86_400, 31_536_000)] = 180 * 86_400


class Passwords(Struct, frozen=True, forbid_unknown_fields=True):
    """What a new password may not be, beside what the service refuses by itself."""

    known_file: Annotated[str, Meta(max_length=4096, pattern=r"^(/.*)?\Z")] = ""
    """A list of the operator's own, by its absolute path: UTF-8, one password a line, at most
    1,000,000 lines.  Read when the service starts; letters in both cases are one."""


class Limit(Struct, frozen=True, forbid_unknown_fields=True):
    """At most `count` in any `window` seconds."""

    count: Annotated[int, _between(1, 1_000_000)]
    window: Annotated[int, _between(1, 86_400)]


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """Budgets.  One bucket each; never two routes on one counter."""

    login: Limit = Limit(5, 900)
    me: Limit = Limit(60, 60)
    create: Limit = Limit(30, 60)
    refresh: Limit = Limit(120, 60)
    unlock: Limit = Limit(5, 3600)
    """Lockouts that administrators lift, by account."""
    client_failures: Limit = Limit(300, 60)
    """OAuth clients that do not identify themselves, by address."""
    key_failures: Limit = Limit(300, 60)
    """API keys that are not good, by the address of whoever presents them as their own."""


class Links(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the console's pages are that mails lead to; the secret follows behind a `#`."""

    invitation: Annotated[str, Meta(max_length=500)] = ""
    mail_from: Annotated[str, Meta(max_length=320)] = "auth@localhost"


class Keys(Struct, frozen=True, forbid_unknown_fields=True):
    """When signing keys change, in seconds."""

    publish_ahead: Annotated[int, _between(900, 7 * 86_400)] = 3600
    """How long a key is published before it signs; verifiers keep a JWKS for up to ten minutes."""
    rotate_every: Annotated[int, _between(3600, 10 * 31_536_000)] = 90 * 86_400
    retired_for: Annotated[int, _between(3600 + 900, 31_536_000)] = 3600 + 900
    """How long a key is published after it signed: the longest token's life and 15 minutes."""


class Security(Struct, frozen=True, forbid_unknown_fields=True):
    """How to report a vulnerability (RFC 9116); without a contact nothing is published."""

    contact: Annotated[str, Meta(max_length=300, pattern=r"^((mailto:|https://|tel:)\S+)?\Z")] = ""
    expires: datetime | None = None
    languages: Annotated[str, Meta(max_length=100, pattern=r"^[A-Za-z, -]*\Z")] = "en"


class Policy(Struct, frozen=True, forbid_unknown_fields=True):
    """All of it.  `tokens` may be overridden per organization; the rest is the deployment's."""

    tokens: Tokens = Tokens()
    lockout: Lockout = Lockout()
    audit: Audit = Audit()
    limits: Limits = Limits()
    keys: Keys = Keys()
    hashing: HashParameters = HashParameters()
    passwords: Passwords = Passwords()
    links: Links = Links()
    security: Security = Security()
    scopes: tuple[Scope, ...] = ("agentes", "proxy-ollama")
    """Scopes that API keys and people may hold, beside the service's own."""
    role_scopes: dict[str, tuple[Scope, ...]] = field(
        default_factory=lambda: dict.fromkeys(
            ("owner", "admin", "member"), ("agentes", "proxy-ollama")
        )
    )
    """What a person may do by their role; a role that is not here holds no scope."""

    def tokens_for(self, overrides: str | None) -> Tokens:
        """Return the lifetimes of one organization, whose overrides are a JSON object."""
        return _overridden(self.tokens, overrides) if overrides else self.tokens


@functools.lru_cache(maxsize=1024)
def _overridden(tokens: Tokens, overrides: str) -> Tokens:
    given = msgspec.json.decode(overrides, type=dict[str, object])
    return msgspec.convert({**msgspec.to_builtins(tokens), **given}, Tokens)


def seconds(count: int) -> timedelta:
    """Turn a policy's seconds into a duration."""
    return timedelta(seconds=count)


def load(path: Path | None) -> Policy:
    """Read the policy file; the defaults when there is none."""
    if path is None:
        return Policy()
    try:
        return msgspec.convert(tomllib.loads(path.read_text()), Policy)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as exc:
        raise PolicyError(str(exc)) from None
