"""The OpenAPI document: generated from the routes, checked in, compared by ./dev check."""

from collections.abc import Callable, Iterable, Iterator
from inspect import cleandoc
from typing import Any, TypeAlias

import msgspec
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.routes import BaseRoute, HTTPRoute
from msgspec import UNSET, Struct, inspect

from service.http.context import (
    provide_administrator,
    provide_by_cookie,
    provide_caller,
    provide_open,
    provide_optional,
    provide_password,
    provide_person,
    provide_sign_in,
    provide_sign_out,
)
from service.http.cookies import REFRESH
from service.http.dialect import Dialect, of_route
from service.http.oauth.form import MEDIA_TYPE, provide_form
from service.http.problem import Problem
from service.http.validation import (
    Expected,
    header_parameters,
    path_parameters,
    query_parameters,
)
from service.kernel.version import VERSION

_Requirement: TypeAlias = dict[str, list[str]]

OPENAPI = OpenAPIConfig(
    title="Tesserra Auth",
    version=VERSION,
    create_examples=False,
    use_handler_docstrings=True,
    render_plugins=[JsonRenderPlugin()],
)

_PROBLEM = {
    "description": "Refused: problem+json (RFC 9457)",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
_OAUTH_ERROR = {
    "description": "Refused (RFC 6749 section 5.2)",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/OAuthError"}}},
}
_REFUSED = {Dialect.API: _PROBLEM, Dialect.OAUTH: _OAUTH_ERROR}
_OAUTH_ERROR_SCHEMA = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}, "error_description": {"type": "string"}},
}
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Makes the request repeatable: for 24 hours a repetition creates nothing and"
    " gets what the first one created, without its secret. 409 while the first is being processed,"
    " 422 for another request with the same key.",
    "schema": {"type": "string", "pattern": "^[ -~]{1,255}$"},
}
_JWKS_SCHEMA = {
    "type": "object",
    "required": ["keys"],
    "properties": {"keys": {"type": "array", "items": {"type": "object"}}},
}
_BEARER: _Requirement = {"bearer": []}
_API_KEY: _Requirement = {"apiKey": []}
_CLIENT: _Requirement = {"client": []}
_COOKIE: _Requirement = {"refreshCookie": []}
_NOTHING: _Requirement = {}

_ASKED: dict[Callable[..., object], list[_Requirement]] = {
    provide_open: [],
    provide_sign_in: [],
    provide_optional: [_NOTHING, _BEARER],
    provide_person: [_BEARER],
    provide_administrator: [_BEARER],
    provide_password: [_BEARER],
    provide_caller: [_BEARER, _API_KEY],
    provide_by_cookie: [_COOKIE],
    provide_sign_out: [_NOTHING, _COOKIE, _BEARER],
    provide_form: [_CLIENT, _NOTHING],
}
"""The credentials that a route accepts, any one of them, by the dependency of its handler."""

_SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "An access token, of a person or of a service.",
    },
    "apiKey": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "tsk_",
        "description": "An API key, on routes that one of its scopes opens.",
    },
    "client": {
        "type": "http",
        "scheme": "basic",
        "description": "A client's id and secret, each form-encoded (RFC 6749 section 2.3.1). In"
        " the form instead: the secret, an assertion, or nothing where no client is needed.",
    },
    "refreshCookie": {"type": "apiKey", "in": "cookie", "name": REFRESH},
}


def finished(schema: dict[str, Any], routes: Iterable[BaseRoute]) -> dict[str, Any]:
    """Add what the framework leaves out: our types, errors, credentials, forms and refusals."""
    handlers = dict(_handlers(routes))
    schemas = _Schemas(handlers.values())
    components = schema.setdefault("components", {})
    components["schemas"] = schemas.components
    components["securitySchemes"] = _SCHEMES
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            handler = handlers[path, method]
            operation["operationId"] = _operation_id(method, path)
            operation["security"] = _security(handler)
            operation["parameters"] = schemas.parameters(handler)
            operation.pop("requestBody", None)
            if body := schemas.body(handler):
                operation["requestBody"] = body
            responses = operation["responses"]
            responses.pop("400", None)
            for answer in responses.values():
                _drop_nothing(answer)
                schemas.answer(handler, answer)
            refused = _REFUSED[of_route(handler)]
            if method == "post" and "application/json" in responses.get("201", {}).get(
                "content", ()
            ):
                operation["parameters"].append(_IDEMPOTENCY_KEY)
            responses["4XX"] = responses["503"] = refused
    jwks = schema["paths"]["/.well-known/jwks.json"]["get"]["responses"]["200"]
    jwks["content"] = {"application/json": {"schema": {"$ref": "#/components/schemas/JWKS"}}}
    _spell(schema)
    return schema


