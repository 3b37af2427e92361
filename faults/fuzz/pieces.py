"""What hostile requests are put together from."""

import base64
import random
from collections.abc import Mapping
from typing import Any

VALUES: tuple[bytes, ...] = (
    b"null",
    b"true",
    b"0",
    b"-1",
    b"1e400",
    b"NaN",
    b"1" * 400,
    b"[]",
    b"{}",
    b'""',
    b'"\\u0000"',
    b'"\\ud800"',
    b'"\xff\xfe"',
    b'"\xed\xa0\x80"',
    b'"\x01"',
    b'"\\u202e\\u2028"',
    b'"' + b"a" * 3000 + b'"',
    b'"\' OR 1=1 --"',
    b'"%00%ff../../etc/passwd"',
    b"[" * 2000,
    b'{"a":' * 500,
    b'"0196f0c0-0000-7000-8000-000000000000"',
    b'"2026-13-45T99:99:99Z"',
    b'"0001-01-01T00:00:00+14:00"',
    b'"9999-12-31T23:59:59-14:00"',
    b'"fe80::1%eth0"',
    b'["a", null, {"b": []}]',
)

TEXTS: tuple[bytes, ...] = (
    b"",
    b"\x01\x7f\x85",
    b"\xff" * 50,
    b"a" * 5000,
    b"\xed\xa0\x80",
    b'"; DROP TABLE auth_users; --',
    b"\xc2\xa0",
    b"=;=;;,=",
    b"0x1p3",
    b"-1",
    b"*/*;q=x",
    b"Bearer",
    b"Basic Og==",
    b"Basic \xff",
    b"__Host-refresh=" + b"A" * 300,
    b"1, 2",
)

HEADERS: tuple[bytes, ...] = (
    b"Authorization",
    b"Cookie",
    b"Content-Type",
    b"Origin",
    b"Sec-Fetch-Site",
    b"X-Forwarded-For",
    b"X-Forwarded-Host",
    b"X-Request-Id",
    b"User-Agent",
    b"Accept",
    b"Host",
    b"If-None-Match",
    b"Last-Event-Id",
    b"Traceparent",
    b"Transfer-Encoding",
    b"Content-Length",
    b"Expect",
    b"Range",
    b"X\x00Y",
)

SEGMENTS: tuple[bytes, ...] = (
    b"0196f0c0-0000-7000-8000-000000000000",
    b"%00",
    b"%ff%fe",
    b"..",
    b"%2e%2e%2f",
    b"a" * 2000,
    b"%",
    b"%zz",
    b"1",
    b"-1",
    b"*",
    b"{}",
    b"'",
    b"%F0%9F%92%A9",
)

QUERIES: tuple[bytes, ...] = (
    b"",
    b"limit=-1",
    b"limit=1e9&cursor=%00",
    b"cursor=%ff%fe",
    b"after=99999999999999999999",
    b"after=-1&limit=0",
    b"=&" * 500,
    b"a=b&a=c",
    b"%",
    b"tenant_id=%00",
    b"tenant_id=0196f0c0-0000-7000-8000-000000000000",
    b"first=2026-99-99&until=x",
)

METHODS = (b"GET", b"POST", b"PUT", b"DELETE", b"PATCH", b"HEAD", b"OPTIONS")

RAW: tuple[bytes, ...] = (
    b"\x00",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET  /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\n{}aa",
    b"POST /auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n{}aa",
    b"POST /auth/login HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /oauth/token HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n",
    b"GET /auth/me HTTP/1.1\r\nHost: a\r\n folded: x\r\n\r\n",
    b"GET /auth/me HTTP/1.1\r\nHost : a\r\n\r\n",
    b"GET /auth/me HTTP/1.1\nHost: a\n\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
)
"""Bytes that are no request, or nearly one."""


UNSAFE = frozenset({b"Host", b"Transfer-Encoding", b"Content-Length", b"Expect", b"X\x00Y"})
"""Headers with which a request is none any more, or one that is waited for: hanging up is right."""

TYPES: tuple[bytes, ...] = (
    b"",
    b"application/json; charset=utf-16",
    b"Application/JSON;charset=x",
    b"application/json, text/plain",
    b"application/x-www-form-urlencoded; charset=latin-1",
    b"multipart/form-data; boundary=a",
    b"multipart/form-data",
    b"text/plain",
    b"application/xml",
    b"image/png",
    b"image/webp",
    b"application/msgpack",
    b"*/*",
    b"\xff",
)

PARAMETERS: tuple[bytes, ...] = (
    b"",
    b"%00",
    b"a%00b",
    b"%ff%fe",
    b"%ED%A0%80",
    b"-1",
    b"1",
    b"1" * 300,
    b"0196f0c0-0000-7000-8000-000000000000",
    b"platform",
    b"AAAA",
    b"%EF%BC%91",
    b"::1",
    b"fe80::1%25eth0",
    b"fe80::1%25%00",
    b"192.0.2.0/24",
    b"0001-01-01T00:00:00%2B14:00",
    b"9999-12-31T23:59:59-14:00",
    b"sign_in.failed",
    b"'%20OR%201=1%20--",
    b"a" * 3000,
    b"1&limit=1",
)
"""Values of a query's parameters, under names that a route knows."""

