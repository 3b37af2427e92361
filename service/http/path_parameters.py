"""Objects, as a request names them in texts whose types were checked."""

from uuid import UUID

from service.flows.shared.reach import THE_PLATFORM
from service.http.field_types import PLATFORM
from service.kernel.ids import TenantId
from service.kernel.refusal import Reason, Refused


def path_id(text: str) -> UUID:
    """Read an id; what is no id names nothing: Refused(NOT_FOUND)."""
    try:
        return UUID(text)
    except ValueError:
        raise Refused(Reason.NOT_FOUND, private="not an id") from None


def organization(text: str | None) -> TenantId | None:
    """Read whose is meant: an organization's, the platform's, or (None) one's own.

    Whether the platform may be named, the parameter's type says.  Refused(NOT_FOUND).
    """
    if text == PLATFORM:
        return THE_PLATFORM
    found = None if text is None else TenantId(path_id(text))
    if found == THE_PLATFORM:
        raise Refused(Reason.NOT_FOUND, private="the platform is no organization")
    return found
