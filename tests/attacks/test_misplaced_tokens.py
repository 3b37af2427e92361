"""A09: whatever we hand out is worth something at its own door alone."""

from collections.abc import Callable

import httpx2

from service.runtime import Runtime
from tests import given
from tests.clients import a_service
from tests.flows.upkeep.trails import seal_all, sign_all
from tests.http import asking
from tests.keys import EXCHANGE, KEY_TYPE, an_owner, exchange

Browser = Callable[..., httpx2.AsyncClient]
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


async def test_each_kind_is_refused_at_the_doors_of_the_others(
    rt: Runtime, browser: Browser
) -> None:
    owner = await an_owner(rt, browser(), platform_admin=True)
    person = browser()
    eve = await given.a_person(rt, "eve@acme.example")
    signed_in = await asking.sign_in(person, eve)
    machine = await a_service(rt, browser(), "revocations:read", "api-keys:verify")
    invited = await owner.ask("POST", "/admin/users", json={"email": "new@acme.example"})
    key = (await owner.create(scopes=["revocations:read"]))["secret"]
    listed = await owner.ask("GET", "/admin/users?limit=1")
    await seal_all(rt)
    await sign_all(rt)
    async with rt.pg.reading() as tx:
        checkpoint = await tx.fetchval("SELECT token FROM auth_event_checkpoints LIMIT 1")
    texts = {
        "access": signed_in.json()["access_token"],
        "device": asking.cookie(signed_in, asking.DEVICE),
        "key": key,
        "exchanged": (await exchange(browser(), key)).json()["access_token"],
        "machine": machine.token,
        "secret": machine.secret,
        "checkpoint": checkpoint,
        "cursor": listed.json()["next_cursor"],
        "invitation": invited.json()["link"].partition("#")[2],
        "refresh": asking.cookie(signed_in),
    }
    accepted: set[tuple[str, str]] = set()
    for kind, text in texts.items():
        asker = browser()
        bearer = {"authorization": f"Bearer {text}"}
        if kind == "refresh":  # at two doors: each is shown the one that is good by then
            renewed = await asker.post("/oauth/token", data=_grant(text))
            assert renewed.status_code == 200
            accepted.add((kind, "form"))
            text = renewed.json()["refresh_token"]  # noqa: PLW2901
        tried = {
            "me": await asker.get("/auth/me", headers=bearer),
            "refresh": await asking.renew(browser(), text),
            "feed": await asker.get("/revocations?after=0", headers=bearer),
            "list": await asker.get("/admin/users", params={"cursor": text}, headers=bearer),
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
            "assertion": await asker.post(
                "/oauth/token",
                data={
                    "grant_type": "client_credentials",
                    "client_id": machine.client_id,
                    "client_assertion": text,
                    "client_assertion_type": ASSERTION,
                },
            ),
        }
        if kind != "refresh":
            tried["form"] = await asker.post("/oauth/token", data=_grant(text))
        if kind != "invitation":
            form = {"token": text[:100], "password": "a fine long password"}
            tried["invitation"] = await asker.post("/auth/invitations/accept", json=form)
        for door, answer in tried.items():
            assert answer.status_code in (200, 400, 401, 403), (kind, door, answer.text)
            assert text not in answer.text or answer.status_code == 200, (kind, door)
            if answer.status_code == 200:
                accepted.add((kind, door))
        verdict = await machine.post("/api-keys/verify", json={"key": text})
        assert verdict.status_code == 200
        if verdict.json()["valid"]:
            accepted.add((kind, "verify"))
        told = await machine.ask("/oauth/introspect", token=text)
        if told.json()["active"]:
            accepted.add((kind, "introspection"))
    assert accepted == {
        ("access", "me"),
        ("access", "introspection"),
        ("refresh", "form"),
        ("refresh", "refresh"),
        ("machine", "feed"),
        ("machine", "introspection"),
        ("key", "feed"),
        ("key", "exchange"),
        ("key", "verify"),
        ("key", "introspection"),
        ("exchanged", "feed"),
        ("exchanged", "introspection"),
        ("secret", "client"),
    }
    # None of it was burned, ended or used up by being shown where it is nothing.
    assert await given.live_families(rt, eve.user_id) == 1
    assert "family.burned" not in await given.kinds(rt)
    form = {"token": texts["invitation"], "password": "a fine long password"}
    assert (await browser().post("/auth/invitations/accept", json=form)).status_code == 200


async def test_a_refresh_token_makes_no_device_known(rt: Runtime, browser: Browser) -> None:
    """Else whoever has one would have guesses of their own at the password."""
    ada = await given.a_person(rt)
    token = asking.cookie(await asking.sign_in(browser(), ada))
    for text in (token, token.split(".")[0], token.split(".")[2]):
        form = {"email": ada.email, "password": "not the password"}
        headers = {"cookie": f"{asking.DEVICE}={text}"}
        await browser().post("/auth/login", json=form, headers=headers)
    async with rt.pg.reading() as tx:
        devices = await tx.fetch("SELECT DISTINCT device_id FROM auth_lockouts")
    assert [row["device_id"].int for row in devices] == [0]


def _grant(text: str) -> dict[str, str]:
    return {"grant_type": "refresh_token", "refresh_token": text, "client_id": "console"}
