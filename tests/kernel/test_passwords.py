"""Hashes: what is accepted, what it costs, and who waits for it."""

import asyncio
import os
import sys
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator

import argon2
import bcrypt
import pytest
from argon2.exceptions import VerificationError

from service.kernel.clock import Clock
from service.kernel.passwords import (
    HashParameters,
    Passwords,
    Verdict,
    acceptable,
    cost,
    find_fault,
)
from service.kernel.refusal import Reason, Refused

CHEAP = HashParameters(memory_kib=64, passes=1, lanes=1)
FLOOR = HashParameters()


def made(parameters: HashParameters = CHEAP, **given: float) -> Passwords:
    return Passwords(Clock(), parameters, floor_kib=64, **given)  # type: ignore[arg-type]


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    hasher = made(threads=1, queue_seconds=0.0)
    yield hasher
    hasher.close()


def bcrypt_of(password: bytes, prefix: str = "$2b$", cost: int = 4) -> str:
    return prefix + bcrypt.hashpw(password[:72], bcrypt.gensalt(cost)).decode()[4:]


def argon2_of(password: str, **given: int) -> str:
    plain = {"time_cost": 1, "memory_cost": 64, "parallelism": 1}
    return argon2.PasswordHasher(**{**plain, **given}).hash(password)  # type: ignore[arg-type]


# --- what is on file ---


async def test_what_was_hashed_is_verified_and_nothing_else(passwords: Passwords) -> None:
    on_file = await passwords.hash("pässword\0 and more")
    assert on_file.startswith("$argon2id$v=19$m=64,t=1,p=1$")
    assert await passwords.hash("pässword\0 and more") != on_file
    verdict = await passwords.verify(on_file, "pässword\0 and more")
    assert verdict.ok
    assert verdict.rehash is None
    for wrong in ("pässword", "pässword\0", "Pässword\0 and more", "", "x" * 1024):
        assert not (await passwords.verify(on_file, wrong)).ok


LONG = {
    "72 bytes": "a" * 71 + "Z",
    "73 bytes": "a" * 72 + "Z",
    "80 bytes": "a" * 79 + "Z",
    "a letter across byte 72": "a" * 71 + "ü" + "tail",
    "a sign of four bytes across byte 72": "a" * 70 + "\N{GRINNING FACE}" + "tail",
    "a NUL inside": "before\0after, long enough",
    "a NUL first": "\0everything after",
}


@pytest.mark.parametrize("prefix", ["$2a$", "$2b$", "$2y$"])
@pytest.mark.parametrize("password", LONG.values(), ids=LONG.keys())
async def test_a_bcrypt_hash_opens_by_its_first_72_bytes_and_becomes_argon2_of_all(
    passwords: Passwords, prefix: str, password: str
) -> None:
    on_file = bcrypt_of(password.encode(), prefix)
    verdict = await passwords.verify(on_file, password)
    assert verdict.ok
    assert verdict.rehash is not None
    assert (await passwords.verify(verdict.rehash, password)).ok
    cut = password.encode()[:72].decode(errors="ignore")
    if cut != password:
        assert not (await passwords.verify(verdict.rehash, cut)).ok
    assert not (await passwords.verify(on_file, "X" + password[1:])).ok
    shorter = password.partition("\0")[0].encode()[:71].decode(errors="ignore")
    if shorter != password:
        assert not (await passwords.verify(on_file, shorter)).ok


@pytest.mark.parametrize(
    "parameters", [{"time_cost": 2}, {"memory_cost": 128}, {"parallelism": 2, "memory_cost": 64}]
)
async def test_other_parameters_than_ours_are_replaced(
    passwords: Passwords, parameters: dict[str, int]
) -> None:
    verdict = await passwords.verify(argon2_of("pw", **parameters), "pw")
    assert verdict.ok
    assert verdict.rehash is not None
    assert "m=64,t=1,p=1" in verdict.rehash


async def test_a_wrong_password_is_never_rehashed(passwords: Passwords) -> None:
    for on_file in (argon2_of("pw", time_cost=2), bcrypt_of(b"pw")):
        assert (await passwords.verify(on_file, "wrong")).rehash is None


