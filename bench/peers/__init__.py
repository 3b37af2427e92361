"""The same work on other servers, in the same run.

They are installed on demand, in fixed versions, into a folder outside the repository; each runs
with the settings its own project advises for production, on servers of ours, under the same load.
Ours does what it always does: limits, headers, logs, metrics and events are on.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import asyncpg
import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from msgspec import Struct

from bench.children import Child, child
from bench.deployment import Deployment, deployed
from bench.figures import median
from bench.loader import Cycle, Loaded, Renewals
from bench.machine import Machine, describe_machine
from bench.paths import LOADED, REACHED, Bench, HotPath, Plan, Reference, keep, reference_beside
from bench.processes import cpu_seconds, family, memory_mib
from bench.wire import Wire, WireError, request
from service.embedded.checkout import ROOT
from service.embedded.servers import free_port, launched

FOLDER = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tesserra-bench" / "peers"
HERE = Path(__file__).parent
NPM = {"oidc-provider": "9.13.3", "ioredis": "5.11.1"}
PIP = {
    "granian": "2.8.7",
    "uvloop": "0.23.0",
    "Django": "5.2.19",
    "django-oauth-toolkit": "3.4.1",
    "psycopg[binary,pool]": "3.3.9",
    "Authlib": "1.9.9",
    "joserfc": "1.8.0",
    "Flask": "3.1.3",
    "Flask-SQLAlchemy": "3.1.1",
    "fastapi": "0.165.0",
    "fastapi-users[sqlalchemy]": "15.0.5",
    "asyncpg": "0.32.0",
}
GOALS = {
    "client_credentials": 2.0,
    "refresh": 2.0,
    "introspect": 2.0,
    "me": 2.0,
    "login": 2.0,
    "jwks": 1.3,
}
"""Times the best peer's rate."""

OURS = "this service"
NOTES = """\
- All run on this machine beside one PostgreSQL (durable) and one Valkey, a database each, one
  worker each, 32 connections (login: 8), in turns.
- oidc-provider: JWT access tokens (ES256) by resource indicators, rotation at each use, Redis by
  an adapter of the documented shape, which may lose what was confirmed.  Its introspection and
  userinfo take its opaque tokens: it knows no others there.
- Authlib: the server of its guide for Flask, under Granian; JWTs (ES256).
- django-oauth-toolkit: opaque tokens in PostgreSQL; RS256 keys, for it has no ES256.  The client's
  secret is in clear: with the default hash each request would take a third of a second.
- fastapi-users: sign-in by its own Argon2id (64 MiB, 3 passes, 4 lanes), ours with 19 MiB, 2
  passes, 1 lane (the least OWASP advises); /users/me reads the person's row each time.
- Ours has limits, headers, logs, metrics and events on; theirs is what they bring."""
_PEOPLE = 500
_START_SECONDS = 120
_READY_SECONDS = 30
_OK = 200
_PLAN = Plan(3, 4.0, (1,), (32,), _PEOPLE)
_QUICK = Plan(3, 1.5, (1,), (32,), _PEOPLE)


class CannotError(Exception):
    """A peer cannot be installed or does not start; one line says why."""


class Seeded(Struct, frozen=True):
    """What a peer says when it has made its people."""

    client_id: str
    client_secret: str
    people: list[dict[str, str]]


class Peer(Struct, frozen=True):
    """Another server: how it is started, and where it does what."""

    name: str
    script: str
    paths: dict[str, str]
    """Of: jwks, client_credentials, refresh, introspect, me, login."""
    scope: str = ""
    version_of: str = ""


PEERS = (
    Peer(
        "oidc-provider",
        "oidc_provider.mjs",
        {
            "jwks": "/jwks",
            "client_credentials": "/token",
            "refresh": "/token",
            "introspect": "/token/introspection",
            "me": "/me",
        },
        "api",
        "oidc-provider",
    ),
    Peer(
        "Authlib",
        "authlib_server.py",
        {
            "jwks": "/jwks",
            "client_credentials": "/token",
            "refresh": "/token",
            "introspect": "/introspect",
            "me": "/me",
        },
        "api",
        "Authlib",
    ),
    Peer(
        "django-oauth-toolkit",
        "toolkit_server.py",
        {
            "jwks": "/o/.well-known/jwks.json",
            "client_credentials": "/o/token/",
            "introspect": "/o/introspect/",
            "refresh": "/o/token/",
            "me": "/o/userinfo/",
        },
        "api",
        "django-oauth-toolkit",
    ),
    Peer(
        "fastapi-users",
        "fastapi_users_server.py",
        {"login": "/login", "me": "/users/me"},
        "",
        "fastapi-users[sqlalchemy]",
    ),
)


class Measured(Struct, frozen=True):
    """A path of a server: rates per second by round, and memory of the server's processes (MiB)."""

    server: str
    path: str
    rates: list[float]
    cpu: list[float]
    memory_mib: float = 0.0

    @property
    def rate(self) -> float:
        """The median."""
        return median(self.rates)


class Result(Struct, frozen=True):
    """The whole run."""

    machine: Machine
    versions: dict[str, str]
    measured: list[Measured]
    problems: list[str]
    notes: str = NOTES


