"""A01 to A05, A07 and A08 where a client signs for itself (RFC 7523).

Access tokens are compared with a header of ours as text; the header of an assertion is parsed, by a
library, before anybody is known.  So each attack on headers is tried here once more, over HTTP.
"""

import hashlib
import hmac
import json
import socket
from collections.abc import Callable
from typing import Any

import httpx2
import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from service.flows.clients.create import create_client
from service.flows.shared.new_client import NewClient
from service.kernel import jose
from service.kernel.call import Call
from service.policy import Limits, Policy
from service.runtime import Runtime
from tests.world import GENEROUS, ISSUER

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
KID = "the client's"
DEEP = 4000
"""Levels: more than an interpreter goes down, and less than a form's value may have letters."""


class Signer:
    """A client of the platform with one key, and whoever has the key of another."""

    def __init__(self, client_id: str, private: ec.EllipticCurvePrivateKey) -> None:
        self.client_id = client_id
        self.private = private

    def claims(self, now: float, **more: Any) -> dict[str, Any]:
        plain = {"iss": self.client_id, "sub": self.client_id, "aud": ISSUER, "jti": "once"}
        return {**plain, "iat": int(now), "exp": int(now) + 60, **more}

    def signed(self, header: bytes, payload: bytes) -> str:
        """Sign under any header, with the genuine key: as good as an attacker could ever get."""
        text = f"{jose.encode(header)}.{jose.encode(payload)}"
        r, s = decode_dss_signature(self.private.sign(text.encode(), ec.ECDSA(SHA256())))
        return f"{text}.{jose.encode(r.to_bytes(32) + s.to_bytes(32))}"


def header(**more: Any) -> bytes:
    members = {"alg": "ES256", "kid": KID, **more}
    return json.dumps({k: v for k, v in members.items() if v is not ...}).encode()


