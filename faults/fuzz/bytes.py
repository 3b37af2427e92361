"""Our own fuzzer: requests from hostile pieces, kept connections, every answer looked at."""

import asyncio
import contextlib
import random
import re
import time
from typing import Any
from urllib.parse import urlsplit

import msgspec

from faults.client import Answer, read_answer
from faults.fuzz.pieces import HEADERS, METHODS, QUERIES, RAW, SEGMENTS, TEXTS, body
from faults.report import Report
from faults.site import Device, Site
from service.embedded.checkout import ROOT

_CALLERS = 16
_HANG_SECONDS = 10.0
"""Of a busy machine; what is slow on purpose is asked so that it is not."""

_BEARER = re.compile(rb"Bearer (\S{40,})")
_SLOW = re.compile(r"/stream|/revocations$")
_ENDING = re.compile(
    r"logout|disable|end-sessions|personal-data|/role$|signing-keys|/auth/password"
)
"""Routes that would take from the fuzzer what it fuzzes with: asked by strangers alone."""


class Door:
    """One route, by method, and the members of the body it takes."""

    def __init__(self, method: str, path: str, members: list[str], *, form: bool) -> None:
        self.method = method.encode()
        self.path = path
        self.members = members
        self.form = form
        self.strangers = bool(_ENDING.search(path)) and method != "get"


def doors() -> list[Door]:
    """Read the routes from openapi/."""
    document = msgspec.json.decode((ROOT / "openapi" / "tesserra-auth.json").read_bytes())
    found = []
    for path, item in document["paths"].items():
        for method, operation in item.items():
            content = operation.get("requestBody", {}).get("content", {})
            schema: Any = next(
                (kind["schema"] for kind in content.values() if "schema" in kind), {}
            )
            members = _members(document, schema)
            form = "application/x-www-form-urlencoded" in content
            if not (_SLOW.search(path) and method == "get"):
                found.append(Door(method.upper(), path, members, form=form))
    return found


def _members(document: Any, schema: Any) -> list[str]:
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return sorted(schema.get("properties", {}))


async def fuzz_bytes(site: Site, report: Report, dice: random.Random, rounds: int) -> None:
    """Send so many requests from several callers at once."""
    every, workers = doors(), sorted(site.running.workers())
    who = await site.newcomer(role="owner", platform_admin=True)
    tokens = await _tokens(site, who)
    each = max(1, rounds // _CALLERS)
    began = time.monotonic()
    await asyncio.gather(
        *(
            _caller(site, report, random.Random(dice.random()), every, (who, tokens), each, number)
            for number in range(_CALLERS)
        )
    )
    report.rounds += each * _CALLERS
    report.figures["requests per second"] = round(each * _CALLERS / (time.monotonic() - began))
    report.figures["routes"] = len(every)
    health = site.client(report)
    report.expect("I6", (await health.ask("GET", "/healthz")).ok, "not well after fuzzing")
    now = sorted(site.running.workers())
    report.expect("I6", now == workers, f"a worker did not outlive it: {workers}, {now}")
    health.close()


async def _caller(
    site: Site,
    report: Report,
    dice: random.Random,
    every: list[Door],
    held: tuple[Device, list[str]],
    count: int,
    number: int,
) -> None:
    where = urlsplit(site.url)
    reader: asyncio.StreamReader | None = None
    writer: asyncio.StreamWriter | None = None
    for turn in range(count):
        if turn % 400 == 0:
            report.progress(f"{turn * _CALLERS} of {count * _CALLERS} requests")
            if turn and number == 0:
                held[1][:] = await _tokens(site, held[0])  # they live for fifteen minutes
        asked = _request(dice, dice.choice(every), held[1])
        if reader is None or writer is None or reader.at_eof():
            reader, writer = await asyncio.open_connection(where.hostname, where.port)
        answer, kept = await _send(report, reader, writer, asked)
        if answer is not None:
            _judge(report, asked, answer)
        if not kept:
            writer.close()
            reader = writer = None
    if writer is not None:
        writer.close()


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
        report.statuses[0] += 1  # hung up on bytes that are no HTTP, which is right
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


async def _tokens(site: Site, who: Device) -> list[str]:
    """Return fresh tokens of one who may do all, and of a service."""
    person = await site.device(who.account, who.organization, "owner")
    machine = await site.machine("revocations:read", "api-keys:verify")
    return [person.access_token] * 4 + [machine.access_token]


def _request(dice: random.Random, door: Door, tokens: list[str]) -> bytes:
    if dice.random() < 0.01:
        return dice.choice(RAW)
    method = door.method if dice.random() < 0.9 else dice.choice(METHODS)
    path = re.sub(rb"\{[^}]*\}", lambda _: dice.choice(SEGMENTS), door.path.encode())
    if dice.random() < 0.02:
        path = path.replace(b"/", b"//", 1) + dice.choice((b"/", b"%2f", b";a=b", b"."))
    if dice.random() < 0.3:
        path += b"?" + dice.choice(QUERIES)
    content = body(dice, door.members)
    kind = b"application/x-www-form-urlencoded" if door.form else b"application/json"
    if door.form and dice.random() < 0.8:
        content = b"&".join(
            name + b"=" + dice.choice((b"a", b"%00", b"%ff", b"", b"a" * 300))
            for name in (b"grant_type", b"token", b"client_id", b"scope", b"refresh_token")
            if dice.random() < 0.6
        )
    lines = [
        b"Host: localhost",
        b"Content-Type: " + kind,
        b"Content-Length: " + str(len(content)).encode(),
        b"X-Forwarded-For: 203.0.113.%d" % dice.randrange(256),
    ]
    if not door.strangers and dice.random() < 0.85:
        lines.append(b"Authorization: Bearer " + dice.choice(tokens).encode())
    if dice.random() < 0.3:
        name = dice.choice(HEADERS)
        if name not in (b"Content-Length", b"Transfer-Encoding") or dice.random() < 0.1:
            lines.append(name + b": " + dice.choice(TEXTS))
    return method + b" " + path + b" HTTP/1.1\r\n" + b"\r\n".join(lines) + b"\r\n\r\n" + content
