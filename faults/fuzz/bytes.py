"""Our own fuzzer: requests from hostile pieces, kept connections, every answer looked at."""

import asyncio
import base64
import contextlib
import random
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from faults.client import REFRESH, Answer, read_answer
from faults.fuzz.pieces import (
    HEADERS,
    METHODS,
    PARAMETERS,
    QUERIES,
    RAW,
    SEGMENTS,
    TEXTS,
    TYPES,
    UNSAFE,
    body,
    form,
    right,
)
from faults.report import Report
from faults.site import Device, Site
from service.embedded.checkout import ROOT

_CALLERS = 16
_HANG_SECONDS = 10.0
"""A request without an answer hangs after this long, even on a busy machine.  Routes that wait on
purpose are asked not to wait."""

_BEARER = re.compile(rb"Bearer (\S{40,})")
_SLOW = re.compile(r"/stream$")
_ENDING = re.compile(r"/logout|/admin/signing-keys$")
"""Routes that would sign the fuzzer out, or give the deployment another key: asked without a bearer
token.  The others end what their path names, and no path here names what is there."""

_FORM = "application/x-www-form-urlencoded"
_LEAKS = re.compile(
    rb'Traceback|File "|site-packages|asyncpg|msgspec|litestar|joserfc|Error\(|0x[0-9a-f]{8}'
    rb"|SELECT |DROP TABLE|etc/passwd"
)
"""What stands in no refusal: how we are built, and what was sent."""

_FAULT = b'"event":"fault"'


class Door:
    """One route, by method, and what it takes: members of a body, parameters of a query."""

    def __init__(self, document: Any, method: str, path: str, operation: Any) -> None:
        self.method = method.upper().encode()
        self.path = path
        content = operation.get("requestBody", {}).get("content", {})
        schema: Any = next((kind["schema"] for kind in content.values() if "schema" in kind), {})
        self.members = _members(document, schema)
        self.query: list[bytes] = [
            one["name"].encode()
            for one in operation.get("parameters", ())
            if one["in"] == "query" and one["name"] != "wait"
        ]
        self.kind: str = next(iter(content), "application/json")
        self.strangers = bool(_ENDING.search(path))


class Held(NamedTuple):
    """What the fuzzer shows of itself: a person who may do all, a service, a key, a cookie."""

    bearers: list[bytes]
    cookie: bytes
    basic: bytes
    values: dict[bytes, bytes]
    """Of forms, by their parameter: what is good, or was a moment ago."""


