"""The revocations in force, in little memory: a string and a shared pair of numbers for each."""

import math
import sys
from typing import TypeAlias

from tesserra_verifier.claims import Claims

_Mark: TypeAlias = tuple[float, int]
"""The second up to which issued tokens are revoked, and the minute since 1970 when it expires."""

_Table: TypeAlias = dict[str, dict[str, _Mark]]
"""Marks by kind and value."""

_WHOLE_KINDS = frozenset({"jti", "sid", "kid", "akid"})
"""A revocation of these kinds applies to every token with the value, whenever it was issued."""

_MINUTE = 60
_NEVER = sys.maxsize
_EVERYWHERE = ""


class Revoked:
    """What is revoked, by kind and value, everywhere or in one organization.

    A kind is the name of the claim that bears the value, but for `kid`, which the header bears.
    So a kind that is newer than this library still works.
    """

    def __init__(self) -> None:
        self._tables: dict[str, _Table] = {_EVERYWHERE: {}}
        """By organization: each table applies only to tokens of that organization."""
        self._ends: dict[int, dict[tuple[str, str], list[str]]] = {}
        self._whole: dict[int, _Mark] = {}

    def __len__(self) -> int:
        return sum(len(marks) for table in self._tables.values() for marks in table.values())

    def add(
        self,
        kind: str,
        value: str,
        cutoff: float | None,
        expires_at: float,
        tenant_id: str | None = None,
    ) -> None:
        """Add one entry; of two that name the same, both count.

        With a `tenant_id` it concerns the tokens of that organization alone.
        """
        # whoever holds a killed key signs new tokens with it for ever, and the keys at hand may be
        # of before it was killed
        minute = _NEVER if kind == "kid" else math.ceil(expires_at / _MINUTE)
        mark: _Mark
        if cutoff is None or kind in _WHOLE_KINDS:
            mark = self._whole.setdefault(minute, (math.inf, minute))
        else:
            mark = (math.floor(cutoff), minute)
        where = tenant_id or _EVERYWHERE
        marks = self._tables.setdefault(where, {}).setdefault(kind, {})
        before = marks.get(value)
        if before is None:
            marks[value] = mark
            self._end(where, kind, value, minute)
            return
        marks[value] = (max(before[0], mark[0]), max(before[1], minute))
        if minute > before[1]:
            self._end(where, kind, value, minute)

    def names(self, kind: str, value: str) -> bool:
        """Whether a value is revoked in all organizations, with any cutoff."""
        return value in self._tables[_EVERYWHERE].get(kind, ())

    def find(self, claims: Claims) -> str | None:
        """Return the kind of a revocation that applies to this token, or None."""
        found = _hit(self._tables[_EVERYWHERE], claims)
        if found is None and len(self._tables) > 1 and claims.tenant_id is not None:
            found = _hit(self._tables.get(claims.tenant_id, {}), claims)
        return found

    def prune(self, now: float) -> None:
        """Drop the revocations that expired before `now`, since their tokens have expired too."""
        for minute in [minute for minute in self._ends if minute * _MINUTE <= now]:
            for (where, kind), values in self._ends.pop(minute).items():
                marks = self._tables[where][kind]
                for value in values:
                    mark = marks.get(value)
                    if mark is not None and mark[1] <= minute:
                        del marks[value]
        self._tables = {
            where: table
            for where, table in self._tables.items()
            if where == _EVERYWHERE or any(table.values())
        }
        self._whole = {m: mark for m, mark in self._whole.items() if m * _MINUTE > now}

    def _end(self, where: str, kind: str, value: str, minute: int) -> None:
        self._ends.setdefault(minute, {}).setdefault((where, kind), []).append(value)


def _hit(table: _Table, claims: Claims) -> str | None:
    for kind, marks in table.items():
        value = claims.kid if kind == "kid" else claims.payload.get(kind)
        if not isinstance(value, str):
            continue
        mark = marks.get(value)
        # `iat` is cut to the second: within the cutoff's own second it counts as before
        if mark is not None and math.floor(claims.iat) <= mark[0]:
            return kind
    return None
