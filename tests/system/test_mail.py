"""An invitation through AUTH_SMTP_URL: a real process, a real SMTP server, TLS and a login."""

import ssl
from pathlib import Path

from tests import given
from tests.processes import service
from tests.smtp import smtp_sink
from tests.system.certificates import make_certificate
from tests.system.visitors import UNLIMITED, Visitor, inside

PASSWORD = "p@ss/of:the mailer"


async def test_an_invitation_is_mailed_and_its_link_makes_a_member(tmp_path: Path) -> None:
    make_certificate(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    async with smtp_sink(tls=tls, login=True) as sink:
        env = {
            "AUTH_SMTP_URL": f"smtps://mailer:p%40ss%2Fof%3Athe%20mailer@localhost:{sink.port}",
            "SSL_CERT_FILE": str(tmp_path / "cert.pem"),
        }
        async with service(policy=UNLIMITED, env=env) as running:
            async with inside(running) as rt:
                owner = Visitor(running.url, await given.a_person(rt, role="owner"))
            async with owner.client as client:
                await owner.sign_in()
                bearer = {"authorization": f"Bearer {owner.access_token}"}
                form = {"email": "new@acme.example"}
                told = (await client.post("/admin/users", json=form, headers=bearer)).json()
                assert (told["email"], told["link"]) == ("new@acme.example", None)
                (message,) = sink.messages
                assert message["To"] == "new@acme.example"
                assert "Acme" in message["Subject"]
                assert (message["Date"], message["Message-ID"]) != (None, None)
                text = message.get_body(("plain",))
                assert text is not None
                link = next(word for word in text.get_content().split() if "#tsi_" in word)
                assert link.startswith(running.environment["AUTH_ISSUER"])
                token = link.partition("#")[2]
                accept = {"token": token, "password": "a fine long password"}
                accepted = await client.post("/auth/invitations/accept", json=accept)
                assert accepted.json()["organization"] == "acme"
            await running.stop()
            output = running.output()
        assert sink.logins == [f"\0mailer\0{PASSWORD}"]
        for secret in (PASSWORD, "p%40ss", token):
            assert secret not in output
