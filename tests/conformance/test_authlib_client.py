"""Authlib as the client of our token, introspection and revocation endpoints, over real HTTP.

It knows nothing of us but the metadata (RFC 8414): where the endpoints are, and how a client may
identify itself at each.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT, private_key_jwt_sign
from joserfc.jwk import ECKey

from service.embedded.checkout import ROOT
from tests import given
from tests.processes import Running, service
from tests.system.visitors import UNLIMITED, Visitor, inside

METHODS = ("client_secret_basic", "client_secret_post", "private_key_jwt")


class BriefJWT(PrivateKeyJWT):  # type: ignore[misc]
    """An assertion of a minute: Authlib's own lives for an hour, and five minutes are the most."""

    seconds = 60

    def sign(self, auth: Any, token_endpoint: str) -> Any:
        return private_key_jwt_sign(
            auth.client_secret,
            client_id=auth.client_id,
            token_endpoint=token_endpoint,
            header=self.headers,
            alg=self.alg,
            expires_in=self.seconds,
        )


@dataclass
class World:
    """A service, its metadata, and somebody who is signed in."""

    running: Running
    metadata: dict[str, Any]
    visitor: Visitor
    folder: Path

    def client(self, method: str, *scopes: str) -> OAuth2Session:
        """Register a client and be it, as Authlib's guide has it."""
        key = ECKey.generate_key("P-256", auto_kid=True)
        asked = [text for scope in scopes or ("agentes",) for text in ("--scope", scope)]
        if method == "private_key_jwt":
            jwks = self.folder / f"{key.kid}.json"
            jwks.write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
            asked += ["--jwks", str(jwks)]
        made = self.running.cli("client", "create", "--name", "theirs", *asked, "--json")
        assert made.returncode == 0, made.stderr
        told = json.loads(made.stdout)
        signing = method == "private_key_jwt"
        session = OAuth2Session(
            told["client_id"],
            key if signing else told["client_secret"],
            token_endpoint_auth_method=method,
            revocation_endpoint_auth_method=method,
        )
        session.register_client_auth_method(
            BriefJWT(self.metadata["issuer"], headers={"kid": key.kid}, alg="ES256")
        )
        return session


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with service(policy=UNLIMITED) as running, inside(running) as rt:
        visitor = Visitor(running.url, await given.a_person(rt))
        await visitor.sign_in()
        issuer = running.environment["AUTH_ISSUER"]
        async with httpx2.AsyncClient() as http:
            answer = await http.get(f"{issuer}/.well-known/oauth-authorization-server")
        yield World(running, answer.json(), visitor, tmp_path_factory.mktemp("keys"))
        await visitor.client.aclose()


async def blocking(act: Callable[[], Any]) -> Any:
    return await asyncio.to_thread(act)


@pytest.mark.parametrize("method", METHODS)
async def test_it_gets_a_token_has_it_described_and_gives_it_up(world: World, method: str) -> None:
    said = world.metadata
    for endpoint in ("token", "introspection", "revocation"):
        assert method in said[f"{endpoint}_endpoint_auth_methods_supported"]

    def act() -> None:
        session = world.client(method)
        token = session.fetch_token(said["token_endpoint"], grant_type="client_credentials")
        text = token["access_token"]
        hint = {"token_type_hint": "access_token"}
        told = session.introspect_token(said["introspection_endpoint"], token=text, **hint)
        assert (told.status_code, told.json()["active"]) == (200, True)
        assert told.json()["client_id"] == session.client_id
        given_up = session.revoke_token(said["revocation_endpoint"], token=text, **hint)
        assert (given_up.status_code, given_up.json()) == (200, {})
        told = session.introspect_token(said["introspection_endpoint"], token=text, **hint)
        assert (told.status_code, told.json()) == (200, {"active": False})
        again = session.revoke_token(said["revocation_endpoint"], token=text, **hint)
        assert again.status_code == 200

    await blocking(act)


async def test_an_assertion_of_an_hour_is_told_to_be_too_long(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BriefJWT, "seconds", 3600)

    def act() -> None:
        session = world.client("private_key_jwt")
        with pytest.raises(OAuthError, match="invalid_client: exp must be at most 300 seconds"):
            session.fetch_token(world.metadata["token_endpoint"], grant_type="client_credentials")

    await blocking(act)


async def test_authlibs_defaults_are_told_what_to_change_first(world: World) -> None:
    def act() -> None:
        session = world.client("private_key_jwt")
        session.register_client_auth_method(PrivateKeyJWT(alg="ES256"))
        with pytest.raises(OAuthError, match="aud must be the issuer"):
            session.fetch_token(world.metadata["token_endpoint"], grant_type="client_credentials")

    await blocking(act)


async def test_what_the_documentation_shows_works_as_it_stands_there(world: World) -> None:
    page = (ROOT / "docs" / "explain" / "clients.md").read_text()
    shown = re.search(r"```python\n(from authlib.*?)```", page, re.DOTALL)
    assert shown

    def act() -> dict[str, Any]:
        session = world.client("private_key_jwt")
        names = {
            "ISSUER": world.metadata["issuer"],
            "CLIENT_ID": session.client_id,
            "KEY": session.client_secret,
        }
        exec(shown[1], names)
        return dict(names["token"])

    assert (await asyncio.to_thread(act))["access_token"]


async def test_it_has_a_persons_token_described_and_cannot_revoke_it(world: World) -> None:
    def act() -> None:
        session = world.client("client_secret_basic")
        text = world.visitor.access_token
        told = session.introspect_token(world.metadata["introspection_endpoint"], token=text).json()
        assert (told["active"], told["sub"]) == (True, str(world.visitor.person.user_id))
        assert told["token_type"] == "Bearer"
        refused = session.revoke_token(world.metadata["revocation_endpoint"], token=text)
        assert (refused.status_code, refused.json()["error"]) == (400, "unauthorized_client")
        told = session.introspect_token(world.metadata["introspection_endpoint"], token=text).json()
        assert told["active"]

    await blocking(act)


@pytest.mark.parametrize("method", METHODS[:2])
async def test_with_a_wrong_secret_it_is_told_nothing(world: World, method: str) -> None:
    def act() -> None:
        session = world.client(method)
        session.client_secret = "a guess"
        text = world.visitor.access_token
        for ask in (session.introspect_token, session.revoke_token):
            endpoint = ask.__name__.removesuffix("_token")
            noun = {"introspect": "introspection", "revoke": "revocation"}[endpoint]
            answer = ask(world.metadata[f"{noun}_endpoint"], token=text)
            assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
        with pytest.raises(OAuthError, match="invalid_client"):
            session.fetch_token(world.metadata["token_endpoint"], grant_type="client_credentials")

    await blocking(act)
