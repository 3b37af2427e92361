"""The operator manages recipients: services that may get secrets."""

from msgspec import Struct

from service.domain import audit, clients, vault
from service.domain.audit import events
from service.domain.vault import Recipient
from service.flows.shared.new_client import Created, NewClient, insert_client
from service.flows.shared.permissions import Scope
from service.flows.vault.hand_over import recipient_key
from service.flows.vault.owner import check_name
from service.kernel import ids
from service.kernel.call import Call
from service.kernel.refusal import Reason, Refused
from service.kernel.sql import Tx
from service.runtime import Runtime


class NewRecipient(Struct, frozen=True):
    """A new recipient, its key, which is shown only once, and its client if that is new too."""

    recipient: Recipient
    key: str
    created: Created | None


async def create_recipient(
    rt: Runtime, call: Call, name: str, client_id: str | None
) -> NewRecipient:
    """Make a client a recipient of secrets.  Without `client_id`, also create that client.

    Refused: INVALID_REQUEST for a client that lacks the scope; NOT_FOUND when there is no such
    client; CONFLICT when the name is taken or the client is a recipient already.
    """
    check_name(name)
    async with rt.pg.decision() as tx:
        await vault.lock_recipients(tx)  # a refusal must not leave a client behind
        known = await vault.list_recipients(tx)
        if any(one.name == name or one.client_id == client_id for one in known):
            raise Refused(Reason.CONFLICT, "the name is taken, or the client is a recipient")
        created = None
        if client_id is None:
            new = NewClient(name=f"recipient {name}", scopes=(Scope.OPEN_SECRETS,))
            created = await insert_client(rt, call, tx, new, None)
        client = created.client if created else await _find(tx, client_id or "")
        recipient = Recipient(
            recipient_id=ids.new(call.at),
            name=name,
            client_id=client.client_id,
            tenant_id=client.tenant_id,
            created_at=call.at,
        )
        await vault.insert_recipient(tx, recipient)
        await audit.record(
            tx,
            call,
            events.RecipientCreated(
                tenant_id=client.tenant_id, name=name, client_id=client.client_id
            ),
        )
    return NewRecipient(recipient, recipient_key(rt, recipient), created)


async def list_recipients(rt: Runtime, _call: Call) -> list[Recipient]:
    """Return every recipient, by name."""
    async with rt.pg.reading() as tx:
        return await vault.list_recipients(tx)


async def delete_recipient(rt: Runtime, call: Call, name: str) -> None:
    """Remove a recipient: it gets no more secrets.  Its client stays.  Refused(NOT_FOUND)."""
    async with rt.pg.decision() as tx:
        if not await vault.delete_recipient(tx, name):
            raise Refused(Reason.NOT_FOUND, "no such recipient")
        await audit.record(tx, call, events.RecipientDeleted(name=name))


async def _find(tx: Tx, client_id: str) -> clients.Client:
    client = await clients.find_enabled(tx, client_id)
    if client is None:
        raise Refused(Reason.NOT_FOUND, "no such client")
    if Scope.OPEN_SECRETS not in client.scopes:
        raise Refused(Reason.INVALID_REQUEST, f"the client lacks the scope {Scope.OPEN_SECRETS}")
    return client
