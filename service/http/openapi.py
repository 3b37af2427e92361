"""The OpenAPI document: generated from the wires, checked in, compared by ./dev check."""

from typing import Any

from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin

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


def finished(schema: dict[str, Any]) -> dict[str, Any]:
    """Say what the framework does not: our errors, that unknown members are refused, bearer."""
    components = schema.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas["Problem"] = _PROBLEM_SCHEMA
    schemas["OAuthError"] = _OAUTH_ERROR_SCHEMA
    schemas["JWKS"] = _JWKS_SCHEMA
    for name, model in schemas.items():
        if name.endswith("Form"):
            model["additionalProperties"] = False
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    }
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            if not isinstance(operation, dict):
                continue
            operation["operationId"] = _operation_id(method, path)
            responses = operation["responses"]
            responses.pop("400", None)
            refused = _OAUTH_ERROR if path.startswith("/oauth/") else _PROBLEM
            if method == "post" and "application/json" in responses.get("201", {}).get(
                "content", ()
            ):
                operation.setdefault("parameters", []).append(_IDEMPOTENCY_KEY)
            responses["4XX"] = responses["503"] = refused
    jwks = schema["paths"]["/.well-known/jwks.json"]["get"]["responses"]["200"]
    jwks["content"] = {"application/json": {"schema": {"$ref": "#/components/schemas/JWKS"}}}
    return schema


def _operation_id(method: str, path: str) -> str:
    words = path.strip("/").replace("{", "by_").replace("}", "")
    return f"{method}_" + "_".join(words.replace(".", "_").replace("-", "_").split("/"))
