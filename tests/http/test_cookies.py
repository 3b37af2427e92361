"""Cookies: written byte for byte, read exactly, cleared by sign-out alone."""

from collections.abc import Callable
from datetime import timedelta

import httpx2
import pytest

from service.http import cookies
from service.http.edge import Edge
from service.kernel.refusal import Refused
from service.policy import Limit, Limits, Policy
from service.runtime import Runtime
from tests import given
from tests.http import asking
from tests.http.asking import REFRESH
from tests.world import GENEROUS, ORIGIN

FLAGS = "Path=/; Secure; HttpOnly; SameSite=Strict"
JSON = (b"content-type", b"application/json")


async def test_a_sign_in_sets_both_cookies_with_every_flag(
    rt: Runtime, client: httpx2.AsyncClient
) -> None:
    rt.clock.freeze(rt.clock.now())
    answer = await asking.sign_in(client, await given.a_person(rt))
    token, device = asking.cookie(answer), asking.cookie(answer, asking.DEVICE)
    month, half_a_year = 30 * 86_400, 180 * 86_400
    assert answer.headers.get_list("set-cookie") == [
        f"__Host-refresh={token}; Max-Age={month}; {FLAGS}",
        f"__Host-device={device}; Max-Age={half_a_year}; {FLAGS}",
    ]


async def test_a_refresh_sets_the_refresh_cookie_alone(
    rt: Runtime, client: httpx2.AsyncClient
) -> None:
    await asking.sign_in(client, await given.a_person(rt))
    answer = await asking.renew(client)
    assert list(asking.set_cookies(answer)) == [REFRESH]
    assert asking.set_cookies(answer)[REFRESH].endswith(FLAGS)


async def test_sign_out_clears_the_cookie_and_keeps_the_device(
    rt: Runtime, client: httpx2.AsyncClient
) -> None:
    answer = await asking.sign_in(client, await given.a_person(rt))
    device = asking.cookie(answer, asking.DEVICE)
    out = await client.post("/auth/logout", json={})
    assert (out.status_code, out.content) == (204, b"")
    assert out.headers.get_list("set-cookie") == [f"__Host-refresh=; Max-Age=0; {FLAGS}"]
    assert dict(client.cookies) == {asking.DEVICE: device}


async def test_a_refresh_that_fails_never_clears_or_sets_a_cookie(
    rt: Runtime, client: httpx2.AsyncClient
) -> None:
    rt.clock.freeze(rt.clock.now())
    answer = await asking.sign_in(client, await given.a_person(rt))
    first = asking.cookie(answer)
    await asking.renew(client)
    await asking.renew(client)
    rt.clock.advance(timedelta(minutes=1))  # beyond every grace
    for token in (first, "nonsense", first[:-1]):
        refused = await asking.renew(client, token)
        assert refused.status_code == 401
        assert "set-cookie" not in refused.headers
    refused = await asking.renew(client, f"{first}; {REFRESH}={first}")
    assert refused.status_code == 400
    assert "set-cookie" not in refused.headers


class TestLimited:
    """Policy allows two refreshes a minute."""

    @pytest.fixture
    def policy(self) -> Policy:
        return Policy(limits=Limits(login=GENEROUS, refresh=Limit(2, 60)))

    async def test_a_limited_refresh_clears_nothing_and_says_when(
        self, rt: Runtime, client: httpx2.AsyncClient
    ) -> None:
        await asking.sign_in(client, await given.a_person(rt))
        statuses = [(await asking.renew(client)).status_code for _ in range(2)]
        limited = await asking.renew(client)
        assert statuses == [200, 200]
        assert limited.status_code == 429
        assert 0 < int(limited.headers["retry-after"]) <= 60
        assert "set-cookie" not in limited.headers


@pytest.mark.parametrize(
    ("header", "value"),
    [
        (b"__Host-refresh=good", "good"),
        (b"a=b; __Host-refresh=good; c=d", "good"),
        (b"a=b;__Host-refresh=good;c=d", "good"),
        (b"a=b;\t__Host-refresh=good\t;", "good"),
        (b"__Host-refresh=a=b", "a=b"),
        (b"__Host-refresh=", ""),
        (b"", None),
        (b"__Host-refresh", None),
        (b"__host-refresh=bad", None),
        (b"__Host-refresh =bad", None),
        (b"\xa0__Host-refresh=bad", None),
        (b"\xc2\xa0__Host-refresh=bad", None),
        (b"\x0b__Host-refresh=bad", None),
        (b"\x1c__Host-refresh=bad", None),
        (b"\x85__Host-refresh=bad", None),
        (b"x__Host-refresh=bad", None),
        (b"x=__Host-refresh=bad", None),
        (b'"__Host-refresh"=bad', None),
        (b"$__Host-refresh=bad", None),
        (b"__Host-refresh2=bad", None),
        (b"__Host-refresh%3Dbad", None),
        (b"a=b, __Host-refresh=bad", None),
    ],
)
def test_a_cookie_is_read_by_its_exact_name(header: bytes, value: str | None) -> None:
    assert cookies.read([(b"cookie", header)], REFRESH) == value


