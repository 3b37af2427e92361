"""A route's dialect is its own word: it decides how errors are told and what answers carry."""

from collections.abc import AsyncIterator

import httpx2
import pytest
from litestar import Litestar, MediaType, Response, Router, get, post

from service.app import litestar_app
from service.http import exceptions
from service.http.dialect import CARRIED, Dialect, Neighbours, of_route, page_csp, speaks
from service.http.edge import Edge
from service.http.validation import check_request
from service.kernel import log
from service.kernel.clock import Clock
from service.kernel.leaving import Leaving
from service.kernel.refusal import Reason, Refused
from service.kernel.secret import Secret
from service.settings import Settings
from tests.http import asking
from tests.world import ORIGIN

SETTINGS = Settings(
    issuer="https://auth.test",
    database_url=Secret(""),
    redis_url=Secret(""),
    master_keys=(),
    allowed_origins=(ORIGIN,),
)


@get("/sign-in", opt=speaks(Dialect.PAGE))
async def sign_in_page() -> Response[bytes]:
    """Show a page whose form leads to a client."""
    return Response(
        b"<p>Welcome",
        media_type=MediaType.HTML,
        headers={"Content-Security-Policy": page_csp("https://app.example").decode()},
    )


@get("/plain-page", opt=speaks(Dialect.PAGE))
async def plain_page() -> Response[bytes]:
    """Show a page without a form."""
    return Response(b"<p>Welcome", media_type=MediaType.HTML)


@post("/sign-in", opt=speaks(Dialect.PAGE))
async def refusing_page() -> None:
    """Refuse, with words that must be escaped."""
    raise Refused(Reason.TOO_MANY, "<b>wait</b>", retry_after=7)


@post("/broken-page", opt=speaks(Dialect.PAGE))
async def broken_page() -> None:
    """Fail."""
    raise ZeroDivisionError


@post("/token")
async def refusing_token() -> None:
    """Refuse."""
    raise Refused(Reason.TOO_MANY, "wait", retry_after=7)


@post("/broken-token")
async def broken_token() -> None:
    """Fail."""
    raise ZeroDivisionError


@post("/api")
async def refusing_api() -> None:
    """Refuse."""
    raise Refused(Reason.TOO_MANY, "wait", retry_after=7)


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    """Every route of both routers stands under one path: only its own word tells them apart."""
    app = Litestar(
        route_handlers=[
            Router("/one", route_handlers=[sign_in_page, refusing_page, plain_page, broken_page]),
            Router(
                "/one", route_handlers=[refusing_token, broken_token], opt=speaks(Dialect.OAUTH)
            ),
            Router("/", route_handlers=[refusing_api]),
        ],
        before_request=check_request,
        exception_handlers=exceptions.HANDLERS,
        logging_config=None,
        openapi_config=None,
    )
    app.state.neighbours = Neighbours(app)
    app.state.leaving = Leaving()
    transport = httpx2.ASGITransport(Edge(app, SETTINGS, Clock(), hot=()))  # type: ignore[arg-type]
    async with httpx2.AsyncClient(transport=transport, base_url="https://auth.test") as asked:
        yield asked
    log.flush()  # what a lifespan does: lines that wait are nobody else's


def test_every_dialect_has_its_headers_and_none_goes_undefended() -> None:
    assert CARRIED.keys() == set(Dialect)
    for carried in CARRIED.values():
        names = [name.decode() for name, _ in carried.headers]
        assert len(names) == len(set(names))
        assert {*asking.DEFENSIVE, "x-frame-options", "cache-control"} <= set(names)


async def test_a_page_has_the_policy_of_pages_and_may_add_where_its_form_leads(
    client: httpx2.AsyncClient,
) -> None:
    plain = await client.get("/one/plain-page")
    assert plain.headers.get_list("content-security-policy") == [page_csp().decode()]
    assert "form-action 'self';" in plain.headers["content-security-policy"]
    assert plain.headers["referrer-policy"] == "same-origin"
    assert plain.headers["cache-control"] == "no-store"
    leading = await client.get("/one/sign-in")
    (policy,) = leading.headers.get_list("content-security-policy")
    assert "form-action 'self' https://app.example;" in policy
    assert "script-src 'self';" in policy


