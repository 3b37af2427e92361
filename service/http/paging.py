"""Lists: `?limit=&cursor=` in, `{"items": [...], "next_cursor": ...}` out."""

from collections.abc import Callable, Sequence
from typing import TypeVar
from uuid import UUID

from service.domain.keyring import Usage
from service.kernel import cursor
from service.runtime import Runtime

Item = TypeVar("Item")

USUAL = 50


def read_cursor(rt: Runtime, list_name: str, text: str | None) -> UUID | None:
    """Read `cursor`.  Refused(INVALID_REQUEST) for a cursor of another list."""
    if text is None:
        return None
    return cursor.read(rt.keyring.derived(Usage.CURSOR), list_name, text)


def read_name_cursor(rt: Runtime, list_name: str, text: str | None) -> str | None:
    """Read the `cursor` of a list that is ordered by name."""
    if text is None:
        return None
    return cursor.read_name(rt.keyring.derived(Usage.CURSOR), list_name, text)


def next_cursor(
    rt: Runtime,
    list_name: str,
    found: Sequence[Item],
    limit: int,
    id_of: Callable[[Item], UUID | str],
) -> str | None:
    """Return the cursor for the next page; None after the last page."""
    if len(found) < limit:
        return None
    return cursor.write(rt.keyring.derived(Usage.CURSOR), list_name, id_of(found[-1]))
