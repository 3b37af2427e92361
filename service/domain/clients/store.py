"""Statements on auth_clients."""

from datetime import datetime

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
    """Let a client that its caller holds be this; see `cut_off` for what it had before."""
    await _change.run(
        tx,
        previous_mac=client.previous_mac,
        previous_until=client.previous_until,
        **_fields(client),
    )


async def delete(tx: Tx, client: Client) -> None:
    """Delete it; the caller ends its sessions and revokes its `client_id` in this transaction."""
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
    return {
        "client_id": client.client_id,
        "tenant_id": client.tenant_id,
        "name": client.name,
        "scopes": list(client.scopes),
        "secret_mac": client.secret_mac,
        "jwks": client.jwks,
        "token_endpoint_auth_method": client.token_endpoint_auth_method,
        "grant_types": list(client.grant_types),
        "redirect_uris": list(client.redirect_uris),
        "post_logout_redirect_uris": list(client.post_logout_redirect_uris),
        "origins": list(client.origins),
        "first_party": client.first_party,
        "require_pkce": client.require_pkce,
        "profile": client.profile,
        "id_token_signed_response_alg": client.id_token_signed_response_alg,
        "backchannel_logout_uri": client.backchannel_logout_uri,
        "publisher": client.publisher,
        "logo_uri": client.logo_uri,
        "policy_uri": client.policy_uri,
        "tos_uri": client.tos_uri,
    }
