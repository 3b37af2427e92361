"""What a client is."""

import hmac
import secrets
from datetime import datetime
from enum import StrEnum
from typing import Literal, TypeAlias

from msgspec import Struct

from service.kernel.ids import TenantId
from service.kernel.mac import hmac_sha256

CONSOLE = "console"
"""The client that people sign in by here: a row that is always there, and stays as it is."""

Profile: TypeAlias = Literal["fapi2"]
IdTokenAlgorithm: TypeAlias = Literal["RS256", "ES256", "EdDSA"]

_SECRET_BYTES = 32


class AuthMethod(StrEnum):
    """How a client authenticates (RFC 7591 section 2).

    A secret is accepted by HTTP Basic and in the form, whichever of the two is registered: it is
    the same credential, and clients disagree about the default.  A client with keys has no secret.
    """

    NONE = "none"
    SECRET_BASIC = "client_secret_basic"  # noqa: S105 - the method's name
    SECRET_POST = "client_secret_post"  # noqa: S105 - the method's name
    PRIVATE_KEY_JWT = "private_key_jwt"


class GrantType(StrEnum):
    """The grant types that a client may be registered for.

    Token exchange is not among them: an API key can be exchanged without a client.
    """

    AUTHORIZATION_CODE = "authorization_code"
    REFRESH_TOKEN = "refresh_token"  # noqa: S105 - the grant's name
    CLIENT_CREDENTIALS = "client_credentials"


class Client(Struct, frozen=True, kw_only=True):
    """An application or a service.

    `tenant_id` is None for a client of the platform, which reaches every organization.  The tokens
    that people get from a `first_party` client open the management API.  Only a confidential client
    may have `require_pkce` false.

    The authorization code flow will read these, and nothing does yet: `redirect_uris`,
    `post_logout_redirect_uris`, `origins`, `require_pkce`, `profile`,
    `id_token_signed_response_alg`, `backchannel_logout_uri`, and what people are shown:
    `publisher`, `logo_uri`, `policy_uri`, `tos_uri`.
    """

    client_id: str
    tenant_id: TenantId | None
    name: str
    scopes: tuple[str, ...]
    secret_mac: bytes | None
    jwks: str | None
    created_at: datetime
    disabled_at: datetime | None
    previous_mac: bytes | None = None
    previous_until: datetime | None = None
    token_endpoint_auth_method: AuthMethod
    grant_types: tuple[GrantType, ...]
    redirect_uris: tuple[str, ...] = ()
    post_logout_redirect_uris: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    first_party: bool = False
    require_pkce: bool = True
    profile: Profile | None = None
    id_token_signed_response_alg: IdTokenAlgorithm = "RS256"  # noqa: S105 - an algorithm
    backchannel_logout_uri: str | None = None
    publisher: str | None = None
    logo_uri: str | None = None
    policy_uri: str | None = None
    tos_uri: str | None = None

    @property
    def public(self) -> bool:
        """Whether it is a public client: it has no credentials and only names its id."""
        return self.token_endpoint_auth_method is AuthMethod.NONE

    @property
    def has_own_secret(self) -> bool:
        """Whether it authenticates by a secret."""
        return self.token_endpoint_auth_method in (AuthMethod.SECRET_BASIC, AuthMethod.SECRET_POST)

    def has_secret(self, key: bytes, secret: str, at: datetime) -> bool:
        """Whether this is its secret or, during the overlap, its old one.  Constant time."""
        mac = secret_mac(key, secret)
        current = hmac.compare_digest(mac, self.secret_mac or bytes(32))
        previous = hmac.compare_digest(mac, self.previous_mac or bytes(32))
        return current or (
            previous and self.previous_until is not None and at < self.previous_until
        )


def new_secret() -> str:
    """Make a client secret: 256 random bits behind a prefix that scanners find."""
    return f"tscs_{secrets.token_urlsafe(_SECRET_BYTES)}"


def secret_mac(key: bytes, secret: str) -> bytes:
    """Return the MAC that is stored for a secret.  256 random bits need no slow hash."""
    return hmac_sha256(key, secret.encode())
