"""/oauth/token: client_credentials and refresh_token (RFC 6749), client authentication."""

import base64
from collections.abc import Callable
from typing import Any

import httpx2
import jwt
import msgspec
import pytest
from joserfc import jws
from joserfc.jwk import ECKey

from service.flows.clients.create import create_client
from service.flows.shared.new_client import NewClient
from service.kernel.call import Call
from service.runtime import Runtime
from tests import given
from tests.clients import Machine, a_service
from tests.world import ISSUER

Browser = Callable[..., httpx2.AsyncClient]
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@pytest.fixture
async def service(rt: Runtime, client: httpx2.AsyncClient) -> Machine:
    return await a_service(rt, client, "agentes", "revocations:read")


async def test_the_token_is_rfc_9068_and_pyjwt_verifies_it(
    rt: Runtime, service: Machine, client: httpx2.AsyncClient
) -> None:
    jwks = jwt.PyJWKSet.from_json(rt.keyring.jwks.decode())
    header = jwt.get_unverified_header(service.token)
    claims = jwt.decode(
        service.token, jwks[header["kid"]].key, algorithms=["ES256"], audience=ISSUER, issuer=ISSUER
    )
    assert header["typ"] == "at+jwt"
    assert claims["sub"] == claims["client_id"] == service.client_id
    assert claims["scope"] == "agentes revocations:read"
    assert not {"sid", "roles", "tenant_id"} & claims.keys()


async def test_issuing_writes_nothing_to_postgresql(rt: Runtime, service: Machine) -> None:
    before = await writes(rt)
    for _ in range(5):
        answer = await service.ask("/oauth/token", grant_type="client_credentials")
        assert answer.status_code == 200
    assert await writes(rt) == before


async def writes(rt: Runtime) -> int:
    async with rt.pg.autocommit() as tx:
        await tx.execute("SELECT pg_stat_force_next_flush()")
        found: int = await tx.fetchval(
            "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del)::bigint FROM pg_stat_user_tables"
        )
    return found


async def test_a_narrower_scope_is_granted_and_a_wider_one_refused(service: Machine) -> None:
    answer = await service.ask("/oauth/token", grant_type="client_credentials", scope="agentes")
    assert answer.json()["scope"] == "agentes"
    assert answer.headers["cache-control"] == "no-store"
    wider = await service.ask(
        "/oauth/token", grant_type="client_credentials", scope="agentes proxy-ollama"
    )
    assert (wider.status_code, wider.json()["error"]) == (400, "invalid_scope")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("", "invalid_request"),
        ("grant_type=password&username=a&password=b", "unsupported_grant_type"),
        ("grant_type=client_credentials&grant_type=client_credentials", "invalid_request"),
        ("grant_type=client_credentials&scope=%00", "invalid_request"),
        ("grant_type=client_credentials&scope=%ff", "invalid_request"),
        ("grant_type=", "invalid_request"),
        ("grant_type=refresh_token", "invalid_request"),
        ("grant_type=refresh_token&refresh_token=nonsense", "invalid_grant"),
    ],
)
async def test_a_wrong_form_gets_the_error_of_the_standard(
    service: Machine, body: str, error: str
) -> None:
    answer = await service.http.post(
        "/oauth/token",
        content=body,
        headers={"content-type": "application/x-www-form-urlencoded"},
        auth=(service.client_id, service.secret),
    )
    assert (answer.status_code, answer.json()["error"]) == (400, error)


