"""Verify an API key for a service to which it was presented."""

from service.domain.apikeys import ENDED
from service.flows.shared.api_key_check import UNKNOWN, Checked, Shown, check_key
from service.flows.shared.permissions import Scope, require_scope
from service.kernel.call import Call
from service.runtime import Runtime


async def verify_key(
    rt: Runtime, call: Call, text: str, *, scope: str | None, address: str | None
) -> Checked:
    """Check a key, and its scope and the caller's address where these are given.

    The answer is `unknown` for a key of another organization than the service's, as for a key that
    does not exist.  A service of the platform also gets `unknown` for a key that has ended: only
    its organization may learn why it ended.

    Refused: UNAUTHENTICATED, INSUFFICIENT_SCOPE; UNAVAILABLE when the key cannot be checked.
    """
    service = require_scope(call, Scope.VERIFY_API_KEYS)
    shown = Shown(text=text, address=address, scope=scope, to=service.tenant_id)
    checked = await check_key(rt, call, shown)
    return UNKNOWN if service.tenant_id is None and checked.why in ENDED else checked
