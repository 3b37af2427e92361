"""What hostile requests are put together from."""

import random

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
    b"organization_id=%00",
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


def body(dice: random.Random, members: list[str]) -> bytes:
    """Make a body: mostly an object with a hostile member, sometimes no JSON at all."""
    if not members or dice.random() < 0.15:
        return dice.choice((b"", b"{", b"[]", b"{}{}", b'"a"', b"\xff", b"a=b&a=c", b"\x00"))
    at = dice.choice(members)
    pairs = [
        b'"' + name.encode() + b'": ' + (dice.choice(VALUES) if name == at else b'"aaaaaaaa"')
        for name in members
        if name == at or dice.random() < 0.7
    ]
    if dice.random() < 0.05:
        pairs.append(dice.choice(pairs))
    return b"{" + b", ".join(pairs) + b"}"
