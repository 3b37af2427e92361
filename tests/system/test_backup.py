"""Backup and restore as docs/operate/backup.md tells it: dump, restore into a fresh server, go on.

Under a role that owns nothing, as in production: its privileges are in the dump, the role is not.
"""

import asyncio
import secrets
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import httpx2

from service.embedded.servers import Postgres
from service.kernel import migrate
from service.kernel.postgres import connect_once
from tests import given
from tests.deploy.programs import run
from tests.processes import service
from tests.servers import private_postgres
from tests.system.visitors import Visitor, inside

ROLE = "tesserra_serves"


async def _with_role(server: Postgres, *, grant: bool) -> str:
    """Make the role that serves; return the address it uses."""
    password = secrets.token_hex(16)
    owner = await connect_once(server.url, "public")
    try:
        await owner.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{password}'")
        if grant:
            await migrate.grant_to(owner, ROLE)
    finally:
        await owner.close()
    parts = urlsplit(server.url)
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{ROLE}:{password}@{place}"))


def dump(server: Postgres, file: Path) -> None:
    program = server.program.with_name("pg_dump")
    done = run(program, "--format=custom", "--no-owner", f"--file={file}", server.url)
    assert done.returncode == 0, done.stderr


def restore(server: Postgres, file: Path) -> None:
    program = server.program.with_name("pg_restore")
    done = run(program, "--exit-on-error", "--no-owner", f"--dbname={server.url}", file)
    assert done.returncode == 0, done.stderr


async def test_people_sign_in_and_sessions_go_on_after_a_restore(tmp_path: Path) -> None:
    file = tmp_path / "auth.dump"
    env = {"AUTH_ISSUER": "https://auth.example"}
    with private_postgres() as first:
        url = await _with_role(first, grant=True)
        async with service(database_url=url, env=env) as running:
            async with inside(running) as rt:
                person = await given.a_person(rt)
                stranger = await given.a_person(rt, "eve@acme.example")
            device, ended = Visitor(running.url, person), Visitor(running.url, stranger)
            for visitor in (device, ended):
                assert (await visitor.sign_in()).status_code == httpx2.codes.OK
            assert (await ended.sign_out()).status_code == httpx2.codes.NO_CONTENT
            await asyncio.to_thread(dump, first, file)
            for visitor in (device, ended):
                await visitor.client.aclose()
    with private_postgres(migrated=False) as second:
        url = await _with_role(second, grant=False)
        await asyncio.to_thread(restore, second, file)
        async with service(database_url=url, env=env) as running:
            again, out = Visitor(running.url, person), Visitor(running.url, stranger)
            again.access_token, again.refresh_token = device.access_token, device.refresh_token
            out.access_token, out.refresh_token = ended.access_token, ended.refresh_token
            # Tokens of before are good, and what was revoked before stays so, with an empty Redis.
            assert (await again.me()).status_code == httpx2.codes.OK
            assert (await again.refresh()).status_code == httpx2.codes.OK
            assert (await out.me()).status_code == httpx2.codes.UNAUTHORIZED
            assert (await out.refresh()).status_code == httpx2.codes.UNAUTHORIZED
            assert (await out.sign_in()).status_code == httpx2.codes.OK
            verified = await asyncio.to_thread(running.cli, "audit", "verify")
            assert verified.returncode == 0, verified.stdout + verified.stderr
            for visitor in (again, out):
                await visitor.client.aclose()
