"""The routes by which people manage themselves and others, read from openapi/: a new one is in it.

And which permission each of them of administration needs.
"""

from collections.abc import Iterator
from typing import Any

import httpx2

from service.flows.shared.permissions import Permission
from tests.attacks.doors import BODIES, document
from tests.http.admin.test_logos import png

PREFIXES = ("/admin", "/api-keys", "/auth", "/revocations")

WITHOUT_A_TOKEN: dict[str, str] = {
    "POST /auth/login": "this is where a token is got: by e-mail and password",
    "POST /auth/refresh": "by the refresh cookie alone; a bearer token says nothing here",
}
"""Routes of the management API at which no bearer token is looked at, and why."""

OF_SERVICES: dict[str, str] = {
    "POST /api-keys/verify": "scope api-keys:verify",
    "GET /revocations": "scope revocations:read",
    "GET /revocations/stream": "scope revocations:read",
    "GET /revocations/{jti}": "scope revocations:read",
    "POST /revocations/check": "scope revocations:read",
    "GET /admin/secrets/{name}/sealed": "scope secrets:sealed",
}
"""Routes that machines and API keys use by a scope of the service; no person opens them."""

OF_PEOPLE: dict[str, str] = {
    "POST /auth/invitations/accept": "who accepts becomes a member",
    "POST /auth/logout": "one's own session",
    "POST /auth/logout-all": "one's own sessions",
    "GET /auth/me": "oneself",
    "POST /auth/organization": "one's own session",
    "PUT /auth/password": "one's own password",
    "GET /auth/sessions": "one's own sessions",
    "DELETE /auth/sessions/{session_id}": "one's own session",
}
"""Routes of a person alone: no machine has what they are about."""

NEEDS: dict[str, Permission] = {
    "GET /admin/audit-events": Permission.READ_AUDIT,
    "GET /admin/audit-events/checkpoints": Permission.READ_AUDIT,
    "GET /admin/audit-events/exports": Permission.EXPORT_AUDIT,
    "POST /admin/audit-events/exports": Permission.EXPORT_AUDIT,
    "GET /admin/audit-events/exports/{name}": Permission.EXPORT_AUDIT,
    "DELETE /admin/audit-events/exports/{name}": Permission.EXPORT_AUDIT,
    "GET /admin/clients": Permission.READ_CLIENTS,
    "POST /admin/clients": Permission.KEEP_CLIENTS,
    "GET /admin/clients/{client_id}": Permission.READ_CLIENTS,
    "PATCH /admin/clients/{client_id}": Permission.KEEP_CLIENTS,
    "DELETE /admin/clients/{client_id}": Permission.KEEP_CLIENTS,
    "POST /admin/clients/{client_id}/disable": Permission.KEEP_CLIENTS,
    "POST /admin/clients/{client_id}/enable": Permission.KEEP_CLIENTS,
    "POST /admin/clients/{client_id}/rotate-secret": Permission.KEEP_CLIENTS,
    "GET /admin/invitations": Permission.READ_PEOPLE,
    "DELETE /admin/invitations/{invitation_id}": Permission.KEEP_PEOPLE,
    "GET /admin/organizations": Permission.KEEP_ORGANIZATIONS,
    "POST /admin/organizations": Permission.KEEP_ORGANIZATIONS,
    "GET /admin/organizations/{tenant_id}": Permission.READ_ORGANIZATION,
    "PUT /admin/organizations/{tenant_id}": Permission.KEEP_ORGANIZATIONS,
    "POST /admin/organizations/{tenant_id}/disable": Permission.KEEP_ORGANIZATIONS,
    "POST /admin/organizations/{tenant_id}/enable": Permission.KEEP_ORGANIZATIONS,
    "POST /admin/organizations/{tenant_id}/end-sessions": Permission.END_ORGANIZATION_SESSIONS,
    "GET /admin/organizations/{tenant_id}/logo": Permission.READ_LOGO,
    "PUT /admin/organizations/{tenant_id}/logo": Permission.KEEP_LOGO,
    "DELETE /admin/organizations/{tenant_id}/logo": Permission.KEEP_LOGO,
    "GET /admin/secrets": Permission.READ_SECRETS,
    "GET /admin/secrets/{name}": Permission.READ_SECRETS,
    "PUT /admin/secrets/{name}": Permission.KEEP_SECRETS,
    "DELETE /admin/secrets/{name}": Permission.KEEP_SECRETS,
    "GET /admin/secrets/{name}/versions": Permission.READ_SECRETS,
    "DELETE /admin/secrets/{name}/versions/{version}": Permission.KEEP_SECRETS,
    "GET /admin/sessions": Permission.READ_SESSIONS,
    "DELETE /admin/sessions/{session_id}": Permission.END_SESSIONS,
    "GET /admin/signing-keys": Permission.READ_SIGNING_KEYS,
    "POST /admin/signing-keys": Permission.CHANGE_SIGNING_KEYS,
    "DELETE /admin/signing-keys/{kid}": Permission.CHANGE_SIGNING_KEYS,
    "GET /admin/users": Permission.READ_PEOPLE,
    "POST /admin/users": Permission.KEEP_PEOPLE,
    "GET /admin/users/{user_id}": Permission.READ_PEOPLE,
    "DELETE /admin/users/{user_id}": Permission.KEEP_PEOPLE,
    "POST /admin/users/{user_id}/disable": Permission.KEEP_PEOPLE,
    "POST /admin/users/{user_id}/enable": Permission.KEEP_PEOPLE,
    "POST /admin/users/{user_id}/end-sessions": Permission.END_SESSIONS,
    "DELETE /admin/users/{user_id}/personal-data": Permission.ERASE_PEOPLE,
    "POST /admin/users/{user_id}/personal-data/exports": Permission.EXPORT_PEOPLE,
    "PUT /admin/users/{user_id}/role": Permission.KEEP_PEOPLE,
    "POST /admin/users/{user_id}/unlock": Permission.KEEP_PEOPLE,
    "GET /api-keys": Permission.READ_ALL_API_KEYS,
    "POST /api-keys": Permission.WRITE_ALL_API_KEYS,
    "GET /api-keys/{key_id}": Permission.READ_ALL_API_KEYS,
    "DELETE /api-keys/{key_id}": Permission.WRITE_ALL_API_KEYS,
    "POST /api-keys/{key_id}/revoke": Permission.WRITE_ALL_API_KEYS,
    "POST /api-keys/{key_id}/rotate": Permission.WRITE_ALL_API_KEYS,
    "POST /revocations": Permission.REVOKE,
}
"""Which permission a route needs, of a machine; of a person their role has it, and for one's own
API keys that on one's own."""

