"""Check an API key.  Every act that accepts API keys uses this module."""

from msgspec import Struct

from service.domain import apikeys
from service.domain.apikeys import KeyText, StoredKey, Why
from service.domain.keyring import Usage
from service.domain.revocations import Kind, Marks
from service.flows.shared import limiting
from service.kernel.call import Call
from service.kernel.ids import TenantId
from service.runtime import Runtime

PATTERN = apikeys.PATTERN
PREFIX = apikeys.PREFIX

_BUCKET = "key_failures"


class Shown(Struct, frozen=True, kw_only=True):
    """A key that was presented: from which address, for which scope, and to whom.

    `to`: the organization of the service that asks; keys of other organizations are unknown to it.
    None: a service of the platform, or this service itself.

    `limited`: the key is the caller's own credential, and a bad one counts against the rate limit
    of the caller's address.  `anew`: read the key from the database, because the token that will be
    issued lives longer than the cache.
    """

    text: str
    address: str | None
    scope: str | None = None
    to: TenantId | None = None
    limited: bool = False
    anew: bool = False

    def concerns(self, key: StoredKey) -> bool:
        """Whether the party that asks may know that the key exists."""
        return self.to is None or key.tenant_id == self.to


class Checked(Struct, frozen=True):
    """The result: the key (None: unknown), and why it is not good (None: it is good)."""

    key: StoredKey | None
    why: Why | None

    @property
    def good(self) -> StoredKey | None:
        """Return the key if it is good, otherwise None."""
        return self.key if self.why is None else None


UNKNOWN = Checked(None, Why.UNKNOWN)


async def check_key(rt: Runtime, call: Call, shown: Shown) -> Checked:
    """Check a key.

    A cached good key costs no query while the worker's revocations are fresh.  Any other text of
    the right form costs one, which is shared with other checks at that moment, whether the key
    exists or not.  Nothing is written: uses and failures wait for a background task.

    Refused: TOO_MANY for `limited` callers; UNAVAILABLE when the key cannot be checked.
    """
    written = apikeys.read(shown.text)
    if written is None:
        rt.tally.note_failure(call, Why.UNKNOWN)
        return UNKNOWN
    mac = apikeys.secret_mac(rt.keyring.derived(Usage.API_KEY), written.secret)
    key = None if shown.anew else await _remembered(rt, call, shown, written, mac)
    checked = Checked(key, None) if key else await _read(rt, call, shown, written, mac)
    key = checked.good
    if key is not None and shown.scope is not None and shown.scope not in key.scopes:
        checked = Checked(key, Why.SCOPE)
    if checked.good is not None:
        rt.tally.note_use(checked.good.key_id, call.at)
        return checked
    await _note_failure(rt, call, shown, checked)
    return checked


async def _remembered(
    rt: Runtime, call: Call, shown: Shown, written: KeyText, mac: bytes
) -> StoredKey | None:
    """Return a cached key if it is good for this check; None: read it from the database.

    A bad key is never answered from the cache.  A revoked key is removed from the cache.  After a
    cutoff of its owner or organization the key is read again, since they may be disabled.
    """
    held = rt.apikeys.find(mac, call.at)
    if held is None or held.key.public_id != written.public_id:
        return None
    key = held.key
    if not (shown.concerns(key) and key.admits(shown.address)):
        return None
    marks = Marks(
        jti="",
        iat=int(held.as_of.timestamp()),
        kid="",
        sub=str(key.owner_id) if key.owner_id else "",
        client_id="",
        tenant_id=str(key.tenant_id),
        akid=str(key.key_id),
    )
    if key.state(call.at) is None and not await rt.revocations.is_revoked(marks):
        return key
    rt.apikeys.forget(mac)
    return None


async def _read(rt: Runtime, call: Call, shown: Shown, written: KeyText, mac: bytes) -> Checked:
    if shown.limited:
        limiting.refuse_barred(rt, call, _BUCKET, rt.policy.limits.key_failures)
    key = await rt.apikeys.read(written.public_id)
    if key is None or not key.has_secret(mac) or not shown.concerns(key):
        return UNKNOWN
    key = key.narrowed(rt.policy.role_scopes)
    why = key.state(call.at)
    if why is None and rt.revocations.changed_at(Kind.AKID, str(key.key_id)) is not None:
        why = Why.REVOKED
    if why is None:
        rt.apikeys.put(mac, key, call.at)
        why = None if key.admits(shown.address) else Why.ADDRESS
    return Checked(key, why)


async def _note_failure(rt: Runtime, call: Call, shown: Shown, checked: Checked) -> None:
    key = checked.key
    rt.tally.note_failure(
        call,
        checked.why or Why.UNKNOWN,
        key.key_id if key else None,
        key.tenant_id if key else None,
        key.owner_id if key else None,
    )
    if shown.limited:
        await limiting.spend_address(rt, call, _BUCKET, rt.policy.limits.key_failures)
