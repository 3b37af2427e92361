"""The master key: rotated while everything goes on, resumed wherever it was stopped, refused."""

import asyncio
import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest
from cryptography.fernet import Fernet

from service.domain import vault
from service.kernel import ids
from service.kernel.postgres import connect_once
from service.kernel.seal import Seal, SealBrokenError, sealed_by
from service.runtime import Runtime, StartError, open_runtime
from service.settings import Settings
from service.settings import load as load_settings
from tests.processes import Running, service
from tests.servers import cloned_database, redis_database

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
BOTH = f"{NEW},{OLD}"
ISSUER = "https://auth.test"
ANOTHER = "SELECT sealed FROM auth_secret_versions v JOIN auth_secrets s USING (secret_id)"
ALTERED = "set_byte(sealed, 50, CASE get_byte(sealed, 50) WHEN 65 THEN 66 ELSE 65 END)"
"""Another letter of the alphabet: A, or B where there was one."""
VALUE = b"a value nobody knows"
SEALED_BESIDE_SECRETS = 2
"""The root and the signing key."""


@dataclass
class Deployment:
    """A database of its own, sealed under the old key."""

    environment: dict[str, str]

    def settings(self, keys: str) -> Settings:
        return load_settings({**self.environment, "AUTH_MASTER_KEYS": keys})

    def cli(self, keys: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            command(*arguments),
            env=self.with_keys(keys),
            capture_output=True,
            text=True,
            check=False,
        )

    def with_keys(self, keys: str) -> dict[str, str]:
        return {**os.environ, **self.environment, "AUTH_MASTER_KEYS": keys}

    async def fetch(self, query: str, *given: Any) -> list[Any]:
        connection = await connect_once(self.environment["AUTH_DATABASE_URL"], "public")
        try:
            return await connection.fetch(query, *given)
        finally:
            await connection.close()

    async def sealed(self) -> list[bytes]:
        rows = await self.fetch(
            "SELECT sealed FROM auth_root UNION ALL SELECT sealed FROM auth_signing_keys"
            " UNION ALL SELECT sealed FROM auth_secret_versions ORDER BY 1"
        )
        return [row["sealed"] for row in rows]

    async def put(self, count: int, first: int = 0) -> None:
        """Seal secrets with the old key."""
        seal, at = Seal((OLD,)), datetime.now(UTC)
        connection = await connect_once(self.environment["AUTH_DATABASE_URL"], "public")
        looks = vault.recognise("s", VALUE)
        for n in range(first, first + count):
            name = f"s{n}"
            async with connection.transaction():
                await vault.put(
                    connection,
                    ids.new(at),
                    None,
                    name,
                    lambda version, name=name: seal.seal(  # type: ignore[misc]
                        vault.PURPOSE, vault.place(None, name, version), VALUE
                    ),
                    fingerprint="f" * 22,
                    looks=looks,
                    at=at,
                    by="tests",
                )
        await connection.close()


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", "service", *arguments]


@pytest.fixture
async def deployment() -> AsyncIterator[Deployment]:
    with cloned_database() as database_url, redis_database() as redis_url:
        made = Deployment(
            {
                "AUTH_ISSUER": ISSUER,
                "AUTH_DATABASE_URL": database_url,
                "AUTH_REDIS_URL": redis_url,
                "PYTHONPATH": os.pathsep.join(sys.path),
            }
        )
        async with open_runtime(made.settings(OLD), follow=False):
            pass
        yield made


async def opens(deployment: Deployment, keys: str) -> int:
    """Open everything with these keys, as a starting service and as a recipient would."""
    async with open_runtime(deployment.settings(keys), follow=False) as rt:
        rt.keyring.signing(rt.clock.now())
        async with rt.pg.reading() as tx:
            found = await vault.list_sealed(tx, (UUID(int=0), 0), 10_000)
        for one in found:
            place = vault.place(one.tenant_id, one.name, one.version)
            assert rt.seal.open(vault.PURPOSE, place, one.sealed) == VALUE
    return len(found)


