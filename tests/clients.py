"""Services of other people: OAuth clients with a token."""

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx2

from service.flows.clients.create import create_client
from service.flows.shared.new_client import NewClient
from service.kernel.call import Call, Operator
from service.runtime import Runtime


@dataclass(frozen=True)
class Machine:
    """A client, its secret and an access token of its own."""

    http: httpx2.AsyncClient
    client_id: str
    secret: str
    token: str

    async def get(self, path: str, **given: Any) -> httpx2.Response:
        """GET with the service's token."""
        return await self.http.get(path, **self._bearing(given))

    async def post(self, path: str, **given: Any) -> httpx2.Response:
        """POST with the service's token."""
        return await self.http.post(path, **self._bearing(given))

    async def ask(self, path: str, **form: str) -> httpx2.Response:
        """POST a form with client_secret_basic."""
        return await self.http.post(path, data=form, auth=(self.client_id, self.secret))

    async def fresh_token(self) -> str:
        """Fetch a token of this moment."""
        answer = await self.ask("/oauth/token", grant_type="client_credentials")
        token: str = answer.json()["access_token"]
        return token

    def _bearing(self, given: dict[str, Any]) -> dict[str, Any]:
        headers = {**given.pop("headers", {}), "authorization": f"Bearer {self.token}"}
        return {**given, "headers": headers}


async def a_service(
    rt: Runtime, http: httpx2.AsyncClient, *scopes: str, organization: str | None = None
) -> Machine:
    """Create a client by its flow and fetch a token as a client would."""
    call = Call(request_id=uuid4().hex, at=rt.clock.now(), actor=Operator())
    new = NewClient(name="a service", scopes=scopes)
    made = await create_client(rt, call, new, organization)
    client_id, secret = made.client.client_id, made.secret or ""
    answer = await http.post(
        "/oauth/token", data={"grant_type": "client_credentials"}, auth=(client_id, secret)
    )
    assert answer.status_code == 200, answer.text
    return Machine(http, client_id, secret, answer.json()["access_token"])
