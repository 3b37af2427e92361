"""Sends mail through an SMTP server, in a thread.

`smtps://user:password@host:465`, or `smtp://host:587` (STARTTLS where the server offers it).

Every mail has a Date and a Message-ID (RFC 5322 section 3.6), because large providers refuse mail
without them.  It has the same content as text and as HTML.  `Auto-Submitted` prevents
out-of-office replies (RFC 3834).
"""

import asyncio
import html
import re
import smtplib
import ssl
from datetime import datetime
from email.errors import MessageError
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime, make_msgid
from urllib.parse import SplitResult, unquote, urlsplit

from msgspec import Struct

from service.kernel import hostname
from service.kernel.log import log

_TIMEOUT = 10.0
_LOCAL = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+"
_ONE_LINE = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]*")
_SENDER = re.compile(
    rf"(?P<bare>{_LOCAL})@(?P<bare_domain>[^<>@\s]+)"
    rf"|(?P<name>[^<>]*)<(?P<local>{_LOCAL})@(?P<domain>[^<>@\s]+)>"
)
_PORTS = {"smtp": 587, "smtps": 465}


class Mail(Struct, frozen=True):
    """One message: its paragraphs, and the link that follows them.

    The domain of `to` is in ASCII (A-labels).  The other fields may be any text.
    """

    to: str
    subject: str
    paragraphs: tuple[str, ...]
    link: str


class _Policy(EmailPolicy):
    """Python's policy, except for subjects: Python loses spaces where it folds long subjects."""

    def fold(self, name: str, value: str) -> str:
        """Write a header, in lines."""
        if name == "Subject":
            return f"{name}: {_encoded(str(value), linesep=self.linesep)}{self.linesep}"
        return str(super().fold(name, value))

    def fold_binary(self, name: str, value: str) -> bytes:
        """Write a header, in lines."""
        return (
            self.fold(name, value).encode()
            if name == "Subject"
            else super().fold_binary(name, value)
        )


# Not every server accepts 8-bit text.
_SEVEN_BIT = _Policy(linesep="\r\n", cte_type="7bit")


def _encoded(subject: str, *, linesep: str) -> str:
    """Encode a subject (RFC 2047).  A text that looks like an encoded word is encoded too."""
    charset = "us-ascii" if subject.isascii() and "=?" not in subject else "utf-8"
    encoded: str = Header(subject, charset, header_name="Subject").encode(linesep=linesep)
    return encoded


class Mailer:
    """Sends mail from one address, and greets servers (EHLO) by the issuer's host name."""

    def __init__(self, sender: str, issuer: str) -> None:
        """`sender` is `a@b` or `Name <a@b>`.  ValueError when it is no address."""
        self._sender = _sender(sender)
        self._host = urlsplit(issuer).hostname or "localhost"
        # EHLO takes an IP address in brackets (RFC 5321 section 4.1.3).
        self._ehlo = self._host
        if ":" in self._host:
            self._ehlo = f"[IPv6:{self._host}]"
        elif self._host.replace(".", "").isdigit():
            self._ehlo = f"[{self._host}]"

    async def send(self, url: str, mail: Mail, at: datetime) -> bool:
        """Send a mail dated `at`.  When the server does not take it, log that and return False."""
        try:
            await asyncio.to_thread(self._deliver, url, mail, at)
        except (OSError, smtplib.SMTPException, MessageError, ValueError) as exc:
            log().error("mail not sent", error=type(exc).__name__)
            return False
        return True

    def _deliver(self, url: str, mail: Mail, at: datetime) -> None:
        parts = parsed(url)
        host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        message = self._written(mail, at)
        context = ssl.create_default_context()
        if parts.scheme == "smtps":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                host, port, self._ehlo, timeout=_TIMEOUT, context=context
            )
        else:
            server = smtplib.SMTP(host, port, self._ehlo, timeout=_TIMEOUT)
        with server:
            server.ehlo()
            if parts.scheme == "smtp" and server.has_extn("starttls"):
                server.starttls(context=context)
            if parts.username:
                server.login(unquote(parts.username), unquote(parts.password or ""))
            server.send_message(message)

    def _written(self, mail: Mail, at: datetime) -> EmailMessage:
        """Build the message.  ValueError when a text would add another header line."""
        if not _ONE_LINE.fullmatch(mail.subject):
            raise ValueError("a subject is one line")
        message = EmailMessage(_SEVEN_BIT)
        message["From"] = self._sender
        # Given in parts: `addr_spec` refuses local parts beyond ASCII, which RFC 6531 allows.
        local, _, domain = mail.to.rpartition("@")
        message["To"] = Address("", local, domain)
        message["Subject"] = _encoded(mail.subject, linesep="")
        message["Date"] = format_datetime(at)
        message["Message-ID"] = make_msgid(domain=self._sender.domain or self._host)
        message["Auto-Submitted"] = "auto-generated"
        message.set_content("\n\n".join((*mail.paragraphs, mail.link)) + "\n")
        said = "".join(f"<p>{html.escape(one)}</p>\n" for one in mail.paragraphs)
        link = html.escape(mail.link)
        message.add_alternative(
            f'<!DOCTYPE html>\n<html><head><meta charset="utf-8"><title>{html.escape(mail.subject)}'
            f'</title></head><body>\n{said}<p><a href="{link}">{link}</a></p>\n</body></html>\n',
            subtype="html",
        )
        return message


def _sender(text: str) -> Address:
    """Parse the sender's address.  ValueError when it is none."""
    match = _SENDER.fullmatch(text)
    host = hostname.parse(match["domain"] or match["bare_domain"]) if match else None
    if match is None or host is None or not text.isprintable():
        raise ValueError("must be an address: name@domain, or Name <name@domain>")
    return Address((match["name"] or "").strip(), match["local"] or match["bare"], host.ascii)


def parsed(url: str) -> SplitResult:
    """Parse the URL of a mail server.  ValueError when it is none; its text hides the URL."""
    try:
        parts = urlsplit(url)
        if parts.scheme in _PORTS and parts.hostname and parts.port != 0:
            return parts
    except ValueError:  # the port is no number
        pass
    raise ValueError("not an smtp:// or smtps:// URL")
