"""OAuth's wire, as the standards want it of any server: RFC 6749, RFC 6750, OAuth 2.1."""

import re

import httpx2
import pytest

from service.runtime import Runtime
from tests import given
from tests.clients import Machine, a_service

TOKEN = "/oauth/token"


@pytest.fixture
async def service(rt: Runtime, client: httpx2.AsyncClient) -> Machine:
    return await a_service(rt, client, "revocations:read")


async def test_oauth_2_1_section_3_2_a_parameter_nobody_knows_is_ignored(service: Machine) -> None:
    answer = await service.ask(TOKEN, grant_type="client_credentials", unheard_of="x")
    assert answer.status_code == 200


async def test_oauth_2_1_section_3_2_an_empty_parameter_counts_as_left_out(
    service: Machine,
) -> None:
    answer = await service.ask(TOKEN, grant_type="client_credentials", scope="")
    assert (answer.status_code, answer.json()["scope"]) == (200, "revocations:read")


async def test_oauth_2_1_section_3_2_the_token_endpoint_takes_post_alone(service: Machine) -> None:
    query = {"grant_type": "client_credentials"}
    credentials = (service.client_id, service.secret)
    answer = await service.http.get(TOKEN, params=query, auth=credentials)
    assert answer.status_code == 405
    answer = await service.http.post(TOKEN, params=query, data={"a": "b"}, auth=credentials)
    assert answer.status_code == 400


async def test_rfc_6749_section_5_1_an_answer_is_json_and_stored_by_nobody(
    service: Machine,
) -> None:
    answer = await service.ask(TOKEN, grant_type="client_credentials")
    assert answer.headers["content-type"].partition(";")[0] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["token_type"].lower() == "bearer"
    assert answer.json()["expires_in"] > 0
    assert "refresh_token" not in answer.json()


async def test_rfc_6749_appendix_a_tokens_are_made_of_letters_that_may_stand_in_one(
    rt: Runtime, client: httpx2.AsyncClient, service: Machine
) -> None:
    person = await given.a_person(rt)
    login = {"email": person.email, "password": person.password}
    assert (await client.post("/auth/login", json=login)).status_code == 200
    form = {
        "grant_type": "refresh_token",
        "refresh_token": client.cookies["__Host-refresh"],
        "client_id": "console",
    }
    told = (await client.post(TOKEN, data=form)).json()
    for token in (told["refresh_token"], told["access_token"], service.token, service.secret):
        assert re.fullmatch("[\\x20-\\x7e]+", token)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
async def test_rfc_9110_section_11_1_the_scheme_is_read_in_any_case(
    service: Machine, scheme: str
) -> None:
    headers = {"authorization": f"{scheme} {service.token}"}
    answer = await service.http.get("/revocations", headers=headers)
    assert answer.status_code == 200


async def test_rfc_9700_section_4_3_2_a_token_elsewhere_than_in_the_header_is_none(
    service: Machine,
) -> None:
    shown = {"access_token": service.token}
    answer = await service.http.get("/revocations", params=shown)
    assert answer.status_code in (400, 401)
    answer = await service.http.post(
        "/oauth/introspect", params=shown, data={**shown, "token": service.token}
    )
    assert answer.status_code in (400, 401)


async def test_rfc_6750_section_3_who_is_refused_is_told_the_scheme_and_that_the_token_is_bad(
    client: httpx2.AsyncClient,
) -> None:
    answer = await client.get("/auth/me")
    assert (answer.status_code, answer.headers["www-authenticate"][:7]) == (401, "Bearer ")
    answer = await client.get("/auth/me", headers={"authorization": "Bearer bad"})
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
