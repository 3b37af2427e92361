"""The deployment under attack: durable servers, a fault proxy before each, two workers, people.

The service runs from a folder of its own (`source`), which sabotage may have changed; what makes
people and looks at the database is always this checkout's.
"""

import asyncio
import base64
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from uuid import UUID, uuid4

from msgspec import Struct

from faults.client import Answer, Client
from faults.proxy import Proxy, Tap
from faults.report import Report
from service import settings as deployment
from service.domain import audit, users
from service.domain.audit import events
from service.domain.organizations import Organization
from service.domain.users import Account, HeldMembership, Role
from service.embedded.checkout import ROOT, postgres, valkey
from service.embedded.process import Running, started, worker_serving
from service.embedded.schema import migrate
from service.embedded.servers import Postgres, Valkey, free_port
from service.flows.clients.create import create_client
from service.flows.oauth.client_credentials import issue_to_client
from service.flows.organizations.create import create_organization
from service.flows.people.create_user import NewUser, insert
from service.flows.shared.issuing import Grantee, grant, open_session
from service.flows.shared.new_client import NewClient
from service.kernel.call import Call, Operator
from service.kernel.ids import UserId
from service.runtime import Runtime, open_runtime

PASSWORD = "canary unicorn paperclip"
WORKERS = 2
GRACE_SECONDS = 30
"""As long as policy allows: a service that is killed and starts again must not be late for it."""

HASTY = "hasty-"
"""How organizations are called whose retries are forgiven for a second only."""

HASTY_SECONDS = 1
_HURRY = json.dumps({"refresh_grace": HASTY_SECONDS, "lost_answer_grace": 0})
_STRICT = json.dumps({"refresh_grace": 0})

_START_SECONDS = 120.0
"""Several deployments may start on one machine at once."""

CREATIONS = 30
"""A person creates so many things a minute: the one narrow limit of this deployment."""

POLICY = f"[tokens]\nrefresh_grace = {GRACE_SECONDS}\n" + "".join(
    f"[limits.{bucket}]\ncount = 1000000\nwindow = 60\n"
    for bucket in ("login", "me", "refresh", "client_failures", "key_failures", "unlock")
)


@dataclass
class Device:
    """Someone signed in: who, where, and what they hold."""

    account: Account
    organization: Organization
    session_id: str
    access_token: str
    refresh_token: str

    def keep(self, answer: Answer) -> Answer:
        """Take over what an answer gives."""
        if answer.ok and answer.body:
            self.access_token = answer.json()["access_token"]
            self.refresh_token = answer.cookie()
            self.session_id = answer.json()["session_id"]
        return answer


class Machine(Struct, frozen=True):
    """A service: an OAuth client and its token."""

    client_id: str
    secret: str
    access_token: str


