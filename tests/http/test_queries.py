"""Query strings, on every route that takes parameters."""

import json
import re
from collections.abc import Callable, Iterator
from uuid import uuid4

import httpx2

from service.embedded.checkout import ROOT
from service.runtime import Runtime
from tests.keys import an_owner

Browser = Callable[..., httpx2.AsyncClient]

_OPENAPI = json.loads((ROOT / "openapi" / "tesserra-auth.json").read_text())


def _routes() -> Iterator[tuple[str, str, str]]:
    """Yield method, path and one query parameter."""
    for path, operations in _OPENAPI["paths"].items():
        for method, operation in operations.items():
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "query":
                    yield method.upper(), path, parameter["name"]


async def test_what_a_route_does_not_take_or_not_twice_is_refused(
    rt: Runtime, browser: Browser, client: httpx2.AsyncClient
) -> None:
    owner = await an_owner(rt, browser(), platform_admin=True)
    routes = list(_routes())
    assert len(routes) > 30
    for method, path, name in routes:
        where = re.sub(r"\{\w+\}", lambda _: str(uuid4()), path.replace("{version}", "1"))
        unknown = await owner.ask(method, where, params={f"{name}_": "1"})
        assert (unknown.status_code, name in unknown.json()["detail"]) == (400, True), where
        twice = await owner.ask(method, f"{where}?{name}=1&{name}=1")
        assert (twice.status_code, twice.json()["fields"]) == (400, [name]), where
        stranger = await client.request(method, f"{where}?{name}=1&{name}=1")
        assert stranger.status_code == 401, where


async def test_where_no_parameter_is_taken_none_disturbs(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/.well-known/jwks.json?utm_source=x&utm_source=y")
    assert answer.status_code == 200


async def test_a_page_of_the_feed_has_an_entry_at_least(rt: Runtime, browser: Browser) -> None:
    owner = await an_owner(rt, browser(), platform_admin=True)
    answer = await owner.ask("GET", "/revocations?limit=0")
    assert (answer.status_code, answer.json()["fields"]) == (400, ["limit"])


async def test_a_page_of_two_origins_is_of_none_that_is_allowed(
    rt: Runtime, browser: Browser
) -> None:
    issuer = rt.settings.issuer
    sent = {"email": "ada@acme.example", "password": "wrong"}
    for origins, status in (([issuer], 401), ([issuer, issuer], 403), ([issuer, "null"], 403)):
        answer = await browser().post(
            "/auth/login", json=sent, headers=[("origin", origin) for origin in origins]
        )
        assert answer.status_code == status, answer.text
