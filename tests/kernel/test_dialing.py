"""A connection to PostgreSQL is what the service thinks it is, or the reason is told."""

import asyncio
import os
import secrets
import signal
import socket
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from faults.proxy import Proxy
from service.embedded.servers import free_port
from service.kernel.dialing import CannotConnectError, dial
from service.kernel.postgres import Postgres
from service.kernel.refusal import Refused
from tests import poolers, servers
from tests.poolers import pooler
from tests.system.certificates import make_certificate

PATIENCE = 15.0
"""For a busy machine; what is told of time is measured beside it."""


async def refusal(url: str, schema: str = "public", seconds: float = PATIENCE) -> str:
    """Return why there is no connection; nothing of the URL is in it."""
    with pytest.raises(CannotConnectError) as caught:
        (await dial(url, schema, seconds)).terminate()
    told = str(caught.value)
    assert "\n" not in told
    assert (urlsplit(url).password or "canary") not in told
    return told


def with_place(url: str, *places: str) -> str:
    """Return the URL with these hosts and ports in place of its own."""
    parts = urlsplit(url)
    login = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{login}@{','.join(places)}"))


def place(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


# --- poolers


@poolers.needed
@pytest.mark.parametrize("more", [{}, {"server_reset_query": ""}, {"server_round_robin": "1"}])
async def test_a_pooler_that_keeps_sessions_works_as_it_is_installed(
    database_url: str, more: dict[str, str]
) -> None:
    with pooler(database_url, "session", **more) as made:
        for schema in ("elsewhere", "public"):
            session = await dial(made.url, schema, PATIENCE)
            assert await session.fetchval("SELECT current_setting('search_path')") == schema
            assert await session.fetchval("SELECT current_setting('jit')") == "off"
            await session.close()


@poolers.needed
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"default_pool_size": "1"},
        {"default_pool_size": "2"},
        {"server_round_robin": "1"},
        {"server_round_robin": "1", "default_pool_size": "2"},
        {"ignore_startup_parameters": "search_path,jit"},
    ],
)
@pytest.mark.parametrize("mode", ["transaction", "statement"])
async def test_a_pooler_whose_connections_are_no_sessions_is_refused(
    database_url: str, mode: str, more: dict[str, str]
) -> None:
    with pooler(database_url, mode, **more) as made:
        assert "set pool_mode=session" in await refusal(made.url)


@poolers.needed
async def test_it_is_refused_beside_others_who_use_it(database_url: str) -> None:
    async def bustle(url: str) -> None:
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError):
            other = await asyncpg.connect(url, statement_cache_size=0)
            try:
                while True:
                    await other.execute("SELECT pg_sleep(random() / 200)")
            finally:
                other.terminate()

    with pooler(database_url, "transaction", default_pool_size="5") as made:
        others = [asyncio.create_task(bustle(made.url)) for _ in range(4)]
        await asyncio.sleep(0.2)
        for _ in range(5):
            assert "set pool_mode=session" in await refusal(made.url)
        for one in others:
            one.cancel()
        await asyncio.gather(*others, return_exceptions=True)


@poolers.needed
async def test_a_pooler_with_one_connection_is_told_of(database_url: str) -> None:
    with pooler(database_url, "session", default_pool_size="1") as made:
        assert "default_pool_size" in await refusal(made.url)
    with pooler(database_url, "session", max_client_conn="1") as made:
        assert "too many connections" in await refusal(made.url)


@poolers.needed
async def test_what_a_pooler_does_not_know_is_told(database_url: str) -> None:
    with pooler(database_url, "session") as made:
        told = await refusal(f"{made.url}?some_parameter=canary")
        assert "some_parameter" in told
        assert "ignore_startup_parameters" in told
        assert "canary" not in told
        assert "no such database" in await refusal(servers.with_database(made.url, "nosuch"))
        assert "password is wrong" in await refusal(made.url.replace("@", "x@"))


# --- what is said of trouble


async def test_each_trouble_is_told_apart(database_url: str) -> None:
    assert "no such database" in await refusal(servers.with_database(database_url, "nosuch"))
    assert "password is wrong" in await refusal(database_url.replace("@", "x@"))
    port = free_port()
    assert "nothing listens" in await refusal(with_place(database_url, f"127.0.0.1:{port}"))
    nowhere = with_place(database_url, "nosuch.invalid:5432")
    assert "host name is unknown" in await refusal(nowhere)
    told = await refusal(f"{database_url}?nosuch_parameter=canary")
    assert told == "a parameter is unknown to the server: nosuch_parameter in the URL"
    told = await refusal(f"{database_url}?work_mem=canary")
    assert told == "a parameter has a value the server does not take: work_mem in the URL"
    with silent() as address:
        assert "does not answer" in await refusal(with_place(database_url, address), seconds=1)