class _Schemas:
    """The types of the routes as JSON Schema: exactly those that validation.py checks."""

    def __init__(self, handlers: Iterable[HTTPRouteHandler]) -> None:
        self.components: dict[str, Any] = {"OAuthError": _OAUTH_ERROR_SCHEMA, "JWKS": _JWKS_SCHEMA}
        self._add(Problem)
        for handler in handlers:
            kind = _answered(handler)
            if kind is not None:
                self._add(kind)
                for answer in _structs(inspect.type_info(kind)):
                    self.components[answer.cls.__name__]["required"] = _always(answer)

    def parameters(self, handler: HTTPRouteHandler) -> list[dict[str, Any]]:
        """Return the parameters of a route, without its body."""
        places = {
            "path": path_parameters(handler),
            "query": query_parameters(handler),
            "header": header_parameters(handler),
        }
        return [
            {
                "name": one.name,
                "in": place,
                "required": place == "path" or one.required,
                "schema": self._add(one.expected)
                | ({} if one.default is None else {"default": one.default}),
            }
            for place, some in places.items()
            for one in some
        ]

    def body(self, handler: HTTPRouteHandler) -> dict[str, Any]:
        """Return the body of a route; empty when it takes none."""
        expected = Expected.of(handler)
        if expected is not None:
            content = {"application/json": {"schema": self._add(expected.form)}}
        elif "form" in handler.opt:
            content = {MEDIA_TYPE: {"schema": self._add(handler.opt["form"])}}
        else:
            kinds: tuple[str, ...] = handler.opt.get("files", ())
            content = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in kinds}
        required = expected is None or not expected.optional
        return {"required": required, "content": content} if content else {}

    def answer(self, handler: HTTPRouteHandler, answer: dict[str, Any]) -> None:
        """Describe the JSON answer of a route.  All its members are always there."""
        kind = _answered(handler)
        if kind is not None and "content" in answer:
            answer["content"] = {"application/json": {"schema": self._add(kind)}}

    def _add(self, kind: Any) -> dict[str, Any]:
        (found,), named = msgspec.json.schema_components(
            [kind], ref_template="#/components/schemas/{name}"
        )
        for name, model in named.items():
            self.components.setdefault(name, model)
        return found


def _answered(handler: HTTPRouteHandler) -> type[Struct] | None:
    """Return the struct that a route answers with, or None."""
    field = handler.parsed_return_field
    for kind in (field.annotation, *field.args):
        if isinstance(kind, type) and issubclass(kind, Struct):
            return kind
    return None


def _handlers(routes: Iterable[BaseRoute]) -> Iterator[tuple[tuple[str, str], HTTPRouteHandler]]:
    for route in routes:
        if isinstance(route, HTTPRoute):
            for handler in route.route_handlers:
                for method in handler.http_methods:
                    yield (route.path_format, method.lower()), handler


def _security(handler: HTTPRouteHandler) -> list[_Requirement]:
    """Return the credentials that a route accepts.  KeyError for an unknown dependency."""
    given = handler.resolve_dependencies()
    provided = [given[name].dependency for name in ("context", "form") if name in given]
    return _ASKED[provided[0]] if provided else []


def _structs(info: inspect.Type) -> Iterator[inspect.StructType]:
    """Yield the structs that a type contains."""
    match info:
        case inspect.StructType(fields=fields):
            yield info
            for field in fields:
                yield from _structs(field.type)
        case inspect.Metadata(type=inner) | inspect.ListType(item_type=inner):
            yield from _structs(inner)
        case inspect.VarTupleType(item_type=inner) | inspect.DictType(value_type=inner):
            yield from _structs(inner)
        case inspect.UnionType(types=types):
            for one in types:
                yield from _structs(one)


def _always(answer: inspect.StructType) -> list[str]:
    """Return the members that an answer always has.  Those with a default are sent as well."""
    omits = answer.cls.__struct_config__.omit_defaults
    return [
        field.encode_name
        for field in answer.fields
        if field.required or not (omits or field.default is UNSET)
    ]


def _drop_nothing(answer: dict[str, Any]) -> None:
    """Remove the content of an answer without a body: the framework describes it as `null`."""
    content = answer.get("content", {})
    if content and all(one["schema"] == {"type": "null"} for one in content.values()):
        del answer["content"]


def _spell(found: object) -> None:
    """Spell the end of a text as ECMA 262 does, where `$` is no line's end as Python's is.

    And docstrings without what indents them.
    """
    if isinstance(found, list):
        for one in found:
            _spell(one)
    elif isinstance(found, dict):
        pattern, told = found.get("pattern"), found.get("description")
        if isinstance(pattern, str):
            found["pattern"] = pattern.replace(r"\Z", "$")
        if isinstance(told, str):
            found["description"] = cleandoc(told)
        for one in found.values():
            _spell(one)


def _operation_id(method: str, path: str) -> str:
    words = path.strip("/").replace("{", "by_").replace("}", "")
    return f"{method}_" + "_".join(words.replace(".", "_").replace("-", "_").split("/"))
