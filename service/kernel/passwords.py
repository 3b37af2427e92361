"""Password hashing: Argon2id for all that is new, bcrypt verified and replaced.

Hashing is what a sign-in is bought with, and it is bounded three ways: as many threads as cores
over all workers, a queue that sheds with 503 rather than grow, and stored parameters that are
checked before they are obeyed.  The permit belongs to the job, not to the request: a client that
hangs up frees nothing before its hash is done.  argon2-cffi and bcrypt let go of the GIL while they
work.

A password is hashed in one Unicode form, NFC: the same letters typed on two systems may come in
different code points (NIST SP 800-63B section 3.1.1.2).  A password is also compared in a second
form, since an older or an imported hash may be of that: as it was received or, if that is NFC, in
NFD.
"""

import asyncio
import base64
import math
import os
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import argon2
import bcrypt
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError
from msgspec import Struct

from service.kernel import metrics
from service.kernel.clock import Clock
from service.kernel.refusal import unavailable

T = TypeVar("T")

_NUMBER = r"(0|[1-9][0-9]*)"
_ARGON2 = re.compile(
    rf"\$argon2id\$v=19\$m={_NUMBER},t={_NUMBER},p={_NUMBER}"
    r"\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})",
    re.ASCII,
)
# The last letters of salt and digest carry two and four bits; with others no library verifies it.
_BCRYPT = re.compile(
    r"\$2[aby]\$(\d{2})\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{30}[.CGKOSWaeimquy26]", re.ASCII
)
_BCRYPT_BYTES = 72
_BCRYPT_LEAST, _BCRYPT_MOST = 4, 14
_MEMORY_FLOOR, _MEMORY_MOST = 19 * 1024, 256 * 1024
_TIME_MOST, _LANES_MOST = 10, 64
_LONGEST_HASH = 256
_NICE = 5
_MEMORY_OF_PACE = 8
"""Hashes, of which the pace is a moving mean."""
_ARGON2_SECONDS = 1e-6
"""To reckon with for each KiB and pass.  This and the next are what a slow core takes, and equal on
all workers: what is measured differs from one start to the next."""
_BCRYPT_SECONDS = 6e-5
"""To reckon with for each of its 2 ** cost rounds."""


class HashParameters(Struct, frozen=True, forbid_unknown_fields=True):
    """Argon2id: memory in KiB, passes, lanes.  OWASP's floor is 19 MiB, 2, 1."""

    memory_kib: int = 19 * 1024
    passes: int = 2
    lanes: int = 1


class Verdict(Struct, frozen=True):
    """Whether the password is right, and the hash to store instead when the old one is outdated."""

    ok: bool
    rehash: str | None = None
    began: float = 0.0
    """The moment (`Clock.monotonic`) from which it was hashed."""


def acceptable(password_hash: str) -> bool:
    """Tell whether a stored hash is one we verify, with parameters we are willing to obey."""
    return find_fault(password_hash) is None


def find_fault(password_hash: str) -> str | None:
    """Say why a stored hash is not one we verify, with the bound that it breaks; None when it is.

    The text names schemes, parameters and bounds, and shows nothing of the hash.
    """
    if len(password_hash) > _LONGEST_HASH:
        return f"a password hash has at most {_LONGEST_HASH} characters"
    if match := _ARGON2.fullmatch(password_hash):
        memory, passes, lanes = (int(part) for part in match.groups()[:3])
        if faults := _out_of_bounds(memory, passes, lanes):
            return f"Argon2id parameters out of bounds: {'; '.join(faults)}"
        return None if all(map(_is_base64, match.groups()[3:])) else _MALFORMED
    if match := _BCRYPT.fullmatch(password_hash):
        if _BCRYPT_LEAST <= int(match[1]) <= _BCRYPT_MOST:
            return None
        return f"bcrypt cost out of bounds: it must be {_BCRYPT_LEAST} to {_BCRYPT_MOST}"
    return _MALFORMED if password_hash.startswith(_PREFIXES) else _UNKNOWN_SCHEME


