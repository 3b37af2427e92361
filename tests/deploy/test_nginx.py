"""The perimeter: deploy/nginx under a real nginx, in front of real instances of the service."""

import asyncio
import contextlib
import http.client
import json
import os
import re
import socket
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.kernel.leaving import KEPT_SECONDS
from tests import given
from tests.deploy.perimeter import DOMAIN, Answer, Perimeter, perimeter, rendered
from tests.deploy.programs import DEPLOY, need, run
from tests.processes import Running, service
from tests.system.visitors import inside, until

WINDOW = 4
"""Seconds of the service's window for sign-ins here."""
BURST = 20
"""What nginx lets an address send to the sign-in at once here, beside the one."""
OFFICE = 300
"""People behind one address."""
_EXPIRES = (datetime.now(UTC) + timedelta(days=30)).isoformat()
_POLICY = f"""
[limits]
login = {{ count = 5, window = {WINDOW} }}
[security]
contact = "mailto:security@acme.example"
expires = "{_EXPIRES}"
"""
_NARROW = [
    ("zone=tesserra_guess:10m rate=10r/s", "zone=tesserra_guess:10m rate=30r/m"),
    ("zone=tesserra_guess burst=600", f"zone=tesserra_guess burst={BURST}"),
    ("zone=tesserra_session burst=100", "zone=tesserra_session burst=10"),
    ("zone=tesserra_all:20m rate=100r/s", "zone=tesserra_all:20m rate=50r/s"),
    ("zone=tesserra_all burst=2000", "zone=tesserra_all burst=200"),
]
"""So that few requests are a flood."""
_OWN = {
    "strict-transport-security": "max-age=63072000; includeSubDomains",
    "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


@pytest.fixture(scope="module")
async def running() -> AsyncIterator[Running]:
    need("nginx")
    env = {
        "AUTH_ISSUER": f"https://{DOMAIN}",
        "AUTH_TRUSTED_PROXIES": "127.0.0.1/32",
        "AUTH_METRICS_BIND": f"127.0.0.1:{_free()}",
    }
    async with service(policy=_POLICY, env=env) as running:
        yield running


@pytest.fixture(scope="module")
async def edge(running: Running) -> AsyncIterator[Perimeter]:
    async with perimeter(running.environment["AUTH_BIND"], changes=_NARROW) as edge:
        yield edge


async def _log(edge: Perimeter, running: Running) -> list[dict[str, Any]]:
    """Return what the service has told of everything so far; its lines come in order, but later."""
    last = edge.ask("GET", "/readyz", address="203.0.113.254").one("x-request-id")
    await until(lambda: f'"{last}"' in running.output().rpartition("\n")[0], 10)
    return [json.loads(line) for line in running.output().rpartition("\n")[0].splitlines()]


def _free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


# --- the files --------------------------------------------------------------------------------


def test_nginx_takes_the_files() -> None:
    nginx = need("nginx")
    with rendered(["127.0.0.1:8080", "127.0.0.1:8081"]) as (folder, _):
        done = run(nginx, "-t", "-p", folder, "-c", folder / "nginx.conf", "-e", folder / "log")
        assert done.returncode == 0, done.stderr
        assert "warn" not in done.stderr


def test_a_missing_certificate_is_named() -> None:
    nginx = need("nginx")
    with rendered(["127.0.0.1:8080"], [("cert.pem", "none.pem")]) as (folder, _):
        done = run(nginx, "-t", "-q", "-p", folder, "-c", folder / "nginx.conf", "-e", folder / "l")
        assert done.returncode != 0
        (line,) = [line for line in done.stderr.splitlines() if "[emerg]" in line]
        assert "none.pem" in line


def test_files_that_were_not_filled_in_name_the_variable() -> None:
    nginx = need("nginx")
    with rendered(["127.0.0.1:8080"]) as (folder, _):
        as_shipped = (DEPLOY / "nginx" / "tesserra-auth" / "certificate.conf").read_text()
        (folder / "tesserra-auth" / "certificate.conf").write_text(as_shipped)
        done = run(nginx, "-t", "-q", "-p", folder, "-c", folder / "nginx.conf", "-e", folder / "l")
        assert done.returncode != 0
        assert 'unknown "tesserra_domain" variable' in done.stderr


def test_who_is_refused_may_come_again_after_the_second_it_is_told() -> None:
    """A rate of more than one a second has room for one more after a second."""
    shipped = (DEPLOY / "nginx" / "tesserra-auth.conf").read_text()
    rates = re.findall(r"^limit_req_zone .* rate=(\d+)r/(\w);$", shipped, re.MULTILINE)
    assert len(rates) == shipped.count("limit_req_zone ")
    for count, unit in rates:
        assert unit == "s"
        assert int(count) > 1
    words = (DEPLOY / "nginx" / "tesserra-auth" / "words.conf").read_text()
    assert re.findall(r"^    429 (\d+);$", words, re.MULTILINE) == ["1"]


# --- limits -----------------------------------------------------------------------------------

SPELLINGS = [
    "/auth/login/",
    "/auth/login//",
    "//auth/login",
    "/auth//login",
    "/./auth/login",
    "/auth/x/../login",
    "/auth%2flogin",
    "/auth%2Flogin",
    "/%61uth/login",
    "/auth/%6cogin",
    "/auth/login%2f",
    "/auth%5clogin",
    "/auth\\login",
    "/auth/login%00",
    "/auth/login#x",
    "/auth/login%20",
    "/auth/login/.",
    "/auth/login%3fx",
]


def _flood(edge: Perimeter, target: str, count: int, address: str) -> list[Answer]:
    with edge.wire(address) as wire:
        return [wire.ask("POST", target, {}) for _ in range(count)]


async def test_the_burst_is_what_passes(edge: Perimeter) -> None:
    """An empty object is refused by the service with 400: it got there."""
    statuses = Counter(a.status for a in _flood(edge, "/auth/login", BURST + 15, "203.0.113.10"))
    assert statuses[429] >= 14 - 1  # one every two seconds comes back
    assert statuses[400] in (BURST + 1, BURST + 2)
    assert set(statuses) == {400, 429}


@pytest.mark.parametrize(
    "spelling", ["/auth/login?x=1", "/auth/login?", f"https://{DOMAIN}/auth/login"]
)
async def test_the_limit_holds_for_what_is_the_same_path(edge: Perimeter, spelling: str) -> None:
    address = f"198.51.100.{len(spelling)}"
    passed = [a for a in _flood(edge, "/auth/login", BURST + 1, address) if a.status != 429]
    assert len(passed) >= BURST
    again = [a.status for a in _flood(edge, spelling, 4, address)]
    assert again.count(429) >= 3


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_no_other_spelling_gets_through(
    edge: Perimeter, running: Running, spelling: str
) -> None:
    """Neither to the service nor around the limit."""
    before = len(await _log(edge, running))
    for _ in range(3):
        answer = edge.ask("POST", spelling, {}, address="203.0.113.11")
        assert answer.status in (400, 404)
        assert answer.one("content-type") == "application/problem+json"
    assert len(await _log(edge, running)) == before + 1  # what asked for the log


async def test_no_other_spelling_gets_through_by_http_2(edge: Perimeter, running: Running) -> None:
    before = len(await _log(edge, running))
    sendable = [text for text in SPELLINGS if "#" not in text]
    there = [f"https://{DOMAIN}:{edge.https}{text}" for text in sendable]
    each = [item for url in there for item in ("-o", os.devnull, url)]
    flags = ("-sS", "--http2", "--path-as-is", "--cacert", edge.authority, "-d", "{}")
    told = run(need("curl"), *flags, "-w", "%{http_version} %{http_code}\n", *each)
    assert len(told.stdout.splitlines()) == len(sendable), told.stderr
    assert set(told.stdout.splitlines()) <= {"2 400", "2 404"}
    assert len(await _log(edge, running)) == before + 1  # what asked for the log


@pytest.mark.parametrize("target", ["/auth/login;x=1", "/auth/login.", "/..;/auth/login"])
async def test_what_only_other_servers_take_for_the_same_path_is_another_one(
    edge: Perimeter, target: str
) -> None:
    assert edge.ask("POST", target, {}, address="203.0.113.24").status == 404


async def test_another_case_is_another_path_and_limited_all_the_same(edge: Perimeter) -> None:
    answers = _flood(edge, "/Auth/LOGIN", BURST + 6, "203.0.113.12")
    assert {a.status for a in answers} == {404, 429}
    assert sum(a.status == 404 for a in answers) <= BURST + 2


@pytest.mark.parametrize(
    "forged",
    [
        {"X-Forwarded-For": "198.51.100.{n}"},
        {"X-Real-IP": "198.51.100.{n}"},
        {"Forwarded": "for=198.51.100.{n};proto=https"},
        {"X-Forwarded-For": "198.51.100.{n}, 127.0.0.1"},
        {"x_forwarded_for": "198.51.100.{n}"},
        {"True-Client-IP": "198.51.100.{n}"},
    ],
    ids=str,
)
async def test_a_forged_address_changes_nothing(
    edge: Perimeter, running: Running, forged: dict[str, str]
) -> None:
    """In neither layer: nginx counts one address, and the service is told that one."""
    address = f"203.0.113.{50 + sum(map(ord, str(forged))) % 100}"
    before = len(await _log(edge, running))
    with edge.wire(address) as wire:
        answers = [
            wire.ask("POST", "/auth/login", {}, {k: v.format(n=n) for k, v in forged.items()})
            for n in range(BURST + 10)
        ]
    assert sum(a.status == 429 for a in answers) >= 8
    told = [line.get("client.address") for line in (await _log(edge, running))[before:-1]]
    assert set(told) == {address}


async def test_addresses_of_one_v6_network_share_a_limit_and_others_do_not(edge: Perimeter) -> None:
    for n in range(BURST + 1):
        edge.ask("POST", "/auth/login", {}, address=f"2001:db8:7:8:{n:x}::{n:x}")
    spent = edge.ask("POST", "/auth/login", {}, address="2001:db8:7:8:ffff:ffff:ffff:ffff")
    assert spent.status == 429
    assert edge.ask("POST", "/auth/login", {}, address="2001:db8:7:9::1").status == 400


async def test_each_door_has_a_count_of_its_own(edge: Perimeter) -> None:
    """Else the use of one is told as a wait at another."""
    assert {a.status for a in _flood(edge, "/auth/login", BURST + 5, "203.0.113.26")} == {400, 429}
    for method, target in (("PUT", "/auth/password"), ("POST", "/auth/invitations/accept")):
        assert edge.ask(method, target, {}, address="203.0.113.26").status in (400, 401, 403)


async def test_renewals_are_counted_by_session_wherever_they_come_from(edge: Perimeter) -> None:
    def renew(handle: str, address: str) -> int:
        cookie = {"Cookie": f"theme=dark; __Host-refresh={handle}.1.{'m' * 43}"}
        return edge.ask("POST", "/auth/refresh", {}, cookie, address=address).status

    here = [renew(f"{n:032}", "203.0.113.27") for n in range(40)]
    assert set(here) == {401}
    one = Counter(renew("o" * 32, f"203.0.113.{100 + n % 7}") for n in range(60))
    assert one[401] >= 11
    assert one[429] > 0


@pytest.fixture(scope="module")
async def shipped(running: Running) -> AsyncIterator[Perimeter]:
    async with perimeter(running.environment["AUTH_BIND"]) as edge:
        yield edge


async def test_an_office_behind_one_address_is_refused_nothing_here(shipped: Perimeter) -> None:
    """All of them sign in and renew at once: whatever is answered, the service answers it."""
    with shipped.wire("203.0.113.28") as wire:
        for n in range(OFFICE):
            assert wire.ask("POST", "/auth/login", {}).status == 400
            cookie = {"Cookie": f"__Host-refresh={n:032}.1.{'m' * 43}"}
            assert wire.ask("POST", "/auth/refresh", {}, cookie).status == 401
            assert wire.ask("GET", "/auth/me").status == 401


async def test_an_office_may_ask_all_at_one_moment(shipped: Perimeter) -> None:
    begun = f"POST /auth/login HTTP/1.1\r\nHost: {DOMAIN}\r\nContent-Length: 9\r\n\r\n".encode()
    with contextlib.ExitStack() as stack:
        for _ in range(OFFICE):
            stack.enter_context(shipped.wire("203.0.113.29")).socket.sendall(begun)
        answer = await asyncio.to_thread(shipped.ask, "GET", "/healthz", address="203.0.113.29")
        assert answer.status == 200


async def test_a_flood_is_told_a_wait_that_is_true(shipped: Perimeter) -> None:
    def flood(cookie: dict[str, str]) -> tuple[Answer, int]:
        with shipped.wire("203.0.113.36") as wire:
            for _ in range(1000):
                answer = wire.ask("POST", "/auth/refresh", {}, cookie)
                if answer.status == 429:
                    time.sleep(int(answer.one("retry-after")))
                    return answer, wire.ask("POST", "/auth/refresh", {}, cookie).status
        raise AssertionError("never limited")

    refused, again = await asyncio.to_thread(flood, {"Cookie": f"__Host-refresh={'f' * 32}.1.m"})
    assert refused.one("retry-after") == "1"
    assert refused.json()["type"] == "urn:tesserra:refusal:too_many"
    assert again == 401


async def test_the_wide_net_holds_for_everything_else(edge: Perimeter) -> None:
    # A burst of 200 and 50 each second: what comes faster than the service answers is refused.
    with edge.wire("203.0.113.13") as wire:
        wire.socket.sendall(f"GET /metrics/x HTTP/1.1\r\nHost: {DOMAIN}\r\n\r\n".encode())
        assert wire.read().status == 404  # refused before any limit: costs nothing
        request = f"GET /nothing HTTP/1.1\r\nHost: {DOMAIN}\r\n\r\n".encode()
        began = time.monotonic()
        answers = [wire.send(request) for _ in range(400)]
        took = time.monotonic() - began
    passed = sum(a.status == 404 for a in answers)
    assert passed <= 201 + 50 * took + 1
    if took < 3:
        assert any(a.status == 429 for a in answers)


async def test_connections_of_one_address_are_counted(running: Running) -> None:
    changes = [("limit_conn tesserra_connections 500", "limit_conn tesserra_connections 3")]
    async with perimeter(running.environment["AUTH_BIND"], changes=changes) as edge:
        begun = f"POST /auth/login HTTP/1.1\r\nHost: {DOMAIN}\r\nContent-Length: 9\r\n\r\n".encode()
        with contextlib.ExitStack() as stack:
            for _ in range(3):
                stack.enter_context(edge.wire("203.0.113.14")).socket.sendall(begun)
            await asyncio.sleep(0.3)
            answer = await asyncio.to_thread(edge.ask, "GET", "/healthz", address="203.0.113.14")
            assert answer.status == 429
            assert answer.one("retry-after") == "1"
            other = await asyncio.to_thread(edge.ask, "GET", "/healthz", address="203.0.113.15")
            assert other.status == 200


async def test_what_both_layers_say_about_coming_back_is_true(
    edge: Perimeter, running: Running
) -> None:
    wrong = {"email": "nobody@acme.example", "password": "not the password"}

    def try_until_refused(address: str, quick: object) -> Answer:
        with edge.wire(address) as wire:
            for _ in range(BURST + 10):
                answer = wire.ask("POST", "/auth/login", quick)
                if answer.status == 429:
                    return answer
        raise AssertionError("never limited")

    of_service = await asyncio.to_thread(try_until_refused, "203.0.113.16", wrong)
    assert "x-request-id" in dict(of_service.headers)
    of_nginx = await asyncio.to_thread(try_until_refused, "203.0.113.17", {})
    known = {line.get("request_id") for line in await _log(edge, running)}
    assert of_service.one("x-request-id") in known
    assert of_nginx.one("x-request-id") not in known
    for answer in (of_service, of_nginx):
        assert answer.one("content-type") == "application/problem+json"
        told = answer.json()
        assert told["type"] == "urn:tesserra:refusal:too_many"
        assert told["title"] == "Too many requests"
        assert told["status"] == 429
        assert told["request_id"] == answer.one("x-request-id")
        assert 1 <= int(answer.one("retry-after")) <= WINDOW
    await asyncio.sleep(WINDOW)
    for address in ("203.0.113.16", "203.0.113.17"):
        again = await asyncio.to_thread(edge.ask, "POST", "/auth/login", wrong, address=address)
        assert again.status == 401


async def test_an_oauth_client_is_limited_in_its_own_words_and_truthfully(
    running: Running,
) -> None:
    changes = [("zone=tesserra_all burst=2000", "zone=tesserra_all burst=2")]
    changes += [("zone=tesserra_all:20m rate=100r/s", "zone=tesserra_all:20m rate=1r/s")]
    async with perimeter(running.environment["AUTH_BIND"], changes=changes) as edge:
        answers = await asyncio.to_thread(_flood, edge, "/oauth/token", 4, "203.0.113.25")
        assert [answer.status == 429 for answer in answers] == [False, False, False, True]
        assert answers[-1].one("content-type") == "application/json"
        assert answers[-1].json()["error"] == "temporarily_unavailable"
        await asyncio.sleep(int(answers[-1].one("retry-after")))
        (again,) = await asyncio.to_thread(_flood, edge, "/oauth/token", 1, "203.0.113.25")
        assert again.status != 429


async def test_own_networks_are_left_to_the_service(running: Running) -> None:
    changes = [*_NARROW, ("# 10.1.0.0/16 1;", "203.0.113.18/32 1;")]
    async with perimeter(running.environment["AUTH_BIND"], changes=changes) as edge:
        answers = await asyncio.to_thread(_flood, edge, "/auth/login", BURST + 10, "203.0.113.18")
        assert {a.status for a in answers} == {400}


async def test_an_oauth_client_is_told_in_its_own_words(edge: Perimeter) -> None:
    large = "x" * 70_000
    answer = edge.ask("POST", "/oauth/token", large, address="203.0.113.19")
    assert answer.status == 413
    assert answer.one("content-type") == "application/json"
    assert answer.json()["error"] == "invalid_request"


# --- TLS --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flag", "spoken"),
    [("-tls1", ""), ("-tls1_1", ""), ("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")],
)
async def test_versions(edge: Perimeter, flag: str, spoken: str) -> None:
    assert _handshake(edge, flag, "-cipher", "ALL:@SECLEVEL=0") == spoken


