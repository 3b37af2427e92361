"""The revocations in force, kept small: a string and a shared pair of numbers for each."""

import math
import sys
from typing import TypeAlias

from tesserra_verifier.claims import Claims

_Mark: TypeAlias = tuple[float, int]
"""Tokens issued up to this second are dead; forget it at the end of this minute since 1970."""

_WHOLE_KINDS = frozenset({"jti", "sid", "kid", "akid"})
"""These kill every token that bears them, whenever it was issued."""

_MINUTE = 60
_NEVER = sys.maxsize


class Revoked:
    """What is revoked, by kind and value.

    A kind is the name of the claim that bears the value, but for `kid`, which the header bears.
    So a kind that is newer than this library still works.
    """

    def __init__(self) -> None:
        self._kinds: dict[str, dict[str, _Mark]] = {}
        self._ends: dict[int, list[tuple[str, list[str]]]] = {}
        self._whole: dict[int, _Mark] = {}

    def __len__(self) -> int:
        return sum(map(len, self._kinds.values()))

    def add(self, kind: str, value: str, cutoff: float | None, expires_at: float) -> None:
        """Add one entry; of two that name the same, both count."""
        # whoever holds a killed key signs new tokens with it for ever, and the keys at hand may be
        # of before it was killed
        minute = _NEVER if kind == "kid" else math.ceil(expires_at / _MINUTE)
        mark: _Mark
        if cutoff is None or kind in _WHOLE_KINDS:
            mark = self._whole.setdefault(minute, (math.inf, minute))
        else:
            mark = (math.floor(cutoff), minute)
        marks = self._kinds.setdefault(kind, {})
        before = marks.get(value)
        if before is None:
            marks[value] = mark
            self._end(kind, value, minute)
            return
        marks[value] = (max(before[0], mark[0]), max(before[1], minute))
        if minute > before[1]:
            self._end(kind, value, minute)

    def names(self, kind: str, value: str) -> bool:
        """Tell whether there is a revocation of this, whatever its cutoff."""
        return value in self._kinds.get(kind, ())

    def find(self, claims: Claims) -> str | None:
        """Return the kind of a revocation that hits this token, or None."""
        for kind, marks in self._kinds.items():
            value = claims.kid if kind == "kid" else claims.payload.get(kind)
            if not isinstance(value, str):
                continue
            mark = marks.get(value)
            # `iat` is cut to the second: within the cutoff's own second it counts as before
            if mark is not None and math.floor(claims.iat) <= mark[0]:
                return kind
        return None

    def prune(self, now: float) -> None:
        """Forget the minutes that were over at `now`: every token they concern has expired."""
        for minute in [minute for minute in self._ends if minute * _MINUTE <= now]:
            for kind, values in self._ends.pop(minute):
                marks = self._kinds[kind]
                for value in values:
                    mark = marks.get(value)
                    if mark is not None and mark[1] <= minute:
                        del marks[value]
        self._whole = {m: mark for m, mark in self._whole.items() if m * _MINUTE > now}

    def _end(self, kind: str, value: str, minute: int) -> None:
        kinds = self._ends.setdefault(minute, [])
        for known, values in kinds:
            if known == kind:
                values.append(value)
                return
        kinds.append((kind, [value]))
