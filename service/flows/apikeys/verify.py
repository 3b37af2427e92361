"""A service asks whether a key that was shown to it is good."""

from service.domain.apikeys import ENDED
from service.flows.shared.api_key_check import UNKNOWN, Checked, Shown, check_key
from service.flows.shared.permissions import Scope, require_scope
from service.kernel.call import Call
from service.runtime import Runtime


async def verify_key(
    rt: Runtime, call: Call, text: str, *, scope: str | None, address: str | None
) -> Checked:
    """Check a key, for a scope and from an address where these are given.

    What belongs to another organization than the service's is as unknown to it as what does not
    exist; and so is, to a service of the platform, a key that has ended: why it has is its
    organization's business.

    Refused: UNAUTHENTICATED, INSUFFICIENT_SCOPE; UNAVAILABLE when nobody can say.
    """
    service = require_scope(call, Scope.VERIFY_API_KEYS)
    shown = Shown(text=text, address=address, scope=scope, to=service.tenant_id)
    checked = await check_key(rt, call, shown)
    return UNKNOWN if service.tenant_id is None and checked.why in ENDED else checked
