"""A deployment of our own to measure: durable PostgreSQL, Valkey, the service, and its people."""

import base64
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from pathlib import Path
from uuid import UUID, uuid4

from msgspec.structs import replace

from service import settings as deployment
from service.domain.clients import Client
from service.domain.organizations import Organization
from service.domain.users import Account, HeldMembership, Role
from service.embedded.checkout import ROOT, postgres, valkey
from service.embedded.process import Running, started
from service.embedded.schema import migrate
from service.embedded.servers import Postgres, Valkey, free_port
from service.flows.apikeys.create import NewKey, create_key
from service.flows.apikeys.issuing import IssuedKey
from service.flows.clients.create import create_client
from service.flows.oauth.client_credentials import issue_to_client
from service.flows.oauth.exchange_api_key import exchange_key
from service.flows.organizations.create import create_organization
from service.flows.people.create_user import NewUser, insert
from service.flows.shared.issuing import Grantee, grant, open_session
from service.flows.shared.new_client import NewClient
from service.kernel.call import PLATFORM_ADMIN, Call, Operator, Person
from service.kernel.ids import SessionId
from service.runtime import Runtime, open_runtime

PASSWORD = "correct unicorn paperclip"  # noqa: S105 - of people who live for a minute
WIDE_LIMITS = "".join(
    f"[limits.{bucket}]\ncount = 1000000\nwindow = 60\n"
    for bucket in ("login", "me", "create", "refresh")
)
"""The limiter works and says yes: it is part of what a request costs."""


@dataclass(frozen=True)
class Visitor:
    """Someone signed in: who, where, and what they hold."""

    account: Account
    organization: Organization
    session_id: str
    access_token: str
    refresh_token: str


@dataclass(frozen=True)
class ServiceAccount:
    """An OAuth client and a token of its own."""

    client: Client
    secret: str
    access_token: str


@dataclass
class Deployment:
    """What runs, and a runtime of our own on the same databases, to make people in.

    People come by the service's own flows, but for signing in: hashing passwords for a thousand of
    them would take a minute.
    """

    running: Running
    postgres: Postgres
    valkey: Valkey
    rt: Runtime
    _hash: str = ""
    _made: Iterator[int] = field(default_factory=count)

    @property
    def url(self) -> str:
        """Where the service answers."""
        return self.running.url

    def call(self) -> Call:
        """Return the facts of an act of the operator, now.

        Address and agent are those of the loaders: a first refresh from elsewhere is no routine.
        """
        return Call(
            request_id=uuid4().hex,
            at=self.rt.clock.now(),
            ip="127.0.0.1",
            actor=Operator(),
        )

    async def organization(self) -> Organization:
        """Make an organization."""
        return await create_organization(self.rt, self.call(), f"bench-{next(self._made)}", "Bench")

    async def person(
        self, organization: Organization, role: Role = "member", *, platform_admin: bool = False
    ) -> Account:
        """Make a person whose password is PASSWORD."""
        self._hash = self._hash or await self.rt.passwords.hash(PASSWORD)
        email = f"person-{next(self._made)}@bench.example"
        new = NewUser(email=email, name="Person", role=role, platform_admin=platform_admin)
        async with self.rt.pg.decision() as tx:
            return await insert(self.call(), tx, new, email, organization, self._hash)

    async def visitor(
        self, account: Account, organization: Organization, role: Role = "member"
    ) -> Visitor:
        """Sign a person in, on a device of their own."""
        call = self.call()
        membership = HeldMembership(
            tenant_id=organization.tenant_id,
            role=role,
            slug=organization.slug,
            name=organization.name,
            policy=None,
            cutoff=None,
        )
        async with self.rt.pg.decision() as tx:
            opened = await open_session(
                self.rt, call, tx, account.user_id, membership, None, ("pwd",)
            )
        grantee = Grantee.of(account, membership, opened, auth_time=call.at, amr=("pwd",))
        granted = await grant(self.rt, call, grantee, opened.refresh_token)
        return Visitor(
            account,
            organization,
            str(opened.session_id),
            granted.access_token,
            granted.refresh_token,
        )

    async def newcomer(self) -> Visitor:
        """Make a person in an organization of their own, signed in."""
        organization = await self.organization()
        return await self.visitor(await self.person(organization), organization)

    async def administrator(self) -> Visitor:
        """Make a platform administrator, signed in."""
        organization = await self.organization()
        account = await self.person(organization, "owner", platform_admin=True)
        return await self.visitor(account, organization, "owner")

    async def api_key(self, administrator: Visitor) -> IssuedKey:
        """Issue an API key of the administrator's organization."""
        person = Person(
            user_id=administrator.account.user_id,
            tenant_id=administrator.organization.tenant_id,
            session_id=SessionId(UUID(administrator.session_id)),
            client_id="console",
            roles=("owner", PLATFORM_ADMIN),
            scopes=(),
            expires_at=self.rt.clock.now() + timedelta(minutes=1),
        )
        new = NewKey(name="bench", scopes=("revocations:read",), shared=True)
        return await create_key(self.rt, replace(self.call(), actor=person), new)

    async def exchanged_key(self, administrator: Visitor) -> tuple[str, str]:
        """Issue an API key and exchange it: the key's id and a token of it."""
        issued = await self.api_key(administrator)
        token = await exchange_key(self.rt, self.call(), issued.secret, None)
        return str(issued.key.key_id), token.access_token

    async def client(self, *scopes: str) -> ServiceAccount:
        """Make an OAuth client of the platform, with a token of its own."""
        made = await create_client(
            self.rt, self.call(), NewClient(name="bench", scopes=scopes or ("agentes",))
        )
        issued = await issue_to_client(self.rt, self.call(), made.client, None)
        return ServiceAccount(made.client, made.secret or "", issued.access_token)


@asynccontextmanager
async def deployed(workers: int = 2) -> AsyncIterator[Deployment]:
    """Start everything; stop it on the way out."""
    async with AsyncExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="tesserra-bench-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        database, cache = postgres(folder / "postgres"), valkey(folder / "valkey")
        for server in (database, cache):
            stack.callback(server.stop)
            server.start()
        migrate(database.url, folder)
        port = free_port()
        (folder / "policy.toml").write_text(WIDE_LIMITS)
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AUTH_")},
            "PYTHONPATH": str(ROOT),
            "AUTH_ISSUER": f"http://localhost:{port}",
            "AUTH_BIND": f"127.0.0.1:{port}",
            "AUTH_WORKERS": str(workers),
            "AUTH_DATABASE_URL": database.url,
            "AUTH_REDIS_URL": cache.url,
            "AUTH_MASTER_KEYS": base64.urlsafe_b64encode(os.urandom(32)).decode(),
            "AUTH_DATA_DIR": str(folder),
            "AUTH_POLICY_FILE": str(folder / "policy.toml"),
        }
        log = ROOT / ".data" / "bench" / "service.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        running = await stack.enter_async_context(started(environment, log))
        settings = deployment.load(environment)
        rt = await stack.enter_async_context(open_runtime(settings, follow=False))
        yield Deployment(running, database, cache, rt)
