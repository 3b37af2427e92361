"""`./dev serve`: one command, nothing left behind, one clear line when it cannot."""

import json
import os
import platform
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from tests import servers
from tests.embedded.checkouts import (
    Copy,
    Dev,
    answers,
    is_open,
    living,
    make_copy,
    printed_password,
    python_for_everyone,
    wait_until,
)

Serving = Callable[[Copy], Dev]

_NOBODY = 65534
WARM_SECONDS = 3
"""The promise of a second start.  On a busy machine its processor time counts, which is what it
would take alone on one core, and the quickest of five."""


def test_a_first_run_makes_an_owner_and_a_second_one_is_quick(
    fresh: Copy, serving: Serving
) -> None:
    first = serving(fresh)
    printed_password(first.output())
    assert f"{fresh.url}/auth/login" in first.output()
    assert first.end() == 0

    took: list[float] = []
    while len(took) < 5 and min(took, default=WARM_SECONDS) >= WARM_SECONDS:
        started = time.monotonic()
        second = serving(fresh)
        took.append(min(time.monotonic() - started, second.processor_seconds()))
        second.end()
        assert "Making the organization" not in second.output()
        assert "as printed on the first run" in second.output()
    assert min(took) < WARM_SECONDS, took


def test_a_first_run_that_is_cut_short_loses_nobody_their_password(
    fresh: Copy, serving: Serving
) -> None:
    """The owner is made, and the service does not come up to say so."""
    status, said = fresh.run("serve", env={"AUTH_METRICS_BIND": "192.0.2.1:9090"})
    assert status == 1
    assert "AUTH_METRICS_BIND" in said
    note = fresh.root / ".data" / "postgres" / "demo"
    assert stat.S_IMODE(note.stat().st_mode) == 0o600
    second = serving(fresh)
    form = {"email": "owner@demo.example", "password": printed_password(second.output())}
    answer = httpx2.post(f"{fresh.url}/auth/login", json=form, timeout=30)
    assert answer.status_code == 200, answer.text
    assert note.read_text() == ""
    second.end()
    third = serving(fresh)
    assert "as printed on the first run" in third.output()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_nothing_is_left_running(copy: Copy, serving: Serving, number: signal.Signals) -> None:
    dev = serving(copy)
    family = dev.family()
    assert any("postgres" in line for line in family.values())
    assert any("valkey" in line or "redis" in line for line in family.values())
    assert any("service serve" in line for line in family.values())

    status = dev.end(number)

    assert status == (-signal.SIGKILL if number == signal.SIGKILL else 0), dev.output()
    wait_until(lambda: not living(family), 20)
    assert not living(family)
    assert not answers(copy.port)


def test_ctrl_c_in_a_terminal_reaches_all_and_still_stops_in_order(
    copy: Copy, serving: Serving
) -> None:
    dev = serving(copy)
    family = dev.family()
    os.killpg(dev.child.pid, signal.SIGINT)
    assert dev.child.wait(30) == 0
    assert not living(family)
    assert "starting it again" not in dev.output()


def test_killed_while_it_starts_it_leaves_nothing_and_starts_again(
    fresh: Copy, serving: Serving
) -> None:
    dev = fresh.start("serve")
    dev.wait_for("Starting PostgreSQL")
    time.sleep(0.3)  # somewhere in the middle of initdb
    family = dev.family()
    dev.end(signal.SIGKILL)
    wait_until(lambda: not living(family), 20)
    assert not living(family)
    serving(fresh)


def test_two_checkouts_do_not_disturb_each_other(
    copy: Copy, folder: Path, data_of_a_first_run: Path, serving: Serving
) -> None:
    """Even when one is a copy of the other and remembers the same ports."""
    other = make_copy(folder / "two", data=data_of_a_first_run)
    first = serving(copy)
    serving(other)
    assert answers(copy.port)
    assert answers(other.port)
    first.end()
    assert answers(other.port, "/readyz")


def test_a_second_one_in_the_same_checkout_is_told(copy: Copy, serving: Serving) -> None:
    dev = serving(copy)
    status, said = copy.run("serve")
    assert status == 1
    assert said == f"dev: ./dev serve runs in this checkout already (process {dev.child.pid})\n"
    assert answers(copy.port)


