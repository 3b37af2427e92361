"""Unknown, wrong, locked, disabled, legacy and homeless accounts: one answer, in one time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import bcrypt
import httpx2
import pytest

from service.flows.upkeep.tend import learn_schemes
from service.kernel.clock import Clock
from service.kernel.passwords import HashParameters, Passwords
from service.policy import Lockout, Policy
from service.runtime import Runtime, open_runtime
from service.settings import Settings
from tests import given
from tests.world import UNLIMITED, empty_tables

LEGACY_COST = 10
ROUNDS = 5
APART = 0.05
"""Seconds within which the quickest answer of each is there, on a busy machine too."""


@pytest.fixture
def policy() -> Policy:
    return Policy(limits=UNLIMITED, lockout=Lockout(failures=100))


@pytest.fixture
async def rt(settings: Settings, policy: Policy) -> AsyncIterator[Runtime]:
    """A runtime that hashes as a deployment does."""
    await empty_tables(settings)
    clock = Clock()
    passwords = Passwords(clock, HashParameters(), queue_seconds=60.0)
    async with open_runtime(settings, clock=clock, policy=policy, passwords=passwords) as rt:
        yield rt


@pytest.fixture
async def forms(rt: Runtime) -> dict[str, dict[str, str]]:
    """Return what is sent for each kind of account; none of it signs in."""
    good = await rt.passwords.hash(given.PASSWORD)
    legacy = bcrypt.hashpw(given.PASSWORD.encode(), bcrypt.gensalt(LEGACY_COST)).decode()
    names = ("wrong", "locked", "locked-right", "disabled", "disabled-right", "homeless")
    people = {
        name: await given.a_person(rt, f"{name}@acme.example", password_hash=good) for name in names
    }
    await given.a_person(rt, "legacy@acme.example", password_hash=legacy)
    nothing = await given.a_person(rt, "no-password@acme.example", password_hash=good)
    async with rt.pg.autocommit() as tx:
        await tx.execute(
            "INSERT INTO auth_lockouts (subject_id, device_id, locked_until, touched_at)"
            " SELECT user_id, '00000000-0000-0000-0000-000000000000', $1, $2 FROM auth_users"
            "  WHERE email LIKE 'locked%'",
            rt.clock.now() + timedelta(minutes=15),
            rt.clock.now(),
        )
        await tx.execute("UPDATE auth_users SET disabled_at = now() WHERE email LIKE 'disabled%'")
        await tx.execute(
            "DELETE FROM auth_memberships WHERE user_id = $1", people["homeless"].user_id
        )
        await tx.execute(
            "UPDATE auth_users SET password_hash = NULL WHERE user_id = $1", nothing.user_id
        )
    await learn_schemes(rt)
    right = {"locked-right", "disabled-right", "homeless"}
    return {
        name: {
            "email": f"{name}@acme.example",
            "password": given.PASSWORD if name in right else "a wrong password",
        }
        for name in (*names, "legacy", "no-password", "unknown")
    }


async def test_no_account_is_told_from_another_by_the_bytes_of_the_answer(
    forms: dict[str, dict[str, str]], browser: Callable[..., httpx2.AsyncClient]
) -> None:
    client = browser()

    async def answer(form: dict[str, str]) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        got = await client.post(
            "/auth/login", json=form, headers={"x-request-id": "the-same-for-all"}
        )
        return got.status_code, list(got.headers.raw), got.content

    answers = {name: await answer(form) for name, form in forms.items()}
    assert answers["unknown"][0] == 401
    for name, got in answers.items():
        assert got == answers["unknown"], name
    assert len({await _why(forms, client)}) == 1


async def _why(forms: dict[str, dict[str, str]], client: httpx2.AsyncClient) -> bytes:
    """Ask with the organization named, too."""
    asked = (
        client.post(
            "/auth/login",
            json={**form, "organization": "acme"},
            headers={"x-request-id": "the-same-for-all"},
        )
        for form in forms.values()
    )
    (told,) = {got.content for got in await asyncio.gather(*asked)}
    return told


async def test_no_account_is_told_from_another_by_the_time_of_the_answer(
    forms: dict[str, dict[str, str]],
    browser: Callable[..., httpx2.AsyncClient],
    rt: Runtime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each ends at a whole number of steps after it began, whichever account it is about."""
    client = browser()
    late: dict[str, list[float]] = {name: [] for name in forms}
    told: list[tuple[float, float]] = []
    tell_at = rt.passwords.tell_at

    def tell(began: float, hashed_from: float) -> float:
        told.append((began, tell_at(began, hashed_from)))
        return told[-1][1]

    monkeypatch.setattr(rt.passwords, "tell_at", tell)
    for round_ in range(ROUNDS):
        names = list(forms) if round_ % 2 else list(reversed(forms))
        for name in names:
            asked = rt.clock.monotonic()
            assert (await client.post("/auth/login", json=forms[name])).status_code == 401
            began, moment = told[-1]
            steps = (moment - began) / rt.passwords.step()
            assert asked < began
            assert abs(steps - round(steps)) < 1e-6
            late[name].append(rt.clock.monotonic() - moment)
    assert len(told) == ROUNDS * len(forms)
    # Nothing that takes the time of a hash comes after that moment; none is told before it.
    assert min(min(times) for times in late.values()) >= 0
    quickest = {name: min(times) for name, times in late.items()}
    assert max(quickest.values()) < APART, quickest