async def test_the_newest_version_is_preferred(edge: Perimeter) -> None:
    assert _handshake(edge) == "TLSv1.3"


@pytest.mark.parametrize(
    "cipher", ["AES128-SHA", "AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-SHA256", "DHE-RSA-AES128-SHA"]
)
async def test_older_suites_are_refused(edge: Perimeter, cipher: str) -> None:
    assert _handshake(edge, "-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0") == ""


async def test_another_name_gets_no_certificate(edge: Perimeter) -> None:
    assert _handshake(edge, name="other.example") == ""


def _handshake(edge: Perimeter, *flags: str, name: str = DOMAIN) -> str:
    """Return the version that was agreed on, or nothing."""
    where = ("-connect", f"127.0.0.1:{edge.https}", "-servername", name)
    trust = ("-CAfile", edge.authority, "-verify_return_error")
    done = run(need("openssl"), "s_client", *where, *trust, *flags)
    if "Cipher is (NONE)" in done.stdout or "handshake failure" in done.stderr:
        return ""
    found = re.search(r"New, (?:\(NONE\)|(TLSv[\d.]+)), Cipher is (\S+)", done.stdout)
    version = re.search(r"Protocol *: (\S+)", done.stdout)
    assert found, done.stdout + done.stderr
    return found[1] if version is None or found[1] == "TLSv1.3" else version[1]