def test_a_busy_port_gets_one_line(copy: Copy) -> None:
    with socket.create_server(("127.0.0.1", copy.port)):
        status, said = copy.run("serve")
    assert status == 1
    assert said.startswith(f"dev: port {copy.port} on 127.0.0.1 is taken by another program")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("bind", "why"),
    [
        ("8080", "must be host:port"),
        ("127.0.0.1:99999", "must be host:port"),
        ("192.0.2.1:8080", "cannot listen there"),
        ("nowhere.invalid:8080", "cannot listen there"),
    ],
)
def test_a_place_where_nobody_can_listen_gets_one_line(fresh: Copy, bind: str, why: str) -> None:
    status, said = fresh.run("serve", env={"AUTH_BIND": bind})
    assert status == 1
    assert said.startswith("dev: AUTH_BIND")
    assert why in said
    assert said.count("\n") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("ran_before", [False, True])
def test_a_checkout_of_another_user_s_gets_one_line(
    folder: Path, data_of_a_first_run: Path, *, ran_before: bool
) -> None:
    python = python_for_everyone()
    if not python:
        pytest.skip("no Python like this one that every user may run")
    data = data_of_a_first_run if ran_before else None
    copy = make_copy(folder / "theirs", base=python, data=data)
    copy.user = _NOBODY
    status, said = copy.run("serve", python=python)
    assert status == 1
    assert "is another user's" in said
    assert said.count("\n") == 1


def test_a_crash_leaves_a_pid_file_and_that_is_no_hindrance(copy: Copy, serving: Serving) -> None:
    dev = serving(copy)
    pids = [pid for pid, line in dev.family().items() if "/postgres -D" in line]
    dev.child.send_signal(signal.SIGSTOP)  # it must not stop its server cleanly, nor revive it
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    dev.end(signal.SIGKILL)
    pid_file = copy.root / ".data" / "postgres" / "cluster" / "postmaster.pid"
    assert pid_file.exists()
    wait_until(lambda: not answers(copy.port), 20)
    serving(copy).end()


def test_a_pid_file_with_the_number_of_a_stranger_is_no_hindrance(
    copy: Copy, serving: Serving
) -> None:
    serving(copy).end()
    pid_file = copy.root / ".data" / "postgres" / "cluster" / "postmaster.pid"
    pid_file.write_text(f"{os.getpid()}\n{pid_file.parent}\n1\n5432\n\n127.0.0.1\n\nready   \n")
    shutil.chown(pid_file, pid_file.parent.stat().st_uid)
    serving(copy)


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("PG_VERSION", "9\n", "is of PostgreSQL 9, but PostgreSQL"),
        ("PG_VERSION", None, "is of PostgreSQL (unknown), but PostgreSQL"),
        ("global/pg_control", "cut short", "PostgreSQL did not start"),
    ],
)
def test_data_that_is_another_s_or_damaged_gets_one_line(
    copy: Copy, file: str, content: str | None, told: str
) -> None:
    path = copy.root / ".data" / "postgres" / "cluster" / file
    path.unlink() if content is None else path.write_text(content)
    status, said = copy.run("serve")
    assert status == 1
    line = said.splitlines()[-1]
    assert told in line
    assert "./dev reset starts over" in line
    assert "Traceback" not in said


def test_reset_refuses_while_it_runs_and_then_starts_over(copy: Copy, serving: Serving) -> None:
    dev = serving(copy)
    status, said = copy.run("reset")
    assert status == 1
    assert f"process {dev.child.pid}" in said
    dev.end()
    assert copy.run("reset")[0] == 0
    assert not (copy.root / ".data").exists()
    assert "Making the organization demo" in serving(copy).output()