async def refusal(deployment: Deployment, keys: str) -> str:
    with pytest.raises(StartError) as caught:
        async with open_runtime(deployment.settings(keys), follow=False):
            pass
    return str(caught.value)


async def test_a_rotation_moves_everything_to_the_new_key_and_the_old_one_may_go(
    deployment: Deployment,
) -> None:
    await deployment.put(7)
    total = 7 + SEALED_BESIDE_SECRETS
    before = deployment.cli(BOTH, "secret", "rotate-master", "--check", "--json")
    assert (before.returncode, msgspec.json.decode(before.stdout)["older"]) == (1, total)
    done = deployment.cli(BOTH, "secret", "rotate-master", "--json")
    assert done.returncode == 0, done.stderr
    assert msgspec.json.decode(done.stdout)["resealed"] == total
    newest = Seal((NEW,)).key_ids[0]
    assert {sealed_by(one) for one in await deployment.sealed()} == {newest}
    after = deployment.cli(BOTH, "secret", "rotate-master", "--check")
    assert (after.returncode, f"all {total} open" in after.stdout) == (0, True)
    again = deployment.cli(BOTH, "secret", "rotate-master", "--json")
    assert msgspec.json.decode(again.stdout)["resealed"] == 0
    assert await opens(deployment, NEW) == 7
    assert "everything is sealed under another" in await refusal(deployment, OLD)
    assert not any(key in done.stdout + done.stderr + after.stdout for key in (OLD, NEW))
    events = await deployment.fetch(
        "SELECT detail FROM auth_eventos WHERE event_type = 'master_key.rotated'"
    )
    assert len(events) == 2


async def test_progress_is_shown_to_whoever_watches(deployment: Deployment) -> None:
    await deployment.put(120)

    def watch() -> bytes:
        mine, theirs = pty.openpty()
        with subprocess.Popen(
            command("secret", "rotate-master"),
            env=deployment.with_keys(BOTH),
            stdout=subprocess.DEVNULL,
            stderr=theirs,
        ):
            os.close(theirs)
            shown = b""
            with contextlib.suppress(OSError):  # how a terminal ends
                while piece := os.read(mine, 4096):
                    shown += piece
        os.close(mine)
        return shown

    percent = [int(told) for told in re.findall(rb"(\d+)%", await asyncio.to_thread(watch))]
    assert percent == sorted(percent)
    assert len(set(percent)) >= 3, percent
    assert percent[-1] == 100


async def test_what_was_issued_before_a_rotation_is_good_after_it(deployment: Deployment) -> None:
    """HMAC keys, signing keys and the keys of recipients derive from the root, which stays."""

    async def derived(keys: str) -> tuple[str, list[bytes]]:
        from service.domain.keyring import Usage  # noqa: PLC0415

        async with open_runtime(deployment.settings(keys), follow=False) as rt:
            signing = rt.keyring.signing(rt.clock.now()).kid
            return signing, [rt.keyring.derived(usage) for usage in Usage]

    before = await derived(OLD)
    assert deployment.cli(BOTH, "secret", "rotate-master").returncode == 0
    assert await derived(NEW) == before


