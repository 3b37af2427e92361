"""A small real SMTP server (RFC 5321) that keeps what it is given."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage


@dataclass
class Sink:
    """What came in."""

    port: int = 0
    refuses: bool = False
    login: bool = False
    utf8: bool = False
    messages: list[EmailMessage] = field(default_factory=list)
    envelopes: list[tuple[str, str]] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    greetings: list[str] = field(default_factory=list)
    """By what name each client said EHLO."""

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hold one conversation."""

        def say(line: str) -> None:
            writer.write(f"{line}\r\n".encode())

        sender = recipient = ""
        say("220 sink")
        try:
            while line := (await reader.readline()).decode().rstrip("\r\n"):
                match line.split(" ", 1)[0].upper():
                    case "EHLO":
                        self.greetings.append(line.split(" ", 1)[1])
                        offered = ["AUTH PLAIN"] * self.login
                        offered += ["8BITMIME", "SMTPUTF8"] * self.utf8
                        for before in ("sink", *offered)[:-1]:
                            say(f"250-{before}")
                        say(f"250 {('sink', *offered)[-1]}")
                    case "AUTH":
                        self.logins.append(base64.b64decode(line.split(" ")[2]).decode())
                        say("235 welcome")
                    case "MAIL":
                        sender = line
                        say("250 ok")
                    case "RCPT":
                        recipient = line
                        say("550 nobody here" if self.refuses else "250 ok")
                    case "DATA":
                        say("354 go on")
                        body = (await reader.readuntil(b"\r\n.\r\n"))[:-3].replace(
                            b"\r\n..", b"\r\n."
                        )
                        self.envelopes.append((sender, recipient))
                        self.raw.append(body)
                        self.messages.append(message_from_bytes(body, policy=policy.default))
                        say("250 kept")
                    case "QUIT":
                        say("221 bye")
                        break
                    case _:
                        say("250 ok")
                await writer.drain()
        finally:
            writer.close()


@asynccontextmanager
async def smtp_sink(
    *,
    tls: ssl.SSLContext | None = None,
    refuses: bool = False,
    login: bool = False,
    utf8: bool = False,
) -> AsyncIterator[Sink]:
    """Listen; `tls` from the first byte on (RFC 8314), `refuses` every recipient.

    `utf8`: addresses may have any letters (RFC 6531).
    """
    sink = Sink(refuses=refuses, login=login, utf8=utf8)
    server = await asyncio.start_server(sink.converse, "127.0.0.1", 0, ssl=tls)
    sink.port = server.sockets[0].getsockname()[1]
    async with server:
        yield sink