async def test_an_unknown_role_is_told(database_url: str) -> None:
    parts = urlsplit(database_url)
    login = f"nosuch:secret@{place(database_url)}"
    told = await refusal(urlunsplit(parts._replace(netloc=login)))
    assert "there is no such role" in told


async def test_too_many_connections_are_told(database_url: str) -> None:
    """By the limit of a role of its own: by the server's, others would suffer."""
    role = f"limited_{secrets.token_hex(4)}"
    owner = await asyncpg.connect(database_url)
    await owner.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret' CONNECTION LIMIT 0")
    try:
        parts = urlsplit(database_url)
        login = parts._replace(netloc=f"{role}:secret@{place(database_url)}")
        told = await refusal(urlunsplit(login))
        assert told == "the server has too many connections already"
    finally:
        await owner.execute(f"DROP ROLE {role}")
        await owner.close()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("mysql://u:canary@db/auth", "not a PostgreSQL URL"),
        ("canary", "not a PostgreSQL URL"),
        ("postgresql://u:canary@db:port/auth", "not a PostgreSQL URL"),
        ("postgresql://u:can/ary@db/auth", "percent-encoded"),
        ("postgresql://u:can?ary@db/auth", "percent-encoded"),
        ("postgresql://u:can#ary@db/auth", "percent-encoded"),
        ("postgresql://u:canary@db/auth?sslmode=canary", "sslmode must be disable, allow"),
        ("postgresql://u:canary@db/auth?target_session_attrs=canary", "must be primary or"),
        ("postgresql://u:canary@db/auth?target_session_attrs=standby", "must be primary or"),
        (
            "postgresql://u:canary@db/auth?sslmode=verify-full&sslrootcert=/nosuch/canary",
            r"the file of sslrootcert cannot be read \(No such file or directory\)",
        ),
        (
            f"postgresql://u:canary@db/auth?sslmode=verify-full&sslrootcert={__file__}",
            "is no certificate or key that can be used",
        ),
    ],
)
async def test_what_is_wrong_with_a_url_is_told_and_not_shown(url: str, told: str) -> None:
    with pytest.raises(CannotConnectError, match=told) as caught:
        await dial(url, "public", PATIENCE)
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None


@asynccontextmanager
async def speaking_tls(database_url: str, folder: Path) -> AsyncIterator[str]:
    """A TLS front before the PostgreSQL of the tests, by a certificate made in this folder."""
    make_certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    host, _, port = place(database_url).rpartition(":")

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while some := await reader.read(65536):
            writer.write(some)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readexactly(8)  # SSLRequest
            writer.write(b"S")
            await writer.start_tls(context)
            behind, towards = await asyncio.open_connection(host, int(port))
            await asyncio.gather(pass_on(reader, towards), pass_on(behind, writer))

    everywhere = "0.0.0.0"
    async with await asyncio.start_server(serve, everywhere, 0) as front:
        yield f"localhost:{front.sockets[0].getsockname()[1]}"


async def test_trouble_with_tls_is_told_apart(database_url: str, tmp_path: Path) -> None:
    (tmp_path / "another").mkdir()
    make_certificate(tmp_path / "another")
    async with speaking_tls(database_url, tmp_path) as at:
        url = f"{with_place(database_url, at)}?sslmode=verify-full&sslrootcert="
        ours, another = tmp_path / "cert.pem", tmp_path / "another" / "cert.pem"
        (await dial(f"{url}{ours}", "public", PATIENCE)).terminate()
        other = with_place(f"{url}{ours}", at.replace("localhost", "127.0.0.2"))
        assert await refusal(other) == "the server's certificate is for another host name"
        assert "authority that is not trusted" in await refusal(f"{url}{another}")
    plain = f"{database_url}?sslmode=require"
    assert await refusal(plain) == "the server does not speak TLS, and sslmode demands it"