_DEEP = base64.urlsafe_b64encode(b'{"a":' + b"[" * 3000).rstrip(b"=")
_SPOKEN = base64.urlsafe_b64encode(b'{"sub":"x","iss":"x"}').rstrip(b"=")

_FORM: dict[bytes, tuple[bytes, ...]] = {
    b"grant_type": (
        b"client_credentials",
        b"refresh_token",
        b"urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange",
        b"password",
        b"authorization_code",
    ),
    b"scope": (b"agentes", b"revocations%3Aread", b"*", b"+", b"agentes+agentes"),
    b"token": (),
    b"token_type_hint": (b"access_token", b"refresh_token", b"x"),
    b"address": (b"192.0.2.1", b"%3A%3A1", b"fe80%3A%3A1%25eth0"),
    b"refresh_token": (),
    b"subject_token": (),
    b"subject_token_type": (b"urn%3Atesserra%3Aparams%3Aoauth%3Atoken-type%3Aapi-key", b"x"),
    b"requested_token_type": (b"urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Ajwt", b"x"),
    b"audience": (b"", b"", b"x"),
}
"""Parameters of OAuth's forms, and what may stand there."""

_IDENTITIES: tuple[dict[bytes, tuple[bytes, ...]], ...] = (
    {
        b"client_id": (b"console", b"svc_x", b"%00"),
        b"client_secret": (b"a", b"%00", b"tscs_a"),
    },
    {b"client_id": (b"console",)},
    {
        b"client_assertion": (
            b"a." + _DEEP + b".a",
            _DEEP + b"." + _SPOKEN + b".a",
            b"a." + _SPOKEN + b".a",
            b"...",
        ),
        b"client_assertion_type": (
            b"urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer",
        ),
    },
)
"""The ways in which a client identifies itself in a form."""

_FORM_VALUES: tuple[bytes, ...] = (
    b"",
    b"%00",
    b"%ff%fe",
    b"%ED%A0%80",
    b"%zz",
    b"\xff",
    b"%0d%0aa:b",
    b"a" * 3000,
    b"a" * 9000,
    b"tsk_" + b"A" * 300,
    b"a." + _DEEP + b".a",
    b"'%20OR%201=1%20--",
    b"%F0%9F%92%A9",
)

_NAMED: dict[str, bytes] = {
    "email": b'"fuzz@faults.example"',
    "scopes": b'["agentes"]',
    "jtis": b'["a"]',
    "addresses": b'["192.0.2.0/24"]',
    "address": b'"192.0.2.1"',
    "scope": b'"agentes"',
    "type": b'"sign_in.failed"',
    "tenant_id": b'"platform"',
    "policy": b'{"refresh_grace": 10}',
    "jwks": b'{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "' + b"A" * 43 + b'"}]}',
}
"""What a member of this name takes, where its schema does not say."""


def right(document: Any, name: str, schema: Any) -> bytes:
    """Return a value that a member takes, or might."""
    if name in _NAMED:
        return _NAMED[name]
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    for several in ("oneOf", "anyOf"):
        if several in schema:
            schema = {**schema, **schema[several][0]}
            return right(document, name, {k: v for k, v in schema.items() if k != several})
    if "enum" in schema:
        return b'"' + str(schema["enum"][0]).encode() + b'"'
    match schema.get("type"):
        case "integer":
            return str(schema.get("minimum", 0)).encode()
        case "boolean":
            return b"false"
        case "array":
            return b"[" + right(document, name, schema.get("items", {})) + b"]"
        case "object":
            return b"{}"
    return b'"2030-01-01T00:00:00Z"' if schema.get("format") == "date-time" else b'"aaaaaaaa"'


def body(dice: random.Random, members: Mapping[str, bytes]) -> bytes:
    """Make a body: mostly an object with one hostile member, sometimes no JSON at all.

    The others are what would be taken, so that the hostile one is read, and what follows it.
    """
    if not members or dice.random() < 0.15:
        return dice.choice((b"", b"{", b"{}", b"[]", b"{}{}", b'"a"', b"\xff", b"a=b&a=c", b"\x00"))
    at = dice.choice([*members, ""])
    pairs = [
        b'"' + name.encode() + b'": ' + (dice.choice(VALUES) if name == at else value)
        for name, value in members.items()
        if name == at or dice.random() < 0.7
    ]
    if pairs and dice.random() < 0.05:
        pairs.append(dice.choice(pairs))
    return b"{" + b", ".join(pairs) + b"}"


def form(dice: random.Random, good: Mapping[bytes, bytes]) -> bytes:
    """Make a form: what a client might send, with one hostile parameter, or with none."""
    identity = dice.choice(_IDENTITIES) if dice.random() < 0.3 else {}
    known = {**_FORM, **identity}
    at = dice.choice([*known, b""])
    pairs = []
    for name, values in known.items():
        if name == at:
            pairs.append(name + b"=" + dice.choice(_FORM_VALUES))
        elif name in identity or name == b"grant_type" or dice.random() < 0.6:
            some = (*values, good[name]) if name in good else values
            pairs.append(name + b"=" + dice.choice(some))
    if dice.random() < 0.05:
        pairs.append(dice.choice(pairs))
    return b"&".join(pairs)
