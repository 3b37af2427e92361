"""Send a mail, by the server of AUTH_SMTP_URL or else by the one that the vault names.

The one secret that is opened inside the service besides what signs: a platform secret `smtp.url`,
of the form of the setting.  It is in clear for as long as one mail takes, and every opening is
noted as a recipient's is.
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
"""Who opened it."""


async def send_mail(rt: Runtime, call: Call, mail: Mail) -> bool:
    """Send; False when there is no server, or it did not take the message (which is logged)."""
    url = rt.settings.smtp_url or await _open_here(rt, call)
    return url is not None and await rt.mail.send(url, mail, call.at)


async def _open_here(rt: Runtime, call: Call) -> str | None:
    """Open the newest value; None when there is none, or none that opens (which is logged)."""
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
