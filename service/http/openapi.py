"""The OpenAPI document: generated from the wires, checked in, compared by ./dev check."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

import msgspec
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.routes import BaseRoute, HTTPRoute

from service.http.asked import (
    provide_by_cookie,
    provide_caller,
    provide_open,
    provide_optional,
    provide_password,
    provide_sign_in,
    provide_sign_out,
    provide_signed_in,
)
from service.http.cookies import REFRESH
from service.http.oauth.form import MEDIA_TYPE, provide_form

_Requirement: TypeAlias = dict[str, list[str]]

OPENAPI = OpenAPIConfig(
    title="Tesserra Auth",
    version="0.1.0",
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
_OAUTH_ERROR_SCHEMA = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}, "error_description": {"type": "string"}},
}
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Makes the request one that may come again: for 24 hours the same one makes"
    " nothing more and is told of what it made, without its secret. 409 while the first is under"
    " way, 422 for another request under the same key.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}
_JWKS_SCHEMA = {
    "type": "object",
    "required": ["keys"],
    "properties": {"keys": {"type": "array", "items": {"type": "object"}}},
}
_PROBLEM_SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "request_id": {"type": "string"},
        "detail": {"type": "string"},
        "fields": {"type": "array", "items": {"type": "string"}},
    },
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
    provide_signed_in: [_BEARER],
    provide_password: [_BEARER],
    provide_caller: [_BEARER, _API_KEY],
    provide_by_cookie: [_COOKIE],
    provide_sign_out: [_NOTHING, _COOKIE, _BEARER],
    provide_form: [_CLIENT, _NOTHING],
}
"""What whoever calls a route shows, any one of it, by what the route has them provided by."""

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
        "description": "An API key, where a scope of it reaches.",
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
    """Say what the framework does not: our errors, credentials, forms, what is refused."""
    components = schema.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas["Problem"] = _PROBLEM_SCHEMA
    schemas["OAuthError"] = _OAUTH_ERROR_SCHEMA
    schemas["JWKS"] = _JWKS_SCHEMA
    for name, model in schemas.items():
        if name.endswith("Form"):
            model["additionalProperties"] = False
    components["securitySchemes"] = _SCHEMES
    handlers = dict(_handlers(routes))
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            handler = handlers[path, method]
            operation["operationId"] = _operation_id(method, path)
            operation["security"] = _security(handler)
            content = _content(handler, schemas)
            if content:
                operation["requestBody"] = {"required": True, "content": content}
            responses = operation["responses"]
            responses.pop("400", None)
            for answer in responses.values():
                _drop_nothing(answer)
            refused = _OAUTH_ERROR if path.startswith("/oauth/") else _PROBLEM
            if method == "post" and "application/json" in responses.get("201", {}).get(
                "content", ()
            ):
                operation.setdefault("parameters", []).append(_IDEMPOTENCY_KEY)
            responses["4XX"] = responses["503"] = refused
    jwks = schema["paths"]["/.well-known/jwks.json"]["get"]["responses"]["200"]
    jwks["content"] = {"application/json": {"schema": {"$ref": "#/components/schemas/JWKS"}}}
    _spell_patterns(schema)
    return schema


def _handlers(routes: Iterable[BaseRoute]) -> Iterator[tuple[tuple[str, str], HTTPRouteHandler]]:
    for route in routes:
        if isinstance(route, HTTPRoute):
            for handler in route.route_handlers:
                for method in handler.http_methods:
                    yield (route.path_format, method.lower()), handler


def _security(handler: HTTPRouteHandler) -> list[_Requirement]:
    """Return what a route wants to be shown; KeyError when nobody has said it yet."""
    given = handler.resolve_dependencies()
    provided = [given[name].dependency for name in ("asked", "form") if name in given]
    return _ASKED[provided[0]] if provided else []


def _content(handler: HTTPRouteHandler, schemas: dict[str, Any]) -> dict[str, Any]:
    """Return the bodies, by media type, that a route reads by hand."""
    files: tuple[str, ...] = handler.opt.get("files", ())
    if "form" not in handler.opt:
        return {kind: {"schema": {"type": "string", "format": "binary"}} for kind in files}
    (form,), named = msgspec.json.schema_components(
        [handler.opt["form"]], ref_template="#/components/schemas/{name}"
    )
    schemas.update(named)
    return {MEDIA_TYPE: {"schema": form}}


def _drop_nothing(answer: dict[str, Any]) -> None:
    """Have an answer without a body say so; the framework makes it one of JSON, `null`."""
    content = answer.get("content", {})
    if content and all(one["schema"] == {"type": "null"} for one in content.values()):
        del answer["content"]


def _spell_patterns(found: object) -> None:
    """Spell the end of a text as ECMA 262 does, where `$` is no line's end as Python's is."""
    if isinstance(found, list):
        for one in found:
            _spell_patterns(one)
    elif isinstance(found, dict):
        pattern = found.get("pattern")
        if isinstance(pattern, str):
            found["pattern"] = pattern.replace(r"\Z", "$")
        for one in found.values():
            _spell_patterns(one)


def _operation_id(method: str, path: str) -> str:
    words = path.strip("/").replace("{", "by_").replace("}", "")
    return f"{method}_" + "_".join(words.replace(".", "_").replace("-", "_").split("/"))
