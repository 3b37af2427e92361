"""Issue an API key."""

from datetime import datetime

from msgspec import Struct

from service.domain import apikeys, audit
from service.domain.apikeys import ApiKey
from service.domain.audit import events
from service.flows.apikeys.issuing import (
    IssuedKey,
    catalogue,
    check_expiry,
    check_scopes,
    insert_key,
)
from service.flows.apikeys.visibility import lock_key
from service.flows.shared import limiting
from service.flows.shared.idempotency import find_made, keep_made
from service.flows.shared.naming import check_known, check_name
from service.flows.shared.permissions import Administrator, Permission, may, require
from service.flows.shared.reach import hold_oneself, home
from service.kernel import ids
from service.kernel.call import Call, Machine
from service.kernel.ids import ApiKeyId, UserId
from service.kernel.refusal import Reason, Refused, check_all, wrong
from service.runtime import Runtime

_MOST_NETWORKS = 50


class NewKey(Struct, frozen=True, kw_only=True):
    """A key to issue.  `shared`: it belongs to the organization, otherwise to its creator.

    `networks`: the addresses or networks from which it may be used; empty: any.
    """

    name: str
    scopes: tuple[str, ...]
    expires_at: datetime | None = None
    shared: bool = False
    networks: tuple[str, ...] = ()


async def create_key(rt: Runtime, call: Call, new: NewKey) -> IssuedKey:
    """Issue a key in the caller's own organization.

    Refused: UNAUTHENTICATED; FORBIDDEN for the caller's role, or for a scope that they do not hold;
    TOO_MANY; INVALID_REQUEST, which names the member at fault.
    """
    administrator = require(call, Permission.WRITE_API_KEYS)
    await limiting.spend_own(rt, call, "create_api_key", administrator)
    owner_id = None if new.shared else _own(administrator)
    if new.shared and not may(administrator, Permission.WRITE_ALL_API_KEYS):
        raise Refused(Reason.FORBIDDEN, "your role does not allow this", fields=("owner",))
    check_all(
        lambda: check_name(new.name),
        lambda: check_known(new.scopes, catalogue(rt)),
        lambda: check_expiry(call, new.expires_at),
        lambda: _checked_networks(new.networks),
    )
    key = ApiKey(
        key_id=ApiKeyId(ids.new(call.at)),
        tenant_id=home(administrator),
        owner_id=owner_id,
        public_id="",
        name=new.name,
        scopes=check_scopes(rt, administrator, new.scopes),
        networks=_checked_networks(new.networks),
        created_at=call.at,
        expires_at=check_expiry(call, new.expires_at),
        revoked_at=None,
        ended_at=None,
        successor_id=None,
        last_used_at=None,
        use_count=0,
    )
    async with rt.pg.decision() as tx:
        made = await find_made(rt, tx, call)
        if made is not None:
            return IssuedKey(await lock_key(tx, administrator, ApiKeyId(ids.read(made))))
        await hold_oneself(tx, administrator)
        issued = await insert_key(rt, tx, key)
        await audit.record(
            tx,
            call,
            events.ApiKeyCreated(
                tenant_id=key.tenant_id,
                user_id=key.owner_id,
                key_id=key.key_id,
                prefix=issued.key.prefix,
                scopes=key.scopes,
                expires_at=key.expires_at,
            ),
        )
        await keep_made(rt, tx, call, key.key_id)
    return issued


def _own(administrator: Administrator) -> UserId:
    """Return the owner of a person's own key.  Refused(INVALID_REQUEST) for a machine."""
    if isinstance(administrator, Machine):
        raise wrong("owner", "must be organization: a client owns no key")
    return administrator.user_id


def _checked_networks(given: tuple[str, ...]) -> tuple[str, ...]:
    """Return networks in their canonical spelling.  Refused(INVALID_REQUEST)."""
    try:
        networks = {str(apikeys.read_network(text)) for text in given}
    except ValueError:
        networks = set()
    if len(given) > _MOST_NETWORKS or bool(networks) != bool(given):
        told = f"must be up to {_MOST_NETWORKS} addresses or networks such as 192.0.2.0/24"
        raise wrong("addresses", told)
    return tuple(sorted(networks))
