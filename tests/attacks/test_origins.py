"""The attack suite is whole: every attack of the table is tried by a test that exists."""

import ast
import json
from functools import cache

import httpx2
import pytest

from tests.architecture.source import ROOT
from tests.attacks.origins import ATTACKS, MODULES, Attack


@cache
def names(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / "tests" / path).read_text())
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, functions))


def test_the_numbers_are_a01_to_a46() -> None:
    assert list(ATTACKS) == [f"A{number:02}" for number in range(1, 47)]


@pytest.mark.parametrize("attack", (ATTACKS | MODULES).values(), ids=[*ATTACKS, *MODULES])
def test_it_is_tried_by_a_test_or_cannot_be(attack: Attack) -> None:
    assert bool(attack.tests) != bool(attack.not_here)
    for test in attack.tests:
        path, _, name = test.partition("::")
        assert name in names(path), test


@pytest.mark.parametrize("attack", (ATTACKS | MODULES).values(), ids=[*ATTACKS, *MODULES])
def test_what_tries_it_is_a_test(attack: Attack) -> None:
    assert all(test.rpartition("::")[2].startswith("test_") for test in attack.tests)
    assert len({*attack.tests}) == len(attack.tests)


async def test_what_is_said_not_to_be_here_is_not(client: httpx2.AsyncClient) -> None:
    """Whoever adds codes, redirects or ID tokens has these attacks to try first."""
    told = (await client.get("/.well-known/oauth-authorization-server")).json()
    assert told["response_types_supported"] == []
    assert {*told["grant_types_supported"]} == {
        "client_credentials",
        "refresh_token",
        "urn:ietf:params:oauth:grant-type:token-exchange",
    }
    members = {word for member in told for word in member.split("_")}
    assert not members & {"authorization", "code", "id", "userinfo", "registration", "end"}
    paths = json.loads((ROOT / "openapi" / "tesserra-auth.json").read_text())["paths"]
    assert {path for path in paths if path.startswith("/oauth/")} == {
        "/oauth/introspect",
        "/oauth/revoke",
        "/oauth/token",
    }
    for operations in paths.values():
        for operation in operations.values():
            found = {status for status in operation["responses"] if status.startswith("3")}
            assert found <= {"304"}
