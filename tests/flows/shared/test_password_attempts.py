"""Lockout: five guesses and no more, and no stranger locks an owner out."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from uuid import uuid4

import pytest

from service.domain import devices, users
from service.domain.keyring import Usage
from service.flows.account.password import change_password
from service.flows.people.erase_person import erase_person
from service.flows.people.invite import accept, invite
from service.flows.sessions.refresh import refresh
from service.flows.sessions.sign_in import Credentials, sign_in
from service.flows.shared import password_attempts
from service.flows.shared.authenticate import authenticate
from service.flows.shared.issuing import Granted
from service.kernel.call import Call, Operator, Person
from service.kernel.clock import Clock
from service.kernel.ids import DeviceId, UserId
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
    passwords = Counting(clock, CHEAP, floor_kib=CHEAP.memory_kib, margin_seconds=0.0)
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


async def statuses(*acts: Awaitable[object]) -> Counter[str]:
    """Have them all done at once; count how each ends: `in`, or the reason of the refusal."""

    async def one(act: Awaitable[object]) -> str:
        try:
            await act
        except Refused as refused:
            told_when = refused.reason is not Reason.UNAVAILABLE or refused.retry_after
            return refused.reason if told_when else "without Retry-After"
        return "in"

    return Counter(await asyncio.gather(*map(one, acts)))


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
        "Ada@Acme.Example",
        "\tada@ACME.EXAMPLE\n",
        "aDa@acme.example",
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


# --- attempts that are not judged ---


async def test_right_passwords_at_once_are_never_told_that_they_are_wrong(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    ada = await given.a_person(rt)
    form = Credentials(ada.email, ada.password)
    told = await statuses(*(sign_in(rt, call(), form) for _ in range(40)))
    assert set(told) <= {"in", Reason.UNAVAILABLE}, told
    assert told["in"] >= 8, told
    assert {event["detail"]["why"] for event in await given.events(rt, "sign_in.failed")} <= {
        "crowded"
    }


@pytest.mark.parametrize("known", [True, False])
async def test_who_finds_the_places_taken_waits_for_them_to_be_judged(
    rt: Runtime, call: Callable[..., Call], *, known: bool
) -> None:
    """The same for an account that is not there; and guesses are no more than five all the same."""
    email = (await given.a_person(rt)).email if known else "nobody@acme.example"
    tries = (sign_in(rt, call(), Credentials(email, WRONG)) for _ in range(40))
    assert await statuses(*tries) == {Reason.BAD_CREDENTIALS: 40}
    whys = Counter(event["detail"]["why"] for event in await given.events(rt, "sign_in.failed"))
    assert whys == {"wrong_password" if known else "unknown": 5, "locked": 35}


async def abandon(
    rt: Runtime, email: str, number: int, device: str | None = None
) -> list[password_attempts.Attempt]:
    """Reserve attempts that nobody will judge: their workers are killed."""
    return [
        await password_attempts.reserve_by_email(rt, users.login_name(email), device)
        for _ in range(number)
    ]


@pytest.mark.parametrize("known", [True, False])
async def test_places_that_are_not_judged_in_time_are_told_as_503_and_count_for_nothing(
    rt: Runtime, call: Callable[..., Call], *, known: bool
) -> None:
    ada = await given.a_person(rt)
    email = ada.email if known else "nobody@acme.example"
    rt.clock.freeze(rt.clock.now())
    await abandon(rt, email, 5)
    with pytest.raises(Refused) as caught:
        await sign_in(rt, call(), Credentials(email, ada.password))
    assert (caught.value.reason, caught.value.retry_after) == (Reason.UNAVAILABLE, 2)
    (failed,) = await given.events(rt, "sign_in.failed")
    assert failed["detail"] == {"why": "crowded"}
    assert failed["user_id"] == (ada.user_id if known else None)
    rt.clock.advance(timedelta(seconds=16))
    if known:
        assert await guess(rt, call(), email, ada.password) == "in"
    whys = [await guess(rt, call(), email) for _ in range(6)]
    assert whys == ["wrong_password" if known else "unknown"] * 5 + ["locked"]


async def test_a_crowd_at_the_change_of_a_password_has_an_event_of_its_own(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    ada = await given.a_person(rt)
    granted = await sign_in(rt, call(), Credentials(ada.email, ada.password))
    person = await person_of(rt, granted)
    await abandon(rt, ada.email, 5)
    change = change_password(rt, call(actor=person), person, ada.password, "a new good one", None)
    assert await statuses(change) == {Reason.UNAVAILABLE: 1}
    (failed,) = await given.events(rt, "password.change_failed")
    assert failed["detail"] == {"why": "crowded"}


@pytest.mark.parametrize("right", [True, False])
async def test_a_verdict_that_comes_too_late_is_told_to_nobody(
    rt: Runtime, call: Callable[..., Call], *, right: bool
) -> None:
    """Else whoever makes attempts slow has more of them judged than five."""
    ada = await given.a_person(rt)
    rt.clock.freeze(rt.clock.now())
    slow = await abandon(rt, ada.email, 5)
    rt.clock.advance(timedelta(seconds=16))
    await abandon(rt, ada.email, 5)

    async def settle(attempt: password_attempts.Attempt, verdict: Verdict) -> None:
        assert verdict.ok == right
        async with rt.pg.decision() as tx:
            account = await password_attempts.hold(tx, attempt)
            await password_attempts.judge(rt, call(), tx, attempt, account, verdict, None)

    password = ada.password if right else WRONG
    late = (password_attempts.decide(rt, one, password, settle) for one in slow)
    assert await statuses(*late) == {Reason.UNAVAILABLE: 5}
    assert await given.events(rt, "lockout.started") == []


# As PostgreSQL says that its disk is full (SQLSTATE 53100), and what a failed check is: no LOST.
_OUTAGES = {
    "no more events": ("auth_eventos", "53100"),
    "no more sessions": ("auth_sessions", "53100"),
    "an event that is refused": ("auth_eventos", "23514"),
}


@pytest.mark.parametrize("outage", _OUTAGES)
async def test_what_an_outage_left_undecided_counts_for_nothing(
    rt: Runtime, call: Callable[..., Call], outage: str
) -> None:
    ada = await given.a_person(rt)
    table, state = _OUTAGES[outage]
    async with given.refusing_rows(rt, table, state):
        for _ in range(7):
            with pytest.raises(Exception, match=r".") as caught:
                await sign_in(rt, call(), Credentials(ada.email, ada.password))
            refused = caught.value
            assert not isinstance(refused, Refused) or refused.reason is Reason.UNAVAILABLE
        if table == "auth_eventos":
            with pytest.raises(Exception, match=r"."):
                await sign_in(rt, call(), Credentials(ada.email, WRONG))
    assert await guess(rt, call(), ada.email, ada.password) == "in"
    assert await given.events(rt, "sign_in.failed", "lockout.started") == []
    assert [await guess(rt, call(), ada.email) for _ in range(6)] == ["wrong_password"] * 5 + [
        "locked"
    ]


async def test_who_hangs_up_while_the_password_is_hashed_has_not_failed(
    rt: Runtime, call: Callable[..., Call], monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await given.a_person(rt)
    rt.clock.freeze(rt.clock.now())
    began = asyncio.Event()

    async def never(_on_file: str | None, _password: str) -> Verdict:
        began.set()
        await asyncio.Event().wait()
        raise AssertionError

    with monkeypatch.context() as patch:
        patch.setattr(rt.passwords, "verify", never)
        for _ in range(5):
            began.clear()
            task = asyncio.create_task(guess(rt, call(), ada.email))
            await began.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    rt.clock.advance(timedelta(seconds=16))
    assert await guess(rt, call(), ada.email, ada.password) == "in"


async def test_a_right_password_of_a_disabled_account_is_no_failure(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    ada = await given.a_person(rt)
    await given.set_user(rt, ada.user_id, disabled_at=rt.clock.now())
    assert [await guess(rt, call(), ada.email, ada.password) for _ in range(6)] == ["disabled"] * 6
    await given.set_user(rt, ada.user_id, disabled_at=None)
    assert await guess(rt, call(), ada.email, ada.password) == "in"


async def erase_meanwhile(rt: Runtime, call: Callable[..., Call], user_id: UserId) -> None:
    await erase_person(rt, call(actor=Operator(), ip=None, user_agent=""), user_id)


@pytest.mark.parametrize("door", ["sign-in", "change", "accept", "locked"])
@pytest.mark.parametrize("password", [given.PASSWORD, WRONG])
async def test_nothing_is_recorded_of_who_is_erased_while_the_password_is_hashed(
    rt: Runtime,
    call: Callable[..., Call],
    monkeypatch: pytest.MonkeyPatch,
    door: str,
    password: str,
) -> None:
    ada = await given.a_person(rt)
    granted = await sign_in(rt, call(), Credentials(ada.email, ada.password))
    person = await person_of(rt, granted)
    owner = await given.a_person(rt, "owner@other.example", slug="other", role="owner")
    entered = await sign_in(rt, call(), Credentials(owner.email, owner.password))
    inviter = await person_of(rt, entered)
    invited = await invite(rt, call(actor=inviter), None, ada.email, "member")
    token = (invited.link or "").partition("#")[2]
    if door == "locked":
        await lock(rt, call, ada)
    verify = rt.passwords.verify

    async def erased(on_file: str | None, word: str) -> Verdict:
        verdict = await verify(on_file, word)
        await erase_meanwhile(rt, call, ada.user_id)
        return verdict

    theirs = {"ip": "198.51.100.77", "user_agent": "their own"}
    with monkeypatch.context() as patch:
        patch.setattr(rt.passwords, "verify", erased)
        match door:
            case "change":
                act: Awaitable[object] = change_password(
                    rt, call(actor=person, **theirs), person, password, "a new good one", None
                )
            case "accept":
                act = accept(rt, call(**theirs), token, password, "")
            case _:
                act = sign_in(rt, call(**theirs), Credentials(ada.email, password))
        assert await statuses(act) == {Reason.UNAVAILABLE: 1}
    async with rt.pg.reading() as tx:
        left = await tx.fetch(
            "SELECT event_type FROM auth_eventos WHERE host(ip) = $1 OR user_agent = $2"
            " OR (user_id = $3 AND (ip IS NOT NULL OR user_agent <> ''))",
            *theirs.values(),
            ada.user_id,
        )
        assert left == []
        assert not await tx.fetchval(
            "SELECT count(*) FROM auth_lockouts WHERE subject_id = $1", ada.user_id
        )
    assert (await given.kinds(rt))[-1] == "user.erased"