async def test_http_2_is_negotiated_and_served(edge: Perimeter) -> None:
    context = ssl.create_default_context(cafile=edge.authority)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", edge.https), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=DOMAIN) as secure,
    ):
        assert secure.selected_alpn_protocol() == "h2"
    curl = need("curl")
    if "HTTP2" not in run(curl, "--version").stdout:
        pytest.skip("this curl does not speak HTTP/2")
    told = run(
        curl,
        "-sS",
        "--http2",
        "--cacert",
        edge.authority,
        "-w",
        "\n%{http_version} %{http_code}",
        f"https://{DOMAIN}:{edge.https}/.well-known/jwks.json",
    )
    assert told.stdout.splitlines()[-1] == "2 200", told.stderr


# --- what nginx answers itself ----------------------------------------------------------------


def _raw(text: str) -> Callable[[Perimeter], Answer]:
    def ask(edge: Perimeter) -> Answer:
        with edge.wire("203.0.113.20") as wire:
            return wire.send(text.replace("\n", "\r\n").encode())

    return ask


def _plain(port: int, method: str, target: str, **headers: str) -> Answer:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as wire:
        wire.request(method, target, headers={"Host": DOMAIN, **headers})
        answer = wire.getresponse()
        return Answer(answer.status, answer.getheaders(), answer.read())


