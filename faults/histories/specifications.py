"""What one refresh family and one account do when nobody interferes."""

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from faults.histories.linearise import Act, State

ENDED = -1


def family(state: State, act: Act) -> Iterable[State]:
    """A family: its generation, or ENDED.  Everything happens within the grace.

    `refresh <generation>` -> `ok <generation>` or `refused`; `end` -> `ok`.  The current token is
    replaced, an older one is worth the current one again, and one that was never given out burns.
    """
    assert isinstance(state, int)
    presented = _presented(act)
    if presented == state or presented is None or state == ENDED:
        return strict_family(state, act)
    after, right = (state, ("ok", str(state))) if presented < state else (ENDED, ("refused",))
    return [after] if act.answered in (None, right) else []


def strict_family(state: State, act: Act) -> Iterable[State]:
    """A family of an organization without a grace: whatever is not the current token burns."""
    assert isinstance(state, int)
    presented = _presented(act)
    after: int = ENDED
    right: tuple[str, ...] = ("ok",) if presented is None else ("refused",)
    if presented == state:
        after, right = state + 1, ("ok", str(state + 1))
    return [after] if act.answered in (None, right) else []


def _presented(act: Act) -> int | None:
    """Return the generation a refresh presents; None for an end."""
    match act.asked:
        case ("end",):
            return None
        case ("refresh", text):
            return int(text)
        case _:
            raise ValueError(act.asked)


class Account(Struct, frozen=True):
    """What an account comes to."""

    password: str
    live: frozenset[str]
    """Its sessions."""
    disabled: bool = False
    cut: bool = False
    """Whether it was ever disabled: a bearer of that same second counts as issued before."""


def account(state: State, act: Act) -> Iterable[State]:
    """An account.

    `sign-in <password>` -> `ok <session>` or `refused`; `change <session> <old> <new>`, `refresh
    <session>` -> `ok` or `refused`; `sign-out <session>`, `disable`,
    `enable` -> `ok`.
    """
    assert isinstance(state, Account)
    after: State = state
    right: tuple[str, ...] = ("ok",)
    match act.asked:
        case ("sign-in", given) if given == state.password and not state.disabled:
            if act.answered is not None and len(act.answered) > 1:
                right = act.answered
                after = replace(state, live=state.live | {act.answered[1]})
        case ("change", session, *_) if session in state.live and _cut_off(state, act):
            right = ("refused",)
        case ("change", session, old, new) if session in state.live and old == state.password:
            after = replace(state, password=new, live=frozenset({session}))
        case ("refresh", session) if session in state.live:
            pass
        case ("sign-out", session):
            after = replace(state, live=state.live - {session})
        case ("disable",):
            after = replace(state, disabled=True, cut=True, live=frozenset())
        case ("enable",):
            after = replace(state, disabled=False)
        case ("sign-in" | "change" | "refresh", *_):
            right = ("refused",)
        case _:
            raise ValueError(act.asked)
    return [after] if act.answered in (None, right) else []


def _cut_off(state: Account, act: Act) -> bool:
    """Whether a bearer was refused that may be older than the account's last end."""
    return state.cut and act.answered == ("refused",)
