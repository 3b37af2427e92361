"""What README.md, the tutorial and the verifier's README show works as it stands there."""

import asyncio
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from service.domain.revocations import Kind
from service.embedded.checkout import ROOT
from service.kernel.ids import TenantId
from tests import given
from tests.verifier.test_against_the_service import World, a_world
from tests.verifier.test_middleware import bearing, running

pytestmark = pytest.mark.xdist_group("verifier")

README = (ROOT / "verifier" / "README.md").read_text()
NODE = shutil.which("node")


@pytest.fixture(scope="module")
async def world() -> AsyncIterator[World]:
    """The issuer is where it says, as for whoever follows the README."""
    async with a_world() as made:
        yield made


def shown(framework: str) -> str:
    found = re.search(rf"## {framework}\n\n```python\n(.*?)```", README, re.DOTALL)
    assert found, framework
    return found[1]


@pytest.mark.parametrize("framework", ["Litestar", "FastAPI", "Starlette"])
async def test_ten_lines_guard_an_application(
    world: World, framework: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [line for line in shown(framework).splitlines() if line.strip()]
    imports = [line for line in lines if line.startswith("from ")]
    assert len(lines) - len(imports) <= 10
    module = ModuleType(f"shown_for_{framework.lower()}")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # where annotations are looked up
    names: dict[str, Any] = vars(module)
    names |= {"ISSUER": world.issuer, "AUDIENCE": world.issuer}
    names |= {"CLIENT_ID": world.client_id, "SECRET": world.client_secret}
    exec(shown(framework), names)
    token, doomed = world.token(sub="ada"), world.token()
    async with running(names["app"]) as client:

        async def ask(token: str | None) -> httpx2.Response:
            return await client.get("/orders", headers=bearing(token) if token else {})

        good = await ask(token)
        assert (good.status_code, good.json()) == (200, {"for": "ada"})
        assert (await ask(doomed)).status_code == 200
        assert (await ask(None)).status_code == (await ask("x.y.z")).status_code == 401
        lacking = await ask(world.token(scope="proxy-ollama"))
        assert lacking.status_code == 403
        assert 'scope="agentes"' in lacking.headers["www-authenticate"]
        await world.revoke(Kind.JTI, given.claims(doomed)["jti"])
        async with asyncio.timeout(2):
            while (await ask(doomed)).status_code != 401:
                await asyncio.sleep(0.01)
        assert (await ask(token)).status_code == 200


async def test_the_first_page_shows_how_to_verify(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    (found,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    token = world.token(sub="ada")
    lines = found.replace("http://localhost:8080", world.issuer).splitlines()
    assert len([line for line in lines if line]) <= 10
    names: dict[str, Any] = {"client_id": world.client_id, "client_secret": world.client_secret}
    exec("async def shown(token):\n" + "\n".join(f"    {line}" for line in lines), names)
    await names["shown"](token)
    assert capsys.readouterr().out.startswith("ada ")
    await names["shown"]("x.y.z")
    assert capsys.readouterr().out.startswith("401 ")


async def test_the_tutorial_s_program_sees_a_token_die(world: World, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "tutorial" / "verify-tokens.md").read_text()
    found = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert found
    file = tmp_path / "check.py"
    file.write_text(found[1].replace("http://localhost:8080", world.issuer))
    token = world.token(sub="ada")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", str(file), world.client_id, world.client_secret, token),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT / "verifier")},
    )
    assert process.stdout
    async with asyncio.timeout(30):
        assert (await process.stdout.readline()).startswith(b"good: ada")
        await world.revoke(Kind.JTI, given.claims(token)["jti"])
        while (line := await process.stdout.readline()).startswith(b"good"):
            pass
        assert line.startswith(b"401 ")
        assert await process.wait() == 0


class Recipe:
    """`recipe.mjs`, asked by a token a line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def says(self, token: str) -> str:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{token}\n".encode())
        async with asyncio.timeout(10):
            return (await self._process.stdout.readline()).decode().strip()

    async def comes_to_say(self, token: str, wanted: str) -> None:
        async with asyncio.timeout(10):
            while await self.says(token) != wanted:
                await asyncio.sleep(0.02)


@pytest.fixture
async def recipe(world: World) -> AsyncIterator[Recipe]:
    if NODE is None:
        pytest.skip("the recipe is for Node.js, which is not here")
    file = str(ROOT / "verifier" / "recipe.mjs")
    who = [world.issuer, world.issuer, world.client_id, world.client_secret]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(NODE, file, *who, stdin=pipe, stdout=pipe)
    assert process.stdin
    yield Recipe(process)
    process.stdin.close()
    async with asyncio.timeout(10):
        assert await process.wait() == 0


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.KID])
async def test_the_one_file_stops_what_is_revoked_and_nothing_else(
    world: World, recipe: Recipe, kind: Kind
) -> None:
    token, other = world.token(), world.token()
    for one in (token, other):
        await recipe.comes_to_say(one, f"accepted {given.claims(one)['sub']}")
    await world.revoke(kind, given.claims(token)[kind.value])
    await recipe.comes_to_say(token, f"401 revoked: {kind.value}")
    assert await recipe.says(other) == f"accepted {given.claims(other)['sub']}"


async def test_the_one_file_lets_who_is_cut_off_in_one_organization_in_everywhere_else(
    world: World, recipe: Recipe
) -> None:
    who, here = str(uuid4()), uuid4()
    there, elsewhere = (world.token(sub=who, tenant_id=str(one)) for one in (here, uuid4()))
    for one in (there, elsewhere):
        await recipe.comes_to_say(one, f"accepted {who}")
    await world.revoke(Kind.SUB, who, tenant_id=TenantId(here))
    await recipe.comes_to_say(there, "401 revoked: sub")
    assert await recipe.says(elsewhere) == f"accepted {who}"


async def test_the_one_file_refuses_what_is_no_good_token(world: World, recipe: Recipe) -> None:
    good = world.token()
    await recipe.comes_to_say(good, f"accepted {given.claims(good)['sub']}")
    head, payload, signature = good.split(".")
    other = world.token(sub=str(uuid4())).split(".")
    for token, why in {
        f"{head}.{other[1]}.{signature}": "signature",
        f"{head}.{payload}.": "malformed",
        f"{head}.{payload}.{signature[:-1]}{chr(ord(signature[-1]) + 1)}": "malformed",
        f"{head}.{payload}": "malformed",
        "x.y.z": "malformed",
        "a" * 9000: "malformed",
        world.token(exp=1, iat=0): "expired",
        world.token(iat=9_999_999_999, exp=9_999_999_999): "not yet valid",
        world.token(aud="https://other.test"): "aud",
        world.token(iss="https://other.test"): "iss",
        world.token(cnf={"jkt": "x"}): "bound to a key",
        world.token(cnf={"x5t#S256": "x"}): "bound to a key",
        world.token(cnf={}): "bound to a key",
        world.token(cnf=None): "bound to a key",
        world.token(cnf="jkt"): "bound to a key",
    }.items():
        assert await recipe.says(token) == f"401 {why}"
