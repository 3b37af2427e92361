"""Our tokens, verified by libraries we did not write, from the bytes of the JWKS alone.

PyJWT and Authlib know nothing of us: what they need is in the document or it is not conformant.
"""

import base64
import hashlib
import json
import warnings
from collections.abc import Callable
from typing import Any
from uuid import UUID

import authlib.deprecate
import httpx2
import jwt
import pytest

from service.flows.sessions.sign_in import Credentials, sign_in
from service.kernel import jose
from service.kernel.call import Call
from service.runtime import Runtime
from tests import given
from tests.world import ISSUER

warnings.simplefilter("ignore", authlib.deprecate.AuthlibDeprecationWarning)
from authlib.jose import JsonWebKey, JsonWebToken  # noqa: E402 - it says that joserfc follows it

ALGORITHMS: tuple[jose.Algorithm, ...] = ("ES256", "RS256", "EdDSA")


@pytest.fixture
async def token(rt: Runtime, call: Callable[..., Call]) -> str:
    person = await given.a_person(rt)
    return (await sign_in(rt, call(), Credentials(person.email, person.password))).access_token


@pytest.fixture
async def jwks(client: httpx2.AsyncClient) -> dict[str, Any]:
    answer = await client.get("/.well-known/jwks.json")
    assert answer.headers["content-type"].startswith("application/")
    return json.loads(answer.content)  # type: ignore[no-any-return]


def decoded(token: str, part: int) -> dict[str, Any]:
    text = token.split(".")[part]
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))  # type: ignore[no-any-return]


async def test_pyjwt_verifies_it(token: str, jwks: dict[str, Any]) -> None:
    keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict(jwks).keys}
    head = jwt.get_unverified_header(token)
    claims = jwt.decode(
        token,
        keys[head["kid"]],
        algorithms=["ES256"],
        issuer=ISSUER,
        audience=ISSUER,
        options={"require": ["iss", "sub", "aud", "exp", "iat", "jti"]},
    )
    assert claims == decoded(token, 1)


async def test_authlib_verifies_it(token: str, jwks: dict[str, Any]) -> None:
    claims = JsonWebToken(["ES256"]).decode(token, JsonWebKey.import_key_set(jwks))
    claims.validate(leeway=10)
    assert claims["iss"] == ISSUER


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_both_verify_every_algorithm_we_sign_with(algorithm: jose.Algorithm) -> None:
    key = jose.Key(algorithm, jose.generate(algorithm))
    jwks = json.loads(json.dumps({"keys": [key.jwk]}))
    token = key.sign(b'{"sub":"someone"}')
    (theirs,) = jwt.PyJWKSet.from_dict(jwks).keys
    assert jwt.decode(token, theirs, algorithms=[algorithm]) == {"sub": "someone"}
    decoder = JsonWebToken([algorithm])
    assert decoder.decode(token, JsonWebKey.import_key_set(jwks)) == {"sub": "someone"}
    head, _, _ = token.rpartition(".")
    other = jose.Key(algorithm, jose.generate(algorithm)).sign(b'{"sub":"someone"}')
    forged = f"{head}.{other.rpartition('.')[2]}"
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(forged, theirs, algorithms=[algorithm])


def test_rfc_7638_section_3_1_the_example_of_the_rfc() -> None:
    """The RSA key of the RFC and its thumbprint, through the function that names our keys."""
    n = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJE"
        "CPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2Q"
        "vzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6"
        "WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )
    members = json.dumps({"e": "AQAB", "kty": "RSA", "n": n}, separators=(",", ":")).encode()
    expected = jose.encode(hashlib.sha256(members).digest())
    assert expected == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    imported = jose._KEY_TYPES["RS256"].import_key({"kty": "RSA", "n": n, "e": "AQAB"})
    assert imported.thumbprint() == expected


async def test_rfc_9068_section_2_1_the_header_says_at_jwt(token: str) -> None:
    head = decoded(token, 0)
    assert head == {"alg": "ES256", "kid": head["kid"], "typ": "at+jwt"}


async def test_rfc_9068_section_2_2_the_claims_that_are_demanded(token: str) -> None:
    claims = decoded(token, 1)
    assert claims.keys() >= {"iss", "exp", "aud", "sub", "client_id", "iat", "jti"}
    assert claims["iss"] == claims["aud"] == ISSUER
    assert claims["exp"] - claims["iat"] == 900
    assert {type(claims[name]) for name in ("exp", "iat", "auth_time")} == {int}
    for name in ("sub", "jti", "sid", "tenant_id"):
        UUID(claims[name])


async def test_rfc_9068_section_2_2_1_how_and_when_the_person_signed_in(token: str) -> None:
    claims = decoded(token, 1)
    assert claims["amr"] == ["pwd"]  # RFC 8176
    assert claims["iat"] - 5 <= claims["auth_time"] <= claims["iat"]


async def test_rfc_9068_section_2_2_3_scopes_are_words_in_one_string(token: str) -> None:
    claims = decoded(token, 1)
    assert isinstance(claims["scope"], str)
    assert claims["scope"].split() == claims["scope"].split(" ")


async def test_no_token_carries_what_is_nobody_s_business(token: str) -> None:
    text = json.dumps(decoded(token, 1))
    assert given.PASSWORD not in text
    assert "ada@acme.example" not in text
    assert "argon2" not in text


async def test_every_token_has_a_jti_of_its_own(rt: Runtime, call: Callable[..., Call]) -> None:
    person = await given.a_person(rt)
    asked = Credentials(person.email, person.password)
    at = rt.clock.now()
    made = [(await sign_in(rt, call(at=at), asked)).access_token for _ in range(5)]
    assert len({decoded(token, 1)["jti"] for token in made}) == 5