def doors() -> list[Door]:
    """Read the routes from openapi/."""
    document = msgspec.json.decode((ROOT / "openapi" / "tesserra-auth.json").read_bytes())
    return [
        Door(document, method, path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if not _SLOW.search(path)
    ]


def _members(document: Any, schema: Any) -> dict[str, bytes]:
    """Return the members of a body, each with a value that would be taken."""
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    properties = sorted(schema.get("properties", {}).items())
    return {name: right(document, name, one) for name, one in properties}


async def fuzz_bytes(site: Site, report: Report, dice: random.Random, rounds: int) -> None:
    """Send so many requests from several callers at once."""
    every = doors()
    who = await site.newcomer(role="owner", platform_admin=True)
    held = [await _held(site, report, who)]
    each = max(1, rounds // _CALLERS)
    began, workers = time.monotonic(), {*site.running.workers()}
    said, asked = site.log.stat().st_size, Counter[str]()
    await asyncio.gather(
        *(
            _caller(site, report, random.Random(dice.random()), every, (who, held, asked), each, n)
            for n in range(_CALLERS)
        )
    )
    report.rounds += each * _CALLERS
    report.figures["requests per second"] = round(each * _CALLERS / (time.monotonic() - began))
    report.figures["routes"] = len(every)
    report.figures["requests of the route asked least"] = min(
        asked[f"{door.method.decode()} {door.path}"] for door in every
    )
    report.expect("I6", {*site.running.workers()} == workers, "a worker ended while it was fuzzed")
    for line in _faults(site.log, said)[:5]:
        report.violate("I6", f"a fault was logged: {line[:300]!r}")
    health = site.client(report)
    report.expect("I6", (await health.ask("GET", "/healthz")).ok, "not well after fuzzing")
    health.close()


def _faults(log: Path, since: int) -> list[bytes]:
    """Return the faults that were logged: also of answers that had begun, which end too soon."""
    with log.open("rb") as lines:
        lines.seek(since)
        return [line for line in lines if _FAULT in line]


async def _caller(
    site: Site,
    report: Report,
    dice: random.Random,
    every: list[Door],
    shared: tuple[Device, list[Held], Counter[str]],
    count: int,
    number: int,
) -> None:
    who, held, counts = shared
    connection = _Connection(site.url, report)
    for turn in range(count):
        if turn % 400 == 0:
            report.progress(f"{turn * _CALLERS} of {count * _CALLERS} requests")
            if turn and number == 0:
                held[0] = await _held(site, report, who)  # tokens live for fifteen minutes
        door = dice.choice(every)
        counts[f"{door.method.decode()} {door.path}"] += 1
        asked, proper = _request(dice, door, held[0])
        answer = await connection.ask(asked)
        if answer is None and proper:  # the connection may have been given up before: a new one
            answer = await connection.ask(asked)
            report.expect("I6", answer is not None, f"twice no answer to {asked[:400]!r}")
        if answer is not None:
            _judge(report, asked, answer)
    connection.close()


class _Connection:
    """Kept as long as both sides will have it."""

    def __init__(self, url: str, report: Report) -> None:
        self._where = urlsplit(url)
        self._report = report
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, asked: bytes) -> Answer | None:
        """Return the answer; None when there is none."""
        if self._reader is None or self._writer is None or self._reader.at_eof():
            where = self._where.hostname, self._where.port
            self._reader, self._writer = await asyncio.open_connection(*where)
        began = time.monotonic()
        answer, kept = await _send(self._report, self._reader, self._writer, asked)
        self._report.worst("s for an answer", round(time.monotonic() - began, 3))
        if not kept:
            self.close()
        return answer

    def close(self) -> None:
        """Hang up."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


async def _send(
    report: Report, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: bytes
) -> tuple[Answer | None, bool]:
    """Return the answer, if any, and whether the connection can go on."""
    report.requests += 1
    try:
        async with asyncio.timeout(_HANG_SECONDS):
            writer.write(asked)
            if b"\r\nTransfer-Encoding" in asked or asked.startswith(RAW):
                writer.write_eof()  # it may wait for more: there is none
            answer = await read_answer(reader, head=asked.startswith(b"HEAD"))
    except TimeoutError:
        report.violate("I6", f"no answer in {_HANG_SECONDS:.0f} s to {asked[:300]!r}")
        return None, False
    except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        report.statuses[0] += 1  # hung up: right on bytes that are no HTTP, and on no others
        return None, False
    with contextlib.suppress(ValueError):
        report.statuses[answer.status] += 1
    closing = answer.headers.get("connection") == ["close"] or b"\r\nTransfer-Encoding" in asked
    return answer, not closing and not asked.startswith(RAW) and b"Content-Length: " in asked


def _judge(report: Report, asked: bytes, answer: Answer) -> None:
    if answer.status == 503:
        told = answer.headers.get("retry-after", [""])[0]
        report.expect("I6", told.isdigit(), f"503 without Retry-After to {asked[:200]!r}")
    elif answer.status >= 500:
        report.violate("I6", f"{answer.status} to {asked[:400]!r}")
    bearer = _BEARER.search(asked)
    if bearer is not None:
        report.expect("I9", bearer[1] not in answer.body, f"a token is echoed to {asked[:200]!r}")
    if answer.status < 400:
        return
    found = _LEAKS.search(answer.body)
    report.expect("leak", found is None, f"{found and found[0]!r} in the answer to {asked[:400]!r}")
    # The HTTP server's own refusals, of what is no HTTP, have no body.
    kinds = answer.headers.get("content-type", [""]) if answer.body else [""]
    json = kinds[0].partition(";")[0] in ("", "application/problem+json", "application/json")
    report.expect("leak", json, f"a refusal as {kinds} to {asked[:200]!r}")
    # A client that tried no HTTP authentication may be challenged by no scheme (RFC 6749 s5.2).
    line, _, rest = asked.lower().partition(b"\r\n")
    of_form = b" /oauth/" in line and b"authorization:" not in rest
    if answer.status == 401 and answer.body and not of_form:
        shown = answer.headers.get("www-authenticate")
        report.expect("I6", shown, f"401 that names no scheme to {asked[:200]!r}")


async def _held(site: Site, report: Report, who: Device) -> Held:
    """Return fresh tokens of one who may do all, of a service, and of a session to be spent."""
    person = await site.device(who.account, who.organization, "owner")
    spent = await site.newcomer(who.organization)  # another, whom signing out everywhere ends
    machine = await site.machine("revocations:read", "api-keys:verify")
    client = site.client(report)
    made = await client.ask(
        "POST",
        "/api-keys",
        bearer=person.access_token,
        json={"name": "fuzz", "scopes": ["revocations:read", "agentes"]},
    )
    client.close()
    key = made.json()["secret"] if made.ok else "tsk_none"
    site.canaries.setdefault("API key", key)
    pair = f"{machine.client_id}:{machine.secret}"
    return Held(
        bearers=[
            *[person.access_token.encode()] * 4,
            machine.access_token.encode(),
            key.encode(),
        ],
        cookie=f"{REFRESH}={spent.refresh_token}".encode(),
        basic=base64.b64encode(pair.encode()),
        values={
            b"token": person.access_token.encode(),
            b"refresh_token": spent.refresh_token.encode(),
            b"subject_token": key.encode(),
        },
    )


def _request(dice: random.Random, door: Door, held: Held) -> tuple[bytes, bool]:
    """Return a request, and whether whoever reads HTTP must answer it."""
    if dice.random() < 0.01:
        return dice.choice(RAW), False
    method = door.method if dice.random() < 0.9 else dice.choice(METHODS)
    is_form = door.kind == _FORM and dice.random() < 0.9
    content = form(dice, held.values) if is_form else body(dice, door.members)
    kind = door.kind.encode() if dice.random() < 0.9 else dice.choice(TYPES)
    lines = [
        b"Host: localhost",
        b"Content-Type: " + kind,
        b"Content-Length: " + str(len(content)).encode(),
        b"X-Forwarded-For: 203.0.113.%d" % dice.randrange(256),
        *_identity(dice, door, held, content),
    ]
    proper = True
    if dice.random() < 0.3:
        name = dice.choice(HEADERS)
        if name not in (b"Content-Length", b"Transfer-Encoding") or dice.random() < 0.1:
            lines.append(name + b": " + dice.choice(TEXTS))
            proper = name not in UNSAFE
    head = method + b" " + _target(dice, door) + b" HTTP/1.1\r\n"
    return head + b"\r\n".join(lines) + b"\r\n\r\n" + content, proper


def _identity(dice: random.Random, door: Door, held: Held, content: bytes) -> list[bytes]:
    """Say who asks, as the route wants it said: mostly, and sometimes by a cookie as well."""
    lines = []
    if dice.random() < 0.85:
        if door.kind == _FORM:
            if b"client_" not in content:  # a client identifies itself in one way
                lines.append(b"Authorization: Basic " + held.basic)
        elif not door.strangers:
            lines.append(b"Authorization: Bearer " + dice.choice(held.bearers))
    if dice.random() < (0.5 if door.path.startswith("/auth/") else 0.02):
        lines.append(b"Cookie: " + held.cookie)
    return lines


def _target(dice: random.Random, door: Door) -> bytes:
    path = re.sub(rb"\{[^}]*\}", lambda _: dice.choice(SEGMENTS), door.path.encode())
    if dice.random() < 0.02:
        path = path.replace(b"/", b"//", 1) + dice.choice((b"/", b"%2f", b";a=b", b"."))
    if door.query and dice.random() < 0.4:
        return path + b"?" + dice.choice(door.query) + b"=" + dice.choice(PARAMETERS)
    return path + b"?" + dice.choice(QUERIES) if dice.random() < 0.2 else path
