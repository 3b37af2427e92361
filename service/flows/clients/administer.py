"""Administer clients: of an organization, or of every organization and the platform.

An administrator is a person by their role, or a machine by its management scopes.  Platform
administrators and machines of the platform reach every client.  So does the operator, from the
command line.
"""

from datetime import datetime

import msgspec
from msgspec.structs import replace

from service.domain import audit, clients, vault
from service.domain.audit import events
from service.domain.clients import BELIEVED, CONSOLE, Client, GrantType
from service.domain.revocations import Kind
from service.flows.shared import limiting
from service.flows.shared.cutoff import cut_off
from service.flows.shared.ending import Cause, OfClient, close, take
from service.flows.shared.idempotency import find_made, keep_made
from service.flows.shared.naming import check_held
from service.flows.shared.new_client import (
    ClientFields,
    Created,
    NewClient,
    check_client,
    check_new,
    insert_client,
    secret_mac,
)
from service.flows.shared.permissions import (
    Administrator,
    Permission,
    is_of_platform,
    is_platform_admin,
    reach,
    reaches,
    require,
)
from service.flows.shared.reach import THE_PLATFORM, enter, find_organization, own, record_look
from service.kernel.call import Call, Operator
from service.kernel.ids import TenantId
from service.kernel.postgres import Decision
from service.kernel.refusal import Reason, Refused, wrong
from service.kernel.sql import Tx
from service.policy import seconds
from service.runtime import Runtime

SHORTEST_OVERLAP = int(BELIEVED.total_seconds())
_LISTS = ("scopes", "grant_types", "redirect_uris", "post_logout_redirect_uris", "origins")
_WIDE = frozenset(
    {*_LISTS, "jwks", "token_endpoint_auth_method", "first_party", "require_pkce", "profile"}
)
"""What a client may do, or proves itself by."""

LONGEST_OVERLAP = 7 * 86_400
"""Seconds."""
OVERLAPS = f"0, or a number of seconds from {SHORTEST_OVERLAP} to {LONGEST_OVERLAP}"


async def list_clients(
    rt: Runtime, call: Call, tenant_id: TenantId | None, after: str | None, most: int
) -> list[Client]:
    """Return a page of an organization's clients, or the platform's, disabled ones too."""
    async with rt.pg.decision() as tx:
        there = await _enter(tx, call, tenant_id, Permission.READ_CLIENTS)
        await record_look(tx, call, there, Permission.READ_CLIENTS)
        return await clients.list_page(tx, there, after, most)


async def read_client(rt: Runtime, call: Call, client_id: str) -> Client:
    """Return a client.  Refused(NOT_FOUND), also for a client of another organization."""
    administrator = _administrator(call, Permission.READ_CLIENTS)
    async with rt.pg.decision() as tx:
        found = _reached(administrator, await clients.find(tx, client_id))
        await record_look(tx, call, found.tenant_id, Permission.READ_CLIENTS)
    return found


async def create(rt: Runtime, call: Call, tenant_id: TenantId | None, new: NewClient) -> Created:
    """Create a client.  Its secret is returned only this once.

    Refused: INVALID_REQUEST; FORBIDDEN for a scope the caller does not hold, and for a first-party
    client by anybody but platform administrators; NOT_FOUND; TOO_MANY.
    """
    administrator = require(call, Permission.KEEP_CLIENTS)
    await limiting.spend_own(rt, call, "create_client", administrator)
    tenant_id = own(call, tenant_id)
    wanted = check_new(rt, call, new, of_platform=tenant_id == THE_PLATFORM)
    _check_granted(administrator, wanted, "scopes")
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


