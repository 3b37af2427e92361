"""When an account is locked.

An attempt is reserved before the password is hashed, so that parallel guesses buy nothing: the
sixth in the window is refused while the first five are still being computed.  All devices the
account has never signed in from share one counter; each known device has its own, so that a
stranger who locks the account does not lock its owner out (OWASP ASVS 6.1.1).
"""

from datetime import datetime, timedelta
from uuid import UUID

from msgspec import Struct

from service.kernel.mac import hmac_sha256

ANY_DEVICE = UUID(int=0)


class Rules(Struct, frozen=True):
    """`failures` in `window` lock for `duration`."""

    failures: int
    window: timedelta
    duration: timedelta


class Strikes(Struct, frozen=True):
    """The attempts still held against an account on a device, oldest first."""

    attempts: tuple[datetime, ...]
    locked_until: datetime | None

    def locked(self, at: datetime) -> bool:
        """Tell whether the account is locked."""
        return self.locked_until is not None and at < self.locked_until

    def reserve(self, at: datetime, rules: Rules) -> "Strikes | None":
        """Admit one more attempt, or None: locked, or as many under way as may fail.

        A refused attempt changes nothing, so that attempts during a lock do not extend it.
        """
        held = self._held(at, rules)
        if self.locked(at) or len(held) >= rules.failures:
            return None
        return Strikes((*held, at), None)

    def fail(self, at: datetime, reserved_at: datetime, rules: Rules) -> "Strikes":
        """Hold a reserved attempt against the account; the last one allowed locks it."""
        if self.locked(at):
            return self
        held = self._held(at, rules)
        if reserved_at not in held:
            held = (*held, reserved_at)  # a success cleared it meanwhile; this failure still counts
        if len(held) >= rules.failures:
            return Strikes((), at + rules.duration)
        return Strikes(held, None)

    def release(self, reserved_at: datetime) -> "Strikes":
        """Give back an attempt that was reserved and never looked at."""
        left = list(self.attempts)
        if reserved_at in left:
            left.remove(reserved_at)
        return Strikes(tuple(left), self.locked_until)

    def _held(self, at: datetime, rules: Rules) -> tuple[datetime, ...]:
        return tuple(a for a in self.attempts if a > at - rules.window)


def phantom(key: bytes, email: str) -> UUID:
    """Name the account that does not exist: the same lockout as one that does, no way to tell."""
    return UUID(bytes=hmac_sha256(key, email.encode())[:16])
