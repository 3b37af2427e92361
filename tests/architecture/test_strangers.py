"""Every endpoint refuses whoever shows no credentials, but those on a list with reasons."""

from collections.abc import Iterator
from urllib.parse import urlencode

import httpx2
import pytest
from litestar.routes import HTTPRoute

from service.app import litestar_app
from service.kernel.secret import Secret
from service.settings import Settings

OPEN: dict[str, str] = {
    "POST /auth/login": "this is where credentials are shown",
    "POST /auth/invitations/accept": "the link's secret is the credential",
    "GET /healthz": "a load balancer asks",
    "GET /readyz": "a load balancer asks",
    "GET /.well-known/jwks.json": "public keys (RFC 7517)",
    "GET /.well-known/openid-configuration": "public metadata",
    "GET /.well-known/oauth-authorization-server": "public metadata (RFC 8414)",
    "GET /.well-known/security.txt": "whom to tell (RFC 9116)",
    "POST /auth/logout": "who is signed out already is signed out: 204, and nothing happens",
    "POST /auth/logout-all": "who is signed out already is signed out: 204, and nothing happens",
}
"""Changes only in a commit that says why."""

BODIES: dict[str, object] = {
    "POST /auth/refresh": {},
    "POST /auth/organization": {"organization": "acme"},
    "PUT /auth/password": {"current_password": "long enough", "new_password": "long enough too"},
    "POST /api-keys": {"name": "x", "scopes": ["agentes"]},
    "POST /api-keys/verify": {"key": "tsk_x"},
    "POST /revocations": {"kind": "jti", "value": "x"},
    "POST /revocations/check": {"jtis": ["x"]},
    "PUT /admin/secrets/{name}": {"value": "x"},
    "POST /admin/clients": {"name": "x", "scopes": ["agentes"]},
}
"""A body that is good enough to be asked who one is."""

FORMS: dict[str, dict[str, str]] = {
    "POST /oauth/token": {"grant_type": "client_credentials"},
    "POST /oauth/introspect": {"token": "x"},
    "POST /oauth/revoke": {"token": "x"},
}


def endpoints() -> Iterator[str]:
    settings = Settings(
        issuer="https://auth.example",
        database_url=Secret(""),
        redis_url=Secret(""),
        master_keys=(),
    )
    for route in litestar_app(settings, []).routes:
        assert isinstance(route, HTTPRoute)
        yield from (f"{method} {route.path_format}" for method in sorted(route.methods))


EVERY = [name for name in endpoints() if not name.startswith("OPTIONS ")]


def test_the_open_list_names_only_what_is_there() -> None:
    missing = OPEN.keys() - set(EVERY)
    assert not missing


@pytest.fixture(scope="session")
def _servers(pytestconfig: pytest.Config) -> None:
    if pytestconfig.getoption("--servers") == "none":
        pytest.skip("needs servers")


@pytest.mark.usefixtures("_servers")
@pytest.mark.parametrize("endpoint", [name for name in EVERY if name not in OPEN])
async def test_a_stranger_is_refused(endpoint: str, client: httpx2.AsyncClient) -> None:
    method, _, path = endpoint.partition(" ")
    parts = ["0198c0de-0000-7000-8000-000000000000" if "{" in p else p for p in path.split("/")]
    headers, content = {}, b""
    if endpoint in FORMS:
        headers["content-type"] = "application/x-www-form-urlencoded"
        content = urlencode(FORMS[endpoint]).encode()
    elif method in ("POST", "PUT"):
        headers["content-type"] = "application/json"
        content = str(BODIES.get(endpoint, {})).replace("'", '"').encode()
    answer = await client.request(method, "/".join(parts), headers=headers, content=content)
    assert answer.status_code == 401, answer.text
    assert "www-authenticate" in answer.headers