GOOD_BCRYPT, GOOD_ARGON2 = bcrypt_of(b"pw"), argon2_of("pw")


NOT_OBEYED = [
    "",
    "plain text",
    "5f4dcc3b5aa765d61d8327deb882cf99",
    "$2x$" + GOOD_BCRYPT[4:],
    "$2$" + GOOD_BCRYPT[4:],
    "$2b$03" + GOOD_BCRYPT[6:],
    "$2b$15" + GOOD_BCRYPT[6:],
    "$2b$31" + GOOD_BCRYPT[6:],
    "$2b$4" + GOOD_BCRYPT[6:],
    GOOD_BCRYPT + "\n",
    GOOD_BCRYPT[:-1],
    GOOD_BCRYPT + "a",
    GOOD_BCRYPT[:28] + "z" + GOOD_BCRYPT[29:],  # stray bits: bcrypt itself raises
    " " + GOOD_BCRYPT,
    GOOD_ARGON2 + "\n",
    GOOD_ARGON2.replace("argon2id", "argon2i"),
    GOOD_ARGON2.replace("argon2id", "argon2d"),
    GOOD_ARGON2.replace("v=19", "v=16"),
    GOOD_ARGON2.replace("m=64", "m=4194304"),
    GOOD_ARGON2.replace("m=64", "m=262145"),
    GOOD_ARGON2.replace("m=64", "m=7"),
    GOOD_ARGON2.replace("m=64", "m=٦٤"),
    GOOD_ARGON2.replace("t=1", "t=11"),
    GOOD_ARGON2.replace("t=1", "t=0"),
    GOOD_ARGON2.replace("m=64,t=1,p=1", "m=1024,t=1,p=65"),
    GOOD_ARGON2.replace("p=1", "p=9"),
    GOOD_ARGON2.replace("p=1", "p=0"),
    GOOD_ARGON2.replace("p=1", "p=01"),
    GOOD_ARGON2.replace("m=64", "m=" + "9" * 300),
    GOOD_ARGON2 + "=",
]


@pytest.mark.parametrize("on_file", NOT_OBEYED, ids=range(len(NOT_OBEYED)))
async def test_a_hash_we_do_not_obey_is_refused_and_never_opens(
    passwords: Passwords, on_file: str
) -> None:
    assert not acceptable(on_file)
    assert not (await passwords.verify(on_file, "pw")).ok


def test_the_bounds_themselves_are_within() -> None:
    assert acceptable(GOOD_BCRYPT)
    assert acceptable("$2y$14" + GOOD_BCRYPT[6:])
    assert acceptable(GOOD_ARGON2.replace("m=64", "m=262144").replace("t=1", "t=10"))
    assert acceptable(GOOD_ARGON2.replace("p=1", "p=8"))
    assert acceptable(GOOD_ARGON2.replace("m=64,t=1,p=1", "m=512,t=1,p=64"))


@pytest.mark.parametrize(
    ("on_file", "told"),
    [
        (GOOD_ARGON2.replace("m=64,t=1,p=1", "m=1024,t=1,p=65"), ["p (lanes) must be 1 to 64"]),
        (GOOD_ARGON2.replace("p=1", "p=0"), ["p (lanes) must be 1 to 64"]),
        (GOOD_ARGON2.replace("t=1", "t=11"), ["t (passes) must be 1 to 10"]),
        (GOOD_ARGON2.replace("t=1", "t=1000"), ["t (passes) must be 1 to 10"]),
        (GOOD_ARGON2.replace("m=64", "m=262145"), ["m (memory) must be 8 KiB times p to 262144"]),
        (GOOD_ARGON2.replace("m=64", "m=99999999999"), ["8 KiB times p to 262144 KiB"]),
        (GOOD_ARGON2.replace("p=1", "p=9"), ["m (memory) must be 8 KiB times p"]),
        (
            GOOD_ARGON2.replace("m=64,t=1,p=1", "m=262145,t=11,p=65"),
            ["262144 KiB", "1 to 10", "1 to 64"],
        ),
        (GOOD_BCRYPT.replace("$04$", "$15$"), ["cost", "4 to 14"]),
        (GOOD_BCRYPT.replace("$04$", "$03$"), ["cost", "4 to 14"]),
        (GOOD_BCRYPT[:-1], ["53 characters"]),
        (GOOD_ARGON2[:-30], ["digest of 16 to 64 bytes"]),
        (GOOD_ARGON2.replace("argon2id", "argon2i"), ["Argon2id version 19", "$2b$"]),
        ("$2x$" + GOOD_BCRYPT[4:], ["$2a$, $2b$ or $2y$"]),
        ("$pbkdf2-sha256$29000$x$y", ["bcrypt", "Argon2id"]),
        ("$" * 300, ["256 characters"]),
    ],
    ids=range(16),
)
def test_a_refused_hash_is_told_the_bound_it_breaks_and_shown_to_nobody(
    on_file: str, told: list[str]
) -> None:
    fault = find_fault(on_file)
    assert fault is not None
    assert [part for part in told if part not in fault] == []
    assert on_file[-10:] not in fault