async def test_a_rotation_killed_at_any_moment_loses_nothing_and_goes_on(
    deployment: Deployment,
) -> None:
    await deployment.put(600)
    newest = Seal((NEW,)).key_ids[0]

    async def left() -> int:
        return sum(sealed_by(one) != newest for one in await deployment.sealed())

    stopped = []
    for share in (0.9, 0.5, 0.2):
        child = subprocess.Popen(  # noqa: ASYNC220 - our own program
            command("secret", "rotate-master"),
            env=deployment.with_keys(BOTH),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(30):
                while child.poll() is None and await left() > 602 * share:
                    await asyncio.sleep(0)
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait()
        stopped.append(await left())
        assert await opens(deployment, BOTH) == 600
        if 0 < stopped[-1] < 602:
            assert "half rotated" in await refusal(deployment, NEW)
            assert "half rotated" in await refusal(deployment, OLD)
    assert any(0 < one < 602 for one in stopped), stopped
    done = deployment.cli(BOTH, "secret", "rotate-master")
    assert done.returncode == 0, done.stderr
    assert await left() == 0
    assert await opens(deployment, NEW) == 600


async def test_wrong_keys_are_refused_and_change_nothing(deployment: Deployment) -> None:
    await deployment.put(3)
    before = await deployment.sealed()
    wrong = Fernet.generate_key().decode()
    assert "everything is sealed under another" in await refusal(deployment, wrong)
    for keys, said in ((wrong, "AUTH_MASTER_KEYS"), ("short", "32 bytes")):
        done = deployment.cli(keys, "secret", "rotate-master")
        assert (done.returncode, said in done.stderr) == (1, True), done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
        assert wrong not in done.stderr
    assert await deployment.sealed() == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("sealed = substring(sealed FROM 1 FOR length(sealed) - 3)", "cut short"),
        (f"sealed = {ALTERED}", "altered"),
        (f"sealed = ({ANOTHER} WHERE s.name = 's2')", "belongs to another name"),
    ],
)
async def test_a_rotation_names_what_does_not_open_leaves_it_and_does_the_rest(
    deployment: Deployment, change: str, said: str
) -> None:
    await deployment.put(4)
    await deployment.fetch(
        f"UPDATE auth_secret_versions SET {change} WHERE secret_id ="
        " (SELECT secret_id FROM auth_secrets WHERE name = 's1') RETURNING 1"
    )
    done = deployment.cli(BOTH, "secret", "rotate-master", "--json")
    assert done.returncode == 1
    told = msgspec.json.decode(done.stdout)
    assert (told["resealed"], len(told["broken"])) == (3 + SEALED_BESIDE_SECRETS, 1)
    assert "secret platform/s1/1" in told["broken"][0]
    assert said in told["broken"][0]
    check = deployment.cli(BOTH, "secret", "rotate-master", "--check")
    assert (check.returncode, "1 of 6 still depend" in check.stdout) == (1, True), check.stdout


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE auth_root SET sealed = substring(sealed FROM 1 FOR 20)", "cut short"),
        ("UPDATE auth_root SET sealed = set_byte(sealed, 0, 0)", "cut short"),
        (f"UPDATE auth_root SET sealed = {ALTERED}", "altered"),
        ("UPDATE auth_root SET sealed = (SELECT sealed FROM auth_signing_keys)", "another purpose"),
        ("DELETE FROM auth_root", "it is gone"),
    ],
)
async def test_without_its_root_a_database_is_refused_and_gets_no_other(
    deployment: Deployment, change: str, said: str
) -> None:
    (before,) = await deployment.fetch("SELECT sealed, created_at FROM auth_root")
    await deployment.fetch(change)
    damaged = await deployment.fetch("SELECT sealed FROM auth_root")
    told = await refusal(deployment, OLD)
    assert told.startswith("root")
    assert said in told
    assert "AUTH_MASTER_KEYS" not in told  # they are the right ones
    assert await deployment.fetch("SELECT sealed FROM auth_root") == damaged
    await deployment.fetch("DELETE FROM auth_root")
    await deployment.fetch(
        "INSERT INTO auth_root (sealed, created_at) VALUES ($1, $2)", *before.values()
    )
    assert await opens(deployment, OLD) == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("sealed = substring(sealed FROM 1 FOR length(sealed) - 3)", "cut short"),
        ("sealed = set_byte(sealed, 0, 0)", "cut short"),
        (f"sealed = {ALTERED}", "altered"),
        (
            "sealed = (SELECT sealed FROM auth_signing_keys other WHERE other.kid <> k.kid)",
            "belongs to another name",
        ),
    ],
)
async def test_a_signing_key_that_does_not_open_is_named_and_can_be_killed(
    deployment: Deployment, change: str, said: str
) -> None:
    """Nothing is served meanwhile, and everything else stays as it was."""
    await deployment.put(2)
    (first,) = [row["kid"] for row in await deployment.fetch("SELECT kid FROM auth_signing_keys")]
    assert deployment.cli(OLD, "key", "rotate").returncode == 0
    await deployment.fetch(f"UPDATE auth_signing_keys k SET {change} WHERE kid = $1", first)
    refused = deployment.cli(OLD, "serve")
    (line,) = refused.stderr.splitlines()
    assert refused.returncode == 1
    assert f"signing-key {first}: " in line
    assert said in line
    assert "AUTH_MASTER_KEYS" not in line
    rotated = deployment.cli(BOTH, "secret", "rotate-master", "--json")
    told = msgspec.json.decode(rotated.stdout)
    assert (rotated.returncode, told["resealed"]) == (1, 2 + SEALED_BESIDE_SECRETS)
    assert first in told["broken"][0]
    killed = deployment.cli(BOTH, "key", "kill", first)
    assert (killed.returncode, "signs from now on" in killed.stdout) == (0, True), killed.stderr
    async with service(
        env={"AUTH_MASTER_KEYS": BOTH, "AUTH_ISSUER": ISSUER},
        database_url=deployment.environment["AUTH_DATABASE_URL"],
        redis_url=deployment.environment["AUTH_REDIS_URL"],
    ) as running:
        await running.ready()
    check = deployment.cli(BOTH, "secret", "rotate-master", "--check")
    assert check.returncode == 0, check.stderr
    assert await opens(deployment, NEW) == 2


