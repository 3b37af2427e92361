"""Put a value into the vault.  From then on it is only handed out encrypted, to its recipients."""

from collections.abc import Sequence
from uuid import UUID

from msgspec import Struct

from service.domain import audit, vault
from service.domain.audit import events
from service.domain.keyring import Usage
from service.domain.vault import Secret
from service.flows.shared import limiting
from service.flows.shared.permissions import Permission
from service.flows.vault.owner import check_name, enter, reach
from service.kernel import ids, jose
from service.kernel.call import Call
from service.kernel.ids import TenantId
from service.kernel.mac import hmac_sha256
from service.kernel.refusal import wrong
from service.kernel.sql import Tx
from service.runtime import Runtime

_FINGERPRINT_BYTES = 16


class NewSecret(Struct, frozen=True, kw_only=True):
    """A value under a name.  `recipients` names who may be handed it; None leaves them as is."""

    name: str
    value: bytes
    recipients: tuple[str, ...] | None = None
    tenant_id: TenantId | None = None

    def __repr__(self) -> str:
        """Show no value."""
        return f"NewSecret({self.name!r})"


async def put_secret(rt: Runtime, call: Call, new: NewSecret) -> Secret:
    """Add a version to a secret, and make the secret if it is new.  Older versions are kept.

    Refused: FORBIDDEN; NOT_FOUND out of reach; INVALID_REQUEST, which names the limit; TOO_MANY.
    """
    administrator, tenant_id = reach(call, Permission.KEEP_SECRETS, new.tenant_id)
    check_name(new.name)
    _check_value(new.value)
    await limiting.spend_own(rt, call, "put_secret", administrator)
    looks = vault.recognise(new.name, new.value)
    async with rt.pg.decision() as tx:
        recipients = None
        if new.recipients is not None:
            recipients = await _find_recipients(tx, tenant_id, new.recipients)
        await enter(tx, administrator, tenant_id)
        held = await vault.put(
            tx,
            ids.new(call.at),
            tenant_id,
            new.name,
            lambda version: rt.seal.seal(
                vault.PURPOSE, vault.place(tenant_id, new.name, version), new.value
            ),
            fingerprint=_fingerprint(rt, new.value),
            looks=looks,
            at=call.at,
            by=f"{call.actor.kind}:{call.actor.actor_id}",
        )
        if recipients is not None:
            await vault.assign(tx, held.secret_id, recipients)
        found = await vault.find(tx, tenant_id, new.name)
        if found is None:
            raise LookupError(new.name)
        await audit.record(
            tx,
            call,
            events.SecretPut(
                tenant_id=tenant_id,
                name=new.name,
                version=found.version,
                kind=looks.kind,
                mode=looks.mode,
                recipients=found.recipients,
                warning=vault.warning(looks.kind),
            ),
        )
    return found


def _check_value(value: bytes) -> None:
    if not 1 <= len(value) <= vault.LARGEST:
        raise wrong("value", f"must be 1 to {vault.LARGEST} bytes")


def _fingerprint(rt: Runtime, value: bytes) -> str:
    key = rt.keyring.derived(Usage.FINGERPRINT)
    return jose.encode(hmac_sha256(key, value)[:_FINGERPRINT_BYTES])


async def _find_recipients(tx: Tx, tenant_id: TenantId | None, names: Sequence[str]) -> list[UUID]:
    known = {
        one.name: one.recipient_id
        for one in await vault.list_recipients(tx)
        if one.may_have(tenant_id)
    }
    if not set(names) <= known.keys():
        raise wrong(
            "recipients",
            f"must be of: {', '.join(sorted(known))}"
            if known
            else "cannot be named: no recipient exists yet; create one first",
        )
    return [known[name] for name in dict.fromkeys(names)]
