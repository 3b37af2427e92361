"""The policy: lifetimes, thresholds and limits.

It is read from a TOML file; organizations may override part of it.  Durations are in seconds
(`access_token_ttl = 900`).
"""

import functools
import tomllib
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field, structs

from service.kernel.jose import ALGORITHMS, Algorithm
from service.kernel.passwords import HashParameters

LONGEST_TOKEN: Final = 3600
"""The longest lifetime of an access token that any policy allows, in seconds."""

CATCHING_UP: Final = 900
"""The seconds in which a worker that was cut off still signs by a key that it should not."""


class PolicyError(Exception):
    """The policy file cannot be read or holds a value out of bounds.  One line says where."""


def _between(least: int, most: int) -> Meta:
    return Meta(ge=least, le=most)


Scope: TypeAlias = Annotated[str, Meta(max_length=100, pattern=r"^(?!manage:)[!#-)+-\[\]-~]+\Z")]
"""The name of a scope (RFC 6749 section 3.3).  No space, which separates scopes, and no `*`, which
looks like a wildcard.  Names that begin with `manage:` are the service's own."""


class Tokens(Struct, frozen=True, forbid_unknown_fields=True):
    """Lifetimes in seconds, audience and algorithms of tokens."""

    access_token_ttl: Annotated[int, _between(60, LONGEST_TOKEN)] = 900
    """How long an access token lives."""
    session_absolute_ttl: Annotated[int, _between(300, 31_536_000)] = 30 * 86_400
    """How long a session lives, however much it is used."""
    session_idle_ttl: Annotated[int, _between(60, 31_536_000)] = 7 * 86_400
    """How long a session lives without being renewed."""
    exchanged_token_ttl: Annotated[int, _between(300, 900)] = 600
    """How long a token lives that an API key was exchanged for."""
    refresh_grace: Annotated[int, _between(0, 30)] = 10
    """How long a superseded refresh token still gets the current one.  At 0 a second use is a
    replay, and `lost_answer_grace` has no effect."""
    lost_answer_grace: Annotated[int, _between(0, 600)] = 60
    """How long the previous refresh token still gets the current one after a lost answer.  Only if
    nobody has used the current one, and the request comes from where the session was last seen."""
    audience: Annotated[str, Meta(max_length=200)] = ""
    """The `aud` of access tokens; empty means the issuer."""
    algorithm: Algorithm = "ES256"
    """What signs access tokens.  After a change and a restart, a key of the new algorithm is
    published; the old algorithm signs until that key is active (`keys.publish_ahead`)."""
    id_token_algorithms: Annotated[tuple[Algorithm, ...], Meta(max_length=len(ALGORITHMS))] = ()
    """What may sign ID tokens.  Each algorithm gets its own signing keys as soon as it is named."""
    record_every_rotation: bool = False
    """Whether each routine refresh leaves an audit event."""


_Overrides: Any = msgspec.defstruct(
    "_Overrides",
    [
        (one.name, one.type | UnsetType, UNSET)
        for one in structs.fields(Tokens)
        if isinstance(one.default, int)
    ],
    frozen=True,
    forbid_unknown_fields=True,
)
"""The numbers and switches of `Tokens`, each with its bounds and none of them required."""


class TokenOverrides(_Overrides):  # type: ignore[misc]
    """Lifetimes (seconds) and switches that an organization sets for itself."""


class Audit(Struct, frozen=True, forbid_unknown_fields=True):
    """How long the audit trail is kept (whole months), and how often its chains are signed."""

    retention_months: Annotated[int, _between(3, 1200)] = 24
    """How many months of events are kept."""
    checkpoint_seconds: Annotated[int, _between(1, 86_400)] = 300
    """The end of a chain is signed this long after the last time, if there are new events."""
    checkpoint_events: Annotated[int, _between(1, 1_000_000)] = 1000
    """The end of a chain is signed after this many events, if that is sooner."""


class Lockout(Struct, frozen=True, forbid_unknown_fields=True):
    """How many failures within a window lock an account, and for how long (seconds)."""

    failures: Annotated[int, _between(1, 100)] = 5
    """This many failures lock the account."""
    window: Annotated[int, _between(60, 86_400)] = 900
    """Failures older than this do not count."""
    duration: Annotated[int, _between(60, 86_400)] = 900
    """How long the account is locked."""
    devices: Annotated[int, _between(1, 100)] = 10
    """How many known devices each account has; the oldest is forgotten."""
    device_ttl: Annotated[int, _between(86_400, 31_536_000)] = 180 * 86_400
    """How long a device is known after it last signed in."""


