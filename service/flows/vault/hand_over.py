"""Hand a secret over to the service that uses it, encrypted under that service's own key."""

import msgspec
from msgspec import Struct

from service.domain import audit, vault
from service.domain.audit import events
from service.domain.keyring import Usage
from service.domain.vault import Handover, Recipient
from service.flows.shared.permissions import Scope, require_scope
from service.flows.shared.reach import THE_PLATFORM
from service.flows.vault.owner import check_name, not_found
from service.kernel import seal
from service.kernel.call import Call, Machine
from service.kernel.ids import TenantId
from service.kernel.refusal import Reason, Refused
from service.kernel.seal import SealBrokenError
from service.runtime import Runtime


class Handed(Struct, frozen=True):
    """A secret in the form that a recipient gets."""

    name: str
    tenant_id: TenantId | None
    version: int
    kind: str
    recipient: str
    ciphertext: str


async def hand_over(
    rt: Runtime, call: Call, given: TenantId | None, name: str, version: int | None
) -> Handed:
    """Return a secret for the calling recipient: the newest version, unless `version` is given.

    Refused: UNAUTHENTICATED; INSUFFICIENT_SCOPE; FORBIDDEN for a client that is no recipient;
    NOT_FOUND for an unknown secret and for one that is not assigned to it; CONFLICT, with the
    reason, when the stored ciphertext cannot be decrypted.
    """
    caller = require_scope(call, Scope.OPEN_SECRETS)
    if not isinstance(caller, Machine):
        raise Refused(Reason.FORBIDDEN, "only a client can be a recipient of secrets")
    check_name(name)
    tenant_id = caller.tenant_id if given is None else None if given == THE_PLATFORM else given
    async with rt.pg.decision() as tx:
        recipient = await vault.find_recipient(tx, caller.client_id)
        if recipient is None:
            raise Refused(Reason.FORBIDDEN, "this client is no recipient of secrets")
        secret = await vault.find(tx, tenant_id, name) if recipient.may_have(tenant_id) else None
        if secret is None or recipient.name not in secret.recipients:
            raise not_found()
        wanted = version if version is not None else secret.version
        found = await vault.find_sealed(tx, secret.secret_id, wanted)
        if found is None:
            raise not_found()
        try:
            value = rt.seal.open(vault.PURPOSE, vault.place(tenant_id, name, wanted), found.sealed)
        except SealBrokenError as exc:
            raise Refused(Reason.CONFLICT, str(exc)) from None
        await vault.note_opened(
            tx, secret.secret_id, wanted, call.at, f"recipient:{recipient.name}"
        )
        await audit.record(
            tx,
            call,
            events.SecretOpened(
                tenant_id=tenant_id, name=name, version=wanted, recipient=recipient.name
            ),
        )
    handover = Handover(recipient.name, tenant_id, name, wanted, value)
    ciphertext = seal.seal_under(recipient_key(rt, recipient), msgspec.json.encode(handover))
    return Handed(name, tenant_id, wanted, found.kind, recipient.name, ciphertext)


def recipient_key(rt: Runtime, recipient: Recipient) -> str:
    """Return the Fernet key of a recipient.  It reveals nothing about other recipients' keys.

    It is derived from the root secret, not from a master key, so that recipients keep their keys
    when the master key is rotated.
    """
    return seal.derive_token_key(rt.keyring.derived(Usage.RECIPIENT), recipient.purpose)
