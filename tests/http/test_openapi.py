"""openapi/ says what the wires do: credentials, forms, bodies, answers without one."""

import ast
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import httpx2
import pytest
from litestar import Litestar, get
from litestar.di import NamedDependency, Provide

from service.app import openapi_document
from service.embedded.checkout import ROOT
from service.flows.oauth.exchange_api_key import ACCESS_TOKEN, API_KEY, JWT
from service.http.oauth import parameters
from service.http.oauth.endpoints import GRANTS
from service.http.openapi import OPENAPI, finished
from service.http.wellknown import metadata
from service.runtime import Runtime
from tests import given
from tests.architecture.test_strangers import BODIES, OPEN
from tests.clients import a_service
from tests.http.admin.test_logos import png, webp
from tests.http.admin.test_people import signed_in
from tests.keys import an_owner

Browser = Callable[..., httpx2.AsyncClient]
DOCUMENT: dict[str, Any] = json.loads(openapi_document())
FORM = "application/x-www-form-urlencoded"
WIRES = ROOT / "service" / "http" / "oauth"
REFUSED_ALONE = {"actor_token", "actor_token_type"}
"""Asked for to be refused."""
NOT_READ = {"token_type_hint"}
"""Of the standards, and of no use here."""


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, there in DOCUMENT["paths"].items():
        for method, operation in there.items():
            yield method.upper(), path, operation


def forms() -> dict[str, list[dict[str, Any]]]:
    """Return the schemas of each form: one, or one for each grant."""
    found = {}
    for _, path, operation in operations():
        schema = operation.get("requestBody", {}).get("content", {}).get(FORM, {}).get("schema")
        if schema is not None:
            names = [one["$ref"].rpartition("/")[2] for one in schema.get("anyOf", [schema])]
            found[path] = [DOCUMENT["components"]["schemas"][name] for name in names]
    return found


def test_every_operation_says_what_it_wants_to_be_shown() -> None:
    schemes = DOCUMENT["components"]["securitySchemes"].keys()
    used = {
        name for _, _, operation in operations() for one in operation["security"] for name in one
    }
    assert used == schemes


def test_what_wants_nothing_is_what_strangers_may_ask() -> None:
    """As the list of what is open has it; OAuth's forms may carry the credentials themselves."""
    free = {
        f"{method} {path}"
        for method, path, operation in operations()
        if not operation["security"] or {} in operation["security"]
    }
    assert {name for name in free if not name.startswith("POST /oauth/")} == OPEN.keys()
    for method, path, operation in operations():
        if path.startswith("/oauth/"):
            assert operation["security"] == [{"client": []}, {}], (method, path)


def test_a_route_of_which_nobody_says_what_it_wants_is_in_no_document() -> None:
    async def provide_something() -> int:
        return 1

    @get("/new", dependencies={"asked": Provide(provide_something)})
    async def new(asked: NamedDependency[int]) -> int:
        return asked

    app = Litestar([new], openapi_config=OPENAPI)
    with pytest.raises(KeyError):
        finished(app.openapi_schema.to_schema(), app.routes)


async def test_a_key_is_known_where_the_document_says_and_a_stranger_nowhere(
    rt: Runtime, browser: Browser
) -> None:
    """Whoever shows a good key is refused for its scopes, if at all: not told to sign in."""
    key = await (await an_owner(rt, browser())).create(scopes=["agentes"])
    shown = {"authorization": f"Bearer {key['secret']}"}
    stranger, tried = browser(), 0
    for method, path, operation in operations():
        if {"apiKey": []} not in operation["security"] or path.endswith("/stream"):
            continue
        where = re.sub(r"\{\w+\}", "0198c0de-0000-7000-8000-000000000000", path)
        sent: dict[str, Any] = {}
        if method in ("POST", "PUT"):
            sent["json"] = BODIES.get(f"{method} {path}", {})
        assert (await stranger.request(method, where, **sent)).status_code == 401, path
        answer = await stranger.request(method, where, **sent, headers=shown)
        assert answer.status_code in (400, 403, 404), path
        tried += 1
    assert tried >= 5


