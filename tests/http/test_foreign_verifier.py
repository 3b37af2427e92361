"""A library we did not write verifies our tokens with nothing but the published keys."""

import httpx2
import jwt
import pytest

from service.runtime import Runtime
from service.settings import Settings
from tests import given
from tests.http import asking
from tests.world import ISSUER


async def published(client: httpx2.AsyncClient) -> jwt.PyJWKSet:
    """Find the keys as a foreign client does: by the metadata."""
    path = "/.well-known/oauth-authorization-server"
    metadata = (await client.get(path)).json()
    assert metadata["issuer"] == ISSUER
    jwks = await client.get(metadata["jwks_uri"])
    assert jwks.headers["content-type"] == "application/json"
    assert not [key for key in jwks.json()["keys"] if {"d", "p", "q", "k"} & set(key)]
    return jwt.PyJWKSet.from_dict(jwks.json())


async def test_pyjwt_verifies_an_access_token(
    rt: Runtime, settings: Settings, client: httpx2.AsyncClient
) -> None:
    ada = await given.a_person(rt)
    answer = await asking.sign_in(client, ada)
    token = answer.json()["access_token"]
    header = jwt.get_unverified_header(token)
    assert (header["alg"], header["typ"]) == ("ES256", "at+jwt")
    key = (await published(client))[header["kid"]]
    claims = jwt.decode(
        token,
        key,
        algorithms=["ES256"],
        issuer=ISSUER,
        audience=ISSUER,
        options={"require": ["iss", "sub", "aud", "exp", "iat", "jti", "client_id"]},
    )
    assert (claims["sub"], claims["sid"]) == (str(ada.user_id), answer.json()["session_id"])
    assert claims["tenant_id"] == str(ada.tenant_id)
    assert set(claims) == {
        *("iss", "sub", "aud", "exp", "iat", "jti", "client_id", "sid", "tenant_id"),
        *("scope", "roles", "auth_time", "amr"),
    }


async def test_pyjwt_refuses_it_for_another_audience_and_when_it_was_touched(
    rt: Runtime, client: httpx2.AsyncClient
) -> None:
    token = (await asking.sign_in(client, await given.a_person(rt))).json()["access_token"]
    key = (await published(client))[jwt.get_unverified_header(token)["kid"]]
    with pytest.raises(jwt.InvalidAudienceError):
        jwt.decode(token, key, algorithms=["ES256"], audience="https://other.test")
    head, payload, signature = token.split(".")
    touched = ("A" if signature[0] != "A" else "B") + signature[1:]
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(f"{head}.{payload}.{touched}", key, algorithms=["ES256"], audience=ISSUER)


async def test_the_keys_are_cached_by_their_etag(rt: Runtime, client: httpx2.AsyncClient) -> None:
    first = await client.get("/.well-known/jwks.json")
    again = await client.get(
        "/.well-known/jwks.json", headers={"if-none-match": first.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert first.headers["cache-control"] == "public, max-age=300"
