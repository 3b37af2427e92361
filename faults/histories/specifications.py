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
            return [ENDED]
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
        case ("change", session, old, new) if session in state.live and old == state.password:
            after = replace(state, password=new, live=frozenset({session}))
        case ("refresh", session) if session in state.live:
            pass
        case ("sign-out", session):
            after = replace(state, live=state.live - {session})
        case ("disable",):
            after = replace(state, disabled=True, live=frozenset())
        case ("enable",):
            after = replace(state, disabled=False)
        case ("sign-in" | "change" | "refresh", *_):
            right = ("refused",)
        case _:
            raise ValueError(act.asked)
    return [after] if act.answered in (None, right) else []
