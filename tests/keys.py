"""API keys in tests: people with a token, keys by their own wire, and what is said of them."""

from dataclasses import dataclass
from typing import Any

import httpx2

from service.runtime import Runtime
from tests import given
from tests.clients import Machine

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
KEY_TYPE = "urn:tesserra:params:oauth:token-type:api-key"


@dataclass(frozen=True)
class Owner:
    """A signed-in person and how they ask."""

    http: httpx2.AsyncClient
    person: given.Given

    async def create(self, **more: Any) -> dict[str, Any]:
        """Issue a key, with one scope unless told otherwise."""
        answer = await self.ask("POST", "/api-keys", json=body(**more))
        assert answer.status_code == 201, answer.text
        told: dict[str, Any] = answer.json()
        return told

    async def ask(self, method: str, path: str, **more: Any) -> httpx2.Response:
        """Ask as this person."""
        return await self.http.request(method, path, **more)

    async def revoke(self, key: dict[str, Any]) -> None:
        """Revoke a key."""
        answer = await self.ask("POST", f"/api-keys/{key['id']}/revoke")
        assert answer.status_code == 200, answer.text

    async def delete(self, key: dict[str, Any]) -> None:
        """Delete a key."""
        answer = await self.ask("DELETE", f"/api-keys/{key['id']}")
        assert answer.status_code == 204, answer.text


def body(**more: Any) -> dict[str, Any]:
    """Return a body that creates a key."""
    return {"name": "nightly import", "scopes": ["agentes"], **more}


async def an_owner(
    rt: Runtime, http: httpx2.AsyncClient, email: str = "ada@acme.example", **person: Any
) -> Owner:
    """Make an owner of an organization, signed in on `http`."""
    made = await given.a_person(rt, email, **({"role": "owner"} | person))
    answer = await http.post("/auth/login", json={"email": made.email, "password": made.password})
    assert answer.status_code == 200, answer.text
    http.headers["authorization"] = f"Bearer {answer.json()['access_token']}"
    return Owner(http, made)


async def verdict(service: Machine, key: str, **more: str) -> dict[str, Any]:
    """Return what a service is told of a key."""
    answer = await service.post("/api-keys/verify", json={"key": key, **more})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def exchange(http: httpx2.AsyncClient, key: str, **more: str) -> httpx2.Response:
    """Ask for a token for a key."""
    form = {"grant_type": EXCHANGE, "subject_token": key, "subject_token_type": KEY_TYPE}
    return await http.post("/oauth/token", data={**form, **more})


async def use(http: httpx2.AsyncClient, token: str) -> int:
    """Return the status of a route of the service's own for a bearer token."""
    headers = {"authorization": f"Bearer {token}"}
    return (await http.get("/revocations?after=0", headers=headers)).status_code
