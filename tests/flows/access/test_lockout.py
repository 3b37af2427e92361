"""Lockout: five guesses and no more, and no stranger locks an owner out."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from uuid import uuid4

import pytest

from service.domain import devices
from service.domain.keyring import Usage
from service.flows.access.authenticate import authenticate
from service.flows.access.granting import Granted
from service.flows.access.refresh import refresh
from service.flows.access.sign_in import Credentials, sign_in
from service.flows.account.password import change_password
from service.flows.people.invite import accept, invite
from service.kernel.call import Call, Person
from service.kernel.clock import Clock
from service.kernel.ids import DeviceId
from service.kernel.passwords import Passwords, Verdict
from service.kernel.refusal import Reason, Refused
from service.policy import Lockout, Policy
from service.runtime import Runtime, open_runtime
from service.settings import Settings
from tests import given
from tests.world import CHEAP, UNLIMITED, empty_tables

MINUTE = timedelta(minutes=1)
WRONG = "not the password"
_ALIKE = {Reason.BAD_CREDENTIALS}


class Counting(Passwords):
    """Counts which stored hashes a password was really held against."""

    evaluated: Counter[str | None]

    async def verify(self, on_file: str | None, password: str) -> Verdict:
        """Verify, and remember against what."""
        self.evaluated[on_file] += 1
        return await super().verify(on_file, password)


@pytest.fixture
def policy() -> Policy:
    return Policy(limits=UNLIMITED, lockout=Lockout(devices=3))


@pytest.fixture
async def rt(settings: Settings, policy: Policy) -> AsyncIterator[Runtime]:
    await empty_tables(settings)
    clock = Clock()
    passwords = Counting(clock, CHEAP, floor_kib=CHEAP.memory_kib)
    passwords.evaluated = Counter()
    async with open_runtime(settings, clock=clock, policy=policy, passwords=passwords) as rt:
        yield rt


def evaluations(rt: Runtime) -> int:
    """Count guesses that were held against a real account's hash."""
    assert isinstance(rt.passwords, Counting)
    return sum(count for stored, count in rt.passwords.evaluated.items() if stored is not None)


async def guess(
    rt: Runtime, call: Call, email: str, password: str = WRONG, device: str | None = None
) -> str:
    """Try, and return why not."""
    return await why(sign_in(rt, call, Credentials(email, password, device=device))) or "in"


async def why(act: Awaitable[object]) -> str | None:
    """Return why an act is refused for its password."""
    try:
        await act
    except Refused as refused:
        return refused.private.partition(": ")[2] if refused.reason in _ALIKE else "otherwise"
    return None


async def person_of(rt: Runtime, granted: Granted) -> Person:
    """Return who a grant stands for."""
    person = await authenticate(rt, granted.access_token, rt.clock.now())
    assert isinstance(person, Person)
    return person


async def a_known_device(rt: Runtime, call: Callable[..., Call], ada: given.Given) -> str:
    """Sign in, and return the device cookie's value."""
    granted = await sign_in(rt, call(), Credentials(ada.email, ada.password))
    assert granted.device_token
    return granted.device_token


async def lock(rt: Runtime, call: Callable[..., Call], ada: given.Given) -> None:
    """Lock the account as strangers do."""
    for _ in range(5):
        await guess(rt, call(), ada.email)


async def test_two_hundred_guesses_at_once_buy_five(rt: Runtime, call: Callable[..., Call]) -> None:
    ada = await given.a_person(rt)
    whys = Counter(await asyncio.gather(*(guess(rt, call(), ada.email) for _ in range(200))))
    assert evaluations(rt) == 5
    assert whys == {"wrong_password": 5, "locked": 195}
    assert await guess(rt, call(), ada.email, ada.password) == "locked"


