"""Every door that sets a password refuses the known ones, and those of the operator's own file."""

from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
from msgspec.structs import replace

from service.policy import Passwords, Policy
from service.runtime import Runtime
from service.settings import Settings
from tests import given
from tests.cli.shell import refusal, run
from tests.http import asking

OWN = "tesserra-winter-fest"
REFUSED = ["1qaz2wsx", "Q1W2E3R4T5", "MidNight", OWN.upper()]
"""The first three passed once; each in another case than the list has it, or in its own."""


@pytest.fixture
def policy(policy: Policy, tmp_path: Path) -> Policy:
    own = tmp_path / "known.txt"
    own.write_text(f"{OWN}\n")
    return replace(policy, passwords=Passwords(known_file=str(own)))


async def test_a_change_of_password(rt: Runtime, client: httpx2.AsyncClient) -> None:
    ada = await given.a_person(rt)
    headers = asking.bearer(await asking.sign_in(client, ada))
    for password in REFUSED:
        form = {"current_password": ada.password, "new_password": password}
        refused = await client.put("/auth/password", json=form, headers=headers)
        assert (refused.status_code, refused.json()["fields"]) == (400, ["new_password"])
    assert (await asking.sign_in(client, ada)).status_code == 200


async def test_accepting_an_invitation(
    rt: Runtime, browser: Callable[..., httpx2.AsyncClient]
) -> None:
    owner, client = browser(), browser()
    headers = asking.bearer(await asking.sign_in(owner, await given.a_person(rt, role="owner")))
    form = {"email": "new@acme.example"}
    link = (await owner.post("/admin/users", json=form, headers=headers)).json()["link"]
    token = link.partition("#")[2]
    for password in REFUSED:
        accept = {"token": token, "password": password}
        refused = await client.post("/auth/invitations/accept", json=accept)
        assert (refused.status_code, refused.json()["fields"]) == (400, ["password"])
    accept = {"token": token, "password": "nobody knows this yet"}
    assert (await client.post("/auth/invitations/accept", json=accept)).status_code == 200


async def test_creating_a_person_on_the_command_line(
    rt: Runtime, settings: Settings, policy: Policy, tmp_path: Path
) -> None:
    await given.an_organization(rt)
    file = tmp_path / "policy.toml"
    file.write_text(f'[passwords]\nknown_file = "{policy.passwords.known_file}"\n')
    create = ("user", "create", "--email", "a@acme.example", "--organization", "acme")
    for password in (REFUSED[0], REFUSED[-1]):
        done = run(
            settings,
            *create,
            "--password-stdin",
            stdin=password.encode(),
            more={"policy_file": str(file)},
        )
        assert "easy to guess" in refusal(done, 2)
