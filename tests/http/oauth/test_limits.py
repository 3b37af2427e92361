"""OAuth clients that do not identify themselves are counted by address."""

from collections.abc import Callable

import httpx2
import pytest
from msgspec.structs import replace

from service.policy import Limit, Policy
from service.runtime import Runtime
from tests.clients import a_service
from tests.world import UNLIMITED


@pytest.fixture
def policy() -> Policy:
    return Policy(limits=replace(UNLIMITED, client_failures=Limit(3, 60)))


async def test_guessing_clients_is_limited_by_address_and_others_go_on(
    rt: Runtime, browser: Callable[..., httpx2.AsyncClient]
) -> None:
    service = await a_service(rt, browser(), "agentes")
    form = {"grant_type": "client_credentials", "client_id": "svc_none", "client_secret": "x"}
    statuses = [(await service.http.post("/oauth/token", data=form)).status_code for _ in range(5)]
    assert statuses == [401, 401, 401, 429, 429]
    answer = await service.ask("/oauth/token", grant_type="client_credentials")
    assert answer.status_code == 200
    elsewhere = await browser(ip="198.51.100.9").post("/oauth/token", data=form)
    assert elsewhere.status_code == 401
