"""The service behind PgBouncer, Debian's package: it works, or the way out is told."""

import pytest

from service.settings import Settings
from tests import given, poolers, servers
from tests.cli.shell import refusal, run
from tests.poolers import pooler
from tests.processes import service
from tests.system.visitors import UNLIMITED, Visitor, inside

pytestmark = poolers.needed


async def test_behind_a_pooler_that_keeps_sessions_people_sign_in_and_stay_in() -> None:
    with (
        servers.cloned_database() as url,
        pooler(url, "session", default_pool_size="60") as made,
    ):
        async with service(workers=2, database_url=made.url, policy=UNLIMITED) as running:
            async with inside(running) as rt:
                person = await given.a_person(rt)
            visitor = Visitor(running.url, person)
            for _ in range(4):
                assert (await visitor.sign_in()).status_code == 200
                assert (await visitor.refresh()).status_code == 200
                assert (await visitor.me()).status_code == 200
            await visitor.client.aclose()


@pytest.mark.parametrize("more", [{}, {"ignore_startup_parameters": "search_path,jit"}])
@pytest.mark.parametrize("arguments", [("serve",), ("migrate",), ("prune",)])
def test_behind_another_nothing_starts_and_the_way_out_is_told(
    settings: Settings, arguments: tuple[str, ...], more: dict[str, str]
) -> None:
    with pooler(settings.database_url, "transaction", **more) as made:
        line = refusal(run(settings, *arguments, more={"database_url": made.url}))
    assert line.startswith("AUTH_DATABASE_URL: a pooler gives each transaction another session")
    assert "set pool_mode=session" in line


def test_a_pooler_does_not_mislead_migrate_into_another_deployment(settings: Settings) -> None:
    """The tables of `public`, which are there, are not those of the schema that was asked for."""
    more = {"ignore_startup_parameters": "search_path,jit"}
    with pooler(settings.database_url, "session", **more) as made:
        own = {"database_url": made.url, "database_schema": "own"}
        done = run(settings, "migrate", more=own)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("applied 0001_")
        assert run(settings, "migrate", more=own).stdout == "nothing to apply\n"
