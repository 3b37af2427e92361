"""A refusal says what to do: of every member, parameter and header, and of all of them at once."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import msgspec
import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute

from service.embedded.checkout import ROOT
from service.http.edge import Edge
from service.http.validation import Expected, path_parameters, query_parameters
from service.runtime import Runtime
from tests.attacks.test_hostile_bytes import filled
from tests.http.admin.test_people import signed_in
from tests.keys import an_owner

Browser = Callable[..., httpx2.AsyncClient]
DOCUMENT = json.loads((ROOT / "openapi" / "tesserra-auth.json").read_text())
CANARY = "canary 7f3e \u0007"
"""What no member and no parameter may be."""


@pytest.fixture
async def root(rt: Runtime, client: httpx2.AsyncClient) -> httpx2.AsyncClient:
    await signed_in(rt, client, email="root@acme.example", role="owner", platform_admin=True)
    return client


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, there in DOCUMENT["paths"].items():
        for method, operation in there.items():
            yield method.upper(), path, operation


def told(answer: httpx2.Response) -> dict[str, str]:
    """Return what is said of each member, parameter or header."""
    return {
        one.get("pointer") or one.get("parameter") or one.get("header", ""): one["detail"]
        for one in answer.json()["errors"]
    }


async def test_a_role_and_an_expiry_that_are_none_are_told_what_they_must_be(
    root: httpx2.AsyncClient,
) -> None:
    """As strangers saw it: `a member of the body is not what it must be`."""
    role = await root.post("/admin/users", json={"email": "a@b.example", "role": "boss"})
    assert told(role) == {"#/role": "must be one of: admin, auditor, member, owner"}
    assert role.json()["detail"] == "role must be one of: admin, auditor, member, owner"
    body = {"name": "k", "scopes": ["agentes"], "expires_at": "tomorrow"}
    expiry = await root.post("/api-keys", json=body)
    assert "RFC 3339" in told(expiry)["#/expires_at"]
    assert "2030-01-31T12:00:00Z" in expiry.json()["detail"]


async def test_every_member_of_every_body_is_told_of_at_once(
    root: httpx2.AsyncClient, app: Edge
) -> None:
    tried = 0
    assert isinstance(app.app, Litestar)
    for route in app.app.routes:
        assert isinstance(route, HTTPRoute)
        for handler in route.route_handlers:
            expected = Expected.of(handler)
            (method, *_) = handler.http_methods
            if expected is None or "login" in route.path or "refresh" in route.path:
                continue  # those who come in otherwise than with a token: below
            form = getattr(expected.form, "__origin__", expected.form)
            names = [field.encode_name for field in msgspec.structs.fields(form)]
            body = {name: {CANARY: CANARY} for name in names}
            answer = await root.request(str(method), filled(route.path_format), json=body)
            assert answer.status_code == 400, (route.path, answer.text)
            found = told(answer)
            assert {pointer.split("/")[1] for pointer in found} == set(names), route.path
            said = (
                "must be ",
                "is missing: it must be ",
                "is not known; known are",
                "has a member that is not known; known are",
            )
            assert all(detail.startswith(said) for detail in found.values())
            assert {*answer.json()["fields"]} == set(names)
            assert "canary" not in answer.text
            tried += 1
    assert tried >= 12


async def test_who_signs_in_is_told_as_well(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/auth/login", json={"email": 5, "organization": "A B"})
    assert told(answer).keys() == {"#/email", "#/password", "#/organization"}
    assert "slug" in told(answer)["#/organization"]


async def test_every_parameter_of_every_query_is_told_of_at_once(
    root: httpx2.AsyncClient,
) -> None:
    tried = 0
    for method, path, operation in operations():
        names = [one["name"] for one in operation["parameters"] if one["in"] == "query"]
        if not names:
            continue
        where = re.sub(r"\{\w+\}", "1", path) if "version" in path else filled(path)
        answer = await root.request(method, where, params=dict.fromkeys(names, CANARY))
        assert answer.status_code == 400, (method, path, answer.text)
        found = {one.get("parameter"): one["detail"] for one in answer.json()["errors"]}
        assert found.keys() >= {*names}, (method, path)
        assert all(found[name].startswith("must be ") for name in names)
        assert "canary" not in answer.text
        tried += len(names)
    assert tried > 40


async def test_a_filter_by_a_type_of_event_that_does_not_exist_names_those_that_do(
    root: httpx2.AsyncClient,
) -> None:
    for answer in (
        await root.get("/admin/audit-events?type=nosuch"),
        await root.get("/admin/audit-events?type=Event"),
        await root.post("/admin/audit-events/exports", json={"type": "nosuch"}),
    ):
        assert answer.status_code == 400
        assert answer.json()["fields"] == ["type"]
        (detail,) = told(answer).values()
        assert "sign_in.failed" in detail
        assert "nosuch" not in answer.text
    assert (await root.get("/admin/audit-events?type=sign_in.succeeded")).json()["items"]


async def test_what_only_the_flow_knows_is_told_at_once_too(root: httpx2.AsyncClient) -> None:
    body = {
        "name": "k",
        "scopes": ["nosuch"],
        "expires_at": "2001-01-01T00:00:00Z",
        "addresses": ["10.0.0.1/8"],
    }
    key = await root.post("/api-keys", json=body)
    assert key.status_code == 400
    assert told(key).keys() == {"#/scopes", "#/expires_at", "#/addresses"}
    assert told(key)["#/scopes"].startswith("must be one or more, and only of: agentes, ")
    service = {"name": "s", "scopes": ["nosuch"], "jwks": {"keys": [{"kty": "oct"}]}}
    made = await root.post("/admin/clients", json=service)
    assert told(made).keys() == {"#/scopes", "#/jwks"}


async def test_lifetimes_are_told_by_name_and_bounds(root: httpx2.AsyncClient) -> None:
    there = (await root.get("/auth/me")).json()["organization"]["id"]
    policy = {"access_token_ttl": 1, "refresh_grace": 31, "algorithm": True, "nosuch": 1}
    answer = await root.put(f"/admin/organizations/{there}", json={"policy": policy})
    assert answer.status_code == 400
    assert answer.json()["fields"][0] == "policy"
    found = told(answer)
    assert found["#/policy/access_token_ttl"] == "must be a whole number from 60 to 3600"
    assert found["#/policy/refresh_grace"] == "must be a whole number from 0 to 30"
    for unknown in "algorithm", "nosuch":
        assert found[f"#/policy/{unknown}"].startswith("is not known; known are: access_token_ttl,")
    assert found.keys() == {f"#/policy/{name}" for name in policy}


async def test_an_unknown_member_is_pointed_at(root: httpx2.AsyncClient) -> None:
    """Also one that is called as a parameter of the path is; one of odd letters is not repeated."""
    there = (await root.get("/auth/me")).json()["organization"]["id"]
    body = {"tenant_id": "x", "nmae": "y", CANARY: "z"}
    answer = await root.put(f"/admin/organizations/{there}", json=body)
    assert answer.status_code == 400
    assert answer.json()["fields"] == ["tenant_id", "nmae"]
    pointers = {one.get("pointer") for one in answer.json()["errors"]}
    assert pointers == {"#", "#/tenant_id", "#/nmae"}
    assert "canary" not in answer.text


@pytest.mark.parametrize(
    ("path", "status", "name"),
    [
        ("/admin/users/me", 404, "user_id"),
        ("/api-keys/1", 404, "key_id"),
        ("/admin/secrets/No%20Name", 400, "name"),
        ("/admin/secrets/db/versions", 404, ""),
    ],
)
async def test_a_path_is_told_of_like_the_rest(
    root: httpx2.AsyncClient, path: str, status: int, name: str
) -> None:
    answer = await root.get(path)
    assert answer.status_code == status
    found = [one["parameter"] for one in answer.json().get("errors", ())]
    assert found == ([name] if name else [])


async def test_a_body_that_is_not_json_is_told_why(root: httpx2.AsyncClient) -> None:
    for content, why in (
        (b"{", "a JSON body in UTF-8 is expected"),
        (b'{"role": "\xff"}', "a JSON body in UTF-8 is expected"),
        (b'{"email": "a@b.c", "email": "a@b.c"}', "a member of the body is there twice"),
        (b"[" * 30_000, ""),
        (b'{"email":' * 5_000 + b"1" + b"}" * 5_000, ""),
    ):
        answer = await root.post(
            "/admin/users", content=content, headers={"content-type": "application/json"}
        )
        assert answer.status_code == 400
        assert answer.json()["detail"].startswith(why)


async def test_a_header_is_told_of_as_one(rt: Runtime, browser: Browser) -> None:
    owner = await an_owner(rt, browser())
    answer = await owner.ask("POST", "/api-keys", headers={"idempotency-key": "\x7f"}, json={})
    assert [one["header"] for one in answer.json()["errors"]] == ["idempotency-key"]


async def test_no_parameter_and_member_of_a_route_share_a_name(app: Edge) -> None:
    """A refusal that a flow makes names either by its name alone."""
    assert isinstance(app.app, Litestar)
    for route in app.app.routes:
        assert isinstance(route, HTTPRoute)
        for handler in route.route_handlers:
            expected = Expected.of(handler)
            if expected is not None:
                form = getattr(expected.form, "__origin__", expected.form)
                members = {field.encode_name for field in msgspec.structs.fields(form)}
                taken = (*query_parameters(handler), *path_parameters(handler))
                assert not members & {one.name for one in taken}, route.path
