"""Reads ids and organizations from parameters whose types were checked."""

from uuid import UUID

from service.flows.shared.reach import THE_PLATFORM
from service.http.field_types import PLATFORM
from service.kernel.ids import TenantId
from service.kernel.refusal import Reason, Refused


def path_id(text: str) -> UUID:
    """Parse an id.  Refused(NOT_FOUND) for any other text."""
    try:
        return UUID(text)
    except ValueError:
        raise Refused(Reason.NOT_FOUND, private="not an id") from None


def organization(text: str | None) -> TenantId | None:
    """Parse the organization that is meant: an id, the platform, or (None) the caller's own.

    The parameter's type decides whether the platform is allowed.  Refused(NOT_FOUND).
    """
    if text == PLATFORM:
        return THE_PLATFORM
    found = None if text is None else TenantId(path_id(text))
    if found == THE_PLATFORM:
        raise Refused(Reason.NOT_FOUND, private="the platform is no organization")
    return found
