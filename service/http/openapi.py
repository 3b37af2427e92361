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
            responses["4XX"] = _PROBLEM
            responses["503"] = _PROBLEM
    return schema


def _operation_id(method: str, path: str) -> str:
    words = path.strip("/").replace("{", "by_").replace("}", "")
    return f"{method}_" + "_".join(words.replace(".", "_").replace("-", "_").split("/"))
