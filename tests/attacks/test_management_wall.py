"""The management API is walled off: a token of or for another application opens nothing.

Every route of openapi/ that manages something, tried with every kind of token that is good
somewhere else.  And what a machine opens by each management scope: its routes, and no other.
"""

from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import msgspec
import pytest

from service.domain.clients import Client
from service.domain.tokens import Claims
from service.domain.users import ROLES
from service.flows.shared.permissions import (
    MANAGEMENT_SCOPES,
    OF_THE_PLATFORM,
    Scope,
    management_scope,
)
from service.kernel import ids
from service.kernel.call import PLATFORM_ADMIN
from service.runtime import Runtime
from tests import given
from tests.attacks.doors import (
    an_organization,
    document,
    everything,
    fresh_slug,
    signed_in,
)
from tests.attacks.management import (
    NEEDS,
    OF_PEOPLE,
    OF_SERVICES,
    WITHOUT_A_TOKEN,
    ask,
    routes,
)
from tests.clients import a_service
from tests.http import asking
from tests.keys import Owner, exchange
from tests.world import ISSUER

Browser = Callable[..., httpx2.AsyncClient]
EVERY_ROLE = (*ROLES, PLATFORM_ADMIN)
OTHERS = ("https://api.example", f"{ISSUER}/", ISSUER.upper(), ISSUER[:-1], "")
"""What `aud` may be that is not ours."""


def token_of(http: httpx2.AsyncClient) -> str:
    return http.headers["authorization"].removeprefix("Bearer ")


def minted(rt: Runtime, token: str, **claims: object) -> str:
    """Return a genuine token like another, but for these claims."""
    found = msgspec.convert(given.claims(token), Claims)
    changed = msgspec.structs.replace(found, jti=str(ids.new(rt.clock.now())), **claims)
    return rt.tokens.mint(rt.keyring.signing(rt.clock.now()), changed)


def foreign(rt: Runtime, token: str, client_id: str) -> Iterator[tuple[str, str]]:
    """Return tokens of a person that another application holds, or another service is meant by."""
    for roles in ((), *((role,) for role in EVERY_ROLE), EVERY_ROLE):
        yield f"client, {roles}", minted(rt, token, client_id=client_id, roles=roles)
        yield f"audience, {roles}", minted(rt, token, aud=OTHERS[0], roles=roles)
    both = {"aud": OTHERS[0], "client_id": client_id, "roles": EVERY_ROLE}
    yield "both", minted(rt, token, **both)
    yield "no such client", minted(rt, token, client_id="nobody", roles=EVERY_ROLE)
    for audience in OTHERS:
        yield f"audience {audience!r}", minted(rt, token, aud=audience, roles=EVERY_ROLE)


def test_every_route_stands_in_one_list() -> None:
    lists = [*NEEDS, *OF_PEOPLE, *OF_SERVICES]
    assert sorted(lists) == sorted(routes())
    assert not WITHOUT_A_TOKEN.keys() & set(lists)


async def test_a_token_of_or_for_another_application_opens_nothing(
    rt: Runtime, browser: Browser
) -> None:
    objects = await an_organization(rt, inside := browser(), browser())
    platform = browser()
    await signed_in(rt, platform, email="root@top.example", slug="top", platform_admin=True)
    other = await a_service(rt, browser(), "agentes", organization="acme")
    before, tried = await everything(rt), 0
    http = browser()
    tokens = [*foreign(rt, token_of(platform), other.client_id)]
    tokens += [*foreign(rt, token_of(inside), other.client_id)][-8:]
    for what, token in tokens:
        for route in routes():
            answer = await ask(http, route, objects, token)
            assert answer.status_code == 403, f"{route}, {what}: {answer.text}"
            if route not in OF_SERVICES:
                assert "another" in answer.json()["detail"], answer.text
            tried += 1
    assert tried >= 25 * 65
    assert await everything(rt) == before
    for who in (inside, platform):
        assert (await who.get("/auth/me")).status_code == 200


async def test_a_machine_without_a_management_scope_and_an_api_key_open_nothing(
    rt: Runtime, browser: Browser
) -> None:
    objects = await an_organization(rt, inside := browser(), browser())
    await given.a_person(rt, "root@top.example", slug="top", platform_admin=True)
    owner = Owner(inside, await given.a_person(rt, "eve@acme.example"))
    key = (await owner.create(owner="organization"))["secret"]
    tokens = {
        "of the platform": (await a_service(rt, browser(), "agentes", *Scope)).token,
        "of the organization": (
            await a_service(rt, browser(), "agentes", *Scope, organization="acme")
        ).token,
        "key": key,
        "exchanged": (await exchange(browser(), key)).json()["access_token"],
    }
    every = await a_service(rt, browser(), *Scope, *MANAGEMENT_SCOPES)
    tokens["for another service"] = minted(rt, every.token, aud=OTHERS[0])
    before = await everything(rt, but=("auth_api_keys",))
    for what, token in tokens.items():
        for route in routes():
            if route in OF_SERVICES and what != "for another service":
                continue  # open to these, and one of them answers when something is revoked
            answer = await ask(browser(), route, objects, token)
            told = f"{route}, {what}: {answer.status_code} {answer.text}"
            if what == "for another service" or route not in OF_SERVICES:
                assert answer.status_code == 403, told
    assert await everything(rt, but=("auth_api_keys",)) == before
    answer = await ask(browser(), "GET /auth/me", objects, every.token)
    assert "person" in answer.json()["detail"]


