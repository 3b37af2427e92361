"""What a new user does: an empty environment, a clean checkout, `./dev serve`, the printed line."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest

from service.embedded.checkout import ROOT
from service.embedded.launch import NOBODY
from tests.embedded.checkouts import (
    LEFT_OUT,
    Copy,
    Dev,
    living,
    make_copy,
    printed_password,
    python_for_everyone,
    wait_until,
)

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[Dev]:
    """Return a `./dev serve` on its first run."""
    started = make_copy(tmp_path / "one").start("serve")
    started.wait_until_serving()
    yield started
    started.end()


def test_the_printed_line_signs_in_and_curl_stays_in_and_gets_out(dev: Dev) -> None:
    url, folder = dev.copy.url, dev.copy.root
    line = re.search(r"^  sign in   (curl .*)$", dev.output(), re.MULTILINE)
    assert line, dev.output()
    signed_in = json.loads(_sh(line[1], folder))
    assert signed_in["user"]["email"] == "owner@demo.example"
    assert signed_in["organization"]["role"] == "owner"

    keys = jwt.PyJWKClient(f"{url}/.well-known/jwks.json")
    token = signed_in["access_token"]
    claims = jwt.decode(
        token,
        keys.get_signing_key_from_jwt(token),
        algorithms=["ES256"],
        issuer=url,
        audience=url,
        options={"require": ["iss", "sub", "aud", "exp", "iat", "jti"]},
    )
    assert claims["sid"] == signed_in["session_id"]

    curl = "curl -sS -b cookies.txt -c cookies.txt -H 'content-type: application/json'"
    refreshed = json.loads(_sh(f"{curl} -d '{{}}' {url}/auth/refresh", folder))
    assert refreshed["session_id"] == signed_in["session_id"]
    assert refreshed["access_token"] != token
    bearer = f"-H 'Authorization: Bearer {refreshed['access_token']}'"
    assert json.loads(_sh(f"{curl} {bearer} {url}/auth/me", folder))["user"] == signed_in["user"]

    status = "-o /dev/null -w '%{http_code}'"
    assert _sh(f"{curl} {bearer} {status} -d '{{}}' {url}/auth/logout", folder) == "204"
    assert _sh(f"{curl} {status} -d '{{}}' {url}/auth/refresh", folder) == "401"
    assert _sh(f"{curl} {bearer} {status} {url}/auth/me", folder) == "401"


def test_the_password_is_in_no_log_and_no_argument(dev: Dev) -> None:
    password = printed_password(dev.output())
    assert dev.output().count(password) == 2  # where we print it, and in the curl line
    assert not [line for line in dev.family().values() if password in line]
    kept = [path for path in (dev.copy.root / ".data").rglob("log") if path.is_file()]
    assert kept
    assert not [path for path in kept if password in path.read_text(errors="replace")]


def _sh(line: str, folder: Path) -> str:
    return subprocess.check_output(["/bin/sh", "-c", line], cwd=folder, text=True)


def test_cold_with_pip_it_answers_within_a_minute() -> None:
    """As an ordinary user where root can become one."""
    python = str(Path(sys.executable).resolve())
    folder = Path(tempfile.mkdtemp(prefix="tesserra-cold-"))
    copy = Copy(folder / "cold")
    shutil.copytree(ROOT, copy.root, ignore=LEFT_OUT, symlinks=True)
    if os.geteuid() == 0 and (everyones := python_for_everyone()):
        python, copy.user = everyones, NOBODY
        for path in (folder, *folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    started, family = time.monotonic(), dict[int, str]()
    dev = copy.start("serve", python=python)
    try:
        dev.wait_until_serving()
        took = time.monotonic() - started
        family = dev.family()
        if copy.user is not None:
            assert {Path(f"/proc/{pid}").stat().st_uid for pid in family} == {copy.user}
    except AssertionError:
        if re.search(r"Max retries|NewConnectionError|No matching distribution", dev.output()):
            pytest.skip("the package index is not reachable")
        raise
    finally:
        dev.end(signal.SIGKILL)
        wait_until(lambda: not living(family), 20)
        shutil.rmtree(folder, ignore_errors=True)
    assert not living(family)
    assert took < 60
