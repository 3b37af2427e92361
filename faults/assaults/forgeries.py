"""Tokens and cookies that are nearly right, some under the genuine key: refused (A01 to A12)."""

import hashlib
import hmac
import random
import time
from collections.abc import Iterator
from typing import Any

import msgspec

from faults.client import REFRESH, Client
from faults.report import Report
from faults.site import Device, Site
from service.domain.tokens import Claims
from service.kernel import jose

_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of P-256 (FIPS 186-4, D.1.2.3)."""

_HALF = 32
_FOR_ANOTHER = "audience of another"
"""A genuine token, and none of ours to take: the management API is walled off."""
_LEEWAY_SECONDS = 10


async def forge(site: Site, report: Report, dice: random.Random, rounds: int) -> None:
    """Present every forgery to `/auth/me`, as often as told, and random letters changed beside."""
    client = site.client(report)
    for number in range(rounds):
        device = await site.newcomer()
        report.progress(f"{number} of {rounds}")
        await _genuine(report, client, device)
        for what, token in (*_tokens(site, device), *_changed(dice, device)):
            answer = await client.ask("GET", "/auth/me", bearer=token)
            refused = 403 if what.endswith(_FOR_ANOTHER) else 401
            report.expect("forgery", answer.status == refused, f"{what}: {answer.status}")
            report.faults["forged tokens"] += 1
        await _malleable(site, report, client)
        await _cookies(report, client, device)
        report.rounds += 1
    client.close()


async def _genuine(report: Report, client: Client, device: Device) -> None:
    answer = await client.ask("GET", "/auth/me", bearer=device.access_token)
    report.expect("harness", answer.ok, f"a genuine token: {answer.status}")


def _tokens(site: Site, device: Device) -> Iterator[tuple[str, str]]:
    key = site.rt.keyring.signing(site.rt.clock.now())
    head, payload, signature = device.access_token.split(".")
    header: dict[str, Any] = msgspec.json.decode(jose.decode(head))
    claims: dict[str, Any] = msgspec.json.decode(jose.decode(payload))
    now = int(site.rt.clock.now().timestamp())

    def signed(headers: dict[str, Any], body: dict[str, Any]) -> str:
        written = jose.encode(msgspec.json.encode(headers))
        return key._signed(written, msgspec.json.encode(body))  # noqa: SLF001 - a forger has no door

    public = jose.encode(site.rt.keyring.jwks)
    headers: dict[str, dict[str, Any]] = {
        "typ JWT": {"typ": "JWT"},
        "typ of a checkpoint": {"typ": "tesserra-checkpoint+jwt"},
        "typ of a logout token": {"typ": "logout+jwt"},
        "jku": {"jku": "http://127.0.0.1:1/keys"},
        "x5u": {"x5u": "http://127.0.0.1:1/keys"},
        "jwk": {"jwk": {"kty": "EC"}},
        "crit": {"crit": ["bork"]},
        "crit, empty": {"crit": []},
        "b64": {"crit": ["b64"], "b64": False},
        "kid of a path": {"kid": "../../dev/null"},
        "kid of SQL": {"kid": "' OR 1=1--"},
        "kid with NUL": {"kid": "\0"},
        "kid, an object": {"kid": {}},
        "another algorithm": {"alg": "RS256"},
        "no algorithm": {"alg": "none"},
    }
    for name, changed in headers.items():
        yield f"header: {name}", signed({**header, **changed}, claims)
    for name in ("typ", "kid", "alg"):
        yield (
            f"header without {name}",
            signed({k: v for k, v in header.items() if k != name}, claims),
        )
    bodies: dict[str, dict[str, Any]] = {
        "expired": {"exp": now - _LEEWAY_SECONDS - 2},
        "from the future": {"iat": now + 70},
        "exp, text": {"exp": str(now + 100)},
        "exp, true": {"exp": True},
        "issuer with a slash": {"iss": claims["iss"] + "/"},
        "issuer in capitals": {"iss": claims["iss"].upper()},
        "issuer, a part": {"iss": claims["iss"][:-1]},
        _FOR_ANOTHER: {"aud": "https://other.example"},
        "audience, a list": {"aud": [claims["aud"]]},
        "no subject": {"sub": None},
        "bound to a key of DPoP": {"cnf": {"jkt": "x"}},
        "bound to a certificate": {"cnf": {"x5t#S256": "x"}},
        "bound to nothing": {"cnf": None},
    }
    for name, changed in bodies.items():
        yield f"claims: {name}", signed(header, {**claims, **changed})
    for name in ("exp", "iat", "iss", "aud", "sub", "jti", "client_id"):
        yield (
            f"claims without {name}",
            signed(header, {k: v for k, v in claims.items() if k != name}),
        )
    yield "unsigned", f"{head}.{payload}."
    for secret in (site.rt.keyring.jwks, public.encode(), header["kid"].encode(), b""):
        other = jose.encode(msgspec.json.encode({**header, "alg": "HS256"}))
        for written in (head, other):
            mac = hmac.digest(secret, f"{written}.{payload}".encode(), hashlib.sha256)
            yield "HMAC under what is public", f"{written}.{payload}.{jose.encode(mac)}"
    stranger = jose.Key("ES256", jose.generate("ES256"))
    yield "signed by a stranger", stranger.sign(msgspec.json.encode(claims))
    yield "twice signed", f"{device.access_token}.{signature}"
    yield "five parts", f"{head}..{payload}..{signature}"
    yield "a refresh token", device.refresh_token
    yield "huge", "A" * 9000


def _without(members: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in members.items() if key != name}


def _changed(dice: random.Random, device: Device) -> Iterator[tuple[str, str]]:
    """One letter off, cut, or longer."""
    token = device.access_token
    for _ in range(20):
        at = dice.randrange(len(token))
        other = dice.choice([letter for letter in "AZaz09-_." if letter != token[at]])
        yield "a letter changed", token[:at] + other + token[at + 1 :]
    yield "cut", token[: -dice.randrange(1, 40)]
    yield "longer", token + "A"


async def _malleable(site: Site, report: Report, client: Client) -> None:
    """A10: the other form of an ES256 signature dies with the token."""
    device = await site.newcomer()
    answer = await client.ask("POST", "/auth/logout", cookie=device.refresh_token, json={})
    report.expect("harness", answer.ok, f"sign-out: {answer.status}")
    head, payload, signature = device.access_token.split(".")
    raw = jose.decode(signature)
    s = _ORDER - int.from_bytes(raw[_HALF:])
    twin = f"{head}.{payload}.{jose.encode(raw[:_HALF] + s.to_bytes(_HALF))}"
    deadline = time.monotonic() + 1
    while (answer := await client.ask("GET", "/auth/me", bearer=twin)).status != 401:
        if time.monotonic() > deadline:
            report.violate("I5", f"the twin of a revoked signature: {answer.status}")
            return


async def _cookies(report: Report, client: Client, device: Device) -> None:
    """D8: the name to the byte, and once.  None of these may rotate or end anything."""
    token = device.refresh_token
    for what, line in {
        "a strange space before the name": f"\xa0{REFRESH}={token}",
        "a strange line end before the name": f"\x85{REFRESH}={token}",
        "twice": f"{REFRESH}={token}; {REFRESH}={token}",
        "twice, one of another": f"{REFRESH}=x; {REFRESH}={token}",
        "quoted": f'{REFRESH}="{token}"',
        "in small letters": f"{REFRESH.lower()}={token}",
        "without its prefix": f"refresh={token}",
        "longer": f"{REFRESH}={token}A",
        "cut": f"{REFRESH}={token[:-1]}",
    }.items():
        for path in ("/auth/refresh", "/auth/logout-all"):
            asked = (
                f"POST {path} HTTP/1.1\r\nhost: localhost\r\nuser-agent: faults\r\n"
                f"x-forwarded-for: {client.address}\r\ncontent-type: application/json\r\n"
                f"content-length: 2\r\ncookie: {line}\r\n\r\n{{}}"
            )
            answer = await client.send(asked.encode("latin-1"))
            report.requests += 1
            report.statuses[answer.status] += 1
            refused = answer.status in (400, 401)
            report.expect("forgery", refused, f"a cookie {what}: {answer.status}")
            report.faults["forged cookies"] += 1
    answer = await client.ask("POST", "/auth/refresh", cookie=token, json={})
    report.expect("I7", answer.ok, f"the cookie itself, afterwards: {answer.status}")
    claims = msgspec.json.decode(jose.decode(device.access_token.split(".")[1]), type=Claims)
    report.expect("harness", claims.jti, "a token without jti")
