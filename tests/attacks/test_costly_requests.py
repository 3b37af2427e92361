"""Small requests that would cost much: a worker has one thread for everybody.

Processor time is what is counted, so that a busy machine is no fault.
"""

import base64
import time
from collections.abc import Callable
from typing import Any

import httpx2
import msgspec
import pytest

from service.domain.users import KnownPasswords, refuse_weak
from service.http.edge import Edge
from service.kernel import jose
from service.kernel.passwords import Verdict
from service.kernel.refusal import Refused
from service.policy import Limit, Limits, Policy
from service.runtime import Runtime
from tests import given
from tests.http import asking
from tests.world import GENEROUS

LONGEST_PATH = 65_000
"""Bytes; the HTTP server takes no longer one."""

CRUMBS = 2000
"""Pieces of one byte: each costs a worker what a small request does."""

LIGATURE = "\N{ARABIC LIGATURE SALLALLAHOU ALAYHE WASALLAM}"
"""Eighteen characters after NFKC."""


@pytest.mark.parametrize("piece", ["a", "/a", "a/", "/.a", "%2", "%25", "."])
async def test_a_long_path_is_looked_at_once(app: Edge, piece: str) -> None:
    path = ("/" + piece * LONGEST_PATH)[:LONGEST_PATH] + "x"
    began = time.process_time()
    answer = await asking.raw(app, "GET", path)
    assert time.process_time() - began < 0.2
    assert answer.status == 404


@pytest.mark.parametrize("path", ["/auth/refresh", "/auth/login", "/oauth/token"])
async def test_a_body_in_crumbs_is_not_read_to_its_end(app: Edge, path: str) -> None:
    """Sixty thousand chunks of a byte each cost a worker five seconds."""
    kind = b"application/x-www-form-urlencoded" if "oauth" in path else b"application/json"
    left, sent = CRUMBS, list[Any]()

    async def receive() -> Any:
        nonlocal left
        left -= 1
        return {"type": "http.request", "body": b" ", "more_body": left > 0}

    async def send(message: Any) -> None:
        sent.append(message)

    scope: Any = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [
            (b"host", b"auth.test"),
            (b"content-type", kind),
            (b"transfer-encoding", b"chunked"),
        ],
        "client": ("127.0.0.1", 1),
        "state": {},
    }
    await app(scope, receive, send)
    assert sent[0]["status"] == 400
    assert left > CRUMBS / 4


@pytest.mark.parametrize(
    "password",
    [
        LIGATURE * 1024,
        "a" * 1024,
        "password" * 128,
        "".join("a\N{COMBINING ACUTE ACCENT}\N{COMBINING DOT BELOW}" for _ in range(1024)),
        "a" + "\N{COMBINING DOT BELOW}\N{COMBINING ACUTE ACCENT}" * 2047,
    ],
    ids=["ligatures", "one letter", "one word", "accents", "accents on one letter"],
)
def test_a_long_password_is_judged_at_once(password: str) -> None:
    known = KnownPasswords()
    refuse_weak(known, "to read the list", email="ada@acme.example", organization="Acme")
    began = time.process_time()
    try:
        refuse_weak(known, password, email="ada@acme.example", organization="Acme")
    except Refused as refused:
        assert refused.fields == ("password",)  # noqa: PT017 - weak or not, it is soon known
    assert time.process_time() - began < 0.2


