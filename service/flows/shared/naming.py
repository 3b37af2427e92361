"""Checks that all named things share: names, and the scopes that may be granted."""

from collections.abc import Iterable, Sequence

from service.flows.shared.permissions import (
    MANAGEMENT_SCOPES,
    OF_THE_PLATFORM,
    Administrator,
    Scope,
    is_platform_admin,
    may,
)
from service.kernel.call import Machine
from service.kernel.refusal import Reason, Refused, wrong
from service.runtime import Runtime

_LONGEST_NAME = 200


def check_name(name: str) -> None:
    """Refuse a name that is empty, too long or not printable: INVALID_REQUEST."""
    if not 1 <= len(name) <= _LONGEST_NAME or not name.isprintable():
        raise wrong("name", f"must be 1 to {_LONGEST_NAME} printable characters")


def check_known(scopes: Sequence[str], catalogue: Iterable[str]) -> tuple[str, ...]:
    """Return the scopes, each once.  Refused(INVALID_REQUEST) for no scope or an unknown one."""
    known = set(catalogue)
    if not scopes or not set(scopes) <= known:
        raise wrong("scopes", f"must be at least one of: {', '.join(sorted(known))}")
    return tuple(dict.fromkeys(scopes))


def client_scopes(rt: Runtime, *, of_platform: bool) -> tuple[str, ...]:
    """Return the scopes that a client may have: of the platform, or of an organization."""
    management = (
        scope
        for scope, permission in MANAGEMENT_SCOPES.items()
        if of_platform or permission not in OF_THE_PLATFORM
    )
    return (*rt.policy.scopes, *Scope, *management)


def check_held(administrator: Administrator, scopes: Sequence[str], *fields: str) -> None:
    """Refuse to grant a scope that the caller does not hold: FORBIDDEN.

    A person holds the scopes of their role and the management scopes of its permissions; a platform
    administrator holds every scope; a machine holds the scopes of its token.
    """
    if not all(_holds(administrator, scope) for scope in scopes):
        raise Refused(Reason.FORBIDDEN, "you can only grant scopes that you hold", fields=fields)


def _holds(administrator: Administrator, scope: str) -> bool:
    if isinstance(administrator, Machine):
        return scope in administrator.scopes
    permission = MANAGEMENT_SCOPES.get(scope)
    if permission is not None:
        return may(administrator, permission)
    return is_platform_admin(administrator) or scope in administrator.scopes