HERE = f"Host: {DOMAIN}\n"
PROOF = "/.well-known/acme-challenge/proof"

OWN_ANSWERS: dict[str, tuple[int, str]] = {
    "no host": (400, "GET / HTTP/1.1\n\n"),
    "two hosts": (400, f"GET / HTTP/1.1\n{HERE}Host: b\n\n"),
    "a host with a path": (400, "GET / HTTP/1.1\nHost: a/b\n\n"),
    "not HTTP": (400, "nonsense\n\n"),
    "no such method": (400, f"G=T / HTTP/1.1\n{HERE}\n"),
    "a path with a NUL": (400, f"GET /\0 HTTP/1.1\n{HERE}\n"),
    "an escape that is none": (400, f"GET /%zz HTTP/1.1\n{HERE}\n"),
    "a path above the root": (400, f"GET /../x HTTP/1.1\n{HERE}\n"),
    "a length that is none": (400, f"POST / HTTP/1.1\n{HERE}Content-Length: x\n\n"),
    "chunks that are none": (
        400,
        f"POST /auth/login HTTP/1.1\n{HERE}Transfer-Encoding: chunked\n\nzz\n",
    ),
    "a long header (494)": (400, f"GET / HTTP/1.1\n{HERE}X-Long: {'x' * 9000}\n\n"),
    "many headers (494)": (400, f"GET / HTTP/1.1\n{HERE}" + f"X: {'x' * 4000}\n" * 12 + "\n"),
    "another spelling": (404, f"GET //x HTTP/1.1\n{HERE}\n"),
    "the metrics": (404, f"GET /metrics HTTP/1.1\n{HERE}\n"),
    "TRACE": (405, f"TRACE / HTTP/1.1\n{HERE}\n"),
    "CONNECT": (405, f"CONNECT / HTTP/1.1\n{HERE}\n"),
    "a large body": (413, f"POST /auth/login HTTP/1.1\n{HERE}Content-Length: 70000\n\n"),
    "a large body of a PUT": (413, f"PUT /auth/password HTTP/1.1\n{HERE}Content-Length: 70000\n\n"),
    "a large body in chunks": (
        413,
        f"POST /auth/login HTTP/1.1\n{HERE}Transfer-Encoding: chunked\n\n11171\nx",
    ),
    "a long path": (414, f"GET /{'x' * 9000} HTTP/1.1\n{HERE}\n"),
    "another name": (421, "GET / HTTP/1.1\nHost: other.example\n\n"),
    "a coding that is none": (501, f"POST / HTTP/1.1\n{HERE}Transfer-Encoding: gzip\n\n"),
    "HTTP/9.9": (505, f"GET / HTTP/9.9\n{HERE}\n"),
    "HTTP/2.0 as text": (505, f"GET / HTTP/2.0\n{HERE}\n"),
    "HTTP/3.0 with a query": (505, f"GET /auth/me?x=1 HTTP/3.0\n{HERE}\n"),
}
IN_CLEAR: dict[str, tuple[int, str]] = {
    "a secret": (403, f"GET / HTTP/1.1\n{HERE}Authorization: Bearer x\n\n"),
    "no list of a folder": (403, f"GET /.well-known/acme-challenge/ HTTP/1.1\n{HERE}\n"),
    "no such proof": (404, f"GET {PROOF}2 HTTP/1.1\n{HERE}\n"),
    "a proof that is sent": (405, f"POST {PROOF} HTTP/1.1\n{HERE}Content-Length: 0\n\n"),
    "a proof under a condition": (412, f'GET {PROOF} HTTP/1.1\n{HERE}If-Match: "x"\n\n'),
}