async def test_every_wrong_client_is_the_same_client(service: Machine) -> None:
    tries = [
        (service.client_id, service.secret[:-1]),
        (service.client_id, service.secret.swapcase()),
        ("svc_unknown", service.secret),
        (service.client_id, "%C3%A9"),
    ]
    answers = [
        await service.http.post(
            "/oauth/token",
            data={"grant_type": "client_credentials"},
            headers={"authorization": basic(*pair), "x-request-id": "the-same-one"},
        )
        for pair in tries
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert answers[0].json()["error"] == "invalid_client"
    assert answers[0].headers["www-authenticate"].startswith("Basic ")


def basic(client_id: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()


async def test_two_ways_of_identifying_at_once_are_refused(service: Machine) -> None:
    answer = await service.ask(
        "/oauth/token",
        grant_type="client_credentials",
        client_id=service.client_id,
        client_secret=service.secret,
    )
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_client_secret_post_works(service: Machine) -> None:
    answer = await service.http.post(
        "/oauth/token",
        data={
            "grant_type": "client_credentials",
            "client_id": service.client_id,
            "client_secret": service.secret,
        },
    )
    assert answer.status_code == 200


class Signer:
    """A client with a key of its own."""

    def __init__(self, client_id: str, key: ECKey) -> None:
        self.client_id = client_id
        self.key = key

    def assertion(self, now: float, **claims: Any) -> str:
        plain = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": ISSUER,
            "iat": int(now),
            "exp": int(now) + 60,
            "jti": f"{now}-{sorted(claims)}",
        }
        header = {"alg": "ES256", "kid": self.key.kid}
        said = {name: one for name, one in {**plain, **claims}.items() if one is not None}
        return jws.serialize_compact(header, msgspec.json.encode(said), self.key)


@pytest.fixture
async def signer(rt: Runtime, call: Callable[..., Call]) -> Signer:
    key = ECKey.generate_key("P-256", auto_kid=True)
    jwks = msgspec.json.encode({"keys": [key.as_dict(private=False)]}).decode()
    made = await create_client(rt, call(), NewClient(name="signs", scopes=("agentes",), jwks=jwks))
    assert made.secret is None
    return Signer(made.client.client_id, key)


async def present(client: httpx2.AsyncClient, assertion: str) -> httpx2.Response:
    return await client.post(
        "/oauth/token",
        data={
            "grant_type": "client_credentials",
            "client_assertion_type": ASSERTION,
            "client_assertion": assertion,
        },
    )


async def test_a_signed_assertion_identifies_once(
    rt: Runtime, client: httpx2.AsyncClient, signer: Signer
) -> None:
    assertion = signer.assertion(rt.clock.now().timestamp())
    assert (await present(client, assertion)).status_code == 200
    assert (await present(client, assertion)).status_code == 401


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "https://elsewhere.example"},
        {"aud": [ISSUER, "https://elsewhere.example"]},
        {"aud": [ISSUER]},
        {"aud": f"{ISSUER}/oauth/token"},
        {"aud": f"{ISSUER}/"},
        {"iss": "svc_other"},
        {"sub": "svc_other"},
        {"exp": 1},
        {"exp": 9_999_999_999},
        {"exp": "soon"},
        {"nbf": 9_999_999_999},
        {"jti": 7},
    ],
)
async def test_an_assertion_that_proves_nothing_is_refused(
    rt: Runtime, client: httpx2.AsyncClient, signer: Signer, claims: dict[str, Any]
) -> None:
    answer = await present(client, signer.assertion(rt.clock.now().timestamp(), **claims))
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize(
    ("claim", "late", "status"),
    [
        ("iat", 8, 200),
        ("nbf", 8, 200),
        ("iat", 61, 401),
        ("nbf", 61, 401),
        ("exp", -300, 401),
        ("exp", -20, 401),
    ],
)
async def test_the_clocks_of_clients_may_be_ten_seconds_off(
    rt: Runtime, client: httpx2.AsyncClient, signer: Signer, claim: str, late: int, status: int
) -> None:
    now = rt.clock.now().timestamp()
    answer = await present(client, signer.assertion(now, **{claim: int(now) + late}))
    assert answer.status_code == status


async def test_an_assertion_under_another_key_is_refused(
    rt: Runtime, client: httpx2.AsyncClient, signer: Signer
) -> None:
    thief = Signer(signer.client_id, ECKey.generate_key("P-256", auto_kid=True))
    answer = await present(client, thief.assertion(rt.clock.now().timestamp()))
    assert answer.status_code == 401


