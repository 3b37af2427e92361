"""RFC 8414: the server's metadata says what is true, and nothing else."""

import json
from urllib.parse import urlsplit

import httpx2
import pytest

from service.domain.clients import AuthMethod
from service.kernel import jose
from tests.world import ISSUER

WELL_KNOWN = "/.well-known/oauth-authorization-server"


async def test_section_2_the_members_that_are_demanded(client: httpx2.AsyncClient) -> None:
    told = (await client.get(WELL_KNOWN)).json()
    assert told["issuer"] == ISSUER
    assert isinstance(told["response_types_supported"], list)
    assert all(value not in (None, "") for value in told.values())


async def test_section_2_every_endpoint_it_names_is_under_the_issuer_and_answers(
    client: httpx2.AsyncClient,
) -> None:
    told = (await client.get(WELL_KNOWN)).json()
    named = {k: v for k, v in told.items() if k.endswith(("_endpoint", "_uri"))}
    assert named["jwks_uri"] == f"{ISSUER}/.well-known/jwks.json"
    for name, url in named.items():
        assert url.startswith(f"{ISSUER}/"), name
        assert not urlsplit(url).fragment
        path = urlsplit(url).path
        method = "GET" if name == "jwks_uri" else "POST"
        assert (await client.request(method, path)).status_code not in (404, 405, 500), name


async def test_section_2_every_grant_it_names_is_known_to_the_token_endpoint(
    client: httpx2.AsyncClient,
) -> None:
    told = (await client.get(WELL_KNOWN)).json()
    for grant in told.get("grant_types_supported", []):
        answer = await client.post("/oauth/token", data={"grant_type": grant})
        assert answer.json()["error"] != "unsupported_grant_type", grant
    answer = await client.post("/oauth/token", data={"grant_type": "password"})
    assert answer.json()["error"] == "unsupported_grant_type"


async def test_section_3_2_it_is_json_and_never_made_from_the_request(
    client: httpx2.AsyncClient,
) -> None:
    plain = await client.get(WELL_KNOWN)
    assert plain.status_code == 200
    assert plain.headers["content-type"].partition(";")[0] == "application/json"
    forged = {"host": "evil.example", "x-forwarded-host": "evil.example", "forwarded": "host=evil"}
    assert (await client.get(WELL_KNOWN, headers=forged)).content == plain.content


async def test_section_3_1_openid_s_older_place_holds_the_same(client: httpx2.AsyncClient) -> None:
    one = await client.get(WELL_KNOWN)
    other = await client.get("/.well-known/openid-configuration")
    assert one.json() == other.json()


@pytest.mark.parametrize("path", ["/.well-known/jwks.json", WELL_KNOWN])
async def test_public_documents_are_cached_five_minutes_and_read_by_any_page(
    client: httpx2.AsyncClient, path: str
) -> None:
    answer = await client.get(path, headers={"origin": "https://anyone.example"})
    assert answer.headers["cache-control"] == "public, max-age=300"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers


async def test_the_jwks_is_revalidated_by_its_etag(client: httpx2.AsyncClient) -> None:
    path = "/.well-known/jwks.json"
    first = await client.get(path)
    again = await client.get(path, headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = await client.get(path, headers={"if-none-match": '"another"'})
    assert other.status_code == 200


async def test_rfc_7517_section_5_the_set_is_an_object_of_public_signing_keys(
    client: httpx2.AsyncClient,
) -> None:
    told = json.loads((await client.get("/.well-known/jwks.json")).content)
    assert list(told) == ["keys"]
    for jwk in told["keys"]:
        assert jwk["use"] == "sig"
        assert jwk["kty"] != "oct"
        assert not jwk.keys() & {"d", "p", "q", "dp", "dq", "qi", "k", "oth"}


async def test_section_2_every_way_to_authenticate_is_named_where_it_is_accepted(
    client: httpx2.AsyncClient,
) -> None:
    told = (await client.get(WELL_KNOWN)).json()
    for endpoint, path in (
        ("token", "/oauth/token"),
        ("revocation", "/oauth/revoke"),
        ("introspection", "/oauth/introspect"),
    ):
        named = set(told[f"{endpoint}_endpoint_auth_methods_supported"])
        form = {"client_id": "console", "token": "x", "grant_type": "refresh_token"}
        answer = await client.post(path, data={**form, "refresh_token": "x"})
        accepted = answer.json().get("error") != "invalid_client"
        assert ("none" in named) is accepted, endpoint
        assert named | {"none"} == set(AuthMethod)
        algorithms = told[f"{endpoint}_endpoint_auth_signing_alg_values_supported"]
        assert algorithms == jose.FOREIGN_ALGORITHMS