_PREFIXES = ("$argon2id$v=19$", "$2a$", "$2b$", "$2y$")
_UNKNOWN_SCHEME = (
    "the scheme must be bcrypt ($2a$, $2b$ or $2y$) or Argon2id version 19 ($argon2id$v=19$)"
)
_MALFORMED = (
    "not a whole hash: bcrypt is $2b$, a cost of two digits, $ and 53 characters; Argon2id is"
    " $argon2id$v=19$m=KiB,t=PASSES,p=LANES$SALT$DIGEST, with a salt of 8 to 64 bytes and a digest"
    " of 16 to 64 bytes in base64 without padding"
)


def cost(password_hash: str) -> float:
    """Return how many seconds verifying a hash is reckoned to take; 0 when it never is verified."""
    if not acceptable(password_hash):
        return 0.0
    if match := _ARGON2.fullmatch(password_hash):
        return int(match[1]) * int(match[2]) * _ARGON2_SECONDS
    return 2.0 ** int(password_hash[4:6]) * _BCRYPT_SECONDS


def _out_of_bounds(memory_kib: int, passes: int, lanes: int) -> list[str]:
    """Say of each parameter of Argon2id that we do not obey what it must be."""
    faults = []
    if not 8 * max(1, lanes) <= memory_kib <= _MEMORY_MOST:  # RFC 9106 section 3.1
        faults.append(f"m (memory) must be 8 KiB times p to {_MEMORY_MOST} KiB")
    if not 1 <= passes <= _TIME_MOST:
        faults.append(f"t (passes) must be 1 to {_TIME_MOST}")
    if not 1 <= lanes <= _LANES_MOST:
        faults.append(f"p (lanes) must be 1 to {_LANES_MOST}")
    return faults