async def test_a_server_on_which_no_trigger_fires_is_refused_by_the_parameter_s_name() -> None:
    with servers.private_postgres(migrated=False, session_replication_role="replica") as server:
        told = await refusal(server.url)
    assert told.startswith("the parameter session_replication_role must be origin")


# --- hosts


@contextmanager
def silent() -> Iterator[str]:
    """A host that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


async def test_a_host_that_is_silent_is_passed_over(database_url: str) -> None:
    with silent() as first, silent() as second:
        began = time.monotonic()
        session = await dial(with_place(database_url, first, place(database_url)), "public", 9)
        once = time.monotonic() - began
        assert f"127.0.0.1:{session.address[1]}" == place(database_url)
        session.terminate()
        (
            await dial(with_place(database_url, first, second, place(database_url)), "public", 9)
        ).terminate()
    assert once < 2 + PATIENCE / 5


async def test_hosts_are_asked_in_their_order(database_url: str) -> None:
    at = place(database_url)
    other = f"localhost:{at.rpartition(':')[2]}"
    for url, first in (
        (with_place(database_url, at, other), "127.0.0.1"),
        (with_place(database_url, f"127.0.0.1:{free_port()}", other, at), "localhost"),
    ):
        session = await dial(url, "public", PATIENCE)
        assert session.address[0] == first
        session.terminate()


async def test_a_server_that_is_stopped_is_passed_over_at_start_and_later(
    database_url: str,
) -> None:
    """Stopped by a signal, as by a hanging disk: the kernel takes connections, nobody answers."""
    with servers.private_postgres(migrated=False) as hanging:
        await _same_login(hanging.url, database_url)
        url = with_place(database_url, place(hanging.url), place(database_url))
        pg = await Postgres.connect(url, "public")
        assert {await _port(pg) for _ in range(3)} == {hanging.port}
        _signal_group(hanging.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            waiting = [asyncio.create_task(_port(pg)) for _ in range(20)]
            while not pg.is_unsure:  # until one of them had to use the other host
                await asyncio.sleep(0.02)
            assert await pg.leave_silent()
            told = await asyncio.gather(*waiting, return_exceptions=True)
            took = time.monotonic() - began
            assert hanging.port not in told
            assert all(isinstance(one, int | Refused) for one in told), told
            assert await _port(pg) != hanging.port
            assert not await pg.leave_silent()
            anew = await Postgres.connect(url, "public")
            assert await _port(anew) != hanging.port
            await anew.close()
        finally:
            _signal_group(hanging.pid, signal.SIGCONT)
        assert took < PATIENCE / 2, "sooner than a statement is given up"
        await pg.close()


async def test_a_host_is_left_later_where_the_first_look_failed(database_url: str) -> None:
    at = int(place(database_url).rpartition(":")[2])
    async with Proxy(at).listening() as first, Proxy(at).listening() as second:
        url = with_place(database_url, f"127.0.0.1:{first.port}", f"127.0.0.1:{second.port}")
        pg = await Postgres.connect(url, "public")
        async with pg.autocommit():  # else it is this connection that is used again
            async with pg.autocommit():
                pass
            assert len(first.pairs) == 2
            async with pg.autocommit():
                first.swallowing = True
                async with pg.autocommit():  # a third one: it has to use the other host
                    assert pg.is_unsure
        second.swallowing = True
        assert not await pg.leave_silent()
        assert pg.is_unsure
        second.swallowing = False
        assert await pg.leave_silent()
        assert not pg.is_unsure
        assert await _port(pg) == at
        assert not first.pairs
        await pg.close()


async def _port(pg: Postgres) -> int:
    async with pg.reading() as tx:
        port: int = await tx.fetchval("SELECT current_setting('port')::int")
    return port


async def _same_login(url: str, other: str) -> None:
    """Have a server know the role, the password and the database of another one's URL."""
    parts = urlsplit(other)
    owner = await asyncpg.connect(url)
    role = await owner.fetchval("SELECT current_user")
    if role != parts.username:
        await owner.execute(f"CREATE ROLE {parts.username} LOGIN")
    await owner.execute(f"ALTER ROLE {parts.username} PASSWORD '{parts.password}'")
    await owner.execute(f"CREATE DATABASE {parts.path[1:]}")
    await owner.close()


def _signal_group(pid: int, number: signal.Signals) -> None:
    """Signal a server and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for one in (pid, *map(int, children)):
        with suppress(ProcessLookupError):
            os.kill(one, number)
