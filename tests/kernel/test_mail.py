"""Mail goes out by real SMTP, and what is not taken is said to be not sent."""

import re
import ssl
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

import pytest
from msgspec.structs import replace

from service.embedded.servers import free_port
from service.kernel.mail import Mail, Mailer
from tests.smtp import Sink, smtp_sink
from tests.system.certificates import make_certificate

MAIL = Mail(
    to="ada@acme.example",
    subject="Invitation to Açaí & Söhne",
    paragraphs=("A line of <Açaí & Söhne>.", "."),
    link="https://auth.example/invitation?a=1&b=2#tsi_x",
)
SENDER = "no-reply@auth.example"
ISSUER = "https://login.auth.example:8443"
AT = datetime(2026, 12, 1, 7, 0, tzinfo=UTC)


def mailer(sender: str = SENDER, issuer: str = ISSUER) -> Mailer:
    return Mailer(sender, issuer)


async def sent(mail: Mail, using: Mailer | None = None) -> tuple[EmailMessage, Sink]:
    """Send, and return what arrived."""
    async with smtp_sink() as sink:
        assert await (using or mailer()).send(f"smtp://127.0.0.1:{sink.port}", mail, AT)
    (message,) = sink.messages
    assert message.defects == []
    return message, sink


def part(message: EmailMessage, kind: str) -> str:
    found = message.get_body((kind,))
    assert found is not None
    text: str = found.get_content()
    return text.replace("\r\n", "\n")


async def test_a_mail_arrives_as_it_was_written() -> None:
    message, sink = await sent(MAIL)
    assert (message["From"], message["To"]) == (SENDER, MAIL.to)
    assert message["Subject"] == MAIL.subject
    assert part(message, "plain") == f"{MAIL.paragraphs[0]}\n\n.\n\n{MAIL.link}\n"
    (envelope,) = sink.envelopes
    assert (SENDER in envelope[0], MAIL.to in envelope[1]) == (True, True)
    assert sink.logins == []


async def test_a_mail_has_what_large_providers_want() -> None:
    message, sink = await sent(MAIL)
    assert message["Date"].datetime == AT
    other, _ = await sent(MAIL)
    for one in (message, other):
        assert re.fullmatch(r"<[^<>@\s]+@auth\.example>", one["Message-ID"])
    assert message["Message-ID"] != other["Message-ID"]
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["MIME-Version"] == "1.0"
    assert message.get_content_type() == "multipart/alternative"
    kinds = [one.get_content_type() for one in message.iter_parts()]
    assert kinds == ["text/plain", "text/html"]
    assert sink.greetings == ["login.auth.example"]


async def test_the_html_says_the_same_and_nothing_in_it_is_markup() -> None:
    message, _ = await sent(MAIL)
    html = part(message, "html")
    assert "A line of &lt;Açaí &amp; Söhne&gt;." in html
    address = "https://auth.example/invitation?a=1&amp;b=2#tsi_x"
    assert f'<a href="{address}">{address}</a>' in html


@pytest.mark.parametrize(
    ("issuer", "greeting"),
    [
        ("https://auth.example", "auth.example"),
        ("http://localhost:8080", "localhost"),
        ("http://127.0.0.1:8080", "[127.0.0.1]"),
        ("http://[::1]:8080", "[IPv6:::1]"),
    ],
)
async def test_the_service_greets_by_the_name_of_the_issuer(issuer: str, greeting: str) -> None:
    _, sink = await sent(MAIL, mailer(issuer=issuer))
    assert sink.greetings == [greeting]


