"""An HTTP client that forgives nothing: every answer of every request is looked at.

One connection, one request at a time.  A connection that ends without an answer is an answer too
(status 0): the outcome of that request is unknown.
"""

import asyncio
import base64
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec

from faults.report import Report

REFRESH = "__Host-refresh"
LOST = 0
_REFUSED, _SERVER_ERROR, _UNAVAILABLE = 400, 500, 503
_SECRET = ("password", "current_password", "new_password", "value", "key", "token")
"""Members of bodies that no refusal repeats."""

_TELLING = 12
"""Letters; shorter ones may stand in an answer by chance."""

_PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class Answer:
    """What came back; status 0 when nothing did."""

    status: int
    headers: dict[str, list[str]] = field(default_factory=dict)
    body: bytes = b""

    @property
    def ok(self) -> bool:
        """Whether the service said yes: the act is acknowledged."""
        return 200 <= self.status < 300

    @property
    def unknown(self) -> bool:
        """Whether the act may have happened or not: nothing, or 503, was said."""
        return self.status in (LOST, _UNAVAILABLE)

    def json(self) -> Any:
        """Return the document."""
        return msgspec.json.decode(self.body)

    def cookie(self, name: str = REFRESH) -> str:
        """Return the value a cookie is set to; empty when it is not."""
        jar: SimpleCookie = SimpleCookie()
        for line in self.headers.get("set-cookie", []):
            jar.load(line)
        return str(jar[name].value) if name in jar else ""


@dataclass
class Client:
    """One caller, `address` in the eyes of the service."""

    url: str
    report: Report
    address: str = "198.51.100.1"
    agent: str = "faults"
    _reader: asyncio.StreamReader | None = None
    _writer: asyncio.StreamWriter | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def ask(
        self,
        method: str,
        path: str,
        *,
        bearer: str = "",
        cookie: str = "",
        json: object = None,
        form: Mapping[str, str] | None = None,
        basic: tuple[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask, and hold the answer to what every answer must be."""
        lines = {"host": "localhost", "x-forwarded-for": self.address, "user-agent": self.agent}
        content = b""
        if bearer:
            lines["authorization"] = f"Bearer {bearer}"
        if basic is not None:
            lines["authorization"] = "Basic " + base64.b64encode(":".join(basic).encode()).decode()
        if cookie:
            lines["cookie"] = f"{REFRESH}={cookie}"
        if json is not None:
            content = msgspec.json.encode(json)
            lines["content-type"] = "application/json"
        elif form is not None:
            content = urlencode(form).encode()
            lines["content-type"] = "application/x-www-form-urlencoded"
        if method != "GET":
            lines["content-length"] = str(len(content))
        lines.update(headers or {})
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        answer = await self.send(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + content)
        judge(self.report, answer, f"{method} {path}")
        if answer.status >= _REFUSED:
            secret = (bearer, cookie, *(basic or ())[1:], *_secrets(json), *_secrets(form))
            echoed = any(one.encode() in answer.body for one in secret if len(one) > _TELLING)
            self.report.expect("I9", not echoed, f"{method} {path}: a secret is echoed")
        return answer

    async def send(self, asked: bytes) -> Answer:
        """Send bytes and read one answer; others on this connection wait."""
        async with self._lock:
            return await self._send(asked)

    async def _send(self, asked: bytes) -> Answer:
        if self._reader is not None and (self._reader.at_eof() or self._reader.exception()):
            self.close()  # hung up while idle: nobody loses a request by it
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                if self._writer is None:
                    where = urlsplit(self.url)
                    opened = await asyncio.open_connection(where.hostname, where.port, limit=2**22)
                    self._reader, self._writer = opened
                assert self._reader is not None
                self._writer.write(asked)
                answer = await read_answer(self._reader)
        except TimeoutError:
            self.close()
            self.report.violate("I6", f"no answer in {_PATIENCE_SECONDS:.0f} s: {asked[:60]!r}")
            return Answer(LOST)
        except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            self.close()
            return Answer(LOST)
        except BaseException:
            self.close()
            raise
        if answer.headers.get("connection") == ["close"]:
            self.close()
        return answer

    def port(self) -> int:
        """Return the port it comes from."""
        assert self._writer is not None
        return int(self._writer.get_extra_info("sockname")[1])

    def close(self) -> None:
        """Hang up, whatever is on its way; the next request connects anew."""
        if self._writer is not None:
            with contextlib.suppress(RuntimeError):
                self._writer.transport.abort()
        self._reader = self._writer = None


async def read_answer(reader: asyncio.StreamReader, *, head: bool = False) -> Answer:
    """Read one answer off a connection; an answer to HEAD has no body."""
    text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = text.rstrip("\r\n").split("\r\n")
    headers: dict[str, list[str]] = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers.setdefault(name.lower(), []).append(value.strip())
    if head:
        body = b""
    elif headers.get("transfer-encoding") == ["chunked"]:
        body = await _chunks(reader)
    else:
        body = await reader.readexactly(int(headers.get("content-length", ["0"])[0]))
    return Answer(int(first.split(" ")[1]), headers, body)


def _secrets(body: object) -> list[str]:
    if not isinstance(body, Mapping):
        return []
    return [str(body[name]) for name in _SECRET if name in body]


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int((await reader.readline()).strip(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readline()
    return body


def judge(report: Report, answer: Answer, asked: str) -> None:
    """Hold an answer to I6: no 5xx but 503, and that one says when to come back."""
    report.requests += 1
    report.statuses[answer.status] += 1
    if answer.status == _UNAVAILABLE:
        told = answer.headers.get("retry-after", [""])[0]
        report.expect("I6", told.isdigit(), f"{asked}: 503 without Retry-After")
    elif answer.status >= _SERVER_ERROR:
        report.violate("I6", f"{asked}: {answer.status} {answer.body[:200]!r}")
