"""The checker: is there an order that explains what was seen?"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeAlias

from msgspec import Struct

State: TypeAlias = Hashable


class Act(Struct, frozen=True):
    """One act: what was asked, what was answered (None: nobody knows), and when."""

    asked: tuple[str, ...]
    answered: tuple[str, ...] | None
    began: float
    ended: float


Specification: TypeAlias = Callable[[State, Act], Iterable[State]]
"""Gives the states after an act that may have answered so; none when it may not."""


def linearisable(history: Sequence[Act], begin: State, may: Specification) -> bool:
    """Tell whether some order explains the history.

    An act whose answer is unknown may have happened at any moment after it was asked, or never.
    """
    acts = sorted(history, key=lambda act: act.began)
    everything = (1 << len(acts)) - 1
    optional = sum(1 << n for n, act in enumerate(acts) if act.answered is None)
    seen: set[tuple[int, State]] = set()
    stack: list[tuple[int, State]] = [(everything, begin)]
    while stack:
        left, state = stack.pop()
        if not left & ~optional:
            return True
        if (left, state) in seen:
            continue
        seen.add((left, state))
        bound = min(act.ended for n, act in enumerate(acts) if left & ~optional & (1 << n))
        for number, act in enumerate(acts):
            # Whatever was asked after another was answered comes after it.
            if not left & (1 << number) or act.began > bound:
                continue
            stack += [(left & ~(1 << number), after) for after in may(state, act)]
    return False
