"""The ring: what is published is public, and what is private is sealed."""

import base64
import hashlib
import json
from typing import Any

import pytest

from service.domain.keyring import Usage
from service.kernel import jose
from service.runtime import Runtime

PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
ALGORITHMS: tuple[jose.Algorithm, ...] = ("EdDSA", "RS256", "ES256")
REQUIRED = {"EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n"), "OKP": ("crv", "kty", "x")}


def thumbprint(jwk: dict[str, Any]) -> str:
    """RFC 7638 section 3, by hand."""
    members = {name: jwk[name] for name in REQUIRED[jwk["kty"]]}
    text = json.dumps(members, sort_keys=True, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(hashlib.sha256(text).digest()).rstrip(b"=").decode()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_jwk_holds_public_members_and_its_thumbprint_alone(algorithm: jose.Algorithm) -> None:
    key = jose.Key(algorithm, jose.generate(algorithm))
    assert not key.jwk.keys() & PRIVATE
    assert key.jwk.keys() == {*REQUIRED[key.jwk["kty"]], "kid", "use", "alg"}
    assert key.jwk["kid"] == key.kid == thumbprint(key.jwk)
    assert (key.jwk["alg"], key.jwk["use"]) == (algorithm, "sig")


async def test_what_is_published_is_public_and_every_kid_is_there_once(rt: Runtime) -> None:
    keys = json.loads(rt.keyring.jwks)["keys"]
    assert keys
    for jwk in keys:
        assert not jwk.keys() & PRIVATE
        assert jwk["kty"] in REQUIRED
        assert jwk["kid"] == thumbprint(jwk)
    assert len({jwk["kid"] for jwk in keys}) == len(keys)
    assert rt.keyring.signing(rt.clock.now()).kid in {jwk["kid"] for jwk in keys}


async def test_a_private_key_is_nowhere_in_the_database(rt: Runtime) -> None:
    async with rt.pg.reading() as tx:
        rows = await tx.fetch("SELECT * FROM auth_signing_keys")
    assert rows
    for row in rows:
        public = json.loads(row["public_jwk"])
        assert not public.keys() & PRIVATE
        assert b"PRIVATE" not in row["sealed"]
        assert b"PRIVATE" not in base64.urlsafe_b64decode(row["sealed"])


async def test_a_header_that_is_nobody_s_finds_nothing(rt: Runtime) -> None:
    key = rt.keyring.signing(rt.clock.now())
    assert rt.keyring.find(key.header) is key
    for header in ("", key.header + "A", key.header[:-1], jose.encode(b"{}"), key.kid):
        assert rt.keyring.find(header) is None


async def test_a_ring_read_again_keeps_the_keys_it_has_opened(rt: Runtime) -> None:
    before = rt.keyring.signing(rt.clock.now())
    await rt.keyring.refresh(rt.pg)
    assert rt.keyring.signing(rt.clock.now()) is before


async def test_a_derived_key_is_one_per_usage_and_the_same_for_all_workers(rt: Runtime) -> None:
    derived = [rt.keyring.derived(usage) for usage in Usage]
    assert len(set(derived)) == len(Usage)
    assert {len(key) for key in derived} == {32}
