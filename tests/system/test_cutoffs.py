"""Two workers: what one of them issues right after the other has cut off is good at both.

The second may not have heard of it yet: what it reads to issue a token brings the cutoff along.
"""

import asyncio
from itertools import chain
from typing import Any

import httpx2

from tests import given
from tests.clients import a_service
from tests.keys import exchange
from tests.processes import service
from tests.system.visitors import UNLIMITED, inside, one_connection_each

PEOPLE = 4


async def test_what_another_worker_issues_right_after_a_cutoff_is_good() -> None:
    async with (
        service(workers=2, policy=UNLIMITED) as running,
        inside(running) as rt,
        one_connection_each(running) as workers,
    ):
        root = await given.a_person(rt, "root@top.example", slug="top", platform_admin=True)
        admin = await _sign_in(workers[0], root)
        people = [await given.a_person(rt, f"{n}@acme.example") for n in range(PEOPLE)]
        signed = [await _sign_in(workers[1], one) for one in people]
        made = {"name": "k", "scopes": ["agentes"]}
        keys = [
            (await workers[1].post("/api-keys", json=made, headers=_bearing(one))).json()["secret"]
            for one in signed
        ]
        for key in keys:
            assert (await exchange(workers[1], key)).status_code == 200

        async def one(n: int) -> list[str]:
            """Cut a person off on the first worker; return what the second issues at once."""
            who, there = people[n].user_id, people[n].tenant_id
            url = f"/admin/users/{who}/role?tenant_id={there}"
            body = {"role": "admin"}
            assert (
                await workers[0].put(url, json=body, headers=_bearing(admin))
            ).status_code == 200
            async with httpx2.AsyncClient(base_url=running.url) as http:
                answers = await asyncio.gather(
                    _refresh(workers[1], signed[n]["refresh"]),
                    exchange(workers[1], keys[n]),
                    _login(http, people[n]),
                )
            assert [answer.status_code for answer in answers] == [200] * 3
            return [answer.json()["access_token"] for answer in answers]

        issued = await asyncio.gather(*(one(n) for n in range(PEOPLE)))
        await asyncio.sleep(0.6)  # by now both have heard of every cutoff there was
        for worker in workers:
            checker = await a_service(rt, worker, "revocations:read")
            for token in chain.from_iterable(issued):
                told = given.claims(token)
                assert told.get("roles", ["admin"]) == ["admin"]
                answer = await checker.ask("/oauth/introspect", token=token)
                assert answer.json()["active"], told


async def _login(http: httpx2.AsyncClient, person: given.Given) -> httpx2.Response:
    return await http.post("/auth/login", json={"email": person.email, "password": person.password})


async def _sign_in(http: httpx2.AsyncClient, person: given.Given) -> dict[str, str]:
    answer = await _login(http, person)
    cookie = answer.cookies["__Host-refresh"]
    http.cookies.clear()
    return {"authorization": f"Bearer {answer.json()['access_token']}", "refresh": cookie}


def _bearing(one: dict[str, str]) -> dict[str, str]:
    return {"authorization": one["authorization"]}


async def _refresh(http: httpx2.AsyncClient, token: str) -> httpx2.Response:
    form: dict[str, Any] = {
        "grant_type": "refresh_token",
        "refresh_token": token,
        "client_id": "console",
    }
    return await http.post("/oauth/token", data=form)