@pytest.mark.parametrize("name", OWN_ANSWERS)
async def test_its_own_4xx_and_5xx_carry_the_headers_and_say_a_problem(
    edge: Perimeter, name: str
) -> None:
    status, asked = OWN_ANSWERS[name]
    answer = _raw(asked)(edge)
    assert answer.status == status
    _is_own_problem(answer)


ANYWHERE = [
    name for name, (status, _) in OWN_ANSWERS.items() if status in (400, 405, 414, 501, 505)
]
ANYWHERE.remove("chunks that are none")  # no body is read there


@pytest.mark.parametrize("name", [*IN_CLEAR, *ANYWHERE])
async def test_so_do_those_over_plain_http(edge: Perimeter, name: str) -> None:
    proof = edge.folder / "acme" / PROOF[1:]
    proof.parent.mkdir(parents=True, exist_ok=True)
    proof.write_text("proof")
    status, asked = {**OWN_ANSWERS, **IN_CLEAR}[name]
    with socket.create_connection(("127.0.0.1", edge.http), timeout=30) as plain:
        plain.sendall(asked.replace("\n", "\r\n").encode())
        heard = http.client.HTTPResponse(plain)
        heard.begin()
        answer = Answer(heard.status, heard.getheaders(), heard.read())
    assert answer.status == status
    _is_own_problem(answer, but="strict-transport-security")


