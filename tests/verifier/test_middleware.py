"""The middleware under the three frameworks it is for, and what it answers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import fastapi
import httpx2
import litestar
import pytest
from litestar.middleware import DefineMiddleware
from starlette.applications import Starlette
from starlette.authentication import requires
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from tesserra_verifier import Verifier, VerifierError, VerifierMiddleware

from tests.verifier.conftest import eventually
from tests.verifier.standin import AUDIENCE, ISSUER, StandIn


def under_litestar(verifier: Verifier) -> Any:
    @litestar.get("/who")
    async def who(request: litestar.Request[Any, Any, Any]) -> dict[str, str]:
        return {"sub": request.auth.sub}

    @litestar.get("/admin")
    async def admin(request: litestar.Request[Any, Any, Any]) -> str:
        request.auth.require("admin")
        return "in"

    @litestar.get("/open")
    async def anyone() -> str:
        return "hello"

    def refuse(_: Any, exc: VerifierError) -> litestar.Response[bytes]:
        return litestar.Response(exc.body, status_code=exc.status, headers=exc.headers)

    handlers: Any = {VerifierError: refuse}
    app = litestar.Litestar(
        [who, admin, anyone], exception_handlers=handlers, openapi_config=None
    )  # fmt: skip
    return VerifierMiddleware(app, verifier, open_paths=["/open"])


def inside_litestar(verifier: Verifier) -> Any:
    app = under_litestar(verifier).app
    return litestar.Litestar(
        [route.route_handlers[0] for route in app.routes],
        exception_handlers=app.exception_handlers,
        middleware=[DefineMiddleware(VerifierMiddleware, verifier=verifier, open_paths=["/open"])],
        lifespan=[verifier],
        openapi_config=None,
    )


def under_fastapi(verifier: Verifier) -> Any:
    app = fastapi.FastAPI()
    app.add_middleware(VerifierMiddleware, verifier=verifier, open_paths=["/open"])

    @app.get("/who")
    async def who(request: fastapi.Request) -> dict[str, str]:
        return {"sub": request.auth.sub}

    @app.get("/admin")
    async def admin(request: fastapi.Request) -> str:
        request.auth.require("admin")
        return "in"

    @app.get("/open")
    async def anyone() -> str:
        return "hello"

    @app.exception_handler(VerifierError)
    async def refuse(_: fastapi.Request, exc: VerifierError) -> fastapi.Response:
        return fastapi.Response(exc.body, exc.status, exc.headers)

    return app


def under_starlette(verifier: Verifier) -> Any:
    async def who(request: Request) -> Response:
        return JSONResponse({"sub": request.auth.sub})

    async def admin(request: Request) -> Response:
        request.auth.require("admin")
        return Response("in")

    async def anyone(request: Request) -> Response:
        return Response("hello")

    async def refuse(request: Request, exc: Exception) -> Response:
        assert isinstance(exc, VerifierError)
        return Response(exc.body, exc.status, exc.headers)

    return Starlette(
        routes=[Route("/who", who), Route("/admin", admin), Route("/open", anyone)],
        middleware=[Middleware(VerifierMiddleware, verifier=verifier, open_paths=["/open"])],
        exception_handlers={VerifierError: refuse},
    )


@asynccontextmanager
async def running(app: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """Take an application through its lifespan, as a server does."""
    inbox: list[Any] = [{"type": "lifespan.startup"}]
    started, leave = asyncio.Event(), asyncio.Event()

    async def receive() -> Any:
        if inbox:
            return inbox.pop()
        await leave.wait()
        return {"type": "lifespan.shutdown"}

    async def send(message: Any) -> None:
        assert not message["type"].endswith("failed"), message
        started.set()

    task = asyncio.create_task(app({"type": "lifespan", "state": {}}, receive, send))
    await started.wait()
    try:
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://api.test") as client:
            yield client
    finally:
        leave.set()
        await task


Under = Callable[[Verifier], Any]


@pytest.fixture(params=[under_litestar, inside_litestar, under_fastapi, under_starlette])
async def api(
    request: pytest.FixtureRequest, issuer: StandIn
) -> AsyncIterator[tuple[httpx2.AsyncClient, Verifier]]:
    async with issuer.client() as http:
        verifier = Verifier(ISSUER, AUDIENCE, "orders", "s", http=http, max_staleness=2)
        async with running(request.param(verifier)) as client:
            assert verifier.is_open
            yield client, verifier
        assert not verifier.is_open


def bearing(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


Api = tuple[httpx2.AsyncClient, Verifier]


async def test_the_handler_finds_the_claims_in_request_auth(api: Api, issuer: StandIn) -> None:
    client, _ = api
    answer = await client.get("/who", headers=bearing(issuer.token(sub="ada")))
    assert (answer.status_code, answer.json()) == (200, {"sub": "ada"})
    answer = await client.get("/who", headers={"authorization": f"bEaReR {issuer.token(sub='b')}"})
    assert answer.json() == {"sub": "b"}


async def test_without_a_token_the_challenge_names_no_error(api: Api) -> None:
    client, _ = api
    for headers in ({}, {"Authorization": "Basic YTpi"}):
        answer = await client.get("/who", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Bearer realm="api"'
        assert answer.headers["content-type"] == "application/problem+json"


async def test_a_bad_token_is_told_so_and_not_why(api: Api, issuer: StandIn) -> None:
    client, _ = api
    answers = [
        await client.get("/who", headers=bearing(token))
        for token in (issuer.token(exp=1), "x.y.z", issuer.token(aud="other"))
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert answers[0].headers["www-authenticate"] == 'Bearer realm="api", error="invalid_token"'


async def test_an_unreadable_header_is_a_bad_request(api: Api, issuer: StandIn) -> None:
    client, _ = api
    token = issuer.token()
    for given in (
        [("Authorization", "Bearer")],
        [("Authorization", f"Bearer {token} {token}")],
        [("Authorization", f"Bearer {token}"), ("Authorization", f"Bearer {token}")],
    ):
        answer = await client.get("/who", headers=given)
        assert answer.status_code == 400
        assert 'error="invalid_request"' in answer.headers["www-authenticate"]


async def test_a_handler_may_ask_for_a_scope(api: Api, issuer: StandIn) -> None:
    client, _ = api
    assert (await client.get("/admin", headers=bearing(issuer.token(scope="admin")))).text in {
        "in",
        '"in"',
    }
    answer = await client.get("/admin", headers=bearing(issuer.token()))
    assert answer.status_code == 403
    assert answer.headers["www-authenticate"] == (
        'Bearer realm="api", error="insufficient_scope", scope="admin"'
    )


async def test_an_open_path_opens_no_other(api: Api) -> None:
    client, _ = api
    assert (await client.get("/open")).status_code == 200
    assert (await client.get("/who?x=/open")).status_code == 401
    for path in ("/open/../who", "/open/%2e%2e/who", "//who", "/who/", "/openly", "/open/who"):
        answer = await client.get(path)
        # some frameworks answer for themselves where nothing is
        assert answer.status_code in {401, 404, 307}, path


async def test_a_stale_verifier_answers_503_with_retry_after(api: Api, issuer: StandIn) -> None:
    client, verifier = api
    issuer.down = {"*"}
    await until_stale(verifier)
    answer = await client.get("/who", headers=bearing(issuer.token()))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "www-authenticate" not in answer.headers


async def until_stale(verifier: Verifier) -> None:
    async def is_stale() -> bool:
        return verifier.staleness > 2

    await eventually(is_stale)


async def test_the_middleware_may_ask_every_token_for_scopes(
    verifier: Verifier, issuer: StandIn
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await Response("in")(scope, receive, send)

    guarded = VerifierMiddleware(app, verifier, scopes=["agentes", "admin"])
    transport = httpx2.ASGITransport(app=guarded)
    async with httpx2.AsyncClient(transport=transport, base_url="http://api.test") as client:
        good = await client.get("/", headers=bearing(issuer.token(scope="agentes admin")))
        assert good.status_code == 200
        answer = await client.get("/", headers=bearing(issuer.token()))
        assert answer.status_code == 403
        assert 'scope="agentes admin"' in answer.headers["www-authenticate"]


async def test_starlettes_own_requires_reads_the_scopes(
    verifier: Verifier, issuer: StandIn
) -> None:
    @requires("admin")
    async def admin(request: Request) -> Response:
        return Response("in")

    app = VerifierMiddleware(Starlette(routes=[Route("/", admin)]), verifier)
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://api.test") as client:
        ok = await client.get("/", headers=bearing(issuer.token(scope="admin")))
        assert ok.status_code == 200
        assert (await client.get("/", headers=bearing(issuer.token()))).status_code == 403


@pytest.mark.parametrize("extensions", [{}, {"websocket.http.response": {}}])
async def test_a_websocket_without_a_token_is_never_accepted(
    verifier: Verifier, issuer: StandIn, extensions: dict[str, Any]
) -> None:
    reached, sent = [], []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope["auth"].sub)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    guarded = VerifierMiddleware(app, verifier)
    scope: dict[str, Any] = {
        "type": "websocket",
        "path": "/",
        "headers": [],
        "extensions": extensions,
    }
    await guarded(dict(scope), receive, send)
    assert not reached
    if extensions:
        assert [message["type"] for message in sent] == [
            "websocket.http.response.start",
            "websocket.http.response.body",
        ]
        assert sent[0]["status"] == 401
    else:
        assert sent == [{"type": "websocket.close", "code": 1008}]
    scope["headers"] = [(b"authorization", b"Bearer " + issuer.token(sub="ada").encode())]
    await guarded(scope, receive, send)
    assert reached == ["ada"]


class WithoutLifespan:
    """What Django's `get_asgi_application()` is: it takes requests and raises at anything else."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise ValueError(f"Django can only handle ASGI/HTTP connections, not {scope['type']}.")
        await JSONResponse({"sub": scope["auth"].sub if "auth" in scope else None})(
            scope, receive, send
        )


