"""Rate limits: whose budget it is, and that Retry-After is the truth."""

import asyncio
import re
from collections.abc import Callable

import httpx2
import pytest
import structlog

from service.http.address import ClientAddresses, client_address, networks
from service.http.edge import Edge
from service.kernel.clock import Clock
from service.policy import Limit, Limits, Policy
from service.runtime import Runtime
from tests import given
from tests.http import asking
from tests.keys import an_owner
from tests.world import GENEROUS, ORIGIN

JSON = (b"content-type", b"application/json")
FORM = b'{"email": "nobody@acme.example", "password": "wrong password"}'


class TestByAddress:
    """The limits of the contract."""

    @pytest.fixture
    def policy(self) -> Policy:
        return Policy()

    async def status(self, app: Edge, *forwarded: bytes, peer: str | None = "127.0.0.1") -> int:
        headers = [JSON, *((b"x-forwarded-for", one) for one in forwarded)]
        return (await asking.raw(app, "POST", "/auth/login", headers, FORM, peer=peer)).status

    async def test_five_sign_ins_in_fifteen_minutes_and_no_sixth(
        self, rt: Runtime, client: httpx2.AsyncClient, browser: Callable[..., httpx2.AsyncClient]
    ) -> None:
        ada = await given.a_person(rt)
        answers = [await asking.sign_in(client, ada) for _ in range(7)]
        assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 2
        assert 890 <= int(answers[-1].headers["retry-after"]) <= 900
        assert (await asking.sign_in(browser(ip="198.51.100.1"), ada)).status_code == 200

    async def test_parallel_sign_ins_of_one_address_are_five(self, rt: Runtime, app: Edge) -> None:
        statuses = await asyncio.gather(*(self.status(app, b"192.0.2.9") for _ in range(40)))
        assert sorted(statuses) == [401] * 5 + [429] * 35

    async def test_an_address_without_budget_takes_no_place_in_the_queue_of_hashes(
        self, rt: Runtime, app: Edge, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Else some hundred connections of one had most others refused, and bought no hash."""
        statuses = [await self.status(app, b"192.0.2.9") for _ in range(6)]
        assert statuses == [401] * 5 + [429]
        monkeypatch.setattr(rt.passwords, "_coming", 1_000_000)
        assert await self.status(app, b"192.0.2.9") == 429
        assert await self.status(app, b"192.0.2.10") == 503

    async def test_a_forged_header_makes_no_new_budget(self, rt: Runtime, app: Edge) -> None:
        forged = [f"10.9.8.{n}, 192.0.2.9".encode() for n in range(7)]
        assert [await self.status(app, one) for one in forged] == [401] * 5 + [429] * 2

    async def test_who_is_no_trusted_proxy_says_nothing_about_addresses(
        self, rt: Runtime, app: Edge
    ) -> None:
        statuses = [
            await self.status(app, f"198.51.100.{n}".encode(), peer="203.0.113.5") for n in range(7)
        ]
        assert statuses == [401] * 5 + [429] * 2

    async def test_what_is_no_address_counts_against_the_proxy_that_sent_it(
        self, rt: Runtime, app: Edge
    ) -> None:
        nonsense = [b"", b"unknown", b"\xff\xfe", b"1.2.3", b"999.1.1.1", b"a" * 9000, b"_x, ,"]
        assert [await self.status(app, one) for one in nonsense] == [401] * 5 + [429] * 2

    async def test_a_thousand_addresses_of_one_v6_network_are_one_caller(
        self, rt: Runtime, app: Edge
    ) -> None:
        statuses = [await self.status(app, f"2001:db8:1:2::{n:x}".encode()) for n in range(1, 8)]
        assert statuses == [401] * 5 + [429] * 2
        assert await self.status(app, b"2001:db8:1:3::1") == 401

    async def test_a_mapped_v4_address_is_the_v4_caller(self, rt: Runtime, app: Edge) -> None:
        spellings = [b"192.0.2.9", b"::ffff:192.0.2.9", b"::ffff:c000:209", b"[::ffff:192.0.2.9]"]
        statuses = [await self.status(app, spellings[n % 4]) for n in range(7)]
        assert statuses == [401] * 5 + [429] * 2

    async def test_callers_without_an_address_share_one_budget(
        self, rt: Runtime, app: Edge
    ) -> None:
        statuses = [await self.status(app, peer=None) for _ in range(7)]
        assert statuses == [401] * 5 + [429] * 2

    async def test_me_is_sixty_a_minute_for_each_session(
        self, rt: Runtime, client: httpx2.AsyncClient
    ) -> None:
        ada = await given.a_person(rt)
        first, second = [await asking.sign_in(client, ada) for _ in range(2)]
        statuses = [await asking.me(client, first) for _ in range(62)]
        assert statuses == [200] * 60 + [429] * 2
        assert await asking.me(client, second) == 200


class TestToldBudgets:
    """What an administrator has left (draft-ietf-httpapi-ratelimit-headers-11)."""

    @pytest.fixture
    def policy(self) -> Policy:
        return Policy(limits=Limits(login=GENEROUS, create=Limit(3, 60)))

    @pytest.mark.parametrize(
        ("path", "name", "sent"),
        [
            ("/api-keys", "create_api_key", {"name": "k", "scopes": ["agentes"]}),
            ("/admin/clients", "create_client", {"name": "s", "scopes": ["agentes"]}),
            ("/admin/users", "invite", {"email": "new@acme.example"}),
            ("/admin/organizations", "create_organization", {"slug": "o{}", "name": "O"}),
        ],
    )
    async def test_each_creation_tells_what_is_left(
        self,
        rt: Runtime,
        client: httpx2.AsyncClient,
        path: str,
        name: str,
        sent: dict[str, object],
    ) -> None:
        root = await an_owner(rt, client, platform_admin=True)
        bodies = [
            {key: v.format(n) if isinstance(v, str) else v for key, v in sent.items()}
            for n in range(5)
        ]
        for left, body in zip((2, 1, 0), bodies[:3], strict=True):
            answer = await root.ask("POST", path, json=body)
            assert answer.status_code == 201, answer.text
            assert answer.headers.get_list("ratelimit-policy") == [f'"{name}";q=3;w=60']
            assert told(answer) in ((name, left, 60), (name, left, 59))
        for body in bodies[3:]:
            limited = await root.ask("POST", path, json=body)
            assert limited.status_code == 429
            wait = int(limited.headers["retry-after"])
            assert told(limited) in ((name, 0, wait), (name, 0, wait - 1))

    async def test_a_refused_creation_tells_it_too(
        self, rt: Runtime, client: httpx2.AsyncClient
    ) -> None:
        owner = await an_owner(rt, client)
        answer = await owner.ask("POST", "/api-keys", json={"name": "k", "scopes": ["root"]})
        assert (answer.status_code, told(answer)[1]) == (400, 2)

    async def test_who_signs_in_is_told_nothing_and_neither_is_who_only_looks(
        self, rt: Runtime, client: httpx2.AsyncClient
    ) -> None:
        owner = await an_owner(rt, client)
        ada = await given.a_person(rt, "bob@acme.example")
        for answer in (
            await asking.sign_in(client, ada),
            await asking.sign_in(client, ada, "wrong password"),
            await owner.ask("GET", "/auth/me"),
            await owner.ask("GET", "/api-keys"),
        ):
            assert not [name for name in answer.headers if name.startswith("ratelimit")]

    async def test_a_page_may_read_it(self, rt: Runtime, client: httpx2.AsyncClient) -> None:
        answer = await client.get("/auth/me", headers={"origin": ORIGIN})
        exposed = answer.headers["access-control-expose-headers"].split(", ")
        assert {"ratelimit", "ratelimit-policy", "retry-after"} <= set(exposed)


def told(answer: httpx2.Response) -> tuple[str, int, int]:
    """Return the name, what is left, and the seconds until one more is free."""
    (header,) = answer.headers.get_list("ratelimit")
    match = re.fullmatch(r'"(\w+)";r=(\d+);t=(\d+)', header)
    assert match, header
    return match[1], int(match[2]), int(match[3])


class TestShortWindow:
    """Two sign-ins a second, so that a test can wait."""

    @pytest.fixture
    def policy(self) -> Policy:
        return Policy(limits=Limits(login=Limit(2, 2), me=GENEROUS))

    async def test_retry_after_is_the_truth(self, rt: Runtime, client: httpx2.AsyncClient) -> None:
        ada = await given.a_person(rt)
        await asking.sign_in(client, ada)
        await asking.sign_in(client, ada)
        limited = await asking.sign_in(client, ada)
        assert limited.status_code == 429
        wait = limited.headers["retry-after"]
        assert wait in ("1", "2")
        await asyncio.sleep(int(wait))
        assert (await asking.sign_in(client, ada)).status_code == 200


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.5", ["1.1.1.1"], "203.0.113.5"),
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", ["1.1.1.1"], "1.1.1.1"),
        ("127.0.0.1", ["9.9.9.9, 1.1.1.1"], "1.1.1.1"),
        ("127.0.0.1", ["9.9.9.9, 1.1.1.1, 10.0.0.2"], "1.1.1.1"),
        ("127.0.0.1", ["9.9.9.9", "1.1.1.1, 10.0.0.2"], "1.1.1.1"),
        ("127.0.0.1", ["10.0.0.1, 10.0.0.2"], "10.0.0.1"),
        ("127.0.0.1", ["1.1.1.1, nonsense, 10.0.0.2"], "10.0.0.2"),
        ("::ffff:127.0.0.1", ["1.1.1.1"], "1.1.1.1"),
        ("127.0.0.1", ["fe80::1%eth0"], "127.0.0.1"),
        ("127.0.0.1", ["[2001:db8::1]"], "2001:db8::1"),
        ("127.0.0.1", ["1.1.1.1:8080"], "1.1.1.1"),
        ("127.0.0.1", ["9.9.9.9:1, 1.1.1.1:65535, 10.0.0.2:80"], "1.1.1.1"),
        ("127.0.0.1", ["[2001:db8::1]:4711"], "2001:db8::1"),
        ("127.0.0.1", ["2001:db8::1"], "2001:db8::1"),
        ("127.0.0.1", ["[::ffff:1.1.1.1]:80"], "1.1.1.1"),
        ("127.0.0.1", ['"1.1.1.1"'], "1.1.1.1"),
        ("127.0.0.1", ['"[2001:db8::1]:4711"'], "2001:db8::1"),
        ("127.0.0.1", ["1.1.1.1,"], "1.1.1.1"),
        ("127.0.0.1", [", 1.1.1.1 ,, ,10.0.0.2 , "], "1.1.1.1"),
        ("127.0.0.1", ["1.1.1.1", ""], "1.1.1.1"),
        ("127.0.0.1", ["9.9.9.9, for=1.1.1.1"], "127.0.0.1"),
        ("127.0.0.1", ["9.9.9.9, unknown"], "127.0.0.1"),
        ("127.0.0.1", ["9.9.9.9, 1.1.1.1:port"], "127.0.0.1"),
        ("127.0.0.1", ["9.9.9.9, 1.1.1.1:80:80"], "127.0.0.1"),
        ("127.0.0.1", ["9.9.9.9, [2001:db8::1]x"], "127.0.0.1"),
        ("127.0.0.1", ['9.9.9.9, "'], "127.0.0.1"),
        ("127.0.0.1", [" , ,"], "127.0.0.1"),
        ("not an address", ["1.1.1.1"], None),
        (None, ["1.1.1.1"], None),
    ],
)
def test_the_address_is_the_nearest_no_trusted_proxy_vouches_beyond(
    peer: str | None, forwarded: list[str], address: str | None
) -> None:
    trusted = networks(("127.0.0.0/8", "10.0.0.0/8"))
    assert client_address(peer, [one.encode() for one in forwarded], trusted) == address


WARNED = "a trusted proxy does not say whose request it is"


@pytest.mark.parametrize(
    ("peer", "forwarded", "by_person", "warned"),
    [
        ("127.0.0.1", "1.1.1.1:80", True, 0),
        ("127.0.0.1", "10.0.0.2", True, 0),
        ("127.0.0.1", "for=1.1.1.1", False, 1),
        ("127.0.0.1", "", True, 1),
        ("127.0.0.1", ", ", False, 0),
        ("203.0.113.5", "nonsense", True, 0),
    ],
)
def test_a_proxy_that_does_not_say_whose_request_it_is_is_told_of_now_and_then(
    peer: str, forwarded: str, warned: int, *, by_person: bool
) -> None:
    clock = Clock()
    addresses = ClientAddresses(networks(("127.0.0.0/8", "10.0.0.0/8")), clock)
    told = []
    for moment in (1000.0, 1299.0, 1301.0):
        clock.monotonic = lambda moment=moment: moment  # type: ignore[method-assign,misc]
        with structlog.testing.capture_logs() as lines:
            for _ in range(3):
                addresses.find(peer, (forwarded.encode(),), by_person=by_person)
        told.append(sum(line["event"] == WARNED for line in lines))
    assert told == [warned, 0, warned]
