"""A09: whatever we hand out is worth something at its own door alone."""

from collections.abc import Callable

import httpx2

from service.runtime import Runtime
from tests import given
from tests.clients import a_service
from tests.flows.upkeep.trails import seal_all, sign_all
from tests.http import asking
from tests.keys import EXCHANGE, KEY_TYPE, an_owner

Browser = Callable[..., httpx2.AsyncClient]


async def test_each_kind_is_refused_at_the_doors_of_the_others(
    rt: Runtime, browser: Browser
) -> None:
    owner = await an_owner(rt, browser(), platform_admin=True)
    person = browser()
    signed_in = await asking.sign_in(person, await given.a_person(rt, "eve@acme.example"))
    machine = await a_service(rt, browser(), "revocations:read", "api-keys:verify")
    await seal_all(rt)
    await sign_all(rt)
    async with rt.pg.reading() as tx:
        checkpoint = await tx.fetchval("SELECT token FROM auth_event_checkpoints LIMIT 1")
    texts = {
        "access": signed_in.json()["access_token"],
        "refresh": asking.cookie(signed_in),
        "device": asking.cookie(signed_in, asking.DEVICE),
        "key": (await owner.create(scopes=["revocations:read"]))["secret"],
        "machine": machine.token,
        "secret": machine.secret,
        "checkpoint": checkpoint,
    }
    accepted: set[tuple[str, str]] = set()
    for kind, text in texts.items():
        asker = browser()
        bearer = {"authorization": f"Bearer {text}"}
        tried = {
            "me": await asker.get("/auth/me", headers=bearer),
            "refresh": await asking.renew(browser(), text),
            "feed": await asker.get("/revocations?after=0", headers=bearer),
            "exchange": await asker.post(
                "/oauth/token",
                data={
                    "grant_type": EXCHANGE,
                    "subject_token": text,
                    "subject_token_type": KEY_TYPE,
                },
            ),
            "client": await asker.post(
                "/oauth/token",
                data={"grant_type": "client_credentials"},
                auth=(machine.client_id, text),
            ),
        }
        for door, answer in tried.items():
            assert answer.status_code in (200, 400, 401, 403), (kind, door, answer.text)
            if answer.status_code == 200:
                accepted.add((kind, door))
        verdict = await machine.post("/api-keys/verify", json={"key": text})
        assert verdict.status_code == 200
        if verdict.json()["valid"]:
            accepted.add((kind, "verify"))
    assert accepted == {
        ("access", "me"),
        ("refresh", "refresh"),
        ("machine", "feed"),
        ("key", "feed"),
        ("key", "exchange"),
        ("key", "verify"),
        ("secret", "client"),
    }
