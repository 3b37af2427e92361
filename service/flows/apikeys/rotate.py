"""Replace an API key by a successor.  Both work until the overlap ends."""

from datetime import datetime

from msgspec import structs

from service.domain import apikeys, audit
from service.domain.apikeys import ApiKey
from service.domain.audit import events
from service.flows.apikeys.issuing import IssuedKey, check_expiry, check_scopes, insert_key
from service.flows.apikeys.visibility import lock_key, owns
from service.flows.shared import limiting
from service.flows.shared.ending import close_keys
from service.flows.shared.idempotency import find_made, keep_made
from service.flows.shared.permissions import Permission, require
from service.flows.shared.reach import hold_oneself
from service.kernel import ids
from service.kernel.call import Call
from service.kernel.ids import ApiKeyId
from service.kernel.refusal import Reason, Refused, wrong
from service.policy import seconds
from service.runtime import Runtime

LONGEST_OVERLAP = 7 * 86_400
"""The longest overlap, in seconds: 7 days."""


async def rotate_key(
    rt: Runtime, call: Call, key_id: ApiKeyId, overlap: int, expires_at: datetime | None = None
) -> IssuedKey:
    """Issue a successor with the same name, scopes, owner and addresses.

    `overlap` is in seconds, 0 to 7 days.  Until then the old key works as well, unless it expires
    before.  Without `expires_at`, the successor gets as long a lifetime as the old key had.

    When the overlap is over, the task that ends expired keys puts the old key on the revocation
    feed, which all caches follow.  Refused: UNAUTHENTICATED; FORBIDDEN; TOO_MANY; NOT_FOUND;
    CONFLICT for a key that has ended or already has a successor.
    """
    administrator = require(call, Permission.WRITE_API_KEYS)
    await limiting.spend_own(rt, call, "rotate_api_key", administrator)
    if not 0 <= overlap <= LONGEST_OVERLAP:
        raise wrong("overlap_seconds", f"must be a number of seconds from 0 to {LONGEST_OVERLAP}")
    check_expiry(call, expires_at)
    async with rt.pg.decision() as tx:
        made = await find_made(rt, tx, call)
        if made is not None:
            return IssuedKey(await lock_key(tx, administrator, ApiKeyId(ids.read(made))))
        await hold_oneself(tx, administrator)
        old = await lock_key(tx, administrator, key_id)
        if old.owner_id is not None and not owns(administrator, old):
            # The caller would get a key that acts in the owner's name.
            raise Refused(Reason.FORBIDDEN, "a person's key is rotated by that person; revoke it")
        if old.state(call.at) is not None or old.successor_id is not None:
            raise Refused(Reason.CONFLICT, "this key has ended, or has a successor already")
        check_scopes(rt, administrator, old.scopes)
        successor = structs.replace(
            old,
            key_id=ApiKeyId(ids.new(call.at)),
            created_at=call.at,
            expires_at=expires_at or _as_long(old, call.at),
            last_used_at=None,
            use_count=0,
        )
        issued = await insert_key(rt, tx, successor)
        await apikeys.succeed(tx, key_id, successor.key_id, call.at + seconds(overlap))
        if overlap == 0:
            await apikeys.revoke(tx, key_id, call.at)
        await audit.record(
            tx,
            call,
            events.ApiKeyRotated(
                tenant_id=old.tenant_id,
                user_id=old.owner_id,
                key_id=key_id,
                prefix=old.prefix,
                successor_id=successor.key_id,
                overlap_seconds=overlap,
            ),
        )
        await keep_made(rt, tx, call, successor.key_id)
        if overlap == 0:
            await close_keys(tx, call.at, [key_id], old.tenant_id, "api key rotated")
    return issued


def _as_long(old: ApiKey, at: datetime) -> datetime | None:
    return None if old.expires_at is None else at + (old.expires_at - old.created_at)
