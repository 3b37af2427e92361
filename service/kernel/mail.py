"""Outgoing mail: plain text, by an SMTP server, off the event loop.

`smtps://user:password@host:465`, or `smtp://host:587` (STARTTLS where the server offers it).
"""

import asyncio
import smtplib
import ssl
from email.message import EmailMessage
from urllib.parse import SplitResult, unquote, urlsplit

from msgspec import Struct

from service.kernel.log import log

_TIMEOUT = 10.0
_PORTS = {"smtp": 587, "smtps": 465}


class Mail(Struct, frozen=True):
    """One message."""

    to: str
    subject: str
    text: str


class Mailer:
    """Sends in one name."""

    def __init__(self, sender: str) -> None:
        self._sender = sender

    async def send(self, url: str, mail: Mail) -> bool:
        """Send by a server; False when it did not take the message (which is logged)."""
        try:
            await asyncio.to_thread(self._deliver, url, mail)
        except (OSError, smtplib.SMTPException, ValueError) as exc:
            log().error("mail not sent", error=type(exc).__name__)
            return False
        return True

    def _deliver(self, url: str, mail: Mail) -> None:
        parts = parsed(url)
        host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = self._sender, mail.to, mail.subject
        message.set_content(mail.text)
        context = ssl.create_default_context()
        if parts.scheme == "smtps":
            server: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=_TIMEOUT, context=context)
        else:
            server = smtplib.SMTP(host, port, timeout=_TIMEOUT)
        with server:
            server.ehlo()
            if parts.scheme == "smtp" and server.has_extn("starttls"):
                server.starttls(context=context)
            if parts.username:
                server.login(unquote(parts.username), unquote(parts.password or ""))
            server.send_message(message)


def parsed(url: str) -> SplitResult:
    """Take apart the URL of a mail server.  ValueError, which does not show it, when it is none."""
    try:
        parts = urlsplit(url)
        if parts.scheme in _PORTS and parts.hostname and parts.port != 0:
            return parts
    except ValueError:  # what stands for the port is none
        pass
    raise ValueError("not an smtp:// or smtps:// URL")
