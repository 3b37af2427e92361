"""The host's hardening, each file read by the program it is for: sshd, fail2ban, ufw, apt."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from service.embedded.servers import free_port
from tests import given
from tests.deploy.programs import DEPLOY, need, need_root, run
from tests.processes import service
from tests.system.visitors import inside, until

# --- sshd -------------------------------------------------------------------------------------

USER = "nobody"
"""Has no password at all, which is not a locked one."""


@pytest.fixture(scope="module")
def sshd() -> Iterator[tuple[str, Path]]:
    """A host key, and the file with its variables filled in, where others can read it."""
    program = need("sshd")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # what its unit makes, where one was ever started
    folder = Path(tempfile.mkdtemp(prefix="tesserra-sshd-"))
    folder.chmod(0o755)
    _key(folder / "host", "ed25519")
    text = (DEPLOY / "ssh" / "tesserra.conf").read_text()
    text = text.replace("${TESSERRA_SSH_USERS}", USER)
    text = text.replace("/etc/ssh/ssh_host_ed25519_key", str(folder / "host"))
    (folder / "sshd_config").write_text(text)
    yield program, folder
    shutil.rmtree(folder)


def _key(path: Path, kind: str, *flags: str) -> Path:
    done = run(need("ssh-keygen"), "-q", "-t", kind, "-N", "", "-f", path, *flags)
    assert done.returncode == 0, done.stderr
    return path


def test_sshd_takes_the_file(sshd: tuple[str, Path]) -> None:
    program, folder = sshd
    done = run(program, "-t", "-f", folder / "sshd_config")
    assert (done.returncode, done.stderr) == (0, "")


def test_keys_of_named_people_only(sshd: tuple[str, Path]) -> None:
    program, folder = sshd
    told = run(program, "-T", "-f", folder / "sshd_config").stdout.splitlines()
    for line in (
        f"allowusers {USER}",
        "passwordauthentication no",
        "kbdinteractiveauthentication no",
        "permitrootlogin no",
        "requiredrsasize 4096",
        "authenticationmethods publickey",
    ):
        assert line in told
    (algorithms,) = [line for line in told if line.startswith("pubkeyacceptedalgorithms")]
    assert "ecdsa" not in algorithms
    assert "dss" not in algorithms


def test_without_its_variable_nobody_gets_in(sshd: tuple[str, Path]) -> None:
    """As shipped it allows a user of a name that cannot exist; install.sh refuses before that."""
    program, folder = sshd
    text = (DEPLOY / "ssh" / "tesserra.conf").read_text()
    (folder / "raw").write_text(text.replace("/etc/ssh/ssh_host_ed25519_key", str(folder / "host")))
    told = run(program, "-T", "-f", folder / "raw").stdout.splitlines()
    assert "allowusers ${tesserra_ssh_users}" in [line.lower() for line in told]


@pytest.mark.parametrize(
    ("kind", "flags", "user", "enters"),
    [
        ("ed25519", (), USER, True),
        ("rsa", ("-b", "4096"), USER, True),
        ("rsa", ("-b", "3072"), USER, False),
        ("ecdsa", ("-b", "256"), USER, False),
        ("ed25519", (), "daemon", False),
        ("ed25519", (), "root", False),
    ],
)
def test_who_enters(
    sshd: tuple[str, Path],
    tmp_path: Path,
    kind: str,
    flags: tuple[str, ...],
    user: str,
    *,
    enters: bool,
) -> None:
    need_root("sshd signs others in")
    program, folder = sshd
    ssh = need("ssh")
    key = _key(tmp_path / "key", kind, *flags)
    keys = folder / f"authorized-{time.monotonic_ns()}"
    shutil.copy(key.with_suffix(".pub"), keys)
    keys.chmod(0o644)
    port = free_port()
    log = tmp_path / "log"
    options = ("StrictModes=no", f"AuthorizedKeysFile={keys}", "ListenAddress=127.0.0.1")
    here = [item for option in options for item in ("-o", option)]
    child = subprocess.Popen(
        [program, "-D", "-E", log, "-f", folder / "sshd_config", "-p", str(port), *here]
    )
    try:
        _wait(lambda: log.exists() and "listening" in log.read_text())
        ask = ("-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "IdentitiesOnly=yes")
        known = ("-o", f"UserKnownHostsFile={tmp_path / 'known'}", "-F", "none")
        run(ssh, "-p", str(port), "-i", key, *ask, *known, f"{user}@127.0.0.1", "true", timeout=30)
        _wait(lambda: any(word in log.read_text() for word in ("Accepted", "closed", "Closing")))
    finally:
        child.terminate()
        child.wait(10)
    assert "Permission denied" not in log.read_text()
    assert (f"Accepted publickey for {user}" in log.read_text()) is enters, log.read_text()


def _wait(holds: object, seconds: float = 10) -> None:
    assert callable(holds)
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.05)


# --- fail2ban ---------------------------------------------------------------------------------

FORGED = 'x","http.response.status_code":401,"client.address":"192.0.2.66","reason":"bad_creden'


@pytest.fixture(scope="module")
async def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the service says of three attacks, of people who do nothing wrong, and of a forger."""
    need("fail2ban-regex")
    env = {"AUTH_TRUSTED_PROXIES": "127.0.0.1/32"}
    policy = "[limits]\nlogin = { count = 4, window = 900 }\n"
    async with service(env=env, policy=policy) as running:
        async with inside(running) as rt:
            person = await given.a_person(rt, "ada@acme.example")
        async with httpx2.AsyncClient(base_url=running.url) as http:

            async def sign_in(ip: str, email: str, secret: str, **more: str) -> int:
                form = {"email": email, "password": secret}
                headers = {
                    "x-forwarded-for": ip,
                    **{k.replace("_", "-"): v for k, v in more.items()},
                }
                return (await http.post("/auth/login", json=form, headers=headers)).status_code

            assert await sign_in("192.0.2.1", person.email, person.password) == 200
            for _ in range(6):  # a guesser, who is limited in the end
                await sign_in("192.0.2.2", person.email, "not the password")
            for _ in range(3):
                await http.post(
                    "/oauth/token",
                    data={"grant_type": "client_credentials"},
                    auth=("nobody", "nothing"),
                    headers={"x-forwarded-for": "2001:db8::3"},
                )
            for _ in range(3):
                await http.get(
                    "/revocations",
                    headers={
                        "authorization": f"Bearer tsk_{'a' * 16}_{'b' * 50}",
                        "x-forwarded-for": "192.0.2.4",
                    },
                )
            await sign_in(
                "192.0.2.5", FORGED, FORGED, user_agent=FORGED, x_request_id=FORGED, origin=FORGED
            )
            await http.get(f"/{FORGED}", headers={"x-forwarded-for": "192.0.2.5"})
            last = (await http.get("/readyz")).headers["x-request-id"]
            await until(lambda: f'"{last}"' in running.output().rpartition("\n")[0], 10)
        path = tmp_path_factory.mktemp("fail2ban") / "log"
        path.write_text(running.output())
        return path


