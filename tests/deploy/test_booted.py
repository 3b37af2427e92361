"""The units under a systemd that runs: install.sh into a Debian, which is then booted."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from service.embedded.servers import free_port
from tests.deploy.programs import need
from tests.deploy.roots import Debian, debian
from tests.processes import MASTER_KEY
from tests.servers import cloned_database, redis_database
from tests.system.certificates import make_certificate

POLICY = """\
[security]
contact = "mailto:security@acme.example"
expires = 2100-01-01T00:00:00Z
[tokens]
algorithm = "RS256"
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What tests/deploy/probes/units.py finds."""
    need("systemd-nspawn")
    ports = (free_port(), free_port())
    with (
        debian(tmp_path_factory.mktemp("debian")) as host,
        cloned_database() as database,
        redis_database() as redis,
    ):
        _configure(host, database, redis, ports)
        given = {"TESSERRA_DOMAIN": "auth.example"}
        install = ("/opt/checkout/deploy/install.sh", "app", "systemd")
        done = host.run(*install, env=given, online=True)
        assert done.returncode == 0, done.stdout + done.stderr
        yield host.boot("units", *map(str, ports))


def _configure(host: Debian, database: str, redis: str, ports: tuple[int, int]) -> None:
    etc = host.root / "etc" / "tesserra-auth"
    for folder, port in ((etc, ports[0]), (etc / "acme", ports[1])):
        folder.mkdir(mode=0o700)
        (folder / "master.keys").write_text(MASTER_KEY)
        (folder / "database.url").write_text(database)
        (folder / "redis.url").write_text(redis)
        (folder / "auth.env").write_text(
            f"AUTH_ISSUER=https://auth.example\nAUTH_BIND=127.0.0.1:{port}\n"
        )
    (etc / "policy.toml").write_text(POLICY)
    for name in ("first", "second"):
        (host.root / "opt" / name).mkdir()
        make_certificate(host.root / "opt" / name)


def test_it_serves_in_its_sandbox_and_comes_back(found: dict[str, Any]) -> None:
    assert found["serves"]
    assert found["instance serves"]
    assert found["comes back"]
    for what in ("migrate", "command", "tesserra-auth-prune", "tesserra-auth-prune@acme"):
        assert found[what] == 0, what
    assert found["timer"] == "active"
    assert found["mode of its folder"] == "0o40700"
    assert found["result"] == "success"
    assert found["installed again"].splitlines()[-1] == "-- nothing to change"


def test_it_ends_tls_itself_and_takes_a_renewed_certificate(found: dict[str, Any]) -> None:
    assert found["serves TLS"]
    assert found["reload"] == 0
    assert found["takes a renewed certificate"]
    assert found["the same process"]


def test_the_policy_file_is_for_the_service_and_for_its_commands(found: dict[str, Any]) -> None:
    """Neither may look into the folder it lies in; the instance has none, and serves."""
    assert "Contact: mailto:security@acme.example" in found["security.txt"]
    assert found["next key"] == "RS256"


def test_it_has_no_rights(found: dict[str, Any]) -> None:
    status = found["status"]
    assert re.search(r"^CapEff:\s0+$", status, flags=re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\s1$", status, flags=re.MULTILINE)
    assert re.search(r"^Seccomp:\s2$", status, flags=re.MULTILINE)
    (uid,) = re.findall(r"^Uid:\s(\d+)", status, flags=re.MULTILINE)
    assert int(uid) > 60_000  # a user that exists while it runs


def test_a_missing_secret_is_named_and_nothing_starts(found: dict[str, Any]) -> None:
    assert found["without a secret"] != 0
    assert "AssertFileNotEmpty=/etc/tesserra-auth/master.keys was not met" in found["why not"]
