"""Why Redis cannot be used is told; a user who may not do everything is told of once."""

import re
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
import redis as client
import structlog

from service.embedded.checkout import ROOT
from service.embedded.servers import free_port
from service.kernel.clock import Clock
from service.kernel.redis import Redis, RedisLostError
from tests import servers
from tests.system.certificates import make_certificate

_LINES = re.search(
    r"ACL SETUSER tesserra on >PASSWORD (resetchannels.*\n.*)",
    (ROOT / "docs" / "operate" / "servers.md").read_text(),
)
assert _LINES is not None
NEEDED = _LINES[1].split()
"""What docs/operate/servers.md says that a user needs."""


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no trouble of Redis."""
    monkeypatch.setattr("service.kernel.redis._TIMEOUT", 10.0)


async def checked(url: str) -> str:
    """Return why it cannot be used, empty when it can; nothing of the URL is in it."""
    redis = Redis(url, "public", Clock())
    told = ""
    try:
        await redis.check()
    except RedisLostError as exc:
        told = str(exc)
    finally:
        await redis.close()
    assert "canary" not in told
    return told


@contextmanager
def user(redis_url: str, *rules: str, password: str = "canary") -> Iterator[str]:
    """A user of Redis with these rules; return the URL with its name."""
    name = f"u{secrets.token_hex(4)}"
    with client.Redis.from_url(redis_url) as owner:
        owner.execute_command("ACL", "SETUSER", name, "on", f">{password}", *rules)
        try:
            parts = urlsplit(redis_url)
            place = parts.netloc.rpartition("@")[2]
            yield urlunsplit(parts._replace(netloc=f"{name}:canary@{place}"))
        finally:
            owner.execute_command("ACL", "DELUSER", name)


async def test_what_the_readme_says_a_user_needs_is_enough(redis_url: str) -> None:
    with user(redis_url, *NEEDED) as url:
        assert await checked(url) == ""
        assert await checked(url) == ""


@pytest.mark.parametrize("command", [one for one in NEEDED if one[0] == "+" and one != "+select"])
async def test_each_of_it_is_needed_and_named_when_it_lacks(redis_url: str, command: str) -> None:
    with user(redis_url, *(one for one in NEEDED if one != command)) as url:
        assert await checked(url) == f"the user may not use the command {command[1:]}"


async def test_keys_that_may_not_be_used_are_told_of(redis_url: str) -> None:
    others = [one for one in NEEDED if one[0] != "~"]
    with user(redis_url, "~other:*", *others) as url:
        assert await checked(url) == "the user may not use the keys tesserra:*"


async def test_what_a_user_may_not_do_any_more_is_told_once_and_the_rest_goes_on(
    redis_url: str,
) -> None:
    with user(redis_url, *(one for one in NEEDED if one != "+lrange")) as url:
        redis = Redis(url, "public", Clock())
        with structlog.testing.capture_logs() as lines:
            for _ in range(3):
                with pytest.raises(RedisLostError, match="lrange"):
                    await redis.ask(lambda used: used.lrange(f"{redis.prefix}x", 0, -1))
                assert await redis.ping()
        await redis.close()
    assert [(line["event"], line["error"]) for line in lines] == [
        ("redis refuses", "the user may not use the command lrange")
    ]


async def test_each_trouble_is_told_apart(redis_url: str) -> None:
    with user(redis_url, *NEEDED, password="other") as url:
        assert "the password is wrong" in await checked(url)
    with user(redis_url, *NEEDED, "off") as url:
        assert "the user is unknown or off" in await checked(url)
    number = servers.with_database(redis_url, "9999")
    assert await checked(number) == "there is no database of this number"
    assert "nothing listens" in await checked(f"redis://127.0.0.1:{free_port()}/0")
    assert "host name is unknown" in await checked("redis://canary.invalid/0")


@pytest.fixture
def tls_port(tmp_path: Path) -> Iterator[int]:
    """A Redis that speaks TLS at a port, by the certificate in the folder `ours`."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("no redis-server is installed")
    for authority in ("ours", "another"):
        (tmp_path / authority).mkdir()
        make_certificate(tmp_path / authority)
    port = free_port()
    ours = tmp_path / "ours"
    options = {
        "port": "0",
        "tls-port": str(port),
        "tls-cert-file": str(ours / "cert.pem"),
        "tls-key-file": str(ours / "key.pem"),
        "tls-auth-clients": "no",
        "dir": str(tmp_path),
        "save": "",
    }
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    child = subprocess.Popen([program, *arguments], stdout=subprocess.DEVNULL)
    try:
        _await_port(port, child)
        yield port
    finally:
        child.kill()
        child.wait()


async def test_trouble_with_tls_is_told_apart(tls_port: int, tmp_path: Path) -> None:
    ca = f"ssl_ca_certs={tmp_path / 'ours' / 'cert.pem'}"
    assert await checked(f"rediss://localhost:{tls_port}/0?{ca}") == ""
    wrong = f"ssl_ca_certs={tmp_path / 'another' / 'cert.pem'}"
    assert "authority" in await checked(f"rediss://localhost:{tls_port}/0?{wrong}")
    assert "another host name" in await checked(f"rediss://127.0.0.2:{tls_port}/0?{ca}")
    assert "rediss://" in await checked(f"redis://localhost:{tls_port}/0")
    missing = f"ssl_ca_certs={tmp_path / 'canary'}"
    assert "ssl_ca_certs" in await checked(f"rediss://localhost:{tls_port}/0?{missing}")


def _await_port(port: int, child: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if child.poll() is not None:
                pytest.skip("this redis-server knows no TLS")
            assert time.monotonic() < deadline
            time.sleep(0.02)
        else:
            return