async def test_without_a_lifespan_the_first_requests_open_the_verifier_once(
    issuer: StandIn,
) -> None:
    async with issuer.client() as http:
        verifier = Verifier(ISSUER, AUDIENCE, "orders", "s", http=http, max_staleness=2)
        app = VerifierMiddleware(WithoutLifespan(), verifier, open_paths=["/open"])
        with pytest.raises(ValueError, match="lifespan"):  # which servers take for "has none"
            await app({"type": "lifespan", "state": {}}, None, None)
        assert not verifier.is_open
        issuer.asked.clear()
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://api.test") as client:
            assert (await client.get("/open")).json() == {"sub": None}
            assert not verifier.is_open
            first = [client.get("/who", headers=bearing(issuer.token(sub="ada"))) for _ in range(9)]
            answers = await asyncio.gather(*first)
            assert [answer.json() for answer in answers] == [{"sub": "ada"}] * 9
            assert issuer.asked.count("/.well-known/jwks.json") == 1
            assert (await client.get("/who", headers=bearing("x.y.z"))).status_code == 401
        await verifier.__aexit__(None, None, None)


async def test_a_first_request_that_is_given_up_leaves_the_next_to_open_it(
    issuer: StandIn,
) -> None:
    async with issuer.client() as http:
        verifier = Verifier(ISSUER, AUDIENCE, "orders", "s", http=http, max_staleness=2)
        transport = httpx2.ASGITransport(app=VerifierMiddleware(WithoutLifespan(), verifier))
        async with httpx2.AsyncClient(transport=transport, base_url="http://api.test") as client:
            issuer.mute = {"/.well-known/jwks.json"}
            given_up = asyncio.create_task(client.get("/who", headers=bearing(issuer.token())))
            await eventually(lambda: answered(verifier.is_open))
            given_up.cancel()
            await asyncio.wait([given_up])
            assert not verifier.is_open
            issuer.mute = set()
            answer = await client.get("/who", headers=bearing(issuer.token(sub="ada")))
            assert answer.json() == {"sub": "ada"}
        await verifier.__aexit__(None, None, None)


async def answered(so: bool) -> bool:  # noqa: FBT001 - what `eventually` asks for
    return so