@pytest.mark.parametrize(
    "damage", ["''", "substring(sealed FROM 1 FOR 5)", "set_byte(sealed, 0, 0)"]
)
async def test_a_secret_that_is_no_ciphertext_any_more_is_not_taken_for_one_of_a_missing_key(
    deployment: Deployment, damage: str
) -> None:
    await deployment.put(2)
    await deployment.fetch(
        f"UPDATE auth_secret_versions SET sealed = {damage} WHERE secret_id ="
        " (SELECT secret_id FROM auth_secrets WHERE name = 's1')"
    )
    async with open_runtime(deployment.settings(OLD), follow=False) as rt, rt.pg.reading() as tx:
        whole, damaged = await vault.list_sealed(tx, (UUID(int=0), 0), 10)
        assert rt.seal.open(vault.PURPOSE, "platform/s0/1", whole.sealed) == VALUE
        with pytest.raises(SealBrokenError, match="cut short"):
            rt.seal.open(vault.PURPOSE, "platform/s1/1", damaged.sealed)


async def test_a_service_serves_through_a_rotation_and_after_it(deployment: Deployment) -> None:
    await deployment.put(200)
    running: Running
    async with service(
        env={"AUTH_MASTER_KEYS": BOTH, "AUTH_ISSUER": ISSUER},
        database_url=deployment.environment["AUTH_DATABASE_URL"],
        redis_url=deployment.environment["AUTH_REDIS_URL"],
    ) as running:
        rotation = asyncio.create_task(asyncio.to_thread(running.cli, "secret", "rotate-master"))
        while not rotation.done():
            await running.ready()
        done = await rotation
        assert done.returncode == 0, done.stderr
        assert running.cli("key", "rotate").returncode == 0
        await running.ready()
    assert await opens(deployment, NEW) == 200


async def test_an_open_runtime_shows_no_key(deployment: Deployment) -> None:
    rt: Runtime
    async with open_runtime(deployment.settings(BOTH), follow=False) as rt:
        shown = repr(rt) + repr(rt.settings) + repr(rt.seal) + repr(vars(rt.keyring).keys())
        assert not any(key in shown for key in (OLD, NEW))