def test_the_document_of_a_grant_is_of_each_that_works() -> None:
    assert [one["properties"]["grant_type"]["enum"] for one in forms()["/oauth/token"]] == [
        [grant] for grant in GRANTS
    ]
    assert len(get_args(parameters.TokenRequest)) == len(GRANTS)


def test_forms_hold_the_parameters_that_the_wires_read() -> None:
    told = {name for some in forms().values() for one in some for name in one["properties"]}
    assert told - NOT_READ == {*_names_read()} - REFUSED_ALONE
    for some in forms().values():
        assert all("additionalProperties" not in one for one in some)  # ignored, not refused


def _names_read() -> Iterator[str]:
    """Return what is asked for by name: `form.get`, `form.need`, and what tells the client."""
    for file in ("endpoints.py", "form.py"):
        for node in ast.walk(ast.parse(Path(WIRES / file).read_text())):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name("form" | "values"), attr="get" | "need"),
                    args=[ast.Constant(str(name)), *_],
                ):
                    yield name
                case ast.Compare(left=ast.Constant(str(name)), comparators=[ast.Name("values")]):
                    yield name
                case ast.For(iter=ast.Tuple(elts=[ast.Constant(), *_] as names)):
                    yield from (str(one.value) for one in names if isinstance(one, ast.Constant))


async def test_a_form_without_what_it_must_hold_is_refused_for_that(
    rt: Runtime, client: httpx2.AsyncClient
) -> None:
    service = await a_service(rt, client, "agentes")
    values = {"subject_token_type": API_KEY}
    for path, some in forms().items():
        for schema in some:
            grant = schema["properties"].get("grant_type", {}).get("enum")
            good = {name: values.get(name, "x") for name in schema["required"]}
            good |= {"grant_type": grant[0]} if grant else {}
            for name in good:
                sent = {one: value for one, value in good.items() if one != name}
                answer = await service.ask(path, **sent, ignored="x")
                told = answer.json()
                assert (answer.status_code, told["error"]) == (400, "invalid_request"), path
                assert name in told["error_description"]


async def test_each_type_of_token_the_document_names_is_taken(
    rt: Runtime, browser: Browser, client: httpx2.AsyncClient
) -> None:
    exchange = forms()["/oauth/token"][2]["properties"]
    assert exchange["subject_token_type"]["enum"] == [API_KEY, ACCESS_TOKEN]
    assert exchange["requested_token_type"]["enum"] == [ACCESS_TOKEN, JWT]
    made = await (await an_owner(rt, browser())).create(scopes=["agentes"])
    for subject in exchange["subject_token_type"]["enum"]:
        for requested in exchange["requested_token_type"]["enum"]:
            form = {
                "grant_type": GRANTS[2],
                "subject_token": made["secret"],
                "subject_token_type": subject,
                "requested_token_type": requested,
                "audience": metadata(rt).issuer,
                "resource": metadata(rt).issuer,
            }
            answer = await client.post("/oauth/token", data=form)
            assert answer.status_code == 200, answer.text
            assert answer.json()["issued_token_type"] == requested


async def test_a_logo_may_be_what_the_document_says(
    rt: Runtime, client: httpx2.AsyncClient
) -> None:
    told = await signed_in(rt, client, role="owner")
    path = "/admin/organizations/{tenant_id}/logo"
    pictures = {"image/png": png(), "image/webp": webp()}
    content = DOCUMENT["paths"][path]["put"]["requestBody"]["content"]
    assert content.keys() == pictures.keys()
    where = path.format(tenant_id=told["organization"]["id"])
    for kind, picture in pictures.items():
        answer = await client.put(where, content=picture, headers={"content-type": kind})
        assert answer.status_code == 204


async def test_what_is_answered_without_a_body_is_said_to_have_none(
    client: httpx2.AsyncClient,
) -> None:
    bare = {
        (method, path, status)
        for method, path, operation in operations()
        for status, answer in operation["responses"].items()
        if "content" not in answer
    }
    others = {one for one in bare if one[2] != "204"}
    jwks = "/.well-known/jwks.json"
    assert others == {("GET", jwks, "304")}
    assert all(
        "content" not in operation["responses"].get("204", {}) for _, _, operation in operations()
    )
    etag = (await client.get(jwks)).headers["etag"]
    same = await client.get(jwks, headers={"if-none-match": etag})
    assert (same.status_code, same.content) == (304, b"")