def _found(path: Path, what: str = "ip") -> list[str]:
    done = run(
        need("fail2ban-regex"),
        *("--out", what, "--datepattern", _setting("datepattern"), path),
        DEPLOY / "fail2ban" / "filter.d" / "tesserra-auth.conf",
    )
    assert done.returncode in (0, 1), done.stderr
    return done.stdout.split()


def _setting(name: str) -> str:
    text = (DEPLOY / "fail2ban" / "filter.d" / "tesserra-auth.conf").read_text()
    (line,) = [line for line in text.splitlines() if line.startswith(f"{name} =")]
    return line.partition("= ")[2].replace("%%", "%")


async def test_attacks_are_found_and_nothing_else(log: Path) -> None:
    found = _found(log)
    assert found.count("192.0.2.2") == 6
    assert found.count("2001:db8::3") == 3
    assert found.count("192.0.2.4") == 3
    assert "192.0.2.1" not in found  # a success
    assert "192.0.2.66" not in found  # an address somebody made up
    assert "127.0.0.1" not in found  # the proxy
    assert set(found) <= {"192.0.2.2", "2001:db8::3", "192.0.2.4", "192.0.2.5"}


async def test_the_journal_s_form_of_a_line_is_found_too(log: Path, tmp_path: Path) -> None:
    """As fail2ban hands it over: host and program in front, the time beside it."""
    stamped = [f"2026-11-24T00:00:00Z {line}" for line in _as_in_journal(log)]
    (tmp_path / "journal").write_text("\n".join(stamped) + "\n")
    done = run(
        need("fail2ban-regex"),
        *("--out", "ip", "--datepattern", "^%Y-%m-%dT%H:%M:%SZ ", tmp_path / "journal"),
        DEPLOY / "fail2ban" / "filter.d" / "tesserra-auth.conf",
    )
    assert sorted(done.stdout.split()) == sorted(_found(log))


def _as_in_journal(log: Path) -> list[str]:
    return [f"auth tesserra-auth[4711]: {line}" for line in log.read_text().splitlines()]


