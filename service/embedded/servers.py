"""A PostgreSQL and a Valkey of our own, on a free port of loopback, with a private password.

They stop with the process that started them, however it ends.  The system promises that for the
*thread* that started them (PR_SET_PDEATHSIG), so start them from the main thread.
"""

import contextlib
import os
import random
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from service.embedded.launch import NOBODY

LAUNCH = Path(__file__).with_name("launch.py")
START_SECONDS = 30.0
STOP_SECONDS = 15.0
_POLL_SECONDS = 0.01


class EmbeddedError(Exception):
    """A development server cannot run.  One line says which one, why, and what to do."""


class Server:
    """One child process with a folder, a port, a password and a log of its own."""

    title = "server"
    stop_signal = signal.SIGTERM

    def __init__(self, home: Path, program: Path) -> None:
        """`home` is created when it is missing; `program` is the program to run."""
        self.home = home.absolute()
        self.program = program
        self.port = 0
        self.log = self.home / "log"
        self._child: subprocess.Popen[bytes] | None = None
        self._identity = "self"
        self._log_start = 0

    @property
    def password(self) -> str:
        """The password for clients, made once and kept in a file that only its owner can read."""
        path = self.home / "password"
        if not path.exists():
            _write_private(path, secrets.token_urlsafe(24))
        return path.read_text()

    @property
    def pid(self) -> int:
        """The server's process id; 0 when it never ran."""
        return self._child.pid if self._child else 0

    def is_running(self) -> bool:
        """Whether the server's process is alive."""
        return self._child is not None and self._child.poll() is None

    def start(self) -> None:
        """Start the server and return when it answers; after `stop` or `kill`, on the same port.

        Raises EmbeddedError with the reason from the server's log.
        """
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._identity = identity(self.program, self.home)
        self._prepare()
        moving = self.port == 0
        deadline = time.monotonic() + START_SECONDS
        while True:
            if moving:
                self.port = free_port(preferred=self._last_port())
            self._spawn()
            reason = self._await_ready(deadline)
            if reason is None:
                break
            taken = "ddress already in use" in reason
            if not (taken or "shared memory block" in reason) or time.monotonic() > deadline:
                raise EmbeddedError(
                    f"{self.title} did not start: {reason} (see {self.log};"
                    " if its data is damaged, ./dev reset starts over)"
                )
            time.sleep(0.1)
        (self.home / "port").write_text(str(self.port))

    def stop(self) -> None:
        """Stop the server cleanly; after 15 s, by force."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """Kill the server, as a power failure would (SIGKILL)."""
        self._end(signal.SIGKILL)

    def _end(self, with_signal: signal.Signals) -> None:
        if self._child is None or self._child.poll() is not None:
            return
        self._child.send_signal(with_signal)
        try:
            self._child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    def _prepare(self) -> None:
        raise NotImplementedError

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _is_ready(self) -> bool:
        raise NotImplementedError

    def _last_port(self) -> int:
        try:
            return int((self.home / "port").read_text())
        except (OSError, ValueError):
            return 0

    def _spawn(self) -> None:
        command = self._command()
        give_to(self._identity, self.home)
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._child = subprocess.Popen(
                launched(self._identity, self.stop_signal, *command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=clean_environment(),
                start_new_session=True,  # Ctrl-C is for the supervisor, which stops in order
            )

    def _await_ready(self, deadline: float) -> str | None:
        """Wait until the server answers and return None, or return why it does not."""
        while True:
            if not self.is_running():
                return self._last_words()
            if self._is_ready():
                return None
            if time.monotonic() > deadline:
                self.kill()
                return f"no answer within {START_SECONDS:.0f} s"
            time.sleep(_POLL_SECONDS)

    def _last_words(self) -> str:
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode(errors="replace").splitlines()
        grave = [li for li in lines if "FATAL" in li or "rror:" in li or "already in use" in li]
        return " | ".join((grave or lines)[-2:]).strip() or "it ended without a word"


class Postgres(Server):
    """A PostgreSQL with one role, `tesserra`, that owns one database of the same name."""

    title = "PostgreSQL"
    stop_signal = signal.SIGINT  # a fast shutdown: it ends sessions and loses no data

    def __init__(self, home: Path, folder: Path, options: Mapping[str, str] | None = None) -> None:
        """`folder` holds `postgres` and `initdb`; `options` are server settings."""
        super().__init__(home, folder / "postgres")
        self.cluster = self.home / "cluster"
        self._options = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "timezone": "UTC",
            "log_timezone": "UTC",
            **(options or {}),
        }

    @property
    def url(self) -> str:
        """The database's address, with the password."""
        return f"postgresql://tesserra:{self.password}@127.0.0.1:{self.port}/tesserra"

    def _prepare(self) -> None:
        if not self.cluster.exists():
            self._create()
        try:
            made_by = (self.cluster / "PG_VERSION").read_text().strip()
        except FileNotFoundError:
            made_by = "(unknown)"
        ours = subprocess.check_output([self.program, "-V"], text=True)
        ours = ours.partition("(PostgreSQL)")[2].split()[0].partition(".")[0]
        if made_by != ours:
            raise EmbeddedError(
                f"the data in {self.home} is of PostgreSQL {made_by}, but PostgreSQL {ours} is here"
                " to run it: ./dev reset starts over with an empty database"
            )
        self._clear_pid_file()

    def _create(self) -> None:
        """Make the cluster in another folder and rename that when it is complete."""
        fresh = self.home / "cluster.new"
        shutil.rmtree(fresh, ignore_errors=True)
        give_to(self._identity, self.home)
        initdb = self.program.with_name("initdb")
        arguments = ["-D", str(fresh), "-U", "postgres", "--auth=trust", "--encoding=UTF8"]
        self._run(*arguments, "--locale=C", "--no-sync", "--no-instructions", program=initdb)
        # The superuser has no password, so it cannot sign in; only the role below can.
        (fresh / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n")
        sql = (
            f"CREATE ROLE tesserra LOGIN CREATEDB CREATEROLE PASSWORD '{self.password}';\n"
            "CREATE DATABASE tesserra OWNER tesserra;\n"
        )
        said = self._run("--single", "-D", str(fresh), "-c", "fsync=off", "postgres", stdin=sql)
        if "ERROR" in said or "FATAL" in said:
            raise EmbeddedError(f"PostgreSQL could not be prepared: {said.strip()}")
        fresh.rename(self.cluster)

    def _clear_pid_file(self) -> None:
        """End a server that outlived its supervisor; remove a file with another process's id."""
        path = self.cluster / "postmaster.pid"
        with contextlib.suppress(OSError, ValueError, IndexError):
            pid = int(path.read_text().splitlines()[0])
            os.kill(pid, 0)
            if not Path("/proc/self").exists():
                return  # we cannot know whose process it is: PostgreSQL will decide
            deadline = time.monotonic() + START_SECONDS
            signalled = False
            while _working_folder(pid) == self.cluster:
                if not signalled:
                    os.kill(pid, signal.SIGINT)
                    signalled = True
                if time.monotonic() > deadline:
                    os.kill(pid, signal.SIGKILL)
                time.sleep(_POLL_SECONDS)
            if not signalled:
                path.unlink()

    def _command(self) -> list[str]:
        options = {**self._options, "port": str(self.port)}
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return [str(self.program), "-D", str(self.cluster), *settings]

    def _is_ready(self) -> bool:
        """Read the server's pid file.  A file of an earlier run has another process id."""
        try:
            lines = (self.cluster / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) > 7 and lines[0] == str(self.pid) and lines[7].strip() == "ready"  # noqa: PLR2004 - its eighth line

    def _run(self, *arguments: str, program: Path | None = None, stdin: str = "") -> str:
        command = [str(program or self.program), *arguments]
        done = subprocess.run(
            launched(self._identity, signal.SIGKILL, *command),
            input=stdin.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=clean_environment(),
            start_new_session=True,
            check=False,
        )
        said = done.stdout.decode(errors="replace")
        if done.returncode:
            name = Path(command[0]).name
            raise EmbeddedError(f"{name} failed: {' | '.join(said.split(chr(10))[-4:]).strip()}")
        return said


class Valkey(Server):
    """A Valkey or Redis that writes nothing to disk: its data may be lost at any moment."""

    def __init__(self, home: Path, program: Path, databases: int = 16) -> None:
        """`program` is a valkey-server or redis-server."""
        super().__init__(home, program)
        self.title = "Redis" if program.name == "redis-server" else "Valkey"
        self._databases = databases

    @property
    def url(self) -> str:
        """The address of database 0, with the password."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def _prepare(self) -> None:
        pass

    def _command(self) -> list[str]:
        """Return the command.  The password is in a file, since everybody can read arguments."""
        settings = self.home / "settings"
        _write_private(
            settings,
            f"bind 127.0.0.1\nport {self.port}\nrequirepass {self.password}\n"
            f'databases {self._databases}\nsave ""\nappendonly no\ndaemonize no\n',
        )
        return [str(self.program), str(settings), "--dir", str(self.home)]

    def _is_ready(self) -> bool:
        """Ask with our password, which another server on this port would not accept."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as wire:
                wire.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                said = b""
                while b"+PONG" not in said:
                    piece = wire.recv(256)
                    if not piece or said.startswith(b"-"):
                        return False
                    said += piece
        except OSError:
            return False
        return True


def identity(program: Path, home: Path) -> str:
    """Return the mode of `launch` under which this program can work in this folder."""
    if os.geteuid() != 0:
        return "self"
    if _is_open(program) and all(_is_open(parent) for parent in (*program.parents, *home.parents)):
        return "nobody"
    probe = subprocess.run(
        launched("mapped", signal.SIGKILL, "/bin/true"), capture_output=True, check=False
    )
    return "reader" if probe.returncode else "mapped"


def launched(mode: str, at_parents_death: signal.Signals, *program: str) -> list[str]:
    """Return the command that runs `program` in a mode of `launch`."""
    numbers = (str(int(at_parents_death)), str(os.getpid()))
    return [sys.executable, "-I", "-S", str(LAUNCH), mode, *numbers, *program]


def give_to(mode: str, home: Path) -> None:
    """Change the owner of a folder to its server's user.  Only root needs that."""
    if mode == "self":
        return
    owner = 0 if mode == "mapped" else NOBODY
    for path in (home, *home.rglob("*")) if home.stat().st_uid != owner else home.glob("*"):
        os.chown(path, owner, owner, follow_symlinks=False)
    os.chown(home, owner, owner)


def clean_environment() -> dict[str, str]:
    """Return the environment of a server, without the user's PGPORT, LC_ALL and so on."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def free_port(preferred: int = 0) -> int:
    """Return a port that nobody listens on; `preferred` when it is free.

    It is below the range of outgoing connections, so that no client takes it while its server
    restarts.
    """
    candidates = [preferred] if preferred else []
    candidates += [random.randint(15_000, 32_000) for _ in range(64)]  # noqa: S311 - no secret
    for port in candidates:
        if why_not_bind("127.0.0.1", port) is None:
            return port
    raise EmbeddedError("no free port between 15000 and 32000 on 127.0.0.1")


def why_not_bind(host: str, port: int) -> OSError | None:
    """Return the error of listening there; None when it works."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as exc:
        return exc
    return None


def _is_open(path: Path) -> bool:
    wanted = stat.S_IXOTH if path.is_dir() else stat.S_IROTH | stat.S_IXOTH
    return path.stat().st_mode & wanted == wanted


def _working_folder(pid: int) -> Path | None:
    try:
        return Path(f"/proc/{pid}/cwd").readlink()
    except OSError:
        return None


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
