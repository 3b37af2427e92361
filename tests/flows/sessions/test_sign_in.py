"""Sign-in: what is answered, what is recorded, and in which organization one arrives."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import bcrypt
import httpx2
import pytest

from service.domain import lockouts
from service.flows.sessions.sign_in import Credentials, sign_in
from service.kernel.call import Call
from service.kernel.refusal import Reason, Refused
from service.runtime import Runtime
from tests import given
from tests.http import asking
from tests.world import ISSUER


async def test_the_answer_is_the_contract_s_and_the_token_is_in_the_cookie_alone(
    rt: Runtime, client: httpx2.AsyncClient
) -> None:
    ada = await given.a_person(rt, role="admin")
    answer = await asking.sign_in(client, ada)
    body = answer.json()
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert set(body) == {
        "access_token",
        "token_type",
        "expires_in",
        "session_id",
        "user",
        "organization",
    }
    assert body["token_type"] == "Bearer"
    assert body["expires_in"] == 900
    assert UUID(body["session_id"]).version == 7
    assert body["user"] == {"id": str(ada.user_id), "email": ada.email, "name": "Ada"}
    assert body["organization"] == {
        "id": str(ada.tenant_id),
        "slug": "acme",
        "name": "Acme",
        "role": "admin",
    }
    assert asking.cookie(answer) not in answer.text


async def test_the_access_token_says_who_where_and_how(
    rt: Runtime, client: httpx2.AsyncClient
) -> None:
    ada = await given.a_person(rt, role="owner", platform_admin=True)
    body = (await asking.sign_in(client, ada)).json()
    claims = rt.tokens.verify(body["access_token"], rt.clock.now())
    assert claims.iss == claims.aud == ISSUER
    assert claims.sub == str(ada.user_id)
    assert claims.sid == body["session_id"]
    assert claims.tenant_id == str(ada.tenant_id)
    assert claims.client_id == "console"
    assert claims.roles == ("owner", "platform_admin")
    assert claims.amr == ("pwd",)
    assert claims.exp - claims.iat == 900
    assert claims.auth_time == claims.iat


async def test_without_an_organization_one_arrives_in_the_oldest_membership(
    rt: Runtime, call: Callable[..., Call], client: httpx2.AsyncClient
) -> None:
    ada = await given.a_person(rt)
    other = await given.an_organization(rt, "other")
    await given.a_membership(rt, ada.user_id, other, "auditor")
    assert (await asking.sign_in(client, ada)).json()["organization"]["slug"] == "acme"
    chosen = (await asking.sign_in(client, ada, organization="other")).json()["organization"]
    assert (chosen["slug"], chosen["role"]) == ("other", "auditor")


@pytest.mark.parametrize("slug", ["foreign", "nowhere"])
async def test_an_organization_one_is_not_in_is_refused_as_a_wrong_password(
    rt: Runtime, client: httpx2.AsyncClient, slug: str
) -> None:
    ada = await given.a_person(rt)
    await given.an_organization(rt, "foreign")
    client.headers["x-request-id"] = "the-same-one"
    wrong = await asking.sign_in(client, ada, "not my password")
    foreign = await asking.sign_in(client, ada, organization=slug)
    assert foreign.status_code == wrong.status_code == 401
    assert foreign.content == wrong.content
    assert [e["detail"]["why"] for e in await given.events(rt, "sign_in.failed")] == [
        "wrong_password",
        "no_membership",
    ]


async def test_a_disabled_organization_is_none(rt: Runtime, client: httpx2.AsyncClient) -> None:
    ada = await given.a_person(rt)
    other = await given.an_organization(rt, "other")
    await given.a_membership(rt, ada.user_id, other, "member")
    async with rt.pg.autocommit() as tx:
        await tx.execute("UPDATE auth_organizations SET disabled_at = now() WHERE slug = 'acme'")
    assert (await asking.sign_in(client, ada, organization="acme")).status_code == 401
    assert (await asking.sign_in(client, ada)).json()["organization"]["slug"] == "other"


async def test_each_outcome_is_one_event_that_says_who_when_and_from_where(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    ada = await given.a_person(rt)
    tried = call(ip="2001:db8::7", user_agent="tried")
    with pytest.raises(Refused):
        await sign_in(rt, tried, Credentials(ada.email, "wrong password"))
    with pytest.raises(Refused):
        await sign_in(rt, call(), Credentials("nobody@acme.example", "wrong password"))
    granted = await sign_in(rt, call(), Credentials(ada.email, ada.password))

    wrong, unknown, right = await given.events(rt)
    assert (wrong["event_type"], wrong["detail"]) == ("sign_in.failed", {"why": "wrong_password"})
    assert (wrong["user_id"], wrong["tenant_id"]) == (ada.user_id, ada.tenant_id)
    assert (str(wrong["ip"]), wrong["user_agent"]) == ("2001:db8::7", "tried")
    assert (wrong["request_id"], wrong["occurred_at"]) == (tried.request_id, tried.at)
    assert (unknown["detail"], unknown["user_id"]) == ({"why": "unknown"}, None)
    assert (right["event_type"], right["session_id"]) == (
        "sign_in.succeeded",
        granted.grantee.session_id,
    )
    assert {wrong["actor_kind"], unknown["actor_kind"], right["actor_kind"]} == {"nobody"}


@pytest.mark.parametrize("variant", [b"2a", b"2b", b"2y"])
async def test_a_bcrypt_hash_opens_once_and_is_argon2id_afterwards(
    rt: Runtime, call: Callable[..., Call], variant: bytes
) -> None:
    password = "ö" * 36 + " and what bcrypt never saw"  # 72 bytes, and a tail
    made = bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4))
    ada = await given.a_person(
        rt, password=password, password_hash=made.replace(b"2b", variant, 1).decode()
    )
    await sign_in(rt, call(), Credentials(ada.email, password))
    async with rt.pg.reading() as tx:
        stored = await tx.fetchval("SELECT password_hash FROM auth_users")
    assert stored.startswith("$argon2id$")
    assert (await given.events(rt))[0]["detail"]["password_rehashed"] is True
    await sign_in(rt, call(), Credentials(ada.email, password))
    with pytest.raises(Refused):
        await sign_in(rt, call(), Credentials(ada.email, "ö" * 36))


async def test_argon2id_of_other_parameters_is_hashed_anew(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    old = rt.passwords._hasher.__class__(time_cost=3, memory_cost=128, parallelism=1)
    ada = await given.a_person(rt, password_hash=old.hash(given.PASSWORD))
    await sign_in(rt, call(), Credentials(ada.email, ada.password))
    async with rt.pg.reading() as tx:
        stored = await tx.fetchval("SELECT password_hash FROM auth_users")
    assert "$m=64,t=1,p=1$" in stored


async def test_two_first_sign_ins_of_a_legacy_account_at_once_both_succeed(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    made = bcrypt.hashpw(given.PASSWORD.encode(), bcrypt.gensalt(6)).decode()
    ada = await given.a_person(rt, password_hash=made)
    tries = (sign_in(rt, call(), Credentials(ada.email, ada.password)) for _ in range(4))
    await asyncio.gather(*tries)
    assert await given.kinds(rt) == ["sign_in.succeeded"] * 4


async def test_a_stored_hash_no_library_verifies_is_a_wrong_password(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    made = bcrypt.hashpw(given.PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    ada = await given.a_person(rt, password_hash=made[:28] + "z" + made[29:])
    with pytest.raises(Refused, match="wrong_password"):
        await sign_in(rt, call(), Credentials(ada.email, ada.password))


async def test_a_password_chosen_while_the_old_one_was_hashed_stops_the_old_one(
    rt: Runtime, call: Callable[..., Call], monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await given.a_person(rt)
    verify = rt.passwords.verify

    async def verify_slowly(on_file: str | None, password: str) -> object:
        verdict = await verify(on_file, password)
        async with rt.pg.autocommit() as tx:
            await tx.execute(
                "UPDATE auth_users SET password_hash = 'x', password_changed_at = now()"
            )
        return verdict

    monkeypatch.setattr(rt.passwords, "verify", verify_slowly)
    with pytest.raises(Refused, match="wrong_password"):
        await sign_in(rt, call(), Credentials(ada.email, ada.password))
    assert await given.live_families(rt) == 0


async def test_a_full_hashing_queue_sheds_and_takes_no_strike(
    rt: Runtime, call: Callable[..., Call], monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await given.a_person(rt)
    monkeypatch.setattr(rt.passwords, "_waiting", 1_000_000)
    for _ in range(8):
        with pytest.raises(Refused) as shed:
            await sign_in(rt, call(), Credentials(ada.email, ada.password))
        assert shed.value.reason is Reason.UNAVAILABLE
        assert shed.value.retry_after
    monkeypatch.setattr(rt.passwords, "_waiting", 0)
    await sign_in(rt, call(), Credentials(ada.email, ada.password))


async def test_an_attempt_shed_after_it_was_reserved_is_given_back(
    rt: Runtime, call: Callable[..., Call], monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await given.a_person(rt)
    reserve = lockouts.reserve_first

    async def reserve_then_fill(*asked: Any) -> bool:
        monkeypatch.setattr(rt.passwords, "_waiting", 1_000_000)
        return await reserve(*asked)

    monkeypatch.setattr(lockouts, "reserve_first", reserve_then_fill)
    for _ in range(8):
        monkeypatch.setattr(rt.passwords, "_waiting", 0)
        with pytest.raises(Refused) as shed:
            await sign_in(rt, call(), Credentials(ada.email, ada.password))
        assert shed.value.reason is Reason.UNAVAILABLE
    monkeypatch.undo()
    await sign_in(rt, call(), Credentials(ada.email, ada.password))


async def test_a_session_ends_for_good_at_its_absolute_end(
    rt: Runtime, call: Callable[..., Call], client: httpx2.AsyncClient
) -> None:
    ada = await given.a_person(rt)
    rt.clock.freeze(rt.clock.now())
    answer = await asking.sign_in(client, ada)
    assert asking.max_age(answer) == rt.policy.tokens.session_absolute_ttl
    rt.clock.advance(timedelta(seconds=911))
    assert await asking.me(client, answer) == 401