def public_jwk(private: ec.EllipticCurvePrivateKey, kid: str = KID) -> dict[str, str]:
    numbers = private.public_key().public_numbers()
    x, y = (jose.encode(n.to_bytes(32)) for n in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": kid}


@pytest.fixture
def policy() -> Policy:
    return Policy(limits=Limits(client_failures=GENEROUS))


@pytest.fixture
async def signer(rt: Runtime, call: Callable[..., Call]) -> Signer:
    private = ec.generate_private_key(ec.SECP256R1())
    jwks = msgspec.json.encode({"keys": [public_jwk(private)]}).decode()
    made = await create_client(rt, call(), NewClient(name="signs", scopes=("agentes",), jwks=jwks))
    return Signer(made.client.client_id, private)


async def test_a_key_that_was_added_works_at_once(
    rt: Runtime, client: httpx2.AsyncClient, signer: Signer
) -> None:
    """A worker that knows the client from before reads it again before it refuses."""
    now = rt.clock.now().timestamp()
    payload = json.dumps(signer.claims(now)).encode()
    assert (await present(client, signer.signed(header(), payload))).status_code == 200
    added = Signer(signer.client_id, ec.generate_private_key(ec.SECP256R1()))
    keys = [public_jwk(signer.private), public_jwk(added.private, "added")]
    async with rt.pg.reading() as tx:
        await tx.execute(
            "UPDATE auth_clients SET jwks = $2::text::jsonb WHERE client_id = $1",
            signer.client_id,
            msgspec.json.encode({"keys": keys}).decode(),
        )
    payload = json.dumps(signer.claims(now, jti="second")).encode()
    answer = await present(client, added.signed(header(kid="added"), payload))
    assert answer.status_code == 200, answer.text


async def present(
    client: httpx2.AsyncClient, assertion: str, path: str = "/oauth/token", **more: str
) -> httpx2.Response:
    form = {"client_assertion_type": ASSERTION, "client_assertion": assertion, **more}
    return await client.post(path, data={"grant_type": "client_credentials", "token": "a"} | form)


async def refused(client: httpx2.AsyncClient, assertion: str) -> None:
    """At each door that a client identifies itself at, alike."""
    for path in ("/oauth/token", "/oauth/introspect", "/oauth/revoke"):
        answer = await present(client, assertion, path)
        told = (path, assertion[:80], answer.status_code, answer.text)
        assert (answer.status_code, answer.json().get("error")) == (401, "invalid_client"), told


async def test_the_genuine_one_is_accepted(
    rt: Runtime, client: httpx2.AsyncClient, signer: Signer
) -> None:
    """Else everything below would be refused for another reason."""
    claims = signer.claims(rt.clock.now().timestamp())
    answer = await present(client, signer.signed(header(), json.dumps(claims).encode()))
    assert answer.status_code == 200, answer.text


async def test_a01_an_hmac_under_the_client_s_public_key_is_no_signature(
    rt: Runtime, client: httpx2.AsyncClient, signer: Signer
) -> None:
    public = signer.private.public_key()
    encodings = (
        (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
        (serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH),
    )
    secrets = [public.public_bytes(encoding, kind) for encoding, kind in encodings]
    jwk = public_jwk(signer.private)
    secrets += [json.dumps(jwk).encode(), msgspec.json.encode(jwk), b""]
    payload = json.dumps(signer.claims(rt.clock.now().timestamp())).encode()
    for alg in ("HS256", "HS512", "ES256"):
        text = f"{jose.encode(header(alg=alg))}.{jose.encode(payload)}"
        for secret in secrets:
            mac = hmac.digest(secret, text.encode(), hashlib.sha256)
            await refused(client, f"{text}.{jose.encode(mac)}")


@pytest.mark.parametrize("alg", ["none", "None", "nOnE", "", None, 7, [], {}, "RS256", "ES384"])
async def test_a01_no_other_algorithm_is_argued_into_us(
    rt: Runtime, client: httpx2.AsyncClient, signer: Signer, alg: object
) -> None:
    payload = json.dumps(signer.claims(rt.clock.now().timestamp())).encode()
    assertion = signer.signed(header(alg=alg), payload)
    await refused(client, assertion)
    await refused(client, assertion.rpartition(".")[0] + ".")


async def test_a02_a_key_that_the_assertion_brings_along_is_not_used(
    rt: Runtime, client: httpx2.AsyncClient, signer: Signer
) -> None:
    payload = json.dumps(signer.claims(rt.clock.now().timestamp())).encode()
    thief = Signer(signer.client_id, ec.generate_private_key(ec.SECP256R1()))
    for kid in (KID, "the thief's", ...):
        jwk = public_jwk(thief.private, "the thief's")
        await refused(client, thief.signed(header(kid=kid, jwk=jwk), payload))
        await refused(client, thief.signed(header(kid=kid), payload))


@pytest.mark.parametrize("member", ["jku", "x5u"])
async def test_a03_nothing_the_assertion_points_at_is_fetched(
    rt: Runtime, client: httpx2.AsyncClient, signer: Signer, member: str
) -> None:
    """A genuine one may be accepted with them: they are words, and nobody follows them."""
    claims = signer.claims(rt.clock.now().timestamp())
    thief = Signer(signer.client_id, ec.generate_private_key(ec.SECP256R1()))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/jwks.json"
        for who in (thief, signer):
            payload = json.dumps({**claims, "jti": str(id(who))}).encode()
            answer = await present(client, who.signed(header(**{member: url}), payload))
            assert answer.status_code in ((401,) if who is thief else (200, 401)), answer.text
        with pytest.raises(TimeoutError):
            listener.accept()


@pytest.mark.parametrize(
    "more",
    [
        {"crit": ["bork"]},
        {"crit": ["b64"], "b64": False},
        {"crit": ["exp"], "exp": 1},
        {"crit": []},
        {"crit": 7},
        {"crit": [[]]},
        {"b64": False},
    ],
)
async def test_a04_critical_headers_are_refused(
    rt: Runtime, client: httpx2.AsyncClient, signer: Signer, more: dict[str, object]
) -> None:
    payload = json.dumps(signer.claims(rt.clock.now().timestamp())).encode()
    await refused(client, signer.signed(header(**more), payload))


@pytest.mark.parametrize(
    "kid", ["../../dev/null", "' OR 1=1--", "\0", "x" * 4000, {}, [], 7, True], ids=range(8)
)
async def test_a05_a_kid_names_one_of_the_client_s_keys_or_nothing(
    rt: Runtime, client: httpx2.AsyncClient, signer: Signer, kid: object
) -> None:
    payload = json.dumps(signer.claims(rt.clock.now().timestamp())).encode()
    await refused(client, signer.signed(header(kid=kid), payload))


@pytest.mark.parametrize(
    "head", [b"", b"null", b"[]", b'"alg"', b'["alg"]', b"5", b"\xff\xfe", b"{", b'{"alg"']
)
async def test_a07_what_has_no_header_is_refused(
    rt: Runtime, client: httpx2.AsyncClient, signer: Signer, head: bytes
) -> None:
    payload = json.dumps(signer.claims(rt.clock.now().timestamp())).encode()
    await refused(client, signer.signed(head, payload))


@pytest.mark.parametrize("shape", ["", ".", "..", "....", "a", "a.b", "a.b.c.d.e", "ä.ä.ä"])
async def test_a07_what_is_not_three_parts_is_refused(
    client: httpx2.AsyncClient, signer: Signer, shape: str
) -> None:
    answer = await present(client, shape, client_id=signer.client_id)
    assert answer.status_code in (400, 401), answer.text


@pytest.mark.parametrize("claim", ["iss", "sub", "aud"])
async def test_a08_whom_it_is_of_and_for_is_one_string_to_the_letter(
    rt: Runtime, client: httpx2.AsyncClient, signer: Signer, claim: str
) -> None:
    claims = signer.claims(rt.clock.now().timestamp())
    right = str(claims[claim])
    for value in (right + "/", right[:-1], right.upper() + "X", right + " ", [right], None, ""):
        body = json.dumps({**claims, claim: value}).encode()
        answer = await present(client, signer.signed(header(), body), client_id=signer.client_id)
        assert answer.status_code == 401, (claim, value)


async def test_one_client_s_assertion_is_nothing_to_another(
    rt: Runtime, client: httpx2.AsyncClient, signer: Signer, call: Callable[..., Call]
) -> None:
    """Also when its own key is the one that signs for the other's name."""
    other = await create_client(rt, call(), NewClient(name="other", scopes=("agentes",)))
    now = rt.clock.now().timestamp()
    for named, claims in (
        (other.client.client_id, signer.claims(now)),
        (signer.client_id, signer.claims(now, sub=other.client.client_id)),
        (other.client.client_id, signer.claims(now, iss=signer.client_id, sub="x")),
    ):
        assertion = signer.signed(header(), json.dumps(claims).encode())
        assert (await present(client, assertion, client_id=named)).status_code == 401


@pytest.mark.parametrize("closed", [False, True])
async def test_d6_a_payload_of_any_depth_is_refused(
    client: httpx2.AsyncClient, signer: Signer, *, closed: bool
) -> None:
    """By nobody in particular: whose it is, is read from it before anything is checked."""
    depth = DEEP // 2
    tail = b"]" * depth + b',"sub":"' + signer.client_id.encode() + b'"}' if closed else b""
    payload = b'{"a":' + b"[" * depth + tail
    await refused(client, f"{jose.encode(header())}.{jose.encode(payload)}.AAAA")


async def test_d6_a_header_of_any_depth_is_refused(
    rt: Runtime, client: httpx2.AsyncClient, signer: Signer
) -> None:
    payload = json.dumps(signer.claims(rt.clock.now().timestamp())).encode()
    await refused(client, signer.signed(b'{"alg":"ES256","a":' + b"[" * DEEP, payload))
