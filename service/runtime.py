"""The resources that a process holds open.  They are the first parameter of every flow."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from service import policy as policies
from service.domain import keyring as keyrings
from service.domain import vault
from service.domain.apikeys import KnownKeys, Tally
from service.domain.clients import KnownClients
from service.domain.families import Rotations
from service.domain.keyring import KeyRing, Schedule, make_root, open_root
from service.domain.ratelimits import RateLimits
from service.domain.revocations import Follower, Kind, Revocation
from service.domain.tokens import Tokens
from service.domain.users import KnownPasswords, Profiles
from service.kernel import mail, migrate
from service.kernel.clock import Clock
from service.kernel.dialing import CannotConnectError
from service.kernel.once import Once
from service.kernel.passwords import Passwords
from service.kernel.postgres import Postgres, connected
from service.kernel.redis import Redis
from service.kernel.refusal import Refused
from service.kernel.seal import Seal, SealBrokenError
from service.kernel.sql import Tx
from service.policy import Policy, seconds
from service.settings import Settings


class StartError(Exception):
    """The service refuses to start.  One line says which setting, server or key is at fault."""


@dataclass(frozen=True)
class Runtime:
    """The open resources of a process.  Flows get it first, then the Call."""

    settings: Settings
    policy: Policy
    clock: Clock
    pg: Postgres
    redis: Redis
    passwords: Passwords
    known_passwords: KnownPasswords
    seal: Seal
    keyring: KeyRing
    tokens: Tokens
    revocations: Follower
    ratelimits: RateLimits
    rotations: Rotations
    profiles: Profiles
    mail: mail.Mailer
    clients: KnownClients
    assertions: Once
    apikeys: KnownKeys
    tally: Tally


@asynccontextmanager
async def open_runtime(
    settings: Settings,
    *,
    follow: bool = True,
    clock: Clock | None = None,
    policy: Policy | None = None,
    passwords: Passwords | None = None,
) -> AsyncIterator[Runtime]:
    """Check and open everything.  StartError when something is wrong.

    `follow` keeps the revocations current, which a server needs and a command does not.  The other
    parameters are for tests: they freeze the clock, lower limits and use cheap hashes.
    """
    clock = clock or Clock()
    with blaming("AUTH_POLICY_FILE"):
        policy = policy or policies.load(settings.policy_file)
        passwords = passwords or Passwords(clock, policy.hashing, workers=settings.workers)
        known_passwords = _known_passwords(policy)
        mailer = _mailer(policy, settings)
    with blaming("AUTH_SMTP_URL"):
        if settings.smtp_url is not None:
            mail.parsed(settings.smtp_url)
    with blaming("AUTH_MASTER_KEYS"):
        seal = Seal(settings.master_keys)
    with blaming("AUTH_REDIS_URL"):
        redis = Redis(settings.redis_url, settings.database_schema, clock)
    await check_schema(settings)
    with blaming("AUTH_DATABASE_URL"):
        pg = await Postgres.connect(settings.database_url, settings.database_schema)
    rotations = Rotations(pg, clock)
    try:
        await clock.discipline(pg.now)
        revocations = Follower(pg, redis, clock, key_killed=lambda: keyring.refresh(pg))
        pg.publish_by(Revocation, revocations.announce)
        keyring = await _open_keyring(pg, seal, clock, policy, revocations)
        audience = policy.tokens.audience or settings.issuer
        runtime = Runtime(
            settings=settings,
            policy=policy,
            clock=clock,
            pg=pg,
            redis=redis,
            passwords=passwords,
            known_passwords=known_passwords,
            seal=seal,
            keyring=keyring,
            tokens=Tokens(settings.issuer, audience, keyring.find),
            revocations=revocations,
            ratelimits=RateLimits(redis, clock, settings.workers),
            rotations=rotations,
            profiles=Profiles(clock),
            mail=mailer,
            clients=KnownClients(pg),
            assertions=Once(redis, clock, "assertion"),
            apikeys=KnownKeys(pg),
            tally=Tally(),
        )
        if follow:
            await runtime.revocations.start()
        yield runtime
        if follow:
            await runtime.revocations.stop()
    finally:
        passwords.close()
        await redis.close()
        await rotations.close()
        await pg.close()


async def check_schema(settings: Settings) -> None:
    """Refuse a database that cannot be reached or that has other migrations.  StartError."""
    try:
        with blaming("AUTH_DATABASE_URL"):
            async with connected(settings.database_url, settings.database_schema) as connection:
                pending = await migrate.pending(connection)
    except migrate.MigrationError as exc:
        raise StartError(str(exc)) from None
    if pending:
        names = ", ".join(f"{m.version:04}_{m.name}" for m in pending)
        raise StartError(f"migrations are pending ({names}): run `tesserra-auth migrate`")


@contextmanager
def blaming(setting: str) -> Iterator[None]:
    """While inside, turn an error into a StartError that names this setting."""
    try:
        yield
    except (policies.PolicyError, SealBrokenError, CannotConnectError, ValueError) as exc:
        raise StartError(f"{setting}: {exc}") from None


def _known_passwords(policy: Policy) -> KnownPasswords:
    own = policy.passwords.known_file
    try:
        return KnownPasswords(Path(own) if own else None)
    except ValueError as exc:
        raise ValueError(f"passwords.known_file: {exc}") from None


def _mailer(policy: Policy, settings: Settings) -> mail.Mailer:
    try:
        return mail.Mailer(policy.links.mail_from, settings.issuer)
    except ValueError as exc:
        raise ValueError(f"links.mail_from: {exc}") from None


def key_schedule(policy: Policy) -> Schedule:
    """Return which signing keys there are, and when they change."""
    return Schedule(
        access_tokens=policy.tokens.algorithm,
        id_tokens=policy.tokens.id_token_algorithms,
        publish_ahead=seconds(policy.keys.publish_ahead),
        rotate_every=seconds(policy.keys.rotate_every),
        retired_for=seconds(policy.keys.retired_for),
    )


_NOT_THESE = "AUTH_MASTER_KEYS: not the master keys of this database"


async def _check_seals(tx: Tx, seal: Seal) -> None:
    """Refuse to start without a master key that is in use, before anything is changed."""
    counts: Counter[str] = Counter()
    for one in (*await keyrings.count_seals(tx), *await vault.count_seals(tx)):
        if one.key_id is not None:
            counts[one.key_id] += one.count
    missing = {key_id: count for key_id, count in counts.items() if key_id not in seal.key_ids}
    if missing and missing.keys() == counts.keys():
        raise StartError(f"{_NOT_THESE}: everything is sealed under another")
    if missing:
        told = ", ".join(f"{count} under {key_id}" for key_id, count in sorted(missing.items()))
        raise StartError(
            f"{_NOT_THESE}: half rotated: {sum(missing.values())} of {counts.total()} things are"
            f" sealed under a key that is not given ({told}); give it after the newest"
        )


async def _open_keyring(
    pg: Postgres, seal: Seal, clock: Clock, policy: Policy, revocations: Follower
) -> KeyRing:
    def is_revoked(kid: str) -> bool:
        return revocations.memory.find_mark(Kind.KID, kid) is not None

    try:
        async with pg.reading() as tx:
            await _check_seals(tx, seal)
        async with pg.decision() as tx:
            await make_root(tx, seal, clock.now())
        async with pg.reading() as tx:
            root = await open_root(tx, seal)
        keyring = KeyRing(seal, root, clock, key_schedule(policy), is_revoked)
        await keyring.ensure(pg)
    except SealBrokenError as exc:
        raise StartError(f"{exc}: restore auth_root from a backup of this database") from None
    except Refused as exc:
        raise StartError(f"AUTH_DATABASE_URL: {exc}") from None
    return keyring
