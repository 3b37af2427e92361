"""The parameters of OAuth forms, for openapi/.

They are read by name: what stands there besides is ignored, and what is empty counts as left out
(RFC 6749 section 3.2).  A test holds these names against those that the wires ask for.
"""

from typing import Annotated, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from service.flows.oauth.authenticate_client import ASSERTION_TYPE
from service.flows.oauth.exchange_api_key import ACCESS_TOKEN, API_KEY, JWT
from service.flows.oauth.exchange_api_key import GRANT as EXCHANGE
from service.http.field_types import CLEAN, IpAddress
from service.http.oauth.form import LONGEST_VALUE

Value: TypeAlias = Annotated[str, Meta(min_length=1, max_length=LONGEST_VALUE, pattern=CLEAN)]
Given: TypeAlias = Value | UnsetType
Scope: TypeAlias = Annotated[
    Given, Meta(description="Some of the scopes held, with spaces between; all when left out.")
]


def _one_of(*values: str) -> Meta:
    return Meta(extra_json_schema={"enum": list(values)})


class _Client(Struct, frozen=True, kw_only=True):
    client_id: Annotated[
        Given,
        Meta(description="A public client, such as `console`, has nothing else to show."),
    ] = UNSET
    client_secret: Annotated[
        Given, Meta(description="`client_secret_post`; HTTP Basic, or an assertion, instead.")
    ] = UNSET
    client_assertion_type: Annotated[str, _one_of(ASSERTION_TYPE)] | UnsetType = UNSET
    client_assertion: Annotated[
        Given,
        Meta(description="`private_key_jwt`: a JWT the client signed (RFC 7523 section 2.2)."),
    ] = UNSET


class ClientCredentialsRequest(
    _Client, frozen=True, kw_only=True, tag_field="grant_type", tag="client_credentials"
):
    """A request for a token for the client itself (RFC 6749 section 4.4)."""

    scope: Scope = UNSET


class RefreshRequest(
    _Client, frozen=True, kw_only=True, tag_field="grant_type", tag="refresh_token"
):
    """A refresh, by the client to which the refresh token was issued (RFC 6749 section 6)."""

    refresh_token: Value
    scope: Scope = UNSET


class ExchangeRequest(_Client, frozen=True, kw_only=True, tag_field="grant_type", tag=EXCHANGE):
    """A short token for an API key, which is the credential (RFC 8693 section 2.1).

    No client is needed, and nobody acts for a key: there is no `actor_token`.
    """

    subject_token: Annotated[Value, Meta(description="The API key.")]
    subject_token_type: Annotated[str, _one_of(API_KEY, ACCESS_TOKEN)]
    requested_token_type: Annotated[str, _one_of(ACCESS_TOKEN, JWT)] | UnsetType = UNSET
    audience: Annotated[
        Given, Meta(description="None but the one our tokens have: the issuer.")
    ] = UNSET
    resource: Annotated[Given, Meta(description="As `audience`.")] = UNSET
    scope: Scope = UNSET


TokenRequest: TypeAlias = ClientCredentialsRequest | RefreshRequest | ExchangeRequest


class IntrospectionRequest(_Client, frozen=True, kw_only=True):
    """RFC 7662 section 2.1."""

    token: Annotated[Value, Meta(description="An access token, or an API key.")]
    token_type_hint: Annotated[Given, Meta(description="Not needed, and ignored.")] = UNSET
    address: Annotated[
        IpAddress | UnsetType,
        Meta(description="Where an API key was presented from; ours, beyond RFC 7662."),
    ] = UNSET


class RevocationRequest(_Client, frozen=True, kw_only=True):
    """RFC 7009 section 2.1."""

    token: Annotated[Value, Meta(description="An access or a refresh token of this client.")]
    token_type_hint: Annotated[Given, Meta(description="Not needed, and not heeded.")] = UNSET
