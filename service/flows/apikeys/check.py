"""Is this API key good?  The one question behind every door a key is shown at."""

from msgspec import Struct

from service.domain import apikeys
from service.domain.apikeys import KeyText, Presented, Why
from service.domain.keyring import Usage
from service.domain.ratelimits import Budget, subject_of
from service.domain.revocations import Kind, Marks
from service.flows.access import limiting
from service.kernel import metrics
from service.kernel.call import Call
from service.kernel.refusal import Reason, Refused
from service.runtime import Runtime

PATTERN = apikeys.PATTERN
PREFIX = apikeys.PREFIX

_BUCKET = "key_failures"


class Checked(Struct, frozen=True):
    """A key, and why it is not good (None: it is).  No key: none that exists."""

    key: Presented | None
    why: Why | None


async def check_key(
    rt: Runtime,
    call: Call,
    text: str,
    address: str | None,
    *,
    scope: str | None = None,
    limited: bool = False,
) -> Checked:
    """Check a key that is presented from an address, for a scope.

    A key this worker found good before costs no query while its revocations are fresh; for any
    other well-written text there is one, shared with whoever asks at the time, whether the key
    exists or not.  Nothing is written: uses and failures wait for a background task.

    `limited`: somebody presents it as their own, and spends from their address's budget when it is
    not good: Refused(TOO_MANY).  Refused(UNAVAILABLE) when nobody can say.
    """
    written = apikeys.read(text)
    if written is None:
        rt.tally.note_failure(call, Why.UNKNOWN)
        return Checked(None, Why.UNKNOWN)
    mac = apikeys.secret_mac(rt.keyring.derived(Usage.API_KEY), written.secret)
    key = await _remembered(rt, call, written, mac)
    checked = Checked(key, None) if key else await _read(rt, call, written, mac, limited=limited)
    if checked.key is not None and checked.why is None:
        checked = Checked(checked.key, _misplaced(checked.key, address, scope))
    if checked.key is not None and checked.why is None:
        rt.tally.note_use(checked.key.key_id, call.at)
        return checked
    await _note_failure(rt, call, checked, limited=limited)
    return checked


async def _remembered(rt: Runtime, call: Call, written: KeyText, mac: bytes) -> Presented | None:
    """Return a key this worker knows to be good still.  What was revoked is forgotten here.

    Cutoffs on its owner and its organization make it be read anew: they may have been disabled.
    """
    held = rt.apikeys.find(mac, call.at)
    if held is None or held.key.public_id != written.public_id:
        return None
    key = held.key
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


async def _read(rt: Runtime, call: Call, written: KeyText, mac: bytes, *, limited: bool) -> Checked:
    if limited:
        _refuse_barred(rt, call)
    key = await rt.apikeys.read(written.public_id)
    if key is None or not key.has_secret(mac):
        return Checked(None, Why.UNKNOWN)
    key = key.narrowed(rt.policy.role_scopes)
    why = key.state(call.at)
    if why is None and rt.revocations.changed_at(Kind.AKID, str(key.key_id)) is not None:
        why = Why.REVOKED
    if why is None:
        rt.apikeys.put(mac, key, call.at)
    return Checked(key, why)


def _misplaced(key: Presented, address: str | None, scope: str | None) -> Why | None:
    if not key.admits(address):
        return Why.ADDRESS
    return Why.SCOPE if scope is not None and scope not in key.scopes else None


async def _note_failure(rt: Runtime, call: Call, checked: Checked, *, limited: bool) -> None:
    key = checked.key
    rt.tally.note_failure(
        call,
        checked.why or Why.UNKNOWN,
        key.key_id if key else None,
        key.tenant_id if key else None,
    )
    if limited:
        await limiting.spend_address(rt, call, _BUCKET, rt.policy.limits.key_failures)


def _refuse_barred(rt: Runtime, call: Call) -> None:
    """Refuse, without asking anyone, an address whose budget is known to be spent."""
    limit = rt.policy.limits.key_failures
    budget = Budget(_BUCKET, limit.count, limit.window)
    wait = rt.ratelimits.known_empty(budget, subject_of(call.ip))
    if wait:
        metrics.limited.labels(_BUCKET).inc()
        raise Refused(
            Reason.TOO_MANY, "too many requests", private=f"limit {_BUCKET}", retry_after=wait
        )
