"""The supervisor's PostgreSQL and Valkey, by themselves."""

import os
import signal
import subprocess
from pathlib import Path

import asyncpg
import pytest
import redis

from service.embedded import binaries
from service.embedded.checkout import postgres, valkey
from service.embedded.servers import Postgres, clean_environment, identity, launched
from tests.servers import private_postgres, private_redis


async def test_what_was_committed_survives_a_kill_and_the_port_stays() -> None:
    with private_postgres(migrated=False) as server:
        connection = await asyncpg.connect(server.url)
        await connection.execute("CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)")
        port = server.port
        server.kill()
        connection.terminate()
        assert not server.is_running()
        server.start()
        assert server.port == port
        connection = await asyncpg.connect(server.url)
        assert await connection.fetchval("SELECT n FROM kept") == 7
        await connection.close()


def test_redis_comes_back_empty_on_its_port() -> None:
    with private_redis() as server:
        with redis.Redis.from_url(server.url) as client:
            client.set("a", "1")
        server.kill()
        server.start()
        with redis.Redis.from_url(server.url) as client:
            assert client.get("a") is None


async def test_the_role_of_the_service_is_no_superuser_and_needs_its_password() -> None:
    with private_postgres(migrated=False) as server:
        connection = await asyncpg.connect(server.url)
        assert await connection.fetchval("SHOW is_superuser") == "off"
        await connection.close()
        for user in ("tesserra", "postgres"):
            with pytest.raises(asyncpg.InvalidPasswordError):
                await asyncpg.connect(server.url, user=user, password="guess")


def test_redis_needs_its_password() -> None:
    with private_redis() as server:
        stranger = redis.Redis(port=server.port)
        with pytest.raises(redis.AuthenticationError):
            stranger.ping()
        stranger.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="about what root does")
@pytest.mark.parametrize("mode", ["nobody", "mapped", "reader"])
def test_root_gives_up_being_root(mode: str, tmp_path: Path) -> None:
    if mode == "mapped" and _as(mode, "true").returncode:
        pytest.skip("no user namespaces here")
    assert _as(mode, "id -u").stdout.strip() == "65534"
    secret = tmp_path / "closed" / "file"
    secret.parent.mkdir(mode=0o700)
    secret.write_text("read")
    assert (_as(mode, f"cat {secret}").stdout == "read") == (mode != "nobody")


def _as(mode: str, script: str) -> "subprocess.CompletedProcess[str]":
    command = launched(mode, signal.SIGKILL, "/bin/sh", "-c", script)
    return subprocess.run(
        command, env=clean_environment(), capture_output=True, text=True, check=False
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="about what root does")
def test_root_without_namespaces_still_runs_postgresql_in_a_closed_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.embedded.servers.identity", lambda *_: "reader")
    tmp_path.chmod(0o700)
    server = postgres(tmp_path / "postgres")
    server.start()
    server.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="about what root does")
def test_root_is_nobody_where_nobody_may_enter(tmp_path: Path) -> None:
    program = Path("/bin/true")
    assert identity(program, Path("/srv")) == "nobody"
    tmp_path.chmod(0o700)
    assert identity(program, tmp_path / "home") in ("mapped", "reader")


def test_a_server_ends_with_its_starter_even_if_that_is_killed_at_once() -> None:
    lost = launched("self", signal.SIGKILL, "/bin/sleep", "60")
    lost[6] = "1"  # the parent it was told about is not the one it has
    done = subprocess.run(lost, capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode != 0
    assert "is gone" in done.stderr


def test_half_made_data_is_made_again(tmp_path: Path) -> None:
    server = valkey(tmp_path / "valkey")
    server.start()
    server.stop()
    half = postgres(tmp_path / "postgres")
    (half.home / "cluster.new").mkdir(parents=True)
    (half.home / "cluster.new" / "PG_VERSION").write_text("half")
    half.start()
    half.stop()


def test_the_reason_of_a_failure_is_the_server_s_own_word(tmp_path: Path) -> None:
    server = postgres(tmp_path / "postgres", {"shared_buffers": "nonsense"})
    with pytest.raises(Exception, match="shared_buffers"):
        server.start()


def test_installed_servers_do_as_well_as_the_wheels(tmp_path: Path) -> None:
    found = binaries.installed_postgres()
    if found is None:
        pytest.skip("no PostgreSQL is installed")
    server = Postgres(tmp_path / "postgres", found)
    server.start()
    server.stop()