def _is_base64(text: str) -> bool:
    """Tell whether it is what an encoder wrote, without padding: no stray bits at its end."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return False
    return base64.b64encode(raw).decode().rstrip("=") == text


def _forms(password: str) -> tuple[str, ...]:
    """Return a password in NFC, and in the form to try beside it where that is another text.

    That is the form it was received in or, if that is NFC, NFD.
    """
    if unicodedata.is_normalized("NFC", password):
        return tuple(dict.fromkeys((password, unicodedata.normalize("NFD", password))))
    return unicodedata.normalize("NFC", password), password


def _step_back() -> None:
    """Let who only wants an answer go first: a hash holds a core for tens of milliseconds.

    Linux has a priority for each thread; elsewhere it would be that of the whole process.
    """
    if sys.platform == "linux":
        os.nice(_NICE)


class Passwords:
    """The bounded executor and the hasher.  One per process, of which `workers` share the cores."""

    def __init__(
        self,
        clock: Clock,
        parameters: HashParameters,
        *,
        workers: int = 1,
        threads: int | None = None,
        queue_seconds: float = 2.0,
        floor_kib: int = _MEMORY_FLOOR,
        margin_seconds: float = 0.4,
    ) -> None:
        if parameters.memory_kib < floor_kib:
            raise ValueError(f"Argon2id memory is below the floor of {floor_kib} KiB")
        if faults := _out_of_bounds(parameters.memory_kib, parameters.passes, parameters.lanes):
            # What is hashed with these would be refused when it is verified.
            raise ValueError(f"Argon2id parameters out of bounds: {'; '.join(faults)}")
        self._clock = clock
        self._hasher = argon2.PasswordHasher(
            time_cost=parameters.passes,
            memory_cost=parameters.memory_kib,
            parallelism=parameters.lanes,
        )
        self._threads = threads or math.ceil((os.cpu_count() or 1) / workers)
        self._executor = ThreadPoolExecutor(self._threads, "hash", _step_back)
        self._queue_seconds = queue_seconds
        self._waiting = 0
        self._coming = 0
        self._decoy = self._hasher.hash(os.urandom(16))
        self._pace = self._measure(lambda: self._matches(self._decoy, "decoy"))
        self._margin = margin_seconds
        self._slowest = self._own = cost(self._decoy)

    @property
    def busy(self) -> bool:
        """Whether a password is being hashed."""
        return self._waiting > 0

    @contextmanager
    def coming(self) -> Iterator[None]:
        """Be counted among those who are about to have a password looked at.

        When a thousand arrive at once, most are refused here, before any other work is done for
        them.  Refused(UNAVAILABLE) when the queue is full.
        """
        self._require_room(self._coming + self._waiting)
        self._coming += 1
        try:
            yield
        finally:
            self._coming -= 1

    def _require_room(self, before: int) -> None:
        if before >= self._threads and before * self._pace / self._threads > self._queue_seconds:
            raise unavailable("password hashing queue is full", retry_after=2)

    async def hash(self, password: str) -> str:
        """Hash a new password, in NFC.  Refused(UNAVAILABLE) when the queue is full."""
        return await self._run(lambda: self._hash(password))

    async def verify(self, on_file: str | None, password: str) -> Verdict:
        """Check a password against what is on file; against a decoy when there is nothing.

        The work is done either way, so that an unknown account costs what a known one does; and a
        password that is not in NFC costs twice, whatever becomes of the first look.
        Refused(UNAVAILABLE) when the queue is full, or there is no memory to hash with.
        """
        return await self._run(lambda: self._verify(on_file, password))

    def learn_schemes(self, examples: Iterable[str]) -> None:
        """Hear which schemes are on file, by a hash of each (see `tell_at`)."""
        self._slowest = max([self._own, *map(cost, examples)])

    def step(self) -> float:
        """Seconds between the moments at which refusals are told.

        Twice what verifying the slowest scheme on file and a hash of ours are reckoned to take: a
        password may be looked at in two forms, and a right one of an outdated hash is
        hashed anew before anybody sees that the account is closed.  And 0.4 s for all else.  By the
        policy and the database alone: the same on every worker.
        """
        return self._margin + 2 * (self._slowest + self._own)

    def tell_at(self, began: float, hashed_from: float) -> float:
        """Return the moment at which to tell a refusal of what began at one moment.

        A refusal is told only at whole steps after `began`: at the first step after the slowest
        scheme on file would have finished, had it been hashed from `hashed_from` on.  So its time
        does not show which scheme an account has.  Waiting costs nothing, unlike a second hash.
        """
        slowest = 2 * self._slowest + self._own
        done = max(hashed_from + slowest, self._clock.monotonic())
        return began + self.step() * math.ceil((done - began) / self.step())

    def close(self) -> None:
        """Let running jobs end; drop those that wait."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _run(self, job: Callable[[], T]) -> T:
        self._require_room(self._waiting)
        self._waiting += 1
        future = self._executor.submit(self._timed, job)
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._release))
        return await asyncio.shield(asyncio.wrap_future(future))

    def _release(self) -> None:
        self._waiting -= 1

    def _timed(self, job: Callable[[], T]) -> T:
        began = self._clock.monotonic()
        try:
            return job()
        finally:
            took = self._clock.monotonic() - began
            metrics.hashing.observe(took)
            # As slow as it is of late: others hash on the same cores.  Two threads that meet here
            # lose one observation.
            self._pace += (took - self._pace) / _MEMORY_OF_PACE

    def _measure(self, job: Callable[[], object]) -> float:
        began = self._clock.monotonic()
        job()
        return self._clock.monotonic() - began

    def _verify(self, on_file: str | None, password: str) -> Verdict:
        began = self._clock.monotonic()
        usable = on_file is not None and acceptable(on_file)
        stored = on_file if usable and on_file is not None else self._decoy
        composed, *received = _forms(password)
        in_nfc = self._matches(stored, composed)
        # Looked at whether or not NFC was right: time must not tell.
        looks = [in_nfc, *(self._matches(stored, form) for form in received)]
        ok = usable and any(looks)
        outdated = ok and (not in_nfc or self._outdated(stored))
        rehash = self._hash(password) if outdated else None
        return Verdict(ok, rehash, began)

    def _hash(self, password: str) -> str:
        return self._hasher.hash(_forms(password)[0].encode())

    def _matches(self, stored: str, password: str) -> bool:
        given = password.encode()
        if stored.startswith("$2"):
            # bcrypt 5 raises above 72 bytes where older libraries cut: cut as they did.
            return bcrypt.checkpw(given[:_BCRYPT_BYTES], stored.encode())
        try:
            return self._hasher.verify(stored, given)
        except (VerifyMismatchError, InvalidHashError):
            return False
        except VerificationError:  # no memory or no thread: it was not looked at
            raise unavailable("a password could not be hashed", retry_after=2) from None

    def _outdated(self, stored: str) -> bool:
        return stored.startswith("$2") or self._hasher.check_needs_rehash(stored)