class Running(Struct, frozen=True):
    """A peer that serves."""

    peer: Peer
    url: str
    pid: int
    seeded: Seeded


# --- installing -------------------------------------------------------------------------------


def install(say: Callable[[str], None]) -> dict[str, str]:
    """Install what is not there yet; return the versions.  CannotError."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    wanted = [f"{name}=={version}" for name, version in PIP.items()]
    stamp = FOLDER / "installed.txt"
    told = "\n".join([*wanted, *(f"{name}@{version}" for name, version in NPM.items())])
    if not stamp.exists() or stamp.read_text() != told:
        say(f"Installing the peers into {FOLDER} ...")
        (FOLDER / "package.json").write_text('{"private": true}')
        npm = [f"{name}@{version}" for name, version in NPM.items()]
        _run("npm", "install", "--no-fund", "--no-audit", "--prefix", str(FOLDER), *npm)
        _run(sys.executable, "-m", "venv", "--clear", str(FOLDER / "python"))
        _run(str(_PYTHON), "-m", "pip", "install", "--quiet", *wanted)
        stamp.write_text(told)
    return {"node": _run("node", "--version").strip().lstrip("v"), **NPM, **PIP}


_PYTHON = FOLDER / "python" / "bin" / "python"


def _run(*command: str) -> str:
    if shutil.which(command[0]) is None:
        raise CannotError(f"{command[0]} is needed for the peers")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotError(f"{' '.join(command[:3])} failed: {done.stderr.strip()[-500:]}")
    return done.stdout


# --- running ----------------------------------------------------------------------------------


@asynccontextmanager
async def running(peer: Peer, made: Deployment, secrets: dict[str, str]) -> AsyncIterator[Running]:
    """Start a peer on a database of its own beside ours; it ends on the way out.  CannotError."""
    port = free_port()
    database = await _database(made, peer.script.partition(".")[0])
    program = shutil.which("node") or "node" if peer.script.endswith(".mjs") else str(_PYTHON)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AUTH_")},
        **secrets,
        "NODE_ENV": "production",
        "PEER_FOLDER": str(FOLDER),
        "PEER_PORT": str(port),
        "PEER_WORKERS": "1",
        "PEER_COUNT": str(_PEOPLE),
        "PEER_REDIS_URL": made.valkey.url,
        "PEER_DATABASE_URL": database,
    }
    log = ROOT / ".data" / "bench" / f"peer-{peer.name}.log"
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *launched("self", signal.SIGTERM, program, str(HERE / peer.script)),
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env=environment,
            limit=2**24,
            start_new_session=True,
        )
    try:
        seeded = await _seeded(peer, process, log)
        url = f"http://127.0.0.1:{port}"
        await _answers(peer, url)
        yield Running(peer, url, process.pid, seeded)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(10):
                await process.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


async def _seeded(peer: Peer, process: asyncio.subprocess.Process, log: Path) -> Seeded:
    assert process.stdout is not None  # noqa: S101 - a pipe
    with contextlib.suppress(TimeoutError, msgspec.DecodeError):
        async with asyncio.timeout(_START_SECONDS):
            return msgspec.json.decode(await process.stdout.readline(), type=Seeded)
    raise CannotError(f"{peer.name} did not start: see {log}")


async def _answers(peer: Peer, url: str) -> None:
    """Wait until somebody listens."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_READY_SECONDS):
            while True:
                with contextlib.suppress(OSError, WireError):
                    wire = await Wire.open(url)
                    await wire.ask(request("GET", "/"))
                    await wire.close()
                    return
                await asyncio.sleep(0.1)
    raise CannotError(f"{peer.name} does not answer")


async def _database(made: Deployment, name: str) -> str:
    """Make a database of a peer's own on our server."""
    url = made.running.database_url
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()
    return f"{url.rpartition('/')[0]}/{name}"


def _secrets() -> dict[str, str]:
    """Make the peers' signing keys."""

    def pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    return {
        "PEER_EC": pem(ec.generate_private_key(ec.SECP256R1())),
        "PEER_RSA": pem(rsa.generate_private_key(65537, 2048)),
    }


def asks(server: Running) -> dict[str, HotPath]:
    """Return what to ask a peer, by path."""
    told, url = server.seeded, server.url
    basic = (told.client_id, told.client_secret)
    owner = ("web", told.client_secret) if server.peer.name == "django-oauth-toolkit" else basic

    def charged() -> dict[str, list[int]]:
        return {"service": family(server.pid)}

    def cycle(requests: list[bytes]) -> Callable[[int, float], Cycle]:
        return lambda c, s: Cycle(url, c, s, _OK, requests)

    def one(path: str, at: str) -> HotPath:
        match path:
            case "jwks":
                return HotPath(path, cycle([request("GET", at)]), charged)
            case "client_credentials":
                form = {"grant_type": "client_credentials", "scope": server.peer.scope}
                return HotPath(path, cycle([request("POST", at, basic=basic, form=form)]), charged)
            case "introspect":
                each = [
                    request("POST", at, basic=basic, form={"token": person["access_token"]})
                    for person in told.people
                ]
                return HotPath(path, cycle(each), charged)
            case "me":
                each = [request("GET", at, bearer=p["access_token"]) for p in told.people]
                return HotPath(path, cycle(each), charged)
            case "login":
                each = [
                    request("POST", at, form={"username": p["email"], "password": p["password"]})
                    for p in told.people[:50]
                ]
                return HotPath(path, cycle(each), charged, connections=8)
            case _:
                tokens = [person["refresh_token"] for person in told.people]
                return HotPath(
                    path,
                    lambda c, s: Renewals(url, c, s, server.peer.name, at, owner, tokens),
                    charged,
                )

    return {path: one(path, at) for path, at in server.peer.paths.items()}


