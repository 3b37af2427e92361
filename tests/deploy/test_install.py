"""deploy/install.sh on a whole Debian: twice, dry, undone; at rest first, then on one that runs."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from service.embedded.checkout import ROOT
from tests.deploy.programs import DEPLOY, need, run
from tests.deploy.roots import Debian, debian
from tests.system.certificates import make_certificate

INSTALL = "/opt/checkout/deploy/install.sh"
GIVEN = {
    "TESSERRA_DOMAIN": "auth.example",
    "TESSERRA_ACME_EMAIL": "root@acme.example",
    "TESSERRA_SSH_USERS": "ada",
}
HOST = ["systemd", "nginx", "certificate", "fail2ban", "ufw", "ssh", "upgrades"]
"""Every part that needs no package index."""
CONFIGURED = ("/etc", "/usr/local")
_MADE_ELSEWHERE = (
    "/etc/tesserra-auth/",  # secrets, which stay
    "/etc/passwd",
    "/etc/group",
    "/etc/shadow",
    "/etc/gshadow",
    "/etc/sub",
    "/etc/.pwd.lock",
)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Debian]:
    """A Debian with the packages, one user who has a key, and the secrets of the service."""
    with debian(tmp_path_factory.mktemp("debian")) as host:
        script = (
            "set -e; export DEBIAN_FRONTEND=noninteractive; "
            "wanted='nginx-light certbot fail2ban python3-systemd nftables ufw openssh-server"
            " openssh-client unattended-upgrades python3-venv ca-certificates openssl systemd"
            " pebble'; "
            "install='apt-get install -y -qq --no-install-recommends'; "
            "$install $wanted || { apt-get update -qq && $install $wanted; };"
            " useradd -m ada; cd ~ada; install -d -o ada -m 700 .ssh;"
            " ssh-keygen -q -t ed25519 -N '' -f /tmp/key;"
            " install -o ada -m 600 /tmp/key.pub .ssh/authorized_keys;"
            " useradd -m bob; useradd -m eve; cd ~eve; install -d .ssh;"
            " ssh-keygen -q -t rsa -b 3072 -N '' -f /tmp/weak;"
            " cp /tmp/weak.pub .ssh/authorized_keys;"
            " useradd -m mia; cp -R ~ada/.ssh ~mia/; chown -R mia ~mia; chmod g+w ~mia;"
            " [ -e /etc/ssh/ssh_host_ed25519_key ] || ssh-keygen -A >/dev/null;"
            " mkdir -p /etc/tesserra-auth"
        )
        done = host.run("sh", "-c", script, online=True)
        assert done.returncode == 0, done.stdout + done.stderr
        yield host


def _line(host: Debian, *arguments: str, **env: str) -> str:
    done = host.run(INSTALL, *arguments, env={**GIVEN, **env})
    assert done.returncode != 0
    (line,) = done.stderr.strip().splitlines()
    return line


def test_it_is_a_clean_script() -> None:
    scripts = [DEPLOY / "install.sh", *sorted((DEPLOY / "bin").iterdir())]
    scripts += [ROOT / ".ci" / "run", ROOT / "tests" / "deploy" / "make-debian"]
    done = run(need("shellcheck"), "-x", *scripts)
    assert done.returncode == 0, done.stdout


def test_a_missing_variable_is_named_and_nothing_is_changed(host: Debian) -> None:
    before = host.state(*CONFIGURED)
    for part, missing in zip(("nginx", "certificate", "ssh"), GIVEN, strict=True):
        assert missing in _line(host, part, **{missing: ""})
    assert host.state(*CONFIGURED) == before


@pytest.mark.parametrize(
    ("env", "named"),
    [
        ({"TESSERRA_SSH_USERS": "root"}, "root"),
        ({"TESSERRA_SSH_USERS": "nobody-here"}, "nobody-here"),
        ({"TESSERRA_SSH_USERS": "ada bob"}, "bob has no Ed25519 or RSA-4096 key"),
        ({"TESSERRA_SSH_USERS": "eve"}, "eve has no Ed25519 or RSA-4096 key"),
        ({"TESSERRA_SSH_USERS": "mia"}, "others than mia may write"),
        ({"TESSERRA_SSH_USERS": "ada\nbob"}, "TESSERRA_SSH_USERS is not names"),
        ({"TESSERRA_DOMAIN": "auth.example;reboot"}, "TESSERRA_DOMAIN"),
        ({"TESSERRA_OWN_TLS": "true"}, "TESSERRA_OWN_TLS is neither yes nor no"),
    ],
    ids=str,
)
def test_what_would_lock_people_out_or_break_a_file_is_refused(
    host: Debian, env: dict[str, str], named: str
) -> None:
    assert named in _line(host, "nginx", "ssh", **env)


def test_no_firewall_is_put_before_an_sshd_that_listens_elsewhere(host: Debian) -> None:
    host.run("sh", "-c", "mkdir -p /run/sshd; echo Port 2222 >/etc/ssh/sshd_config.d/10-port.conf")
    assert "sshd listens on port 2222" in _line(host, "ufw")
    host.run("rm", "/etc/ssh/sshd_config.d/10-port.conf")


def test_what_is_given_now_wins_over_the_file(host: Debian) -> None:
    host.run("sh", "-c", "echo 'TESSERRA_DOMAIN=old.example' >/etc/tesserra-auth/install.env")
    for domain, env in (("old.example", {}), ("auth.example", GIVEN)):
        dry = host.run(INSTALL, "--dry-run", "nginx", env=env)
        assert f"https://{domain}$request_uri" in dry.stdout, dry.stderr
    host.run("rm", "/etc/tesserra-auth/install.env")


def test_a_missing_secret_and_an_unknown_part_are_named(host: Debian) -> None:
    host.run("sh", "-c", "rm -f /etc/tesserra-auth/*")
    assert "/etc/tesserra-auth/master.keys is missing" in _line(host, "systemd")
    assert "no such part: all" in _line(host, "all")
    assert "nothing to undo" in _line(host, "--undo")


def test_it_installs_twice_and_is_undone(host: Debian) -> None:
    for name in ("master.keys", "database.url", "redis.url"):
        host.run("sh", "-c", f"echo something >/etc/tesserra-auth/{name}")
    before = host.state(*CONFIGURED)

    dry = host.run(INSTALL, "--dry-run", *HOST, env=GIVEN)
    assert dry.returncode == 0, dry.stderr
    assert "nothing was changed" in dry.stdout
    assert "would write /etc/ssh/sshd_config.d/00-tesserra.conf" in dry.stdout
    assert "+AllowUsers ada" in dry.stdout
    assert host.state(*CONFIGURED, "/var/lib/tesserra-install") == before

    first = host.run(INSTALL, *HOST, env=GIVEN)
    assert first.returncode == 0, first.stdout + first.stderr
    after = host.state(*CONFIGURED)
    _is_installed(host, after)

    second = host.run(INSTALL, *HOST, env=GIVEN)
    assert second.returncode == 0, second.stdout + second.stderr
    assert "nothing to change" in second.stdout, second.stdout
    assert host.state(*CONFIGURED) == after

    host.run("sh", "-c", "echo '# mine' >>/etc/nginx/tesserra-auth/upstream.conf")
    host.run("sh", "-c", "echo '# not mine' >>/etc/nginx/tesserra-auth/tls.conf")
    third = host.run(INSTALL, "nginx", env=GIVEN)
    assert "write /etc/nginx/tesserra-auth/tls.conf" in third.stdout
    assert "# mine" in host.text("/etc/nginx/tesserra-auth/upstream.conf")
    assert "# not mine" not in host.text("/etc/nginx/tesserra-auth/tls.conf")

    undone = host.run(INSTALL, "--undo")
    assert undone.returncode == 0, undone.stdout + undone.stderr
    restored = host.state(*CONFIGURED)
    assert _configured(restored) == _configured(before)
    assert "/etc/tesserra-auth/master.keys" in restored


def _configured(state: dict[str, str]) -> dict[str, str]:
    return {path: told for path, told in state.items() if not path.startswith(_MADE_ELSEWHERE)}


def _is_installed(host: Debian, after: dict[str, str]) -> None:
    assert "/etc/nginx/sites-enabled/default" not in after
    assert "/etc/nginx/sites-enabled/tesserra-auth" not in after  # no certificate yet
    assert host.text("/etc/tesserra-auth/auth.env") == "AUTH_ISSUER=https://auth.example\n"
    sshd = host.run("sh", "-c", "mkdir -p /run/sshd; sshd -T").stdout.splitlines()
    assert "allowusers ada" in sshd
    assert "passwordauthentication no" in sshd
    for unit in (
        "tesserra-auth.service",
        "tesserra-auth-prune.timer",
        "nginx.service",
        "fail2ban.service",
    ):
        assert host.run("systemctl", "is-enabled", unit).stdout.strip() == "enabled", unit
    assert "ENABLED=yes" in host.text("/etc/ufw/ufw.conf")
    assert "limit tcp 22 " in host.text("/etc/ufw/user6.rules")
    assert "worker_connections 8192;" in host.run("nginx", "-T").stdout
    rules = host.text("/etc/ufw/user.rules")
    assert all(f"allow tcp {port} " in rules for port in (25, 80, 443, 465, 587, 993))
    assert "limit tcp 22 " in rules
    assert 'DEFAULT_INPUT_POLICY="DROP"' in host.text("/etc/default/ufw")
    assert host.run("fail2ban-client", "-t").returncode == 0
    assert host.run("nginx", "-t").returncode == 0
    hook = host.text("/etc/letsencrypt/renewal-hooks/deploy/tesserra-auth")
    assert 'domain="auth.example"' in hook
    left = host.run("grep", "-rlF", "${TESSERRA_", "/etc/nginx", "/etc/systemd/system", "/etc/ssh")
    assert left.stdout == ""


def test_who_ends_tls_can_be_changed_and_undone(host: Debian) -> None:
    script = (
        "set -e; mkdir -p $1; cd $1; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256"
        " -nodes -days 2 -subj /CN=auth.example -keyout privkey.pem -out cert.pem;"
        " cp cert.pem chain.pem; cp cert.pem fullchain.pem"
    )
    live = "/etc/letsencrypt/live/auth.example"
    made = host.run("sh", "-c", script, "sh", live)
    assert made.returncode == 0, made.stderr
    before = host.state(*CONFIGURED, "/var/lib/tesserra-tls")
    parts = ("nginx", "certificate", "ufw")
    for own in ("yes", "no"):
        given = {**GIVEN, "TESSERRA_OWN_TLS": own}
        done = host.run(INSTALL, *parts, env=given)
        assert done.returncode == 0, done.stdout + done.stderr
        again = host.run(INSTALL, *parts, env=given)
        assert "nothing to change" in again.stdout, again.stdout
        now = host.state(*CONFIGURED, "/var/lib/tesserra-tls")
        assert ("/etc/nginx/sites-enabled/tesserra-auth" in now) is (own == "no")
        for path in (
            "/etc/systemd/system/tesserra-auth.service.d/own-tls.conf",
            "/var/lib/tesserra-tls/privkey.pem",
        ):
            assert (path in now) is (own == "yes"), path
        origin = "https://auth.example" + (":8443" if own == "yes" else "")
        plain = host.text("/etc/nginx/sites-available/tesserra-auth-http")
        assert f"return 308 {origin}$request_uri;" in plain
        assert ("tcp 8443 " in host.text("/etc/ufw/user.rules")) is (own == "yes")
        assert "allow tcp 443 " in host.text("/etc/ufw/user.rules")
    dry = host.run(INSTALL, "--dry-run", "systemd", env={**GIVEN, "TESSERRA_OWN_TLS": "yes"})
    assert "AUTH_ISSUER=https://auth.example:8443" in dry.stdout, dry.stderr
    # And back to a host with a copy of the key, which does not outlive what it was for.
    back = host.run(INSTALL, "certificate", env={**GIVEN, "TESSERRA_OWN_TLS": "yes"})
    assert back.returncode == 0, back.stdout + back.stderr
    now = host.state(*CONFIGURED, "/var/lib/tesserra-tls")
    dry = host.run(INSTALL, "--dry-run", "--undo")
    assert "would: rm -rf /var/lib/tesserra-tls" in dry.stdout, dry.stderr
    assert host.state(*CONFIGURED, "/var/lib/tesserra-tls") == now
    assert host.run(INSTALL, "--undo").returncode == 0
    restored = host.state(*CONFIGURED, "/var/lib/tesserra-tls")
    assert _configured(restored) == _configured(before)
    host.run("rm", "-r", live)


def test_an_sshd_that_would_not_start_again_is_not_left_behind(host: Debian) -> None:
    other, ours = (f"/etc/ssh/sshd_config.d/{name}.conf" for name in ("50-other", "00-tesserra"))
    host.run("sh", "-c", f"echo NoSuchOption yes >{other}")
    told = host.run(INSTALL, "ssh", env=GIVEN)
    assert told.returncode != 0
    assert told.stderr.splitlines()[-1].startswith(f"install: sshd does not take {ours}")
    assert host.run("test", "-e", ours).returncode != 0
    # And one that reads no such folder is not taken for one that is safe now.
    host.run("sh", "-c", f"rm {other}; sed -i.kept /^Include/d /etc/ssh/sshd_config")
    told = host.run(INSTALL, "ssh", env=GIVEN)
    assert told.returncode != 0
    assert f"install: {ours} has no effect" in told.stderr
    assert host.run("test", "-e", ours).returncode != 0
    host.run("mv", "/etc/ssh/sshd_config.kept", "/etc/ssh/sshd_config")
    assert host.run(INSTALL, "ssh", env=GIVEN).returncode == 0
    assert host.run(INSTALL, "--undo").returncode == 0


def test_the_application_is_installed_by_its_lock_and_rolled_back(host: Debian) -> None:
    first = host.run(INSTALL, "app", env=GIVEN, online=True)
    assert first.returncode == 0, first.stdout + first.stderr
    again = host.run(INSTALL, "app", env=GIVEN, online=True)
    assert "nothing to change" in again.stdout
    told = host.run("/opt/tesserra-auth/current/bin/tesserra-auth", "--help")
    assert "serve" in told.stdout, told.stderr
    missing = host.run("/opt/tesserra-auth/current/bin/tesserra-auth", "serve")
    assert missing.returncode != 0
    assert "is not set" in missing.stderr
    none = host.run(INSTALL, "--rollback")
    assert "no release before this one" in none.stderr
    # A release that is older than this one.
    link = host.run("readlink", "/opt/tesserra-auth/current").stdout.strip()
    host.run("sh", "-c", f"cd /opt/tesserra-auth && cp -R {link} releases/older")
    host.run("sh", "-c", "ln -sfn releases/older /opt/tesserra-auth/previous")
    assert host.run(INSTALL, "--rollback").returncode == 0
    assert host.run("readlink", "/opt/tesserra-auth/current").stdout.strip() == "releases/older"
    assert host.run("readlink", "/opt/tesserra-auth/previous").stdout.strip() == link


@pytest.fixture(scope="module")
def found(host: Debian) -> dict[str, Any]:
    """What tests/deploy/probes/host.py finds, on the same Debian, booted."""
    need("systemd-nspawn")
    acme = host.root / "opt" / "acme"
    acme.mkdir()
    make_certificate(acme)
    settings = {
        "listenAddress": "127.0.0.1:14000",
        "managementListenAddress": "127.0.0.1:15000",
        "certificate": "/opt/acme/cert.pem",
        "privateKey": "/opt/acme/key.pem",
        "httpPort": 80,
        "tlsPort": 443,
    }
    (acme / "pebble.json").write_text(json.dumps({"pebble": settings}))
    for line in (
        "cp /tmp/key /opt",
        "cat /opt/acme/cert.pem >>/etc/ssl/certs/ca-certificates.crt",
    ):
        assert host.run("sh", "-c", line).returncode == 0
    return host.boot("host", alone=True)


def test_a_host_that_runs_is_installed_and_left_alone_the_second_time(
    found: dict[str, Any],
) -> None:
    status, told = found["installed"]
    assert status == 0, told
    assert found["installed again"].splitlines()[-1] == "-- nothing to change"
    assert "Status: active" in found["firewall"]
    assert re.search(r"^22/tcp +LIMIT", found["firewall"], flags=re.MULTILINE)


def test_a_certificate_is_issued_and_its_unit_renews_it(found: dict[str, Any]) -> None:
    assert found["serves what was issued"]
    assert found["renewed"] == 0
    assert found["another was issued"]
    assert found["serves what was renewed"]


def test_who_keeps_on_guessing_loses_the_network(found: dict[str, Any]) -> None:
    assert found["reached before"]
    assert found["guesser banned"]
    assert not found["reached then"]
    assert found["with a key"] == "in\n"
    assert found["intruder banned"]
    assert "in\n" not in found["with a key, banned"]


def test_a_host_that_runs_is_undone(found: dict[str, Any]) -> None:
    status, told = found["undone"]
    assert status == 0, told
    assert "Status: inactive" in found["firewall afterwards"]
    assert "(publickey)" in found["who may try"]
    assert "(publickey,password)" in found["who may try afterwards"]  # what runs, not only the file
    for unit in ("nginx", "ssh", "certbot.timer"):
        assert found[f"{unit} afterwards"] == "active", unit
    assert found["renew-tesserra-auth.timer afterwards"] != "active"
    assert "Welcome to nginx" in found["a page afterwards"]