async def test_64_lanes_are_verified_and_replaced(passwords: Passwords) -> None:
    on_file = argon2_of("pw", time_cost=10, memory_cost=512, parallelism=64)
    verdict = await passwords.verify(on_file, "pw")
    assert verdict.ok
    assert verdict.rehash is not None
    assert "m=64,t=1,p=1" in verdict.rehash
    assert not (await passwords.verify(on_file, "wrong")).ok


# --- Unicode forms ---

COMPOSED, DECOMPOSED = "gr\N{LATIN SMALL LETTER U WITH DIAERESIS}n und 7", "gru\u0308n und 7"
SCHEMES: dict[str, Callable[[str], str]] = {
    "Argon2id": argon2_of,
    "outdated Argon2id": lambda password: argon2_of(password, time_cost=2),
    "bcrypt": lambda password: bcrypt_of(password.encode()),
}


@pytest.mark.parametrize("chosen", [COMPOSED, DECOMPOSED, "\N{ANGSTROM SIGN} and 7 more"])
async def test_a_password_opens_in_every_canonical_form_of_it(
    passwords: Passwords, chosen: str
) -> None:
    on_file = await passwords.hash(chosen)
    for form in ("NFC", "NFD"):
        verdict = await passwords.verify(on_file, unicodedata.normalize(form, chosen))
        assert (verdict.ok, verdict.rehash) == (True, None)
    assert (await passwords.verify(on_file, chosen)).ok


async def test_what_only_looks_alike_is_another_password(passwords: Passwords) -> None:
    """NFKC would make these one, and take letters away from what a person chose."""
    on_file = await passwords.hash("ﬁne and long ²")
    assert not (await passwords.verify(on_file, "fine and long 2")).ok


@pytest.mark.parametrize("typed", [COMPOSED, DECOMPOSED])
@pytest.mark.parametrize("scheme", SCHEMES)
async def test_an_older_hash_opens_in_both_forms_and_becomes_one_of_nfc(
    passwords: Passwords, scheme: str, typed: str
) -> None:
    on_file = SCHEMES[scheme](DECOMPOSED)
    assert not (await passwords.verify(on_file, typed + "!")).ok
    verdict = await passwords.verify(on_file, typed)
    assert verdict.ok
    assert verdict.rehash is not None
    assert verdict.rehash.startswith("$argon2id$v=19$m=64,t=1,p=1$")
    for form in (COMPOSED, DECOMPOSED):
        again = await passwords.verify(verdict.rehash, form)
        assert (again.ok, again.rehash) == (True, None)


@pytest.mark.parametrize(
    ("password", "looks"),
    [("ascii", 1), (COMPOSED, 2), (DECOMPOSED, 2), ("\N{OHM SIGN}", 2), ("\N{ANGSTROM SIGN}", 2)],
)
async def test_how_often_is_looked_depends_on_the_password_given_and_on_no_account(
    passwords: Passwords, password: str, looks: int
) -> None:
    accounts = {
        "nobody": None,
        "not a hash": "not a hash",
        "right": argon2_of(unicodedata.normalize("NFC", password)),
        "right as received": argon2_of(password),
        "wrong": argon2_of("another one"),
    }
    counts = {}
    for name, on_file in accounts.items():
        verdict, counts[name] = await counted(passwords, on_file, password)
        assert verdict.ok == name.startswith("right")
    assert counts == dict.fromkeys(accounts, looks)


