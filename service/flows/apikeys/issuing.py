"""The tail that every new key shares: what may be granted, and the row with its secret."""

from datetime import datetime, timedelta

from msgspec import Struct, structs

from service.domain import apikeys
from service.domain.apikeys import ApiKey, KeyText
from service.domain.keyring import Usage
from service.flows.shared.naming import check_held, check_known
from service.kernel.call import Call, Person
from service.kernel.refusal import wrong
from service.kernel.sql import Tx
from service.policy import KEY_SCOPES
from service.runtime import Runtime

_LONGEST = timedelta(days=36_525)


class IssuedKey(Struct, frozen=True):
    """A key and, this once, its whole text: empty when the same request issued it before."""

    key: ApiKey
    secret: str = ""


def check_scopes(rt: Runtime, person: Person, scopes: tuple[str, ...]) -> tuple[str, ...]:
    """Return scopes that exist and that this person holds, each once.

    Refused: INVALID_REQUEST for none, or one that is not in the catalogue; FORBIDDEN for more than
    the person may do.  A platform administrator may grant all of the catalogue.
    """
    known = check_known(scopes, catalogue(rt))
    check_held(person, known, "scopes")
    return known


def catalogue(rt: Runtime) -> tuple[str, ...]:
    """Return the scopes that a key may have."""
    return (*rt.policy.scopes, *KEY_SCOPES)


def check_expiry(call: Call, expires_at: datetime | None) -> datetime | None:
    """Return an expiry that lies ahead.  Refused(INVALID_REQUEST)."""
    if expires_at is not None and not call.at < expires_at <= call.at + _LONGEST:
        raise wrong("expires_at", "must be a moment to come, within 100 years")
    return expires_at


async def insert_key(rt: Runtime, tx: Tx, key: ApiKey) -> IssuedKey:
    """Add a key under a public id that nobody has; the one given with `key` does not count."""
    while True:
        written = apikeys.new_text()
        made = structs.replace(key, public_id=written.public_id)
        if await apikeys.insert(tx, made, _mac(rt, written)):
            return IssuedKey(made, written.written())


def _mac(rt: Runtime, written: KeyText) -> bytes:
    return apikeys.secret_mac(rt.keyring.derived(Usage.API_KEY), written.secret)