class TestSignedIn:
    """Whoever is signed in buys no more hashes than they may."""

    @pytest.fixture
    def policy(self) -> Policy:
        return Policy(limits=Limits(login=GENEROUS, create=Limit(3, 60)))

    async def test_attempts_at_the_change_of_a_password_are_limited_also_while_it_is_locked(
        self, rt: Runtime, client: httpx2.AsyncClient, browser: Callable[..., httpx2.AsyncClient]
    ) -> None:
        ada = await given.a_person(rt)
        answer = await asking.sign_in(client, ada)
        form = {"current_password": "not the password", "new_password": "a new good one"}
        answers = [
            await client.put("/auth/password", json=form, headers=asking.bearer(answer))
            for _ in range(5)
        ]
        assert [answer.status_code for answer in answers] == [401] * 3 + [429] * 2
        assert 0 < int(answers[-1].headers["retry-after"]) <= 60
        assert (await given.kinds(rt)).count("password.change_failed") == 3
        bob = await given.a_person(rt, "bob@acme.example")
        other = await asking.sign_in(browser(), bob)
        refused = await client.put("/auth/password", json=form, headers=asking.bearer(other))
        assert refused.status_code == 401  # the budget is the person's, not the address's

    async def test_switches_of_organization_are_limited(
        self, rt: Runtime, client: httpx2.AsyncClient
    ) -> None:
        ada = await given.a_person(rt)
        other = await given.an_organization(rt, "other")
        await given.a_membership(rt, ada.user_id, other, "member")
        answer = await asking.sign_in(client, ada)
        for slug in ("other", "acme", "other"):
            answer = await client.post(
                "/auth/organization", json={"organization": slug}, headers=asking.bearer(answer)
            )
            assert answer.status_code == 200
        limited = await client.post(
            "/auth/organization", json={"organization": "acme"}, headers=asking.bearer(answer)
        )
        assert limited.status_code == 429
        assert await given.live_families(rt) == 1


async def test_who_waits_out_a_refusal_is_not_on_the_way_to_be_hashed(
    rt: Runtime, client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a slow scheme on file would have refusals that sleep turn honest people away."""
    counted = []

    async def look(_moment: float) -> None:
        counted.append(rt.passwords._coming)

    monkeypatch.setattr(rt.clock, "sleep_until", look)
    assert (await asking.sign_in(client, await given.a_person(rt), "wrong")).status_code == 401
    assert counted == [0]


async def test_a_refusal_waits_as_much_longer_as_its_password_lay_in_the_queue(
    rt: Runtime, client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else in a crowd each would end when its own hash does, and a legacy one later than others."""
    moments = []

    async def look(moment: float) -> None:
        moments.append(moment)

    async def wait_long(_on_file: str | None, _password: str) -> Verdict:
        return Verdict(ok=False, began=rt.clock.monotonic() + 100.0)

    ada = await given.a_person(rt)
    monkeypatch.setattr(rt.clock, "sleep_until", look)
    monkeypatch.setattr(rt.passwords, "verify", wait_long)
    began = rt.clock.monotonic()
    assert (await asking.sign_in(client, ada, "wrong")).status_code == 401
    assert 100 < moments[0] - began < 110


async def test_a_nul_names_nothing_wherever_it_comes_from(
    rt: Runtime, app: Edge, client: httpx2.AsyncClient
) -> None:
    """PostgreSQL's text holds every character but this one."""
    root = await given.a_person(rt, "root@acme.example", role="owner", platform_admin=True)
    bearer = asking.bearer(await asking.sign_in(client, root))["authorization"].encode()
    form = (b"content-type", b"application/x-www-form-urlencoded")
    pair = base64.b64encode(b"svc%00:secret")
    claims = jose.encode(msgspec.json.encode({"sub": "svc\0"}))
    assertion = (
        f"grant_type=client_credentials&client_assertion=a.{claims}.a&client_assertion_type="
        "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"
    )
    grant = b"grant_type=client_credentials"
    for path, headers, body in (
        ("/oauth/token", [form, (b"authorization", b"Basic " + pair)], grant),
        ("/oauth/introspect", [form, (b"authorization", b"Basic " + pair)], b"token=a"),
        ("/oauth/token", [form], assertion.encode()),
    ):
        answer = await asking.raw(app, "POST", path, headers, body)
        assert answer.status in (400, 401), (path, answer)
    for method, path in (
        ("DELETE", "/admin/signing-keys/a\0"),
        ("GET", "/admin/clients/a\0"),
        ("GET", "/api-keys/a\0"),
        ("GET", "/revocations/a\0"),
        ("DELETE", "/admin/secrets/a\0"),
        ("DELETE", "/auth/sessions/a\0"),
    ):
        answer = await asking.raw(app, method, path, [(b"authorization", bearer)])
        assert 400 <= answer.status < 500, (path, answer)
