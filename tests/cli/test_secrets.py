"""`secret recipient` and `key`: what they change they say; what they cannot is one line."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from tests.processes import Running, service


@pytest.fixture(scope="module")
async def running() -> AsyncIterator[Running]:
    async with service() as running:
        yield running


async def cli(running: Running, *arguments: str) -> tuple[int, str, str]:
    done = await asyncio.to_thread(running.cli, *arguments)
    return done.returncode, done.stdout, done.stderr


async def test_a_recipient_is_created_listed_without_its_key_and_deleted(running: Running) -> None:
    code, out, _ = await cli(running, "secret", "recipient", "create", "billing", "--json")
    made = json.loads(out)
    assert code == 0
    assert all(made[name] for name in ("recipient", "client_id", "client_secret", "key"))
    code, listed, _ = await cli(running, "secret", "recipient", "list", "--json")
    assert [one["name"] for one in json.loads(listed)["items"]] == ["billing"]
    assert made["key"] not in listed
    assert made["client_secret"] not in listed
    code, _, error = await cli(running, "secret", "recipient", "create", "billing")
    assert (code, len(error.splitlines())) == (1, 1)
    code, out, _ = await cli(running, "secret", "recipient", "delete", "billing")
    assert (code, out) == (0, "recipient billing deleted\n")
    code, _, error = await cli(running, "secret", "recipient", "delete", "billing")
    assert (code, "no such recipient" in error) == (1, True)
    code, out, _ = await cli(
        running, "secret", "recipient", "create", "bills", "--client", made["client_id"], "--json"
    )
    again = json.loads(out)
    assert (again["client_id"], again["client_secret"]) == (made["client_id"], None)
    assert again["key"] != made["key"]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("create", "UPPER"), 2, "1 to 64 characters"),
        (("create", "mail", "--client", "svc_unknown"), 1, "no such client"),
    ],
)
async def test_what_cannot_be_a_recipient_is_refused_in_one_line(
    running: Running, arguments: tuple[str, ...], status: int, said: str
) -> None:
    code, out, error = await cli(running, "secret", "recipient", *arguments)
    assert (code, out, len(error.splitlines())) == (status, "", 1)
    assert said in error


async def test_a_client_without_the_scope_cannot_be_a_recipient(running: Running) -> None:
    _, out, _ = await cli(
        running, "client", "create", "--name", "n", "--scope", "agentes", "--json"
    )
    client_id = json.loads(out)["client_id"]
    code, _, error = await cli(
        running, "secret", "recipient", "create", "other", "--client", client_id
    )
    assert (code, "secrets:sealed" in error) == (2, True)


async def test_keys_are_rotated_listed_and_killed(running: Running) -> None:
    code, out, _ = await cli(running, "key", "rotate")
    assert (code, "it signs from" in out) == (0, True)
    code, _, error = await cli(running, "key", "rotate")
    assert (code, "published already" in error) == (1, True)
    _, out, _ = await cli(running, "key", "list", "--json")
    states = {one["state"]: one["kid"] for one in json.loads(out)["items"]}
    assert states.keys() == {"pending", "active"}
    code, out, _ = await cli(running, "key", "kill", states["pending"], "--json")
    told = json.loads(out)
    assert (code, told["state"], told["successor"]) == (0, "pending", None)
    code, _, error = await cli(running, "key", "kill", "nothing")
    assert (code, "no such key" in error) == (1, True)
