"""Every answer, of whatever status, carries what defends it; CORS is for allowed origins."""

from collections.abc import Callable

import httpx2
import pytest

from service.http.edge import Edge
from service.policy import Limit, Limits, Policy
from service.runtime import Runtime
from tests import given
from tests.http import asking
from tests.http.asking import DEFENSIVE
from tests.world import GENEROUS, ORIGIN

PROBLEM = "application/problem+json"


@pytest.fixture
def policy() -> Policy:
    return Policy(limits=Limits(login=Limit(6, 900), refresh=GENEROUS))


def defended(answer: httpx2.Response, status: int) -> None:
    assert answer.status_code == status
    for name, value in DEFENSIVE.items():
        assert answer.headers.get_list(name) == [value], (status, name)
    assert answer.headers["x-request-id"]
    assert answer.headers["cache-control"] == "no-store"
    if status >= 400:
        told = answer.json()
        assert answer.headers["content-type"] == PROBLEM
        assert told["type"].startswith("urn:tesserra:refusal:")
        assert (told["status"], told["request_id"]) == (status, answer.headers["x-request-id"])
        assert told["title"]


async def test_every_status_is_defended(rt: Runtime, client: httpx2.AsyncClient) -> None:
    ada = await given.a_person(rt)
    entered = await asking.sign_in(client, ada)
    defended(entered, 200)
    defended(await asking.renew(client), 200)
    defended(await client.get("/healthz"), 200)
    defended(await client.post("/auth/login", json={"email": ada.email}), 400)
    defended(await client.get("/auth/me"), 401)
    defended(await asking.sign_in(client, ada, "wrong password"), 401)
    defended(await client.post("/auth/logout", headers={"origin": "https://evil.test"}), 403)
    for path in ("/", "/nothing", "/auth", "/auth//me", "/auth/me/", "/../etc/passwd", "/%2fauth"):
        defended(await client.get(path), 404)
    missing = await client.delete(f"/auth/sessions/{ada.user_id}", headers=asking.bearer(entered))
    defended(missing, 404)
    for method in ("PUT", "DELETE", "PATCH", "GET", "HEAD"):
        answer = await client.request(method, "/auth/login")
        if method != "HEAD":
            defended(answer, 405)
        assert answer.status_code == 405
        assert "POST" in answer.headers["allow"]
    long = {"email": "a" * 70_000, "password": "b"}
    defended(await client.post("/auth/login", json=long), 413)
    defended(await client.post("/auth/login", content=b"{}"), 415)
    defended(
        await client.post("/auth/login", content=b"{}", headers={"content-type": "text/plain"}), 415
    )
    while (limited := await asking.sign_in(client, ada)).status_code == 200:
        pass
    defended(limited, 429)
    assert 0 < int(limited.headers["retry-after"]) <= 900
    defended(await client.post("/auth/logout", json={}), 204)


async def test_a_fault_is_a_bare_500_and_defended(rt: Runtime, client: httpx2.AsyncClient) -> None:
    ada = await given.a_person(rt)
    async with rt.pg.autocommit() as tx:
        await tx.execute("ALTER TABLE auth_users RENAME TO auth_users_gone")
    try:
        answer = await asking.sign_in(client, ada)
    finally:
        async with rt.pg.autocommit() as tx:
            await tx.execute("ALTER TABLE auth_users_gone RENAME TO auth_users")
    defended(answer, 500)
    assert set(answer.json()) == {"type", "title", "status", "request_id"}
    for inside in ("auth_users", "Error", "Traceback", "asyncpg", ada.email):
        assert inside not in answer.text


async def test_without_postgresql_it_is_503_with_retry_after_and_never_401(
    rt: Runtime, client: httpx2.AsyncClient
) -> None:
    ada = await given.a_person(rt)
    entered = await asking.sign_in(client, ada)
    rt.pg._pool.terminate()
    for answer in (
        await asking.sign_in(client, ada),
        await asking.renew(client),
        await client.get("/auth/sessions", headers=asking.bearer(entered)),
        await client.get("/readyz"),
        await client.post("/auth/logout", json={}),
    ):
        defended(answer, 503)
        assert int(answer.headers["retry-after"]) >= 1
        assert "set-cookie" not in answer.headers
    assert (await client.get("/healthz")).status_code == 200
    assert (await client.get("/.well-known/jwks.json")).status_code == 200


async def test_a_401_says_how_to_identify_oneself(rt: Runtime, client: httpx2.AsyncClient) -> None:
    for headers in ({}, {"authorization": "Bearer nonsense"}, {"authorization": "Basic YTpi"}):
        refused = await client.get("/auth/me", headers=headers)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith('Bearer realm="tesserra"')


