"""Password hashing: new hashes are Argon2id; bcrypt hashes are verified and then replaced.

Hashing is the costly part of a sign-in, and is bounded in three ways.  All workers together use as
many threads as there are cores.  A full queue refuses with 503 and does not grow.  The parameters
of stored hashes are checked before they are used.  A place in the queue belongs to the job, not to
the request: it stays taken until the hash is done, even when the client has hung up.  argon2-cffi
and bcrypt release the interpreter lock (GIL) while they work.

A password is hashed in the Unicode form NFC, because two systems may send the same letters as
different code points (NIST SP 800-63B section 3.1.1.2).  It is also compared in a second form,
because an older or an imported hash may have been made from that: the form in which it was received
or, if that is NFC, NFD.
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
from typing import Annotated, TypeVar

import argon2
import bcrypt
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError
from msgspec import Meta, Struct

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
# The last letters of salt and digest hold 2 and 4 bits; no library verifies a hash with others.
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
"""The pace is a moving mean over this many hashes."""
_ARGON2_SECONDS = 1e-6
"""Estimated seconds for each KiB and pass.  This and the next are constants for a slow core: values
that are measured would differ between workers and between starts."""
_BCRYPT_SECONDS = 6e-5
"""Estimated seconds for each of the 2 ** cost rounds."""


class HashParameters(Struct, frozen=True, forbid_unknown_fields=True):
    """Argon2id: memory in KiB, passes, lanes.  OWASP's floor is 19 MiB, 2, 1."""

    memory_kib: Annotated[int, Meta(ge=_MEMORY_FLOOR, le=_MEMORY_MOST)] = 19 * 1024
    """Memory, KiB."""
    passes: Annotated[int, Meta(ge=1, le=_TIME_MOST)] = 2
    """Passes over the memory."""
    lanes: Annotated[int, Meta(ge=1, le=_LANES_MOST)] = 1
    """Lanes, which may be computed at the same time."""


class Verdict(Struct, frozen=True):
    """Whether the password is right, and a new hash to store when the old one is outdated."""

    ok: bool
    rehash: str | None = None
    began: float = 0.0
    """When hashing began, by `Clock.monotonic`."""


def acceptable(password_hash: str) -> bool:
    """Whether a stored hash is of a known scheme, with parameters within our bounds."""
    return find_fault(password_hash) is None


def find_fault(password_hash: str) -> str | None:
    """Return why we do not verify a stored hash, with the bound that it breaks; None when we do.

    The text names schemes, parameters and bounds, and no part of the hash.
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
    """Return the estimated seconds for verifying a hash; 0 for a hash that we do not verify."""
    if not acceptable(password_hash):
        return 0.0
    if match := _ARGON2.fullmatch(password_hash):
        return int(match[1]) * int(match[2]) * _ARGON2_SECONDS
    return 2.0 ** int(password_hash[4:6]) * _BCRYPT_SECONDS


def _out_of_bounds(memory_kib: int, passes: int, lanes: int) -> list[str]:
    """Return, for each Argon2id parameter out of bounds, what it must be."""
    faults = []
    if not 8 * max(1, lanes) <= memory_kib <= _MEMORY_MOST:  # RFC 9106 section 3.1
        faults.append(f"m (memory) must be 8 KiB times p to {_MEMORY_MOST} KiB")
    if not 1 <= passes <= _TIME_MOST:
        faults.append(f"t (passes) must be 1 to {_TIME_MOST}")
    if not 1 <= lanes <= _LANES_MOST:
        faults.append(f"p (lanes) must be 1 to {_LANES_MOST}")
    return faults


def _is_base64(text: str) -> bool:
    """Whether a text is base64 without padding and without stray bits at its end."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return False
    return base64.b64encode(raw).decode().rstrip("=") == text


def _forms(password: str) -> tuple[str, ...]:
    """Return a password in NFC and, when that is another text, in the second form to compare.

    The second form is the received one or, if that is NFC, NFD.
    """
    if unicodedata.is_normalized("NFC", password):
        return tuple(dict.fromkeys((password, unicodedata.normalize("NFD", password))))
    return unicodedata.normalize("NFC", password), password


def _step_back() -> None:
    """Lower the priority of this thread, so that other requests go before hashing.

    A hash keeps a core busy for tens of milliseconds.  Only on Linux, where each thread has a
    priority of its own; elsewhere the whole process would be slowed.
    """
    if sys.platform == "linux":
        os.nice(_NICE)


class Passwords:
    """The hasher and its bounded executor, one per process.

    `workers` is the number of processes that share the cores.
    """

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
            # Hashes made with these would be refused later, when they are verified.
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
        """While inside, count this request as one that will need hashing.

        When a thousand arrive at once, most are refused here, before any other work is done.
        Refused(UNAVAILABLE) when the queue is full.
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
        """Check a password against a stored hash, or against a decoy when there is none.

        The decoy makes an unknown account take as long as a known one.  A password with a second
        Unicode form is always compared twice, also when the first form is right.
        Refused(UNAVAILABLE) when the queue is full or memory for the hash is missing.
        """
        return await self._run(lambda: self._verify(on_file, password))

    def learn_schemes(self, examples: Iterable[str]) -> None:
        """Learn which schemes are stored, from one example hash of each (see `tell_at`)."""
        self._slowest = max([self._own, *map(cost, examples)])

    def step(self) -> float:
        """Return the seconds between the moments at which refusals are answered.

        It is twice the estimated time to verify the slowest stored scheme and a new hash, plus
        0.4 s for everything else.  Twice, because a password may be compared in two forms, and a
        right password with an outdated hash is hashed anew before the account is seen to be closed.
        It depends on the policy and the database alone, so it is the same on every worker.
        """
        return self._margin + 2 * (self._slowest + self._own)

    def tell_at(self, began: float, hashed_from: float) -> float:
        """Return when to answer a refusal of an attempt that began at `began` (`Clock.monotonic`).

        Refusals are answered only at whole steps after `began`: at the first step at which the
        slowest stored scheme would be done, if its hashing had begun at `hashed_from`.  So the time
        of the answer does not show which scheme an account has.  Waiting costs no work.
        """
        slowest = 2 * self._slowest + self._own
        done = max(hashed_from + slowest, self._clock.monotonic())
        return began + self.step() * math.ceil((done - began) / self.step())

    def close(self) -> None:
        """Let running jobs end, and drop the jobs that wait."""
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
            # A moving mean: other processes hash on the same cores.  When two threads are here at
            # the same time, one observation is lost.
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
        # Compared also when NFC was right: the time must not show it.
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
            # bcrypt 5 raises an error above 72 bytes.  Older libraries cut the password: so do we.
            return bcrypt.checkpw(given[:_BCRYPT_BYTES], stored.encode())
        try:
            return self._hasher.verify(stored, given)
        except (VerifyMismatchError, InvalidHashError):
            return False
        except VerificationError:  # no memory or no thread: nothing was compared
            raise unavailable("a password could not be hashed", retry_after=2) from None

    def _outdated(self, stored: str) -> bool:
        return stored.startswith("$2") or self._hasher.check_needs_rehash(stored)
