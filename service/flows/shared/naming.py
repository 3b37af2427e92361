"""Checks that all named things share: names, and the scopes that may be granted."""

from collections.abc import Iterable, Sequence

from service.flows.shared.permissions import is_platform_admin
from service.kernel.call import Person
from service.kernel.refusal import Reason, Refused, wrong

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


def check_held(person: Person, scopes: Sequence[str], *fields: str) -> None:
    """Refuse to grant a scope that the person does not hold: FORBIDDEN.

    A platform administrator may grant every scope.
    """
    if not (is_platform_admin(person) or set(scopes) <= set(person.scopes)):
        raise Refused(Reason.FORBIDDEN, "you can only grant scopes that you hold", fields=fields)