async def test_while_locked_the_right_password_is_not_even_looked_at(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    ada = await given.a_person(rt)
    await lock(rt, call, ada)
    before = evaluations(rt)
    assert await guess(rt, call(), ada.email, ada.password) == "locked"
    assert evaluations(rt) == before
    assert (await given.kinds(rt)).count("lockout.started") == 1


async def test_a_lock_ends_after_its_time_and_attempts_do_not_extend_it(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    ada = await given.a_person(rt)
    rt.clock.freeze(rt.clock.now())
    await lock(rt, call, ada)
    for _ in range(14):
        rt.clock.advance(MINUTE)
        assert await guess(rt, call(), ada.email, ada.password) == "locked"
    rt.clock.advance(MINUTE - timedelta(microseconds=1))
    assert await guess(rt, call(), ada.email, ada.password) == "locked"
    rt.clock.advance(timedelta(microseconds=1))
    assert await guess(rt, call(), ada.email, ada.password) == "in"


async def test_failures_that_are_fifteen_minutes_apart_do_not_add_up(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    ada = await given.a_person(rt)
    rt.clock.freeze(rt.clock.now())
    for _ in range(12):
        assert await guess(rt, call(), ada.email) == "wrong_password"
        rt.clock.advance(4 * MINUTE)
    assert await guess(rt, call(), ada.email, ada.password) == "in"


async def test_a_right_password_forgets_the_failures(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    ada = await given.a_person(rt)
    for _ in range(3):
        for _ in range(4):
            assert await guess(rt, call(), ada.email) == "wrong_password"
        assert await guess(rt, call(), ada.email, ada.password) == "in"


async def test_strangers_do_not_lock_out_a_device_the_owner_has_used(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    ada = await given.a_person(rt)
    device = await a_known_device(rt, call, ada)
    await lock(rt, call, ada)
    assert await guess(rt, call(), ada.email, ada.password) == "locked"
    assert await guess(rt, call(), ada.email, ada.password, device) == "in"


async def test_a_known_device_has_five_guesses_of_its_own_and_no_more(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    ada = await given.a_person(rt)
    device = await a_known_device(rt, call, ada)
    whys = [await guess(rt, call(), ada.email, WRONG, device) for _ in range(7)]
    assert whys == ["wrong_password"] * 5 + ["locked"] * 2
    assert await guess(rt, call(), ada.email, ada.password) == "in"  # the others' is untouched
    assert (await given.events(rt, "lockout.started"))[0]["detail"] == {"known_device": True}


async def test_a_device_of_another_account_a_forged_and_an_expired_one_are_strangers(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    ada = await given.a_person(rt)
    eve = await given.a_person(rt, "eve@acme.example")
    own, of_eve = await a_known_device(rt, call, ada), await a_known_device(rt, call, eve)
    key = rt.keyring.derived(Usage.DEVICE)
    unknown = devices.write(key, DeviceId(uuid4()))
    forged = devices.write(b"another key", devices.read(key, own) or DeviceId(uuid4()))
    await lock(rt, call, ada)
    for device in (of_eve, unknown, forged, own[:-1], own + "A", "", "ä"):
        assert await guess(rt, call(), ada.email, ada.password, device) == "locked"
    rt.clock.advance(timedelta(seconds=rt.policy.lockout.device_ttl))
    await lock(rt, call, ada)
    assert await guess(rt, call(), ada.email, ada.password, own) == "locked"


async def test_an_account_knows_a_bounded_number_of_devices_the_longest_unused_goes(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    ada = await given.a_person(rt)
    first, second = [await a_known_device(rt, call, ada) for _ in range(2)]
    assert await guess(rt, call(), ada.email, ada.password, first) == "in"
    third, fourth = [await a_known_device(rt, call, ada) for _ in range(2)]
    async with rt.pg.reading() as tx:
        assert await tx.fetchval("SELECT count(*) FROM auth_devices") == 3
    await lock(rt, call, ada)
    assert await guess(rt, call(), ada.email, ada.password, second) == "locked"
    for device in (first, third, fourth):
        assert await guess(rt, call(), ada.email, ada.password, device) == "in"


async def test_existing_sessions_go_on_while_the_account_is_locked(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    ada = await given.a_person(rt)
    granted = await sign_in(rt, call(), Credentials(ada.email, ada.password))
    await lock(rt, call, ada)
    token = granted.refresh_token
    for _ in range(3):
        token = (await refresh(rt, call(), token)).refresh_token
    assert await authenticate(rt, granted.access_token, rt.clock.now())


@pytest.mark.parametrize("known", [True, False])
async def test_every_spelling_of_an_e_mail_shares_one_counter(
    rt: Runtime, call: Callable[..., Call], *, known: bool
) -> None:
    if known:
        await given.a_person(rt, "ada@acme.example")
    spellings = [
        "ada@acme.example",
        "ADA@ACME.example",
        " ada@acme.example ",
        "\N{FULLWIDTH LATIN SMALL LETTER A}da@acme.example",
        "ada\N{FULLWIDTH COMMERCIAL AT}acme.example",
        "Ada@acme\N{FULLWIDTH FULL STOP}example",
    ]
    whys = [await guess(rt, call(), spelling) for spelling in spellings]
    assert whys == ["wrong_password" if known else "unknown"] * 5 + ["locked"]


async def test_the_change_of_a_password_is_a_door_to_the_same_lock(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    ada = await given.a_person(rt)
    granted = await sign_in(rt, call(), Credentials(ada.email, ada.password))
    person = await person_of(rt, granted)

    async def change(current: str) -> str | None:
        return await why(
            change_password(rt, call(actor=person), person, current, "a new good one", None)
        )

    assert [await change(WRONG) for _ in range(3)] == ["wrong_password"] * 3
    assert [await guess(rt, call(), ada.email) for _ in range(3)] == [
        "wrong_password",
        "wrong_password",
        "locked",
    ]
    assert await change(ada.password) == "locked"
    assert evaluations(rt) == 6


async def test_two_hundred_guesses_at_the_change_of_a_password_buy_five(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    ada = await given.a_person(rt)
    granted = await sign_in(rt, call(), Credentials(ada.email, ada.password))
    person = await person_of(rt, granted)
    tries = (
        change_password(rt, call(actor=person), person, WRONG, "a new good one", None)
        for _ in range(200)
    )
    await asyncio.gather(*tries, return_exceptions=True)
    assert evaluations(rt) == 1 + 5


async def test_guesses_at_every_door_at_once_buy_five_together(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    """Sign-in under every spelling, the change of the password, and an invitation's link."""
    ada = await given.a_person(rt)
    granted = await sign_in(rt, call(), Credentials(ada.email, ada.password))
    person = await person_of(rt, granted)
    owner = await given.a_person(rt, "owner@other.example", slug="other", role="owner")
    entered = await sign_in(rt, call(), Credentials(owner.email, owner.password))
    inviter = await person_of(rt, entered)
    invited = await invite(rt, call(actor=inviter), None, ada.email, "member")
    token = (invited.link or "").partition("#")[2]
    before = evaluations(rt)
    spellings = (ada.email, ada.email.upper(), f" {ada.email} ")

    def at_a_door(number: int) -> Awaitable[object]:
        match number % 5:
            case 3:
                return change_password(
                    rt, call(actor=person), person, WRONG, "a new good one", None
                )
            case 4:
                return accept(rt, call(), token, WRONG, "")
            case n:
                return sign_in(rt, call(), Credentials(spellings[n], WRONG))

    whys = Counter(await asyncio.gather(*(why(at_a_door(n)) for n in range(100))))
    assert evaluations(rt) == before + 5
    assert whys == {"wrong_password": 5, "locked": 95}
    assert (await given.kinds(rt)).count("lockout.started") == 1
    assert await why(accept(rt, call(), token, ada.password, "")) == "locked"
    assert await guess(rt, call(), ada.email, ada.password) == "locked"