async def test_a_proof_is_told_whole(edge: Perimeter) -> None:
    """nginx's own 416 would bear each header twice."""
    proof = edge.folder / "acme" / PROOF[1:]
    proof.parent.mkdir(parents=True, exist_ok=True)
    proof.write_text("proof")
    told = _plain(edge.http, "GET", PROOF, Range="bytes=99-")
    assert (told.status, told.body) == (200, b"proof")


async def test_plain_http_on_the_tls_port_is_refused(edge: Perimeter) -> None:
    answer = _plain(edge.https, "GET", "/")
    assert answer.status == 400
    _is_own_problem(answer, but="strict-transport-security")
    assert answer.all("strict-transport-security") == []  # RFC 6797 section 7.2


async def test_http_0_9_is_told_the_text_alone(edge: Perimeter) -> None:
    with edge.wire("203.0.113.20") as wire:
        wire.socket.sendall(b"GET /\r\n")
        told = b"".join(iter(lambda: wire.socket.recv(4096), b""))
    assert json.loads(told)["type"].startswith("urn:tesserra:refusal:")


def _is_own_problem(answer: Answer, but: str = "") -> None:
    for name, value in _OWN.items():
        assert name == but or answer.all(name) == [value], name
    assert answer.one("content-type") == "application/problem+json"
    told = answer.json()
    assert told["status"] == answer.status
    assert told["type"].startswith("urn:tesserra:refusal:")
    assert told["title"]
    assert told["request_id"] == answer.one("x-request-id")
    assert answer.one("server") == "nginx"  # no version


@asynccontextmanager
async def _saying(said: bytes, *, hangs: bool = False) -> AsyncIterator[str]:
    """Yield the address of an instance that answers everything with these bytes."""

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        if hangs:
            await reader.read()
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    ("said", "hangs"),
    [
        (b"", False),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", False),
        (b"", True),
    ],
    ids=["nothing", "large headers", "hangs (504)"],
)
async def test_an_instance_that_gives_no_answer_is_told_as_not_available(
    said: bytes, *, hangs: bool
) -> None:
    changes = [("proxy_read_timeout 40s", "proxy_read_timeout 1s")]
    async with _saying(said, hangs=hangs) as where, perimeter(where, changes=changes) as edge:
        for method in ("GET", "POST", "PUT"):
            answer = await asyncio.to_thread(edge.ask, method, "/auth/me", {})
            assert answer.status == 503
            assert answer.one("retry-after") == "1"
            _is_own_problem(answer)


async def test_trouble_of_its_own_is_a_problem_too(running: Running) -> None:
    """A body that has no room in memory, and a folder for it that cannot be written."""
    changes = [("client_body_buffer_size 64k", "client_body_buffer_size 1k")]
    async with perimeter(running.environment["AUTH_BIND"], changes=changes) as edge:
        folder = edge.folder / "body"
        os.chown(folder, os.getuid(), os.getgid())
        folder.chmod(0)
        for method, target, kind in (
            ("POST", "/auth/login", "application/problem+json"),
            ("PUT", "/auth/password", "application/problem+json"),
            ("POST", "/oauth/token", "application/json"),
        ):
            answer = await asyncio.to_thread(edge.ask, method, target, "x" * 5000)
            assert answer.status == 500
            assert answer.one("content-type") == kind
            assert [answer.one(name) for name in _OWN] == list(_OWN.values())


