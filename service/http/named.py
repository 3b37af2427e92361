"""Objects, as a request names them."""

from uuid import UUID

from service.flows.admin.reach import THE_PLATFORM
from service.kernel.ids import TenantId
from service.kernel.refusal import Reason, Refused

PLATFORM = "platform"
"""In the place of an organization's id: what belongs to none."""


def path_id(text: str) -> UUID:
    """Read an id; what is no id names nothing: Refused(NOT_FOUND)."""
    try:
        return UUID(text)
    except ValueError:
        raise Refused(Reason.NOT_FOUND, private="not an id") from None


def organization(text: str | None) -> TenantId | None:
    """Read which organization is meant; None: one's own.  Refused(NOT_FOUND)."""
    found = None if text is None else TenantId(path_id(text))
    if found == THE_PLATFORM:
        raise Refused(Reason.NOT_FOUND, private="the platform is no organization")
    return found


def organization_or_platform(text: str | None) -> TenantId | None:
    """Read the same where what belongs to no organization may be meant as well."""
    return THE_PLATFORM if text == PLATFORM else organization(text)