def test_patterns_are_ones_that_every_reader_knows() -> None:
    """ECMA 262, which JSON Schema is of: Python's own escapes for the ends of a text are not."""
    found = re.findall(r'"pattern": "(.*)"', json.dumps(DOCUMENT, indent=1))
    assert len(found) > 5
    for pattern in found:
        assert not re.search(r"\\\\[AZz]", pattern), pattern
        assert pattern.endswith(("$", r"\\b"))


async def test_the_refresh_cookie_is_the_one_that_is_set(
    rt: Runtime, client: httpx2.AsyncClient
) -> None:
    name = DOCUMENT["components"]["securitySchemes"]["refreshCookie"]["name"]
    person = await given.a_person(rt)
    body = {"email": person.email, "password": person.password}
    await client.post("/auth/login", json=body)
    value = client.cookies[name]
    client.cookies.clear()
    headers = {"cookie": f"{name}={value}"}
    assert (await client.post("/auth/refresh", json={}, headers=headers)).status_code == 200


def test_an_organization_has_one_name() -> None:
    """`tenant_id`, in every parameter and every member."""
    assert "organization_id" not in json.dumps(DOCUMENT)


async def test_its_name_of_before_is_still_taken(rt: Runtime, client: httpx2.AsyncClient) -> None:
    told = await signed_in(rt, client, role="owner")
    there = told["organization"]["id"]
    listed = await client.get(f"/admin/users?organization_id={there}&limit=5")
    assert (listed.status_code, len(listed.json()["items"])) == (200, 1)
    both = await client.get(f"/admin/users?organization_id={there}&tenant_id={there}")
    assert (both.status_code, both.json()["fields"]) == (400, ["tenant_id"])
    wrong = await client.get("/admin/users?organization_id=acme")
    assert (wrong.status_code, wrong.json()["fields"]) == (400, ["tenant_id"])


async def test_left_out_it_is_the_same_at_both_doors_of_a_platform_administrator(
    rt: Runtime, client: httpx2.AsyncClient
) -> None:
    await signed_in(rt, client, role="owner", platform_admin=True)
    made = await client.post("/admin/clients", json={"name": "n", "scopes": ["agentes"]})
    kept = await client.put("/admin/secrets/db", json={"value": "x" * 9})
    named = await client.get("/admin/secrets/db?tenant_id=platform")
    assert made.json()["tenant_id"] is kept.json()["tenant_id"] is None
    assert named.json() == kept.json()


def test_what_is_sent_is_bounded_and_what_is_answered_is_whole() -> None:
    """Every text has a bound, a pattern or a choice; an answer's members are always there."""
    names = {name for name in DOCUMENT["components"]["schemas"] if name.endswith("Form")}
    unbounded = {
        (name, member)
        for name in names
        for member, schema in DOCUMENT["components"]["schemas"][name]["properties"].items()
        for one in schema.get("anyOf", [schema])
        if one.get("type") == "string"
        and not one.keys() & {"maxLength", "pattern", "enum", "format", "const"}
    }
    assert unbounded == set()
    for name in names:
        assert DOCUMENT["components"]["schemas"][name]["additionalProperties"] is False, name
    for _, path, operation in operations():
        for one in operation["parameters"]:
            schema = one["schema"]
            bounds = {"maxLength", "pattern", "enum", "maximum", "format", "anyOf", "$ref"}
            assert schema.keys() & bounds, (path, one["name"])
    page = DOCUMENT["components"]["schemas"]["SessionsAnswer"]
    assert page["required"] == ["items", "next_cursor"]


def test_what_the_lists_of_sessions_and_overlaps_take_is_as_the_service_has_it() -> None:
    (who,) = DOCUMENT["paths"]["/admin/sessions"]["get"]["parameters"]
    assert (who["name"], who["required"], who["schema"]["format"]) == ("user_id", True, "uuid")
    overlap = DOCUMENT["components"]["schemas"]["RotateSecretForm"]["properties"]["overlap_seconds"]
    assert overlap["anyOf"] == [{"const": 0}, {"minimum": 60}]
    assert not DOCUMENT["paths"]["/auth/refresh"]["post"]["requestBody"]["required"]
