"""What one refresh family and one account do when nobody interferes."""

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from faults.histories.linearise import Act, State

ENDED = -1


def family(state: State, act: Act) -> Iterable[State]:
    """A family: its generation, or ENDED.  Everything happens within the grace.

    `refresh <generation>` -> `ok <generation>` or `refused`; `end` -> `ok`.
    """
    assert isinstance(state, int)
    match act.asked:
        case ("end",):
            return [ENDED] if act.answered in (None, ("ok",)) else []
        case ("refresh", text):
            presented = int(text)
        case _:
            raise ValueError(act.asked)
    after = ENDED
    right: tuple[str, ...] = ("refused",)
    if state != ENDED and presented in (state, state - 1):
        after, right = presented + 1, ("ok", str(presented + 1))
    return [after] if act.answered in (None, right) else []


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