async def test_the_console_refreshes_by_form_and_no_other_client_may(
    rt: Runtime, client: httpx2.AsyncClient, service: Machine
) -> None:
    refresh_token = await signed_in(rt, client)
    stolen = await service.ask(
        "/oauth/token", grant_type="refresh_token", refresh_token=refresh_token
    )
    assert (stolen.status_code, stolen.json()["error"]) == (400, "invalid_grant")
    own = await client.post(
        "/oauth/token",
        data={
            "grant_type": "refresh_token",
            "refresh_token": refresh_token,
            "client_id": "console",
        },
    )
    assert own.status_code == 200
    assert own.json()["refresh_token"] not in ("", refresh_token)
    assert await given.live_families(rt) == 1


async def signed_in(rt: Runtime, client: httpx2.AsyncClient, role: str = "member") -> str:
    """Return the refresh token of somebody who is."""
    person = await given.a_person(rt, role=role)
    login = await client.post(
        "/auth/login", json={"email": person.email, "password": person.password}
    )
    assert login.status_code == 200
    return client.cookies["__Host-refresh"]


async def renewed(client: httpx2.AsyncClient, token: str, **form: str) -> httpx2.Response:
    form = {"grant_type": "refresh_token", "client_id": "console", "refresh_token": token, **form}
    return await client.post("/oauth/token", data=form)


async def test_a_refresh_narrows_the_access_token_and_not_the_refresh_token(
    rt: Runtime, client: httpx2.AsyncClient
) -> None:
    """RFC 6749 section 6."""
    token = await signed_in(rt, client)
    narrower = (await renewed(client, token, scope="proxy-ollama proxy-ollama")).json()
    assert narrower["scope"] == given.claims(narrower["access_token"])["scope"] == "proxy-ollama"
    all_of_it = (await renewed(client, narrower["refresh_token"])).json()
    assert all_of_it["scope"] == given.claims(all_of_it["access_token"])["scope"]
    assert all_of_it["scope"] == "agentes proxy-ollama"
    answer = await renewed(client, all_of_it["refresh_token"], scope="proxy-ollama agentes")
    assert answer.json()["scope"] == "proxy-ollama agentes"


@pytest.mark.parametrize("scope", ["agentes revocations:read", "nothing-known", " "])
async def test_a_scope_that_was_not_granted_is_refused_and_the_refresh_token_is_not_spent(
    rt: Runtime, client: httpx2.AsyncClient, scope: str
) -> None:
    """RFC 6749 section 6."""
    token = await signed_in(rt, client)
    before = await row(rt)
    wider = await renewed(client, token, scope=scope)
    assert (wider.status_code, wider.json()["error"]) == (400, "invalid_scope")
    assert await row(rt) == before
    assert (await renewed(client, token)).status_code == 200


async def row(rt: Runtime) -> str:
    """Return the one family there is, as text."""
    async with rt.pg.reading() as tx:
        found: str = await tx.fetchval("SELECT to_json(f)::text FROM auth_families f")
    return found


async def test_what_a_role_does_not_hold_was_not_granted(
    rt: Runtime, client: httpx2.AsyncClient
) -> None:
    token = await signed_in(rt, client, role="auditor")
    wider = await renewed(client, token, scope="agentes")
    assert (wider.status_code, wider.json()["error"]) == (400, "invalid_scope")
    assert (await renewed(client, token)).json()["scope"] == ""


async def test_a_scope_says_nothing_of_a_refresh_token_that_is_dead_or_another_clients(
    rt: Runtime, client: httpx2.AsyncClient, service: Machine
) -> None:
    token = await signed_in(rt, client)
    form = {"grant_type": "refresh_token", "refresh_token": token, "scope": "revocations:read"}
    stolen = await service.ask("/oauth/token", **form)
    assert (stolen.status_code, stolen.json()["error"]) == (400, "invalid_grant")
    assert (await client.post("/auth/logout", json={})).status_code == 204
    for scope in ("agentes", "nothing-known"):
        dead = await renewed(client, token, scope=scope)
        assert (dead.status_code, dead.json()["error"]) == (400, "invalid_grant")