def test_the_servers_are_ours_alone(copy: Copy, serving: Serving) -> None:
    dev = serving(copy)
    data = copy.root / ".data"
    secrets = [(data / part / "password").read_text() for part in ("postgres", "valkey")]
    secrets.append((data / "master.key").read_text())
    everything = "\n".join(dev.family().values())
    assert not [secret for secret in secrets if secret in everything]

    for path in ("postgres/password", "valkey/password", "valkey/settings", "master.key", "lock"):
        assert stat.S_IMODE((data / path).stat().st_mode) == 0o600, path

    for part in ("postgres", "valkey"):
        port = int((data / part / "port").read_text())
        assert _listening(port) == {"0100007F"}, "not on loopback alone"


def _listening(port: int) -> set[str]:
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    ]
    listen = "0A"
    return {r[1].split(":")[0] for r in rows if r[1].endswith(f":{port:04X}") and r[3] == listen}


def test_a_server_that_dies_comes_back_on_its_port(copy: Copy, serving: Serving) -> None:
    dev = serving(copy)
    # The oldest: a child of it that has not named itself yet is called the same.
    pid = min(pid for pid, line in dev.family().items() if "/postgres -D" in line)
    port = (copy.root / ".data" / "postgres" / "port").read_text()
    os.kill(pid, signal.SIGKILL)
    dev.wait_for("PostgreSQL ended; starting it again")
    wait_until(lambda: answers(copy.port, "/readyz"), 20)
    assert answers(copy.port, "/readyz"), dev.output()
    assert (copy.root / ".data" / "postgres" / "port").read_text() == port


def test_with_addresses_given_nothing_embedded_starts(fresh: Copy, redis_url: str) -> None:
    with (
        servers.cloned_database() as database_url
    ):  # its own: it is sealed under the copy's master key
        _serve_with_addresses_given(fresh, database_url, redis_url)


def _serve_with_addresses_given(fresh: Copy, database_url: str, redis_url: str) -> None:
    dev = fresh.start("serve", env={"AUTH_DATABASE_URL": database_url, "AUTH_REDIS_URL": redis_url})
    try:
        dev.wait_until_serving()
        assert not any("/postgres -D" in line for line in dev.family().values())
        assert not (fresh.root / ".data" / "postgres").exists()
    finally:
        dev.end()


def test_commands_run_beside_it_and_without_it(copy: Copy, serving: Serving) -> None:
    def create(slug: str) -> tuple[int, str]:
        return copy.run("cli", "organization", "create", "--slug", slug, "--name", slug, "--json")

    status, said = create("before")
    assert status == 0, said
    assert json.loads(said.splitlines()[-1])

    dev = serving(copy)
    status, said = create("beside")
    assert status == 0, said
    json.loads(said)  # and nothing else on either stream
    dev.end()

    status, said = create("beside")  # it is there already: the command's own refusal and status
    assert status != 0
    assert "Traceback" not in said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_an_ordinary_user_can_do_all_this(folder: Path) -> None:
    base = _python_like_this_one()
    folder.chmod(0o777)
    copy = make_copy(folder / "theirs", owner=_NOBODY, base=base)
    dev = copy.start("serve", python=base)
    try:
        dev.wait_until_serving()
        family = dev.family()
        owners = {Path(f"/proc/{pid}").stat().st_uid for pid in family}
        assert owners == {_NOBODY}
    finally:
        dev.end(signal.SIGKILL)
    wait_until(lambda: not living(family), 20)
    assert not living(family)


def _python_like_this_one() -> str:
    """Return a Python that every user may run and that can borrow this one's packages."""
    found = python_for_everyone()
    if not found:
        pytest.skip("no Python like this one that every user may run")
    version = subprocess.check_output([found, "-V"], text=True).split()[1]
    if version != platform.python_version():  # packages are chosen by the exact version
        pytest.skip(f"no Python {platform.python_version()} that every user may run")
    if not is_open(Path(sys.prefix).resolve()):
        pytest.skip("the packages of this virtual environment are closed to other users")
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="about what root does")
def test_root_can_do_all_this_where_nobody_else_may_enter(folder: Path, serving: Serving) -> None:
    copy = make_copy(folder / "closed" / "one")
    (folder / "closed").chmod(0o700)
    dev = serving(copy)
    assert any("/postgres -D" in line for line in dev.family().values())


def test_the_tests_say_what_they_run_against() -> None:
    assert "PostgreSQL" in servers.told().said