@pytest.mark.parametrize(
    "name",
    [
        "Açaí " * 40,
        "日本語の組織" * 30,
        "\N{GRINNING FACE}" * 100,
        "a" * 200,
        'Müller, Söhne <x@evil.example>; "quoted"',
        "=?utf-8?q?not_encoded?=",
        "trailing  spaces   inside",
        "\u0645\u06cc\u200c\u062e\u0648 \u3000 \N{WOMAN}\N{ZERO WIDTH JOINER}\N{PERSONAL COMPUTER}",
    ],
)
async def test_any_name_is_one_subject(name: str) -> None:
    mail = replace(MAIL, subject=f"Invitation to {name}".strip(), paragraphs=(name,))
    message, sink = await sent(mail)
    assert message["Subject"] == mail.subject
    assert name.strip() in part(message, "plain")
    assert max(map(len, sink.raw[0].split(b"\r\n"))) <= 78 or name == "a" * 200
    assert sink.raw[0].isascii()


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\n "])
@pytest.mark.parametrize("field", ["to", "subject"])
async def test_no_text_makes_a_header_of_its_own(field: str, end: str) -> None:
    given = getattr(MAIL, field) + end + "Bcc: eve@evil.example"
    async with smtp_sink() as sink:
        url = f"smtp://127.0.0.1:{sink.port}"
        assert not await mailer().send(url, replace(MAIL, **{field: given}), AT)
    assert sink.messages == []


async def test_a_text_that_looks_like_headers_is_a_text() -> None:
    forged = "x\r\nBcc: eve@evil.example\r\n\r\n.\r\nMAIL FROM:<eve@evil.example>"
    message, sink = await sent(replace(MAIL, paragraphs=(forged,)))
    assert message["Bcc"] is None
    assert len(sink.envelopes) == 1
    assert "MAIL FROM:<eve@evil.example>" in part(message, "plain")


async def test_a_mailbox_of_other_letters_wants_a_server_that_takes_it() -> None:
    """RFC 6531: else it is not sent, and the caller is shown the link."""
    async with smtp_sink() as sink:
        url = f"smtp://127.0.0.1:{sink.port}"
        assert not await mailer().send(url, replace(MAIL, to="josé@acme.example"), AT)
    assert sink.messages == []


async def test_a_mailbox_of_other_letters_is_mailed_to_by_a_server_that_takes_it() -> None:
    async with smtp_sink(utf8=True) as sink:
        url = f"smtp://127.0.0.1:{sink.port}"
        assert await mailer().send(url, replace(MAIL, to="josé@acme.example"), AT)
    assert "<josé@acme.example>" in sink.envelopes[0][1]
    assert "SMTPUTF8" in sink.envelopes[0][0].upper()
    assert sink.messages[0]["To"] == "josé@acme.example"
    assert MAIL.link in part(sink.messages[0], "plain")


@pytest.mark.parametrize(
    ("sender", "told"),
    [
        ("Tesserra Auth <auth@acme.example>", "Tesserra Auth <auth@acme.example>"),
        ("Açaí <auth@bücher.example>", "Açaí <auth@xn--bcher-kva.example>"),
    ],
)
async def test_a_sender_may_have_a_name(sender: str, told: str) -> None:
    message, sink = await sent(MAIL, mailer(sender))
    assert message["From"] == told
    assert message["Message-ID"].endswith(told.partition("@")[2])
    assert "<auth@" in sink.envelopes[0][0]


@pytest.mark.parametrize(
    "sender",
    [
        "",
        "auth",
        "auth@",
        "@acme.example",
        "a@b\r\nBcc: c@d",
        "a@b, c@d",
        "auth@a_b.example",
        "a b@c",
    ],
)
def test_a_sender_that_is_no_address_does_not_start(sender: str) -> None:
    with pytest.raises(ValueError, match="name@domain"):
        mailer(sender)


async def test_a_server_that_refuses_or_is_not_there_took_nothing() -> None:
    async with smtp_sink(refuses=True) as sink:
        assert not await mailer().send(f"smtp://127.0.0.1:{sink.port}", MAIL, AT)
    assert sink.messages == []
    assert not await mailer().send(f"smtp://127.0.0.1:{free_port()}", MAIL, AT)


@pytest.mark.parametrize(
    "url", ["", "http://localhost", "smtp://localhost:none", "no url", "smtp://[::"]
)
async def test_what_is_no_address_of_a_mail_server_took_nothing(url: str) -> None:
    assert not await mailer().send(url, MAIL, AT)


async def test_a_server_nobody_vouches_for_is_told_nothing(tmp_path: Path) -> None:
    make_certificate(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    async with smtp_sink(tls=tls, login=True) as sink:
        url = f"smtps://mailer:secret@localhost:{sink.port}"
        assert not await mailer().send(url, MAIL, AT)
    assert (sink.messages, sink.logins) == ([], [])
