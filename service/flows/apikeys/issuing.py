"""The steps that every new key needs: check scopes and expiry, insert the row with its secret."""

from datetime import datetime, timedelta

from msgspec import Struct, structs

from service.domain import apikeys
from service.domain.apikeys import ApiKey, KeyText
from service.domain.keyring import Usage
from service.flows.shared.naming import check_held, check_known
from service.flows.shared.permissions import KEY_SCOPES, Administrator
from service.kernel.call import Call
from service.kernel.refusal import wrong
from service.kernel.sql import Tx
from service.runtime import Runtime

_LONGEST = timedelta(days=36_525)


class IssuedKey(Struct, frozen=True):
    """A new key and its full text.  The text is empty when the same request issued it before."""

    key: ApiKey
    secret: str = ""


def check_scopes(
    rt: Runtime, administrator: Administrator, scopes: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the scopes, each once, after checking that they exist and the person holds them.

    Refused: INVALID_REQUEST for no scope or an unknown one; FORBIDDEN for a scope that the person
    does not hold.  A platform administrator may grant every scope of the catalogue.
    """
    known = check_known(scopes, catalogue(rt))
    check_held(administrator, known, "scopes")
    return known


def catalogue(rt: Runtime) -> tuple[str, ...]:
    """Return all scopes that a key may have."""
    return (*rt.policy.scopes, *KEY_SCOPES)


def check_expiry(call: Call, expires_at: datetime | None) -> datetime | None:
    """Return the expiry if it is in the future.  Refused(INVALID_REQUEST)."""
    if expires_at is not None and not call.at < expires_at <= call.at + _LONGEST:
        raise wrong("expires_at", "must be a moment to come, within 100 years")
    return expires_at


async def insert_key(rt: Runtime, tx: Tx, key: ApiKey) -> IssuedKey:
    """Add a key under a new public id, and return it.  The public id in `key` is ignored."""
    while True:
        written = apikeys.new_text()
        made = structs.replace(key, public_id=written.public_id)
        if await apikeys.insert(tx, made, _mac(rt, written)):
            return IssuedKey(made, written.written())


def _mac(rt: Runtime, written: KeyText) -> bytes:
    return apikeys.secret_mac(rt.keyring.derived(Usage.API_KEY), written.secret)
