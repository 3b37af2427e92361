"""A signing key is killed: its tokens end at once, and those of its successor are good at once."""

import pytest
from tesserra_verifier import InvalidTokenError

from service.kernel.jose import Key, generate
from tests.verifier.conftest import Open, eventually
from tests.verifier.standin import StandIn


async def test_the_successor_is_found_although_the_keys_were_read_a_moment_too_early(
    opened: Open, issuer: StandIn
) -> None:
    """As from a worker of the service that has not heard of the kill yet."""
    verifier = await opened(keys_cooldown=3600, keys_interval=3600)
    old = issuer.token()
    await verifier.verify(old)
    successor = Key("ES256", generate("ES256"))
    read = issuer.asked.count("/.well-known/jwks.json")
    issuer.revoke("kid", issuer.keys[0].kid)

    async def refused() -> bool:
        try:
            await verifier.verify(old)
        except InvalidTokenError as exc:
            return exc.reason == "revoked"
        return False

    async def read_again() -> bool:
        return issuer.asked.count("/.well-known/jwks.json") > read

    await eventually(refused, 1.0)
    await eventually(read_again, 1.0)
    issuer.keys = [successor]

    async def accepted() -> bool:
        try:
            await verifier.verify(issuer.token())
        except InvalidTokenError:
            return False
        return True

    assert await eventually(accepted, 1.0) < 1.0
    with pytest.raises(InvalidTokenError):
        await verifier.verify(old)