async def measure(
    plan: Plan, only: Sequence[str] = (), say: Callable[[str], None] = print
) -> Result:
    """Measure all servers, taking turns path by path.  CannotError."""
    versions = await asyncio.to_thread(install, say)
    secrets = _secrets()
    async with AsyncExitStack() as stack:
        say("Starting this service and its peers ...")
        made = await stack.enter_async_context(deployed(workers=1))
        loader: Child[Loaded] = await stack.enter_async_context(child("bench.loader", LOADED))
        floor = await stack.enter_async_context(child("bench.floor", REACHED))
        reference: Reference = await stack.enter_async_context(reference_beside(1, b"{}"))
        bench = Bench(plan, made, loader, floor, reference)
        ours = {path.title: path for path in await bench.paths()}
        ours["login"] = msgspec.structs.replace(ours["login"], connections=8)
        servers: list[tuple[str, int, dict[str, HotPath]]] = [(OURS, made.running.pid, ours)]
        for peer in PEERS:
            if only and peer.name not in only:
                continue
            started = await stack.enter_async_context(running(peer, made, secrets))
            servers.append((peer.name, started.pid, asks(started)))
        measured = []
        for path in GOALS:
            those = [(name, pid, known[path]) for name, pid, known in servers if path in known]
            measured += await _turns(path, plan, bench, those, say)
        return Result(describe_machine(), versions, measured, bench.problems)


async def _turns(
    path: str,
    plan: Plan,
    bench: Bench,
    those: Sequence[tuple[str, int, HotPath]],
    say: Callable[[str], None],
) -> list[Measured]:
    rates: dict[str, list[float]] = {name: [] for name, _, _ in those}
    cpu: dict[str, list[float]] = {name: [] for name, _, _ in those}
    for name, _, asked in those:
        titled = msgspec.structs.replace(asked, title=f"{name}: {path}")
        await bench.once(titled, plan.main, 0.5)
    for number in range(1, plan.rounds + 1):
        for name, pid, asked in those:
            titled = msgspec.structs.replace(asked, title=f"{name}: {path}")
            before = cpu_seconds(family(pid))
            one = await bench.once(titled, plan.main, plan.seconds)
            rates[name].append(one.rate)
            spent = cpu_seconds(family(pid)) - before
            cpu[name].append(spent / max(one.rate * plan.seconds, 1) * 1e6)
            say(f"{path}, round {number}: {name} {one.rate:,.0f}/s")
    return [
        Measured(name, path, rates[name], cpu[name], round(sum(map(memory_mib, family(pid))), 1))
        for name, pid, _ in those
    ]


# --- telling ----------------------------------------------------------------------------------


def times_best(result: Result, path: str) -> float | None:
    """Return our rate in times of the best peer's; None where there is no peer."""
    those = {one.server: one.rate for one in result.measured if one.path == path}
    best = max((rate for server, rate in those.items() if server != OURS), default=0.0)
    return those.get(OURS, 0.0) / best if best else None


def table(result: Result) -> str:
    """Return the figures as text."""
    lines = [f"{'path':20}{'server':24}{'per s':>10}{'µs CPU':>9}{'MiB':>8}  ours / best (goal)"]
    for path, goal in GOALS.items():
        times = times_best(result, path)
        for one in (one for one in result.measured if one.path == path):
            note = ""
            if one.server == OURS and times is not None:
                note = f"  {times:.1f}x ({goal:.1f}x{'' if times >= goal else ' MISSED'})"
            lines.append(
                f"{path:20}{one.server:24}{one.rate:10,.0f}{median(one.cpu):9.0f}"
                f"{one.memory_mib:8.0f}{note}"
            )
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    lines += ["", f"{result.machine.line()}; {versions}", result.notes]
    lines += [f"PROBLEM: {problem}" for problem in result.problems]
    return "\n".join(lines)


async def peers(*, quick: bool, only: Sequence[str] = ()) -> int:
    """Measure, print, write; return the exit status: 1 when any answer was not the expected one."""
    try:
        result = await measure(_QUICK if quick else _PLAN, only)
    except CannotError as exc:
        print(f"bench: {exc}", file=sys.stderr)
        return 1
    print(table(result))
    keep("peers", result, None, whole=not quick and not only)
    if result.problems:
        print("FAILED: see PROBLEM above.")
    return 1 if result.problems else 0