@dataclass
class Site:
    """Everything that runs, and how to break it."""

    environment: dict[str, str]
    log: Path
    postgres: Postgres
    valkey: Valkey
    to_postgres: Proxy
    to_valkey: Proxy
    tap: Tap
    rt: Runtime
    canaries: dict[str, str]
    """Secrets that must show up nowhere, by what they are."""
    password_hash: str
    """Everybody's: made once, for hashing is slow."""
    disk: Path | None = None
    """Where PostgreSQL's data are, when that is a file system of their own: it can be filled."""
    _service: AsyncExitStack = field(default_factory=AsyncExitStack)
    _running: Running | None = None
    _made: "count[int]" = field(default_factory=count)

    # --- the service --------------------------------------------------------------------------

    @property
    def running(self) -> Running:
        """The process under attack."""
        assert self._running is not None
        return self._running

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{self.environment['AUTH_BIND']}"

    async def start(self) -> None:
        """Start the service (again)."""
        said = self.log.read_bytes() if self.log.exists() else b""
        with self.log.with_suffix(".before").open("ab") as before:
            before.write(said)
        stack = AsyncExitStack()
        self._running = await stack.enter_async_context(
            started(self.environment, self.log, patience=_START_SECONDS)
        )
        self._service = stack
        await self.all_serve()

    async def all_serve(self) -> bool:
        """Wait until every worker answers; one that is killed before has nobody to stand in for it.

        Return whether they did in time.
        """
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            found = await self.connection_to_each(Report("workers"))
            for client in found:
                client.close()
            if len(found) == WORKERS:
                return True
            await asyncio.sleep(0.05)
        return False

    async def kill_service(self) -> None:
        """SIGKILL to the main process and every worker, at once."""
        with suppress(ProcessLookupError):
            os.killpg(self.running.pid, signal.SIGKILL)
        await self._service.aclose()

    async def stop(self) -> None:
        """End the service in good order."""
        await self._service.aclose()

    def kill_worker(self, pid: int) -> None:
        """SIGKILL to one worker."""
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def worker_behind(self, port: int, proxy: Proxy) -> int | None:
        """Return which worker connects to a proxy from a port."""
        return self.process_behind(port, proxy, self.running.workers())

    def process_behind(self, port: int, proxy: Proxy, among: list[int]) -> int | None:
        """Return which of some processes does."""
        return worker_serving(f"http://127.0.0.1:{port}", among, proxy.port)

    def said(self) -> str:
        """Return everything the service has written, over all its lives."""
        before = self.log.with_suffix(".before")
        texts = [path.read_text(errors="replace") for path in (before, self.log) if path.exists()]
        return "".join(texts)

    async def connection_to_each(self, report: Report) -> list[Client]:
        """Return one client per worker, as the kernel tells who serves whom."""
        found: dict[int, Client] = {}
        spare: list[Client] = []
        deadline = time.monotonic() + 20
        while len(found) < WORKERS and time.monotonic() < deadline:
            workers = self.running.workers()
            client = self.client(report)
            answer = await client.ask("GET", "/healthz")
            if not answer.ok:
                client.close()
                await asyncio.sleep(0.01)
                continue
            pid = worker_serving(self.url, workers, client.port())
            if pid is None or pid in found:
                spare.append(client)
                await asyncio.sleep(0.01)
            else:
                found[pid] = client
        for client in spare:
            client.close()
        return list(found.values())

    # --- people -------------------------------------------------------------------------------

    def client(self, report: Report, address: str = "198.51.100.1") -> Client:
        """Return a caller."""
        return Client(self.url, report, address)

    def call(self) -> Call:
        """Return the facts of an act of the operator, now, from where clients come by default."""
        return Call(
            request_id=uuid4().hex,
            at=self.rt.clock.now(),
            actor=Operator(),
            ip="198.51.100.1",
            user_agent="faults",
        )

    async def organization(self, slug: str = "") -> Organization:
        """Make an organization."""
        slug = slug or f"faults-{next(self._made)}"
        return await create_organization(self.rt, self.call(), slug, slug.title())

    async def person(
        self, organization: Organization, role: Role = "member", *, platform_admin: bool = False
    ) -> Account:
        """Make a person whose password is PASSWORD."""
        email = f"person-{next(self._made)}@faults.example"
        new = NewUser(email=email, name="Person", role=role, platform_admin=platform_admin)
        async with self.rt.pg.decision() as tx:
            return await insert(self.call(), tx, new, email, organization, self.password_hash)

    async def device(
        self, account: Account, organization: Organization, role: Role = "member"
    ) -> Device:
        """Sign a person in on one more device, without the cost of hashing."""
        call = self.call()
        overrides = _HURRY if organization.slug.startswith(HASTY) else None
        membership = HeldMembership(
            tenant_id=organization.tenant_id,
            role=role,
            slug=organization.slug,
            name=organization.name,
            policy=overrides,
            cutoff=None,
        )
        async with self.rt.pg.decision() as tx:
            opened = await open_session(
                self.rt, call, tx, account.user_id, membership, None, ("pwd",)
            )
            signed_in = events.SignedIn(
                tenant_id=organization.tenant_id,
                user_id=account.user_id,
                session_id=opened.session_id,
                known_device=False,
            )
            await audit.record(tx, call, signed_in)
        grantee = Grantee.of(account, membership, opened, auth_time=call.at, amr=("pwd",))
        granted = await grant(self.rt, call, grantee, opened.refresh_token)
        self.canaries.setdefault("refresh token", opened.refresh_token)
        self.canaries.setdefault("access token", granted.access_token)
        return Device(
            account,
            organization,
            str(opened.session_id),
            granted.access_token,
            granted.refresh_token,
        )

    async def newcomer(
        self,
        organization: Organization | None = None,
        role: Role = "member",
        *,
        platform_admin: bool = False,
    ) -> Device:
        """Make a person and sign them in."""
        organization = organization or await self.organization()
        account = await self.person(organization, role, platform_admin=platform_admin)
        return await self.device(account, organization, role)

    async def join(self, account: Account, organization: Organization, role: Role) -> None:
        """Make a person a member of one more organization."""
        async with self.rt.pg.autocommit() as tx:
            await users.insert_membership(
                tx, organization.tenant_id, account.user_id, role, self.call().at
            )

    async def hasty(self) -> Organization:
        """Make an organization whose grace is one second."""
        return await self.organization_with(_HURRY, HASTY)

    async def strict(self) -> Organization:
        """Make an organization without a grace."""
        return await self.organization_with(_STRICT)

    async def organization_with(self, overrides: str, prefix: str = "faults-") -> Organization:
        """Make an organization with lifetimes of its own (JSON)."""
        made = await self.organization(f"{prefix}{next(self._made)}")
        async with self.rt.pg.autocommit() as tx:
            await tx.execute(
                "UPDATE auth_organizations SET policy = $2::text::jsonb WHERE tenant_id = $1",
                made.tenant_id,
                overrides,
            )
        return made

    async def no_grace(self, device: Device) -> None:
        """Let the superseded tokens of a session have been so since an hour ago."""
        async with self.rt.pg.autocommit() as tx:
            await tx.execute(
                "UPDATE auth_families SET rotated_at = rotated_at - interval '1 hour', superseded ="
                " ARRAY(SELECT at - interval '1 hour' FROM unnest(superseded) AS at ORDER BY at)"
                " WHERE session_id = $1",
                UUID(device.session_id),
            )

    async def machine(self, *scopes: str) -> Machine:
        """Make a service of the platform, with a token of its own."""
        new = NewClient(name="faults", scopes=scopes or ("revocations:read",))
        made = await create_client(self.rt, self.call(), new)
        issued = await issue_to_client(self.rt, self.call(), made.client, None)
        self.canaries.setdefault("client secret", made.secret or "none")
        return Machine(made.client.client_id, made.secret or "", issued.access_token)

    # --- looking ------------------------------------------------------------------------------

    async def fetch(self, statement: str, *arguments: object) -> list[dict[str, object]]:
        """Ask the database, past every proxy."""
        async with self.rt.pg.autocommit() as tx:
            return [dict(row) for row in await tx.fetch(statement, *arguments)]

    async def count(self, statement: str, *arguments: object) -> int:
        """Ask the database for a number."""
        async with self.rt.pg.autocommit() as tx:
            return int(await tx.fetchval(statement, *arguments))

    async def events_of(self, user_id: UserId | UUID, *types: str) -> int:
        """Count a person's events of some types."""
        return await self.count(
            "SELECT count(*) FROM auth_eventos WHERE user_id = $1 AND event_type = ANY ($2)",
            user_id,
            list(types),
        )


