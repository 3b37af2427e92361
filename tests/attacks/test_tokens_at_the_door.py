"""A06, A10, A28 and A39 where they would hurt: over HTTP, with tokens that were good."""

from collections.abc import Callable

import httpx2
import msgspec
import pytest

from service.http.edge import Edge
from service.kernel import jose, log
from service.runtime import Runtime
from tests import given
from tests.clients import a_service
from tests.http import asking
from tests.keys import an_owner
from tests.world import ISSUER

Browser = Callable[..., httpx2.AsyncClient]
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of P-256 (FIPS 186-4, D.1.2.3)."""


def twin(token: str) -> str:
    """Return the token under the other form of its signature, which anybody can make."""
    text, _, signature = token.rpartition(".")
    raw = jose.decode(signature)
    return f"{text}.{jose.encode(raw[:32] + (ORDER - int.from_bytes(raw[32:])).to_bytes(32))}"


@pytest.mark.parametrize("end", ["logout", "revoke", "by hand"])
async def test_a10_the_other_form_of_a_signature_dies_with_its_token(
    rt: Runtime, browser: Browser, end: str
) -> None:
    """Also when a worker has remembered it as good."""
    root = await an_owner(rt, browser(), "root@top.example", slug="top", platform_admin=True)
    service = await a_service(rt, browser(), "agentes")
    client = browser()
    answer = await asking.sign_in(client, await given.a_person(rt))
    token = answer.json()["access_token"]
    other = {"authorization": f"Bearer {twin(token)}"}
    assert twin(token) != token
    for _ in range(2):
        assert (await client.get("/auth/me", headers=other)).status_code == 200
    match end:
        case "logout":
            await client.post("/auth/logout", json={})
        case "revoke":
            form = {"token": token, "client_id": "console"}
            assert (await client.post("/oauth/revoke", data=form)).status_code == 200
        case "by hand":
            body = {"kind": "jti", "value": given.claims(token)["jti"]}
            assert (await root.ask("POST", "/revocations", json=body)).status_code == 201
    for text in (token, twin(token)):
        headers = {"authorization": f"Bearer {text}"}
        assert (await client.get("/auth/me", headers=headers)).status_code == 401
        told = await service.ask("/oauth/introspect", token=text)
        assert told.json() == {"active": False}


@pytest.mark.parametrize("cnf", [{"jkt": "x"}, {"x5t#S256": "x"}, {"kid": "x"}, {}, None, "x"])
async def test_a_token_that_is_bound_to_a_key_is_no_bearer_token(
    rt: Runtime, browser: Browser, cnf: object
) -> None:
    """A thief has the token and not the key (RFC 9449 section 7.1, RFC 8705 section 3)."""
    client = browser()
    owner = await an_owner(rt, client, platform_admin=True)
    service = await a_service(rt, browser(), "agentes")
    token = client.headers["authorization"].removeprefix("Bearer ")
    key = rt.keyring.signing(rt.clock.now())
    stolen = key.sign(msgspec.json.encode({**given.claims(token), "cnf": cnf}))
    for path in ("/auth/me", "/auth/sessions", "/admin/users", "/admin/signing-keys", "/api-keys"):
        assert (await owner.ask("GET", path)).status_code == 200, path
        refused = await client.get(path, headers={"authorization": f"Bearer {stolen}"})
        assert refused.status_code == 401, path
        assert "bound to a key" in refused.json()["detail"]
        assert 'error="invalid_token"' in refused.headers["www-authenticate"]
    assert (await service.ask("/oauth/introspect", token=token)).json()["active"] is True
    assert (await service.ask("/oauth/introspect", token=stolen)).json() == {"active": False}


async def test_a28_a_refresh_grants_no_scope_that_its_person_does_not_hold(
    rt: Runtime, browser: Browser
) -> None:
    client = browser()
    token = asking.cookie(await asking.sign_in(client, await given.a_person(rt)))
    held = {*rt.policy.role_scopes["member"]}
    for scope in ("revocations:read", "agentes secrets:sealed", "*", "api-keys:verify"):
        form = {"grant_type": "refresh_token", "refresh_token": token, "client_id": "console"}
        answer = await client.post("/oauth/token", data={**form, "scope": scope})
        if answer.status_code == 400:
            assert answer.json()["error"] == "invalid_scope"
            continue
        told = answer.json()
        token = told["refresh_token"]
        assert {*told["scope"].split()} <= held
        assert {*given.claims(told["access_token"])["scope"].split()} <= held
    assert await given.live_families(rt) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"host", b"evil.test"),
        (b"x-forwarded-host", b"evil.test"),
        (b"x-forwarded-proto", b"http"),
        (b"forwarded", b"for=192.0.2.1;host=evil.test;proto=http"),
        (b"x-original-url", b"/admin/evil.test"),
        (b"x-rewrite-url", b"/admin/evil.test"),
    ],
)
async def test_a39_a_link_that_is_mailed_leads_to_the_issuer_whoever_was_asked(
    rt: Runtime, browser: Browser, app: Edge, name: bytes, value: bytes
) -> None:
    owner = browser()
    await an_owner(rt, owner)
    who = (b"authorization", owner.headers["authorization"].encode())
    headers = [(name, value), who, (b"content-type", b"application/json")]
    answer = await asking.raw(
        app, "POST", "/admin/users", headers, b'{"email": "new@acme.example"}'
    )
    assert answer.status == 201
    assert b"evil" not in answer.body
    assert f'"{ISSUER}/invitation#'.encode() in answer.body
    assert not [key for key, _ in answer.headers if key.lower() == b"location"]
    for path in (
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
        "/.well-known/jwks.json",
    ):
        plain = await asking.raw(app, "GET", path)
        poisoned = await asking.raw(app, "GET", path, [(name, value)])
        assert (plain.status, plain.body) == (poisoned.status, poisoned.body)


@pytest.mark.parametrize("length", [4097, 60_000])
async def test_a06_a_huge_token_is_refused_and_stands_in_no_line(
    app: Edge, rt: Runtime, capfd: pytest.CaptureFixture[str], length: int
) -> None:
    canary = b"canaryofahugetoken"
    long = canary * (length // len(canary))
    for text in (long, b"a." + long + b".a"):
        headers = [(b"authorization", b"Bearer " + text)]
        answer = await asking.raw(app, "GET", "/auth/me", headers)
        assert answer.status in (400, 401, 431)
        assert canary not in answer.body
    log.flush()
    out, err = capfd.readouterr()
    assert "/auth/me" in out
    assert canary.decode() not in out + err
    assert all(len(line) <= 4096 for line in out.splitlines())