async def test_conditions_and_ranges_are_not_nginx_s_to_judge(edge: Perimeter) -> None:
    asked = {"If-Match": '"x"', "If-Unmodified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"}
    for headers in (asked, {"Range": "bytes=99999-"}):
        assert edge.ask("GET", "/.well-known/jwks.json", None, headers).status == 200


async def test_without_an_instance_it_says_when_to_come_back() -> None:
    async with perimeter(f"127.0.0.1:{_free()}") as edge:
        for method, target, kind in (
            ("GET", "/auth/me", "application/problem+json"),
            ("PUT", "/auth/password", "application/problem+json"),
            ("POST", "/oauth/token", "application/json"),
        ):
            answer = await asyncio.to_thread(edge.ask, method, target, {})
            assert answer.status == 503, target
            assert answer.one("retry-after") == "1"
            assert answer.one("content-type") == kind
            assert [answer.one(name) for name in _OWN] == list(_OWN.values())


async def test_what_the_service_answers_has_every_header_once(edge: Perimeter) -> None:
    for target in ("/healthz", "/nothing", "/.well-known/jwks.json", "/auth/me"):
        answer = edge.ask("GET", target)
        for name in {key.lower() for key, _ in answer.headers} - {"vary"}:
            assert len(answer.all(name)) == 1, (target, name)
        assert answer.one("strict-transport-security") == _OWN["strict-transport-security"]


async def test_security_txt_is_served_and_metrics_are_not(
    edge: Perimeter, running: Running
) -> None:
    told = edge.ask("GET", "/.well-known/security.txt")
    assert told.status == 200
    assert b"Contact: mailto:security@acme.example" in told.body
    moved = edge.ask("GET", "/security.txt")
    assert moved.status == 308
    assert moved.one("location").endswith("/.well-known/security.txt")
    for target in ("/metrics", "/metrics/", "/Metrics", "/metrics?x", "/metricsx"):
        assert edge.ask("GET", target).status == 404
    # It is there, for whoever is on this machine.
    port = running.environment["AUTH_METRICS_BIND"].split(":")[1]
    assert _plain(int(port), "GET", "/metrics").status == 200


async def test_plain_http_is_sent_to_https(edge: Perimeter) -> None:
    moved = _plain(edge.http, "GET", "/auth/me?x=1", Host="forged.example")
    assert (moved.status, moved.one("location")) == (308, f"https://{DOMAIN}/auth/me?x=1")
    assert moved.all("strict-transport-security") == []  # RFC 6797 section 7.2


@pytest.mark.parametrize(
    ("status", "method", "target", "headers"),
    [
        (403, "POST", "/auth/login", {}),
        (403, "GET", "/auth/me", {"Authorization": "Bearer x"}),
        (403, "GET", "/auth/me", {"Cookie": "x=y"}),
        (404, "GET", "/.well-known/acme-challenge/none", {}),
        (400, "GET", "/", {"X-Long": "x" * 9000}),
    ],
)
async def test_what_plain_http_refuses_is_said_like_the_rest(
    edge: Perimeter, status: int, method: str, target: str, headers: dict[str, str]
) -> None:
    """Above all whatever carries a secret: with a redirect it would go on being sent in clear."""
    answer = _plain(edge.http, method, target, **headers)
    assert answer.status == status
    _is_own_problem(answer, but="strict-transport-security")
    assert answer.all("strict-transport-security") == []


async def test_no_log_holds_a_query(edge: Perimeter) -> None:
    """Also not of a request that was limited, was cut, was for another, or found no instance."""
    secret = "a-secret-of-somebody"
    statuses = {a.status for a in _flood(edge, f"/auth/login?x={secret}", 25, "203.0.113.21")}
    assert 429 in statuses
    head = f"POST /auth/me?x={secret} HTTP/1.1\r\nHost: {DOMAIN}\r\nContent-Length: 9\r\n\r\n"
    with edge.wire("203.0.113.21") as wire:
        wire.socket.sendall(head.encode())
    with edge.wire("203.0.113.21") as wire:
        elsewhere = wire.send(f"GET /?x={secret} HTTP/1.1\r\nHost: other.example\r\n\r\n".encode())
        assert elsewhere.status == 421
    assert _plain(edge.http, "GET", f"/auth/me?x={secret}").status == 308
    async with perimeter(f"127.0.0.1:{_free()}") as nobody:
        assert nobody.ask("GET", f"/auth/me?x={secret}").status == 503
        await _until_logged(nobody, "503")
        assert not _logs_with(nobody, secret)
    assert any(line["client.address"] == "203.0.113.21" for line in edge.log())
    assert not _logs_with(edge, secret)


async def _until_logged(edge: Perimeter, text: str) -> None:
    """Wait for a line: it is written after the answer."""
    async with asyncio.timeout(10):
        while text not in (edge.folder / "access.log").read_text():
            await asyncio.sleep(0.02)


