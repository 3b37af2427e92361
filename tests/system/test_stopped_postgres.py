"""PostgreSQL is stopped in the middle of a rotation's commit, and goes on."""

import asyncio

from faults.outages.hangs import stopped
from service.runtime import Runtime
from tests import given
from tests.processes import service
from tests.servers import private_postgres
from tests.system.visitors import UNLIMITED, connection, cookie, inside, visitors

POLICY = UNLIMITED + "[tokens]\nrefresh_grace = 3\nlost_answer_grace = 0\n"
STOPPED_SECONDS = 5.0
IN_COMMIT = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"


async def slow_commits(rt: Runtime) -> None:
    """Have the first rotation of each family stay in its commit for a second."""
    async with rt.pg.autocommit() as tx:
        await tx.execute(
            "CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN PERFORM pg_sleep(1); RETURN NULL; END';"
            "CREATE CONSTRAINT TRIGGER linger AFTER UPDATE ON auth_families DEFERRABLE"
            " INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.generation = 1 AND NEW.generation = 2)"
            " EXECUTE FUNCTION linger()"
        )


async def test_the_grace_begins_when_it_goes_on_and_who_asked_meanwhile_is_no_thief() -> None:
    """Three tabs: one renews, one asks while nothing answers, one comes late with the cookie."""
    with private_postgres() as postgres:
        async with (
            service(workers=2, database_url=postgres.url, policy=POLICY) as running,
            visitors(running, 1) as (tab,),
            connection(running.url) as other,
            connection(running.url) as late,
            inside(running) as rt,
        ):
            first = tab.refresh_token
            await slow_commits(rt)
            renewing = asyncio.create_task(tab.refresh())
            async with rt.pg.autocommit() as tx:
                while not await tx.fetchval(IN_COMMIT):
                    assert not renewing.done(), "it was not seen in its commit"
                    await asyncio.sleep(0.01)
            with stopped(postgres.pid):
                await asyncio.sleep(STOPPED_SECONDS)
                asking = asyncio.create_task(tab.on(other).refresh(first))
                await asyncio.sleep(0.2)
            assert (await renewing).status_code == 200
            newest = await tab.refresh()
            assert newest.status_code == 200
            for answer in (await tab.on(late).refresh(first), await asking):
                assert answer.status_code == 200, answer.text
            again = await tab.on(late).refresh(first)
            assert cookie(again) == cookie(newest)
            assert await given.events(rt, "family.burned") == []