_BODIES: dict[str, dict[str, Any]] = {
    **BODIES,
    "POST /admin/users": {"email": "another@elsewhere.example"},
    "PUT /admin/users/{user_id}/role": {"role": "member"},
    "POST /admin/organizations": {"slug": "another", "name": "Another"},
    "POST /api-keys": {"name": "k", "scopes": ["agentes"], "owner": "organization"},
    "POST /api-keys/verify": {"key": "tsk_x"},
    "POST /revocations/check": {"jtis": ["x"]},
    "POST /auth/organization": {"organization": "acme"},
    "PUT /auth/password": {"current_password": "long enough", "new_password": "long enough too"},
    "POST /auth/invitations/accept": {"token": "x"},
}


def routes() -> Iterator[str]:
    """Return every route of the management API at which a bearer token is looked at."""
    for path, operations in document()["paths"].items():
        if path.startswith(PREFIXES):
            for method in operations:
                name = f"{method.upper()} {path}"
                if name not in WITHOUT_A_TOKEN:
                    yield name


async def ask(
    http: httpx2.AsyncClient, route: str, objects: dict[str, str], token: str
) -> httpx2.Response:
    """Ask a route about these objects, in a way that is good but for the token."""
    method, _, path = route.partition(" ")
    headers = {"authorization": f"Bearer {token}"}
    query = {"user_id": objects["user_id"]} if route == "GET /admin/sessions" else {}
    if "tenant_id" in objects and _takes_organization(route):
        query["tenant_id"] = objects["tenant_id"]
    content: dict[str, Any] = {}
    body = _BODIES.get(route)
    if route == "POST /admin/audit-events/exports":
        body = {"tenant_id": objects["tenant_id"]}
    elif route == "POST /revocations":
        body = {"kind": "client_id", "value": objects["client_id"]}
    if route == "PUT /admin/organizations/{tenant_id}/logo":
        headers["content-type"] = "image/png"
        content = {"content": png()}
    elif body is not None:
        content = {"json": body}
    named = {
        "kid": "none",
        "jti": "none",
        **objects,
        "name": objects["export" if "/exports/" in path else "secret"],
    }
    url = path.format(**named)
    return await http.request(method, url, params=query, headers=headers, **content)


def _takes_organization(route: str) -> bool:
    method, _, path = route.partition(" ")
    operation = document()["paths"][path][method.lower()]
    return any(
        one["name"] == "tenant_id" and one["in"] == "query" for one in operation["parameters"]
    )
