"""Statements on auth_clients."""

from datetime import datetime

from msgspec.structs import asdict

from service.domain.clients.model import Client
from service.kernel.ids import TenantId
from service.kernel.sql import Queries, Tx

queries = Queries("clients")
_insert = queries.command("insert")
_find = queries.rows("find", Client)
_find_enabled = queries.rows("find_enabled", Client)
_lock = queries.rows("lock", Client)
_list_page = queries.rows("list_page", Client)
_set_disabled = queries.command("set_disabled")
_replace_secret = queries.command("replace_secret")
_change = queries.command("change")
_delete = queries.command("delete")


async def insert(tx: Tx, client: Client) -> None:
    """Add a client; its id is random and new."""
    await _insert.run(tx, created_at=client.created_at, **_fields(client))


async def change(tx: Tx, client: Client) -> None:
    """Store what changed of a client that the caller has locked.

    The caller revokes its `client_id` in the same transaction if the change takes something away.
    """
    await _change.run(
        tx,
        previous_mac=client.previous_mac,
        previous_until=client.previous_until,
        **_fields(client),
    )


async def delete(tx: Tx, client: Client) -> None:
    """Delete a client.

    The caller ends its sessions and revokes its `client_id` in the same transaction.
    """
    await _delete.run(tx, client_id=client.client_id, tenant_id=client.tenant_id)


async def find(tx: Tx, client_id: str) -> Client | None:
    """Return a client, disabled or not."""
    return await _find.maybe(tx, client_id=client_id)


async def find_enabled(tx: Tx, client_id: str) -> Client | None:
    """Return a client that may act: neither it nor its organization is disabled."""
    return await _find_enabled.maybe(tx, client_id=client_id)


async def lock(tx: Tx, client_id: str, tenant_id: TenantId | None) -> Client | None:
    """Lock a client of an organization (None: any, or the platform's) and return it."""
    return await _lock.maybe(tx, client_id=client_id, tenant_id=tenant_id)


async def list_page(
    tx: Tx, tenant_id: TenantId | None, after: str | None, most: int
) -> list[Client]:
    """Return clients of an organization, or (None) of the platform, after an id."""
    return await _list_page.all(tx, tenant_id=tenant_id, after=after, most=most)


async def set_disabled(tx: Tx, client: Client, at: datetime | None) -> None:
    """Disable or enable a client; the caller revokes its `client_id` in the same transaction."""
    await _set_disabled.run(
        tx, client_id=client.client_id, tenant_id=client.tenant_id, disabled_at=at
    )


async def replace_secret(
    tx: Tx, client: Client, secret_mac: bytes, previous_until: datetime | None
) -> None:
    """Give a client a new secret.  The old one works until `previous_until`; None: no more."""
    await _replace_secret.run(
        tx,
        client_id=client.client_id,
        tenant_id=client.tenant_id,
        secret_mac=secret_mac,
        previous_mac=client.secret_mac if previous_until else None,
        previous_until=previous_until,
    )


def _fields(client: Client) -> dict[str, object]:
    """Return the columns that both `insert` and `change` write; arrays are lists."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(client).items()
        if name not in _WRITTEN_APART
    }


_WRITTEN_APART = frozenset({"created_at", "disabled_at", "previous_mac", "previous_until"})
