"""Mail goes out by real SMTP, and what is not taken is said to be not sent."""

import ssl
from pathlib import Path

import pytest

from service.embedded.servers import free_port
from service.kernel.mail import Mail, Mailer
from tests.smtp import smtp_sink
from tests.system.certificates import make_certificate

MAIL = Mail(to="ada@acme.example", subject="Invitation to Açaí & Söhne", text="a line\n.\nlink\n")
SENDER = "no-reply@auth.example"


async def test_a_mail_arrives_as_it_was_written() -> None:
    async with smtp_sink() as sink:
        assert await Mailer(SENDER).send(f"smtp://127.0.0.1:{sink.port}", MAIL)
    (message,) = sink.messages
    assert (message["From"], message["To"]) == (SENDER, MAIL.to)
    assert message["Subject"] == MAIL.subject
    assert message.get_content().replace("\r\n", "\n") == MAIL.text
    (envelope,) = sink.envelopes
    assert (SENDER in envelope[0], MAIL.to in envelope[1]) == (True, True)
    assert sink.logins == []


async def test_a_server_that_refuses_or_is_not_there_took_nothing() -> None:
    async with smtp_sink(refuses=True) as sink:
        assert not await Mailer(SENDER).send(f"smtp://127.0.0.1:{sink.port}", MAIL)
    assert sink.messages == []
    assert not await Mailer(SENDER).send(f"smtp://127.0.0.1:{free_port()}", MAIL)


@pytest.mark.parametrize(
    "url", ["", "http://localhost", "smtp://localhost:none", "no url", "smtp://[::"]
)
async def test_what_is_no_address_of_a_mail_server_took_nothing(url: str) -> None:
    assert not await Mailer(SENDER).send(url, MAIL)


async def test_a_server_nobody_vouches_for_is_told_nothing(tmp_path: Path) -> None:
    make_certificate(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    async with smtp_sink(tls=tls, login=True) as sink:
        url = f"smtps://mailer:secret@localhost:{sink.port}"
        assert not await Mailer(SENDER).send(url, MAIL)
    assert (sink.messages, sink.logins) == ([], [])
