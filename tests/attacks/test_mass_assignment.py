"""Mass assignment: a member that is nobody's to set is refused by its name, on every route.

The routes are read from the application: one that is added later is tried from its first day.
"""

from collections.abc import Iterator
from typing import Any

import httpx2
import msgspec
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.params import BodyKwarg
from litestar.routes import HTTPRoute

from service.http.edge import Edge
from service.runtime import Runtime
from tests import given
from tests.attacks.test_hostile_bytes import filled
from tests.http import asking

ATTEMPTS: dict[str, object] = {
    "role": "owner",
    "roles": ["owner"],
    "tenant_id": "0196f0c0-0000-7000-8000-000000000000",
    "is_admin": True,
    "platform_admin": True,
    "user_id": "0196f0c0-0000-7000-8000-000000000000",
    "owner_id": "0196f0c0-0000-7000-8000-000000000000",
    "disabled_at": None,
    "__proto__": {"is_admin": True},
}

OTHER_BODIES: dict[str, str] = {
    "POST /oauth/token": "a form: parameters nobody knows are ignored (RFC 6749 section 3.2)",
    "POST /oauth/introspect": "a form, as above (RFC 7662 section 2.1)",
    "POST /oauth/revoke": "a form, as above (RFC 7009 section 2.1)",
    "PUT /admin/organizations/{tenant_id}/logo": "a picture",
}
"""Routes whose body is no JSON object, and why there is nothing to assign by it."""


def bodies(app: Edge) -> Iterator[tuple[str, str, type[msgspec.Struct]]]:
    """Return (method, path, form) of every route that takes a JSON object."""
    assert isinstance(app.app, Litestar)
    for route in app.app.routes:
        assert isinstance(route, HTTPRoute)
        for handler in route.route_handlers:
            form = _form(handler)
            if form is not None:
                for method in sorted(handler.http_methods - {"OPTIONS", "HEAD"}):
                    yield method, route.path_format, form


def _form(handler: HTTPRouteHandler) -> type[msgspec.Struct] | None:
    field = handler.parsed_data_field
    if field is None or not isinstance(field.kwarg_definition, BodyKwarg):
        return None
    if field.kwarg_definition.media_type != "application/json":
        return None
    found = [one for one in (field.annotation, *field.args) if _is_form(one)]
    assert found, f"{handler}: a body that is no struct"
    return found[0]  # type: ignore[no-any-return]


def _is_form(found: object) -> bool:
    return isinstance(found, type) and issubclass(found, msgspec.Struct)


def nested(form: type[msgspec.Struct]) -> Iterator[tuple[str, type[msgspec.Struct]]]:
    """Return the members of a form that are forms themselves."""
    for field in msgspec.structs.fields(form):
        for found in (field.type, *getattr(field.type, "__args__", ())):
            if _is_form(found):
                yield field.encode_name, found


async def test_what_is_nobody_s_to_set_is_refused_by_name_on_every_route(
    rt: Runtime, app: Edge, client: httpx2.AsyncClient
) -> None:
    root = await given.a_person(rt, "root@acme.example", role="owner", platform_admin=True)
    signed = asking.bearer(await asking.sign_in(client, root))
    before = await given.events(rt)
    tried: set[str] = set()
    for method, path, form in bodies(app):
        known = {field.encode_name for field in msgspec.structs.fields(form)}
        cases: list[tuple[str, dict[str, Any]]] = [
            (name, {name: value}) for name, value in ATTEMPTS.items() if name not in known
        ]
        cases += [
            (name, {inside: {name: value}})
            for inside, _ in nested(form)
            for name, value in ATTEMPTS.items()
        ]
        for name, body in cases:
            answer = await client.request(method, filled(path), json=body, headers=signed)
            told = (method, path, name, answer.status_code, answer.text[:300])
            assert answer.status_code == 400, told
            pointed_at = {one["pointer"].rpartition("/")[2] for one in answer.json()["errors"]}
            assert name in pointed_at, told
        tried.add(f"{method} {path}")
    assert await given.events(rt) == before
    assert len(tried) >= 15
    assert {"POST /admin/users", "POST /admin/clients", "PUT /admin/users/{user_id}/role"} <= tried


async def test_a_route_that_takes_another_body_is_on_the_list(app: Edge) -> None:
    """So that no new kind of body is missed by the walk."""
    assert isinstance(app.app, Litestar)
    walked = {f"{method} {path}" for method, path, _ in bodies(app)}
    others = {
        f"{method} {route.path_format}"
        for route in app.app.routes
        for handler in route.route_handlers  # type: ignore[union-attr]
        for method in handler.http_methods - {"OPTIONS", "HEAD"}
        if _takes_a_body(handler)
    }
    assert others - walked == OTHER_BODIES.keys()


def _takes_a_body(handler: Any) -> bool:
    names = set(handler.parsed_fn_signature.parameters)
    for dependency in handler.resolve_dependencies().values():
        names |= set(dependency.parsed_fn_signature.parameters)
    return bool(names & {"data", "body", "request"})