@pytest.mark.parametrize(
    "headers",
    [
        [b"__Host-refresh=a; __Host-refresh=b"],
        [b"__Host-refresh=a; __Host-refresh=a"],
        [b"__Host-refresh=a", b"__Host-refresh=a"],
        [b"__Host-refresh=\xff"],
        [b"__Host-refresh=" + b"a" * 513],
    ],
)
def test_a_cookie_that_is_there_twice_or_is_none_of_ours_is_refused(headers: list[bytes]) -> None:
    with pytest.raises(Refused, match="twice or malformed"):
        cookies.read([(b"cookie", header) for header in headers], REFRESH)


@pytest.mark.parametrize("path", ["/auth/refresh", "/auth/logout", "/auth/logout-all"])
async def test_a_doubled_cookie_is_a_bad_request_and_ends_nothing(
    rt: Runtime, client: httpx2.AsyncClient, app: Edge, path: str
) -> None:
    answer = await asking.sign_in(client, await given.a_person(rt))
    twice = f"{REFRESH}={asking.cookie(answer)}".encode()
    for headers in ([(b"cookie", twice + b"; " + twice)], [(b"cookie", twice)] * 2):
        refused = await asking.raw(app, "POST", path, [JSON, *headers], b"{}")
        assert refused.status == 400
    assert await given.live_families(rt) == 1


@pytest.mark.parametrize("path", ["/auth/refresh", "/auth/logout", "/auth/logout-all"])
@pytest.mark.parametrize(
    "kind",
    [None, b"text/plain", b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=a"],
)
async def test_a_cookie_acts_on_json_alone(
    rt: Runtime, client: httpx2.AsyncClient, app: Edge, path: str, kind: bytes | None
) -> None:
    answer = await asking.sign_in(client, await given.a_person(rt))
    headers = [(b"cookie", f"{REFRESH}={asking.cookie(answer)}".encode())]
    if kind:
        headers.append((b"content-type", kind))
    refused = await asking.raw(app, "POST", path, headers, b"{}")
    assert refused.status == 415
    assert await given.live_families(rt) == 1


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": ORIGIN}, 200),
        ({"origin": "https://auth.test"}, 200),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "none"}, 200),
        ({"origin": ORIGIN, "sec-fetch-site": "same-site"}, 200),
        ({"origin": "https://evil.test"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": ""}, 403),
        ({"origin": ORIGIN + ".evil.test"}, 403),
        ({"origin": ORIGIN.upper()}, 403),
        ({"origin": ORIGIN + "/"}, 403),
        ({"origin": ORIGIN.replace("https", "http")}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
    ],
)
@pytest.mark.parametrize("path", ["/auth/login", "/auth/refresh", "/auth/logout"])
async def test_a_page_of_another_origin_gets_nothing_done(
    rt: Runtime, client: httpx2.AsyncClient, headers: dict[str, str], status: int, path: str
) -> None:
    ada = await given.a_person(rt)
    await asking.sign_in(client, ada)
    body = {"email": ada.email, "password": ada.password} if path.endswith("login") else {}
    answer = await client.post(path, json=body, headers=headers)
    assert answer.status_code == (204 if (path, status) == ("/auth/logout", 200) else status)
    if status == 403:
        assert "set-cookie" not in answer.headers
        assert await given.kinds(rt) == ["sign_in.succeeded"]


async def test_sign_out_with_an_expired_bearer_token_ends_the_cookie_s_session(
    rt: Runtime, client: httpx2.AsyncClient
) -> None:
    answer = await asking.sign_in(client, await given.a_person(rt))
    rt.clock.advance(timedelta(hours=1))
    out = await client.post("/auth/logout", json={}, headers=asking.bearer(answer))
    assert out.status_code == 204
    assert await given.live_families(rt) == 0


async def test_sign_out_with_cookie_and_token_of_two_sessions_leaves_neither(
    rt: Runtime, browser: Callable[..., httpx2.AsyncClient]
) -> None:
    ada, bob = await given.a_person(rt), await given.a_person(rt, "bob@acme.example")
    shared = browser()
    of_ada = await asking.sign_in(shared, ada)
    await asking.sign_in(shared, bob)
    out = await shared.post("/auth/logout", json={}, headers=asking.bearer(of_ada))
    assert out.status_code == 204
    assert await given.live_families(rt) == 0
    assert await given.kinds(rt) == ["sign_in.succeeded"] * 2 + ["session.ended"] * 2


async def test_sign_out_by_bearer_token_alone_and_by_nobody(
    rt: Runtime, client: httpx2.AsyncClient
) -> None:
    answer = await asking.sign_in(client, await given.a_person(rt))
    client.cookies.clear()
    assert (await client.post("/auth/logout", headers=asking.bearer(answer))).status_code == 204
    assert await asking.me(client, answer) == 401
    assert (await client.post("/auth/logout")).status_code == 204
    assert (await client.post("/auth/logout-all")).status_code == 401
    assert (await given.kinds(rt)).count("session.ended") == 1


async def test_a_refresh_without_a_cookie_is_refused(app: Edge, client: httpx2.AsyncClient) -> None:
    refused = await client.post("/auth/refresh", json={})
    assert refused.status_code == 401
    assert refused.json()["type"] == "urn:tesserra:refusal:invalid_grant"
