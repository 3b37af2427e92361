"""Workers die while things are made; who asks again under the same Idempotency-Key has one each."""

import asyncio
import contextlib
import os
import random
import signal
from uuid import uuid4

import httpx2

from tests import given
from tests.processes import service
from tests.system.visitors import UNLIMITED, connection, inside, until

MADE, LANES, KILLS = 240, 6, 6


async def test_what_is_asked_until_it_is_answered_is_made_once() -> None:
    async with service(workers=2, policy=UNLIMITED) as running, inside(running) as rt:
        owner = await given.a_person(rt, role="owner")
        async with connection(running.url) as client:
            sent = {"email": owner.email, "password": owner.password}
            token = (await client.post("/auth/login", json=sent)).json()["access_token"]
        made: list[str] = []
        again = 0

        async def lane(share: int) -> None:
            nonlocal again
            for n in range(share):
                headers = {"authorization": f"Bearer {token}", "idempotency-key": uuid4().hex}
                body = {"name": f"key {n}", "scopes": ["agentes"]}
                while True:
                    with contextlib.suppress(httpx2.TransportError):
                        async with connection(running.url) as client:
                            answer = await client.post("/api-keys", json=body, headers=headers)
                        if answer.status_code == 201:
                            made.append(answer.json()["id"])
                            break
                        assert answer.status_code in (409, 503), answer.text
                    again += 1
                    await asyncio.sleep(0.02)

        async with asyncio.TaskGroup() as group:
            for _ in range(LANES):
                group.create_task(lane(MADE // LANES))
            for _ in range(KILLS):
                await asyncio.sleep(random.uniform(0.05, 0.3))
                os.kill(random.choice(running.workers()), signal.SIGKILL)
                await until(lambda: len(running.workers()) == 2)
        async with rt.pg.reading() as tx:
            kept = await tx.fetch("SELECT key_id FROM auth_api_keys")
        events = await given.events(rt, "api_key.created")
    assert again  # the kills were felt
    assert len(made) == len(set(made)) == MADE
    assert sorted(str(row["key_id"]) for row in kept) == sorted(made)
    assert sorted(one["detail"]["key_id"] for one in events) == sorted(made)
