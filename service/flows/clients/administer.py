"""Administrators manage the clients of an organization; platform administrators all clients."""

from datetime import datetime

from service.domain import audit, clients
from service.domain.audit import events
from service.domain.clients import BELIEVED, Client
from service.domain.keyring import Usage
from service.domain.revocations import Kind
from service.flows.shared import limiting
from service.flows.shared.cutoff import cut_off
from service.flows.shared.idempotency import find_made, keep_made
from service.flows.shared.naming import check_held
from service.flows.shared.new_client import Created, NewClient, check_client, insert_client
from service.flows.shared.permissions import (
    Administrator,
    Permission,
    is_of_platform,
    reach,
    reaches,
    require,
)
from service.flows.shared.reach import THE_PLATFORM, enter, own, record_look
from service.kernel.call import Call
from service.kernel.ids import TenantId
from service.kernel.postgres import Decision
from service.kernel.refusal import Reason, Refused, wrong
from service.kernel.sql import Tx
from service.policy import seconds
from service.runtime import Runtime

SHORTEST_OVERLAP = int(BELIEVED.total_seconds())
LONGEST_OVERLAP = 7 * 86_400
"""Seconds."""
OVERLAPS = f"0, or a number of seconds from {SHORTEST_OVERLAP} to {LONGEST_OVERLAP}"


async def list_clients(
    rt: Runtime, call: Call, tenant_id: TenantId | None, after: str | None, most: int
) -> list[Client]:
    """Return a page of an organization's clients, or the platform's, disabled ones too."""
    async with rt.pg.decision() as tx:
        there = await enter(tx, call, own(call, tenant_id), Permission.READ_CLIENTS)
        await record_look(tx, call, there, Permission.READ_CLIENTS)
        return await clients.list_page(tx, there, after, most)


async def read_client(rt: Runtime, call: Call, client_id: str) -> Client:
    """Return a client.  Refused(NOT_FOUND), also for a client of another organization."""
    administrator = require(call, Permission.READ_CLIENTS)
    async with rt.pg.decision() as tx:
        found = _reached(administrator, await clients.find(tx, client_id))
        await record_look(tx, call, found.tenant_id, Permission.READ_CLIENTS)
    return found


async def create(rt: Runtime, call: Call, tenant_id: TenantId | None, new: NewClient) -> Created:
    """Create a client.  Its secret is returned only this once.

    Refused: INVALID_REQUEST; FORBIDDEN for a scope the person does not hold; NOT_FOUND; TOO_MANY.
    """
    administrator = require(call, Permission.KEEP_CLIENTS)
    await limiting.spend_own(rt, call, "create_client", administrator)
    tenant_id = own(call, tenant_id)
    check_client(rt, new, of_platform=tenant_id == THE_PLATFORM)
    check_held(administrator, new.scopes, "scopes")
    async with rt.pg.decision() as tx:
        made = await find_made(rt, tx, call)
        if made is not None:
            found = _reached(administrator, await clients.find(tx, made))
            await record_look(tx, call, found.tenant_id, Permission.KEEP_CLIENTS)
            return Created(found, None)
        there = await enter(tx, call, tenant_id, Permission.KEEP_CLIENTS)
        created = await insert_client(rt, call, tx, new, there)
        await keep_made(rt, tx, call, created.client.client_id)
    return created


async def disable(rt: Runtime, call: Call, client_id: str) -> None:
    """Disable a client: it cannot authenticate, and its tokens are refused within a second.

    Repeating it revokes again, in case a token was issued meanwhile.
    """
    async with rt.pg.decision() as tx:
        _, client = await _hold(tx, call, client_id)
        if client.disabled_at is None:
            await clients.set_disabled(tx, client, call.at)
            disabled = events.ClientDisabled(tenant_id=client.tenant_id, client_id=client_id)
            await audit.record(tx, call, disabled)
        await _revoke(rt, tx, client, "client disabled")


async def enable(rt: Runtime, call: Call, client_id: str) -> None:
    """Enable a client again.  It gets new tokens with the secret it has.

    Refused: NOT_FOUND; FORBIDDEN for a scope the person does not hold.
    """
    async with rt.pg.decision() as tx:
        administrator, client = await _hold(tx, call, client_id)
        check_held(administrator, client.scopes)
        if client.disabled_at is None:
            return
        await clients.set_disabled(tx, client, None)
        enabled = events.ClientEnabled(tenant_id=client.tenant_id, client_id=client_id)
        await audit.record(tx, call, enabled)


async def rotate_secret(rt: Runtime, call: Call, client_id: str, overlap: int) -> str:
    """Return a new secret, shown only once.  The old one works for `overlap` seconds more.

    None (0) is for a secret that leaked: the tokens it got die as well.  Else a minute to 7 days:
    a worker believes what it knows of a client for a minute.  Refused: INVALID_REQUEST; NOT_FOUND;
    TOO_MANY; FORBIDDEN for a scope the person does not hold: a secret is what it grants; CONFLICT
    for a client that signs with a key of its own.
    """
    administrator = require(call, Permission.KEEP_CLIENTS)
    await limiting.spend_own(rt, call, "rotate_client", administrator)
    if overlap and not SHORTEST_OVERLAP <= overlap <= LONGEST_OVERLAP:
        raise wrong("overlap_seconds", f"must be {OVERLAPS}")
    secret = clients.new_secret()
    mac = clients.secret_mac(rt.keyring.derived(Usage.CLIENT), secret)
    until: datetime | None = call.at + seconds(overlap) if overlap else None
    async with rt.pg.decision() as tx:
        administrator, client = await _hold(tx, call, client_id)
        check_held(administrator, client.scopes)
        if client.secret_mac is None:
            raise Refused(Reason.CONFLICT, "this client signs with a key of its own")
        await clients.replace_secret(tx, client, mac, until)
        rotated = events.ClientSecretRotated(
            tenant_id=client.tenant_id, client_id=client_id, overlap_seconds=overlap
        )
        await audit.record(tx, call, rotated)
        if until is None:
            await _revoke(rt, tx, client, "client secret rotated")
    return secret


async def _hold(tx: Tx, call: Call, client_id: str) -> tuple[Administrator, Client]:
    administrator = require(call, Permission.KEEP_CLIENTS)
    return administrator, _reached(
        administrator, await clients.lock(tx, client_id, reach(administrator))
    )


def _reached(administrator: Administrator, client: Client | None) -> Client:
    """Return a client within the caller's reach.  Refused(NOT_FOUND) for any other."""
    if client is not None:
        if client.tenant_id is None and is_of_platform(administrator):
            return client
        if client.tenant_id is not None and reaches(administrator, client.tenant_id):
            return client
    raise Refused(Reason.NOT_FOUND, "no such client")


async def _revoke(rt: Runtime, tx: Decision, client: Client, reason: str) -> None:
    """Revoke all tokens issued to it until this commits, and end its cache entries."""
    await cut_off(rt, tx, Kind.CLIENT_ID, client.client_id, client.tenant_id, reason)
