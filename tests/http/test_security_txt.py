"""/.well-known/security.txt (RFC 9116)."""

from datetime import timedelta

import httpx2
import pytest
from msgspec.structs import replace

from service.kernel.clock import Clock
from service.policy import Policy, Security
from service.runtime import Runtime
from tests.world import UNLIMITED


@pytest.fixture
def policy() -> Policy:
    expires = Clock().now() + timedelta(days=30)
    told = Security(contact="mailto:security@acme.example", expires=expires)
    return replace(Policy(limits=UNLIMITED), security=told)


async def test_it_is_served_until_it_expires(rt: Runtime, client: httpx2.AsyncClient) -> None:
    answer = await client.get("/.well-known/security.txt")
    assert answer.headers["content-type"].startswith("text/plain")
    fields = dict(line.split(": ", 1) for line in answer.text.splitlines())
    assert fields["Contact"] == "mailto:security@acme.example"
    assert fields["Canonical"].startswith("https://auth.test/")
    rt.clock.advance(timedelta(days=31))
    assert (await client.get("/.well-known/security.txt")).status_code == 404