async def change(rt: Runtime, call: Call, client_id: str, fields: ClientFields) -> Client:
    """Change the fields that are given.

    A change that takes something away revokes the tokens of the client, and workers read it again.
    A repetition that names what may be taken away does so too: a token may have been issued
    meanwhile.  Its sessions end when it loses the grant `refresh_token`.  A client that changes to
    a secret gets one that nobody knows: rotate it to see one.

    Refused: INVALID_REQUEST with all faults; NOT_FOUND; CONFLICT for the console; FORBIDDEN for a
    scope the caller does not hold, and for a first-party client by anybody but platform
    administrators.
    """
    async with rt.pg.decision() as tx:
        administrator, before = await _hold(tx, call, client_id)
        after = _with_credential(rt, before, replace(before, **fields.given()))
        check_client(rt, after, of_platform=after.tenant_id is None)
        _check_granted(administrator, after, "scopes")
        _check_granted(administrator, replace(before, scopes=()))
        changed = tuple(
            name for name in ClientFields.__struct_fields__ if _differ(before, after, name)
        )
        if changed:
            await clients.change(tx, after)
            closed = GrantType.REFRESH_TOKEN in {*before.grant_types} - {*after.grant_types}
            everyone = OfClient(client_id)
            ended = await take(call, tx, everyone, Cause.CLIENT_CLOSED) if closed else []
            event = events.ClientChanged(
                tenant_id=after.tenant_id, client_id=client_id, fields=changed
            )
            await close(call, tx, ended, Cause.CLIENT_CLOSED, [event])
        repeated = not changed and not _WIDE.isdisjoint(fields.given())
        if repeated or _takes_away(before, after):
            await _revoke(rt, tx, after, "client changed")
    return after


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

    Refused: NOT_FOUND; CONFLICT for the console; FORBIDDEN for a scope the caller does not hold,
    and for a first-party client by anybody but platform administrators.
    """
    async with rt.pg.decision() as tx:
        administrator, client = await _hold(tx, call, client_id)
        _check_granted(administrator, client)
        if client.disabled_at is None:
            return
        await clients.set_disabled(tx, client, None)
        enabled = events.ClientEnabled(tenant_id=client.tenant_id, client_id=client_id)
        await audit.record(tx, call, enabled)


async def delete(rt: Runtime, call: Call, client_id: str) -> None:
    """Delete a client: its sessions end, and its tokens die everywhere within a second.

    Its id is random, and no other client ever has it.
    Refused: NOT_FOUND; CONFLICT for the console, and for a client that is handed secrets.
    """
    async with rt.pg.decision() as tx:
        await vault.lock_recipients(tx)  # nobody makes it a recipient meanwhile
        _, client = await _hold(tx, call, client_id)
        if await vault.find_recipient(tx, client_id) is not None:
            raise Refused(
                Reason.CONFLICT, "secrets are handed to this client: remove the recipient first"
            )
        ended = await take(call, tx, OfClient(client_id), Cause.CLIENT_CLOSED)
        await clients.delete(tx, client)
        deleted = events.ClientDeleted(
            tenant_id=client.tenant_id, client_id=client_id, name=client.name, sessions=len(ended)
        )
        await close(call, tx, ended, Cause.CLIENT_CLOSED, [deleted])
        await _revoke(rt, tx, client, "client deleted")


async def rotate_secret(rt: Runtime, call: Call, client_id: str, overlap: int) -> str:
    """Return a new secret, shown only once.  The old one works for `overlap` seconds more.

    0 is for a secret that leaked: the tokens of the client are revoked too.  Otherwise it is a
    minute to 7 days, since a worker believes what it knows of a client for a minute.

    Refused: INVALID_REQUEST; NOT_FOUND; TOO_MANY; CONFLICT for a client that has no secret, and for
    the console; FORBIDDEN for a scope the caller does not hold, since whoever has the secret gets
    the scopes of the client, and for a first-party client by anybody but platform administrators.
    """
    administrator = _administrator(call, Permission.KEEP_CLIENTS)
    if administrator is not None:
        await limiting.spend_own(rt, call, "rotate_client", administrator)
    if overlap and not SHORTEST_OVERLAP <= overlap <= LONGEST_OVERLAP:
        raise wrong("overlap_seconds", f"must be {OVERLAPS}")
    secret = clients.new_secret()
    until: datetime | None = call.at + seconds(overlap) if overlap else None
    async with rt.pg.decision() as tx:
        administrator, client = await _hold(tx, call, client_id)
        _check_granted(administrator, client)
        if not client.has_own_secret:
            told = "is public" if client.public else "signs with a key of its own"
            raise Refused(Reason.CONFLICT, f"this client {told}")
        await clients.replace_secret(tx, client, secret_mac(rt, secret), until)
        rotated = events.ClientSecretRotated(
            tenant_id=client.tenant_id, client_id=client_id, overlap_seconds=overlap
        )
        await audit.record(tx, call, rotated)
        if until is None:
            await _revoke(rt, tx, client, "client secret rotated")
    return secret


def _administrator(call: Call, act: Permission) -> Administrator | None:
    """Return the person or machine that may do this; None for the operator, who always may."""
    return None if isinstance(call.actor, Operator) else require(call, act)


async def _enter(
    tx: Tx, call: Call, tenant_id: TenantId | None, act: Permission
) -> TenantId | None:
    """Return the organization to act in; None for the platform."""
    if not isinstance(call.actor, Operator):
        return await enter(tx, call, own(call, tenant_id), act)
    if tenant_id is None or tenant_id == THE_PLATFORM:
        return None
    return (await find_organization(tx, tenant_id)).tenant_id


async def _hold(tx: Tx, call: Call, client_id: str) -> tuple[Administrator | None, Client]:
    """Lock and return a client that is to change.  Refused: NOT_FOUND; CONFLICT for the console."""
    administrator = _administrator(call, Permission.KEEP_CLIENTS)
    within = None if administrator is None else reach(administrator)
    client = _reached(administrator, await clients.lock(tx, client_id, within))
    if client_id == CONSOLE:
        raise Refused(
            Reason.CONFLICT, "the console is built in: people sign in by it, and it stays as it is"
        )
    return administrator, client


def _reached(administrator: Administrator | None, client: Client | None) -> Client:
    """Return a client within the caller's reach.  Refused(NOT_FOUND) for any other."""
    if client is not None:
        if administrator is None or (client.tenant_id is None and is_of_platform(administrator)):
            return client
        if client.tenant_id is not None and reaches(administrator, client.tenant_id):
            return client
    raise Refused(Reason.NOT_FOUND, "no such client")


