"""Statements on auth_clients."""

from service.domain.clients.model import Client
from service.kernel.sql import Queries, Tx

queries = Queries("clients")
_insert = queries.command("insert")
_find = queries.rows("find", Client)


async def insert(tx: Tx, client: Client) -> None:
    """Add a client; its id is random and new."""
    await _insert.run(
        tx,
        client_id=client.client_id,
        tenant_id=client.tenant_id,
        name=client.name,
        scopes=list(client.scopes),
        secret_mac=client.secret_mac,
        jwks=client.jwks,
        created_at=client.created_at,
    )


async def find(tx: Tx, client_id: str) -> Client | None:
    """Return a client, disabled or not."""
    return await _find.maybe(tx, client_id=client_id)