def _logs_with(edge: Perimeter, text: str) -> list[str]:
    return [path.name for path in edge.folder.glob("*.log") if text in path.read_text()]


# --- bodies, instances ------------------------------------------------------------------------

SMUGGLED = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize(
    "framing",
    [
        "Content-Length: {n}\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: {n}",
        "Content-Length: 3\r\nContent-Length: {n}",
        "Content-Length: +3",
        "Content-Length: 3, 3",
        "Content-Length: 0x3",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding:\x0bchunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "X: y\r\n Transfer-Encoding: chunked\r\nContent-Length: 3",
    ],
    ids=ascii,
)
async def test_what_two_readers_would_cut_differently_reaches_nobody(
    edge: Perimeter, running: Running, framing: str
) -> None:
    """Requests that end elsewhere by another reading (RFC 9112 section 6.3)."""
    before = len(await _log(edge, running))
    body = f"0\r\n\r\n{SMUGGLED}"
    head = f"POST /auth/login HTTP/1.1\r\nHost: {DOMAIN}\r\n{framing.format(n=len(body))}\r\n\r\n"
    with edge.wire("203.0.113.23") as wire:
        answer = wire.send(f"{head}{body}".encode())
        assert answer.status in (400, 501)
        assert wire.socket.recv(1) == b""  # and nothing after it is read
    assert len(await _log(edge, running)) == before + 1  # what asked for the log


async def test_a_slow_body_is_cut_and_the_service_hears_nothing_of_it(
    edge: Perimeter, running: Running
) -> None:
    before = len(await _log(edge, running))

    def dawdle() -> float:
        with edge.wire("203.0.113.22") as wire:
            began = time.monotonic()
            head = f"POST /auth/login HTTP/1.1\r\nHost: {DOMAIN}\r\nContent-Length: 100\r\n\r\n{{"
            wire.socket.sendall(head.encode())
            with contextlib.suppress(OSError):
                wire.socket.recv(65536)
            return time.monotonic() - began

    assert 4 < await asyncio.to_thread(dawdle) < 8
    assert len(await _log(edge, running)) == before + 1  # what asked for the log


async def test_who_never_says_a_word_is_not_waited_for() -> None:
    """Before a host is named the bounds of the default server hold."""
    changes = [("client_header_timeout 10s", "client_header_timeout 1s")]
    async with perimeter("127.0.0.1:1", changes=changes) as edge:
        for port in (edge.https, edge.http):
            with socket.create_connection(("127.0.0.1", port), timeout=20) as silent:
                began = time.monotonic()
                with contextlib.suppress(ConnectionResetError):
                    await asyncio.to_thread(silent.recv, 1)
                assert time.monotonic() - began < 5


class Stubborn:
    """An instance that takes a request, counts it and goes away without a word."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.where = ""

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Stubborn"]:
        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            self.seen[head.split(b" ")[0].decode()] += 1
            writer.transport.abort()

        server = await asyncio.start_server(take, "127.0.0.1", 0)
        self.where = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server:
            yield self


@pytest.mark.parametrize(("method", "times"), [("GET", 4), ("POST", 1), ("PUT", 1), ("DELETE", 1)])
async def test_only_what_changes_nothing_is_asked_of_another_instance(
    method: str, times: int
) -> None:
    async with Stubborn().listening() as one, Stubborn().listening() as two:
        async with perimeter(one.where, two.where) as edge:
            answer = await asyncio.to_thread(edge.ask, method, "/api-keys", {})
        assert answer.status == 503
        assert (one.seen + two.seen)[method] == times


async def test_an_idle_connection_to_an_instance_ends_before_the_instance_ends_it() -> None:
    """Else a POST meets a connection that is being closed, in a restart after three seconds."""
    ended: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        began = time.monotonic()
        await reader.read()
        ended.set_result(time.monotonic() - began)
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    async with server, perimeter(f"127.0.0.1:{server.sockets[0].getsockname()[1]}") as edge:
        answer = await asyncio.to_thread(edge.ask, "GET", "/healthz")
        assert answer.status == 200
        assert 1 < await asyncio.wait_for(ended, 20) < KEPT_SECONDS


async def test_a_dead_instance_is_not_noticed(running: Running) -> None:
    """What was not sent yet may be sent to another, a sign-in too."""
    async with perimeter(f"127.0.0.1:{_free()}", running.environment["AUTH_BIND"]) as edge:
        async with inside(running) as rt:
            person = await given.a_person(rt, f"n{time.monotonic_ns()}@acme.example")
        form = {"email": person.email, "password": person.password}
        for n in range(3):
            answer = await asyncio.to_thread(
                edge.ask, "POST", "/auth/login", form, address=f"203.0.113.{30 + n}"
            )
            assert answer.status == 200, answer.body
            assert all(cookie.startswith("__Host-") for cookie in answer.all("set-cookie"))