async def test_a_page_tells_of_errors_by_a_page(client: httpx2.AsyncClient) -> None:
    refused = await client.post("/one/sign-in")
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "7")
    assert refused.headers["content-type"] == "text/html; charset=utf-8"
    assert refused.headers["content-security-policy"] == page_csp().decode()
    assert "<h1>Too many requests</h1>" in refused.text
    assert "&lt;b&gt;wait&lt;/b&gt;" in refused.text
    assert refused.headers["x-request-id"] in refused.text
    broken = await client.post("/one/broken-page")
    assert broken.status_code == 500
    assert "<h1>Something went wrong here</h1>" in broken.text
    assert "ZeroDivision" not in broken.text
    wrong_method = await client.put("/one/sign-in")
    assert (wrong_method.status_code, wrong_method.text[:9]) == (405, "<!doctype")
    assert "POST" in wrong_method.headers["allow"]


async def test_its_neighbours_under_the_same_path_speak_otherwise(
    client: httpx2.AsyncClient,
) -> None:
    token = await client.post("/one/token")
    assert (token.status_code, token.headers["retry-after"]) == (429, "7")
    assert token.json() == {"error": "temporarily_unavailable", "error_description": "wait"}
    assert (token.headers["pragma"], token.headers["referrer-policy"]) == (
        "no-cache",
        "no-referrer",
    )
    broken = await client.post("/one/broken-token")
    assert (broken.status_code, broken.json()) == (500, {"error": "server_error"})
    api = await client.post("/api")
    assert api.headers["content-type"] == "application/problem+json"
    assert (api.status_code, api.headers["retry-after"]) == (429, "7")
    assert "pragma" not in api.headers
    for answer in (token, broken, api):
        assert "default-src 'none'" in answer.headers["content-security-policy"]


async def test_scripts_of_allowed_origins_read_what_programs_are_answered_and_no_page(
    client: httpx2.AsyncClient,
) -> None:
    origin = {"origin": ORIGIN}
    asks = {**origin, "access-control-request-method": "POST"}
    for path, readable in (("/one/token", True), ("/api", True), ("/one/sign-in", False)):
        answers = [
            await client.post(path, headers=origin),
            await client.options(path, headers=asks),
        ]
        for answer in answers:
            assert ("access-control-allow-origin" in answer.headers) is readable, path


async def test_of_what_no_route_answers_the_nearest_router_tells_the_dialect(
    client: httpx2.AsyncClient,
) -> None:
    for path in ("/one/nothing", "/one/token/nothing", "/one//token"):
        answer = await client.get(path)
        assert (answer.status_code, answer.json()["error"]) == (404, "invalid_request"), path
    assert (await client.get("/one/token")).json()["error"] == "invalid_request"  # 405
    for path in ("/", "/nothing", "/onesie", "/x/one/token", "/api/nothing"):
        answer = await client.get(path)
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json", path


async def test_a_long_path_costs_no_more_than_its_length(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/one" + "/a" * 30_000)
    assert answer.json()["error"] == "invalid_request"


def test_routes_of_the_service_that_speak_oauth_are_these() -> None:
    app = litestar_app(SETTINGS, [])
    spoken = {
        route.path: {of_route(handler) for handler in route.route_handlers}
        for route in app.routes
        if hasattr(route, "route_handlers")
    }
    oauth = {path for path, dialects in spoken.items() if dialects == {Dialect.OAUTH}}
    assert oauth == {"/oauth/token", "/oauth/introspect", "/oauth/revoke"}
    assert all(spoken[path] == {Dialect.API} for path in spoken.keys() - oauth)