JAILS = {
    "sshd": "_COMM=sshd",
    "vsftpd": "_SYSTEMD_UNIT=vsftpd.service",
    "proftpd": "_SYSTEMD_UNIT=proftpd.service",
    "pure-ftpd": "_SYSTEMD_UNIT=pure-ftpd.service",
    "postfix-sasl": "_SYSTEMD_UNIT=postfix@-.service",  # what Debian calls the unit that logs
    "dovecot": "_SYSTEMD_UNIT=dovecot.service",
    "tesserra-auth": "_SYSTEMD_SLICE=tesserra.slice",
}
"""And what of the journal each of them reads."""


def test_fail2ban_takes_the_jails(tmp_path: Path) -> None:
    client = need("fail2ban-client")
    shutil.copytree("/etc/fail2ban", tmp_path / "etc")
    shutil.copytree(DEPLOY / "fail2ban", tmp_path / "etc", dirs_exist_ok=True)
    done = run(client, "-c", tmp_path / "etc", "-t")
    assert done.returncode == 0, done.stdout + done.stderr
    told = run(client, "-c", tmp_path / "etc", "-d").stdout
    for jail, match in JAILS.items():
        assert f"['start', '{jail}']" in told, jail
        reads = [line for line in told.splitlines() if f"'{jail}', 'addjournalmatch'" in line]
        assert any(f"'{match}'" in line for line in reads), (jail, reads)
    assert "http,https,8443" in told  # also where the service ends TLS itself


SSH = """\
Nov 24 00:00:01 host sshd[1]: Failed password for invalid user root from 192.0.2.7 port 1 ssh2
Nov 24 00:00:02 host sshd[2]: Invalid user x from 192.0.2.66 from 192.0.2.7 port 2
Nov 24 00:00:03 host sshd[3]: Accepted publickey for admin from 192.0.2.8 port 3 ssh2: ED25519 x
"""
SMTP = """\
Nov 24 00:00:01 host postfix/smtpd[1]: warning: x[192.0.2.9]: SASL LOGIN authentication failed: x
Nov 24 00:00:02 host postfix/smtpd[1]: A1: client=x[192.0.2.10], sasl_method=PLAIN
"""
FTP = """\
Nov 24 00:00:01 host vsftpd[1]: pam_unix(vsftpd:auth): authentication failure; \
logname= uid=0 euid=0 tty=ftp ruser=a rhost=192.0.2.11
Nov 24 00:00:02 host vsftpd[1]: pam_unix(vsftpd:session): session opened for user a
"""


@pytest.mark.parametrize(
    ("text", "stock", "found"),
    [
        (SSH, "sshd[mode=aggressive]", {"192.0.2.7"}),
        (SMTP, "postfix[mode=auth]", {"192.0.2.9"}),
        (FTP, "vsftpd", {"192.0.2.11"}),
    ],
    ids=["ssh", "smtp", "ftp"],
)
def test_the_stock_filters_find_what_they_are_for(
    tmp_path: Path, text: str, stock: str, found: set[str]
) -> None:
    (tmp_path / "log").write_text(text)
    done = run(need("fail2ban-regex"), "--out", "ip", tmp_path / "log", stock)
    assert set(done.stdout.split()) == found


# --- ufw and apt ------------------------------------------------------------------------------


def _rules() -> list[str]:
    lines = (DEPLOY / "ufw" / "rules").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_ufw_takes_every_rule() -> None:
    need_root("ufw asks for it, also for a dry run")
    for rule in _rules():
        done = run(need("ufw"), "--dry-run", *rule.split())
        assert done.returncode == 0, rule + done.stdout + done.stderr


def test_only_https_ssh_and_mail_are_let_in() -> None:
    assert "default deny incoming" in _rules()
    opened = {rule.split()[1] for rule in _rules() if not rule.startswith("default")}
    assert opened == {f"{port}/tcp" for port in (22, 25, 80, 443, 465, 587, 993)}
    assert "limit 22/tcp comment SSH" in _rules()


def test_apt_takes_the_file_and_installs_security_updates_only() -> None:
    file = DEPLOY / "apt" / "52tesserra-unattended-upgrades"
    done = run(need("apt-config"), "-c", file, "dump")
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    assert 'APT::Periodic::Unattended-Upgrade "1";' in told
    assert 'APT::Periodic::Update-Package-Lists "1";' in told
    origins = [line for line in told if line.startswith("Unattended-Upgrade::Origins-Pattern::")]
    assert origins
    assert all("label=Debian-Security" in line for line in origins)