HOMELESS = {"GET /api-keys", "POST /api-keys"}
"""Routes of one's own organization, which a client of the platform has not: 400."""

ORDER = ("GET", "PUT", "PATCH", "POST", "DELETE")
"""What is gone, or has ended, is asked for last."""


@pytest.mark.parametrize("of_platform", [False, True])
async def test_a_machine_opens_by_a_management_scope_its_routes_and_no_other(
    rt: Runtime, browser: Browser, *, of_platform: bool
) -> None:
    tried = 0
    for scope, permission in MANAGEMENT_SCOPES.items():
        if permission in OF_THE_PLATFORM and not of_platform:
            continue
        slug = fresh_slug()
        objects = await an_organization(rt, browser(), browser(), slug)
        await given.no_pending_key(rt)
        organization = None if of_platform else slug
        machine = await a_service(rt, browser(), scope, "agentes", organization=organization)
        opened = set()
        for route in sorted(NEEDS, key=lambda route: ORDER.index(route.split()[0])):
            answer = await ask(machine.http, route, objects, machine.token)
            told = f"{scope} at {route}: {answer.status_code} {answer.text}"
            if of_platform and route in HOMELESS and NEEDS[route] is permission:
                assert answer.status_code == 400, told
                opened.add(route)
            elif answer.status_code == 403:
                assert "insufficient_scope" in answer.json()["type"], told
                assert management_scope(NEEDS[route]) in answer.json()["detail"], told
            else:
                assert answer.status_code in {200, 201, 204, 404, 409}, told
                opened.add(route)
            tried += 1
        assert opened == {route for route, needed in NEEDS.items() if needed is permission}, scope
    assert tried >= 18 * 50


async def test_a_first_party_client_opens_until_it_is_none_and_costs_no_query_a_request(
    rt: Runtime, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is known of a client is a minute old at most, and read again after its revocation."""
    root = browser()
    await signed_in(rt, root, email="root@top.example", slug="top", platform_admin=True)
    first = await a_service(rt, browser(), "agentes")
    await set_first_party(rt, first.client_id, value=True)
    token = minted(rt, token_of(root), client_id=first.client_id)
    http, headers = browser(), {"authorization": f"Bearer {token}"}
    assert (await http.get("/admin/users", headers=headers)).status_code == 200
    reads: list[str] = []
    read = rt.clients.read

    async def counted(client_id: str, *given: Any, **more: Any) -> Client | None:
        reads.append(client_id)
        return await read(client_id, *given, **more)

    monkeypatch.setattr(rt.clients, "read", counted)
    for _ in range(5):
        assert (await http.get("/auth/me", headers=headers)).status_code == 200
    assert reads == []
    await set_first_party(rt, first.client_id, value=False)
    revoked = {"kind": "client_id", "value": first.client_id}
    assert (await root.post("/revocations", json=revoked)).status_code == 201
    later = int(rt.clock.now().timestamp()) + 2
    fresh = minted(rt, token_of(root), client_id=first.client_id, iat=later, exp=later + 60)
    for old, refused in ((token, 401), (fresh, 403)):
        answer = await http.get("/auth/me", headers={"authorization": f"Bearer {old}"})
        assert answer.status_code == refused, answer.text
    assert 1 <= len(reads) <= 2


async def set_first_party(rt: Runtime, client_id: str, *, value: bool) -> None:
    async with rt.pg.autocommit() as tx:
        await tx.execute(
            "UPDATE auth_clients SET first_party = $2 WHERE client_id = $1", client_id, value
        )


OF_THE_COOKIE = {
    "POST /auth/logout": 204,
    "POST /auth/logout-all": 401,
    "POST /auth/refresh": 401,
}
"""The routes that act by the refresh cookie, and what each answers to another client's token."""


def test_every_route_by_cookie_stands_in_one_list() -> None:
    found = {
        f"{method.upper()} {path}"
        for path, operations in document()["paths"].items()
        for method, operation in operations.items()
        if {"refreshCookie": []} in operation.get("security", ())
    }
    assert found == OF_THE_COOKIE.keys()


@pytest.mark.parametrize("first_party", [False, True])
async def test_a_refresh_token_of_another_application_is_no_cookie(
    rt: Runtime, browser: Browser, *, first_party: bool
) -> None:
    """Its person stays signed in everywhere: here, and at that application."""
    service = await a_service(rt, browser(), "agentes")
    await set_first_party(rt, service.client_id, value=first_party)
    person = await given.a_person(rt)
    here, there = browser(), browser()
    mine = await asking.sign_in(here, person)
    other = await asking.sign_in(there, person)
    async with rt.pg.reading() as tx:
        await tx.execute(
            "UPDATE auth_sessions SET client_id = $1 WHERE session_id = $2",
            service.client_id,
            other.json()["session_id"],
        )
    cookie = {"cookie": f"{asking.REFRESH}={asking.cookie(other)}"}
    for route, expected in OF_THE_COOKIE.items():
        answer = await browser().post(route.split()[1], json={}, headers=cookie)
        assert answer.status_code == expected, (route, answer.text)
        assert await given.live_families(rt, person.user_id) == 2, route
    assert (await here.get("/auth/me", headers=asking.bearer(mine))).status_code == 200
    assert (await asking.renew(here)).status_code == 200