class Passwords(Struct, frozen=True, forbid_unknown_fields=True):
    """Passwords that are refused, in addition to those that the service always refuses."""

    known_file: Annotated[str, Meta(max_length=4096, pattern=r"^(/.*)?\Z")] = ""
    """The absolute path of a list of your own: UTF-8, one password a line, at most 1,000,000 lines.
    Read when the service starts.  Capital and small letters count as the same."""


class Limit(Struct, frozen=True, forbid_unknown_fields=True):
    """At most `count` in any `window` seconds."""

    count: Annotated[int, _between(1, 1_000_000)]
    window: Annotated[int, _between(1, 86_400)]


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """Rate limits.  Each has its own counter."""

    login: Limit = Limit(5, 900)
    """Sign-ins, for each address."""
    me: Limit = Limit(60, 60)
    """`/auth/me`, for each session."""
    create: Limit = Limit(30, 60)
    """Creations, for each person or machine.  Changes of a password, switches of the organization
    (both for each person) and accepted invitations (for each address) have the same numbers and
    counters of their own."""
    refresh: Limit = Limit(120, 60)
    """Renewals, for each session."""
    unlock: Limit = Limit(5, 3600)
    """Lockouts that administrators lift, for each account."""
    client_failures: Limit = Limit(300, 60)
    """Failed authentications of OAuth clients, for each address."""
    key_failures: Limit = Limit(300, 60)
    """API keys that are not good, for the address that presents them as its own."""


class Links(Struct, frozen=True, forbid_unknown_fields=True):
    """URLs of the console's pages that mails link to.  The secret is added after a `#`."""

    invitation: Annotated[str, Meta(max_length=500)] = ""
    """The page that accepts invitations."""
    mail_from: Annotated[str, Meta(max_length=320)] = "auth@localhost"
    """The sender: `auth@acme.example` or `Tesserra <auth@acme.example>`."""


class Keys(Struct, frozen=True, forbid_unknown_fields=True):
    """When signing keys change, in seconds."""

    publish_ahead: Annotated[int, _between(900, 7 * 86_400)] = 3600
    """How long a key is published before it signs: verifiers cache the JWKS up to ten minutes."""
    rotate_every: Annotated[int, _between(3600, 10 * 31_536_000)] = 90 * 86_400
    """How long a key signs before its successor is made."""
    retired_for: Annotated[int, _between(LONGEST_TOKEN + CATCHING_UP, 31_536_000)] = (
        LONGEST_TOKEN + CATCHING_UP
    )
    """How long a key stays published after it last signed: the longest token life + 15 minutes."""


class Security(Struct, frozen=True, forbid_unknown_fields=True):
    """How to report a vulnerability (RFC 9116).  Without a contact, nothing is published."""

    contact: Annotated[str, Meta(max_length=300, pattern=r"^((mailto:|https://|tel:)\S+)?\Z")] = ""
    """An address: `mailto:`, `https://` or `tel:`."""
    expires: datetime | None = None
    """After this time nothing is published.  A TOML date and time."""
    languages: Annotated[str, Meta(max_length=100, pattern=r"^[A-Za-z, -]*\Z")] = "en"
    """Languages that reports may be in."""


class Policy(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole policy.  An organization may override fields of `tokens` (`TokenOverrides`)."""

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
    """Scopes that API keys and people may have, beside the service's own."""
    role_scopes: dict[str, tuple[Scope, ...]] = field(
        default_factory=lambda: dict.fromkeys(
            ("owner", "admin", "member"), ("agentes", "proxy-ollama")
        )
    )
    """The scopes of a person, by their role.  A role that is not named has none."""

    def tokens_for(self, overrides: str | None) -> Tokens:
        """Return the `tokens` of one organization, whose `TokenOverrides` are given as JSON."""
        return _overridden(self.tokens, overrides) if overrides else self.tokens


@functools.lru_cache(maxsize=1024)
def _overridden(tokens: Tokens, overrides: str) -> Tokens:
    given = msgspec.json.decode(overrides, type=dict[str, object])
    return msgspec.convert({**msgspec.to_builtins(tokens), **given}, Tokens)


def seconds(count: int) -> timedelta:
    """Return a number of seconds as a timedelta."""
    return timedelta(seconds=count)


def load(path: Path | None) -> Policy:
    """Read the policy file; without one, return the defaults.  PolicyError."""
    if path is None:
        return Policy()
    try:
        return msgspec.convert(tomllib.loads(path.read_text()), Policy)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as exc:
        raise PolicyError(str(exc)) from None
