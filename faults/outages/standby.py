"""A standby of the site's PostgreSQL that every commit waits for, made by pg_basebackup."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

from faults.report import Report
from faults.site import Site
from service.embedded.servers import Postgres, give_to

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_TRUSTED = "host all postgres 127.0.0.1/32 trust\nhost replication postgres 127.0.0.1/32 trust\n"
_SETTINGS = {"synchronous_standby_names": "'*'", "wal_keep_size": "'1GB'"}
_PATIENCE_SECONDS = 60.0


class Standby(Postgres):
    """A copy that follows its primary."""

    def __init__(self, home: Path, primary: Postgres) -> None:
        """`primary` trusts its superuser."""
        super().__init__(home, primary.program.parent)
        self._primary = primary

    def _create(self) -> None:
        give_to(self._identity, self.home)
        source = f"host=127.0.0.1 port={self._primary.port} user=postgres"
        program = self.program.with_name("pg_basebackup")
        self._run("-D", str(self.cluster), "-d", source, "-R", "-c", "fast", program=program)


@asynccontextmanager
async def standby(site: Site, report: Report) -> AsyncIterator[Postgres | None]:
    """Lend a standby that every commit waits for; None where there is no pg_basebackup."""
    if not site.postgres.program.with_name("pg_basebackup").exists():
        report.tell("no pg_basebackup: no standby is lost")
        yield None
        return
    home = site.log.parent / "standby"
    follower = Standby(home, site.postgres)
    with _trusting(site.postgres):
        superuser = await asyncpg.connect(
            host="127.0.0.1", port=site.postgres.port, user="postgres", database="postgres"
        )
        try:
            follower.start()
            for name, value in _SETTINGS.items():
                await superuser.execute(f"ALTER SYSTEM SET {name} = {value}")
            await superuser.execute("SELECT pg_reload_conf()")
            await _in_step(superuser)
            yield follower
        finally:
            for name in _SETTINGS:
                await superuser.execute(f"ALTER SYSTEM RESET {name}")
            await superuser.execute("SELECT pg_reload_conf()")
            await superuser.close()
            follower.stop()
            shutil.rmtree(home)


async def _in_step(superuser: "Connection[Record]") -> None:
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while not await superuser.fetchval(
            "SELECT true FROM pg_stat_replication WHERE sync_state = 'sync'"
        ):
            await asyncio.sleep(0.1)


@contextmanager
def _trusting(primary: Postgres) -> Iterator[None]:
    """Let the superuser in, on loopback."""
    hba = primary.cluster / "pg_hba.conf"
    before = hba.read_text()
    hba.write_text(_TRUSTED + before)
    os.kill(primary.pid, signal.SIGHUP)
    try:
        yield
    finally:
        hba.write_text(before)
        os.kill(primary.pid, signal.SIGHUP)
