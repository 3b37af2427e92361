"""deploy/systemd, read by systemd's own tools."""

import re
from pathlib import Path

import pytest

from tests.deploy.programs import DEPLOY, need, run

UNITS = DEPLOY / "systemd"
SERVICES = sorted(path.name for path in UNITS.glob("*.service"))
TIMERS = sorted(path.name for path in UNITS.glob("*.timer"))
SANDBOXED = [name for name in SERVICES if name.startswith("tesserra-auth")]
MOST_EXPOSED = {"renew-tesserra-auth.service": 3.0}
"""Certbot runs as root, since it writes where nginx's master reads."""


def _value(text: str, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", text, flags=re.MULTILINE)


@pytest.fixture
def laid_out(tmp_path: Path) -> Path:
    """The units with their variables filled in, and with programs that are here."""
    for path in UNITS.iterdir():
        text = path.read_text().replace("${TESSERRA_DOMAIN}", "auth.example")
        text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE)
        (tmp_path / path.name).write_text(text)
    return tmp_path


@pytest.mark.parametrize("name", [*SERVICES, *TIMERS])
def test_systemd_takes_the_unit(laid_out: Path, name: str) -> None:
    _verify(laid_out / name)


def _verify(unit: Path) -> None:
    done = run(need("systemd-analyze"), "verify", "--man=no", unit)
    assert done.returncode == 0
    assert done.stderr.strip() == ""


@pytest.mark.parametrize("name", SERVICES)
def test_the_exposure_is_low(laid_out: Path, name: str) -> None:
    assert _exposure(laid_out / name) <= MOST_EXPOSED.get(name, 1.5)


def test_the_exposure_is_low_where_the_service_ends_tls_itself(laid_out: Path) -> None:
    (laid_out / "tesserra-auth.service.d").mkdir()
    (laid_out / "own-tls.conf").rename(laid_out / "tesserra-auth.service.d" / "own-tls.conf")
    _verify(laid_out / "tesserra-auth.service")
    without = _exposure(UNITS / "tesserra-auth.service")
    assert without < _exposure(laid_out / "tesserra-auth.service") <= 1.5  # it was taken


def _exposure(unit: Path) -> float:
    done = run(need("systemd-analyze"), "security", "--offline=yes", unit)
    told = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    assert told, done.stdout + done.stderr
    return float(told[1])


def test_every_unit_has_the_same_sandbox() -> None:
    def sandbox(name: str) -> list[str]:
        text = (UNITS / name).read_text()
        lines = text[text.index("# The sandbox") :].partition("\n\n[Install]")[0].splitlines()
        return [line for line in lines if line and not line.startswith("#")]

    first = sandbox("tesserra-auth.service")
    assert {"NoNewPrivileges=yes", "ProtectSystem=strict", "PrivateTmp=yes"} <= set(first)
    assert "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX" in first
    for name in SANDBOXED:
        assert sandbox(name) == first, name


@pytest.mark.parametrize("name", SANDBOXED)
def test_secrets_are_credentials_and_what_is_missing_is_named(name: str) -> None:
    text = (UNITS / name).read_text()
    asserted = set(_value(text, "AssertFileNotEmpty"))
    loaded = dict(value.split(":", 1) for value in _value(text, "LoadCredential"))
    files = {"master.keys", "database.url", "redis.url", "policy.toml"}
    assert loaded.keys() == files
    for known, source in loaded.items():
        # The policy alone may be missing, and then is empty.
        assert (source in asserted) is (known != "policy.toml")
    assert [v.partition(":")[0] for v in _value(text, "SetCredential")] == ["policy.toml"]
    environment = set(_value(text, "Environment"))
    assert {
        "AUTH_MASTER_KEYS_FILE=%d/master.keys",
        "AUTH_DATABASE_URL_FILE=%d/database.url",
        "AUTH_REDIS_URL_FILE=%d/redis.url",
        "AUTH_POLICY_FILE=%d/policy.toml",
    } <= environment
    assert set(_value(text, "EnvironmentFile")) <= asserted
    assert not re.search(
        r"^Environment=AUTH_(MASTER_KEYS|DATABASE_URL|REDIS_URL|SMTP_URL)=", text, re.MULTILINE
    )


def test_it_listens_on_loopback_and_comes_back() -> None:
    text = (UNITS / "tesserra-auth.service").read_text()
    assert "AUTH_BIND=127.0.0.1:8080" in _value(text, "Environment")
    assert _value(text, "Restart") == ["always"]
    assert int(_value(text, "TimeoutStopSec")[0]) > 15  # what workers are given


def test_an_organization_s_instance_shares_nothing_with_another() -> None:
    text = (UNITS / "tesserra-auth@.service").read_text()
    for key in ("User", "StateDirectory", "EnvironmentFile", "LoadCredential"):
        assert all("%i" in value for value in _value(text, key)), key


def test_every_timer_has_its_service() -> None:
    assert {name.replace(".timer", ".service") for name in TIMERS} <= set(SERVICES)
    assert "tesserra-auth-prune.timer" in TIMERS
    assert "renew-tesserra-auth.timer" in TIMERS
