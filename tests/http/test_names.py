"""A name is checked alike at every door that takes one: what cannot be seen is in none."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from service.embedded.checkout import ROOT
from service.flows.clients.create import create_client
from service.flows.organizations.create import create_organization
from service.flows.people.create_user import NewUser, create_user
from service.flows.people.import_users import import_users
from service.flows.shared.new_client import NewClient
from service.kernel.call import Call, Operator
from service.kernel.refusal import Reason, Refused
from service.runtime import Runtime
from tests import given
from tests.http.admin.test_people import signed_in

BODIES: dict[str, dict[str, Any]] = {
    "POST /admin/organizations": {"slug": "another"},
    "PUT /admin/organizations/{tenant_id}": {},
    "POST /admin/clients": {"scopes": ["agentes"]},
    "PATCH /admin/clients/{client_id}": {},
    "POST /api-keys": {"scopes": ["agentes"]},
    "POST /auth/invitations/accept": {"password": "a fine long password"},
}
"""What a name comes with, by door."""

COMMANDS = ("organization create", "client create", "user create", "user import")
NAMES = ("A\u202eb", "\u200b", "A\u00ad", "\u2066", "A\ue000", "A\ufeff")
"""Turned around, of no width, or of no letter that anybody knows."""


@pytest.fixture
async def root(rt: Runtime, client: httpx2.AsyncClient) -> httpx2.AsyncClient:
    told = await signed_in(rt, client, role="owner", platform_admin=True)
    client.tenant_id = told["organization"]["id"]  # type: ignore[attr-defined]
    await given.a_public_client(rt, "app")
    return client


def takes_a_name() -> Iterator[str]:
    document = json.loads((ROOT / "openapi" / "tesserra-auth.json").read_text())
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            content = operation.get("requestBody", {}).get("content", {})
            schema = content.get("application/json", {}).get("schema", {})
            while "$ref" in schema:
                schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
            if "name" in schema.get("properties", {}):
                yield f"{method.upper()} {path}"


def test_every_door_that_takes_a_name_is_here() -> None:
    assert {*takes_a_name()} == {*BODIES}


async def ask(root: httpx2.AsyncClient, door: str, name: str) -> httpx2.Response:
    method, _, path = door.partition(" ")
    body = {**BODIES[door], "name": name}
    if path.startswith("/auth/"):
        made = await root.post("/admin/users", json={"email": "new@acme.example"})
        body["token"] = made.json()["link"].partition("#")[2]
    tenant_id: str = root.tenant_id  # type: ignore[attr-defined]
    return await root.request(method, path.format(tenant_id=tenant_id, client_id="app"), json=body)


@pytest.mark.parametrize("door", BODIES)
async def test_a_name_that_hides_something_is_refused(
    rt: Runtime, root: httpx2.AsyncClient, door: str
) -> None:
    for name in NAMES:
        answer = await ask(root, door, name)
        assert (answer.status_code, answer.json().get("fields")) == (400, ["name"]), ascii(name)
    told = await given.kinds(rt)
    assert {"user.created", "organization.changed", "client.created"}.isdisjoint(told)


@pytest.mark.parametrize("door", BODIES)
async def test_a_name_in_any_script_is_taken(root: httpx2.AsyncClient, door: str) -> None:
    answer = await ask(root, door, "Conceição 東京 & Söhne 🦄")
    assert answer.status_code in (200, 201), answer.text


async def run(rt: Runtime, operator: Call, command: str, name: str) -> None:
    match command:
        case "organization create":
            await create_organization(rt, operator, "another", name)
        case "client create":
            await create_client(rt, operator, NewClient(name=name, scopes=("agentes",)))
        case "user create":
            new = NewUser(email="new@acme.example", name=name, organization="acme")
            await create_user(rt, operator, new, given.PASSWORD)
        case "user import":
            line = {"email": "new@acme.example", "name": name, "organization": "acme"}
            hashed = await rt.passwords.hash(given.PASSWORD)
            lines = [json.dumps({**line, "password_hash": hashed}).encode()]
            (told,) = [one async for one in import_users(rt, operator, lines)]
            if told.error is not None:
                at = told.error.partition(":")[0]
                raise Refused(Reason.INVALID_REQUEST, fields=(at,))


@pytest.mark.parametrize("command", COMMANDS)
async def test_a_command_refuses_the_same_names(
    rt: Runtime, call: Callable[..., Call], command: str
) -> None:
    await given.an_organization(rt)
    operator = call(actor=Operator())
    for name in NAMES:
        with pytest.raises(Refused) as refused:
            await run(rt, operator, command, name)
        told = refused.value.reason, refused.value.fields
        assert told == (Reason.INVALID_REQUEST, ("name",)), ascii(name)
    await run(rt, operator, command, "Conceição 東京 & Söhne 🦄")