@asynccontextmanager
async def deployed(
    source: Path = ROOT, more: Mapping[str, str] | None = None
) -> AsyncIterator[Site]:
    """Start everything, the service from `source`; stop it on the way out."""
    async with AsyncExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="tesserra-faults-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        os.chmod(folder, 0o711)  # noqa: PTH101, S103 - the servers may be another user's
        durable = {
            "fsync": "off",
            "synchronous_commit": "on",
            "max_connections": "100",
            "max_wal_size": "256MB",
            "wal_recycle": "off",  # a full disk has no segment left over
        }
        disk = stack.enter_context(small_disk(folder / "disk"))
        database = postgres((disk or folder) / "postgres", durable)
        cache = valkey(folder / "valkey")
        for server in (database, cache):
            stack.callback(server.stop)
            server.start()
        migrate(database.url, folder)
        tap = Tap()
        near_postgres = await stack.enter_async_context(Proxy(database.port, tap.eyes).listening())
        near_valkey = await stack.enter_async_context(Proxy(cache.port).listening())
        port = free_port()
        master = base64.urlsafe_b64encode(os.urandom(32)).decode()
        (folder / "policy.toml").write_text(POLICY)
        direct = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AUTH_")},
            "PYTHONPATH": str(source),
            "AUTH_ISSUER": f"http://localhost:{port}",
            "AUTH_BIND": f"127.0.0.1:{port}",
            "AUTH_WORKERS": str(WORKERS),
            "AUTH_DATABASE_URL": database.url,
            "AUTH_REDIS_URL": cache.url,
            "AUTH_MASTER_KEYS": master,
            "AUTH_DATA_DIR": str(folder),
            "AUTH_POLICY_FILE": str(folder / "policy.toml"),
            "AUTH_TRUSTED_PROXIES": "127.0.0.1/32",
            **(more or {}),
        }
        watched = {
            **direct,
            "AUTH_DATABASE_URL": through(database.url, near_postgres) + "?sslmode=disable",
            "AUTH_REDIS_URL": through(cache.url, near_valkey),
        }
        rt = await stack.enter_async_context(
            open_runtime(deployment.load(direct), follow=False)  # past the proxies
        )
        site = Site(
            environment=watched,
            log=folder / "service.log",
            postgres=database,
            valkey=cache,
            to_postgres=near_postgres,
            to_valkey=near_valkey,
            tap=tap,
            rt=rt,
            disk=disk,
            canaries={"password": PASSWORD, "master key": master},
            password_hash=await rt.passwords.hash(PASSWORD),
        )
        stack.push_async_callback(site.stop)
        await site.start()
        yield site


@contextmanager
def small_disk(at: Path) -> Iterator[Path | None]:
    """Mount a file system of two gigabytes, of memory; None where we may not."""
    at.mkdir(mode=0o711)
    mounting = ["mount", "-t", "tmpfs", "-o", "size=2g,mode=711", "none", str(at)]
    try:
        mounted = subprocess.run(mounting, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    try:
        yield at if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(at)], check=False)  # noqa: S607 - the system's


def through(url: str, proxy: Proxy) -> str:
    """Return a server's address by way of a proxy."""
    head, _, tail = url.rpartition("@")
    return f"{head}@127.0.0.1:{proxy.port}/" + tail.partition("/")[2]