async def counted(passwords: Passwords, on_file: str | None, password: str) -> tuple[Verdict, int]:
    """Verify, and count the hashes that are compared."""
    seen: list[str] = []
    inner = passwords._matches

    def matches(stored: str, given: str) -> bool:
        seen.append(stored)
        return inner(stored, given)

    passwords._matches = matches  # type: ignore[method-assign,assignment]
    try:
        return await passwords.verify(on_file, password), len(seen)
    finally:
        passwords._matches = inner  # type: ignore[method-assign]


async def test_what_could_not_be_hashed_was_not_looked_at(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No memory, no thread: told as 503, and never as a wrong password."""
    on_file = argon2_of("pw")

    def fails(*_given: object) -> bool:
        raise VerificationError("Memory allocation error")

    monkeypatch.setattr(argon2.PasswordHasher, "verify", fails)
    with pytest.raises(Refused) as caught:
        await passwords.verify(on_file, "pw")
    assert caught.value.reason is Reason.UNAVAILABLE
    assert caught.value.retry_after


async def test_where_nothing_is_on_file_the_work_is_done_all_the_same(
    passwords: Passwords,
) -> None:
    seen: list[str] = []
    inner = passwords._matches

    def matches(stored: str, password: str) -> bool:
        seen.append(stored)
        return inner(stored, password)

    passwords._matches = matches  # type: ignore[method-assign]
    for on_file in (None, "not a hash"):
        assert not (await passwords.verify(on_file, "decoy")).ok
    assert [stored.partition(",")[0] for stored in seen] == ["$argon2id$v=19$m=64"] * 2


def test_the_floor_is_owasp_s_and_holds() -> None:
    assert (FLOOR.memory_kib, FLOOR.passes, FLOOR.lanes) == (19 * 1024, 2, 1)
    with pytest.raises(ValueError, match="below the floor"):
        Passwords(Clock(), HashParameters(memory_kib=19 * 1024 - 1))


@pytest.mark.parametrize(
    "parameters",
    [
        HashParameters(memory_kib=262_145),
        HashParameters(passes=11),
        HashParameters(passes=0),
        HashParameters(lanes=65),
        HashParameters(lanes=0),
    ],
)
def test_parameters_whose_hashes_would_be_refused_do_not_start(
    parameters: HashParameters,
) -> None:
    with pytest.raises(ValueError, match="out of bounds"):
        Passwords(Clock(), parameters)


def test_refusals_are_told_in_steps_that_follow_from_what_is_on_file_alone() -> None:
    one, other = made(threads=1), made(threads=8)
    assert one.step() == other.step()
    before = one.step()
    one.learn_schemes([bcrypt_of(b"x", cost=4), bcrypt_of(b"x", cost=10)])
    assert one.step() > before + 2 * cost(bcrypt_of(b"x", cost=9))
    slower = one.step()
    one.learn_schemes(["$2b$31" + GOOD_BCRYPT[6:], "no hash", bcrypt_of(b"x", cost=10)])
    assert one.step() == slower  # what is never verified costs nothing
    one.learn_schemes([])
    assert one.step() == before
    for hasher in (one, other):
        hasher.close()


def test_by_default_a_refusal_takes_half_a_second_and_with_bcrypt_14_two_and_a_half() -> None:
    hasher = Passwords(Clock(), HashParameters())
    assert 0.5 < hasher.step() < 0.6
    hasher.learn_schemes(["$2b$14" + GOOD_BCRYPT[6:]])
    assert 2.4 < hasher.step() < 2.6
    hasher.close()


def test_the_moment_of_a_refusal_is_that_of_the_slowest_scheme_for_all() -> None:
    hasher = Passwords(Clock(), HashParameters())
    hasher.learn_schemes(["$2b$13" + GOOD_BCRYPT[6:]])
    step, began = hasher.step(), time.monotonic()
    in_step = [hasher.tell_at(began, began + waited) for waited in (0.0, 0.1, 0.3)]
    assert in_step == [began + step] * 3
    assert hasher.tell_at(began, began + 0.9 * step) == began + 2 * step  # it waited in the queue
    late = time.monotonic() - 3.5 * step
    assert hasher.tell_at(late, late) == late + 4 * step  # a host that stood still
    hasher.close()


async def test_a_verdict_tells_from_when_it_was_hashed(passwords: Passwords) -> None:
    before = time.monotonic()
    verdict = await passwords.verify(GOOD_ARGON2, "pw")
    assert before <= verdict.began <= time.monotonic()


def test_what_a_hash_is_reckoned_to_cost_is_no_less_than_it_does() -> None:
    """By a machine like those this is developed on; twice as much is allowed for in a step."""
    for on_file in (
        argon2_of("pw", time_cost=2, memory_cost=19 * 1024),
        bcrypt_of(b"pw", cost=11),
    ):
        hasher = made()
        took = []
        for _ in range(5):
            began = time.thread_time()
            hasher._matches(on_file, "pw")
            took.append(time.thread_time() - began)
        hasher.close()
        assert min(took) < 2 * cost(on_file) + 0.05, on_file


# --- who waits ---


async def occupied(hasher: Passwords) -> tuple[threading.Event, "asyncio.Task[None]"]:
    """Put a job on the one thread that ends when it is told to."""
    begun, go = threading.Event(), threading.Event()

    def job() -> None:
        begun.set()
        go.wait(10)

    task = asyncio.create_task(hasher._run(job))
    await asyncio.to_thread(begun.wait, 10)
    return go, task


async def test_a_full_queue_sheds_with_503_and_says_when_to_come_back(
    passwords: Passwords,
) -> None:
    go, running = await occupied(passwords)
    with pytest.raises(Refused) as caught:
        await passwords.verify(GOOD_ARGON2, "pw")
    assert caught.value.reason is Reason.UNAVAILABLE
    assert caught.value.retry_after
    go.set()
    await running
    assert (await passwords.verify(GOOD_ARGON2, "pw")).ok


async def test_whoever_is_still_on_the_way_counts_too() -> None:
    hasher = made(threads=1, queue_seconds=0.0)
    with hasher.coming():
        with pytest.raises(Refused, match="queue is full"), hasher.coming():
            pass
        assert (await hasher.verify(GOOD_ARGON2, "pw")).ok  # they had been let in
    with hasher.coming():
        pass
    hasher.close()


async def test_one_who_hangs_up_frees_nothing_before_the_hash_is_done(
    passwords: Passwords,
) -> None:
    go, running = await occupied(passwords)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    with pytest.raises(Refused, match="queue is full"):
        await passwords.verify(GOOD_ARGON2, "pw")
    go.set()
    async with asyncio.timeout(5):
        while passwords._waiting:
            await asyncio.sleep(0)
    assert (await passwords.verify(GOOD_ARGON2, "pw")).ok


async def test_a_job_that_fails_gives_its_permit_back(passwords: Passwords) -> None:
    with pytest.raises(ZeroDivisionError):
        await passwords._run(lambda: 1 // 0)
    async with asyncio.timeout(5):
        while passwords._waiting:
            await asyncio.sleep(0)


async def test_hashing_leaves_the_loop_free() -> None:
    hasher = made(HashParameters(memory_kib=64 * 1024, passes=3), threads=1)
    turns = 0
    task = asyncio.create_task(hasher.hash("a password"))
    while not task.done():
        await asyncio.sleep(0)
        turns += 1
    hasher.close()
    assert turns > 10


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a priority for each thread")
async def test_hashing_lets_whoever_answers_go_first(passwords: Passwords) -> None:
    def priority(thread: int) -> int:
        return os.getpriority(os.PRIO_PROCESS, thread)

    before = set(threading.enumerate())
    await passwords.hash("password")
    (hashing,) = {t.native_id for t in set(threading.enumerate()) - before}
    assert hashing is not None
    assert priority(hashing) > priority(threading.get_native_id())
