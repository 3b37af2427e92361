"""Send a mail through the server of AUTH_SMTP_URL, or else of the platform secret `smtp.url`.

Besides signing keys, that secret is the only one that this service opens for itself.  It has the
form of the setting, is in memory only while one mail is sent, and each opening is recorded.
"""

from service.domain import audit, vault
from service.domain.audit import events
from service.kernel.call import Call
from service.kernel.log import log
from service.kernel.mail import Mail
from service.kernel.seal import SealBrokenError
from service.runtime import Runtime

SMTP_URL = "smtp.url"
HERE = "tesserra-auth"
"""The name of this service in the record of an opening."""


async def send_mail(rt: Runtime, call: Call, mail: Mail) -> bool:
    """Send a mail.  False without a server; also, and logged, when it did not take the mail."""
    url = rt.settings.smtp_url or await _open_here(rt, call)
    return url is not None and await rt.mail.send(url, mail, call.at)


async def _open_here(rt: Runtime, call: Call) -> str | None:
    """Return the newest value; None without one; also, and logged, when it cannot be opened."""
    async with rt.pg.decision() as tx:
        secret = await vault.find(tx, None, SMTP_URL)
        if secret is None:
            return None
        found = await vault.find_sealed(tx, secret.secret_id, secret.version)
        if found is None:
            return None
        try:
            place = vault.place(None, SMTP_URL, secret.version)
            value = rt.seal.open(vault.PURPOSE, place, found.sealed)
        except SealBrokenError as exc:
            log().error("mail not sent", error=str(exc))
            return None
        await vault.note_opened(tx, secret.secret_id, secret.version, call.at, HERE)
        opened = events.SecretOpened(
            tenant_id=None, name=SMTP_URL, version=secret.version, recipient=HERE
        )
        await audit.record(tx, call, opened)
    return value.decode(errors="replace").strip()