@pytest.mark.parametrize("given_id", ["abcdefgh", "A-b.c_d-123456", "x" * 64])
async def test_a_request_id_that_is_clean_is_kept(app: Edge, given_id: str) -> None:
    answer = await asking.raw(app, "GET", "/healthz", [(b"x-request-id", given_id.encode())])
    assert answer.header(b"x-request-id") == given_id.encode()


@pytest.mark.parametrize(
    "given_id", [b"short", b"x" * 65, b'"}\n{"', b"\xff" * 10, b"a b c d e f g"]
)
async def test_a_request_id_that_is_not_is_replaced(app: Edge, given_id: bytes) -> None:
    answer = await asking.raw(app, "GET", "/healthz", [(b"x-request-id", given_id)])
    made = answer.header(b"x-request-id")
    assert made is not None
    assert made != given_id
    assert len(made) == 32


async def test_an_allowed_page_reads_every_answer_also_a_refusal(
    rt: Runtime, browser: Callable[..., httpx2.AsyncClient]
) -> None:
    client = browser()
    client.headers["origin"] = ORIGIN
    ada = await given.a_person(rt)
    for answer in (
        await asking.sign_in(client, ada),
        await asking.sign_in(client, ada, "wrong password"),
        await client.get("/auth/me"),
        await client.get("/nothing"),
        await client.put("/auth/login"),
    ):
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert "origin" in answer.headers["vary"].lower()


@pytest.mark.parametrize("origin", ["https://evil.test", "null", "*", ORIGIN + ":443", ""])
async def test_another_page_reads_nothing(
    rt: Runtime, client: httpx2.AsyncClient, origin: str
) -> None:
    for method, path in (
        ("GET", "/auth/me"),
        ("POST", "/auth/refresh"),
        ("OPTIONS", "/auth/login"),
    ):
        answer = await client.request(
            method,
            path,
            headers={"origin": origin, "access-control-request-method": "POST"},
        )
        assert not [name for name in answer.headers if name.startswith("access-control-")]
        assert "origin" in answer.headers["vary"].lower()


async def test_an_allowed_page_s_preflight_is_answered(client: httpx2.AsyncClient) -> None:
    answer = await client.options(
        "/auth/sessions/x",
        headers={
            "origin": ORIGIN,
            "access-control-request-method": "DELETE",
            "access-control-request-headers": "authorization, content-type",
        },
    )
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["access-control-allow-credentials"] == "true"
    methods = answer.headers["access-control-allow-methods"].replace(" ", "").split(",")
    assert {"GET", "POST", "PUT", "DELETE"} <= set(methods)
    allowed = answer.headers["access-control-allow-headers"]
    assert allowed == "authorization, content-type, idempotency-key, x-request-id"


async def preflight(client: httpx2.AsyncClient, origin: str, asked: str) -> set[str]:
    """Return which headers a page may send that asks for some."""
    headers = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": asked,
    }
    answer = await client.options("/auth/login", headers=headers)
    return set(answer.headers.get("access-control-allow-headers", "").split(", ")) - {""}


@pytest.mark.parametrize(
    "asked",
    [
        "content-type,traceparent,tracestate,baggage",
        "authorization, x-request-id",
        "content-type,sentry-trace,baggage",
        "b3,x-b3-traceid,x-b3-spanid,x-b3-sampled",
        "X-Datadog-Trace-Id ,\tx-correlation-id",
        "x-of-tomorrow",
    ],
)
async def test_a_page_we_allow_may_send_what_its_tracing_adds(
    client: httpx2.AsyncClient, asked: str
) -> None:
    wanted = {name.strip().lower() for name in asked.split(",")}
    assert wanted | {"authorization", "content-type"} <= await preflight(client, ORIGIN, asked)
    assert await preflight(client, "https://evil.test", asked) == set()


@pytest.mark.parametrize(
    "asked", ["", ",", "a,,b", "a b", "a:b", "a;b", "(x)", "x" * 65, ",".join("a" * 33)]
)
async def test_what_names_no_headers_or_too_many_is_answered_with_what_is_always_allowed(
    client: httpx2.AsyncClient, asked: str
) -> None:
    always = {"authorization", "content-type", "idempotency-key", "x-request-id"}
    assert await preflight(client, ORIGIN, asked) == always


async def test_the_keys_are_for_every_page_and_never_with_credentials(
    client: httpx2.AsyncClient,
) -> None:
    for origin in (ORIGIN, "https://evil.test"):
        answer = await client.get("/.well-known/jwks.json", headers={"origin": origin})
        assert answer.headers.get_list("access-control-allow-origin") == ["*"]
        assert "access-control-allow-credentials" not in answer.headers
        assert answer.headers["cache-control"] == "public, max-age=300"
        for name, value in DEFENSIVE.items():
            assert answer.headers.get_list(name) == [value]
