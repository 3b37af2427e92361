"""Checks that all named things share: names, and the scopes that may be granted."""

import re
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

LONGEST_NAME = 200
NAME = (
    r"[^\x00-\x1f\x7f-\x9f\u2028\u2029"  # controls and ends of lines
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # what turns the direction of a text
    r"\xad\u200b\u2060-\u2065\u206a-\u206f\ufeff\ufff0-\ufffb"  # what shows nothing
    r"\ue000-\uf8ff\ufffe\uffff]+"  # private use, and what is no character
)
"""What a name is made of, as a pattern that ECMA 262 knows too.

It names what it refuses: which characters are assigned depends on the version of Unicode.  Joiners
are taken, since Persian names and many emoji need them.
"""
NAME_IS = (
    f"a name of 1 to {LONGEST_NAME} characters, none of them invisible, a control, a change of"
    " direction or for private use"
)


def check_name(name: str, member: str = "name") -> None:
    """Refuse a name that is not as `NAME_IS` says: INVALID_REQUEST.

    `member` is what the request calls it.
    """
    if len(name) > LONGEST_NAME or not re.fullmatch(NAME, name):
        raise wrong(member, f"must be {NAME_IS}")


def check_known(scopes: Sequence[str], catalogue: Iterable[str]) -> tuple[str, ...]:
    """Return the scopes, each once.  Refused(INVALID_REQUEST) for no scope or an unknown one."""
    known = set(catalogue)
    if not scopes or not set(scopes) <= known:
        raise wrong("scopes", f"must be one or more, and only of: {', '.join(sorted(known))}")
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