def _check_granted(administrator: Administrator | None, client: Client, *fields: str) -> None:
    """Refuse to give a client more than the caller holds, or to hand out its credential: FORBIDDEN.

    The tokens of a first-party client open the management API, so only platform administrators may
    make one or give it a credential.
    """
    if administrator is None:
        return
    check_held(administrator, client.scopes, *fields)
    if client.first_party and not is_platform_admin(administrator):
        raise Refused(
            Reason.FORBIDDEN,
            "first-party clients are for platform administrators",
            fields=("first_party",) if fields else (),
        )


def _with_credential(rt: Runtime, before: Client, after: Client) -> Client:
    """Return a changed client with the credential of its method, and no other."""
    if not after.has_own_secret:
        return replace(after, secret_mac=None, previous_mac=None, previous_until=None)
    if before.secret_mac is None:
        return replace(after, secret_mac=secret_mac(rt, clients.new_secret()))
    return after


def _differ(before: Client, after: Client, name: str) -> bool:
    if name == "jwks":
        return _keys(before) != _keys(after)
    return bool(getattr(before, name) != getattr(after, name))


def _takes_away(before: Client, after: Client) -> bool:
    """Whether a change allows the client less than before, or changes its credential."""
    return (
        any({*getattr(before, name)} - {*getattr(after, name)} for name in _LISTS)
        or bool(_keys(before) - _keys(after))
        or _credential(before) != _credential(after)
        or (before.first_party and not after.first_party)
        or (after.require_pkce and not before.require_pkce)
        or (after.profile is not None and before.profile is None)
    )


def _credential(client: Client) -> str:
    """Return the kind of its credential: a secret is the same one by Basic and in the form."""
    return "secret" if client.has_own_secret else client.token_endpoint_auth_method


def _keys(client: Client) -> frozenset[bytes]:
    """Return its public keys, each in a normal form, to compare them."""
    found = msgspec.json.decode(client.jwks)["keys"] if client.jwks else ()
    return frozenset(msgspec.json.encode(one, order="sorted") for one in found)


async def _revoke(rt: Runtime, tx: Decision, client: Client, reason: str) -> None:
    """Revoke all tokens issued to it until this commits, and end its cache entries."""
    await cut_off(rt, tx, Kind.CLIENT_ID, client.client_id, client.tenant_id, reason)
